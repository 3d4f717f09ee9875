from dataclasses import replace

import cv2
import pytest
import torch
from torch import Tensor

from train.batches import complete, make_batch, project, truth
from trilift.train.augmentation import augment
from trilift.train.losses import losses
from trilift.train.samples import Batch
from trilift.train.settings import GEOMETRIC, AugmentationSettings, LossSettings

ALL_LOSSES = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 1.0) | {"reprojection_unit": "pixels"})
FLIPS = AugmentationSettings(flips=1.0, virtual_cameras=0.0, aim_deg=0.0)
CAMERAS = AugmentationSettings(flips=0.0, virtual_cameras=1.0, aim_deg=0.0)
HIDES = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0, hidden=0.5)
POSES = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0, other_poses=1.0)
AIMS = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=10.0)
ALL = AugmentationSettings(flips=0.5, virtual_cameras=0.5, aim_deg=5.0, hidden=0.5, other_poses=0.5)
KINDS = pytest.mark.parametrize(
    "kind",
    [FLIPS, CAMERAS, AIMS, HIDES, POSES, ALL],
    ids=["flips", "cameras", "aims", "hides", "poses", "all"],
)


def in_views(batch: Batch) -> Tensor:
    return torch.einsum("bvxy,btjy->btvjx", batch.rotations, batch.poses) + batch.translations[:, None, :, None]


@KINDS
@pytest.mark.parametrize("window", [1, 9])
def test_what_is_seen_are_still_the_labels_through_cameras(kind: AugmentationSettings, window: int) -> None:
    batch = make_batch(frames=12, window=window, noise=0.0)
    changed = augment(batch, kind)
    seen = in_views(changed)
    expected = seen[..., :2] / seen[..., 2:]
    known = changed.rays.isfinite().all(-1) & expected.isfinite().all(-1)
    assert known.any()
    torch.testing.assert_close(changed.rays[known], expected[known])
    identity = changed.rotations @ changed.rotations.mT
    torch.testing.assert_close(identity, torch.eye(3).double().expand_as(identity))
    torch.testing.assert_close(torch.linalg.det(changed.rotations), torch.ones(12, 3).double())


@KINDS
def test_the_truth_still_costs_nothing(kind: AugmentationSettings) -> None:
    batch = augment(complete(make_batch(frames=12)), kind)
    found = losses(truth(batch), batch, ALL_LOSSES)
    assert set(found) == set(GEOMETRIC)
    for name, value in found.items():
        assert value.item() == pytest.approx(0.0, abs=1e-6), name


@KINDS
def test_nothing_is_invented(kind: AugmentationSettings) -> None:
    batch = make_batch(frames=20)
    changed = augment(batch, kind)
    missing = changed.rays.isnan().any(-1)
    assert (changed.confidence[missing] == 0).all()
    assert missing.sum() >= batch.rays.isnan().any(-1).sum()
    assert torch.equal(changed.visible, batch.visible)
    # A view that counts has its root.
    root = changed.rays[:, 0, :, changed.skeleton.root_index]
    assert root[changed.visible].isfinite().all()


def test_a_mirror_exchanges_left_and_right() -> None:
    batch = complete(make_batch(frames=5))
    changed = augment(batch, FLIPS)
    mirrored = list(batch.skeleton.mirrored)
    torch.testing.assert_close(changed.rays[..., 0], -batch.rays[..., mirrored, 0])
    torch.testing.assert_close(changed.rays[..., 1], batch.rays[..., mirrored, 1])
    torch.testing.assert_close(changed.confidence, batch.confidence[..., mirrored])
    torch.testing.assert_close(changed.trust, batch.trust[..., mirrored])
    torch.testing.assert_close(in_views(changed)[..., 2], in_views(batch)[..., mirrored, 2])


def test_two_mirrors_change_nothing() -> None:
    batch = make_batch(frames=5)
    twice = augment(augment(batch, FLIPS), FLIPS)
    for name in ("rays", "confidence", "poses", "trust", "rotations", "translations", "distortion"):
        torch.testing.assert_close(getattr(twice, name), getattr(batch, name), equal_nan=True)


def test_a_virtual_camera_sees_the_root_on_the_same_ray_and_the_same_errors() -> None:
    batch = complete(make_batch(frames=30))
    noise = 0.02 * torch.randn_like(batch.rays)
    batch = replace(batch, rays=batch.rays + noise)
    changed = augment(batch, CAMERAS)
    exact = project(changed.poses[:, 0], changed.rotations, changed.translations)[:, None]
    torch.testing.assert_close(changed.rays - exact, noise)
    before, after = (in_views(b)[:, 0, :, b.skeleton.root_index] for b in (batch, changed))
    ratio = after / before
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    assert ratio.min() >= 1 / 1.25
    assert ratio.max() <= 1.25


def test_virtual_cameras_stand_all_around_and_upright() -> None:
    batch = complete(make_batch(frames=400))
    changed = augment(batch, CAMERAS)
    up = -batch.rotations[:, :, 1].mean(1)
    down_in_view = -torch.einsum("bvxy,by->bvx", changed.rotations, torch.nn.functional.normalize(up, dim=-1))
    assert down_in_view[..., 1].median() > 0.9  # y is down in images
    turned = changed.rotations @ batch.rotations.mT  # by how much the camera has gone around
    angle = ((torch.einsum("bvii->bv", turned) - 1) / 2).clamp(-1, 1).acos()
    assert 0.4 < (angle > torch.pi / 2).double().mean() < 0.6


def test_a_camera_on_its_side_does_not_tilt_the_virtual_ones() -> None:
    """Elsewhere around the person it lies on its side as before, and what is up for the others stays up."""
    batch = complete(make_batch(frames=200))
    up = torch.nn.functional.normalize(-batch.rotations[:, :, 1].mean(1), dim=-1)
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=batch.rotations.dtype)
    rotations = batch.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    changed = augment(replace(batch, rotations=rotations), CAMERAS)
    down = -torch.einsum("bvxy,by->bvx", changed.rotations, up)
    assert down[:, 1:, 1].median() > 0.9
    assert down[:, 0, 0].median() > 0.9


def test_other_poses_are_of_the_same_body_missed_by_the_same() -> None:
    batch = complete(make_batch(frames=400))
    noise = 0.02 * torch.randn_like(batch.rays)
    batch = replace(batch, rays=batch.rays + noise)
    changed = augment(batch, POSES)
    exact = project(changed.poses[:, 0], changed.rotations, changed.translations)[:, None]
    torch.testing.assert_close(changed.rays - exact, noise)
    parents, children = torch.tensor(batch.skeleton.bone_indices).T
    before, after = (b.poses[:, 0, children] - b.poses[:, 0, parents] for b in (batch, changed))
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1))
    angle = torch.nn.functional.cosine_similarity(before, after, dim=-1).clamp(-1, 1).acos().rad2deg()
    at_root = parents == batch.skeleton.root_index
    assert angle[:, at_root].max() < 1e-3
    assert (angle[:, ~at_root].mean(0) > 5).all()
    assert (angle[:, ~at_root].mean(0) < 20).all()


def test_a_joint_without_a_label_bends_nothing_off() -> None:
    batch = complete(make_batch(frames=50))
    parent, child = next(bone for bone in batch.skeleton.bone_indices if bone[0] != batch.skeleton.root_index)
    poses = batch.poses.clone()
    poses[:, :, parent] = torch.nan
    changed = augment(replace(batch, poses=poses), POSES)
    assert changed.poses[:, :, parent].isnan().all()
    grand = batch.skeleton.root_index
    torch.testing.assert_close(changed.rays[:, :, :, parent], batch.rays[:, :, :, parent])
    before, after = ((b[:, :, child] - b[:, :, grand]).norm(dim=-1) for b in (poses, changed.poses))
    torch.testing.assert_close(after, before)


def test_aimed_elsewhere_cameras_stay_where_they_are_and_see_what_they_saw() -> None:
    batch = complete(make_batch(frames=400))
    changed = augment(batch, AIMS)
    centres, before = (-(b.rotations.mT @ b.translations[..., None]) for b in (changed, batch))
    torch.testing.assert_close(centres, before)
    # Angles between rays of one view stay, with all errors of the detections; OpenCV's homography agrees.
    turn = (changed.rotations @ batch.rotations.mT)[0, 0].numpy()
    expected = cv2.perspectiveTransform(batch.rays[0, 0, 0].numpy()[None], turn)[0]
    torch.testing.assert_close(changed.rays[0, 0, 0], torch.tensor(expected))
    axis = (changed.rotations @ batch.rotations.mT)[..., 2]  # where the old optical axis is seen
    for across in (0, 1):
        angle = torch.atan2(axis[..., across], axis[..., 2]).rad2deg()
        assert angle.std().item() == pytest.approx(10, rel=0.1)


def test_joints_are_hidden_in_a_share_of_the_views_in_all_frames_around_one() -> None:
    batch = make_batch(frames=800, window=3)
    batch = replace(batch, rays=batch.rays.nan_to_num(0.1), confidence=batch.confidence.clamp(min=0.1))
    changed = augment(batch, HIDES)
    hidden = changed.rays.isnan().any(-1)
    assert (changed.confidence[hidden] == 0).all()
    assert (hidden == hidden[:, :1]).all()
    assert not hidden[..., batch.skeleton.root_index].any()
    others = torch.arange(len(batch.skeleton)) != batch.skeleton.root_index
    part = hidden[:, 0][..., others].double().mean(-1)  # (B, V)
    number = int(others.sum())
    # With a part p from 0 to 1, none of n is hidden once in n + 1 times, and so any other number of them.
    assert (part == 0).double().mean().item() == pytest.approx(0.5 + 0.5 / (number + 1), abs=0.06)
    assert (part == 1).double().mean().item() == pytest.approx(0.5 / (number + 1), abs=0.03)
    assert part[part > 0].mean().item() == pytest.approx(0.5 + 0.5 / number, abs=0.05)
    kept = ~hidden
    torch.testing.assert_close(changed.rays[kept], batch.rays[kept])
    torch.testing.assert_close(changed.confidence[kept], batch.confidence[kept])


def test_shares_are_kept() -> None:
    batch = complete(make_batch(frames=600))
    flipped = augment(batch, AugmentationSettings(flips=0.3, virtual_cameras=0.0, aim_deg=0.0))
    share = (flipped.translations != batch.translations).any(-1).any(-1).double().mean()
    assert float(share) == pytest.approx(0.3, abs=0.08)
    moved = augment(batch, AugmentationSettings(flips=0.0, virtual_cameras=0.2, aim_deg=0.0))
    assert float((moved.rotations != batch.rotations).any(-1).any(-1).double().mean()) == pytest.approx(0.2, abs=0.06)


def test_nothing_changes_without_augmentation() -> None:
    batch = make_batch()
    assert augment(batch, AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0)) is batch

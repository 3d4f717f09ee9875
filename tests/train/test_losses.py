from dataclasses import replace
from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import least_squares
from torch import Tensor

from train.batches import complete, make_batch, truth
from trilift.errors import InputError
from trilift.geometry.cameras import distort
from trilift.project.params import parse
from trilift.train.losses import LOSSES, into_all_views, losses, switched_on, weighted_sum
from trilift.train.samples import Batch
from trilift.train.settings import GEOMETRIC, LossSettings

NORMS = ("l1", "mpjpe", "huber")
ALL = dict.fromkeys(LOSSES, 1.0)


def with_all(**changes: object) -> LossSettings:
    return LossSettings.model_validate(ALL | changes)


def predicted_for(batch: Batch, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch.visible.shape, len(batch.skeleton) - 1, 3)
    return truth(batch) + 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)


def computed(predicted: Tensor, batch: Batch, **changes: object) -> dict[str, float]:
    return {name: value.item() for name, value in losses(predicted, batch, with_all(**changes)).items()}


def size(difference: np.ndarray, norm: str, limit: float = 0.05) -> float:
    """The norm of one difference, straight from its definition."""
    if norm == "l1":
        return np.abs(difference).mean()
    length = np.linalg.norm(difference)
    if norm == "mpjpe":
        return length
    return length**2 / (2 * limit) if length < limit else length - limit / 2


class Naive:
    """The losses as loops over frames, views and joints."""

    def __init__(self, predicted: Tensor, batch: Batch, **changes: object):
        self.X, self.settings = predicted.detach().numpy(), with_all(**changes)
        self.batch = batch
        self.R, self.t, self.visible = (v.numpy() for v in (batch.rotations, batch.translations, batch.visible))
        self.Y, self.root = batch.labels.numpy(), batch.root.numpy()
        self.trust = batch.trust.numpy()[:, 1:] if self.settings.trust_labels else np.ones(self.Y.shape[:2])
        self.views = [np.flatnonzero(row) for row in self.visible]
        self.relative, self.X = self.X, self.X.copy()
        for b in np.flatnonzero(~batch.rooted.numpy()):
            labelled = np.isfinite(self.Y[b]).all(-1)
            for i in self.views[b] if labelled.any() else []:
                self.X[b, i] += self.R[b, i] @ self.Y[b, labelled].mean(0) - self.X[b, i, labelled].mean(0)

    def mean(self, entries: list[tuple[np.ndarray, float]]) -> float:
        weights = sum(weight for _, weight in entries)
        total = sum(weight * size(difference, self.settings.norm) for difference, weight in entries)
        return total / weights if weights else np.nan

    def input_triangulation(self) -> float:
        return self.mean(
            [
                (self.X[b, i, j] - self.R[b, i] @ self.Y[b, j], self.trust[b, j])
                for b in range(len(self.X))
                for i, j in product(self.views[b], range(self.X.shape[2]))
                if np.isfinite(self.Y[b, j]).all()
            ]
        )

    def multi_view_consistency(self) -> float:
        entries = []
        to_label = self.settings.consistency_target == "pseudo_label"
        for b in range(len(self.X)):
            for (i, k), j in product(permutations(self.views[b], 2), range(self.X.shape[2])):
                expected = self.R[b, k] @ self.Y[b, j] if to_label else self.X[b, k, j]
                if np.isfinite(expected).all():
                    turned = self.R[b, k] @ self.R[b, i].T @ self.X[b, i, j]
                    entries.append((turned - expected, self.trust[b, j] if to_label else 1.0))
        return self.mean(entries)

    def reprojection(self) -> float:
        rays, confidence = self.batch.rays[:, 0].numpy(), self.batch.confidence[:, 0].numpy()
        entries = []
        for b in range(len(self.X)):
            for (i, k), j in product(product(self.views[b], self.views[b]), range(self.X.shape[2])):
                detected = rays[b, k, j + 1]
                if np.isfinite(detected).all():
                    root = self.R[b, k] @ self.root[b] + self.t[b, k]
                    seen = self.R[b, k] @ self.R[b, i].T @ self.X[b, i, j] + root
                    weight = confidence[b, k, j + 1] if self.settings.trust_detections else 1.0
                    entries.append(((seen[:2] / seen[2] - detected) * root[2], weight))
        return self.mean(entries)

    def bone_symmetry(self) -> float:
        # STICK without its root: right knee, left knee, right ankle, left ankle.
        entries = []
        for b in range(len(self.X)):
            for i in self.views[b]:
                right_knee, left_knee, right_ankle, left_ankle = self.relative[b, i]
                thighs = np.linalg.norm(left_knee) - np.linalg.norm(right_knee)
                shanks = np.linalg.norm(left_ankle - left_knee) - np.linalg.norm(right_ankle - right_knee)
                entries += [(np.array([thighs]), 1.0), (np.array([shanks]), 1.0)]
        return self.mean(entries)

    def bone_constancy(self) -> float:
        poses = np.concatenate([np.zeros_like(self.X[:, :, :1]), self.relative], 2)
        parents, children = zip(*self.batch.skeleton.bone_indices, strict=True)
        lengths = np.linalg.norm(poses[:, :, list(parents)] - poses[:, :, list(children)], axis=-1)
        person = self.batch.person.numpy()
        entries = []
        for one in np.unique(person):
            own = lengths[person == one][self.visible[person == one]]
            if len(own):
                entries += [(np.array([value]), 1.0) for value in (own - own.mean(0)).ravel()]
        return self.mean(entries)


NAIVE = tuple(name for name in ALL if name != "output_triangulation")


@given(
    st.integers(0, 2**31),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(NORMS),
    st.sampled_from(("pseudo_label", "prediction")),
    st.booleans(),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_losses_are_what_their_formulas_say(
    seed: int, frames: int, views: int, norm: str, target: str, trust: bool, rooted: list[bool]
) -> None:
    batch = replace(make_batch(seed, frames, views), rooted=torch.tensor(rooted[:frames]))
    predicted = predicted_for(batch)
    changes = {"norm": norm, "consistency_target": target, "trust_labels": trust, "trust_detections": trust}
    found, naive = computed(predicted, batch, **changes), Naive(predicted, batch, **changes)
    for name in NAIVE:
        assert found[name] == pytest.approx(getattr(naive, name)(), rel=1e-9, abs=1e-8, nan_ok=True), name


def test_reprojection_in_pixels_is_a_distance_in_the_distorted_image() -> None:
    batch = make_batch(3)
    predicted = predicted_for(batch)
    found = computed(predicted, batch, reprojection_unit="pixels", norm="mpjpe", trust_detections=False)
    lens = batch.distortion
    errors = []
    for b in range(len(predicted)):
        for i, k in product(*[batch.visible[b].nonzero()[:, 0].tolist()] * 2):
            world = predicted[b, i] @ batch.rotations[b, i] + batch.root[b]
            seen = world @ batch.rotations[b, k].T + batch.translations[b, k]
            both = torch.stack([seen[:, :2] / seen[:, 2:], batch.rays[b, 0, k, 1:]])
            pixels = 1000 * distort(both[:, None], lens[b, k][None])[:, 0]
            errors += (pixels[0] - pixels[1]).norm(dim=-1).tolist()
    assert found["reprojection"] == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_the_output_is_triangulated_from_the_predictions() -> None:
    batch = complete(make_batch(1, frames=2, views=4))
    predicted = predicted_for(batch)
    settings = with_all(norm="mpjpe")
    found = losses(predicted, batch, settings)["output_triangulation"].item()
    errors = []
    for b, j in product(range(2), range(4)):
        R, t, root = batch.rotations[b].numpy(), batch.translations[b].numpy(), batch.root[b].numpy()
        in_views = predicted[b, :, j].numpy() + (R @ root + t)
        seen = in_views[:, :2] / in_views[:, 2:]
        depth_of_root = (R @ root + t)[:, 2]

        def residuals(point: np.ndarray, R=R, t=t, seen=seen, depth_of_root=depth_of_root) -> np.ndarray:
            at = R @ point + t
            return ((at[:, :2] - seen * at[:, 2:]) / depth_of_root[:, None]).ravel()

        point = least_squares(residuals, root, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
        errors += [np.linalg.norm(predicted[b, i, j].numpy() - R[i] @ (point - root)) for i in range(4)]
    assert found == pytest.approx(np.mean(errors), rel=1e-6)


@pytest.mark.parametrize("target", ["pseudo_label", "prediction"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("unit", ["metres", "pixels"])
def test_the_truth_costs_nothing(target: str, norm: str, unit: str) -> None:
    batch = complete(make_batch(frames=6))
    settings = LossSettings.model_validate(
        dict.fromkeys(GEOMETRIC, 1.0) | {"consistency_target": target, "norm": norm, "reprojection_unit": unit}
    )
    found = losses(truth(batch), batch, settings)
    assert set(found) == set(GEOMETRIC)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        dict.fromkeys(GEOMETRIC, 0.0), abs=1e-6 if unit == "pixels" else 2e-9
    )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_the_finite_differences(name: str, norm: str) -> None:
    batch = make_batch(5, frames=2)
    changes = {"norm": norm, "consistency_target": "prediction", "output_triangulation_detached": False}
    predicted = predicted_for(batch).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: losses(x, batch, with_all(**changes))[name], (predicted,), eps=1e-7, atol=1e-5, rtol=1e-4
    )


def test_a_detached_target_gets_no_gradient() -> None:
    batch = complete(make_batch(2, views=4))
    predicted = predicted_for(batch).requires_grad_()
    settings = with_all(norm="l1", **dict.fromkeys(set(ALL) - {"output_triangulation", "reprojection"}, 0.0))
    losses(predicted, batch, settings)["output_triangulation"].backward()
    # With the target given, the slope of a mean of absolute values is one over their number, up to its sign.
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad.abs(), torch.full_like(predicted, 1 / predicted.numel()))


def test_output_triangulation_starts_late() -> None:
    batch = make_batch()
    settings = with_all(output_triangulation_from=0.6)
    on = switched_on(settings, 0.59)
    assert set(ALL) - set(on) == {"output_triangulation"}
    assert tuple(losses(predicted_for(batch), batch, settings, on)) == on
    assert switched_on(settings, 0.6) == switched_on(settings) == tuple(ALL)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_what_stands_in_an_invisible_view_does_not_matter(name: str) -> None:
    batch = make_batch(2)
    unseen = ~batch.visible
    assert unseen.any()
    predicted = predicted_for(batch)
    before = computed(predicted, batch)
    predicted[unseen] = 1e3
    rotations, translations, rays = batch.rotations.clone(), batch.translations.clone(), batch.rays.clone()
    rotations[unseen], translations[unseen] = 0.0, 0.0
    rays[:, 0][unseen] = 7.0
    spoilt = replace(batch, rotations=rotations, translations=translations, rays=rays)
    assert computed(predicted, spoilt)[name] == pytest.approx(before[name], rel=1e-12)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_order_of_the_views_does_not_matter(name: str) -> None:
    batch = make_batch(4, views=4)
    predicted = predicted_for(batch)
    order = [2, 0, 3, 1]
    of_views = {
        field: getattr(batch, field)[:, order]
        for field in ("rotations", "translations", "visible", "focal", "distortion")
    }
    shuffled = replace(batch, rays=batch.rays[:, :, order], confidence=batch.confidence[:, :, order], **of_views)
    assert computed(predicted[:, order], shuffled)[name] == pytest.approx(computed(predicted, batch)[name], rel=1e-9)


def test_a_missing_label_says_nothing_about_its_joint() -> None:
    batch = make_batch(1, frames=8)
    missing = batch.labels.isnan().any(-1)
    assert missing.any()
    predicted = predicted_for(batch)
    changes = {"reprojection": 0.0}
    before = computed(predicted, batch, **changes)
    predicted.movedim(1, 2)[missing] += 1e3
    after = computed(predicted, batch, **changes)
    for name in ("input_triangulation", "multi_view_consistency"):
        assert after[name] == pytest.approx(before[name], rel=1e-12)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_where_the_label_has_no_root_a_pose_counts_by_its_shape_alone(name: str) -> None:
    batch = make_batch(1)
    predicted = predicted_for(batch)
    moved = predicted + torch.randn(*batch.visible.shape, 1, 3, dtype=torch.float64)
    without = replace(batch, rooted=torch.zeros(len(batch), dtype=torch.bool))
    assert computed(moved, without)[name] == pytest.approx(computed(predicted, without)[name], rel=1e-9)
    assert computed(moved, batch)[name] > 2 * computed(predicted, batch)[name]


def test_a_label_without_a_root_stands_for_the_same_wherever_the_root_is_thought_to_be() -> None:
    batch = make_batch(1)
    predicted = predicted_for(batch)
    poses = batch.poses.clone()
    poses[:, :, batch.skeleton.root_index] += 0.2
    here, there = (
        replace(batch, rooted=torch.zeros(len(batch), dtype=torch.bool), poses=p) for p in (batch.poses, poses)
    )
    found, again = computed(predicted, here), computed(predicted, there)
    for name in ("input_triangulation", "multi_view_consistency", "bone_symmetry"):
        assert again[name] == pytest.approx(found[name], rel=1e-9)


def test_a_single_view_has_nothing_to_agree_with() -> None:
    batch = make_batch(views=1)
    found = computed(predicted_for(batch), batch)
    assert np.isnan([found["multi_view_consistency"], found["output_triangulation"]]).all()
    assert found["input_triangulation"] > 0


def test_what_cannot_be_compared_is_not_known_and_costs_nothing() -> None:
    batch = make_batch()
    batch = replace(batch, visible=torch.zeros_like(batch.visible))
    predicted = predicted_for(batch).requires_grad_()
    found = losses(predicted, batch, with_all())
    assert all(value.isnan() for value in found.values())
    total = weighted_sum(found, with_all())
    total.backward()
    assert total == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


def test_a_loss_that_cannot_be_compared_leaves_the_others_as_they_are() -> None:
    batch = make_batch(views=1)
    gradients, poses = [], predicted_for(batch)
    for changes in ({}, {"multi_view_consistency": 0.0, "output_triangulation": 0.0}):
        predicted = poses.clone().requires_grad_()
        weighted_sum(losses(predicted, batch, with_all(**changes)), with_all(**changes)).backward()
        gradients.append(predicted.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)
    assert gradients[0].abs().max() > 0


def test_a_pose_behind_a_camera_gives_finite_slopes() -> None:
    batch = complete(make_batch(0))
    predicted = predicted_for(batch)
    predicted[0, 0, 0, 2] = -100.0
    predicted.requires_grad_()
    weighted_sum(losses(predicted, batch, with_all()), with_all()).backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_every_view_is_compared_at_the_same_root() -> None:
    """The published code centres three of four views' reprojection on the root, and the fourth not."""
    batch = complete(make_batch(0, views=4))
    found = []
    for view in range(4):
        predicted = truth(batch)
        predicted[:, view] += (
            0.05 * torch.einsum("bxy,y->bx", batch.rotations[:, view], torch.ones(3).double())[:, None]
        )
        found.append(computed(predicted, batch, norm="mpjpe")["reprojection"])
    # The same mistake in the world costs the same from whichever view it was predicted.
    assert found == pytest.approx([found[0]] * 4, rel=1e-9)


def test_poses_are_turned_into_every_view() -> None:
    batch = make_batch()
    X, R = predicted_for(batch), batch.rotations
    turned = into_all_views(X, R)
    torch.testing.assert_close(turned[1, :, 2, 0, 3], R[1, 2] @ R[1, 0].T @ X[1, 0, 3])
    for view in range(3):
        torch.testing.assert_close(turned[:, :, view, view].mT, X[:, view])


def test_weights_add_up() -> None:
    batch = make_batch()
    weights = dict(zip(ALL, (2.0, 0.5, 3.0, 0.25, 4.0, 0.125), strict=True))
    settings = LossSettings.model_validate(weights)
    values = losses(predicted_for(batch), batch, settings)
    total = sum(weights[name] * value for name, value in values.items())
    torch.testing.assert_close(weighted_sum(values, settings), total)


@pytest.mark.parametrize("number", range(1, 5))
def test_all_combinations_of_losses_have_a_slope(number: int) -> None:
    """In the published code a cascade of conditions drops losses: with all four on, the consistency is missing."""
    batch = make_batch(6)
    for names in combinations(GEOMETRIC, number):
        settings = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 0.0) | dict.fromkeys(names, 1.0))
        predicted = predicted_for(batch).requires_grad_()
        found = losses(predicted, batch, settings)
        assert set(found) == set(names)
        for value in found.values():
            (slope,) = torch.autograd.grad(value, predicted, retain_graph=True)
            assert slope.abs().sum() > 0


def test_all_losses_off_is_refused() -> None:
    nothing = dict.fromkeys(GEOMETRIC, 0.0)
    with pytest.raises(ValidationError, match="all losses are switched off"):
        LossSettings.model_validate(nothing)
    with pytest.raises(InputError, match="switched off"):
        parse(LossSettings, nothing | {"bone_symmetry": 1.0}, "params.yaml")


@pytest.mark.parametrize("values", [{"input_triangulation": -1.0}, {"consistency_target": "label"}, {"norm": "l2"}])
def test_senseless_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        parse(LossSettings, values, "params.yaml")

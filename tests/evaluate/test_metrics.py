import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation
from torch import Tensor

from synthetic import project_with_opencv, ring_of_cameras
from trilift.evaluate.metrics import (
    acceleration_error,
    aligned_joint_error,
    angle_seen_from,
    area_under_curve,
    bone_length_error,
    correct,
    correct_poses,
    joint_error,
    other_views_error,
    scaled_joint_error,
    velocity_error,
)
from trilift.formats import Camera
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.skeletons import H36M17

RIG = ring_of_cameras(4)
CAMERAS = Cameras.stack(RIG)
ROOT = H36M17.root_index


def test_the_error_is_the_distance_of_each_joint() -> None:
    predicted = torch.tensor([[0.0, 0, 0], [1, 2, 2], [5, 5, 5]])
    reference = torch.tensor([[3.0, 4, 0], [1, 2, 2], [5, torch.nan, 5]])
    error = joint_error(predicted, reference)
    assert error[:2].tolist() == [5.0, 0.0]
    assert error[2].isnan()
    assert error.nanmean().item() == 2.5


def procrustes(points: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = points - points.mean(0), onto - onto.mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    turned = rotation.apply(a)
    return (turned * b).sum() / (turned**2).sum() * turned + onto.mean(0)


@given(st.integers(0, 2**31), st.floats(0, 2))
@settings(max_examples=50)
def test_the_aligned_error_is_that_of_scipys_alignment(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(17, 3))
    predicted = Rotation.random(rng=rng).apply(reference) * 1.3 + rng.normal(size=3)
    predicted += noise * rng.normal(size=(17, 3))
    error = aligned_joint_error(torch.tensor(predicted), torch.tensor(reference))
    expected = np.linalg.norm(procrustes(predicted, reference) - reference, axis=1)
    np.testing.assert_allclose(error.numpy(), expected, atol=1e-9)


def test_the_aligned_error_is_that_of_each_pose_alone() -> None:
    rng = np.random.default_rng(0)
    predicted, reference = rng.normal(size=(2, 5, 4, 17, 3))
    error = aligned_joint_error(torch.tensor(predicted), torch.tensor(reference))
    expected = np.linalg.norm(procrustes(predicted[2, 3], reference[2, 3]) - reference[2, 3], axis=1)
    np.testing.assert_allclose(error[2, 3].numpy(), expected, atol=1e-9)


def test_a_mirrored_pose_is_not_aligned_away() -> None:
    reference = torch.randn(17, 3, dtype=torch.float64)
    mirrored = reference * torch.tensor([-1.0, 1, 1])
    error = aligned_joint_error(mirrored, reference)
    expected = np.linalg.norm(procrustes(mirrored.numpy(), reference.numpy()) - reference.numpy(), axis=1)
    np.testing.assert_allclose(error.numpy(), expected, atol=1e-9)
    assert error.mean() > 0.1


def test_a_missing_joint_takes_no_part_in_the_alignment() -> None:
    rng = np.random.default_rng(0)
    predicted, reference = torch.tensor(rng.normal(size=(2, 17, 3)))
    reference[4] = torch.nan
    error = aligned_joint_error(predicted, reference)
    known = [joint for joint in range(17) if joint != 4]
    torch.testing.assert_close(error[known], aligned_joint_error(predicted[known], reference[known]))
    assert error[4].isnan()


@pytest.mark.parametrize("known", [1, 2])
def test_a_pose_of_which_any_alignment_is_perfect_has_no_aligned_error(known: int) -> None:
    predicted, reference = torch.tensor(np.random.default_rng(0).normal(size=(2, 17, 3)))
    reference[known:] = torch.nan
    assert aligned_joint_error(predicted, reference).isnan().all()
    assert joint_error(predicted, reference)[:known].isfinite().all()


def test_a_missing_pose_has_no_error() -> None:
    predicted = torch.full((2, 17, 3), torch.nan)
    assert joint_error(predicted, torch.zeros(2, 17, 3)).isnan().all()
    assert aligned_joint_error(predicted, torch.randn(2, 17, 3)).isnan().all()


def people(frames: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Points in the world, their poses relative to the root in every view, and their exact images."""
    points = np.random.default_rng(0).normal(size=(frames, 17, 3)) * 0.3 + [0, 0, 1]
    seen = world_to_camera(CAMERAS, torch.tensor(points))
    images = np.stack([project_with_opencv(camera, points) for camera in RIG], 1)
    return torch.tensor(points), seen - seen[..., ROOT : ROOT + 1, :], torch.tensor(images)


def in_world(camera: Camera, pose: NDArray[np.float64], root: NDArray[np.float64]) -> NDArray[np.float64]:
    return root + pose @ camera.R


def test_perfect_poses_agree_with_the_other_views() -> None:
    points, poses, images = people()
    error = other_views_error(poses, points[:, ROOT], CAMERAS, images)
    assert error.shape == (3, 4, 17)
    assert error.max() < 1e-6


def test_the_error_in_other_views_is_what_opencv_projects() -> None:
    points, poses, images = people()
    generator = torch.Generator().manual_seed(0)
    poses = poses + 0.05 * torch.randn(poses.shape, generator=generator, dtype=torch.float64)
    images = images + torch.randn(images.shape, generator=generator, dtype=torch.float64)
    images[0, 1, 5] = torch.nan
    error = other_views_error(poses, points[:, ROOT], CAMERAS, images).numpy()
    for frame, view in np.ndindex(error.shape[:2]):
        world = in_world(RIG[view], poses[frame, view].numpy(), points[frame, ROOT].numpy())
        distances = [
            np.linalg.norm(project_with_opencv(RIG[other], world) - images[frame, other].numpy(), axis=-1)
            for other in range(4)
            if other != view
        ]
        np.testing.assert_allclose(error[frame, view], np.nanmean(distances, 0), atol=1e-6)


def test_the_view_itself_does_not_count() -> None:
    points, poses, images = people()
    images[:, 2] += 1000
    error = other_views_error(poses, points[:, ROOT], CAMERAS, images)
    assert error[:, 2].max() < 1e-6
    torch.testing.assert_close(error[:, [0, 1, 3]], torch.full((3, 3, 17), 1000 * 2**0.5 / 3, dtype=torch.float64))


def test_a_joint_that_no_other_view_has_seen_has_no_error() -> None:
    points, poses, images = people()
    images[1, 1:, 6] = torch.nan
    missing = other_views_error(poses, points[:, ROOT], CAMERAS, images).isnan()
    assert missing.nonzero().tolist() == [[1, 0, 6]]


def test_a_view_in_which_a_point_is_infinitely_far_does_not_count() -> None:
    points, poses, images = people()
    images[1, 3, 6] = torch.inf
    expected = images.clone()
    expected[1, 3, 6] = torch.nan
    found, others = (other_views_error(poses, points[:, ROOT], CAMERAS, pixels) for pixels in (images, expected))
    torch.testing.assert_close(found, others, equal_nan=True)


def test_without_a_pose_or_a_root_there_is_no_error() -> None:
    points, poses, images = people()
    poses[0, 1] = torch.nan
    points[2, ROOT] = torch.nan
    missing = other_views_error(poses, points[:, ROOT], CAMERAS, images).isnan().all(-1)
    assert missing.tolist() == [[False, True, False, False], [False] * 4, [True] * 4]


# --- N-MPJPE, velocities, bones, thresholds ---


@given(st.integers(0, 2**31))
@settings(max_examples=25)
def test_the_scale_is_that_of_a_brute_force_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(17, 3))
    predicted = reference * rng.uniform(0.3, 3) + 0.2 * rng.normal(size=(17, 3))
    found = minimize_scalar(
        lambda s: ((s * predicted - reference) ** 2).sum(), bracket=(0, 1), method="brent", options={"xtol": 1e-14}
    )
    expected = np.linalg.norm(found.x * predicted - reference, axis=1)
    error = scaled_joint_error(torch.tensor(predicted), torch.tensor(reference))
    # A minimum is known to the square root of the machine's precision only.
    np.testing.assert_allclose(error.numpy(), expected, atol=1e-7)
    exact = (predicted * reference).sum() / (predicted**2).sum()
    np.testing.assert_allclose(error.numpy(), np.linalg.norm(exact * predicted - reference, axis=1), atol=1e-12)


def test_missing_joints_have_no_part_in_the_scale() -> None:
    reference = torch.randn(17, 3, dtype=torch.float64)
    predicted = 2 * reference
    predicted[3] = torch.nan
    error = scaled_joint_error(predicted, reference)
    assert error[3].isnan()
    assert error[[0, 1, 2, 4]].abs().max() < 1e-12


def test_velocities_and_accelerations_of_a_hand_worked_case() -> None:
    time = torch.arange(5, dtype=torch.float64)
    still = torch.zeros(5, 1, 3, dtype=torch.float64)
    moving = still.clone()
    moving[:, 0, 0] = 0.1 * time + 0.02 * time**2  # metres, per frame
    assert velocity_error(moving, still)[:, 0].tolist() == pytest.approx([0.12, 0.16, 0.2, 0.24], abs=1e-12)
    assert acceleration_error(moving, still, fps=50)[:, 0].tolist() == pytest.approx([0.04 * 2500] * 3, abs=1e-9)
    assert velocity_error(moving + 7, moving).abs().max() < 1e-12


def test_bone_length_errors_lie_at_the_end_of_the_bone() -> None:
    reference = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 2, 1]], dtype=torch.float64)
    predicted = torch.tensor([[0.0, 0, 0], [3, 0, 4], [3, 1, 4]], dtype=torch.float64)
    error = bone_length_error(predicted, reference, ((0, 1), (1, 2)))
    assert error[0].isnan()
    assert error[1:].tolist() == pytest.approx([4, 1])


def test_pck_and_auc_of_a_hand_worked_case() -> None:
    error = torch.tensor([0.0, 0.150, 0.1500001, 0.002, torch.nan], dtype=torch.float64)
    assert correct(error, 0.150)[:4].tolist() == [100, 100, 0, 100]
    assert correct(error, 0.150)[4].isnan()
    # Thresholds 0, 5, ..., 150 mm: 31 of them.
    assert area_under_curve(error, 0.150, 30)[:4].tolist() == pytest.approx([100, 100 / 31, 0, 3000 / 31])


@given(st.integers(0, 2**31))
def test_the_area_is_the_mean_over_all_thresholds(seed: int) -> None:
    error = torch.tensor(np.random.default_rng(seed).gamma(2, 0.04, 50))
    shares = [float((error <= threshold).double().mean()) for threshold in np.arange(31) * 0.005]
    assert float(area_under_curve(error, 0.150, 30).mean()) == pytest.approx(100 * np.mean(shares), abs=1e-9)


def test_a_pose_is_correct_where_all_its_known_joints_are() -> None:
    error = torch.tensor([[0.1, 0.14], [0.1, 0.16], [torch.nan, 0.1], [torch.nan, torch.nan]])
    found = correct_poses(error, 0.150)
    assert found[:3].tolist() == [100, 0, 100]
    assert found[3].isnan()


@pytest.mark.parametrize("turned", [0, 40, 90, 180, 250])
def test_the_angle_is_that_by_which_a_person_turned_away_from_the_camera(turned: int) -> None:
    pose = torch.zeros(17, 3, dtype=torch.float64)  # the camera's axes: x right, y down, z forward
    pose[H36M17.index("thorax")] = torch.tensor([0, -0.5, 0.0])
    pose[H36M17.index("left_hip")] = torch.tensor([0.1, 0, 0.0])  # facing the camera, the left is at its right
    pose[H36M17.index("right_hip")] = torch.tensor([-0.1, 0, 0.0])
    pose = pose @ torch.tensor(Rotation.from_euler("y", turned, degrees=True).as_matrix()).T
    root = torch.tensor([0.0, 0, 4], dtype=torch.float64)
    assert float(angle_seen_from(pose, root, H36M17)) == pytest.approx(min(turned, 360 - turned), abs=1e-6)

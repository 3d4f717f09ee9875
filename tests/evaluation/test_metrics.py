import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from synthetic import project_with_opencv, ring_of_cameras
from trilift.evaluation.metrics import aligned_joint_error, joint_error, other_views_error
from trilift.formats import Camera
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.skeletons import H36M17

RIG = ring_of_cameras(4)
CAMERAS = Cameras.from_arrays({name: [getattr(c, name) for c in RIG] for name in ("K", "distortion", "R", "t")})
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


def test_without_a_pose_or_a_root_there_is_no_error() -> None:
    points, poses, images = people()
    poses[0, 1] = torch.nan
    points[2, ROOT] = torch.nan
    missing = other_views_error(poses, points[:, ROOT], CAMERAS, images).isnan().all(-1)
    assert missing.tolist() == [[False, True, False, False], [False] * 4, [True] * 4]

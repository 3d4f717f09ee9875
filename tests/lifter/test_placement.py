import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from trilift.lifter.placement import _least_squares, place


def seen(seed: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    pose = 0.4 * rng.normal(size=(17, 3))
    pose[0] = 0
    root = np.append(rng.uniform(-1, 1, 2), rng.uniform(3, 8))
    points = (pose + root)[:, :2] / (pose + root)[:, 2:] + noise * rng.normal(size=(17, 2))
    return torch.tensor(pose), torch.tensor(points), torch.tensor(rng.uniform(0.1, 1, 17)), root


@given(st.integers(0, 2**31))
@settings(max_examples=30)
def test_an_exact_pose_is_put_where_it_stands(seed: int) -> None:
    pose, points, confidence, root = seen(seed)
    assert place(pose, points, confidence).numpy() == pytest.approx(root, abs=1e-9)


def one_step(pose: torch.Tensor, points: torch.Tensor, confidence: torch.Tensor) -> np.ndarray:
    return torch.cat(_least_squares(list(pose.unbind(-1)), *points.unbind(-1), confidence)).numpy()


def test_a_step_is_the_weighted_least_squares_solution() -> None:
    pose, points, confidence, _ = seen(3, noise=0.01)
    rows, right = [], []
    for (X, Y, Z), (x, y), w in zip(pose.numpy(), points.numpy(), confidence.numpy(), strict=True):
        rows += [np.sqrt(w) * np.array([1, 0, -x]), np.sqrt(w) * np.array([0, 1, -y])]
        right += [np.sqrt(w) * (x * Z - X), np.sqrt(w) * (y * Z - Y)]
    expected = lsq_linear(np.array(rows), np.array(right), tol=1e-14).x
    assert one_step(pose, points, confidence) == pytest.approx(expected, abs=1e-9)


def test_a_joint_found_elsewhere_moves_the_pose_little() -> None:
    pose, points, confidence, root = seen(7, noise=0.001)
    points[3] += 0.2
    assert np.abs(one_step(pose, points, confidence) - root).max() > 0.1
    assert np.abs(place(pose, points, confidence).numpy() - root).max() < 0.03


def test_missing_joints_do_not_count() -> None:
    pose, points, confidence, root = seen(4)
    points[5], confidence[5] = torch.nan, 0.0
    points[6], confidence[6] = 100.0, 0.0
    pose[7] = torch.nan
    assert place(pose, points, confidence).numpy() == pytest.approx(root, abs=1e-9)


def test_poses_are_placed_one_by_one() -> None:
    several = [seen(seed) for seed in range(6)]
    stacked = [torch.stack([one[i] for one in several]).reshape(2, 3, *several[0][i].shape) for i in range(3)]
    found = place(*stacked)
    assert found.shape == (2, 3, 3)
    assert found.reshape(6, 3).numpy() == pytest.approx(np.array([one[3] for one in several]), abs=1e-9)


def test_a_single_detection_tells_no_depth() -> None:
    pose, points, confidence, _ = seen(5)
    confidence[1:] = 0.0
    assert place(pose, points, confidence).isnan().all()


def test_a_pose_that_only_fits_behind_the_camera_has_no_place() -> None:
    pose, points, confidence, _ = seen(6)
    assert place(-pose, points, confidence).isnan().all()

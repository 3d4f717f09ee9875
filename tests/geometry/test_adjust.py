"""Bundle adjustment: derivatives by finite differences, and exact detections that lead back to the truth."""

import numpy as np
import pytest
import torch

from synthetic import project_with_opencv, ring_of_cameras
from trilift.geometry.calibration.adjust import Adjustment
from trilift.geometry.calibration.equations import Estimate, Free, Observations
from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.derivatives import changed, linearise

FRAMES, KEYPOINTS, VIEWS = 5, 6, 3
BONES = [(0, 1), (1, 2), (3, 4)]
STEP = 1e-6


@pytest.fixture
def cameras():
    return Cameras.stack(ring_of_cameras(VIEWS))


@pytest.fixture
def points():
    person = np.random.default_rng(0).uniform([-0.4, -0.4, 0], [0.4, 0.4, 1.8], (KEYPOINTS, 3))
    moved = np.random.default_rng(1).uniform(-0.6, 0.6, (FRAMES, 1, 3)) * [1, 1, 0]
    return torch.as_tensor(person + moved)


def observed(points, noise_px=0.0):
    """Detections (by OpenCV's projection), one of which is missing and one far off, on a clock of their own."""
    rng = np.random.default_rng(2)
    pixels = np.stack([project_with_opencv(camera, points.numpy()) for camera in ring_of_cameras(VIEWS)], 1)
    pixels += noise_px * rng.standard_normal(pixels.shape)
    scale = rng.uniform(3, 8, pixels.shape[:3])
    scale[0, 1, 2] = np.inf
    if noise_px:
        pixels[1, 2, 3] += 80
    velocity = rng.uniform(-3, 3, pixels.shape)
    return Observations(*(torch.as_tensor(values) for values in (pixels, velocity, scale)))


def true_lengths(points):
    return torch.stack([(points[:, one] - points[:, other]).norm(dim=-1).mean().log() for one, other in BONES])


def slope(function, size):
    """Central differences of a function of numbers around 0: (..., number)."""
    columns = []
    for number in range(size):
        step = torch.zeros(size, dtype=torch.float64)
        step[number] = STEP
        columns.append((function(step) - function(-step)) / (2 * STEP))
    return torch.stack(columns, -1)


def test_points_are_projected_as_opencv_does(cameras, points):
    expected = np.stack([project_with_opencv(camera, points.numpy()) for camera in ring_of_cameras(VIEWS)], 1)
    pixels, _, _, depth = linearise(cameras, points)
    np.testing.assert_allclose(pixels, expected, atol=1e-8)
    assert depth.min() > 1


@pytest.mark.parametrize("view", range(VIEWS))
def test_derivatives_by_cameras(cameras, points, view):
    def moved(step):
        parameters = torch.zeros(VIEWS, 8, dtype=torch.float64)
        parameters[view, :7] = step
        return linearise(changed(cameras, parameters), points)[0]

    by_camera = linearise(cameras, points)[1]
    expected = slope(moved, 7)
    torch.testing.assert_close(expected[:, view], by_camera[:, view], rtol=1e-6, atol=1e-4)
    assert expected[:, [other for other in range(VIEWS) if other != view]].abs().max() == 0


def test_derivatives_by_points(cameras, points):
    expected = slope(lambda step: linearise(cameras, points + step)[0], 3)
    torch.testing.assert_close(expected, linearise(cameras, points)[2], rtol=1e-6, atol=1e-4)


def test_a_displacement_moves_the_centre_along_the_axes_of_the_camera(cameras):
    parameters = torch.zeros(VIEWS, 8, dtype=torch.float64)
    parameters[1, :6] = torch.tensor([0.1, -0.2, 0.3, 1.0, 2.0, 3.0])
    before, after = (-(rig.R.mT @ rig.t[..., None])[..., 0] for rig in (cameras, changed(cameras, parameters)))
    expected = cameras.R[1].T @ parameters[1, 3:6]
    torch.testing.assert_close(after[1] - before[1], expected)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize("focal_groups", [[-1, -1, -1], [0, 1, 1]])
def test_the_gradient_is_that_of_the_cost(cameras, points, focal_groups):
    seen = observed(points, noise_px=5.0)
    free = Free.of(focal_groups, True, range(VIEWS))
    adjustment = Adjustment(seen, BONES, free)
    late = torch.tensor([0.0, 0.4, -0.7], dtype=torch.float64)
    estimate = Estimate(cameras, late, points + 0.01 * torch.sin(100 * points), true_lengths(points) + 0.02)
    sizes = [free.number, len(BONES), points.numel()]

    def cost(step):
        of_cameras, of_bones, of_points = step.split(sizes)
        parameters = free.spread(of_cameras)
        moved = Estimate(
            changed(cameras, parameters),
            late + parameters[:, 7],
            estimate.points + of_points.reshape(points.shape),
            estimate.lengths + of_bones,
        )
        return adjustment.costs(moved).sum()

    parts = adjustment.parts(estimate, slice(0, FRAMES))
    found = torch.cat([parts.gradient, parts.pull.flatten()])
    expected = -slope(cost, sum(sizes))
    of_bones = slice(sizes[0], sizes[0] + sizes[1])
    # How much a bone is trusted goes with its length; for a step that is held.
    torch.testing.assert_close(found[of_bones], expected[of_bones], rtol=0.05, atol=0)
    found[of_bones], expected[of_bones] = 0, 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_shared_focal_lengths_and_the_first_clock_are_not_free_by_themselves():
    free = Free.of([0, -1, 0], True, [0, 1, 2])
    assert free.columns[0, 6] == free.columns[2, 6] >= 0
    assert free.columns[1, 6] == free.columns[0, 7] == -1
    assert free.number == 3 * 6 + 1 + 2
    without = Free.of([0, -1, 0], True, [1, 2])
    assert (without.columns[0] == -1).all()
    assert without.columns[1, 7] == -1


def test_exact_detections_lead_back_to_the_truth(cameras, points):
    """Up to scale, place and direction of the world; the length of a bone is not known beforehand."""
    rng = np.random.default_rng(3)
    seen = observed(points)._replace(velocity=torch.zeros(FRAMES, VIEWS, KEYPOINTS, 2, dtype=torch.float64))
    adjustment = Adjustment(seen, BONES, Free.of([-1] * VIEWS, False, range(VIEWS)))
    off = torch.as_tensor(0.02 * rng.standard_normal((VIEWS, 8))) * torch.tensor([1.0] * 6 + [0.0] * 2)
    begin = Estimate(
        changed(cameras, off),
        torch.zeros(VIEWS, dtype=torch.float64),
        points + 0.02 * torch.as_tensor(rng.standard_normal(points.shape)),
        true_lengths(points) + 0.05,
    )
    found = adjustment.improve(begin, 30, 1e-14)
    assert adjustment.costs(begin).sum() > 10
    assert adjustment.costs(found).sum() < 1e-6
    between = [rig.R[1] @ rig.R[0].T for rig in (found.cameras, cameras)]
    torch.testing.assert_close(*between, atol=1e-5, rtol=0)
    ratios = [torch.pdist(estimate[0]) / torch.pdist(estimate[0])[0] for estimate in (found.points, points)]
    torch.testing.assert_close(*ratios, atol=1e-4, rtol=0)

"""People placed by rays, against the truth and against least squares by numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from synthetic import ring_of_cameras
from trilift.geometry.cameras import Cameras
from trilift.ingest.people import placing

CAMERAS = Cameras.stack(ring_of_cameras(4))
R, T = CAMERAS.R.numpy(), CAMERAS.t.numpy()
coordinates = st.tuples(*[st.floats(-1, 1)] * 3)


def rays_of(points):
    """Project (keypoint, 3) without a lens: (view, keypoint, 2)."""
    inside = points @ R.swapaxes(1, 2) + T[:, None]
    return inside[..., :2] / inside[..., 2:]


def placed(rays, left_out=-1, expected=None, certainty=0.0, length=np.inf):
    keypoints = rays.shape[1]
    points, views = np.empty((keypoints, 3)), np.empty(keypoints, np.int64)
    expected = np.zeros((keypoints, 3)) if expected is None else expected
    placing.place(rays, R, T, left_out, expected, np.full(keypoints, certainty), length, points, views)
    return points, views


@settings(max_examples=30, deadline=None)
@given(st.lists(coordinates, min_size=1, max_size=5), st.integers(-1, 3))
def test_points_are_found_whichever_view_is_left_out(points, left_out):
    points = np.array(points)
    rays = rays_of(points)
    if left_out >= 0:
        rays[left_out] += 0.3  # must not matter
    found, views = placed(rays, left_out)
    np.testing.assert_allclose(found, points, atol=1e-6)
    assert (views == (4 if left_out < 0 else 3)).all()


def test_errors_are_weighed_as_those_of_the_image():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (20, 3))
    rays = rays_of(points) + rng.normal(0, 2e-3, (4, 20, 2))
    found, _ = placed(rays)
    for keypoint, point in enumerate(found):
        best = least_squares(lambda at, k=keypoint: (rays_of(at[None])[:, 0] - rays[:, k]).ravel(), points[keypoint])
        np.testing.assert_allclose(point, best.x, atol=2e-4)


def test_a_wrong_view_hardly_pulls_where_the_length_of_the_person_is_known():
    points = np.random.default_rng(1).uniform(-1, 1, (20, 3))
    rays = rays_of(points)
    rays[2] += [0.2, 0]
    pulled = np.linalg.norm(placed(rays)[0] - points, axis=-1).mean()
    robust = np.linalg.norm(placed(rays, length=1.7)[0] - points, axis=-1).mean()
    assert robust < 0.4 * pulled


def test_with_one_view_points_lie_on_its_ray_as_near_as_can_be_to_where_they_are_expected():
    points = np.array([[0.2, -0.1, 1.0]])
    rays = rays_of(points)
    rays[1:] = np.nan
    expected = points + np.array([0.05, 0.02, -0.03])
    (found,), views = placed(rays, expected=expected, certainty=1e-9, length=1.7)
    centre = -R[0].T @ T[0]
    direction = (points[0] - centre) / np.linalg.norm(points[0] - centre)
    nearest = centre + direction * ((expected[0] - centre) @ direction)
    np.testing.assert_allclose(found, nearest, atol=1e-5)
    assert views == [1]


@pytest.mark.parametrize(("views_that_see", "known"), [(0, True), (0, False), (1, False)])
def test_without_two_views_only_the_expectation_tells(views_that_see, known):
    expected = np.array([[0.1, 0.2, 1.1]])
    rays = rays_of(expected)
    rays[views_that_see:] = np.nan
    (found,), _ = placed(rays, expected=expected, certainty=0.25 if known else 0.0, length=1.7)
    np.testing.assert_allclose(found, expected[0] if known else [np.nan] * 3)


def test_a_detection_is_as_far_away_as_the_person_would_have_to_move():
    points = np.random.default_rng(2).uniform(-0.5, 0.5, (1, 1, 9, 3)) + np.array([0, 0, 1])
    moved = points + R[3, 0] * 0.34  # to the right, as the fourth view sees it
    rays = np.stack([rays_of(points[0, 0]), rays_of(moved[0, 0])], 1)[None]  # frame, view, detection
    slot = np.zeros((1, 1, 4), int)
    slot[..., 3] = -1
    cost = np.empty((1, 4, 2, 1))
    nowhere = np.zeros((1, 1, 9))
    placing.distances(rays, slot, R, T, np.array([1.7]), np.zeros((1, 1, 9, 3)), nowhere, cost)
    np.testing.assert_allclose(cost[0, 3, :, 0], [0, 0.2], atol=1e-6)


def test_a_part_of_a_body_counts_as_farther_away_than_a_whole_one_that_is_as_near():
    points = np.random.default_rng(3).uniform(-0.5, 0.5, (10, 3)) + np.array([0, 0, 1])
    whole = rays_of(points)
    part = whole.copy()
    part[:, 4:] = np.nan
    rays = np.stack([whole, part], 1)[None]
    cost = np.empty((1, 4, 2, 1))
    slot, nowhere = np.zeros((1, 1, 4), int), np.zeros((1, 1, 10))
    placing.distances(rays, slot, R, T, np.array([1.7]), np.zeros((1, 1, 10, 3)), nowhere, cost)
    np.testing.assert_allclose(cost[0, :, 0, 0], 0, atol=1e-6)
    assert ((cost[0, :, 1, 0] > 0.02) & (cost[0, :, 1, 0] < 0.1)).all()

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import as_tensors, project_with_opencv, ring_of_cameras
from trilift.geometry.cameras import Cameras, project, to_normalised, world_to_camera
from trilift.geometry.triangulation import reprojection_error, triangulate

VIEWS = 4
RING = as_tensors(ring_of_cameras(VIEWS))


def random_points(frames=6, keypoints=5, seed=0):
    return torch.tensor(np.random.default_rng(seed).uniform([-1, -1, 0], [1, 1, 2], (frames, keypoints, 3)))


def seen(cameras, points):
    """Exact, undistorted, normalised."""
    local = world_to_camera(cameras, points)
    return local[..., :2] / local[..., 2:]


def noisy_images(frames=6, keypoints=5, seed=0):
    rng = np.random.default_rng(seed)
    images = seen(RING, random_points(frames, keypoints, seed))
    noise = torch.tensor(rng.normal(0, 0.01, images.shape))
    return images + noise, torch.tensor(rng.uniform(0.1, 1, images.shape[:-1]))


def textbook_point(cameras, images, weights):
    """Solve the stacked 2N x 4 system of one point in its inhomogeneous form."""
    rows = []
    for R, t, (x, y), weight in zip(cameras.R.numpy(), cameras.t.numpy(), images, weights, strict=True):
        P = np.column_stack([R, t])
        rows += [weight * (x * P[2] - P[0]), weight * (y * P[2] - P[1])]
    A = np.array(rows)
    return np.linalg.lstsq(A[:, :3], -A[:, 3])[0]


@given(views=st.integers(2, 8), radius=st.floats(2, 10), seed=st.integers(0, 10**6))
@settings(max_examples=50)
def test_exact_images_give_exact_points(views, radius, seed):
    cameras, points = as_tensors(ring_of_cameras(views, radius)), random_points(seed=seed)
    weights = torch.tensor(np.random.default_rng(seed).uniform(0.05, 1, (6, views, 5)))
    found, used = triangulate(cameras, seen(cameras, points), weights)
    torch.testing.assert_close(found, points, rtol=0, atol=1e-8)
    assert (used == views).all()


def test_exact_detections_in_pixels_give_exact_points():
    points = random_points()
    pixels = torch.tensor(
        np.stack([project_with_opencv(camera, points.numpy()) for camera in ring_of_cameras(VIEWS)], 1)
    )
    found, _ = triangulate(RING, to_normalised(RING, pixels), torch.ones(pixels.shape[:-1]))
    torch.testing.assert_close(found, points, rtol=0, atol=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_noisy_points_are_those_of_the_textbook(seed):
    images, weights = noisy_images(frames=2, keypoints=3, seed=seed)
    found, _ = triangulate(RING, images, weights)
    for frame in range(2):
        for keypoint in range(3):
            expected = textbook_point(RING, images[frame, :, keypoint].numpy(), weights[frame, :, keypoint].numpy())
            np.testing.assert_allclose(found[frame, keypoint], expected, atol=1e-9)


def test_exact_points_of_two_views_are_those_of_opencv():
    cameras, points = as_tensors(ring_of_cameras(5)[:2]), random_points(frames=1)
    images = seen(cameras, points)
    first, second = torch.cat([cameras.R, cameras.t[..., None]], -1).numpy()
    homogeneous = cv2.triangulatePoints(first, second, images[0, 0].T.numpy(), images[0, 1].T.numpy())
    found, _ = triangulate(cameras, images, torch.ones(1, 2, 5))
    np.testing.assert_allclose(found[0], (homogeneous[:3] / homogeneous[3]).T, atol=1e-8)


@given(order=st.permutations(range(VIEWS)))
@settings(max_examples=24)
def test_the_order_of_the_views_does_not_matter(order):
    images, weights = noisy_images()
    cameras = ring_of_cameras(VIEWS)
    permuted, _ = triangulate(as_tensors([cameras[view] for view in order]), images[:, order], weights[:, order])
    torch.testing.assert_close(permuted, triangulate(RING, images, weights)[0], rtol=0, atol=1e-9)


def test_the_scale_of_the_weights_does_not_matter():
    images, weights = noisy_images()
    torch.testing.assert_close(
        triangulate(RING, images, 1e-3 * weights)[0], triangulate(RING, images, weights)[0], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("wild", [1e6, torch.nan, torch.inf])
@pytest.mark.parametrize("weight", [0.0, torch.nan])
def test_a_view_without_weight_changes_nothing_however_wild_its_point(wild, weight):
    images, weights = noisy_images()
    without, _ = triangulate(
        as_tensors(ring_of_cameras(VIEWS)[1:]),
        images[:, 1:],
        weights[:, 1:],
    )
    images[:, 0], weights[:, 0] = wild, weight
    found, used = triangulate(RING, images, weights)
    torch.testing.assert_close(found, without, rtol=0, atol=1e-9)
    assert (used == VIEWS - 1).all()


@pytest.mark.parametrize("missing", [[torch.nan, torch.nan], [torch.nan, 0.0], [0.0, torch.nan]])
def test_a_missing_point_does_not_count_whatever_its_weight(missing):
    images, weights = noisy_images()
    ignored = weights.clone()
    ignored[2, 1, 3] = 0
    expected, _ = triangulate(RING, images, ignored)
    images[2, 1, 3] = torch.tensor(missing).double()
    found, used = triangulate(RING, images, weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert used[2, 3] == VIEWS - 1
    assert (used == VIEWS).sum() == used.numel() - 1


@pytest.mark.parametrize("left", range(VIEWS + 1))
def test_fewer_than_two_views_give_no_point_and_all_views_that_count_are_counted(left):
    images, weights = noisy_images()
    weights[0, left:, 0] = 0
    found, used = triangulate(RING, images, weights)
    assert used.dtype == torch.int8
    assert used[0, 0] == left
    assert found[0, 0].isfinite().all() == (left >= 2)
    assert found.isnan().any(-1).sum() == (left < 2)


@pytest.mark.parametrize("size", [1, 7, 16])
def test_the_result_does_not_depend_on_the_size_of_blocks(size):
    images, weights = noisy_images(frames=50)
    whole, _ = triangulate(RING, images, weights)
    parts = [triangulate(RING, i, w)[0] for i, w in zip(images.split(size), weights.split(size), strict=True)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-9)


def test_single_precision_input_is_solved_in_double_precision():
    points = random_points()
    found, _ = triangulate(RING, seen(RING, points).float(), torch.ones(6, VIEWS, 5))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, points, rtol=0, atol=1e-5)


def test_the_reprojection_error_is_the_distance_to_opencvs_projection():
    points = random_points()
    pixels = np.random.default_rng(0).uniform(0, 1000, (6, VIEWS, 5, 2))
    expected = np.stack(
        [
            np.linalg.norm(project_with_opencv(camera, points.numpy()) - pixels[:, view], axis=-1)
            for view, camera in enumerate(ring_of_cameras(VIEWS))
        ],
        1,
    )
    np.testing.assert_allclose(reprojection_error(RING, points, torch.tensor(pixels)), expected, atol=1e-8)


def test_the_reprojection_error_is_nan_where_the_point_or_the_detection_is_missing():
    points = random_points()
    pixels = project(RING, points)
    points[0, 1] = torch.nan
    pixels[2, 3, 4] = torch.nan
    error = reprojection_error(RING, points, pixels)
    missing = torch.zeros_like(error, dtype=torch.bool)
    missing[0, :, 1] = missing[2, 3, 4] = True
    assert (error.isnan() == missing).all()
    assert error[~missing].max() < 1e-9


def test_rays_that_only_meet_behind_the_cameras_give_no_point():
    eye, zeros = torch.eye(3, dtype=torch.float64), torch.zeros(2, 5, dtype=torch.float64)
    t = torch.tensor([[0.0, 0, 0], [-1, 0, 0]], dtype=torch.float64)  # the second camera 1 m to the right
    cameras = Cameras(eye.expand(2, 3, 3), zeros, eye.expand(2, 3, 3), t)
    diverging = torch.tensor([[[[-0.1, 0.0]], [[0.1, 0.0]]]], dtype=torch.float64)
    assert triangulate(cameras, diverging, torch.ones(1, 2, 1))[0].isnan().all()
    assert triangulate(cameras, -diverging, torch.ones(1, 2, 1))[0].isfinite().all()

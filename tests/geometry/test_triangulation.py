import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from synthetic import project_with_opencv, ring_of_cameras
from trilift.geometry import chunks
from trilift.geometry.cameras import Cameras, distort_with_slopes, project
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.triangulation import linearise, reprojection_error, triangulate, triangulate_robust

VIEWS = 4
RING = Cameras.stack(ring_of_cameras(VIEWS))
CHI2_MEDIAN, CHI2_90 = 2.366, 6.251  # three degrees of freedom


def random_points(frames=6, keypoints=5, seed=0):
    return torch.tensor(np.random.default_rng(seed).uniform([-1, -1, 0], [1, 1, 2], (frames, keypoints, 3)))


def seen(cameras, points):
    """Exact pixels (frame, view, keypoint, 2) by OpenCV."""
    return torch.tensor(np.stack([project_with_opencv(camera, points.numpy()) for camera in cameras], 1))


def student_t(rng, scale, degrees=DEGREES_OF_FREEDOM):
    """Draw bivariate errors (..., 2) of a scale (...)."""
    spread = scale / np.sqrt(rng.chisquare(degrees, scale.shape) / degrees)
    return torch.tensor(spread[..., None] * rng.normal(size=(*scale.shape, 2)))


def noisy(views=VIEWS, frames=6, keypoints=5, seed=0, sizes=(2.0, 8.0), degrees=DEGREES_OF_FREEDOM):
    """Give cameras, true points, pixels with errors, and the scale of these."""
    rng = np.random.default_rng(seed)
    cameras, points = ring_of_cameras(views), random_points(frames, keypoints, seed)
    scale = rng.uniform(*sizes, (frames, views, keypoints))
    return cameras, points, seen(cameras, points) + student_t(rng, scale, degrees), torch.tensor(scale)


def unlikelihood(cameras, points, pixels, scale):
    """Negative log-likelihood (frame, keypoint) of the Student t, but for a constant; the projection is OpenCV's."""
    cost = np.zeros(points.shape[:2])
    for view, camera in enumerate(cameras):
        error = project_with_opencv(camera, np.asarray(points)) - pixels[:, view].numpy()
        standardised = np.nan_to_num((error**2).sum(-1) / scale[:, view].numpy() ** 2)
        cost += (DEGREES_OF_FREEDOM + 2) / 2 * np.log1p(standardised / DEGREES_OF_FREEDOM)
    return cost


def standard_deviation(covariance):
    """Along the worst direction."""
    return torch.linalg.eigvalsh(covariance)[..., -1].sqrt()


def textbook_point(camera_matrices, images, weights):
    """Solve the stacked 2N x 4 system of one point in its inhomogeneous form."""
    rows = []
    for P, (x, y), weight in zip(camera_matrices, images, weights, strict=True):
        rows += [weight * (x * P[2] - P[0]), weight * (y * P[2] - P[1])]
    A = np.array(rows)
    return np.linalg.lstsq(A[:, :3], -A[:, 3])[0]


def undistorted_by_opencv(camera, pixels):
    until_converged = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-14)
    flat = cv2.undistortPoints(pixels.reshape(-1, 1, 2), camera.K, camera.distortion, criteria=until_converged)
    return flat.reshape(pixels.shape)


def solve(method, cameras, pixels, scale):
    """Give the points and the number of views used by one of the methods."""
    if method == "dlt":
        return triangulate(cameras, pixels, 1 / scale)
    solution = triangulate_robust(cameras, pixels, scale)
    return solution.poses, solution.views_used


METHODS = pytest.mark.parametrize("method", ["dlt", "robust"])


@METHODS
@given(views=st.integers(2, 8), radius=st.floats(2, 10), seed=st.integers(0, 10**6), holes=st.floats(0, 0.6))
@settings(max_examples=40)
def test_exact_detections_give_exact_points_whatever_is_missing(method, views, radius, seed, holes):
    # One camera of the ring is left out: two on either side of a point do not say how far away it is.
    cameras, points = ring_of_cameras(views + 1, radius)[:views], random_points(seed=seed)
    assume(views > 2 or holes < 0.3)
    rng = np.random.default_rng(seed)
    pixels, scale = seen(cameras, points), torch.tensor(rng.uniform(0.5, 10, (6, views, 5)))
    lost = torch.tensor(rng.random((6, views, 5)) < holes)
    pixels[lost] = torch.nan
    lost |= torch.tensor(rng.random((6, views, 5)) < holes / 4)
    scale[lost] = torch.inf
    found, used = solve(method, Cameras.stack(cameras), pixels, scale)
    left = (~lost).sum(1)
    assert (used == torch.where((left >= 2) | (method == "dlt"), left, 0)).all()
    assert (found.isfinite().all(-1) == (left >= 2)).all()
    facing = opposite_only(cameras, lost)
    torch.testing.assert_close(found[(left >= 2) & ~facing], points[(left >= 2) & ~facing], rtol=0, atol=1e-7)


def opposite_only(cameras, lost):
    """Mark points that are left with two cameras on either side of them, whose rays hardly cross."""
    centres = torch.tensor(np.stack([-camera.R.T @ camera.t for camera in cameras]))
    between = torch.cdist(centres, centres) > 1.9 * centres[:, :2].norm(dim=-1).max()
    pair = between.any(1)[None, :, None] & ~lost
    return ((~lost).sum(1) == 2) & (pair.sum(1) == 2)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_noisy_points_of_the_dlt_are_those_of_the_textbook(seed):
    cameras, _, pixels, scale = noisy(frames=2, keypoints=3, seed=seed, sizes=(5, 30))
    found, _ = triangulate(RING, pixels, 1 / scale)
    matrices = [np.column_stack([camera.R, camera.t]) for camera in cameras]
    images = np.stack([undistorted_by_opencv(camera, pixels[:, v].numpy()) for v, camera in enumerate(cameras)], 1)
    for frame in range(2):
        for keypoint in range(3):
            expected = textbook_point(matrices, images[frame, :, keypoint], 1 / scale[frame, :, keypoint].numpy())
            np.testing.assert_allclose(found[frame, keypoint], expected, atol=1e-8)


def test_exact_points_of_two_views_are_those_of_opencv():
    cameras, points = ring_of_cameras(5)[:2], random_points(frames=1)
    pixels = seen(cameras, points)
    rays = [undistorted_by_opencv(camera, pixels[0, view].numpy()).T for view, camera in enumerate(cameras)]
    homogeneous = cv2.triangulatePoints(*(np.column_stack([c.R, c.t]) for c in cameras), *rays)
    found, _ = triangulate(Cameras.stack(cameras), pixels)
    np.testing.assert_allclose(found[0], (homogeneous[:3] / homogeneous[3]).T, atol=1e-8)


@METHODS
@given(order=st.permutations(range(VIEWS)))
@settings(max_examples=12)
def test_the_order_of_the_views_does_not_matter(method, order):
    cameras, _, pixels, scale = noisy(frames=20)
    permuted, _ = solve(method, Cameras.stack([cameras[v] for v in order]), pixels[:, order], scale[:, order])
    torch.testing.assert_close(permuted, solve(method, RING, pixels, scale)[0], rtol=0, atol=1e-9)


def test_by_default_all_detections_weigh_the_same():
    _, _, pixels, _ = noisy()
    pixels[0, 1, 2] = torch.nan
    torch.testing.assert_close(
        triangulate(RING, pixels)[0], triangulate(RING, pixels, torch.full(pixels.shape[:-1], 0.3))[0]
    )


def test_the_scale_of_the_weights_does_not_matter_to_the_dlt():
    _, _, pixels, scale = noisy()
    torch.testing.assert_close(
        triangulate(RING, pixels, 1e-3 / scale)[0], triangulate(RING, pixels, 1 / scale)[0], rtol=0, atol=1e-9
    )


@METHODS
@pytest.mark.parametrize("wild", [1e6, torch.nan, torch.inf])
@pytest.mark.parametrize("scale", [torch.inf, torch.nan, 0.0])
def test_a_view_without_a_scale_changes_nothing_however_wild_its_detections(method, wild, scale):
    cameras, _, pixels, scales = noisy()
    without, _ = solve(method, Cameras.stack(cameras[1:]), pixels[:, 1:], scales[:, 1:])
    pixels[:, 0], scales[:, 0] = wild, scale
    found, used = solve(method, RING, pixels, scales)
    torch.testing.assert_close(found, without, rtol=0, atol=1e-9)
    assert (used <= VIEWS - 1).all()


@METHODS
@pytest.mark.parametrize("missing", [[torch.nan, torch.nan], [torch.nan, 0.0], [0.0, torch.nan]])
def test_a_missing_detection_does_not_count_whatever_its_scale(method, missing):
    _, _, pixels, scale = noisy()
    ignored = scale.clone()
    ignored[2, 1, 3] = torch.inf
    expected, _ = solve(method, RING, pixels, ignored)
    pixels[2, 1, 3] = torch.tensor(missing).double()
    found, used = solve(method, RING, pixels, scale)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert used[2, 3] == VIEWS - 1


@METHODS
@pytest.mark.parametrize("left", range(VIEWS + 1))
def test_fewer_than_two_views_give_no_point(method, left):
    cameras, points = ring_of_cameras(VIEWS), random_points()
    pixels, scale = seen(cameras, points), torch.ones(6, VIEWS, 5)
    scale[0, left:, 0] = torch.inf
    found, used = solve(method, RING, pixels, scale)
    assert used.dtype == torch.int8
    assert used[0, 0] == (left if left >= 2 or method == "dlt" else 0)
    assert found[0, 0].isfinite().all() == (left >= 2)
    assert found.isnan().any(-1).sum() == (left < 2)


def test_where_there_is_no_point_nothing_is_said_about_it():
    cameras, points = ring_of_cameras(VIEWS), random_points()
    scale = torch.ones(6, VIEWS, 5)
    scale[1, 1:, 2] = torch.inf
    solution = triangulate_robust(RING, seen(cameras, points), scale)
    assert solution.covariance[1, 2].isnan().all()
    assert solution.error[1, :, 2].isnan().all()
    assert not solution.inlier[1, :, 2].any()
    assert solution.covariance.isnan().all((-1, -2)).sum() == 1
    assert (solution.views_used == solution.inlier.sum(1)).all()


@METHODS
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_the_result_does_not_depend_on_the_size_of_blocks(method, precision, monkeypatch):
    _, _, pixels, scale = noisy(frames=20, sizes=(5, 20))
    pixels[3, 1, 2] = torch.nan
    pixels, scale = pixels.to(precision), scale.to(precision)
    whole, _ = solve(method, RING, pixels, scale)
    for size in (1, 7, 16):
        parts = [solve(method, RING, p, s)[0] for p, s in zip(pixels.split(size), scale.split(size), strict=True)]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)
    for size in (1, 35, 64, 1000):
        monkeypatch.setattr(chunks, "_DETECTIONS_PER_CHUNK", size)
        torch.testing.assert_close(solve(method, RING, pixels, scale)[0], whole, rtol=0, atol=0)


def test_nothing_depends_on_the_size_of_chunks(monkeypatch):
    _, points, pixels, scale = noisy(frames=30)
    whole, expanded = triangulate_robust(RING, pixels, scale), linearise(RING, pixels, scale, points)
    monkeypatch.setattr(chunks, "_DETECTIONS_PER_CHUNK", 7)
    for values, expected in zip(triangulate_robust(RING, pixels, scale), whole, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
    for values, expected in zip(linearise(RING, pixels, scale, points), expanded, strict=True):
        torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)


@METHODS
def test_no_frames_give_no_points(method):
    points, used = solve(method, RING, torch.empty(0, VIEWS, 5, 2), torch.empty(0, VIEWS, 5))
    assert points.shape == (0, 5, 3)
    assert used.shape == (0, 5)


@METHODS
def test_single_precision_is_nearly_as_good_as_double(method):
    cameras, points, pixels, scale = noisy(frames=200)
    found, _ = solve(method, RING, pixels.float(), scale.float())
    assert found.dtype == torch.float64
    apart = (found - solve(method, RING, pixels, scale)[0]).norm(dim=-1)
    assert apart.quantile(0.99) < 2e-6
    assert apart.max() < 2e-3
    exact, _ = solve(method, RING, seen(cameras, points).float(), scale.float())
    torch.testing.assert_close(exact, points, rtol=0, atol=1e-5)


# Derivatives.

LENSES = st.tuples(*[st.floats(-0.3, 0.3)] * 2, *[st.floats(-0.01, 0.01)] * 2, st.floats(-0.1, 0.1))


@given(LENSES, st.integers(0, 10**6))
def test_slopes_of_the_distortion_are_finite_differences_of_opencvs(lens, seed):
    x, y = np.random.default_rng(seed).uniform(-0.7, 0.7, (2, 20))
    step = 1e-6

    def distorted(x, y):
        points = np.column_stack([x, y, np.ones(20)])
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), np.array(lens))[0][:, 0]

    by_x = (distorted(x + step, y) - distorted(x - step, y)) / (2 * step)
    by_y = (distorted(x, y + step) - distorted(x, y - step)) / (2 * step)
    coefficients = tuple(torch.tensor(lens, dtype=torch.float64))
    dx, dy, dxdx, dxdy, dydy = distort_with_slopes(torch.tensor(x), torch.tensor(y), coefficients)
    np.testing.assert_allclose(torch.stack([dx, dy], -1), distorted(x, y), atol=1e-12)
    np.testing.assert_allclose(torch.stack([dxdx, dxdy], -1), by_x, atol=1e-7)
    np.testing.assert_allclose(torch.stack([dxdy, dydy], -1), by_y, atol=1e-7)


def differences(function, points, step):
    """Central differences (frame, keypoint, ..., 3) of a function of points (frame, keypoint, 3)."""
    steps = step * np.eye(3)
    return np.stack([(function(points + along) - function(points - along)) / (2 * step) for along in steps], -1)


@given(views=st.integers(2, 6), seed=st.integers(0, 10**6), away=st.floats(0, 0.2))
@settings(max_examples=25)
def test_the_gradient_is_that_of_the_likelihood_through_opencv(views, seed, away):
    cameras, points, pixels, scale = noisy(views, frames=2, seed=seed)
    pixels[0, 0, 1], scale[1, 1, 2] = torch.nan, torch.inf
    at = points + away * torch.tensor(np.random.default_rng(seed).normal(size=points.shape))
    _, gradient = linearise(Cameras.stack(cameras), pixels, scale, at)
    expected = differences(lambda x: unlikelihood(cameras, x, pixels, scale), at.numpy(), 1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-4)


@given(views=st.integers(2, 6), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_the_normal_matrix_is_made_of_opencvs_derivatives(views, seed):
    cameras, points, pixels, scale = noisy(views, frames=2, seed=seed)
    pixels[0, 0, 1], scale[1, 1, 2] = torch.nan, torch.inf
    normal, _ = linearise(Cameras.stack(cameras), pixels, scale, points)
    expected = np.zeros(normal.shape)
    for view, camera in enumerate(cameras):
        jacobian = differences(lambda x, camera=camera: project_with_opencv(camera, x), points.numpy(), 1e-6)
        error = project_with_opencv(camera, points.numpy()) - pixels[:, view].numpy()
        squared_scale = scale[:, view].numpy() ** 2
        weight = (DEGREES_OF_FREEDOM + 2) / (DEGREES_OF_FREEDOM * squared_scale + (error**2).sum(-1))
        weight = np.where(np.isfinite(weight) & np.isfinite(squared_scale), weight, 0)
        expected += weight[..., None, None] * jacobian.swapaxes(-1, -2) @ jacobian
    np.testing.assert_allclose(normal, expected, rtol=1e-6, atol=1e-3)


def test_the_gradient_is_that_of_automatic_differentiation():
    _, points, pixels, scale = noisy(frames=3)
    at = points.clone().requires_grad_()
    standardised = ((project(RING, at) - pixels) / scale[..., None]).square().sum(-1)
    cost = (DEGREES_OF_FREEDOM + 2) / 2 * torch.log1p(standardised / DEGREES_OF_FREEDOM).sum()
    (expected,) = torch.autograd.grad(cost, at)
    torch.testing.assert_close(linearise(RING, pixels, scale, points)[1], expected, rtol=1e-9, atol=1e-8)


def test_where_nothing_was_detected_there_is_nothing_to_expand():
    _, points, pixels, scale = noisy()
    pixels[1, :, 2] = torch.nan
    normal, gradient = linearise(RING, pixels, scale, points)
    assert (normal[1, 2] == 0).all()
    assert (gradient[1, 2] == 0).all()
    assert (normal.diagonal(dim1=-2, dim2=-1).sum(-1) == 0).sum() == 1


def test_for_small_errors_the_normal_matrix_is_that_of_the_normal_distribution():
    """The curvature of the Student t at its peak is (n + 2) / n over the squared scale."""
    points = random_points()
    pixels, scale = seen(ring_of_cameras(VIEWS), points), torch.full((6, VIEWS, 5), 3.0)
    normal, gradient = linearise(RING, pixels, scale, points)
    jacobian = torch.autograd.functional.jacobian(lambda x: project(RING, x)[0, :, 0], points[:1, :1])[..., 0, 0, :]
    expected = (jacobian.mT @ jacobian).sum(0) / 9 * (DEGREES_OF_FREEDOM + 2) / DEGREES_OF_FREEDOM
    torch.testing.assert_close(normal[0, 0], expected, rtol=1e-6, atol=0)
    assert gradient.abs().max() < 1e-6


# Maximum likelihood.


@pytest.mark.parametrize("views", [3, 5])
def test_most_robust_points_are_the_likeliest_that_scipy_finds(views):
    cameras, points, pixels, scale = noisy(views, frames=8)
    solution = triangulate_robust(Cameras.stack(cameras), pixels, scale)
    best = np.empty(points.shape)
    for f in range(8):
        for j in range(5):
            one = np.s_[f : f + 1], np.s_[:], np.s_[j : j + 1]

            def cost(x, one=one):
                return unlikelihood(cameras, x[None, None], pixels[one], scale[one]).item()

            best[f, j] = minimize(cost, points[f, j].numpy(), method="BFGS", options={"gtol": 1e-5}).x
    best = torch.tensor(best)
    apart = (solution.poses - best).norm(dim=-1) / standard_deviation(solution.covariance)
    assert (apart < 0.25).double().mean() > 0.9
    assert apart.median() < 0.05
    excess = unlikelihood(cameras, solution.poses, pixels, scale) - unlikelihood(cameras, best, pixels, scale)
    assert np.mean(excess < 0.05) > 0.9


@given(views=st.integers(2, 6), seed=st.integers(0, 10**6), outliers=st.floats(0, 0.2))
@settings(max_examples=40)
def test_a_robust_point_is_no_less_likely_than_that_of_the_dlt(views, seed, outliers):
    cameras, _, pixels, scale = noisy(views + 1, seed=seed)
    cameras, pixels, scale = cameras[:views], pixels[:, :views], scale[:, :views]
    rng = np.random.default_rng(seed)
    wild = torch.tensor(rng.random(pixels.shape[:-1]) < outliers)
    pixels[wild] += torch.tensor(rng.normal(0, 100, pixels.shape))[wild]
    found = triangulate_robust(Cameras.stack(cameras), pixels, scale).poses
    plain, _ = triangulate(Cameras.stack(cameras), pixels, 1 / scale)
    known = found.isfinite().all(-1)
    assume(known.sum() > 5)
    costs = [unlikelihood(cameras, points, pixels, scale)[known] for points in (found, plain)]
    assert (costs[0] <= costs[1] + 1e-9).all()


# Outliers.


def with_wild_views(views, wild, offset, frames=200):
    """Give a rig, pixels of which some views are off, the scale, and which views (frame, wild, keypoint) are off."""
    cameras, points, pixels, scale = noisy(views, frames=frames, sizes=(3, 3.001))
    rng = np.random.default_rng(1)
    which = torch.tensor(rng.random(scale.shape).argsort(1)[:, :wild])
    away = torch.tensor(rng.normal(size=(*which.shape, 2)))
    away *= offset / away.norm(dim=-1, keepdim=True)
    return (
        Cameras.stack(cameras),
        points,
        pixels.scatter_add(1, which[..., None].expand(away.shape), away),
        scale,
        which,
    )


@pytest.mark.parametrize("offset", [60.0, 200.0, 1000.0])
@pytest.mark.parametrize("views", [4, 5])
def test_one_wild_view_is_no_inlier_and_moves_the_point_by_less_than_its_error(views, offset):
    rig, _, pixels, scale, which = with_wild_views(views, 1, offset)
    found = triangulate_robust(rig, pixels, scale)
    others = triangulate_robust(rig, pixels, scale.scatter(1, which, torch.inf))
    moved = (found.poses - others.poses).norm(dim=-1) / standard_deviation(others.covariance)
    # With an error along the line on which the other views put the point, no one can tell.
    assert (moved < 1).double().mean() > 0.97
    assert moved.nanmedian() < 0.3
    assert found.inlier.gather(1, which).double().mean() < 0.015
    assert found.inlier.scatter(1, which, True).double().mean() > 0.95


@pytest.mark.parametrize("offset", [60.0, 200.0])
@pytest.mark.parametrize("views", [6, 8])
def test_two_wild_views_are_no_inliers(views, offset):
    rig, points, pixels, scale, which = with_wild_views(views, 2, offset)
    found = triangulate_robust(rig, pixels, scale)
    plain, _ = triangulate(rig, pixels, 1 / scale)
    others = triangulate_robust(rig, pixels, scale.scatter(1, which, torch.inf))
    assert found.inlier.gather(1, which).double().mean() < 0.01
    assert found.poses.isfinite().double().mean() > 0.99
    errors = [(x - points).norm(dim=-1).nanmedian() for x in (found.poses, plain, others.poses)]
    assert errors[0] < 1.5 * errors[2]
    assert errors[1] > 2.5 * errors[2]


def test_the_error_is_the_distance_to_the_detection_also_where_it_does_not_count():
    rig, _, pixels, scale, _ = with_wild_views(4, 1, 200.0)
    scale[:, 2, 1], pixels[5, 3, 2] = torch.inf, torch.nan
    found = triangulate_robust(rig, pixels, scale)
    expected = reprojection_error(rig, found.poses, pixels)
    torch.testing.assert_close(found.error, expected, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert found.error[:, 2, 1].isfinite().double().mean() > 0.9
    assert not found.inlier[:, 2, 1].any()
    assert found.error[5, 3, 2].isnan()


def test_inliers_are_those_within_four_scales():
    rig, _, pixels, scale, _ = with_wild_views(5, 1, 20.0)
    found = triangulate_robust(rig, pixels, scale)
    known = found.poses.isfinite().all(-1)[:, None].expand(scale.shape)
    clear = ((found.error / scale - 4).abs() > 1e-6) & known
    assert (found.inlier == (found.error < 4 * scale))[clear].all()
    assert 0.05 < (~found.inlier).double().mean() < 0.5


# Covariance.


def normalised_squared_errors(views, degrees):
    cameras, points, pixels, scale = noisy(views, frames=1500, degrees=degrees, seed=5)
    found = triangulate_robust(Cameras.stack(cameras), pixels, scale)
    tested = found.inlier.all(1) & found.poses.isfinite().all(-1)
    error = (found.poses - points)[tested]
    return (error * torch.linalg.solve(found.covariance[tested], error)).sum(-1)


@pytest.mark.parametrize("views", [2, 3, 4, 6])
def test_the_covariance_is_as_large_as_the_error_of_normal_detections(views):
    squared = normalised_squared_errors(views, degrees=1e6)
    assert squared.median() == pytest.approx(CHI2_MEDIAN, rel=0.15)
    assert 0.85 < (squared < CHI2_90).double().mean() < 0.95


@pytest.mark.parametrize("views", [3, 4, 6, 8])
def test_the_covariance_is_as_large_as_the_error_of_heavy_tailed_detections_but_for_their_tails(views):
    # A handful of Student t errors is far from the limit of many: more than a tenth lie outside of the ellipsoid.
    squared = normalised_squared_errors(views, degrees=DEGREES_OF_FREEDOM)
    assert squared.median() == pytest.approx(CHI2_MEDIAN, rel=0.15)
    assert 0.8 < (squared < CHI2_90).double().mean() < 0.95


def test_the_covariance_grows_with_the_squared_scale():
    _, points, _, scale = noisy()
    exact = seen(ring_of_cameras(VIEWS), points)
    once, twice = (triangulate_robust(RING, exact, factor * scale).covariance for factor in (1, 2))
    torch.testing.assert_close(twice, 4 * once, rtol=1e-6, atol=0)
    torch.testing.assert_close(once, once.mT)


# Reprojection errors.


def test_the_reprojection_error_is_the_distance_to_opencvs_projection():
    points = random_points()
    pixels = np.random.default_rng(0).uniform(0, 1000, (6, VIEWS, 5, 2))
    expected = np.linalg.norm(seen(ring_of_cameras(VIEWS), points).numpy() - pixels, axis=-1)
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


@METHODS
def test_rays_that_only_meet_behind_the_cameras_give_no_point(method):
    eye, zeros = torch.eye(3, dtype=torch.float64), torch.zeros(2, 5, dtype=torch.float64)
    t = torch.tensor([[0.0, 0, 0], [-1, 0, 0]], dtype=torch.float64)  # the second camera 1 m to the right
    cameras = Cameras(eye.expand(2, 3, 3), zeros, eye.expand(2, 3, 3), t)
    diverging = torch.tensor([[[[-0.1, 0.0]], [[0.1, 0.0]]]], dtype=torch.float64)
    assert solve(method, cameras, diverging, torch.full((1, 2, 1), 0.01))[0].isnan().all()
    crossing, used = solve(method, cameras, -diverging, torch.full((1, 2, 1), 0.01))
    assert used == 2
    np.testing.assert_allclose(crossing[0, 0], [0.5, 0, 5], atol=1e-6)


@pytest.mark.parametrize("seen", [False, True])
def test_points_at_and_behind_a_camera_say_nothing(seen):
    cameras, points, pixels, scale = noisy(4)
    cameras, points = Cameras.stack(cameras), torch.as_tensor(points)
    centres = -(cameras.R.mT @ cameras.t.unsqueeze(-1)).squeeze(-1)
    expected = linearise(cameras, pixels, scale, points)
    strayed = points.clone()
    strayed[0, 0] = centres[1]
    strayed[0, 1] = centres[1] - 0.5 * cameras.R[1, 2]  # half a metre behind
    strayed[0, 2] = centres[1] + 1e-300
    without = scale.clone()
    without[0, 1, :3] = torch.inf
    found = linearise(cameras, pixels, scale if seen else without, strayed)
    right = linearise(cameras, pixels, without, strayed)
    for values, others, rest in zip(found, right, expected, strict=True):
        assert values.isfinite().all()
        torch.testing.assert_close(values[0, :3], others[0, :3])
        torch.testing.assert_close(values[1:], rest[1:])

"""Noise learnt from simulated detections, whose true scale is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from synthetic import project_with_opencv, ring_of_cameras
from trilift.geometry import noise
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.triangulation import triangulate_robust
from trilift.simulate.detector import DetectorModel, detect, error_scale
from trilift.skeletons import H36M17

FRAMES, KEYPOINTS = 400, 17


def scene(views, frames=FRAMES, seed=0):
    """Give cameras, true points, their exact pixels and a source of randomness."""
    rng = np.random.default_rng(seed)
    # Of a ring of an odd number: two cameras on either side of a point say nothing about a third.
    cameras = ring_of_cameras(views + (views + 1) % 2)[:views]
    points = rng.uniform([-1, -1, 0], [1, 1, 2], (frames, KEYPOINTS, 3))
    return (
        Cameras.stack(cameras),
        points,
        np.stack([project_with_opencv(camera, points) for camera in cameras], 1),
        rng,
    )


def single(*arrays):
    return tuple(torch.tensor(array).float() for array in arrays)


def student_t(rng, scale):
    spread = scale / np.sqrt(rng.chisquare(DEGREES_OF_FREEDOM, scale.shape) / DEGREES_OF_FREEDOM)
    return spread[..., None] * rng.normal(size=(*scale.shape, 2))


def simulated(views, seed=0):
    """Give cameras, pixels, confidence and true scale: 2 to 10 px, thrice that in view 1, 2.5 times in keypoint 5."""
    cameras, _, exact, rng = scene(views, seed=seed)
    confidence = rng.uniform(0.2, 1, exact.shape[:-1])
    scale = 2 + 10 * (1 - confidence)
    scale[:, 1] *= 3
    scale[:, :, 5] *= 2.5
    return cameras, *single(exact + student_t(rng, scale), confidence, scale)


@pytest.fixture(scope="module", params=[3, 4, 6])
def learnt(request):
    cameras, pixels, confidence, scale = simulated(request.param)
    return noise.learn(cameras, pixels, confidence), confidence, scale


def test_the_scale_of_the_detections_is_found(learnt):
    found, confidence, scale = learnt
    ratio = found.scale(confidence) / scale
    assert ratio.median() == pytest.approx(1, rel=0.15)
    assert ratio.quantile(0.9) / ratio.quantile(0.1) < 1.35


def test_the_scale_falls_with_confidence_as_it_does_in_truth(learnt):
    found, _, _ = learnt
    confidence = torch.tensor([0.3, 0.5, 0.7, 0.9])
    of_both = found.scale(confidence[:, None, None].expand(4, len(found.view_factor), KEYPOINTS))[:, 0, 0]
    expected = 2 + 10 * (1 - confidence)
    torch.testing.assert_close(of_both / of_both[0], expected / expected[0], rtol=0.15, atol=0)


def test_a_bad_view_and_a_bad_keypoint_are_found(learnt):
    found, _, _ = learnt
    views, keypoints = found.view_factor.numpy(), found.keypoint_factor.numpy()
    views, keypoints = views / np.delete(views, 1).mean(), keypoints / np.median(keypoints)
    assert views[1] == pytest.approx(3, rel=0.2)
    assert keypoints[5] == pytest.approx(2.5, rel=0.15)
    assert np.delete(views, 1) == pytest.approx(1, rel=0.2)
    assert np.delete(keypoints, 5) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("views", [3, 4])
def test_with_many_frames_the_scale_of_sure_detections_does_not_collapse(views):
    cameras, _, exact, rng = scene(views, 1000)
    confidence = rng.uniform(0.2, 1, exact.shape[:-1])
    scale = 2 + 10 * (1 - confidence)
    found = noise.learn(cameras, *single(exact + student_t(rng, scale), confidence))
    np.testing.assert_allclose(found.scale_px / (2 + 10 * (1 - found.confidence)), 1, atol=0.3)


def test_factors_have_the_geometric_mean_one(learnt):
    found, _, _ = learnt
    for factor in (found.view_factor, found.keypoint_factor):
        assert factor.log().mean() == pytest.approx(0, abs=1e-5)


def test_confidences_at_which_the_scale_is_known_rise(learnt):
    found, confidence, _ = learnt
    assert (found.confidence.diff() > 0).all()
    assert found.confidence.min() > confidence.min()
    assert found.confidence.max() < confidence.max()


@pytest.fixture(scope="module", params=[3, 4, 6])
def with_detector(request):
    """Detections of the simulated detector, whose errors are outside of what the solver assumes, and its noise."""
    cameras, points, exact, rng = scene(request.param)
    size = np.full((request.param, 2), 1e5)
    found = detect(exact, size, H36M17, 50.0, DetectorModel(correlation_time_s=1e-6), rng)
    pixels, confidence = single(found.pixels, found.confidence)
    return cameras, torch.tensor(points), pixels, confidence, noise.learn(cameras, pixels, confidence)


def test_the_simulated_detectors_scale_is_found_but_for_a_constant_factor(with_detector):
    # Its Student t has 3 degrees of freedom and independent coordinates, and there are outliers.
    _, _, _, confidence, found = with_detector
    detected = confidence > 0
    ratio = found.scale(confidence)[detected] / torch.tensor(error_scale(confidence[detected].numpy()))
    assert 1 < ratio.median() < 1.5
    assert ratio.quantile(0.9) / ratio.quantile(0.1) < 1.35
    np.testing.assert_allclose(found.view_factor, 1, atol=0.12)


def test_with_the_learnt_scale_the_covariance_is_as_large_as_the_error(with_detector):
    cameras, points, pixels, confidence, found = with_detector
    solution = triangulate_robust(cameras, pixels, found.scale(confidence))
    tested = (solution.inlier == (confidence > 0)).all(1) & solution.poses.isfinite().all(-1)
    error = (solution.poses - points)[tested]
    squared = (error * torch.linalg.solve(solution.covariance[tested].double(), error)).sum(-1)
    assert tested.double().mean() > 0.6
    # Of three views, two are left to learn the error of the third from: less is known about it.
    assert squared.median() == pytest.approx(2.366, rel=0.2 if len(cameras) == 3 else 0.15)
    assert 0.85 < (squared < 6.251).double().mean() < 0.95


def test_with_the_learnt_scale_points_are_better_than_with_one_scale(with_detector):
    cameras, points, pixels, confidence, found = with_detector
    scale = found.scale(confidence)
    equal = torch.where(scale < torch.inf, scale.median(), torch.inf)
    errors = [(triangulate_robust(cameras, pixels, s).poses - points).norm(dim=-1).nanmean() for s in (scale, equal)]
    assert errors[0] < 0.97 * errors[1]


def test_a_detection_without_confidence_has_no_scale(learnt):
    found, confidence, _ = learnt
    confidence = confidence[:3].clone()
    confidence[0, 1, 2] = 0
    confidence[1, 1, 2] = torch.nan
    confidence[2, 1, 2] = 1e-6
    scale = found.scale(confidence)
    assert scale[0, 1, 2] == scale[1, 1, 2] == torch.inf
    assert scale.isinf().sum() == 2
    assert scale.shape == confidence.shape


def test_the_scale_hardly_jumps_between_confidences(learnt):
    found, _, _ = learnt
    confidence = torch.linspace(0.01, 1, 2000)[:, None, None].expand(2000, len(found.view_factor), KEYPOINTS)
    steps = found.scale(confidence)[:, 0, 0].log().diff()
    assert steps.abs().max() < 0.1
    assert (steps <= 1e-6).double().mean() > 0.95


@pytest.mark.parametrize("frames", [1, 3, FRAMES])
def test_two_views_give_one_constant(frames):
    cameras, _, exact, rng = scene(2, frames)
    confidence = rng.uniform(0.2, 1, exact.shape[:-1])
    found = noise.learn(cameras, *single(exact + student_t(rng, np.full(confidence.shape, 4.0)), confidence))
    assert len(found.scale_px) == 1
    assert (found.view_factor == 1).all()
    assert (found.keypoint_factor == 1).all()
    if frames == FRAMES:
        assert found.scale_px.item() == pytest.approx(4, rel=0.25)


def test_a_detector_without_confidence_has_one_scale():
    cameras, _, exact, rng = scene(4)
    pixels, ones = single(exact + student_t(rng, np.full(exact.shape[:-1], 4.0)), np.ones(exact.shape[:-1]))
    found = noise.learn(cameras, pixels, ones)
    np.testing.assert_allclose(found.scale(ones)[0], 4, rtol=0.3)
    assert found.scale_px.item() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("views", [2, 3, 4, 8])
def test_a_few_detections_give_one_constant_of_about_the_right_size(views):
    found = []
    for seed in range(12):
        cameras, _, exact, rng = scene(views, 1, seed)
        pixels, ones = single(exact + student_t(rng, np.full(exact.shape[:-1], 4.0)), np.ones(exact.shape[:-1]))
        found.append(noise.learn(cameras, pixels, ones).scale_px)
    assert {len(scale) for scale in found} == {1}
    assert torch.cat(found).median() == pytest.approx(4, rel=0.3)


def test_no_detections_give_some_constant():
    cameras, _, exact, _ = scene(4, 50)
    found = noise.learn(cameras, torch.full(exact.shape, torch.nan), torch.zeros(exact.shape[:-1]))
    assert found.scale_px.isfinite().all()
    assert found.scale(torch.ones(exact.shape[:-1])).isfinite().all()


def test_outliers_hardly_raise_the_scale():
    cameras, _, exact, rng = scene(4)
    pixels = exact + student_t(rng, np.full(exact.shape[:-1], 4.0))
    frames = np.arange(0, FRAMES, 2)
    pixels[frames, frames // 2 % 4] += 200  # in half of the frames one of the views is off
    confidence = rng.uniform(0.5, 0.9, exact.shape[:-1])
    found = noise.learn(cameras, *single(pixels, confidence))
    assert found.scale_px.median() < 8
    assert found.view_factor.max() < 1.3 * found.view_factor.min()


def test_exact_detections_have_a_small_but_positive_scale():
    cameras, _, exact, _ = scene(4, 100)
    scale = noise.learn(cameras, *single(exact, np.ones(exact.shape[:-1]))).scale(torch.ones(exact.shape[:-1]))
    assert scale.min() > 0
    assert scale.max() == pytest.approx(0.05)


def test_missing_detections_change_little():
    cameras, pixels, confidence, scale = simulated(5)
    lost = torch.tensor(np.random.default_rng(1).random(confidence.shape) < 0.3)
    pixels[lost], confidence[lost] = torch.nan, 0
    pixels[:, 3], confidence[:, 3] = torch.nan, 0
    found = noise.learn(cameras, pixels, confidence)
    ratio = (found.scale(confidence) / scale)[confidence > 0]
    assert ratio.median() == pytest.approx(1, rel=0.15)
    assert ratio.quantile(0.9) / ratio.quantile(0.1) < 1.35


def test_a_nan_with_confidence_does_not_count():
    cameras, pixels, confidence, _ = simulated(4)
    lost = torch.tensor(np.random.default_rng(1).random(confidence.shape) < 0.1)
    pixels[lost] = torch.nan
    marked = noise.learn(cameras, pixels, torch.where(lost, 0, confidence))
    unmarked = noise.learn(cameras, pixels, confidence)
    torch.testing.assert_close(unmarked.scale_px, marked.scale_px)
    torch.testing.assert_close(unmarked.view_factor, marked.view_factor)


def test_the_same_detections_give_the_same_noise():
    cameras, pixels, confidence, _ = simulated(4)
    once, again = (noise.learn(cameras, pixels[:100], confidence[:100]) for _ in range(2))
    for name in ("confidence", "scale_px", "view_factor", "keypoint_factor"):
        assert torch.equal(getattr(once, name), getattr(again, name))


# No view draws the points to itself.


def seen_by(places, seed, frames=260, keypoints=17):
    """Give cameras at places (m) that look at people in the middle, and points that move slowly."""
    rng = np.random.default_rng(seed)
    cameras = [replace(ring_of_cameras(1)[0], R=R, t=-R @ place) for place, R in ((p, facing(p)) for p in places)]
    moved = 0.1 * slow(rng, (frames, keypoints, 3), 0.98)
    points = torch.tensor(rng.uniform([-0.4, -0.4, 0.6], [0.4, 0.4, 1.6], (keypoints, 3)) + moved)
    return Cameras.stack(cameras), points, rng


def facing(place):
    forward = np.array([0, 0, 1.1]) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def around(*degrees, distance=2.5):
    angle = np.radians(degrees)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), np.full(len(angle), 1.4)], -1)


def slow(rng, shape, correlation):
    """An AR(1) series of unit variance along the first axis."""
    innovation = rng.standard_normal(shape)
    innovation[1:] *= np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], innovation, axis=0)


def error_mm(cameras, pixels, scale, points):
    return 1e3 * float((triangulate_robust(cameras, pixels, scale).poses - points).norm(dim=-1).nanmean())


@pytest.mark.parametrize("seed", range(4))
def test_two_views_side_by_side_that_err_alike_do_not_take_the_points_to_themselves(seed):
    """Seen from nearly the same place, a keypoint is taken for nearly the same wrong spot, and all the time."""
    cameras, points, rng = seen_by(around(0, 30, 115, 230), seed)

    def wrong_spot():
        return 0.04 * (0.8 * rng.standard_normal((1, 17, 3)) + 0.6 * slow(rng, points.shape, 0.97))

    shared = wrong_spot()
    spots = [shared, shared, wrong_spot(), wrong_spot()]
    pixels = torch.stack([project(cameras, points + torch.tensor(spot))[:, v] for v, spot in enumerate(spots)], 1)
    pixels = (pixels + 4 * torch.tensor(slow(rng, pixels.shape, 0.9))).float()
    ones = torch.ones(pixels.shape[:-1])
    found = noise.learn(cameras, pixels, ones)
    assert 0.6 < found.view_factor.min() < found.view_factor.max() < 1.6
    assert found.view_share.max() < 0.45
    equal = error_mm(cameras, pixels, torch.full_like(ones, 10), points)
    assert error_mm(cameras, pixels, found.scale(ones), points) < 1.12 * equal


def test_a_frame_shown_ten_times_is_no_more_evidence_than_once_but_ten_frames_are():
    cameras, points, rng = seen_by(around(0, 90, 180, 270), 0, 16, keypoints=4)
    exact = project(cameras, points)
    size = 5 * torch.tensor([1.0, 3.0, 1.0, 1.0])[:, None, None]

    def factor(exact, error):
        pixels = (exact + size * error).float()
        return noise.learn(cameras, pixels, torch.ones(pixels.shape[:-1])).view_factor

    error = torch.tensor(rng.standard_normal((160, *exact.shape[1:])))
    once = factor(exact, error[:16])
    tenfold = exact.repeat_interleave(10, 0)
    torch.testing.assert_close(factor(tenfold, error[:16].repeat_interleave(10, 0)), once, rtol=0.02, atol=0)
    truth = size[:, 0, 0] / size.log().mean().exp()
    assert once[1] < 0.8 * truth[1]
    assert factor(tenfold, error)[1] > 0.88 * truth[1]


def test_without_evidence_a_near_view_is_as_exact_in_metres_as_the_others():
    """It shows the person twice as large, so the same error is twice as many pixels."""
    cameras, points, rng = seen_by(np.concatenate([around(0, distance=1.25), around(90, 180, 270)]), 0)
    exact = project(cameras, points)
    # An error that stays the same from the first to the last frame tells next to nothing.
    pixels = (exact + 3 * torch.tensor(rng.standard_normal(exact.shape[1:]))).float()
    factor = noise.learn(cameras, pixels, torch.ones(pixels.shape[:-1])).view_factor
    assert 1.2 < factor[0] / factor[1:].mean() < 2.2


@pytest.mark.parametrize("views", [3, 4])
def test_a_view_is_held_at_twice_the_exactness_of_the_middle_one(views):
    cameras, points, rng = seen_by(around(*np.arange(views) * 360 / (views + views % 2 - 1)), 0, 1000)
    exact = project(cameras, points)
    size = torch.full((views, 1, 1), 10.0)
    size[1] = 0.5
    pixels = (exact + size * torch.tensor(rng.standard_normal(exact.shape))).float()
    found = noise.learn(cameras, pixels, torch.ones(pixels.shape[:-1]))
    others = torch.cat([found.view_factor[:1], found.view_factor[2:]])
    assert found.view_held.tolist() == [view == 1 for view in range(views)]
    assert 0.45 < found.view_factor[1] / others.median() < 0.6
    assert found.view_share[1] > 1.5 / views


def test_the_shares_of_the_views_add_up_to_one_and_are_small_where_errors_are_large(learnt):
    found, _, _ = learnt
    assert found.view_share.sum() == pytest.approx(1)
    assert found.view_share.argmin() == 1  # the one of thrice the error
    assert not found.view_held.any()


def test_views_alike_have_even_shares():
    cameras, _, exact, rng = scene(5)
    pixels, ones = single(exact + student_t(rng, np.full(exact.shape[:-1], 4.0)), np.ones(exact.shape[:-1]))
    np.testing.assert_allclose(noise.learn(cameras, pixels, ones).view_share, 0.2, atol=0.03)


def test_of_two_views_no_share_is_known():
    cameras, _, exact, _ = scene(2, 50)
    found = noise.learn(cameras, *single(exact, np.ones(exact.shape[:-1])))
    assert found.view_share.isnan().all()
    assert not found.view_held.any()


# Correlation over time.


def correlated(correlation, frames=600):
    """Give a still scene, errors of which are an AR(1) series, its scale and its true points."""
    cameras, points, exact, rng = scene(4, 1)
    innovation = rng.standard_normal((frames, *exact.shape[1:]))
    innovation[1:] *= np.sqrt(1 - correlation**2)
    error = 4 * lfilter([1.0], [1.0, -correlation], innovation, axis=0)
    pixels = torch.tensor(exact + error)
    return cameras, pixels, torch.full(pixels.shape[:-1], 4.0), torch.tensor(points).expand(frames, -1, -1)


def follows(frames):
    return torch.arange(frames) > 0


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.4, 0.55])
def test_the_inflation_is_that_of_an_ar1_series(correlation):
    cameras, pixels, scale, points = correlated(correlation)
    expected = (1 + correlation) / (1 - correlation)
    assert noise.inflation(cameras, pixels, scale, points, follows(600)) == pytest.approx(expected, rel=0.08)
    solved = triangulate_robust(cameras, pixels, scale).poses
    assert noise.inflation(cameras, pixels, scale, solved, follows(600)) == pytest.approx(expected, rel=0.08)


def test_the_inflation_is_bounded():
    cameras, pixels, scale, points = correlated(0.95)
    assert noise.inflation(cameras, pixels, scale, points, follows(600)) == noise.MOST_INFLATION
    alternating = pixels.clone()
    alternating[1::2] = 2 * pixels[:1] - pixels[1::2]
    assert noise.inflation(cameras, alternating, scale, points, follows(600)) == 1


def test_only_frames_that_follow_each_other_tell():
    cameras, pixels, scale, points = correlated(0.5)
    assert noise.inflation(cameras, pixels, scale, points, torch.zeros(600, dtype=torch.bool)) == 1
    mixed = torch.arange(600).reshape(-1, 2).T.reshape(-1)  # of every pair the first, then the second frames
    new = noise.inflation(cameras, pixels[mixed], scale, points, torch.arange(600) % 300 == 0)
    assert new != pytest.approx(3, rel=0.3)
    # Pairs (0, 1), (2, 3), ... alone tell the same as all.
    pairs = noise.inflation(cameras, pixels, scale, points, torch.arange(600) % 2 == 1)
    assert pairs == pytest.approx(3, rel=0.1)


def test_outliers_and_missing_detections_hardly_change_the_inflation():
    cameras, pixels, scale, points = correlated(0.4)
    rng = np.random.default_rng(1)
    pixels[torch.tensor(rng.random(scale.shape) < 0.01)] += 300
    pixels[torch.tensor(rng.random(scale.shape) < 0.1)] = torch.nan
    scale[torch.tensor(rng.random(scale.shape) < 0.1)] = torch.inf
    expected = noise.inflation(*correlated(0.4), follows(600))
    assert noise.inflation(cameras, pixels, scale, points, follows(600)) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("frames", [1, 2])
def test_short_recordings_have_an_inflation(frames):
    cameras, pixels, scale, points = correlated(0.5, frames)
    assert 1 <= noise.inflation(cameras, pixels, scale, points, follows(frames)) <= noise.MOST_INFLATION

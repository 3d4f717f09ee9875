"""The simulated detector against the distributions it states, computed here with scipy.stats."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trilift.simulate.detector import LEVELS, MEAN_MISSED_RUN, Detections, DetectorModel, detect
from trilift.skeletons import BODY25B, H36M17

FPS = 50.0
SIZE = np.array([[1000, 800], [640, 480]])
CENTRE = SIZE / 2.0

CLEAN = {"outlier_share": 0.0, "missed_share": 0.0, "swapped_share": 0.0}
TABLE = ([0.1, 0.4, 0.6, 0.78, 0.9, 1.0], [45, 33.6, 25.5, 18.4, 11.7, 8])


def still(frames: int) -> np.ndarray:
    return np.broadcast_to(CENTRE[None, :, None], (frames, 2, 17, 2)).copy()


def found(model: DetectorModel, frames: int, seed: int = 0, fps: float = FPS) -> Detections:
    return detect(still(frames), SIZE, H36M17, fps, model, np.random.default_rng(seed))


def student(keypoints: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The errors of a clean detector of scale 1, freed from their dependence on confidence."""
    scale = 0.55 / 1.35 * np.interp(confidence, *TABLE) * 0.8
    return (keypoints - CENTRE[:, None]) / scale[..., None]


def test_levels() -> None:
    assert {
        "off-the-shelf": DetectorModel(1.0, 0.02, 60.0, 0.01, 0.005, 0.08),
        "fine-tuned": DetectorModel(0.5, 0.005, 60.0, 0.01, 0.005, 0.08),
    } == LEVELS


def test_marginals_are_the_stated_ones() -> None:
    # At 1 frame per second successive frames are independent.
    keypoints, confidence, _ = found(DetectorModel(**CLEAN), 2000, fps=1.0)
    inside = confidence[(confidence > 0.05) & (confidence < 0.98)]
    law = stats.beta(6, 2.2)
    assert (
        stats.kstest(inside, lambda c: (law.cdf(c) - law.cdf(0.05)) / (law.cdf(0.98) - law.cdf(0.05))).pvalue > 1e-3
    )
    assert (confidence == 0.98).mean() == pytest.approx(law.sf(0.98), abs=0.003)
    assert confidence.min() >= 0.05
    assert confidence.max() == 0.98
    errors = student(keypoints, confidence)
    for coordinate in (0, 1):
        assert stats.kstest(errors[..., coordinate].ravel(), stats.t(3).cdf).pvalue > 1e-3
    # Heavy tails, which the body of the distribution hides from that test.
    assert (np.abs(errors) > 10).mean() == pytest.approx(2 * stats.t(3).sf(10), rel=0.2)
    first = student(*found(DetectorModel(**CLEAN), 1)[:2])
    assert stats.kstest(first.ravel(), stats.t(3).cdf).pvalue > 1e-3


def test_errors_of_coordinates_and_views_are_uncorrelated() -> None:
    keypoints, confidence, _ = found(DetectorModel(**CLEAN), 3000, fps=1.0)
    normal = stats.norm.ppf(stats.t(3).cdf(student(keypoints, confidence)))
    assert abs((normal[..., 0] * normal[..., 1]).mean()) < 0.02
    assert abs((normal[:, 0] * normal[:, 1]).mean()) < 0.02
    assert abs(((confidence - confidence.mean())[..., None] * normal).mean()) < 0.02


@pytest.mark.parametrize("fps", [25.0, 50.0])
@pytest.mark.parametrize("lag", [1, 3])
def test_errors_and_confidence_are_ar1(fps: float, lag: int) -> None:
    keypoints, confidence, _ = found(DetectorModel(**CLEAN), 4000, fps=fps)
    expected = np.exp(-lag / (fps * 0.08))
    latent = stats.norm.ppf(stats.t(3).cdf(student(keypoints, confidence)))
    assert (latent[lag:] * latent[:-lag]).mean() == pytest.approx(expected, abs=0.02)
    latent = stats.norm.ppf(stats.beta(6, 2.2).cdf(confidence))
    # The clipping at 0.98 cuts a little of the latent's tail.
    capped = stats.norm.ppf(stats.beta(6, 2.2).cdf(0.98))
    assert (latent <= capped + 1e-9).all()
    correlation = np.corrcoef(latent[lag:].ravel(), latent[:-lag].ravel())[0, 1]
    assert correlation == pytest.approx(expected, abs=0.03)


def test_scale_and_outliers() -> None:
    precise = found(DetectorModel(scale=0.5, **CLEAN), 50).pixels
    coarse = found(DetectorModel(**CLEAN), 50).pixels
    np.testing.assert_allclose(2 * (precise - CENTRE[:, None]), coarse - CENTRE[:, None])
    outliers = DetectorModel(scale=0.0, outlier_share=0.1, missed_share=0, swapped_share=0)
    keypoints, _, outlier = found(outliers, 4000)
    errors = keypoints - CENTRE[:, None]
    hit = (errors != 0).any(-1)
    np.testing.assert_array_equal(outlier, hit)
    assert hit.mean() == pytest.approx(0.1, abs=0.004)
    assert stats.kstest(errors[hit].ravel(), stats.norm(0, 60).cdf).pvalue > 1e-3
    assert (hit[1:] & hit[:-1]).mean() == pytest.approx(0.01, abs=0.002)


def test_misses_come_in_runs() -> None:
    model = DetectorModel(swapped_share=0, missed_share=0.05)
    keypoints, confidence, _ = found(model, 20000)
    missed = np.isnan(keypoints[..., 0])
    assert missed.mean() == pytest.approx(0.05, abs=0.004)
    assert (confidence[missed] == 0).all()
    assert (confidence[~missed] >= 0.05).all()
    assert np.isnan(keypoints[missed]).all()
    starts = (missed[1:] & ~missed[:-1]).sum()
    assert missed[1:].sum() / starts == pytest.approx(MEAN_MISSED_RUN, rel=0.1)
    # A geometric law: of the runs, those of a single frame are as many as the mean says.
    single = (~missed[:-2] & missed[1:-1] & ~missed[2:]).sum()
    assert single / starts == pytest.approx(1 / MEAN_MISSED_RUN, rel=0.1)


def test_the_first_frame_misses_like_any_other() -> None:
    model = DetectorModel(missed_share=0.2, swapped_share=0)
    first = [np.isnan(found(model, 1, seed).pixels[..., 0]) for seed in range(300)]
    assert np.mean(first) == pytest.approx(0.2, abs=0.02)


def test_default_share_of_misses() -> None:
    keypoints = found(DetectorModel(), 20000).pixels
    assert np.isnan(keypoints[..., 0]).mean() == pytest.approx(0.01, abs=0.002)


def test_swaps_mirror_a_whole_view() -> None:
    model = DetectorModel(scale=0.0, outlier_share=0, missed_share=0, swapped_share=0.05)
    pixels = np.broadcast_to(100.0 + 10 * np.arange(17)[:, None], (8000, 2, 17, 2))
    keypoints, confidence, outlier = detect(pixels, SIZE, H36M17, FPS, model, np.random.default_rng(1))
    as_is = (keypoints == pixels).all((-1, -2))
    mirrored = (keypoints == pixels[:, :, list(H36M17.mirrored)]).all((-1, -2))
    assert (as_is ^ mirrored).all()
    assert mirrored.mean() == pytest.approx(0.05, abs=0.006)
    assert (mirrored[:, 0] & mirrored[:, 1]).mean() == pytest.approx(0.0025, abs=0.0015)
    unswapped = DetectorModel(scale=0.0, outlier_share=0, missed_share=0, swapped_share=0)
    own = detect(pixels, SIZE, H36M17, FPS, unswapped, np.random.default_rng(1)).confidence
    assert (confidence[mirrored] == own[mirrored][:, list(H36M17.mirrored)]).all()
    paired = np.array(H36M17.mirrored) != np.arange(17)
    assert paired.sum() == 12
    np.testing.assert_array_equal(outlier, mirrored[..., None] & paired)


def test_outliers_move_with_swapped_names_and_are_none_where_missing() -> None:
    swapping = DetectorModel(outlier_share=0.3, missed_share=0.1, swapped_share=0.5)
    not_swapping = replace(swapping, swapped_share=0.0)
    (keypoints, confidence, outlier), own = (found(model, 400) for model in (swapping, not_swapping))
    mirrored = list(H36M17.mirrored)
    swapped = (confidence == own.confidence[:, :, mirrored]).all(-1)
    assert swapped.mean() == pytest.approx(0.5, abs=0.05)
    missing = np.isnan(keypoints).any(-1)
    assert missing.any()
    assert not outlier[missing].any()
    paired = np.array(mirrored) != np.arange(17)
    assert (outlier | missing)[swapped][:, paired].all()
    np.testing.assert_array_equal(outlier[..., ~paired], own.outlier[..., ~paired])
    np.testing.assert_array_equal(outlier[~swapped], own.outlier[~swapped])


def test_what_is_not_in_the_image_is_missing() -> None:
    model = DetectorModel(missed_share=0, swapped_share=0)
    pixels = still(5)
    pixels[1, 0, 3] = np.nan
    pixels[2, 0, 4, 0] = -0.01
    pixels[2, 0, 5, 0] = 1000
    pixels[2, 0, 6, 1] = 800
    pixels[2, 0, 7] = 999.99, 799.99
    pixels[3, 1, 8] = 700, 100  # inside the first view's image, outside the second's
    pixels[4, 1, 9, 1] = np.nan
    keypoints, confidence, _ = detect(pixels, SIZE, H36M17, FPS, model, np.random.default_rng(0))
    missing = {tuple(map(int, place)) for place in np.argwhere(np.isnan(keypoints).all(-1))}
    assert missing == {(1, 0, 3), (2, 0, 4), (2, 0, 5), (2, 0, 6), (3, 1, 8), (4, 1, 9)}
    assert ((confidence == 0) == np.isnan(keypoints).any(-1)).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
@settings(max_examples=20)
def test_a_seed_is_a_detection(seed: int, frames: int) -> None:
    pixels = np.random.default_rng(seed).uniform(-100, 900, (frames, 2, 25, 2))
    once, again = (detect(pixels, SIZE, BODY25B, FPS, DetectorModel(), np.random.default_rng(seed)) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert a.tobytes() == b.tobytes()
    keypoints, confidence, outlier = once
    assert keypoints.shape == pixels.shape
    assert confidence.shape == outlier.shape == pixels.shape[:3]
    assert ((confidence == 0) == np.isnan(keypoints).any(-1)).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="25 keypoints"):
        detect(still(2), SIZE, BODY25B, FPS, DetectorModel(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="missed_share"):
        found(DetectorModel(missed_share=0.9), 2)

"""The simulated 2D keypoint detector: the one model of detection errors in this project.

    confidence ~ Beta(6, 2.2) clipped to 0.05-0.98
    error in x and y = s(confidence) x 0.8 x Student t with 3 degrees of freedom, s = 0.55 / 1.35 x the table
        interpolated over confidence (0.1: 45, 0.4: 33.6, 0.6: 25.5, 0.78: 18.4, 0.9: 11.7, 1: 8 px)
    2 % of the detections get a further N(0, 60 px) in each coordinate
    errors and confidence are AR(1) over time with a correlation time of 0.08 s
    1 % of joints missed, in runs; 0.5 % of frames with left and right swapped (per view, all joints)
    joints outside the image are missing

The table was measured on real OpenPose recordings.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter
from scipy.special import betaincinv, ndtr, stdtrit

from trilift.skeletons import Skeleton

CONFIDENCE_BETA = (6.0, 2.2)
CONFIDENCE_RANGE = (0.05, 0.98)

ERROR_TABLE = {0.1: 45.0, 0.4: 33.6, 0.6: 25.5, 0.78: 18.4, 0.9: 11.7, 1.0: 8.0}
"""Size of the error (px) over confidence, measured on real OpenPose recordings; constant below the first."""

ERROR_FACTOR = 0.55 / 1.35 * 0.8
"""What the table is multiplied by to give the scale of the Student t."""

ERROR_DEGREES_OF_FREEDOM = 3.0

MEAN_MISSED_RUN = 5.0
"""Mean length of a run of missed detections (frames)."""

# The quantile functions over a standard normal latent. Both are smooth, so splines through them agree with
# scipy's to nine digits, at a tenth of the time. The Student t comes from its lower tail by symmetry: in the
# upper one the probability runs out of digits.
_LATENT = np.linspace(-9, 9, 4609)
_STUDENT_T = CubicSpline(_LATENT, -np.sign(_LATENT) * stdtrit(ERROR_DEGREES_OF_FREEDOM, ndtr(-np.abs(_LATENT))))
_BETA = CubicSpline(_LATENT, betaincinv(*CONFIDENCE_BETA, ndtr(_LATENT)))


@dataclass(frozen=True)
class DetectorModel:
    """How good a detector is; the defaults are one used off the shelf.

    Parameters
    ----------
    scale
        Factor on the Student t errors (outliers stay as they are).
    outlier_share
        Share of detections with a further normal error.
    outlier_px
        Standard deviation of that further error in each coordinate (px).
    missed_share
        Share of the joints missed, in runs of `MEAN_MISSED_RUN` frames on average.
    swapped_share
        Share of the frames of a view with left and right swapped.
    correlation_time_s
        Time (s) after which the correlation of errors, and of confidence, has fallen to 1/e.
    """

    scale: float = 1.0
    outlier_share: float = 0.02
    outlier_px: float = 60.0
    missed_share: float = 0.01
    swapped_share: float = 0.005
    correlation_time_s: float = 0.08


LEVELS = {
    "off-the-shelf": DetectorModel(),
    "fine-tuned": DetectorModel(scale=0.5, outlier_share=0.005),
}


class Detections(NamedTuple):
    """What a simulated detector found, and what only a simulation knows.

    Attributes
    ----------
    pixels
        (frames, views, keypoints, 2) px, NaN where missing.
    confidence
        (frames, views, keypoints), 0-1, 0 where missing.
    outlier
        (frames, views, keypoints), True where the error holds more than the Student t: detections with the further
        normal error, and left and right keypoints of a swapped frame. False where missing.
    """

    pixels: np.ndarray
    confidence: np.ndarray
    outlier: np.ndarray


def detect(
    pixels: np.ndarray,
    image_size: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    model: DetectorModel,
    rng: np.random.Generator,
) -> Detections:
    """Detect keypoints, with errors.

    Errors and confidence follow Gaussian copulas: stationary AR(1) Gaussian series, mapped to the quantiles
    of the Student t and the Beta, so that the distribution in each frame is exactly the stated one.

    Parameters
    ----------
    pixels
        (frames, views, keypoints, 2), true image positions (px), NaN where there is none.
    image_size
        (views, 2), width and height (px). What lies outside of 0 <= x < width, 0 <= y < height is missing;
        the true position decides, so a detection near the border may come to lie outside by its error.
    skeleton
        Names the left and right keypoints that swaps exchange.
    fps
        Frames per second.
    model
        How good the detector is, for instance one of `LEVELS`.
    rng
        Source of all randomness.

    Returns
    -------
    Detections
        Keypoints, confidence and which are outliers.

    Examples
    --------
    >>> from trilift.skeletons import H36M17
    >>> pixels = np.full((100, 4, 17, 2), 500.0)
    >>> size = np.full((4, 2), 1000)
    >>> found = detect(pixels, size, H36M17, 50, DetectorModel(), np.random.default_rng(0))
    >>> found.pixels.shape, found.confidence.shape
    ((100, 4, 17, 2), (100, 4, 17))
    """
    pixels = np.asarray(pixels, float)
    image_size = np.asarray(image_size, float)
    frames, views, keypoints = pixels.shape[:3]
    if keypoints != len(skeleton) or image_size.shape != (views, 2) or pixels.shape[3:] != (2,):
        raise ValueError(f"pixels {pixels.shape}, image_size {image_size.shape}, {len(skeleton)} keypoints")

    correlation = np.exp(-1 / (fps * model.correlation_time_s))
    confidence = _confidence(_ar1((frames, views, keypoints), correlation, rng))
    student_t = _STUDENT_T(_ar1(pixels.shape, correlation, rng))
    error = model.scale * error_scale(confidence)[..., None] * student_t

    outlier = rng.random((frames, views, keypoints)) < model.outlier_share
    error += outlier[..., None] * model.outlier_px * rng.standard_normal(pixels.shape)

    with np.errstate(invalid="ignore"):
        visible = np.all((pixels >= 0) & (pixels < image_size[:, None]), -1)
    missing = ~visible | _missed((frames, views, keypoints), model.missed_share, rng)
    pixels = np.where(missing[..., None], np.nan, pixels + error)
    confidence = np.where(missing, 0.0, confidence)

    # A swapped frame is the right picture with the wrong names, so gaps, confidence and outliers move along.
    swapped = rng.random((frames, views)) < model.swapped_share
    mirrored = list(skeleton.mirrored)
    paired = np.array(mirrored) != np.arange(keypoints)
    pixels = np.where(swapped[..., None, None], pixels[:, :, mirrored], pixels)
    confidence = np.where(swapped[..., None], confidence[:, :, mirrored], confidence)
    outlier = np.where(swapped[..., None], paired | outlier[:, :, mirrored], outlier) & (confidence > 0)
    return Detections(pixels, confidence, outlier)


def error_scale(confidence: np.ndarray) -> np.ndarray:
    """Scale (px) of the Student t errors of a detector with ``scale`` 1 at given confidences.

    Examples
    --------
    >>> error_scale(np.array([0.1, 1.0])).round(2)
    array([14.67,  2.61])
    """
    return ERROR_FACTOR * np.interp(confidence, list(ERROR_TABLE), list(ERROR_TABLE.values()))


def _confidence(latent: np.ndarray) -> np.ndarray:
    return np.clip(_BETA(latent), *CONFIDENCE_RANGE)


def _ar1(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Draw stationary standard normal AR(1) series along the first axis."""
    innovation = rng.standard_normal(shape)
    # The first frame is drawn from the stationary law, so there is no burn-in.
    innovation[1:] *= np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], innovation, axis=0)


def _missed(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw stationary two-state Markov chains along the first axis: True where missed."""
    found_again = 1 / MEAN_MISSED_RUN
    if not 0 <= share <= 1 - found_again:
        raise ValueError(f"missed_share is {share}: not within 0 and {1 - found_again:.2f}")
    lost = share * found_again / (1 - share)
    # One uniform number decides what follows either state: below `lost` both go to missed, from
    # `1 - found_again` on both go to found, and in between both stay. So the last frame where they did not
    # stay tells the state.
    uniform = rng.random(shape)
    becomes_missed = uniform < lost
    becomes_missed[:1] = uniform[:1] < share
    decided = becomes_missed | (uniform >= 1 - found_again)
    decided[:1] = True
    frame = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    last_decided = np.maximum.accumulate(np.where(decided, frame, 0), axis=0)
    return np.take_along_axis(becomes_missed, last_decided, axis=0)

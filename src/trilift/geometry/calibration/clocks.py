"""By how many frames views are out of time, told from how people move in each image, before cameras are known."""

from itertools import combinations

import numpy as np
from scipy.ndimage import uniform_filter1d

from trilift.skeletons import H36M17, Skeleton, mapping

Array = np.ndarray

_SMOOTHED_S = 0.1
_SHORTEST_S = 1.0  # of a stretch that can be compared
_BOUND = 3.0  # median sizes: what is faster is an error of the detector
_ROUNDS = 10
_HARDLY = 1e-9


def clocks(
    pixels: Array, confidence: Array, segments: Array, skeleton: Skeleton, fps: float, most_frames: int
) -> Array:
    """Estimate by how many whole frames views are late against the first.

    Parameters
    ----------
    pixels, confidence
        (frame, view, keypoint, 2) and (frame, view, keypoint).
    segments
        (frame,): frames of equal number are consecutive in time.
    skeleton
        Layout of the keypoints.
    fps
        Frames per second.
    most_frames
        By how many frames any two views may differ.

    Returns
    -------
    numpy.ndarray
        (view,) int.

    Notes
    -----
    What rises and falls along the body's own axis does so in every view, from wherever it looks (the speeds along it
    are what Pose2Sim's synchronisation compares). The speeds of all keypoints are correlated over all lags, for every
    pair of views; the offsets maximise the sum of these correlations, found by changing one view at a time, starting
    with the pair that agrees most.
    """
    views = pixels.shape[1]
    motions = [_rising(pixels[:, view], confidence[:, view], segments, skeleton, fps) for view in range(views)]
    stretches = [
        np.flatnonzero(segments == number) for number in np.unique(segments) if _long(segments == number, fps)
    ]
    longest = max((len(frames) for frames in stretches), default=0)
    reach = min(most_frames, longest // 3)
    if not reach:
        return np.zeros(views, int)
    curves = np.zeros((views, views, 2 * reach + 1))
    for one, other in combinations(range(views), 2):
        curve = sum(_correlation(motions[one][frames], motions[other][frames], reach) for frames in stretches)
        size = np.sqrt((motions[one] ** 2).sum() * (motions[other] ** 2).sum())
        curves[one, other] = curve / max(size, 1e-12)
        curves[other, one] = curves[one, other][::-1]
    return _agree(curves, reach)


def _long(belongs: Array, fps: float) -> bool:
    return bool(belongs.sum() >= _SHORTEST_S * fps)


def _rising(pixels: Array, confidence: Array, segments: Array, skeleton: Skeleton, fps: float) -> Array:
    """Speeds (frame, keypoint) along the body's axis, in sizes of the body per frame; 0 where not known."""
    seen = np.where((confidence > 0)[..., None], pixels, np.nan)
    joints = mapping(skeleton, H36M17).apply(seen)
    trunk = joints[:, H36M17.index("thorax")] - joints[:, H36M17.index("pelvis")]
    trunk = trunk[np.isfinite(trunk).all(-1)]
    axis = np.median(trunk, 0) if len(trunk) else np.array([0.0, -1.0])
    size = float(np.linalg.norm(axis)) or 1.0
    along = seen @ (axis / size) / size
    width = max(1, round(_SMOOTHED_S * fps))
    step = along[2 * width :] - along[: -2 * width]
    step[segments[2 * width :] != segments[: -2 * width]] = np.nan
    known = np.isfinite(step)
    speed = np.zeros(along.shape)
    if known.any():
        mean = np.where(known, step, 0).sum(0) / np.maximum(known.sum(0), 1)
        bound = _BOUND * np.median(np.abs(step[known]))
        speed[width:-width] = np.where(known, step - mean, 0).clip(-bound, bound)
    return uniform_filter1d(speed, width, axis=0)


def _correlation(one: Array, other: Array, reach: int) -> Array:
    """Sum of products (2 reach + 1,) of one at t and the other at t + lag, over frames and keypoints."""
    length = 1 << int(np.ceil(np.log2(len(one) + reach + 1)))
    product = np.fft.rfft(one, length, axis=0).conj() * np.fft.rfft(other, length, axis=0)
    whole = np.fft.irfft(product.sum(1), length)
    return np.concatenate([whole[-reach:], whole[: reach + 1]])


def _agree(curves: Array, reach: int) -> Array:
    """Choose the offsets (view,) whose differences have the largest sum over the curves (view, view, lag)."""
    views = len(curves)
    late, placed = np.zeros(views, int), []
    one, other = np.unravel_index(curves.max(2).argmax(), (views, views))
    placed = [int(one)]
    late[other] = curves[one, other].argmax() - reach

    def best(view: int, others: list[int]) -> int:
        lags = np.arange(-reach, reach + 1)
        total = np.zeros(2 * reach + 1)
        for known in others:
            index = lags + reach - late[known]
            inside = (index >= 0) & (index <= 2 * reach)
            total[inside] += curves[known, view][index[inside]]
            total[~inside] -= 1.0  # farther apart than any two may be
        return int(lags[(total - _HARDLY * np.abs(lags)).argmax()])  # where nothing tells, in time

    while len(placed) < views:
        rest = [view for view in range(views) if view not in placed]
        nearest = max(rest, key=lambda view: max(curves[known, view].max() for known in placed))
        late[nearest] = best(nearest, placed)
        placed.append(nearest)
    for _ in range(_ROUNDS):
        before = late.copy()
        for view in range(views):
            late[view] = best(view, [known for known in range(views) if known != view])
        if (late == before).all():
            break
    return late - late[0]

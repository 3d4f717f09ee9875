"""Who is who in one view: people are followed over time, in a recording with hindsight, live frame by frame.

No other view tells here who is who. A person is followed by the place and the size of their detections alone: two
people who are exchanged while one hides the other are not told apart.
"""

import logging

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trilift.geometry.epipolar import lower_median
from trilift.geometry.tracks import FEWEST_COMMON, are_there, link, sizes

log = logging.getLogger(__name__)

Array = np.ndarray

_LONGEST_S = 2.0  # so long people may be unseen, and are still those who were there
_STEP = 0.2  # how far a person moves from frame to frame, in units of the diagonal of the box around their keypoints
_SPEED = 2.0  # and per second beyond that
_FARTHEST = 1.0  # but never more
_LIKE = 1.5  # times as large a person may be when seen again
_SHORTEST_S = 0.5  # in a recording people are seen for at least so long, or half of it
_UNSURE = 0.3  # share of the score of the surest person
_RECENT_S = 0.25  # a keypoint that was seen so long ago still tells where somebody is
_SURE_AFTER_S = 0.1  # live, people are seen so long before they count
_PAIRS_AT_ONCE = 4096


def follow(pixels: Array, confidence: Array | None = None, fps: float = 30.0) -> Array:
    """Follow everybody in one view of a recording.

    Detections that lie close together in successive frames form a track. Tracks are joined where one begins at most 2
    seconds after another ended, about where that was and about as large, the nearest first. Who is seen for less than
    half a second (or half of the recording, if that is shorter), or with less than 0.3 times the confidence of the
    surest (the mean from first to last, 0 where unseen), is left out, and a message says so: reflections, shadows,
    parts of somebody.

    Parameters
    ----------
    pixels
        (frame, person, keypoint, 2), as detected; NaN is missing. The order of people means nothing.
    confidence
        (frame, person, keypoint); by default 1.
    fps
        Frames per second.

    Returns
    -------
    numpy.ndarray
        (person, frame): index on the axis of people in `pixels`, -1 where the person is not seen. People are in the
        order of their first frame, those of one frame the surest first.

    Examples
    --------
    Two people, who change places in the file in every frame:

    >>> pixels = np.tile([[1.0, 1.0], [1.0, 9.0], [5.0, 1.0], [5.0, 9.0]], (3, 2, 1, 1))
    >>> pixels[:, 1] += 100
    >>> pixels[1] = pixels[1, ::-1]
    >>> follow(pixels).tolist()
    [[0, 1, 0], [1, 0, 1]]
    """
    exists = are_there(pixels)
    if not exists.any():
        return np.empty((0, len(pixels)), int)
    sure = np.isfinite(pixels).all(-1).astype(np.float32) if confidence is None else confidence
    size = sizes(pixels)
    frame, which = np.nonzero(exists)
    track = link(pixels, size, exists)[exists]
    person = _join(track, frame, pixels[exists], fps)[track]
    frames, total = np.bincount(person), np.bincount(person, sure.sum(-1)[exists])
    surest = total.argmax()
    first, last = (np.unique(person[::way], return_index=True)[1] for way in (1, -1))  # of detections, by frame
    mean = total / (frame[::-1][last] - frame[first] + 1)
    kept = (frames >= min(_SHORTEST_S * fps, len(pixels) / 2)) & (mean >= _UNSURE * mean[surest])
    kept[surest] = True
    if not kept.all():
        log.info(
            "%d more are left out who are seen for less than %g s or hardly, in %d detections in all",
            (~kept).sum(),
            _SHORTEST_S,
            frames[~kept].sum(),
        )
    order = np.lexsort((-total, frame[first]))
    order = order[kept[order]]
    row = np.full(len(kept), -1)
    row[order] = np.arange(len(order))
    seen = np.full((len(order), len(pixels)), -1)
    shown = kept[person]
    seen[row[person[shown]], frame[shown]] = which[shown]
    return seen


def pick(pixels: Array, confidence: Array | None, which: Array) -> tuple[Array, Array | None]:
    """Take one person's detections.

    Parameters
    ----------
    pixels, confidence
        (frame, person, keypoint, 2) and (frame, person, keypoint) or None.
    which
        (frame,): index on the axis of people, a row of what `follow` gives.

    Returns
    -------
    pixels, confidence
        (frame, keypoint, 2), NaN where -1, and (frame, keypoint), 0 there, or None.
    """
    rows, missing = np.arange(len(which)), which < 0
    chosen = np.where(missing[:, None, None], np.nan, pixels[rows, which])
    return chosen, None if confidence is None else np.where(missing[:, None], 0, confidence[rows, which])


def _join(track: Array, frame: Array, poses: Array, fps: float) -> Array:
    """Give the person of each track; tracks, frames and poses (detection, keypoint, 2) are in the order of frames."""
    number = track.max() + 1
    begins, ends = (_at_the_end(track[::way], poses[::way], round(_RECENT_S * fps)) for way in (-1, 1))
    first = np.unique(track, return_index=True)[1]
    last = len(track) - 1 - np.unique(track[::-1], return_index=True)[1]
    start, end = frame[first], frame[last]
    by_start = np.argsort(start, kind="stable")
    low, high = (np.searchsorted(start[by_start], end + more, "right") for more in (0, int(_LONGEST_S * fps)))
    one = np.repeat(np.arange(number), high - low)
    within = np.arange(len(one)) - np.repeat((high - low).cumsum() - (high - low), high - low)
    other = by_start[np.repeat(low, high - low) + within]
    apart = np.concatenate(
        [
            np.where(
                _alike(ends[one[part]], begins[other[part]]), _apart(ends[one[part]], begins[other[part]]), np.inf
            )
            for part in np.split(np.arange(len(one)), np.arange(_PAIRS_AT_ONCE, len(one), _PAIRS_AT_ONCE))
        ]
    )
    near = apart < _reach((start[other] - end[one]) / fps)
    joined = _nearest_first(one[near], other[near], apart[near])
    graph = coo_array((np.ones(len(joined), bool), tuple(joined.T)), (number, number))
    return connected_components(graph, directed=False)[1]


def _at_the_end(track: Array, poses: Array, most: int) -> Array:
    """Give the pose at the end of each track (track, keypoint, 2): each keypoint where it was last in so many frames.

    What was missing at the very end is carried along with what was there.
    """
    order = np.argsort(track, kind="stable")
    end = np.searchsorted(track[order], np.arange(track.max() + 1), "right") - 1
    pose = poses[order[end]].copy()
    for back in range(1, most + 1):
        before = np.maximum(end - back, 0)
        belongs = track[order[before]] == np.arange(len(end))
        pose = np.where(belongs[:, None, None], _completed(pose, poses[order[before]]), pose)
    return pose


def _completed(pose: Array, before: Array) -> Array:
    """Complete poses (..., keypoint, 2) by earlier ones, which are moved as those keypoints were that both have."""
    return np.where(np.isfinite(pose), pose, before + _middle(pose - before)[..., None, :])


def _reach(seconds: Array) -> Array:
    return np.minimum(_STEP + _SPEED * seconds, _FARTHEST)


def _apart(one: Array, other: Array) -> Array:
    """Tell how far apart poses (..., keypoint, 2) are, in units of the larger."""
    between = one - other
    distance = lower_median(np.hypot(between[..., 0], between[..., 1]), FEWEST_COMMON)
    return distance / np.maximum(sizes(one), sizes(other))


def _alike(one: Array, other: Array) -> Array:
    """Tell whether poses (..., keypoint, 2) are about as large, by the keypoints that both have.

    The boxes around them tell, or the median distances from the middle, which single keypoints do not change.
    """
    shared = np.isfinite(one + other).all(-1, keepdims=True)
    both = [np.where(shared, poses, np.nan) for poses in (one, other)]
    times = [np.divide(*(size(poses) for poses in both)) for size in (sizes, _spread)]
    return np.abs(np.log(times)).min(0) < np.log(_LIKE)


def _spread(poses: Array) -> Array:
    off = poses - _middle(poses)[..., None, :]
    return np.clip(lower_median(np.hypot(off[..., 0], off[..., 1])), 1.0, 1e9)


def _middle(points: Array) -> Array:
    """Give the medians (..., 2) of points (..., point, 2); 0 where none is known."""
    middle = np.stack([lower_median(points[..., axis]) for axis in (0, 1)], -1)
    return np.where(np.isfinite(middle), middle, 0)


def _nearest_first(one: Array, other: Array, apart: Array) -> Array:
    """Choose of pairs those to be made (pair, 2): the nearest first, none of either twice."""
    chosen: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = set(), set()
    order = np.argsort(apart, kind="stable")
    for a, b in zip(one[order].tolist(), other[order].tolist(), strict=True):
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            chosen.append((a, b))
    return np.array(chosen, int).reshape(-1, 2)


class Follower:
    """The causal form of `follow`: follows everybody in one view frame by frame.

    A person counts who was seen for a tenth of a second, and is forgotten who was unseen for 2 seconds.

    Parameters
    ----------
    fps
        Frames per second.

    Attributes
    ----------
    people
        Numbers of those who are followed and count, in order.
    """

    def __init__(self, fps: float):
        self._fps = fps
        self._poses = np.empty((0, 0, 2))  # of tracks, as last seen
        self._unseen, self._seen, self._number = (np.zeros(0, int) for _ in range(3))
        self._last = 0

    @property
    def people(self) -> list[int]:
        """Numbers of those who are followed and count, in order."""
        return sorted(self._number[self._number > 0].tolist())

    def step(self, pixels: Array) -> Array:
        """Take the next frame, pixels (person, keypoint, 2): the number of each, from 1; 0 for who does not count."""
        exists = np.flatnonzero(are_there(pixels))
        poses = self._poses.reshape(len(self._poses), pixels.shape[1], 2)
        pairs = poses[:, None], pixels[None, exists]
        apart, unseen_s = _apart(*pairs), self._unseen[:, None] / self._fps
        near = (apart < _reach(unseen_s + 1 / self._fps)) & (_alike(*pairs) | (unseen_s < _RECENT_S))
        one, other = np.nonzero(near)
        track, detection = _nearest_first(one, other, apart[one, other]).T
        self._unseen += 1
        self._unseen[track] = 0
        self._seen[track] += 1
        poses[track] = _completed(pixels[exists[detection]], poses[track])
        new = np.setdiff1d(np.arange(len(exists)), detection)
        none = np.zeros(len(new), int)
        self._poses = np.concatenate([poses, pixels[exists[new]]])
        self._unseen, self._seen = np.append(self._unseen, none), np.append(self._seen, none + 1)
        self._number = np.append(self._number, none)
        counts = np.flatnonzero((self._number == 0) & (self._seen >= _SURE_AFTER_S * self._fps))
        self._number[counts] = self._last + 1 + np.arange(len(counts))
        self._last += len(counts)
        numbers = np.zeros(len(pixels), int)
        numbers[exists[np.append(detection, new)]] = self._number[np.append(track, len(poses) + np.arange(len(new)))]
        stays = self._unseen <= _LONGEST_S * self._fps
        self._poses, self._unseen = self._poses[stays], self._unseen[stays]
        self._seen, self._number = self._seen[stays], self._number[stays]
        return numbers

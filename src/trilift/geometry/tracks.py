"""People within a view: how large they are, who is the most prominent, and who is the same from frame to frame."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trilift.geometry.epipolar import lower_median

Array = np.ndarray

FEWEST_COMMON = 4
"""Keypoints that two detections must share to be compared."""

FRAMES_PER_BLOCK = 512

_LONGEST_GAP = 8  # frames that a track may miss
_STEP = 0.3  # how far a person moves from frame to frame, in units of its size in the image


def choose_prominent(pixels: Array, score: Array) -> Array:
    """Choose the most prominent person in one view, where no other view tells who is who.

    The track with the highest score is taken; where it is not seen, that with the next highest, and so on.

    Parameters
    ----------
    pixels
        (frame, person, keypoint, 2), as detected; NaN is missing.
    score
        (frame, person): how much speaks for a detection; 0 where there is none.

    Returns
    -------
    numpy.ndarray
        (frame,): index on the axis of people, -1 where nobody is seen.
    """
    exists = are_there(pixels)
    track = link(pixels, sizes(pixels), exists)
    total = np.bincount(track[exists], score[exists], minlength=1)
    person = np.full(len(pixels), -1)
    frame, which = np.nonzero(exists)
    of_track = np.split(
        np.argsort(track[exists], kind="stable"), np.bincount(track[exists], minlength=1).cumsum()[:-1]
    )
    for number in np.argsort(-total, kind="stable"):
        frames, people = frame[of_track[number]], which[of_track[number]]
        # Not beside those who are taken: a track counts as a whole.
        if (person[frames] < 0).all():
            person[frames] = people
    return person


def prominence(pixels: Array, confidence: Array, by: str) -> Array:
    """Score detections (..., keypoint) of people by ``size``, the area of the box around them, or ``confidence``.

    Examples
    --------
    >>> prominence(np.array([[0.0, 0.0], [2.0, 3.0]]), np.array([0.5, 1.0]), "size").item()
    6.0
    """
    return box_sides(pixels).prod(-1) if by == "size" else confidence.sum(-1)


def box_sides(pixels: Array) -> Array:
    """Give width and height (..., 2) of the box around keypoints (..., keypoint, 2); 0 where all are missing."""
    high = np.where(np.isnan(pixels), -np.inf, pixels).max(-2)
    low = np.where(np.isnan(pixels), np.inf, pixels).min(-2)
    return np.where(np.isfinite(high), high - low, 0)


def sizes(pixels: Array) -> Array:
    """Give the diagonals of the boxes around keypoints, at least 1 px."""
    return _by_blocks(lambda block: np.maximum(np.linalg.norm(box_sides(block), axis=-1), 1.0), pixels)


def are_there(pixels: Array) -> Array:
    """Tell which detections have a keypoint."""
    return _by_blocks(lambda block: np.isfinite(block).all(-1).any(-1), pixels)


def _by_blocks(function: Callable[[Array], Array], pixels: Array) -> Array:
    """Apply a function of frames to some at a time: arrays of the size of a recording are not made."""
    blocks = [pixels[start : start + FRAMES_PER_BLOCK] for start in range(0, len(pixels) or 1, FRAMES_PER_BLOCK)]
    return np.concatenate([function(block) for block in blocks])


def link(pixels: Array, size: Array, exists: Array) -> Array:
    """Number the tracks of one view: (frame, person)."""
    frames, people = exists.shape
    node = np.arange(frames * people).reshape(frames, people)
    has_next, has_previous = np.zeros_like(exists), np.zeros_like(exists)
    links: list[tuple[Array, Array]] = []
    for gap in range(1, min(_LONGEST_GAP, frames - 1) + 1):
        earlier = np.nonzero((exists & ~has_next)[:-gap].any(1) & (exists & ~has_previous)[gap:].any(1))[0]
        for block in np.array_split(earlier, max(1, -(-len(earlier) // FRAMES_PER_BLOCK))):
            between = pixels[block, :, None] - pixels[block + gap][:, None]
            distance = lower_median(np.hypot(between[..., 0], between[..., 1]), FEWEST_COMMON)
            distance /= np.maximum(size[block][:, :, None], size[block + gap][:, None])
            distance[has_next[block]] = np.inf
            distance.swapaxes(1, 2)[has_previous[block + gap]] = np.inf
            # Linked where each is the other's nearest.
            onward, back = distance.argmin(2), distance.argmin(1)
            mutual = np.take_along_axis(back, onward, 1) == np.arange(people)
            near = np.take_along_axis(distance, onward[..., None], 2)[..., 0] < _STEP
            which, person = np.nonzero(mutual & near)
            after = onward[which, person]
            has_next[block[which], person] = True
            has_previous[block[which] + gap, after] = True
            links.append((node[block[which], person], node[block[which] + gap, after]))
    start, end = (np.concatenate(ends) for ends in zip(*links, strict=True)) if links else (node[:0, 0], node[:0, 0])
    graph = coo_array((np.ones(len(start), bool), (start, end)), (node.size, node.size))
    _, label = connected_components(graph, directed=False)
    track = np.full(node.size, -1)
    track[exists.ravel()] = np.unique(label[exists.ravel()], return_inverse=True)[1]
    return track.reshape(frames, people)


def link_views(pixels: Array, size: Array, exists: Array) -> Array:
    """Number the tracks of all views (frame, view, person); -1 where there is no detection."""
    linked = np.full(exists.shape, -1)
    for view in range(exists.shape[1]):
        own = link(pixels[:, view], size[:, view], exists[:, view])
        linked[:, view] = np.where(exists[:, view], own + linked.max() + 1, -1)
    return linked

"""People judged once more when all is known: whose each detection is, and who of those who came had been there."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from trilift.geometry.epipolar import lower_median
from trilift.ingest.people import placing
from trilift.ingest.people.space import GATE, Rig, place_all, slots
from trilift.skeletons import Skeleton

Array = np.ndarray

_REACH = 8  # frames before and after by which a person is placed
_SMOOTHED = 3  # frames before and after by which a track's distances are smoothed
_BONES = 0.07  # how much the bones of one person may seem to differ (root mean square of the logarithms)
_OVERLAP = 15  # frames for which who is lost may seem to be there beside who comes back
_FRAMES_PER_BLOCK = 1024


def judge(rig: Rig, rays: Array, linked: Array, person: Array, lengths: Array) -> tuple[Array, Array]:
    """Judge whose each detection is by the other views and frames.

    Parameters
    ----------
    rig
        The cameras.
    rays
        (frame, view, detection, keypoint, 2).
    linked, person
        (frame, view, detection): tracks within the views, and whose they are thought to be; -1 for none.
    lengths
        (person,).

    Returns
    -------
    person : numpy.ndarray
        (frame, view, detection): whose it is.
    points : numpy.ndarray
        (frame, person, keypoint, 3): where they were thought to be.
    """
    slot = slots(person, len(lengths))
    points, _ = place_all(rays, slot, rig, lengths)
    expected, certainty = _between(points)
    cost = np.empty((*linked.shape, len(lengths)))
    placing.distances(rays, slot, rig.R, rig.t, lengths, expected, certainty, cost)
    return _assign(_smoothed(cost, linked)), points


def look_back(
    rig: Rig,
    pixels: Array,
    linked: Array,
    person: Array,
    lengths: Array,
    skeleton: Skeleton,
) -> tuple[Array, Array]:
    """Judge every detection by the other views and frames; give whose it is, and (person, bone) lengths."""
    frames, margin = len(pixels), _REACH + _SMOOTHED
    judged = np.full(person.shape, -1)
    parent, child = np.array(skeleton.bone_indices).T
    measured: list[list[Array]] = [[] for _ in lengths]
    for start in range(0, frames, _FRAMES_PER_BLOCK):
        stop = min(start + _FRAMES_PER_BLOCK, frames)
        part = slice(max(0, start - margin), min(stop + margin, frames))
        there = np.unique(person[part])
        there = there[there >= 0]
        if not len(there):
            continue
        local = np.full(len(lengths) + 1, -1)
        local[there] = np.arange(len(there))
        chosen, points = judge(rig, rig.rays(pixels[part]), linked[part], local[person[part]], lengths[there])
        inner = slice(start - part.start, stop - part.start)
        judged[start:stop] = np.append(there, -1)[chosen[inner]]
        bones = np.linalg.norm(points[inner][:, :, parent] - points[inner][:, :, child], axis=-1)
        for index, one in enumerate(there):
            measured[one].append(lower_median(bones[:, index].T))
    medians = np.array(
        [lower_median(np.stack(parts, -1)) if parts else np.full(len(parent), np.inf) for parts in measured]
    )
    return judged, np.where(np.isfinite(medians), medians, np.nan)


def _between(points: Array) -> tuple[Array, Array]:
    """Expect keypoints between where the frames before and after place them, with a certainty."""
    frames = len(points)
    has = ~np.isnan(points[..., 0])
    index = np.arange(frames)[:, None, None]
    before = np.maximum.accumulate(np.where(has, index, -frames * 2), 0)
    before = np.concatenate([np.full_like(before[:1], -frames * 2), before[:-1]])
    after = np.minimum.accumulate(np.where(has, index, frames * 3)[::-1], 0)[::-1]
    after = np.concatenate([after[1:], np.full_like(after[:1], frames * 3)])
    total, place = np.zeros(has.shape), np.zeros(points.shape)
    for nearest in (before, after):
        gap = np.abs(nearest - index)
        weight = np.where(gap <= _REACH, 1 / gap, 0.0)
        at = np.take_along_axis(points, nearest.clip(0, frames - 1)[..., None], 0)
        place += weight[..., None] * np.where(weight[..., None] > 0, at, 0)
        total += weight
    return place / np.maximum(total, 1e-12)[..., None], np.where(total > 0, placing.PRIOR, 0.0)


def _along_tracks(linked: Array) -> tuple[Array, ...]:
    """Give the places of all detections, track by track and frame by frame."""
    place = np.nonzero(linked >= 0)
    order = np.lexsort((place[0], linked[place]))
    return tuple(axis[order] for axis in place)


def _smoothed(cost: Array, linked: Array) -> Array:
    """Let the frames around speak too, along the tracks within a view."""
    place = _along_tracks(linked)
    values = cost[place]
    known = np.isfinite(values)
    zero = np.zeros((1, cost.shape[-1]))
    sums = np.concatenate([zero, np.where(known, values, 0).cumsum(0)])
    counts = np.concatenate([zero, known.cumsum(0)])
    key = linked[place] * (len(cost) + 2 * _SMOOTHED + 2) + place[0]
    first, last = np.searchsorted(key, key - _SMOOTHED), np.searchsorted(key, key + _SMOOTHED, side="right")
    with np.errstate(invalid="ignore"):
        mean = (sums[last] - sums[first]) / (counts[last] - counts[first])
    smooth = np.full(cost.shape, np.inf)
    smooth[place] = np.where(known, (mean + 2 * values) / 3, np.inf)
    return smooth


def _assign(cost: Array) -> Array:
    """Give each detection its person: (frame, view, detection), the least sum of costs in each view of a frame."""
    near = cost < GATE
    person = np.where(near.any(-1), cost.argmin(-1), -1)
    contested = (near.sum(-1) > 1).any(-1) | (near.sum(-2) > 1).any(-1)
    for frame, view in np.argwhere(contested):
        of_view = cost[frame, view]
        rows, columns = linear_sum_assignment(np.minimum(of_view, GATE))
        person[frame, view] = -1
        person[frame, view, rows] = np.where(of_view[rows, columns] < GATE, columns, -1)
    return person


def without_flicker(person: Array, linked: Array) -> Array:
    """Let a detection be nobody's that is somebody's for one frame, before and after which its track is another's."""
    place = _along_tracks(linked)
    track, who = linked[place], person[place]
    between = (track[:-2] == track[2:]) & (who[:-2] == who[2:]) & (who[1:-1] != who[2:])
    who[1:-1][between & (who[2:] >= 0)] = -1
    steady = person.copy()
    steady[place] = who
    return steady


def find_again(person: Array, bones: Array) -> Array:
    """Let who comes back after a while be who left: somebody with the same bones, who is not there meanwhile."""
    seen = (slots(person, len(bones)) >= 0).sum(2) >= 2
    people = [one for one in range(len(bones)) if seen[:, one].any()]
    span = {one: np.flatnonzero(seen[:, one])[[0, -1]] for one in people}
    with np.errstate(invalid="ignore"):
        differ = np.sqrt(np.nanmean(np.log(bones[:, None] / bones[None]) ** 2, -1))
    pairs = sorted(
        (differ[one, other], one, other)
        for one in people
        for other in people
        if span[one][0] < span[other][0] and span[one][1] < span[other][0] + _OVERLAP and differ[one, other] < _BONES
    )
    goes_on: dict[int, int] = {}
    comes_back: dict[int, int] = {}
    for _, one, other in pairs:
        if one not in goes_on and other not in comes_back:
            goes_on[one], comes_back[other] = other, one
    person = person.copy()
    for one, other in goes_on.items():
        later = person[span[other][0] :]
        later[later == one] = -1
    of = np.arange(len(bones) + 1)
    for one in sorted(people, key=lambda one: span[one][0]):
        if one in comes_back:
            of[one] = of[comes_back[one]]
    of[-1] = -1
    return of[person]

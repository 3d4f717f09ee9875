"""Everybody who is seen, followed through frames and views together.

Who is followed already takes the detections that lie nearest to where the person is thought to be, view by view;
these place the person for the next frame. At the end of a short window, tracks that are left over are grouped across
the views: who appears there in two views is followed from then on, or was lost a while ago and is found again. When
all is followed, every detection is judged once more, with hindsight: by where the *other* views, and the frames before
and after, place each person. So what no other view agrees with (a poster, a mirror, two people found as one) is
nobody's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from trilift.geometry.cameras import Cameras, to_rays
from trilift.ingest.people import placing
from trilift.ingest.people.grouping import group_tracks, overlaps, votes_of
from trilift.ingest.people.tracks import link_views, sizes
from trilift.skeletons import Skeleton

Array = np.ndarray

_WINDOW_S = 1.0  # after which who appeared is looked for
_LOST_S = 3.0  # after which somebody is no longer expected where they went
_THERE_S = 1.0  # for which two views must see somebody
_GATE = 0.2  # of a person's length: detections farther away are not this person's
_REACH = 8  # frames before and after by which a person is placed
_SMOOTHED = 3  # frames before and after by which a track's distances are smoothed
_AT_ONE_PLACE = 0.12  # of a person's length, as the next ones
_FOUND_AGAIN, _FOUND_AGAIN_PER_S = 0.15, 0.8  # how far somebody went who was lost
_BONES = 0.05  # how much the bones of one person may seem to differ (root mean square of the logarithms)
_FRAMES_PER_BLOCK = 1024
_FEWEST_PLACED = 6  # keypoints that make a pose


@dataclass
class _Rig:
    R: Array
    t: Array


@dataclass
class _People:
    """Those who are followed, an entry of each array per person; see `placing.follow`."""

    pose: Array
    speed: Array
    unseen: Array
    lengths: Array
    last_track: Array
    last_seen: Array
    number: Array

    @classmethod
    def nobody(cls, views: int, keypoints: int) -> "_People":
        return cls(
            np.empty((0, keypoints, 3)),
            np.empty((0, 3)),
            np.empty((0, keypoints)),
            np.empty(0),
            np.empty((0, views), int),
            np.empty(0, int),
            np.empty(0, int),
        )

    def only(self, chosen: Array) -> "_People":
        return _People(*(values[chosen] for values in vars(self).values()))

    def and_one(self, pose: Array, length: float, last_seen: int, number: int) -> "_People":
        views = self.last_track.shape[1]
        new = (pose, np.zeros(3), _unseen(pose), length, np.full(views, -1), last_seen, number)
        return _People(
            *(
                np.concatenate([values, np.asarray(value, values.dtype)[None]])
                for values, value in zip(vars(self).values(), new, strict=True)
            )
        )


def _unseen(pose: Array) -> Array:
    return np.where(np.isnan(pose[:, 0]), 20.0, 0.0)


def follow_everybody(cameras: Cameras, pixels: Array, skeleton: Skeleton, fps: float) -> Array:
    """Tell who each detection is.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, detection, keypoint, 2), as detected; NaN is missing. The order of detections means nothing.
    skeleton
        Layout of the keypoints.
    fps
        Frames per second.

    Returns
    -------
    numpy.ndarray
        (frame, view, detection): number of the person, by first appearance from 0; -1 where it is nobody's. A person
        has one detection of a view at most, and was seen by two views for a second, or half of a shorter recording.
    """
    exists = np.isfinite(pixels).all(-1).any(-1)
    linked = link_views(pixels, sizes(pixels), exists)
    rig = _Rig(cameras.R.numpy(), cameras.t.numpy())
    person, lengths = _go_forward(cameras, rig, pixels, linked, fps)
    least = min(round(_THERE_S * fps), len(pixels) // 2)
    for _ in range(2):
        person, lengths = _tidy(person, lengths, least)
        person, bones = _look_back(cameras, rig, pixels, linked, person, lengths, skeleton)
    person = _find_again(person, bones, lengths, fps)
    return _tidy(person, lengths, least)[0]


def _rays(cameras: Cameras, pixels: Array) -> Array:
    return to_rays(cameras, torch.as_tensor(pixels).double().transpose(1, 2)).numpy().swapaxes(1, 2)


def _go_forward(cameras: Cameras, rig: _Rig, pixels: Array, linked: Array, fps: float) -> tuple[Array, Array]:
    """Follow people window by window: (frame, view, detection) their numbers, and (person,) their lengths."""
    frames, views, _, keypoints, _ = pixels.shape
    people = _People.nobody(views, keypoints)
    person, lengths = np.full(linked.shape, -1), np.empty(0)
    window = max(4, round(_WINDOW_S * fps))
    for start in range(0, frames, window):
        part = slice(start, min(start + window, frames))
        rays = _rays(cameras, pixels[part])
        index = np.full(rays.shape[:3], -1)
        placing.follow(
            rays,
            linked[part],
            rig.R,
            rig.t,
            _GATE,
            start,
            people.pose,
            people.speed,
            people.unseen,
            people.lengths,
            people.last_track,
            people.last_seen,
            index,
        )
        person[part] = np.where(index >= 0, np.append(people.number, -1)[index], -1)
        people = people.only(_apart(people) & (part.stop - 1 - people.last_seen < _LOST_S * fps))
        # Who only one view sees is known in the direction of that view, but not in how far away.
        unsure = people.number[people.last_seen < start + window // 2]
        left = (linked[part] >= 0) & ((person[part] < 0) | np.isin(person[part], unsure))
        if not left.any():
            continue
        group = _appeared(cameras, pixels[part], linked[part], left, window // 3)
        people, lengths = _welcome(people, lengths, rays, rig, group, person[part], start, fps)
    return person, lengths


def _apart(people: _People) -> Array:
    """Leave out who is where somebody is who was seen more lately, or is known for longer."""
    kept = np.ones(len(people.pose), bool)
    for younger in range(1, len(kept)):
        at = np.linalg.norm(people.pose[:younger] - people.pose[younger], axis=-1) / people.lengths[younger]
        kept[younger] = not (kept[:younger] & (_median(at) < _AT_ONE_PLACE / 2)).any()
    return kept


def _median(values: Array) -> Array:
    """Take the median over the last axis of what is known; infinite where nothing is."""
    ordered = np.sort(np.where(np.isnan(values), np.inf, values), -1)
    known = np.isfinite(ordered).sum(-1)
    return np.take_along_axis(ordered, np.maximum(known - 1, 0)[..., None] // 2, -1)[..., 0]


def _appeared(cameras: Cameras, pixels: Array, linked: Array, left: Array, least: int) -> Array:
    """Group the tracks that are left over in a window: (frame, view, detection), -1 for those in no group."""
    pixels = np.where(left[..., None, None], pixels, np.nan)
    votes = votes_of(cameras, pixels, sizes(pixels))
    nobody = np.full(left.shape, -1)
    if not len(votes.vote):
        return nobody
    track = nobody.copy()
    track[left] = np.unique(linked[left], return_inverse=True)[1]
    number = track.max() + 1
    group = group_tracks(number, overlaps(track, number), *votes.of_tracks(track))
    return _tidy(np.where(left, group[track.clip(0)], -1), np.empty(number), least)[0]


def _slots(person: Array, people: int) -> Array:
    """Give (frame, person, view) which detection is whose; -1 for none."""
    slot = np.full((len(person), people, person.shape[1]), -1)
    frame, view, detection = np.nonzero(person >= 0)
    slot[frame, person[frame, view, detection], view] = detection
    return slot


def _tidy(person: Array, values: Array, least: int) -> tuple[Array, Array]:
    """Leave out who is seen by two views in fewer frames, and number the others by first appearance."""
    slot = _slots(person, len(values)) >= 0
    by_two = slot.sum(2) >= 2
    kept = by_two.sum(0) >= max(1, least)
    first = np.where(kept, by_two.argmax(0), len(person))
    order = np.argsort(first, kind="stable")[: kept.sum()]
    new = np.full(len(values) + 1, -1)
    new[order] = np.arange(len(order))
    return new[person], values[order]


def _place_all(rays: Array, slot: Array, rig: _Rig, lengths: Array) -> tuple[Array, Array]:
    frames, people = slot.shape[:2]
    points = np.empty((frames, people, rays.shape[3], 3))
    views = np.empty(points.shape[:3], np.int64)
    placing.place_all(rays, slot, rig.R, rig.t, lengths, points, views)
    return points, views


def _welcome(
    people: _People,
    lengths: Array,
    rays: Array,
    rig: _Rig,
    group: Array,
    person: Array,
    start: int,
    fps: float,
) -> tuple[_People, Array]:
    """Take up who appeared in a window, as somebody who was lost or as somebody new."""
    number = group.max() + 1
    slot = _slots(group, number)
    points, _ = _place_all(rays, slot, rig, np.full(number, np.inf))
    placed = np.isfinite(points[..., 0]).sum(-1) >= _FEWEST_PLACED
    for one in range(number):
        frames = np.flatnonzero(placed[:, one])
        if len(frames) < 3:
            continue
        own = points[frames, one]
        with np.errstate(invalid="ignore"):
            length = np.median(np.linalg.norm(np.nanmax(own, 1) - np.nanmin(own, 1), axis=-1))
        begin, end = (_median(own[part].transpose(1, 2, 0)) for part in (slice(0, 5), slice(-5, None)))
        begin, end = (np.where(np.isfinite(pose), pose, np.nan) for pose in (begin, end))
        if (~np.isnan(end[:, 0])).sum() < _FEWEST_PLACED or not 0 < length < np.inf:
            continue
        since, until = start + int(frames[0]), start + int(frames[-1])
        lost = people.last_seen < since
        away = _median(np.linalg.norm(people.pose - begin, axis=-1)) / length
        limit = _FOUND_AGAIN + _FOUND_AGAIN_PER_S * (since - people.last_seen) / fps
        held = (person[group == one][:, None] == people.number).sum(0) >= 3
        share = np.where(lost, np.where(held, 0.0, away / limit), np.inf)
        if len(share) and share.min() < 1:
            found = int(share.argmin())
            people.pose[found] = np.where(np.isnan(end), people.pose[found], end)
            people.speed[found], people.unseen[found] = 0, _unseen(end)
            people.last_seen[found] = until
            person[group == one] = people.number[found]
        elif not (_median(np.linalg.norm(people.pose - end, axis=-1)) / length < _AT_ONE_PLACE).any():
            person[group == one] = len(lengths)
            people = people.and_one(end, length, until, len(lengths))
            lengths = np.append(lengths, length)
    return people, lengths


def _look_back(
    cameras: Cameras,
    rig: _Rig,
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
        rays, slot = _rays(cameras, pixels[part]), _slots(local[person[part]], len(there))
        points, _ = _place_all(rays, slot, rig, lengths[there])
        expected, certainty = _between(points)
        cost = np.empty((*linked[part].shape, len(there)))
        placing.distances(rays, slot, rig.R, rig.t, lengths[there], expected, certainty, cost)
        inner = slice(start - part.start, stop - part.start)
        chosen = _assign(_smoothed(cost, linked[part])[inner])
        judged[start:stop] = np.append(there, -1)[chosen]
        bones = np.linalg.norm(points[inner][:, :, parent] - points[inner][:, :, child], axis=-1)
        for index, one in enumerate(there):
            measured[one].append(bones[:, index])
    medians = [np.full(len(parent), np.nan) if not parts else _median(np.concatenate(parts).T) for parts in measured]
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


def _smoothed(cost: Array, linked: Array) -> Array:
    """Let the frames around speak too, along the tracks within a view."""
    place = np.nonzero(linked >= 0)
    order = np.lexsort((place[0], linked[place]))
    place = tuple(axis[order] for axis in place)
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
    smooth[place] = np.where(known, (mean + values) / 2, np.inf)
    return smooth


def _assign(cost: Array) -> Array:
    """Give each detection its person: (frame, view, detection), the least sum of costs in each view of a frame."""
    near = cost < _GATE
    person = np.where(near.any(-1), cost.argmin(-1), -1)
    contested = (near.sum(-1) > 1).any(-1) | (near.sum(-2) > 1).any(-1)
    for frame, view in np.argwhere(contested):
        of_view = cost[frame, view]
        rows, columns = linear_sum_assignment(np.minimum(of_view, _GATE))
        person[frame, view] = -1
        person[frame, view, rows] = np.where(of_view[rows, columns] < _GATE, columns, -1)
    return person


def _find_again(person: Array, bones: Array, lengths: Array, fps: float) -> Array:
    """Let who comes back after a while be who left: somebody with the same bones, who is not there meanwhile."""
    seen = (_slots(person, len(lengths)) >= 0).sum(2) >= 2
    people = [one for one in range(len(lengths)) if seen[:, one].any()]
    span = {one: np.flatnonzero(seen[:, one])[[0, -1]] for one in people}
    with np.errstate(invalid="ignore"):
        differ = np.sqrt(np.nanmean(np.log(bones[:, None] / bones[None]) ** 2, -1))
    pairs = sorted(
        (differ[one, other], one, other)
        for one in people
        for other in people
        if one != other and span[one][1] < span[other][0] and differ[one, other] < _BONES
    )
    goes_on, comes_back = {}, {}
    for _, one, other in pairs:
        if one not in goes_on and other not in comes_back:
            goes_on[one], comes_back[other] = other, one
    of = np.arange(len(lengths) + 1)
    for one in sorted(people, key=lambda one: span[one][0]):
        if one in comes_back:
            of[one] = of[comes_back[one]]
    of[-1] = -1
    return of[person]

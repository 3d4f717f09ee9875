"""Everybody who is seen, followed through frames and views together.

Who is followed already takes the detections that lie nearest to where the person is thought to be, view by view;
these place the person for the next frame. At the end of a short window, tracks that are left over are grouped across
the views: who appears there in two views is followed from then on, or was lost a while ago and is found again. Then
every detection is judged once more, with hindsight: by where the *other* views, and the frames before and after,
place each person. So what no other view agrees with (a poster, a mirror, two people found as one) is nobody's.
"""

from dataclasses import dataclass

import numpy as np

from trilift.geometry.cameras import Cameras
from trilift.geometry.epipolar import lower_median
from trilift.geometry.tracks import are_there, link_views, sizes
from trilift.ingest.people import placing
from trilift.ingest.people.grouping import group_tracks, overlaps, votes_of
from trilift.ingest.people.hindsight import find_again, judge, look_back, without_flicker
from trilift.ingest.people.space import GATE, Rig, place_all, slots, tidy
from trilift.skeletons import Skeleton

Array = np.ndarray

_WINDOW_S = 1.0  # after which who appeared is looked for
_LOST_S = 3.0  # after which somebody is no longer expected where they went
_THERE_S = 1.0  # for which two views must see somebody
_BY_THREE = 0.3  # of that for which three must, where there are as many: two alone agree on a dummy by chance
_AT_ONE_PLACE = 0.12  # of a person's length, as the next ones
_FOUND_AGAIN, _FOUND_AGAIN_PER_S = 0.15, 0.8  # how far somebody went who was lost
_FEWEST_PLACED = 6  # keypoints that make a pose


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
        has one detection of a view at most, and was seen by two views for a second, or half of a shorter recording,
        and by three, if there are as many, for 0.3 times as long.
    """
    linked = link_views(pixels, sizes(pixels), are_there(pixels))
    rig = Rig.of(cameras)
    person, lengths = _go_forward(rig, pixels, linked, fps)
    least = min(round(_THERE_S * fps), len(pixels) // 2)
    for _ in range(2):
        person, lengths = tidy(person, lengths, least)
        person, bones = look_back(rig, pixels, linked, person, lengths, skeleton)
    person = find_again(without_flicker(person, linked), bones)
    person, lengths = tidy(person, lengths, least)
    return tidy(person, lengths, round(least * _BY_THREE), views=min(3, len(cameras)))[0]


def _go_forward(rig: Rig, pixels: Array, linked: Array, fps: float) -> tuple[Array, Array]:
    """Follow people window by window: (frame, view, detection) their numbers, and (person,) their lengths."""
    frames, views, _, keypoints, _ = pixels.shape
    people = _People.nobody(views, keypoints)
    person, lengths = np.full(linked.shape, -1), np.empty(0)
    window = max(4, round(_WINDOW_S * fps))
    for start in range(0, frames, window):
        part = slice(start, min(start + window, frames))
        rays = rig.rays(pixels[part])
        index, seen_before = np.full(rays.shape[:3], -1), people.last_seen.copy()
        placing.follow(
            rays,
            linked[part],
            rig.R,
            rig.t,
            GATE,
            start,
            people.pose,
            people.speed,
            people.unseen,
            people.lengths,
            people.last_track,
            people.last_seen,
            index,
        )
        thought = np.append(people.number, -1)[index]
        if len(people.pose):
            index, _ = judge(rig, rays, linked[part], index, people.lengths)
            _settle(people, rays[-1:], linked[part][-1], rig, index[-1:])
            by_two = (slots(index, len(people.pose)) >= 0).sum(2) >= 2
            last = part.stop - 1 - by_two[::-1].argmax(0)
            people.last_seen[:] = np.where(by_two.any(0), last, seen_before)
        person[part] = np.append(people.number, -1)[index]
        people = people.only(_apart(people) & (part.stop - 1 - people.last_seen < _LOST_S * fps))
        # Who only one view sees is known in the direction of that view, but not in how far away.
        unsure = people.number[people.last_seen < (start + part.stop) // 2]
        left = (linked[part] >= 0) & ((person[part] < 0) | np.isin(person[part], unsure))
        if not left.any():
            continue
        group = _appeared(rig, pixels[part], linked[part], left, window // 3)
        people, lengths = _welcome(people, lengths, rays, rig, group, thought, person[part], start, fps)
    return person, lengths


def _settle(people: _People, rays: Array, linked: Array, rig: Rig, person: Array) -> None:
    """Bring people up to date where the last frame of a window was judged otherwise."""
    slot = slots(person, len(people.pose))
    points, _ = place_all(rays, slot, rig, people.lengths)
    people.pose[:] = np.where(np.isnan(points[0]), people.pose, points[0])
    who, view = np.nonzero(slot[0] >= 0)
    people.last_track[who, view] = linked[view, slot[0][who, view]]


def _apart(people: _People) -> Array:
    """Leave out who is where somebody is who was seen more lately, or is known for longer."""
    kept = np.ones(len(people.pose), bool)
    for younger in range(1, len(kept)):
        at = np.linalg.norm(people.pose[:younger] - people.pose[younger], axis=-1) / people.lengths[younger]
        kept[younger] = not (kept[:younger] & (lower_median(at) < _AT_ONE_PLACE / 2)).any()
    return kept


def _appeared(rig: Rig, pixels: Array, linked: Array, left: Array, least: int) -> Array:
    """Group the tracks that are left over in a window: (frame, view, detection), -1 for those in no group."""
    pixels = np.where(left[..., None, None], pixels, np.nan)
    votes = votes_of(rig.cameras, pixels, sizes(pixels))
    nobody = np.full(left.shape, -1)
    if not len(votes.vote):
        return nobody
    track = nobody.copy()
    track[left] = np.unique(linked[left], return_inverse=True)[1]
    number = track.max() + 1
    group = group_tracks(number, overlaps(track, number), *votes.of_tracks(track))
    return tidy(np.where(left, group[track.clip(0)], -1), np.empty(number), least)[0]


def _welcome(
    people: _People,
    lengths: Array,
    rays: Array,
    rig: Rig,
    group: Array,
    thought: Array,
    person: Array,
    start: int,
    fps: float,
) -> tuple[_People, Array]:
    """Take up who appeared in a window, as somebody who was lost or as somebody new.

    Whom one view saw while nobody knew how far away they were, `thought` tells.
    """
    number = group.max() + 1
    slot = slots(group, number)
    points, _ = place_all(rays, slot, rig, np.full(number, np.inf))
    placed = np.isfinite(points[..., 0]).sum(-1) >= _FEWEST_PLACED
    for one in range(number):
        frames = np.flatnonzero(placed[:, one])
        if len(frames) < 3:
            continue
        own = points[frames, one]
        with np.errstate(invalid="ignore"):
            length = np.median(np.linalg.norm(np.nanmax(own, 1) - np.nanmin(own, 1), axis=-1))
        begin, end = (lower_median(own[part].transpose(1, 2, 0)) for part in (slice(0, 5), slice(-5, None)))
        begin, end = (np.where(np.isfinite(pose), pose, np.nan) for pose in (begin, end))
        if (~np.isnan(end[:, 0])).sum() < _FEWEST_PLACED or not 0 < length < np.inf:
            continue
        since, until = start + int(frames[0]), start + int(frames[-1])
        lost = people.last_seen < since
        away = lower_median(np.linalg.norm(people.pose - begin, axis=-1)) / length
        limit = _FOUND_AGAIN + _FOUND_AGAIN_PER_S * (since - people.last_seen) / fps
        held = (thought[group == one][:, None] == people.number).sum(0) >= 3
        share = np.where(lost, np.where(held, 0.0, away / limit), np.inf)
        if len(share) and share.min() < 1:
            found = int(share.argmin())
            people.pose[found] = np.where(np.isnan(end), people.pose[found], end)
            people.speed[found], people.unseen[found] = 0, _unseen(end)
            people.last_seen[found] = until
            person[group == one] = people.number[found]
        elif not (lower_median(np.linalg.norm(people.pose - end, axis=-1)) / length < _AT_ONE_PLACE).any():
            person[group == one] = len(lengths)
            people = people.and_one(end, length, until, len(lengths))
            lengths = np.append(lengths, length)
    return people, lengths

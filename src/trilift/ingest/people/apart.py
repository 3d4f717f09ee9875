"""Several people in a clip told apart: what was detected, of each of them."""

import logging
from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np

from trilift.errors import listed
from trilift.formats.source import Person
from trilift.geometry.cameras import Cameras
from trilift.geometry.stature import stature
from trilift.ingest.people.everybody import follow_everybody
from trilift.ingest.people.naming import names, place
from trilift.ingest.people.subject import choose_subject
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

Array = np.ndarray


class Clip(NamedTuple):
    """What is seen in a clip.

    Attributes
    ----------
    cameras, views
        The cameras, and the names of their views.
    pixels, confidence
        (frame, view, detection, keypoint, 2) and (frame, view, detection, keypoint); NaN is missing.
    score
        (frame, view, detection): how much speaks for a detection to be the subject's.
    skeleton
        Layout of the keypoints.
    fps
        Frames per second.
    where
        What it is called in messages.
    """

    cameras: Cameras
    views: list[str]
    pixels: Array
    confidence: Array
    score: Array
    skeleton: Skeleton
    fps: float
    where: str


class Someone(NamedTuple):
    """One of the people in a clip.

    Attributes
    ----------
    name
        Empty for the only one.
    first
        The first frame of the clip in which they are seen.
    pixels, confidence
        (frame, view, keypoint, 2), (frame, view, keypoint), from then until the last one.
    detection
        (frame, view): which detection it was, from 1; 0 for none.
    frames, poses
        (some frame,) and (some frame, keypoint, 3): where they are at some frames, counted from `first`, in metres.
    """

    name: str
    first: int
    pixels: Array
    confidence: Array
    detection: Array
    frames: Array
    poses: Array


def tell_apart(clip: Clip, people: str | Mapping[str, Person]) -> list[Someone]:
    """Tell who is who.

    Parameters
    ----------
    clip
        What is seen.
    people
        ``one``, ``all``, or the names of people and what is known of them.
    """
    if people == "one":
        return [_taken(clip, _subject(clip))]
    person = follow_everybody(clip.cameras, clip.pixels, clip.skeleton, clip.fps)
    number = int(person.max()) + 1
    if not number:
        log.warning(
            "%s: several people are seen, but nobody by two views that agree on where; one is followed. If there is "
            "one: `people: one` in the data set's file",
            clip.where,
        )
        return [_taken(clip, _subject(clip))]
    found = [_taken(clip, np.where((person == one).any(2), (person == one).argmax(2), -1)) for one in range(number)]
    stated = {name: about.stature_m for name, about in people.items()} if isinstance(people, Mapping) else {}
    if number == 1 and not stated:
        return found
    statures = np.array([stature(someone.poses, clip.skeleton) for someone in found])
    named = [
        _within(someone._replace(name=name)) for someone, name in zip(found, names(statures, stated), strict=True)
    ]
    if lacking := [name for name in stated if name not in {someone.name for someone in named}]:
        log.warning("%s: %d people are seen, so nobody is %s", clip.where, number, listed(lacking))
    return named


def _taken(clip: Clip, choice: Array) -> Someone:
    """Take the detections (frame, view) that a person has, -1 where none."""
    index, nobody = choice.clip(0)[:, :, None, None], choice < 0
    confidence = np.take_along_axis(clip.confidence, index, 2)[:, :, 0]
    pixels = np.take_along_axis(clip.pixels, index[..., None], 2)[:, :, 0]
    confidence[nobody], pixels[nobody] = 0, np.nan
    frames, poses = place(clip.cameras, pixels)
    return Someone("", 0, pixels, confidence, (choice + 1).astype(np.int16), frames, poses)


def _within(someone: Someone) -> Someone:
    """Leave out the frames before and after they are there."""
    seen = np.flatnonzero(someone.detection.any(1))
    first, part = int(seen[0]), slice(seen[0], seen[-1] + 1)
    return Someone(
        someone.name,
        first,
        someone.pixels[part],
        someone.confidence[part],
        someone.detection[part],
        someone.frames - first,
        someone.poses,
    )


def _subject(clip: Clip) -> Array:
    choice = choose_subject(clip.cameras, clip.pixels, clip.score)
    for view in choice.unmatched:
        log.warning(
            "%s: nobody in view %s lies where the other views see the subject; the most prominent one is taken",
            clip.where,
            clip.views[view],
        )
    for view, jumps in groupby(choice.jumps, key=lambda jump: jump[0]):
        log.warning(
            "%s: in view %s a track passes between the subject and somebody else at frame %s; it is cut there, and "
            "the one who lies where the other views see the subject is taken",
            clip.where,
            clip.views[view],
            listed(frame for _, frame in jumps),
        )
    return choice.person

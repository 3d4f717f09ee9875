"""Who is seen where and when: a table of all recordings, and what the figure of the most crowded clips shows."""

from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from trilift.geometry.cameras import Cameras
from trilift.geometry.stature import stature
from trilift.ingest.assembled import AssembledCapture, AssembledRecording
from trilift.ingest.people.naming import place

Array = np.ndarray

MOST_CLIPS = 12
_RESOLUTION = 2000  # parts of a recording, of which gaps that are shorter are not shown


class Shown(NamedTuple):
    """Somebody in a clip.

    Attributes
    ----------
    name
        Which of several people, and who that is, if it is stated.
    runs
        By view, (run, 2): when it sees them, from and until, in seconds.
    """

    name: str
    runs: dict[str, Array]


class Clip(NamedTuple):
    """Everybody in a clip, which begins and ends at so many seconds."""

    name: str
    begin: float
    end: float
    people: list[Shown]


class Seen:
    """Who is seen, collected capture by capture; what is kept does not grow with the length of recordings.

    Attributes
    ----------
    clips
        Those with the most people, no more than `MOST_CLIPS`.
    left_out
        How many others there are.
    """

    def __init__(self) -> None:
        self.clips: list[Clip] = []
        self.left_out = 0
        self._rows: list[dict[str, object]] = []
        self._views: list[str] = []

    def add(self, capture: AssembledCapture) -> None:
        """Take up a capture."""
        self._views += [name for name in capture.names_of_views if name not in self._views]
        cameras = Cameras.stack(capture.cameras)
        for recording in capture.recordings:
            poses = place(cameras, recording.pixels)[1]
            self._rows.append(_row(capture, recording, stature(poses, capture.skeleton)))
        for name, group in groupby(capture.recordings, key=lambda recording: recording.clip):
            self.clips.append(_clip(name, list(group), capture))
        self.clips.sort(key=lambda clip: -len(clip.people))
        self.left_out += len(self.clips[MOST_CLIPS:])
        del self.clips[MOST_CLIPS:]

    def table(self) -> pd.DataFrame:
        """Give a row per recording.

        Returns
        -------
        pandas.DataFrame
            ``capture``, ``clip``, ``person`` (empty for who is alone), ``subject``, ``first_frame``, ``last_frame``,
            ``seconds``, ``stature_m`` (estimated), ``by_two_views``: the share of the frames in which two views or
            more see the person, and for each view ``by_<view>``: the share in which it does.
        """
        table = pd.DataFrame(self._rows)
        return table[[name for name in table if name not in set(_shares_of(self._views))] + _shares_of(self._views)]


def _shares_of(views: list[str]) -> list[str]:
    return [f"by_{view}" for view in views]


def _row(capture: AssembledCapture, recording: AssembledRecording, tall: float) -> dict[str, object]:
    seen = recording.detection > 0
    return {
        "capture": capture.name,
        "clip": recording.clip,
        "person": recording.person,
        "subject": recording.subject,
        "first_frame": recording.first_frame,
        "last_frame": recording.last_frame,
        "seconds": len(seen) / capture.source.fps,
        "stature_m": tall,
        "by_two_views": (seen.sum(1) >= 2).mean(),
        **dict(zip(_shares_of(capture.names_of_views), seen.mean(0), strict=True)),
    }


def _clip(name: str, recordings: list[AssembledRecording], capture: AssembledCapture) -> Clip:
    people = []
    for recording in recordings:
        label = recording.person or recording.subject
        if recording.person and recording.subject not in (recording.name, recording.person):
            label += f" ({recording.subject})"
        found = (
            (runs(of_view) + recording.first_frame) / capture.source.fps for of_view in (recording.detection > 0).T
        )
        people.append(Shown(label, dict(zip(capture.names_of_views, found, strict=True))))
    begin = min(recording.first_frame for recording in recordings)
    end = max(recording.last_frame for recording in recordings) + 1
    return Clip(name, begin / capture.source.fps, end / capture.source.fps, people)


def runs(seen: Array) -> Array:
    """Give the first frame of each run of True and the one after its last, (run, 2).

    Gaps shorter than a 2000th of the whole, which no figure shows, are closed.

    Examples
    --------
    >>> runs(np.array([True, True, False, False, True])).tolist()
    [[0, 2], [4, 5]]
    """
    edges = np.flatnonzero(np.diff(seen, prepend=False, append=False))
    begins, ends = edges[::2], edges[1::2]
    apart = begins[1:] - ends[:-1] > len(seen) / _RESOLUTION
    kept = np.concatenate([[True], apart, [True]]) if len(begins) else np.empty(1, bool)
    return np.stack([begins[kept[:-1]], ends[kept[1:]]], -1)

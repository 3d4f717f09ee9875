"""What is drawn over the video of one clip and view: read block by block, projected, drawn and written."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from trilift.captures import reading
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.formats.films import Film
from trilift.geometry.cameras import Cameras, project, project_camera_points
from trilift.project.layout import Layout
from trilift.render.drawing import Layer, Person, draw
from trilift.render.encoding import mp4
from trilift.skeletons import TRAINING_SKELETON
from trilift.style import PEOPLE

_LABEL, _PREDICTED = "#FFFFFF", "#F0E442"


@dataclass(frozen=True)
class Shown:
    """A clip in one view, and the capture that it is part of.

    Attributes
    ----------
    recordings
        Of everybody in the clip, the first to appear first.
    view
        Which.
    index
        Of the view in the capture.
    detections, labels, predictions
        The capture in the files of the flow; None where it has no test frames, and so no predictions.
    """

    recordings: list[Recording]
    view: str
    index: int
    detections: xr.Dataset
    labels: xr.Dataset
    predictions: xr.Dataset | None

    @property
    def clip(self) -> str:
        """Name of the clip."""
        return self.recordings[0].clip

    @property
    def length(self) -> int:
        """Frames from the first in which somebody is there to the last."""
        return max(its.first_frame + its.length for its in self.recordings) - self.recordings[0].first_frame

    @property
    def file_name(self) -> str:
        """Join their names with what every file system takes."""
        return "_".join(re.sub(r"[^\w.-]+", "_", part).strip("._") for part in (self.clip, self.view))


@contextmanager
def open_shown(layout: Layout) -> Iterator[list[Shown]]:
    """Open what was made of a data set, by clip and view.

    Raises
    ------
    InputError
        If a file is missing, or made from other recordings than the others.
    """
    with (
        reading.read(layout.captures, "captures") as detections,
        reading.read(layout.pseudo_labels, "pseudo_labels") as labels,
        reading.read(layout.results / "predictions.nc", "predictions") as predictions,
    ):
        reading.check_same_recordings(layout.pseudo_labels, labels, detections)
        reading.check_same_recordings(layout.results / "predictions.nc", predictions, detections)
        if missing := set(detections) - set(labels):
            raise InputError(f"{layout.pseudo_labels}: made without {sorted(missing)}; make it again")
        yield [
            Shown(people, str(view), index, capture, labels[name], predictions.get(name))
            for name, capture in detections.items()
            for people in _by_clip(reading.recordings(capture))
            for index, view in enumerate(capture["view"].values)
        ]


def _by_clip(recordings: list[Recording]) -> list[list[Recording]]:
    clips: dict[str, list[Recording]] = {}
    for recording in recordings:
        clips.setdefault(recording.clip, []).append(recording)
    return [sorted(people, key=lambda recording: recording.first_frame) for people in clips.values()]


def render(shown: Shown, film: Film, path: Path, advance: Callable[[], object]) -> None:
    """Write the video of a clip and view, with skeletons drawn over it; `advance` is called for each frame.

    Parameters
    ----------
    shown
        What to draw.
    film
        The video, as of the first of the recordings.
    path, advance
        See above.
    """
    first = shown.recordings[0]
    frames = range(first.start, first.start + shown.length)
    black = np.zeros((*film.size[::-1], 3), np.uint8)
    skeletons = (people for block in reading.blocks(shown.length) for people in _people(shown, block))
    with mp4(path, first.fps, film.size) as add:
        for index, image, people in zip(frames, film.images(frames), skeletons, strict=True):
            caption = f"{shown.clip}, {shown.view}, frame {first.number_of(index)}"
            add(draw(black if image is None else image, people, caption))
            advance()


def _people(shown: Shown, block: slice) -> Iterator[list[Person]]:
    """Give who is there in each frame of a block of the clip."""
    there: list[list[Person]] = [[] for _ in range(block.start, block.stop)]
    for number, recording in enumerate(shown.recordings):
        late = recording.first_frame - shown.recordings[0].first_frame
        first, last = max(block.start - late, 0), min(block.stop - late, recording.length)
        if first < last:
            layers = _layers(shown, recording.part(first, last))
            for row, people in enumerate(there[first + late - block.start : last + late - block.start]):
                seen = [(layer, points[row]) for layer, points in layers]
                people.append(Person(recording.person, PEOPLE[number % len(PEOPLE)], seen))
    yield from there


def _layers(shown: Shown, frames: slice) -> list[tuple[Layer, np.ndarray]]:
    """Give what is drawn of one person in frames of the capture: (frame, point, 2)."""
    cameras = Cameras.from_arrays(shown.detections)[[shown.index]]
    (detected,) = reading.load_frames(shown.detections.isel(view=[shown.index]), frames, "pixels")
    (poses,) = reading.load_frames(shown.labels, frames, "training_poses")
    projected = project(cameras, torch.from_numpy(poses).double())
    predicted = _predicted(shown, frames, cameras)
    return [
        (Layer("pseudo-label", TRAINING_SKELETON, _LABEL, 30), projected.numpy()[:, 0]),
        (Layer("predicted from this view alone, in test frames", TRAINING_SKELETON, _PREDICTED, 20), predicted),
        (Layer("detected", reading.skeleton_of(shown.detections), None, 12), detected[:, 0]),
    ]


def _predicted(shown: Shown, frames: slice, cameras: Cameras) -> np.ndarray:
    """Project what was predicted into the view that it was predicted from; NaN where it was not."""
    pixels = np.full((frames.stop - frames.start, len(TRAINING_SKELETON), 2), np.nan)
    if shown.predictions is not None:
        of_capture = shown.predictions["frame_of_capture"].values
        own = np.flatnonzero((of_capture >= frames.start) & (of_capture < frames.stop))
        if len(own):
            view = shown.predictions.isel(view=[shown.index])
            poses, root = reading.load_frames(view, slice(own[0], own[-1] + 1), "poses", "root")
            placed = torch.from_numpy(poses + root[:, :, None]).double()
            pixels[of_capture[own] - frames.start] = project_camera_points(cameras, placed).numpy()[own - own[0], 0]
    return pixels

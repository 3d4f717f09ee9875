"""What is drawn over the video of one recording and view: read block by block, projected, drawn and written."""

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
from trilift.render.drawing import Layer, draw
from trilift.render.encoding import mp4
from trilift.skeletons import TRAINING_SKELETON

_LABEL, _PREDICTED = "#FFFFFF", "#F0E442"


@dataclass(frozen=True)
class Shown:
    """A recording in one view, and the capture that it is part of.

    Attributes
    ----------
    recording, view
        Which.
    index
        Of the view in the capture.
    detections, labels, predictions
        The capture in the files of the flow; None where it has no test frames, and so no predictions.
    """

    recording: Recording
    view: str
    index: int
    detections: xr.Dataset
    labels: xr.Dataset
    predictions: xr.Dataset | None

    @property
    def file_name(self) -> str:
        """Join their names with what every file system takes."""
        return "_".join(re.sub(r"[^\w.-]+", "_", part).strip("._") for part in (self.recording.name, self.view))


@contextmanager
def open_shown(layout: Layout) -> Iterator[list[Shown]]:
    """Open what was made of a data set, by recording and view.

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
            Shown(recording, str(view), index, capture, labels[name], predictions.get(name))
            for name, capture in detections.items()
            for recording in reading.recordings(capture)
            for index, view in enumerate(capture["view"].values)
        ]


def render(shown: Shown, film: Film, path: Path, advance: Callable[[], object]) -> None:
    """Write the video of a recording and view, with skeletons drawn over it; `advance` is called for each frame."""
    recording = shown.recording
    frames = range(recording.start, recording.frames.stop)
    black = np.zeros((*film.size[::-1], 3), np.uint8)
    skeletons = (layer for block in reading.blocks(recording.length) for layer in _layers(shown, block))
    with mp4(path, recording.fps, film.size) as add:
        for index, image, layers in zip(frames, film.images(frames), skeletons, strict=True):
            number = recording.number_of(index)
            caption = f"{recording.name}, {shown.view}, frame {number}"
            add(draw(black if image is None else image, layers, caption))
            advance()


def _layers(shown: Shown, block: slice) -> Iterator[list[tuple[Layer, np.ndarray]]]:
    """Give what is drawn over each frame of a block of the recording."""
    frames = shown.recording.part(block.start, block.stop)
    cameras = Cameras.from_arrays(shown.detections)[[shown.index]]
    (detected,) = reading.load_frames(shown.detections.isel(view=[shown.index]), frames, "pixels")
    (poses,) = reading.load_frames(shown.labels, frames, "training_poses")
    projected = project(cameras, torch.from_numpy(poses).double())
    found = [
        (Layer("pseudo-label", TRAINING_SKELETON, _LABEL, 30), projected.numpy()[:, 0]),
        (Layer("predicted from this view alone, in test frames", TRAINING_SKELETON, _PREDICTED, 20), None),
        (Layer("detected", reading.skeleton_of(shown.detections), None, 12), detected[:, 0]),
    ]
    predicted = _predicted(shown, frames, cameras)
    for row in range(block.stop - block.start):
        yield [(layer, (predicted if points is None else points)[row]) for layer, points in found]


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

"""Motions in the files of the flow: pseudo-labels, references, predictions and exported poses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from trilift.captures import reading
from trilift.captures.reading import blocks, load_frames
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.export.motion import Motion
from trilift.project.layout import Layout

_SOURCES = {
    "pseudo_labels": "pseudo-labels",
    "references": "reference",
    "predictions": "predictions",
    "poses": "poses",
}


@dataclass(frozen=True)
class Clip:
    """A motion in an open file.

    Attributes
    ----------
    motion
        What it is.
    load
        Gives its blocks (frame, keypoint, 3), metres.
    capture
        The capture that it belongs to.
    view
        The view that it was predicted from, if it was.
    """

    motion: Motion
    load: Callable[[], Iterator[np.ndarray]]
    capture: str
    view: str | None = None


@contextmanager
def open_clips(path: Path) -> Iterator[list[Clip]]:
    """Open a file and list what can be exported from it: a clip per recording, of predictions also per view.

    Raises
    ------
    InputError
        If the file holds no motions, or is damaged.
    """
    kind = _kind(path)
    if kind not in _SOURCES:
        raise InputError(
            f"{path}: holds {kind}, expected a file with {', '.join(_SOURCES.values())}, such as "
            "data/pseudo_labels/demo.nc"
        )
    with reading.read(path, kind) as opened:
        clips: list[Clip] = []
        dataset = next((capture.attrs.get("dataset") for capture in opened.values()), None)
        elsewhere = _simulated_in_captures(path, dataset)
        for name, capture in opened.items():
            simulated = {"yes": True, "no": False}.get(str(capture.attrs.get("simulated", elsewhere)))
            for recording in reading.recordings(capture):
                if kind == "predictions":
                    clips += _predicted(path, name, capture, recording, simulated)
                else:
                    clips.append(_whole(kind, name, capture, recording, simulated))
        if not clips:
            raise InputError(f"{path}: holds no recordings")
        yield clips


def _kind(path: Path) -> str:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected pseudo-labels (data/pseudo_labels/<name>.nc), a reference, predictions "
            "(results/<name>/main/predictions.nc) or poses"
        )
    try:
        with h5py.File(path) as file:
            return str(file.attrs.get("kind", "something else"))
    except OSError as error:
        raise InputError(
            f"{path}: no readable netCDF file ({error}); expected pseudo-labels or predictions"
        ) from None


def _whole(kind: str, name: str, capture: xr.Dataset, recording: Recording, simulated: bool | None) -> Clip:
    about = capture.attrs
    poses = kind == "poses"
    filled = load_frames(capture, recording.frames, "filled")[0] > 0 if poses else np.zeros(0, bool)
    motion = Motion(
        name=recording.name,
        keypoints=tuple(capture["keypoint"].values.tolist()),
        fps=recording.fps,
        length=recording.length,
        frame_of_reference=about.get("frame_of_reference", "unknown") if poses else "world",
        source=about.get("source", "unknown") if poses else f"{_SOURCES[kind]} of {about['dataset']}",
        simulated=simulated,
        bones=_bones(capture),
        first_frame=recording.first_frame,
        filled=filled if filled.any() else None,
    )

    def load() -> Iterator[np.ndarray]:
        for block in blocks(recording.length):
            yield load_frames(capture, recording.part(block.start, block.stop), "poses")[0]

    return Clip(motion, load, name)


def _predicted(
    path: Path, name: str, capture: xr.Dataset, recording: Recording, simulated: bool | None
) -> list[Clip]:
    """Give a clip per view. A frame that was not predicted, between two that were, is a frame of missing points."""
    of_capture = capture["frame_of_capture"].values
    rows = np.flatnonzero((of_capture >= recording.start) & (of_capture < recording.frames.stop))
    if not len(rows):
        return []
    frames = of_capture[rows]
    if (np.diff(rows) != 1).any() or (np.diff(frames) < 1).any():
        raise InputError(f"{path}, capture {name}: its frames are out of order; run `trilift evaluate` again")
    first, length = int(frames[0]), int(frames[-1] - frames[0]) + 1

    def load(view: int) -> Iterator[np.ndarray]:
        of_view = capture.isel(view=view)
        for block in blocks(length):
            begin, end = np.searchsorted(frames, [first + block.start, first + block.stop])
            poses, root = load_frames(of_view, slice(rows[0] + begin, rows[0] + end), "poses", "root")
            placed = np.full((block.stop - block.start, *poses.shape[1:]), np.nan, np.float32)
            placed[frames[begin:end] - first - block.start] = poses + root[:, None]
            yield placed

    return [
        Clip(
            Motion(
                name=recording.name,
                keypoints=tuple(capture["joint"].values.tolist()),
                fps=recording.fps,
                length=length,
                frame_of_reference=f"camera {view}",
                source=f"predictions of {capture.attrs['dataset']}",
                simulated=simulated,
                bones=_bones(capture),
                first_frame=recording.number_of(first),
            ),
            partial(load, index),
            name,
            view,
        )
        for index, view in enumerate(capture["view"].values.tolist())
    ]


def _bones(capture: xr.Dataset) -> tuple[tuple[str, str], ...]:
    return reading.skeleton_of(capture).bones if reading.has_skeleton(capture) else ()


def _simulated_in_captures(path: Path, dataset: str | None) -> str | None:
    """Look up what only captures say of simulation, where they lie in a project around the file."""
    files = [Layout(dataset, folder).captures for folder in path.absolute().parents] if dataset else []
    for file in files:
        if file.exists():
            with reading.read(file, "captures") as opened:
                return next(iter(opened.values())).attrs.get("simulated")
    return None

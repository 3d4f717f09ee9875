"""The flow's own files, as another project or `simulate` made them: detections and cameras, and references."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from trilift.captures import reading
from trilift.captures.hdf5 import holds
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, DetectedRecording, DetectedView, ReferenceRecording, Stated
from trilift.formats.camera_fields import camera_name, check_camera
from trilift.formats.checks import check_frames, check_not_infinite
from trilift.formats.names import name_for_files
from trilift.skeletons import Skeleton


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    return holds(path, lambda file: file.attrs.get("kind") == "captures")


def frame_rate(path: Path) -> float | None:
    """Give the frames per second, if all recordings have the same."""
    with _opened(path, "captures") as opened:
        rates = {recording.fps for capture in opened.values() for recording in reading.recordings(capture)}
    return rates.pop() if len(rates) == 1 else None


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the detections, recording by recording; `name` is not used, as the file names them.

    Raises
    ------
    InputError
        If the file is damaged or no such file.
    """
    for capture, skeleton, recording, names, (pixels, confidence) in _recordings(
        path, "captures", 2, "pixels", "confidence"
    ):
        yield DetectedRecording(
            **names,
            subject=recording.subject,
            action=recording.action,
            skeleton=skeleton,
            views=[
                DetectedView(str(view), pixels[:, [number]], confidence[:, [number]], recording.first_frame)
                for number, view in enumerate(capture["view"].values)
            ],
        )


def read_reference(path: Path) -> Iterator[ReferenceRecording]:
    """Read reference poses, recording by recording.

    Raises
    ------
    InputError
        If the file is damaged or no such file.
    """
    for _, skeleton, _, names, (poses,) in _recordings(path, "references", 3, "poses"):
        yield ReferenceRecording(**names, skeleton=skeleton, poses=poses)


def _recordings(
    path: Path, kind: str, space: int, *variables: str
) -> Iterator[tuple[xr.Dataset, Skeleton, Recording, dict[str, str], tuple[np.ndarray, ...]]]:
    """Give each recording: its capture, skeleton and table row, the names of capture and recording, and arrays."""
    with _opened(path, kind) as opened:
        for group, capture in opened.items():
            where = f"{path}, capture {group}"
            skeleton = reading.skeleton_of(capture, where)
            if capture.sizes["keypoint"] != len(skeleton) or capture.sizes["space"] != space:
                raise InputError(f"{where}: damaged, its axes do not fit {skeleton.name}; make it again")
            for recording in reading.recordings(capture):
                arrays = _load(path, capture, recording, *variables)
                names = {
                    "capture": name_for_files(group, str(path)),
                    "name": name_for_files(recording.name, where),
                }
                yield capture, skeleton, recording, names, arrays


def list_cameras(path: Path) -> dict[str, list[CameraEntry]]:
    """List the cameras of every capture.

    Raises
    ------
    InputError
        If the file is damaged or no such file.
    """
    fields = ("K", "distortion", "R", "t", "image_size")
    with _opened(path, "captures") as opened:
        rigs = {}
        for group, capture in opened.items():
            values = [capture[field].values for field in fields]
            shapes = [array.shape[1:] for array in values]
            if shapes != [(3, 3), (5,), (3, 3), (3,), (2,)]:
                raise InputError(
                    f"{path}, capture {group}: damaged, its cameras have the shapes {shapes}; make it again"
                )
            rigs[name_for_files(group, str(path))] = [
                _entry(f"{path}, capture {group}", Camera(str(view), *camera))
                for view, *camera in zip(capture["view"].values, *values, strict=True)
            ]
    return rigs


def _entry(where: str, camera: Camera) -> CameraEntry:
    name = camera_name(where, camera.name)
    where = f"{where}, camera {name}"
    return CameraEntry(name, where, partial(_camera, where, camera))


def _camera(where: str, camera: Camera, stated: Stated) -> Camera:
    size = camera.image_size if stated.image_size is None else np.array(stated.image_size)
    return check_camera(replace(camera, image_size=size), where)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[dict[str, xr.Dataset]]:
    try:
        with reading.read(path, kind) as opened:
            yield opened
    except InputError:
        raise
    except Exception as error:  # the libraries below fail in many ways
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error!s:.200}); copy or make it again") from None


def _load(path: Path, capture: xr.Dataset, recording: Recording, *names: str) -> tuple[np.ndarray, ...]:
    if not 0 <= recording.start <= recording.start + recording.length <= capture.sizes["frame"]:
        raise InputError(f"{path}, recording {recording.name}: damaged, lies outside its capture; make it again")
    check_frames(recording.first_frame, recording.length, recording.length, f"{path}, recording {recording.name}")
    loaded = reading.load_frames(capture, recording.frames, *names)
    for array in loaded:
        check_not_infinite(array, f"{path}, recording {recording.name}")
    return loaded

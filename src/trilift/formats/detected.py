"""What the stage detect writes: everybody whom a detector finds in every frame of every video, with their boxes.

A netCDF file with a group for each video. Its rows are people, in the order of the frames: the row's frame, x and y
of the keypoints (px), their confidence, the box, and the mean confidence. Its attributes name recording and view, and
say how many frames there are.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from trilift.captures import hdf5
from trilift.errors import InputError
from trilift.formats import MOST_PEOPLE, DetectedRecording, DetectedView
from trilift.formats.checks import check_frames, check_not_infinite
from trilift.formats.names import name_for_files
from trilift.project.layout import within_project
from trilift.skeletons import SKELETONS, Skeleton

KIND = "detections"
Thing = TypeVar("Thing")


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    return hdf5.holds(path, lambda file: file.attrs.get("kind") == KIND)


def frame_rate(path: Path) -> float:
    """Give the frames per second."""
    return _read(path, lambda file: float(np.ravel(file.attrs["fps"])[0]))


def detector_of(path: Path) -> str:
    """Say what found the people."""
    return _read(path, lambda file: str(file.attrs["detections_from"]))


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the detections, recording by recording; one without a name of its own gets that given.

    Raises
    ------
    InputError
        If the file is damaged, not there, or no such file.
    """
    skeleton = _read(path, lambda file: SKELETONS[file.attrs["skeleton"]])
    groups = _read(path, lambda file: [(group, str(file[group].attrs["recording"])) for group in file])
    for recording in dict.fromkeys(recording for _, recording in groups):
        own = [group for group, of in groups if of == recording]
        views = [_read(path, partial(_view, name=group, skeleton=skeleton, path=path)) for group in own]
        own_name = name_for_files(recording, str(path)) if recording else name
        yield DetectedRecording.of_its_own(own_name, skeleton, views)


def _read(path: Path, get: Callable[[h5py.File], Thing]) -> Thing:
    if not path.exists():
        raise InputError(f"{path}: not there; make it first (snakemake --cores all {within_project(path)})")
    try:
        with h5py.File(path, "r") as file:
            hdf5.check(file, path)
            if file.attrs.get("kind") != KIND:
                raise InputError(f"{path}: not what the stage detect writes; make it again")
            return get(file)
    except InputError:
        raise
    except Exception as error:  # h5py fails in many ways
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error!s:.200}); make it again") from None


def _view(file: h5py.File, name: str, skeleton: Skeleton, path: Path) -> DetectedView:
    group = file[name]
    name = str(group.attrs["view"])
    where = f"{path}, {name!a:.60}"
    first, length = (int(np.ravel(group.attrs[attribute])[0]) for attribute in ("first_frame", "frames"))
    frame = group["frame"][:].astype(np.int64)
    shapes = [group[variable].shape for variable in ("pixels", "confidence")]
    if shapes != [(len(frame), len(skeleton), 2), (len(frame), len(skeleton))]:
        raise InputError(f"{where}: damaged, its axes do not fit {skeleton.name}; make it again")
    if len(frame) and not (frame[0] >= 0 and (np.diff(frame) >= 0).all() and frame[-1] < length):
        raise InputError(f"{where}: damaged, its frames are not in order; make it again")
    check_frames(first, length, len(frame), where)
    pixels, confidence = group["pixels"][:], group["confidence"][:]
    check_not_infinite(pixels, where)
    surest = np.lexsort((-np.nansum(confidence, -1), frame))  # within a frame
    rank = np.arange(len(frame)) - np.searchsorted(frame, frame)
    kept = rank < MOST_PEOPLE
    of, place = surest[kept], (frame[kept], rank[kept])
    people = max(rank[kept], default=0) + 1
    found = np.full((length, people, len(skeleton), 2), np.nan, np.float32)
    sure = np.zeros(found.shape[:-1], np.float32)
    found[place], sure[place] = pixels[of], np.nan_to_num(confidence[of]).clip(0, 1)
    found[~(sure > 0)] = np.nan
    width, height = (int(side) for side in group.attrs["image_size"])
    return DetectedView(name, found, sure, first, image_size=(width, height))

"""Writing of detections, a group per video; `trilift.formats.detected` reads them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5netcdf
import h5py
import numpy as np

from trilift.captures import hdf5
from trilift.captures.writing import new_file
from trilift.detect.detectors.serving import People
from trilift.formats.detected import KIND
from trilift.skeletons import Skeleton

FIRST = "000000"  # name of the first group
_ROWS = 256  # that are written at a time
_VARIABLES = {
    "frame": ((), "i4", "1", "number of the frame, counted from the first"),
    "pixels": (("keypoint", "space"), "f4", "px", "keypoints of a person, with lens distortion"),
    "confidence": (("keypoint",), "f4", "1", "of the keypoints, 0 to 1"),
    "box": (("edge",), "f4", "px", "around the person: left, top, right, bottom"),
    "score": ((), "f4", "1", "mean confidence of the keypoints"),
}


class Archive:
    """A file of detections that is being written; `create` makes one."""

    def __init__(self, file: h5netcdf.File, skeleton: Skeleton, check: Callable[[], None]):
        self._file, self._skeleton, self._check = file, skeleton, check

    def add(self, people: Iterable[tuple[int, People]], about: Callable[[], dict[str, Any]]) -> None:
        """Add a video.

        Parameters
        ----------
        people
            Who is in its frames, by the frames' numbers in their order.
        about
            Gives its attributes, when all of them are known.
        """
        group = self._new_group()
        rows: list[dict[str, Any]] = []
        for number, (keypoints, boxes) in people:
            if not len(boxes):
                continue
            confidence = keypoints[..., 2].clip(0, 1)
            columns = (keypoints[..., :2], confidence, boxes, confidence.mean(1))
            rows += [dict(zip(_VARIABLES, (number, *values), strict=True)) for values in zip(*columns, strict=True)]
            if len(rows) >= _ROWS:
                self._append(group, {name: np.stack([row[name] for row in rows]) for name in _VARIABLES})
                rows = []
        if rows:
            self._append(group, {name: np.stack([row[name] for row in rows]) for name in _VARIABLES})
        group.attrs.update(about())

    def copy(self, stored: h5py.Group) -> None:
        """Add a video from another such file."""
        group = self._new_group()
        for begin in range(0, len(stored["frame"]), _ROWS):
            self._append(group, {name: stored[name][begin : begin + _ROWS] for name in _VARIABLES})
        group.attrs.update(dict(stored.attrs))

    def _new_group(self) -> h5netcdf.Group:
        group = self._file.create_group(f"{len(self._file.groups):0{len(FIRST)}d}")
        group.dimensions = {"person": None, "keypoint": len(self._skeleton), "space": 2, "edge": 4}
        group.create_variable("keypoint", ("keypoint",), dtype=h5py.string_dtype())[...] = np.array(
            self._skeleton.keypoints, dtype=object
        )
        for name, (dims, dtype, unit, meaning) in _VARIABLES.items():
            chunks = (_ROWS, *(group.dimensions[dim].size for dim in dims))
            created = group.create_variable(name, ("person", *dims), dtype=dtype, chunks=chunks)
            created.attrs["units"], created.attrs["long_name"] = unit, meaning
        return group

    def _append(self, group: h5netcdf.Group, values: dict[str, np.ndarray]) -> None:
        begin = group.dimensions["person"].size
        group.resize_dimension("person", begin + len(values["frame"]))
        for name, block in values.items():
            group[name][begin:] = block
        self._check()


@contextmanager
def create(path: Path, skeleton: Skeleton, detections_from: str, fps: float) -> Iterator[Archive]:
    """Write a file of detections, which appears when the block ends without an error."""
    with new_file(path) as (file, check):
        facts = {"kind": KIND, "skeleton": skeleton.name, "detections_from": detections_from, "fps": float(fps)}
        file.attrs.update(facts)
        yield Archive(file, skeleton, check)


class Stored(NamedTuple):
    """Where a video lies: a file of detections, and the group in it."""

    path: Path
    group: str


def find(path: Path, made_of: str) -> Stored | None:
    """Find the video that was made of this (an attribute), in a file that may not be there, or be damaged."""
    found: list[str] = []

    def look(file: h5py.File) -> bool:
        found.extend(group for group in file if file[group].attrs.get("made_of") == made_of)
        return bool(found)

    return Stored(path, found[0]) if path.exists() and hdf5.holds(path, look) else None

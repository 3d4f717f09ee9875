"""Writing of the files that flow between stages, block by block."""

import ctypes
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from trilift.captures.schema import LABELS, SCHEMAS, Recording
from trilift.project.files import replacing
from trilift.skeletons import SKELETONS, TRAINING_SKELETON, Skeleton


class _Target(io.FileIO):
    """What HDF5 writes to. It crashes where a write fails, or where it reads what it could not write.

    So it is not told: what comes after a failed write stays in memory until `check` tells.
    """

    _failed: OSError | None = None
    _kept: list[tuple[int, bytes]]

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        begin, size = self.tell(), len(rest)
        if self._failed:
            self._kept.append((begin, bytes(rest)))
            return size
        try:
            while len(rest):
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._failed = error
            self._kept = [(begin, bytes(data))]
        return size

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        begin = self.tell()
        read = super().readinto(into)
        into[read:] = bytes(len(into) - read)
        if self._failed:
            for at, data in self._kept:
                first, last = max(at, begin), min(at + len(data), begin + len(into))
                if first < last:
                    into[first - begin : last - begin] = data[first - at : last - at]
        return len(into)

    def check(self) -> None:
        if self._failed:
            raise self._failed


class CaptureWriter:
    """One capture of a file that is being written."""

    def __init__(self, group: h5netcdf.Group, kind: str, check: Callable[[], None]):
        self._group = group
        self._schema = SCHEMAS[kind]
        self._check = check

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole variable of the schema."""
        if values.dtype.kind not in "fiu":
            raise TypeError(f"{name} holds {values.dtype}")
        self._group[name][...] = values

    def write_block(self, frames: slice, **values: np.ndarray) -> None:
        """Write some frames of one or more variables of the schema."""
        for name, block in values.items():
            self._group[name][frames] = block.astype(self._schema[name].dtype)
        self._check()


def _return_freed_memory() -> None:
    """Give what is free back to the system: glibc keeps more of it with every capture, between pieces in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim:
            trim(0)


class Writer:
    """A file that is being written; `create` makes one."""

    def __init__(self, file: h5netcdf.File, kind: str, check: Callable[[], None]):
        self._file = file
        self._kind = kind
        self._check = check

    def add_capture(
        self,
        name: str,
        *,
        recordings: list[Recording],
        skeleton: Skeleton,
        views: list[str] | None = None,
        frames: int | None = None,
        attributes: dict[str, str] | None = None,
        units: dict[str, str] | None = None,
    ) -> CaptureWriter:
        """Add a capture with all variables of the file's kind, unfilled.

        Parameters
        ----------
        name
            Name of the capture.
        recordings
            In the order of their frames.
        skeleton
            Names the axis ``keypoint``; one's own is defined in the file.
        views
            Names of the cameras, where the kind of file has the axis ``view``.
        frames
            Length of the axis ``frame``; by default what the recordings add up to.
        attributes
            Further facts, such as ``detections_from``.
        units
            Of variables, where they are not always the schema's.
        """
        group = self._file.create_group(name)
        group.attrs["skeleton"] = skeleton.name
        if skeleton.name not in SKELETONS and self._kind != "poses":  # of these, names and bones are all there is
            group.attrs["skeleton_definition"] = json.dumps(skeleton.definition, ensure_ascii=False)
        group.attrs.update(attributes or {})
        sizes = {
            "frame": sum(recording.length for recording in recordings) if frames is None else frames,
            "keypoint": len(skeleton),
            "joint": len(TRAINING_SKELETON),
            "view": len(views or ()),
            "row": 3,
            "column": 3,
            "side": 2,
            "coefficient": 5,
            "entry": 6,
            "space": 2 if self._kind == "captures" else 3,
        }
        schema = SCHEMAS[self._kind]
        used = [dim for dim in sizes if any(dim in variable.dims for variable in schema.values())]
        group.dimensions = {dim: sizes[dim] for dim in used} | {"recording": len(recordings)}
        labels = {"keypoint": list(skeleton.keypoints), "view": views or []}
        for dim in used:
            names = labels.get(dim) or LABELS.get(dim, {}).get(sizes[dim])
            if names:
                self._add_strings(group, dim, dim, names)
        for variable, about in schema.items():
            # Values that were never written read as missing. For whole numbers there is no such mark: they are 0.
            empty = np.nan if about.dtype.startswith("f") else None
            created = group.create_variable(variable, about.dims, dtype=about.dtype, fillvalue=empty)
            created.attrs["units"] = (units or {}).get(variable, about.units)
            created.attrs["long_name"] = about.meaning
        self._add_recordings(group, recordings)
        _return_freed_memory()
        return CaptureWriter(group, self._kind, self._check)

    def _add_strings(self, group: h5netcdf.Group, name: str, dim: str, values: list[str]) -> None:
        variable = group.create_variable(name, (dim,), dtype=h5py.string_dtype())
        variable[...] = np.array(values, dtype=object)

    def _add_recordings(self, group: h5netcdf.Group, recordings: list[Recording]) -> None:
        for field in ("name", "subject", "action", "person"):
            self._add_strings(
                group,
                f"recording_{field}",
                "recording",
                [getattr(recording, field) for recording in recordings],
            )
        for field, dtype in (("fps", "f8"), ("start", "i8"), ("length", "i8"), ("first_frame", "i8")):
            values = np.array([getattr(recording, field) for recording in recordings], dtype)
            group.create_variable(f"recording_{field}", ("recording",), data=values)
        if "frame" in group.dimensions and self._kind != "predictions":
            index = np.repeat(np.arange(len(recordings), dtype="i4"), [recording.length for recording in recordings])
            group.create_variable("recording_of_frame", ("frame",), data=index)


@contextmanager
def create(path: Path, kind: str, **attributes: str) -> Iterator[Writer]:
    """Write a file of the flow.

    Parameters
    ----------
    path
        Where it appears, complete, when the block ends without an error.
    kind
        A key of `SCHEMAS`.
    attributes
        Facts about the whole data set.

    Examples
    --------
    >>> with create(Path("demo.nc"), "references") as file:          # doctest: +SKIP
    ...     capture = file.add_capture("S1", recordings=recordings, skeleton=H36M17)
    ...     capture.write_block(slice(0, 100), poses=poses)
    """
    with new_file(path) as (file, check):
        file.attrs["kind"] = kind
        file.attrs.update(attributes)
        yield Writer(file, kind, check)


@contextmanager
def new_file(path: Path) -> Iterator[tuple[h5netcdf.File, Callable[[], None]]]:
    """Write a netCDF file of any content; with it comes what raises an error once something could not be written."""
    with replacing(path) as temporary, _Target(temporary, "w+") as target:
        try:
            with h5netcdf.File(target, "w") as file:
                yield file, target.check
        finally:
            target.check()

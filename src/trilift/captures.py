"""The data that flows between stages: names, axes, units, validation, reading and writing.

A file holds one data set with one netCDF group per capture. Axes are named and in the order frame, view,
keypoint, space. NaN means missing; zero never does. `SCHEMAS` states what each kind of file holds. Writers fill
a temporary file block by block and rename it when it is complete; readers load blocks of frames on demand, so
that memory does not grow with the length of a recording. A file is bit-identical when its content is.
"""

import ctypes
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from trilift import hdf5
from trilift.errors import InputError
from trilift.project.files import replacing
from trilift.project.layout import within_project
from trilift.skeletons import SKELETONS, TRAINING_SKELETON, Skeleton

FRAMES_PER_BLOCK = 8192
"""How many frames are in memory at a time. No result depends on it."""


class Variable(NamedTuple):
    dims: tuple[str, ...]
    dtype: str
    units: str
    meaning: str


_CAMERAS = {
    "K": Variable(("view", "row", "column"), "f8", "px", "intrinsic matrix"),
    "distortion": Variable(("view", "coefficient"), "f8", "1", "k1 k2 p1 p2 k3 (OpenCV)"),
    "R": Variable(("view", "row", "column"), "f8", "1", "rotation, x_camera = R x_world + t"),
    "t": Variable(("view", "row"), "f8", "m", "translation, x_camera = R x_world + t"),
    "image_size": Variable(("view", "side"), "i4", "px", "width and height"),
}

SCHEMAS: dict[str, dict[str, Variable]] = {
    "captures": {
        "keypoints_2d": Variable(
            ("frame", "view", "keypoint", "space"), "f4", "px", "detections, in the detector's own skeleton"
        ),
        "confidence": Variable(("frame", "view", "keypoint"), "f4", "1", "0 to 1; 0 where the keypoint is missing"),
        **_CAMERAS,
    },
    "references": {
        "keypoints_3d": Variable(("frame", "keypoint", "space"), "f4", "m", "reference pose, world frame"),
    },
    "pseudo_labels": {
        "keypoints_3d": Variable(
            ("frame", "keypoint", "space"), "f4", "m", "triangulated, world frame, the detector's skeleton"
        ),
        "joints_3d": Variable(
            ("frame", "joint", "space"), "f4", "m", "the same in the training skeleton, derived in 3D"
        ),
        "covariance": Variable(
            ("frame", "keypoint", "entry"), "f4", "m2", "of keypoints_3d, as far as their own frame tells"
        ),
        "reprojection_error": Variable(
            ("frame", "view", "keypoint"), "f4", "px", "distance of the reprojection from the detection"
        ),
        "inlier": Variable(("frame", "view", "keypoint"), "i1", "1", "1 where the detection was used"),
        "views_used": Variable(("frame", "keypoint"), "i1", "1", "number of detections used"),
        "swapped": Variable(("frame", "view"), "i1", "1", "1 where left and right were exchanged before use"),
        "filled": Variable(("frame", "keypoint"), "i1", "1", "1 where the keypoint follows from others, not views"),
    },
    "predictions": {
        "joints_3d": Variable(
            ("frame", "view", "joint", "space"),
            "f4",
            "m",
            "predicted from this view alone, camera frame, root at 0",
        ),
        "root": Variable(
            ("frame", "view", "space"), "f4", "m", "where the root is, from this view alone, camera frame"
        ),
        "pose_error": Variable(
            ("frame", "view"), "f4", "mm or px", "mean error of the joints: from the reference, or in the other views"
        ),
        "frame_of_capture": Variable(("frame",), "i4", "1", "index of the frame in the capture"),
    },
    "poses": {
        "keypoints_3d": Variable(
            ("frame", "keypoint", "space"), "f4", "m", "pose, in the frame that frame_of_reference names"
        ),
    },
}

_LABELS = {
    "space": {2: ["x", "y"], 3: ["x", "y", "z"]},
    "side": {2: ["width", "height"]},
    "coefficient": {5: ["k1", "k2", "p1", "p2", "k3"]},
    "entry": {6: ["xx", "xy", "xz", "yy", "yz", "zz"]},
    "joint": {len(TRAINING_SKELETON): list(TRAINING_SKELETON.keypoints)},
}


@dataclass(frozen=True)
class Recording:
    """One synchronised clip of one person.

    Attributes
    ----------
    name, subject, action
        What it is called, and who does what.
    fps
        Frames per second.
    start
        Index of its first frame in the capture.
    length
        Number of frames.
    first_frame
        Number of its first frame, as the video counts.
    """

    name: str
    subject: str
    action: str
    fps: float
    start: int
    length: int
    first_frame: int = 0

    @property
    def frames(self) -> slice:
        return self.part(0, self.length)

    def number_of(self, in_capture: int) -> int:
        """Give the number of a frame, as the video counts, by its index in the capture."""
        return self.first_frame + in_capture - self.start

    def part(self, first: int, last: int) -> slice:
        """Give the frames of the capture that are frames `first` to `last` (exclusive) of the recording."""
        return slice(self.start + first, self.start + last)


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

    def __init__(self, group: h5netcdf.Group, kind: str, target: _Target):
        self._group = group
        self._schema = SCHEMAS[kind]
        self._target = target

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole variable of the schema."""
        if values.dtype.kind not in "fiu":
            raise TypeError(f"{name} holds {values.dtype}")
        self._group[name][...] = values

    def write_block(self, frames: slice, **values: np.ndarray) -> None:
        """Write some frames of one or more variables of the schema."""
        for name, block in values.items():
            self._group[name][frames] = block.astype(self._schema[name].dtype)
        self._target.check()


def _return_freed_memory() -> None:
    """Give what is free back to the system: glibc keeps more of it with every capture, between pieces in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim:
            trim(0)


class Writer:
    """A file that is being written; `create` makes one."""

    def __init__(self, file: h5netcdf.File, kind: str, target: _Target):
        self._file = file
        self._kind = kind
        self._target = target

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
            Names the axis ``keypoint``.
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
            names = labels.get(dim) or _LABELS.get(dim, {}).get(sizes[dim])
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
        return CaptureWriter(group, self._kind, self._target)

    def _add_strings(self, group: h5netcdf.Group, name: str, dim: str, values: list[str]) -> None:
        variable = group.create_variable(name, (dim,), dtype=h5py.string_dtype())
        variable[...] = np.array(values, dtype=object)

    def _add_recordings(self, group: h5netcdf.Group, recordings: list[Recording]) -> None:
        for field in ("name", "subject", "action"):
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
    ...     capture.write_block(slice(0, 100), keypoints_3d=poses)
    """
    with replacing(path) as temporary, _Target(temporary, "w+") as target:
        try:
            with h5netcdf.File(target, "w") as file:
                file.attrs["kind"] = kind
                file.attrs.update(attributes)
                yield Writer(file, kind, target)
        finally:
            target.check()


@contextmanager
def read(path: Path, kind: str) -> Iterator[dict[str, xr.Dataset]]:
    """Open a file of the flow: the captures by name, their values loaded when asked for.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind, or lacks a variable or an axis of the schema.
    """
    if not path.exists():
        raise InputError(
            f"{path}: not there; run the stage that makes it first (snakemake --cores all {within_project(path)})"
        )
    with ExitStack() as stack:
        try:
            path.open("rb").close()  # HDF5 is less clear about why it may not
            file = stack.enter_context(h5py.File(path))
            hdf5.check(file, path)
            facts = _attributes(file)
            groups = {name: _open(group) for name, group in file.items() if isinstance(group, h5py.Group)}
        except (PermissionError, InputError):
            raise
        except Exception as error:  # of many kinds, where HDF5's own tables are damaged
            raise InputError(f"{path}: no readable netCDF file ({error}); delete it and make it again") from None
        if facts.get("kind") != kind:
            raise InputError(f"{path}: holds {facts.get('kind', 'something else')}, expected {kind}")
        opened = {name: dataset.assign_attrs(facts | dataset.attrs) for name, dataset in groups.items()}
        for name, dataset in opened.items():
            for variable, about in SCHEMAS[kind].items():
                if variable not in dataset or dataset[variable].dims != about.dims:
                    raise InputError(f"{path}, capture {name}: lacks {variable} with axes {about.dims}")
            _check_skeleton(dataset, f"{path}, capture {name}")
            try:
                recordings(dataset)
            except (KeyError, ValueError, OSError) as error:
                raise InputError(f"{path}, capture {name}: no table of its recordings ({error})") from None
        yield opened


class _Stored(BackendArray):
    """A variable in its file, of which xarray loads what is asked for."""

    def __init__(self, stored: h5py.Dataset):
        text = h5py.check_string_dtype(stored.dtype) is not None
        self._values = stored.asstr() if text else stored
        self.shape, self.dtype = stored.shape, np.dtype(object) if text else stored.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._values.__getitem__)


_OF_THE_FORMAT = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_FillValue", "_NCProperties"}


def _attributes(member: h5py.HLObject) -> dict[str, Any]:
    """Give the attributes without those by which netCDF is made of HDF5."""
    values = {
        name: member.attrs[name] for name in member.attrs if name not in _OF_THE_FORMAT and "_Netcdf4" not in name
    }
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def _open(group: h5py.Group) -> xr.Dataset:
    """Open a group as xarray would.

    xarray's reader asks HDF5 for the names of every variable's axes, each of which HDF5 seeks in the whole file: to
    open 200 captures took minutes.
    """
    members = {name: member for name, member in group.items() if isinstance(member, h5py.Dataset)}
    axes = {member.id: name for name, member in members.items() if member.is_scale}
    variables = {}
    for name, member in members.items():
        if member.id in axes:
            if member.attrs["NAME"].startswith(b"This is a netCDF dimension but not a netCDF variable"):
                continue
            dims = [name]
        else:
            scales = (h5py.h5r.dereference(of_axis[0], member.id) for of_axis in member.attrs["DIMENSION_LIST"])
            dims = [axes[scale] for scale in scales]
        variables[name] = xr.Variable(dims, indexing.LazilyIndexedArray(_Stored(member)), _attributes(member))
    return xr.Dataset(variables, attrs=_attributes(group))


def _check_skeleton(dataset: xr.Dataset, where: str) -> None:
    """Refuse keypoints that are not those of the skeleton which the file names."""
    skeleton = SKELETONS.get(dataset.attrs.get("skeleton", ""))
    if skeleton is None or "keypoint" not in dataset.coords:
        return
    names = tuple(str(name) for name in dataset["keypoint"].values)
    if names != skeleton.keypoints:
        raise InputError(
            f"{where}: its keypoints ({len(names)}: {', '.join(names[:3])}, ...) are not those of the skeleton "
            f"{skeleton.name} that it names; make it again"
        )


def recordings(capture: xr.Dataset) -> list[Recording]:
    """Read the table of a capture's recordings."""
    columns = zip(
        *(
            capture[f"recording_{field}"].values.tolist()
            for field in ("name", "subject", "action", "fps", "start", "length", "first_frame")
        ),
        strict=True,
    )
    return [Recording(*row) for row in columns]


def check_same_recordings(path: Path, captures: dict[str, xr.Dataset], made_from: dict[str, xr.Dataset]) -> None:
    """Refuse a file that was made from other captures than the present ones.

    Raises
    ------
    InputError
        Naming the file and the capture.
    """
    for name, capture in captures.items():
        if name not in made_from or recordings(capture) != recordings(made_from[name]):
            raise InputError(f"{path}: made from other recordings of '{name}' than the present ones; make it again")


def spread_runs(lengths: Sequence[int], most: int, frames: int) -> Iterator[tuple[int, int, int]]:
    """Pick runs of consecutive frames from all over recordings, no frame twice.

    Parameters
    ----------
    lengths
        Frames of each recording.
    most
        How many runs, if none reaches into a further recording: there it goes on as another.
    frames
        How long a run is, at most.

    Yields
    ------
    recording, first, last
        Number of the recording, and which of its frames (`last` exclusive).
    """
    total = sum(lengths)
    number = min(most, -(-total // frames))
    for run in range(number):
        begin, end = run * total // number, (run + 1) * total // number
        begin += max(0, end - begin - frames) // 2
        end = min(end, begin + frames)
        start = 0
        for recording, length in enumerate(lengths):
            first, last = max(begin - start, 0), min(end - start, length)
            if first < last:
                yield recording, first, last
            start += length


def blocks(frames: int, size: int | None = None) -> Iterator[slice]:
    """Cut `frames` frames into blocks of `size`, by default `FRAMES_PER_BLOCK`.

    Examples
    --------
    >>> list(blocks(5, size=2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = size or FRAMES_PER_BLOCK
    for start in range(0, frames, size):
        yield slice(start, min(start + size, frames))


def load_frames(capture: xr.Dataset, frames: slice, *names: str) -> tuple[np.ndarray, ...]:
    """Load some frames of some variables."""
    return tuple(capture[name].isel(frame=frames).values for name in names)

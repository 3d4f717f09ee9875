"""Reading of the files that flow between stages: checked when opened, blocks of frames on demand."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from trilift.captures import hdf5
from trilift.captures.schema import SCHEMAS, Recording
from trilift.errors import InputError
from trilift.project.layout import within_project
from trilift.skeletons import SKELETONS, Skeleton
from trilift.skeletons.definition import of_definition

FRAMES_PER_BLOCK = 8192
"""How many frames are in memory at a time. No result depends on it."""


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
    if "keypoint" not in dataset.coords or not has_skeleton(dataset):
        return
    skeleton = skeleton_of(dataset, where)
    names = tuple(str(name) for name in dataset["keypoint"].values)
    if names != skeleton.keypoints:
        raise InputError(
            f"{where}: its keypoints ({len(names)}: {', '.join(names[:3])}, ...) are not those of the skeleton "
            f"{skeleton.name} that it names; make it again"
        )


def has_skeleton(capture: xr.Dataset) -> bool:
    """Tell whether the layout of a capture's keypoints is known: of poses that were exported it may not be."""
    return capture.attrs.get("skeleton") in SKELETONS or "skeleton_definition" in capture.attrs


def skeleton_of(capture: xr.Dataset, where: str = "a capture") -> Skeleton:
    """Give the layout of a capture's keypoints, one's own as the file defines it.

    Raises
    ------
    InputError
        If the name is unknown and the file has no definition, or a damaged one.
    """
    name = capture.attrs["skeleton"]
    if name in SKELETONS:
        return SKELETONS[name]
    try:
        definition = json.loads(capture.attrs["skeleton_definition"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{where}: no definition of its skeleton {name!a:.60} ({error}); make it again") from None
    return of_definition(name, definition, f"{where}, skeleton {name!a:.60}")


def recordings(capture: xr.Dataset) -> list[Recording]:
    """Read the table of a capture's recordings."""
    columns = zip(
        *(
            capture[f"recording_{field}"].values.tolist()
            for field in ("name", "subject", "action", "fps", "start", "length", "first_frame", "person")
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

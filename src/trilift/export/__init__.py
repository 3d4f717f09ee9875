"""3D motions and lifters in the formats that other programs read."""

import importlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.export.motion import Motion, NoPoints, prepare

__all__ = ["FORMATS", "Motion", "NoPoints", "write"]

# Imported when used, so that the command line starts fast.
_WRITERS = {".nc": "netcdf", ".csv": "tables", ".npz": "arrays", ".trc": "trc", ".c3d": "c3d"}

FORMATS = tuple(suffix[1:] for suffix in _WRITERS)
"""Formats of motions: the suffixes of their files, without the dot."""


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray], up: str | None = None) -> None:
    """Write a motion in the format that the file's suffix names.

    The file appears complete, or not at all if something fails. The same input gives the same bytes. ``.csv``,
    ``.trc`` and ``.nc`` are written block by block; ``.npz`` and ``.c3d`` need the whole motion in memory.

    Parameters
    ----------
    path
        Where to write: ``.nc``, ``.csv``, ``.npz`` or ``.trc``, which are in metres, or ``.c3d``, in millimetres as
        is the custom there.
    motion
        What the points are.
    blocks
        Arrays (frame, keypoint, 3), metres, that follow each other; NaN where missing. A point of which a coordinate
        is missing is missing as a whole.
    up
        Which axis of the points is up: ``x``, ``-x``, ``y``, ``-y``, ``z`` or ``-z``. They are turned so that y is,
        as OpenSim has it. By default the axes stay as they are.

    Raises
    ------
    InputError
        If the format is unknown, cannot hold the motion, or needs a package that is not installed; `NoPoints` if
        no frame has a point.
    ValueError
        If the blocks do not fit the motion.

    Examples
    --------
    >>> write(Path("walk.trc"), motion, [points], up="z")          # doctest: +SKIP
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: unknown format '{path.suffix}'; known are {', '.join(_WRITERS)}")
    motion, blocks = prepare(motion, blocks, up)
    importlib.import_module(f"trilift.export.{writer}").write(path, motion, blocks)

"""MPI-INF-3DHP's ``camera.calibration``, a text file of Skeletool; millimetres."""

import reprlib
from functools import partial
from pathlib import Path

import numpy as np

from trilift.errors import InputError, listed
from trilift.formats import Camera, CameraEntry, Stated
from trilift.formats.camera_fields import (
    UNDISTORT,
    camera_name,
    check_camera,
    check_rig,
    image_size,
    numbers,
    read_text,
)

HEADER = "Skeletool Camera Calibration File"
ENTRIES = {"name", "sensor", "size", "animated", "intrinsic", "extrinsic", "radial"}
FISHEYE = {"polynomial", "polynomialC2W", "polynomialW2C", "imageCircleRadius", "affine"}


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format."""
    try:
        return path if _begins_rightly(_lines(path)) else None
    except InputError:
        return None


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the cameras of a file; they are called by their number.

    Raises
    ------
    InputError
        If the file is damaged; on reading, if a camera lacks an entry, moves, or has a lens with distortion.
    """
    lines = _lines(path)
    if not _begins_rightly(lines):
        raise InputError(f"{path}: must begin with '{HEADER}'")
    sections: list[dict[str, list[str]]] = []
    for key, *values in lines[1:]:
        if key == "name":
            sections.append({})
        if not sections:
            raise InputError(f"{path}: {reprlib.repr(key)} comes before the `name` of a camera")
        if key in sections[-1]:
            raise InputError(
                f"{path}: {reprlib.repr(key)} is there twice for one camera; cameras that move are not supported"
            )
        sections[-1][key] = values
    return check_rig([_entry(f"{path}", section) for section in sections], f"{path}", "`name` begins one")


def _lines(path: Path) -> list[list[str]]:
    return [line.split() for line in read_text(path).splitlines() if line.strip()]


def _begins_rightly(lines: list[list[str]]) -> bool:
    return bool(lines) and " ".join(lines[0]).startswith(HEADER)


def _entry(where: str, section: dict[str, list[str]]) -> CameraEntry:
    name = camera_name(where, " ".join(section["name"]))
    where = f"{where}, camera {name}"
    return CameraEntry(name, where, partial(_camera, where, name, section))


def _camera(where: str, name: str, section: dict[str, list[str]], stated: Stated) -> Camera:
    if unknown := sorted(set(section) - ENTRIES - FISHEYE):
        named = listed(map(reprlib.repr, unknown))
        raise InputError(f"{where}: unknown entry {named}; known are {', '.join(sorted(ENTRIES))}")
    if not stated.undistorted:
        _check_lens(where, section)
    if numbers(where, section, "animated", (1,)).any():
        raise InputError(f"{where}: cameras that move (`animated`) are not supported")
    intrinsic = numbers(where, section, "intrinsic", (16,)).reshape(4, 4)
    extrinsic = numbers(where, section, "extrinsic", (16,)).reshape(4, 4)
    ends = np.stack([intrinsic[3], extrinsic[3]])
    if (ends != [0, 0, 0, 1]).any() or intrinsic[:3, 3].any():
        raise InputError(
            f"{where}: `intrinsic` and `extrinsic` must be 4x4 matrices, row by row, that end with 0 0 0 1"
        )
    camera = Camera(
        name=name,
        K=intrinsic[:3, :3],
        distortion=np.zeros(5),
        R=extrinsic[:3, :3],
        t=extrinsic[:3, 3] / 1000,  # mm to m
        image_size=image_size(where, section, stated, "size"),
    )
    return check_camera(camera, where)


def _check_lens(where: str, section: dict[str, list[str]]) -> None:
    if FISHEYE & set(section):
        raise InputError(f"{where}: fisheye lenses are not supported; {UNDISTORT}")
    if numbers(where, section, "radial", (1,)).any():
        raise InputError(f"{where}: `radial` distortion is not supported; {UNDISTORT}")

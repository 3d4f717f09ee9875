"""Qualisys Track Manager's ``.qca.txt``, an XML file that lists the cameras; millimetres.

Positions are the cameras' own, in the world; the rows of the rotation are a camera's axes in the world: right, up and
backwards. Intrinsics count 64ths of the sensor's pixels, so that ``sensorMaxU`` is 64 times the full width of the
video; the distortion has no unit and is not scaled.
"""

from functools import partial
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, LeftOut, Stated
from trilift.formats.camera_fields import camera_name, check_camera, check_rig, numbers, read_text

_PER_PIXEL = 64
_TO_OPENCV = np.diag([1.0, -1.0, -1.0])  # right, up, backwards to right, down, forwards
_ELEMENTS = ("fov_video", "fov_video_max", "transform", "intrinsic")

Elements = dict[str, dict[str, str]]
"""The attributes of a camera and of the elements in it, by their tags."""


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format."""
    try:
        return path if _is_calibration(read_text(path)) else None
    except InputError:
        return None


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the cameras of a file; they are called by their serial number.

    Raises
    ------
    InputError
        If the file is damaged; on reading, if a camera lacks an entry or its intrinsics are not in 64ths of a pixel.
    """
    cameras = _elements(path)
    return check_rig([_entry(f"{path}", camera) for camera in cameras], f"{path}", "`<camera>` begins one")


def _is_calibration(text: str) -> bool:
    return "<calibration" in text


def _elements(path: Path) -> list[Elements]:
    text = read_text(path)
    if not _is_calibration(text):
        raise InputError(f"{path}: no <calibration> in it; export the calibration from QTM again")
    cameras: list[Elements] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "camera":
            cameras.append({tag: attributes})
        elif cameras and tag in _ELEMENTS:
            cameras[-1][tag] = attributes

    def refuse(*_: object) -> NoReturn:  # before any entity is declared, let alone expanded
        raise InputError(f"{path}: has a document type, which QTM does not write; export the calibration again")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise InputError(f"{path}: no valid XML ({error}); export the calibration from QTM again") from None
    return cameras


def _entry(where: str, found: Elements) -> CameraEntry:
    name = camera_name(where, found["camera"].get("serial"))
    where = f"{where}, camera {name}"
    return CameraEntry(name, where, partial(_camera, where, name, found))


def _camera(where: str, name: str, found: Elements, stated: Stated) -> Camera | LeftOut:
    if found["camera"].get("active") == "0":
        return LeftOut(name, "was not active in the calibration")
    if found["camera"].get("calibrated") == "false" or "transform" not in found:
        return LeftOut(name, "has no pose")

    def values(tag: str, *keys: str) -> np.ndarray:
        return np.array([numbers(f"{where}, <{tag}>", found.get(tag, {}), key, ()) for key in keys])

    corner, size = _field(values("fov_video", "left", "top", "right", "bottom"))
    _, full_size = _field(values("fov_video_max", "left", "top", "right", "bottom"))
    sensor = values("intrinsic", "sensorMaxU", "sensorMaxV") - values("intrinsic", "sensorMinU", "sensorMinV")
    if (np.abs(sensor - _PER_PIXEL * full_size) > 2 * _PER_PIXEL).any():
        raise InputError(
            f"{where}: its intrinsics are not in 64ths of a pixel (sensorMaxU and sensorMaxV must be 64 times the "
            f"size of <fov_video_max>, {full_size[0]:g} and {full_size[1]:g}); export the calibration from QTM again"
        )
    K = np.eye(3)
    K[[0, 1], [0, 1]] = values("intrinsic", "focalLengthU", "focalLengthV") / _PER_PIXEL
    K[0, 1] = values("intrinsic", "skew").item() / _PER_PIXEL
    K[:2, 2] = values("intrinsic", "centerPointU", "centerPointV") / _PER_PIXEL - corner
    radial = values("intrinsic", "radialDistortion1", "radialDistortion2", "radialDistortion3")
    tangential = values("intrinsic", "tangentalDistortion1", "tangentalDistortion2")  # as QTM spells it
    axes = values("transform", *(f"r{row}{column}" for row in "123" for column in "123")).reshape(3, 3)
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged numbers, which are refused next
        R = _TO_OPENCV @ axes
        t = -R @ values("transform", "x", "y", "z") / 1000  # mm to m
    size = size if stated.image_size is None else np.array(stated.image_size)
    distortion = np.array([*radial[:2], *tangential, radial[2]])
    return check_camera(Camera(name, K, distortion, R, t, size), where)


def _field(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the upper left corner and the size of a field of view, whose last column and row are in it."""
    return ends[:2], ends[2:] - ends[:2] + 1

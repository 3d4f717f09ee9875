"""CMU Panoptic's ``calibration_*.json``: all cameras of the dome; centimetres."""

import json
from pathlib import Path
from typing import Any

from trilift.errors import InputError
from trilift.formats import Camera
from trilift.formats.beginnings import json_beginning
from trilift.formats.camera_fields import (
    camera_name,
    check_camera,
    check_rig,
    distortion,
    numbers,
    read_text,
    rotation,
)

LARGEST_FILE = 4 << 20  # bytes; the dome has some 500 cameras


def recognises(path: Path) -> Path | None:
    """Give what `read_cameras` takes, if a file is of this format."""
    content = json_beginning(path)
    return path if isinstance(content, dict) and isinstance(content.get("cameras"), list) else None


def read_cameras(path: Path) -> list[Camera]:
    """Read all cameras of a file.

    Raises
    ------
    InputError
        If the file is damaged or a camera lacks an entry.
    """
    try:
        content = json.loads(read_text(path, LARGEST_FILE))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid JSON ({error})") from None
    entries = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: lacks `cameras`, the list of the cameras")
    cameras = [_camera(f"{path}, cameras[{index}]", entry) for index, entry in enumerate(entries)]
    return check_rig(cameras, f"{path}", "entries in `cameras`")


def _camera(where: str, entry: dict[str, Any]) -> Camera:
    name = camera_name(where, entry.get("name"))
    where = f"{where} ({name})"
    camera = Camera(
        name=name,
        K=numbers(where, entry, "K", (3, 3)),
        distortion=distortion(where, entry, "distCoef"),
        R=rotation(where, entry, "R"),
        t=numbers(where, entry, "t", (3,)) / 100,  # cm to m
        image_size=numbers(where, entry, "resolution", (2,)),
    )
    return check_camera(camera, where)

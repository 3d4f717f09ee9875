"""CMU Panoptic's ``calibration_*.json``: all cameras of the dome in a file, or a file per camera; centimetres."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, Stated
from trilift.formats.beginnings import json_beginning
from trilift.formats.camera_fields import (
    Keys,
    camera_name,
    check_rig,
    files_of,
    read_camera,
    read_text,
)

_KEYS = Keys("K", "distCoef", "R", "t", ("resolution",))


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format: all cameras in a file, or one."""
    content = json_beginning(path)
    if not isinstance(content, dict):
        return None
    return path if isinstance(content.get("cameras"), list) else path.parent if "K" in content else None


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the cameras of a file, or of the files of a folder.

    A camera without a `name` is called as its file without the ending.

    Raises
    ------
    InputError
        If the file is damaged; on reading, if a file of a folder is, or a camera lacks an entry.
    """
    if path.is_dir():
        cameras = [camera for file in files_of(path, ".json") for camera in _list_one_of_several(file)]
        return check_rig(cameras, f"{path}", "a .json per camera")
    if not (cameras := _list_file(path)):
        raise InputError(f"{path}: lacks `cameras`, the list of the cameras")
    return check_rig(cameras, f"{path}", "entries in `cameras`")


def _list_one_of_several(file: Path) -> list[CameraEntry]:
    try:
        return _list_file(file)
    except InputError as error:
        return [CameraEntry(camera_name(f"{file}", file.stem), f"{file}", partial(_refuse, error))]


def _list_file(file: Path) -> list[CameraEntry]:
    """List what a file holds, `cameras` or a single one."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: no valid JSON ({error})") from None
    if not isinstance(content, dict):
        return []
    if "K" in content:
        return [_entry(f"{file}", {"name": file.stem} | content)]
    entries = content.get("cameras")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return []
    return [_entry(f"{file}, cameras[{index}]", entry) for index, entry in enumerate(entries)]


def _entry(where: str, entry: dict[str, Any]) -> CameraEntry:
    name = camera_name(where, entry.get("name"))
    where = f"{where} ({name})"
    return CameraEntry(name, where, partial(read_camera, where, name, entry, _KEYS, per_metre=100))


def _refuse(error: InputError, stated: Stated) -> Camera:
    raise error

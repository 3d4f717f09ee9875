"""The TOML calibrations of Pose2Sim, Anipose, aniposelib and Caliscope: a section per camera.

Caliscope's current file has them as ``[cameras.0]``, ``[cameras.1]``. Its ``rotation_count`` is the number of quarter
turns by which it shows a camera's images to people and detectors; it turns the points back, so that they, the size
and the matrix are those of the images as they were recorded, and nothing is to be turned here.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, LeftOut, Stated
from trilift.formats.camera_fields import (
    Keys,
    camera_name,
    check_rig,
    read_camera,
    read_text,
)

LENS = {"matrix", "distortions"}
_KEYS = Keys("matrix", "distortions", "rotation", "translation", ("size",))
"""A section with one of these is a camera; others hold settings of the programs, or the pose of a pair of cameras."""

_KEY_OF_A_LENS = re.compile(rf"\b({'|'.join(sorted(LENS))})\b\s*=")

MOST_PARTS = 50  # of a key: Python's parser takes hours for one of thousands
_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}""")


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format."""
    try:
        return path if _KEY_OF_A_LENS.search(read_text(path)) else None
    except InputError:
        return None


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the cameras of a file.

    Those that Caliscope was told to ignore, or to which it found no pose, are left out when they are read. The unit
    of length is that of the calibration board or of the program, here taken as metres.

    Raises
    ------
    InputError
        If the file is damaged; on reading, if a camera lacks an entry, or its lens model does not fit ours.
    """
    text = read_text(path)
    if _LONG_KEY.search(text):
        raise InputError(f"{path}: no calibration (a key of more than {MOST_PARTS} parts)")
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid TOML ({error})") from None
    cameras = []
    for title, name, section in _sections(content):
        where = f"{path}, [{camera_name(f'{path}', title)}]"
        name = camera_name(where, section.get("name", name))
        cameras.append(CameraEntry(name, where, partial(_camera, where, name, section)))
    return check_rig(cameras, f"{path}", "a section with `matrix`, `distortions`, `rotation`, `translation`")


def _sections(content: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give title, default name and content of each camera's section."""
    numbered = content.get("cameras")
    if isinstance(numbered, dict):
        for number, section in numbered.items():
            if isinstance(section, dict):
                # As Caliscope itself names them in its older files and in what it exports.
                yield f"cameras.{number}", f"cam_{number}" if number.isdecimal() else number, section
    for name, section in content.items():
        if isinstance(section, dict) and LENS & set(section):
            yield name, name, section


def _camera(where: str, name: str, section: dict[str, Any], stated: Stated) -> Camera | LeftOut:
    if _flag(where, section, "ignore"):
        return LeftOut(name, "has `ignore = true`", intended=True)
    return read_camera(where, name, section, _KEYS, stated, fisheye=_flag(where, section, "fisheye"))


def _flag(where: str, section: dict[str, Any], key: str) -> bool:
    value = section.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{where}: `{key}` must be true or false")
    return value

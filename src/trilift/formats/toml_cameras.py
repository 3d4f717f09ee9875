"""The TOML calibrations of Pose2Sim, Anipose, aniposelib and Caliscope: a section per camera."""

import re
import tomllib
from pathlib import Path
from typing import Any

from trilift.errors import InputError
from trilift.formats import Camera
from trilift.formats.camera_fields import (
    camera_name,
    check_camera,
    check_rig,
    distortion,
    numbers,
    read_text,
    rotation,
)

POSE = {"matrix", "rotation", "translation"}
"""A section with one of these is a camera; others hold the settings of the programs."""

MOST_DOTS = 500  # in a line: Python's parser takes hours for a key of thousands of parts


_KEY = re.compile(rf"\b({'|'.join(sorted(POSE))})\b\s*=")


def recognises(path: Path) -> Path | None:
    """Give what `read_cameras` takes, if a file is of this format."""
    try:
        return path if _KEY.search(read_text(path)) else None
    except InputError:
        return None


def read_cameras(path: Path) -> list[Camera]:
    """Read the cameras of a file, without those that Caliscope was told to ignore.

    The unit of length is that of the calibration board or of the program, here taken as metres.

    Raises
    ------
    InputError
        If the file is damaged, a camera lacks an entry, or its lens model does not fit ours.
    """
    text = read_text(path)
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise InputError(f"{path}: no calibration (a line has more than {MOST_DOTS} dots)")
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid TOML ({error})") from None
    cameras = []
    for name, section in content.items():
        if isinstance(section, dict) and POSE & set(section):
            where = f"{path}, [{camera_name(f'{path}', name)}]"
            if not _flag(where, section, "ignore"):
                cameras.append(_camera(where, name, section))
    return check_rig(cameras, f"{path}", "a section with `matrix`, `rotation`, `translation`")


def _camera(where: str, name: str, section: dict[str, Any]) -> Camera:
    if _flag(where, section, "fisheye"):
        raise InputError(f"{where}: fisheye lenses are not supported; undistort the detections first")
    camera = Camera(
        name=camera_name(where, section.get("name", name)),
        K=numbers(where, section, "matrix", (3, 3)),
        distortion=distortion(where, section, "distortions"),
        R=rotation(where, section, "rotation"),
        t=numbers(where, section, "translation", (3,)),
        image_size=numbers(where, section, "size", (2,)),
    )
    return check_camera(camera, where)


def _flag(where: str, section: dict[str, Any], key: str) -> bool:
    value = section.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{where}: `{key}` must be true or false")
    return value

"""Pose2Sim's TOML calibration: a section per camera; metres; rotation as a Rodrigues vector."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from trilift.errors import InputError
from trilift.formats import Camera


def read_cameras(path: Path) -> dict[str, list[Camera]]:
    """Read the one rig of a file; it serves every capture, which the key ``*`` says.

    Raises
    ------
    InputError
        If the file is damaged, a camera lacks an entry, or its lens model does not fit ours.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid TOML ({error})") from None
    sections = [(name, s) for name, s in content.items() if isinstance(s, dict) and "matrix" in s]
    if not sections:
        raise InputError(f"{path}: no camera found (a section with `matrix`, `rotation`, `translation`)")
    return {"*": [_camera(path, name, section) for name, section in sections]}


def _camera(path: Path, name: str, section: dict[str, Any]) -> Camera:
    where = f"{path}, [{name}]"
    if section.get("fisheye"):
        raise InputError(f"{where}: fisheye lenses are not supported; undistort the detections first")
    coefficients = _array(where, section, "distortions", (4,), (5,))
    return Camera(
        name=str(section.get("name", name)),
        K=_array(where, section, "matrix", (3, 3)),
        distortion=np.pad(coefficients, (0, 5 - len(coefficients))),
        R=Rotation.from_rotvec(_array(where, section, "rotation", (3,))).as_matrix(),
        t=_array(where, section, "translation", (3,)),
        image_size=_array(where, section, "size", (2,)).astype(int),
    )


def _array(where: str, section: dict[str, Any], key: str, *shapes: tuple[int, ...]) -> np.ndarray:
    expected = " or ".join("x".join(map(str, shape)) for shape in shapes)
    try:
        array = np.array(section[key], np.float64)
    except KeyError:
        raise InputError(f"{where}: lacks `{key}`") from None
    except (ValueError, TypeError):
        raise InputError(f"{where}: `{key}` must be {expected} numbers") from None
    if array.shape not in shapes or not np.isfinite(array).all():
        raise InputError(f"{where}: `{key}` must be {expected} finite numbers, found {section[key]}")
    return array

"""HumanEva's ``.cal`` files, one per camera, 22 plain numbers; millimetres.

In order, as the data set's own reader takes them: focal lengths (2), principal point (2), skew as a part of the
focal length, k1 k2 p1 p2 k3, the rotation matrix row by row (9), the translation (3).
"""

from functools import partial
from pathlib import Path

import numpy as np

from trilift.formats import Camera, CameraEntry, Stated
from trilift.formats.camera_fields import (
    camera_name,
    check_camera,
    check_rig,
    files_of,
    image_size,
    numbers,
    read_text,
)


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format: its ending tells."""
    return path.parent


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the ``.cal`` files of a folder, sorted by name; a camera is called as its file without the ending.

    The files do not tell the image size.

    Raises
    ------
    InputError
        If there are none; on reading, if one is damaged.
    """
    files = files_of(path, ".cal")
    cameras = [CameraEntry(camera_name(f"{file}", file.stem), f"{file}", partial(_camera, file)) for file in files]
    return check_rig(cameras, f"{path}", "a .cal file per camera")


def _camera(file: Path, stated: Stated) -> Camera:
    values = numbers(f"{file}", {"content": read_text(file).split()}, "content", (22,))
    (fx, fy), (cx, cy), skew = values[:2], values[2:4], values[4]
    camera = Camera(
        name=file.stem,
        K=np.array([[fx, skew * fx, cx], [0, fy, cy], [0, 0, 1]]),
        distortion=values[5:10],
        R=values[10:19].reshape(3, 3),
        t=values[19:] / 1000,  # mm to m
        image_size=image_size(f"{file}", {}, stated),
    )
    return check_camera(camera, f"{file}")

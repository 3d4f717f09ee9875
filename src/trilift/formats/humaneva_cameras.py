"""HumanEva's ``.cal`` files, one per camera, 22 plain numbers; millimetres.

In order, as the data set's own reader takes them: focal lengths (2), principal point (2), skew as a part of the
focal length, k1 k2 p1 p2 k3, the rotation matrix row by row (9), the translation (3).
"""

from pathlib import Path

import numpy as np

from trilift.formats import Camera
from trilift.formats.camera_fields import camera_name, check_camera, check_rig, files_of, numbers, read_text


def recognises(path: Path) -> Path | None:
    """Give what `read_cameras` takes, if a file is of this format: its ending tells."""
    return path.parent


def read_cameras(path: Path) -> list[Camera]:
    """Read the ``.cal`` files of a folder, sorted by name; a camera is called as its file without the ending.

    The files do not tell the image size.

    Raises
    ------
    InputError
        If there are none or one is damaged.
    """
    return check_rig([_camera(file) for file in files_of(path, ".cal")], f"{path}", "a .cal file per camera")


def _camera(file: Path) -> Camera:
    values = numbers(f"{file}", {"content": read_text(file).split()}, "content", (22,))
    (fx, fy), (cx, cy), skew = values[:2], values[2:4], values[4]
    camera = Camera(
        name=camera_name(f"{file}", file.stem),
        K=np.array([[fx, skew * fx, cx], [0, fy, cy], [0, 0, 1]]),
        distortion=values[5:10],
        R=values[10:19].reshape(3, 3),
        t=values[19:] / 1000,  # mm to m
        image_size=np.zeros(2),
    )
    return check_camera(camera, f"{file}")

"""OpenCap's calibration: a folder per camera with the pickle ``cameraIntrinsicsExtrinsics.pickle``.

It is a dict of ``intrinsicMat``, ``distortion``, ``rotation`` and ``translation``, which lead from the checkerboard
to the camera, millimetres, and ``imageSize``: height and width.
"""

from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import Camera
from trilift.formats.npz import read_pickle

FILE = "cameraIntrinsicsExtrinsics.pickle"
_SHAPES = {"intrinsicMat": (3, 3), "rotation": (3, 3), "translation": (3,), "distortion": (5,), "imageSize": (2,)}


def read_cameras(folder: Path) -> list[Camera]:
    """Read the cameras of the folders in a folder; a camera is called as its folder is.

    Raises
    ------
    InputError
        If there is no such file, or one is damaged or lacks something.
    """
    files = sorted(folder.glob(f"*/{FILE}"))
    if not files:
        raise InputError(f"{folder}: no folder in it holds a {FILE}; name the folder of OpenCap's cameras (Videos)")
    return [_read_camera(file) for file in files]


def _read_camera(path: Path) -> Camera:
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: no calibration of OpenCap (a dict of {', '.join(_SHAPES)})")
    values = {}
    for name, shape in _SHAPES.items():
        try:
            values[name] = np.asarray(content[name], float).reshape(shape)
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}: expected `{name}` with {np.prod(shape)} numbers; calibrate again") from None
    return Camera(
        name=path.parent.name,
        K=values["intrinsicMat"],
        distortion=values["distortion"],
        R=values["rotation"],
        t=values["translation"] / 1000,
        image_size=values["imageSize"][::-1].round().astype(int),
    )

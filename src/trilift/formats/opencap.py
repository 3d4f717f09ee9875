"""OpenCap's calibration: a folder per camera with the pickle ``cameraIntrinsicsExtrinsics.pickle``.

It is a dict of ``intrinsicMat``, ``distortion``, ``rotation`` and ``translation``, which lead from the checkerboard
to the camera, millimetres, and ``imageSize``: height and width.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, LeftOut, Stated
from trilift.formats.camera_fields import (
    Keys,
    camera_name,
    check_file,
    check_rig,
    folders_of,
    read_camera,
)
from trilift.formats.folders import ends_with, files_in
from trilift.formats.npz import read_pickle

FILE = "cameraIntrinsicsExtrinsics.pickle"
_ENDING = FILE.lower()
_KEYS = Keys("intrinsicMat", "distortion", "rotation", "translation", ("imageSize",))


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format."""
    return path.parent.parent if ends_with(path.name, (_ENDING,)) else None


def list_cameras(folder: Path) -> list[CameraEntry]:
    """List the cameras of the folders in a folder; a camera is called as its folder is.

    Raises
    ------
    InputError
        If there is no such file; on reading, if one is damaged or lacks something.
    """
    cameras = [
        CameraEntry(camera_name(f"{file}", file.parent.name), f"{file}", partial(_camera, file))
        for camera in folders_of(folder)
        for file in files_in(camera, _ENDING)
    ]
    return check_rig(cameras, f"{folder}", f"folders with a {FILE}; name the folder of OpenCap's cameras, Videos")


def _camera(file: Path, stated: Stated) -> Camera | LeftOut:
    check_file(file)
    where, name, content = f"{file}", file.parent.name, read_pickle(file)
    if not isinstance(content, dict):
        raise InputError(f"{where}: no calibration of OpenCap (a dict with intrinsicMat, rotation, translation)")
    camera = read_camera(where, name, content, _KEYS, stated, per_metre=1000)
    if isinstance(camera, LeftOut) or stated.image_size is not None:
        return camera
    return replace(camera, image_size=camera.image_size[::-1])

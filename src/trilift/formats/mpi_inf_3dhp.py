"""MPI-INF-3DHP's ``annot.mat`` of one sequence: 2D and 3D ground truth of every camera, in MATLAB's format 5.

``annot2`` holds a cell per camera with (frame, 56) pixels, ``annot3`` one with (frame, 84) millimetres in the frame
of that camera.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trilift.errors import InputError, listed
from trilift.formats import Camera, DetectedRecording, DetectedView, ReferenceRecording
from trilift.formats.checks import check_not_infinite
from trilift.formats.matlab import has_variable, read_cells
from trilift.skeletons import MPI_INF_3DHP28


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    return has_variable(path, "annot2")


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the 2D annotations of the one recording of a file; the views are called ``0``, ``1`` and so on.

    Raises
    ------
    InputError
        If the file is damaged or no such file.
    """
    views = [
        DetectedView(str(camera), pixels[:, None], None)
        for camera, pixels in enumerate(_read_cells(path, "annot2", 2))
    ]
    yield DetectedRecording.of_its_own(name, MPI_INF_3DHP28, views)


def read_reference(path: Path, name: str, cameras: list[Camera]) -> Iterator[ReferenceRecording]:
    """Read the 3D annotations, and turn them into the world frame of `cameras`.

    All cameras have the same poses: those of the first camera that the file knows are taken.

    Raises
    ------
    InputError
        If the file is damaged or no such file, or no camera is called by its number, as in the file.
    """
    poses = {str(number): poses for number, poses in enumerate(_read_cells(path, "annot3", 3))}
    camera = next((camera for camera in cameras if camera.name in poses), None)
    if camera is None:
        known = listed(camera.name for camera in cameras)
        raise InputError(f"{path}: holds the cameras {', '.join(poses)}, but the calibration none of them ({known})")
    world = (poses[camera.name] / 1000 - camera.t) @ camera.R
    yield ReferenceRecording(name, name, MPI_INF_3DHP28, world.astype(np.float32))


def _read_cells(path: Path, variable: str, space: int) -> list[np.ndarray]:
    """Read the cells of a variable, one per camera, as (frame, keypoint, space)."""
    cells = read_cells(path, variable)
    width = space * len(MPI_INF_3DHP28)
    for camera, cell in enumerate(cells):
        where = f"{path}, {variable} of camera {camera}"
        if cell.shape != (len(cells[0]), width):
            raise InputError(f"{where}: expected (frames, {width}) numbers, the same frames for every camera")
        check_not_infinite(cell, where)
    if not cells or not cells[0].size:
        raise InputError(f"{path}: `{variable}` must hold a cell with annotations for every camera")
    return [cell.astype(np.float32).reshape(-1, len(MPI_INF_3DHP28), space) for cell in cells]

"""VideoPose3D's ``.npz`` layout of 2D detections and 3D poses, as published for Human3.6M.

``positions_2d`` is a dict subject -> action -> list over cameras of (frame, keypoint, 2) pixels. Our extension: a
third number per keypoint is the detector's confidence, and NaN is missing. Files without it are read too.
``positions_3d`` is a dict subject -> action -> (frame, 32, 3) metres in world coordinates, of which 17 are used.
A subject is a capture, an action a recording.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.files import replacing
from trilift.formats import DetectedRecording, DetectedView, ReferenceRecording
from trilift.formats.npz import read_npz
from trilift.skeletons import H36M17

KEPT_OF_32 = np.setdiff1d(np.arange(32), [4, 5, 9, 10, 11, 16, *range(20, 25), *range(28, 32)])
"""The 17 of the 32 joints of Human3.6M's skeleton that the field uses, in the order of ``h36m17``."""


def read_detections(path: Path) -> Iterator[DetectedRecording]:
    """Read 2D detections, recording by recording.

    Raises
    ------
    InputError
        If the file is no such file, or a recording has another number of keypoints than 17.
    """
    (positions,) = read_npz(path, "positions_2d")
    for subject, action, views in _recordings(path, positions):
        where = f"{path}, {subject} '{action}'"
        if not isinstance(views, list | tuple) or not views:
            raise InputError(f"{where}: expected a list over cameras")
        yield DetectedRecording(
            capture=subject,
            name=f"{subject} {action}",
            subject=subject,
            action=action,
            skeleton=H36M17,
            views=[_view(array, f"{where}, camera {number}") for number, array in enumerate(views, 1)],
        )


def read_reference(path: Path) -> Iterator[ReferenceRecording]:
    """Read 3D poses, recording by recording: 17 joints as they are, or the 17 that the field uses of 32."""
    (positions,) = read_npz(path, "positions_3d")
    for subject, action, poses in _recordings(path, positions):
        array = _numbers(poses, f"{path}, {subject} '{action}'")
        if array.ndim != 3 or array.shape[1:] not in ((32, 3), (17, 3)):
            raise InputError(f"{path}, {subject} '{action}': expected (frames, 32 or 17, 3), found {array.shape}")
        kept = array[:, KEPT_OF_32] if array.shape[1] == 32 else array
        yield ReferenceRecording(subject, f"{subject} {action}", H36M17, kept)


def _recordings(path: Path, positions: object) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(positions, dict):
        raise InputError(f"{path}: expected a dict subject -> action, found {type(positions).__name__}")
    for subject, actions in positions.items():
        if not isinstance(actions, dict):
            raise InputError(f"{path}, {subject}: expected a dict of actions, found {type(actions).__name__}")
        for action, content in actions.items():
            yield str(subject), str(action), content


def _numbers(values: object, where: str) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise InputError(f"{where}: expected an array of floating-point numbers")
    return values


def _view(values: object, where: str) -> DetectedView:
    array = _numbers(values, where)
    if array.ndim != 3 or array.shape[1] != len(H36M17) or array.shape[2] not in (2, 3):
        raise InputError(f"{where}: expected (frames, {len(H36M17)} joints, 2 or 3 numbers), found {array.shape}")
    return DetectedView(None, array[..., :2], array[..., 2] if array.shape[2] == 3 else None)


def write_detections(path: Path, positions: dict[str, dict[str, list[np.ndarray]]]) -> None:
    """Write detections (frame, 17, 3: x, y, confidence) in this layout."""
    metadata = {
        "layout_name": "h36m",
        "num_joints": len(H36M17),
        "keypoints_symmetry": [
            [k for k, name in enumerate(H36M17.keypoints) if name.startswith(side)] for side in ("left_", "right_")
        ],
    }
    _write(path, positions_2d=positions, metadata=metadata)


def write_reference(path: Path, positions: dict[str, dict[str, np.ndarray]]) -> None:
    """Write poses (frame, 17, 3) in this layout; the 15 joints that nobody uses are NaN."""

    def all_32(poses: np.ndarray) -> np.ndarray:
        full = np.full((len(poses), 32, 3), np.nan, np.float32)
        full[:, KEPT_OF_32] = poses
        return full

    _write(
        path,
        positions_3d={
            subject: {action: all_32(poses) for action, poses in actions.items()}
            for subject, actions in positions.items()
        },
    )


def _write(path: Path, **entries: object) -> None:
    # A file object and not a name, to which numpy would append a suffix. Archives of numpy hold no times.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=True,
            **{name: np.array(value, dtype=object) for name, value in entries.items()},
        )

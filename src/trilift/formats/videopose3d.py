"""VideoPose3D's ``.npz`` layout of 2D detections and 3D poses, as published for Human3.6M and HumanEva.

``positions_2d`` is a dict subject -> action -> list over cameras of (frame, keypoint, 2) pixels. Of ``metadata``,
``keypoints_symmetry`` (or ``layout_name``) tells the layout, without them the number of keypoints. Our extension: a
third number per keypoint is the detector's confidence, and NaN is missing. Files without it are read too.
``positions_3d`` is a dict subject -> action -> (frame, keypoint, 3) metres in world coordinates, for Human3.6M 32, of
which 17 are used. A subject is a capture, an action a recording.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView, ReferenceRecording
from trilift.formats.checks import check_not_infinite
from trilift.formats.names import name_for_files
from trilift.formats.npz import has_entry, read_npz
from trilift.project.files import replacing
from trilift.skeletons import COCO17, H36M17, HUMANEVA15, MPII16, Skeleton

KEPT_OF_32 = np.setdiff1d(np.arange(32), [4, 5, 9, 10, 11, 16, *range(20, 25), *range(28, 32)])
"""The 17 of the 32 joints of Human3.6M's skeleton that the field uses, in the order of ``h36m17``."""


_LAYOUTS_2D = {"h36m": H36M17, "coco": COCO17, "mpii": MPII16, "humaneva15": HUMANEVA15}
"""By their names in ``metadata``; without these, the first of so many keypoints."""

_LAYOUTS_3D = {32: H36M17, len(H36M17): H36M17, len(HUMANEVA15): HUMANEVA15}


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    return has_entry(path, "positions_2d")


def read_detections(path: Path, name: str, skeleton: Skeleton | None = None) -> Iterator[DetectedRecording]:
    """Read 2D detections, recording by recording.

    Parameters
    ----------
    path
        The file.
    name
        Not used, as the file names the recordings.
    skeleton
        The layout of the keypoints, if it is not the file that tells.

    Raises
    ------
    InputError
        If the file is no such file, or a recording has a number of keypoints that no layout has.
    """
    positions, metadata = read_npz(path, "positions_2d", "metadata", optional=("metadata",))
    numbers_of_keypoints = {len(layout) for layout in ([skeleton] if skeleton else _LAYOUTS_2D.values())}
    for subject, action, views in _recordings(path, positions):
        where = f"{path}, {subject} '{action}'"
        if not isinstance(views, list | tuple | np.ndarray) or not len(views):
            raise InputError(f"{where}: expected a list over cameras")
        arrays = [
            _numbers(view, numbers_of_keypoints, (2, 3), f"{where}, camera {number}")
            for number, view in enumerate(views, 1)
        ]
        layouts = {array.shape[1] for array in arrays}
        if len(layouts) > 1:
            raise InputError(f"{where}: cameras with different numbers of keypoints, {layouts}")
        yield DetectedRecording(
            capture=subject,
            name=f"{subject} {action}",
            subject=subject,
            action=action,
            skeleton=skeleton or _layout(layouts.pop(), metadata, path),
            views=[
                DetectedView(None, array[:, None, :, :2], array[:, None, :, 2] if array.shape[2] == 3 else None)
                for array in arrays
            ],
        )


def _layout(keypoints: int, metadata: object, path: Path) -> Skeleton:
    """Tell the layout of so many keypoints."""
    fitting = {name: skeleton for name, skeleton in _LAYOUTS_2D.items() if len(skeleton) == keypoints}
    if not isinstance(metadata, dict):
        return next(iter(fitting.values()))
    sides = _numbers_of_sides(metadata.get("keypoints_symmetry"))
    for skeleton in fitting.values():
        if sides == _sides(skeleton):
            return skeleton
    name = metadata.get("layout_name")
    if name not in fitting:
        raise InputError(
            f"{path}: `metadata` tell of {keypoints} keypoints of a layout {name!a:.40} with other sides "
            f"(`keypoints_symmetry`) than those that are known: {', '.join(fitting)}; put them in the order of "
            "one, or state the layout (ingest: detections: skeleton)"
        )
    return fitting[name]


def _numbers_of_sides(stated: Any) -> list[list[int]] | None:
    try:
        return [sorted(int(index) for index in side) for side in stated]
    except (TypeError, ValueError, OverflowError):  # the file may hold anything
        return None


def _sides(skeleton: Skeleton) -> list[list[int]]:
    """List the indices of the keypoints on the left and on the right."""
    names = list(enumerate(skeleton.keypoints))
    return [[index for index, name in names if name.startswith(side)] for side in ("left_", "right_")]


def read_reference(path: Path) -> Iterator[ReferenceRecording]:
    """Read 3D poses, recording by recording: joints as they are, or the 17 that the field uses of 32."""
    (positions,) = read_npz(path, "positions_3d")
    for subject, action, poses in _recordings(path, positions):
        array = _numbers(poses, _LAYOUTS_3D, (3,), f"{path}, {subject} '{action}'")
        kept = array[:, KEPT_OF_32] if array.shape[1] == 32 else array
        yield ReferenceRecording(subject, f"{subject} {action}", _LAYOUTS_3D[array.shape[1]], kept)


def _recordings(path: Path, positions: object) -> Iterator[tuple[str, str, Any]]:
    """Take recording by recording out of the container, so that each can leave the memory."""
    if not isinstance(positions, dict):
        raise InputError(f"{path}: expected a dict subject -> action, found {type(positions).__name__}")
    while positions:
        key = next(iter(positions))
        subject, actions = name_for_files(key, str(path)), positions.pop(key)
        if not isinstance(actions, dict):
            raise InputError(f"{path}, {subject}: expected a dict of actions, found {type(actions).__name__}")
        while actions:
            key = next(iter(actions))
            yield subject, name_for_files(key, f"{path}, {subject}"), actions.pop(key)


def _numbers(values: object, layouts: Collection[int], last: tuple[int, ...], where: str) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise InputError(f"{where}: expected an array of floating-point numbers")
    if values.ndim != 3 or values.shape[1] not in layouts or values.shape[2] not in last:
        joints, numbers = (" or ".join(map(str, allowed)) for allowed in (layouts, last))
        raise InputError(f"{where}: expected (frames, {joints} joints, {numbers} numbers), found {values.shape}")
    check_not_infinite(values, where)
    return np.asarray(values)  # no longer of the class that the unpickler fills


def write_detections(path: Path, positions: dict[str, dict[str, list[np.ndarray]]]) -> None:
    """Write detections (frame, 17, 3: x, y, confidence) in this layout."""
    metadata = {
        "layout_name": "h36m",
        "num_joints": len(H36M17),
        "keypoints_symmetry": _sides(H36M17),
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

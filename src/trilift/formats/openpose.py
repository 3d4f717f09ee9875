"""OpenPose's JSON files: a folder per camera, a file per frame, ``people[].pose_keypoints_2d``."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView
from trilift.skeletons import Skeleton

PATTERN = "*/*.json"
"""Which files of the folder are read."""


def read_detections(folder: Path, skeleton: Skeleton) -> Iterator[DetectedRecording]:
    """Read the one recording of a folder that holds a folder per camera.

    Of several people in a frame the one with the highest sum of confidences is taken; entries whose list has
    another length than the skeleton needs are no people of this layout and are left out.

    Parameters
    ----------
    folder
        Holds a folder per camera.
    skeleton
        The layout that OpenPose was run with.

    Raises
    ------
    InputError
        If there are no such files, one is damaged, or no entry of the whole recording fits the layout.
    """
    folders = sorted({file.parent for file in folder.glob(PATTERN)})
    if not folders:
        raise InputError(f"{folder}: no files {PATTERN} (a folder per camera, a JSON file per frame)")
    yield DetectedRecording(
        capture=folder.parent.name,
        name=folder.parent.name,
        subject="1",
        action=folder.parent.name,
        skeleton=skeleton,
        views=[_read_view(camera, skeleton) for camera in folders],
    )


def _read_view(folder: Path, skeleton: Skeleton) -> DetectedView:
    files = sorted(folder.glob("*.json"))
    lengths: set[int] = set()
    frames = np.full((len(files), len(skeleton), 3), np.nan)
    for frame, file in zip(frames, files, strict=True):
        people = _read_people(file)
        lengths.update(len(person) for person in people)
        fitting = [person for person in people if len(person) == 3 * len(skeleton)]
        if fitting:
            frame[:] = max(fitting, key=lambda person: np.nansum(person[2::3])).reshape(-1, 3)
    if lengths and 3 * len(skeleton) not in lengths:
        found = ", ".join(f"{length / 3:g}" for length in sorted(lengths))
        raise InputError(
            f"{folder}: no person with the {len(skeleton)} keypoints of {skeleton.name}; found lists of {found} "
            "keypoints. State the layout that OpenPose was run with (skeleton: in the data set's file)"
        )
    missing = ~(frames[..., 2] > 0)  # OpenPose writes 0, 0, 0 for what it did not find.
    frames[missing] = np.nan
    return DetectedView(folder.name.removesuffix("_json"), frames[..., :2], frames[..., 2])


def _read_people(file: Path) -> list[np.ndarray]:
    try:
        people = json.loads(file.read_bytes())["people"]
        return [np.array(person["pose_keypoints_2d"], np.float64).reshape(-1) for person in people]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file}: not a JSON file of OpenPose with people and pose_keypoints_2d "
            f"({type(error).__name__}: {error}); make it again or remove its frame from all views"
        ) from None

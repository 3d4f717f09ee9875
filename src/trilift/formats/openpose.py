"""OpenPose's JSON files: a folder per camera, a file per frame, ``people[].pose_keypoints_2d``."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

PATTERN = "*/*.json"
"""Which files of the folder are read."""


def read_detections(folder: Path, skeleton: Skeleton) -> Iterator[DetectedRecording]:
    """Read the one recording of a folder that holds a folder per camera.

    Frames are told by the last number in the name of a file: a frame without a file is missing in its view.

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
        If there are no such files, their names do not tell the frames, one is damaged, or no entry of a whole view
        fits the layout.
    """
    views: dict[Path, dict[int, Path]] = {}
    for file in sorted(folder.glob(PATTERN)):
        view, number = views.setdefault(file.parent, {}), _frame_number(file)
        if number in view:
            raise InputError(f"{file}: the same frame number as {view[number].name}")
        view[number] = file
    if not views:
        raise InputError(f"{folder}: no files {PATTERN} (a folder per camera, a JSON file per frame)")
    starts = {view.name: min(numbers) for view, numbers in views.items()}
    if len(set(starts.values())) > 1:
        log.warning("%s: the views start at different frame numbers, taken as the same clock: %s", folder, starts)
    first = min(starts.values())
    yield DetectedRecording(
        capture=folder.parent.name,
        name=folder.parent.name,
        subject="1",
        action=folder.parent.name,
        skeleton=skeleton,
        views=[_read_view(view, numbers, first, skeleton) for view, numbers in views.items()],
    )


def _frame_number(file: Path) -> int:
    digits = re.findall(r"\d+", file.stem)
    if not digits:
        raise InputError(f"{file}: no frame number in its name, such as video_000000000012_keypoints has")
    return int(digits[-1])


def _read_view(folder: Path, files: dict[int, Path], first: int, skeleton: Skeleton) -> DetectedView:
    lengths: set[int] = set()
    length = max(files) - first + 1
    if length > 10 * len(files) + 1000:
        raise InputError(f"{folder}: {len(files)} files, but their names count {length} frames")
    frames = np.full((length, len(skeleton), 3), np.nan)
    for number, file in files.items():
        people = _read_people(file)
        lengths.update(len(person) for person in people)
        fitting = [person for person in people if len(person) == 3 * len(skeleton)]
        if fitting:
            frames[number - first] = max(fitting, key=lambda person: np.nansum(person[2::3])).reshape(-1, 3)
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

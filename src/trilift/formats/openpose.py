"""OpenPose's JSON files: a folder per view, a file per frame, ``people[].pose_keypoints_2d``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, frame_files
from trilift.formats.beginnings import json_beginning
from trilift.formats.checks import load_json, numbers
from trilift.formats.layouts import Told
from trilift.skeletons import MPI15, Skeleton


def recognises(path: Path) -> bool:
    """Tell whether a file is a frame of this format."""
    people = _people(json_beginning(path))
    return people is not None and all("pose_keypoints_2d" in person for person in people)


def tell_layout(folders: Sequence[Path]) -> Told:
    """Tell the layout that OpenPose was run with from the people of all views."""
    return frame_files.tell_layout(folders, (MPI15,), _read_people)


def read_view(folder: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a folder: see `trilift.formats.frame_files.read_view`."""
    return frame_files.read_view(folder, skeleton, _read_people)


def _read_people(file: Path) -> list[np.ndarray]:
    expected = "a JSON file of OpenPose with people and pose_keypoints_2d"
    found = _people(load_json(file, expected))
    if found is None:
        raise InputError(f"{file}: not {expected}; make it again or remove its frame from all views")
    if not all("pose_keypoints_2d" in person for person in found):
        raise InputError(
            f"{file}: a person without pose_keypoints_2d; make it again or remove its frame from all views"
        )
    lists = [person["pose_keypoints_2d"] for person in found]
    return [numbers(values, str(file)).reshape(-1) for values in lists if values]


def _people(content: object) -> list[dict[str, Any]] | None:
    """Give the people of a frame; None if it is none."""
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict | None) for person in people):
        return None
    # A program that tells people apart leaves an entry without keypoints for who is not in this view.
    return [person for person in people if person and set(person) != {"person_id"}]

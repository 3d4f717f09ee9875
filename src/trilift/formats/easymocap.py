"""EasyMocap's ``annots``: a folder per view, a JSON file per frame, ``annots[].keypoints`` as rows x, y, confidence.

Where several are seen, each file lists them all; the numbers that EasyMocap gives them (``personID``) are not read.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, frame_files
from trilift.formats.beginnings import json_beginning
from trilift.formats.checks import load_json, numbers
from trilift.formats.layouts import Told
from trilift.skeletons import OPENPOSE25, Skeleton

_EXPECTED = "a JSON file of EasyMocap with annots and their keypoints"


def recognises(path: Path) -> bool:
    """Tell whether a file is a frame of this format."""
    return _people(json_beginning(path)) is not None


def tell_layout(folders: Sequence[Path]) -> Told:
    """Tell the layout: of 25 keypoints OpenPose's, which EasyMocap fixes, or another."""
    return frame_files.tell_layout(folders, (OPENPOSE25,), _read_people)


def read_view(folder: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a folder: see `trilift.formats.frame_files.read_view`."""
    return frame_files.read_view(folder, skeleton, _read_people)


def _read_people(file: Path) -> list[np.ndarray]:
    people = _people(load_json(file, _EXPECTED))
    if people is None:
        raise InputError(f"{file}: not {_EXPECTED}; make it again or remove its frame from all views")
    return [numbers(keypoints, str(file)).reshape(-1) for keypoints in people if keypoints]


def _people(content: object) -> list[object] | None:
    """Give the keypoints of everybody in a frame; None if it is none."""
    people = content.get("annots") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        return None
    return [person.get("keypoints") for person in people]

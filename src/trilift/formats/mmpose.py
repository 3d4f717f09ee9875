"""MMPose's and RTMPose's predictions of a video: a JSON file per view.

Its demo scripts write ``{"meta_info": ..., "instance_info": [frame, ...]}`` and count frames from 1; its inferencer
writes the list of frames alone and counts from 0. A frame is ``{"frame_id": ..., "instances": [person, ...]}``, a
person ``{"keypoints": [[x, y], ...], "keypoint_scores": [...]}`` and more.
"""

from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, view_of_people
from trilift.formats.checks import check_length, load_json, numbers, stack_people
from trilift.skeletons import Skeleton

_EXPECTED = "MMPose's predictions of a video (a list of frames with `frame_id` and `instances`)"


def first_frame(path: Path) -> int:
    """Give 0: every file counts from the first frame of its video."""
    return 0


def read_view(path: Path, skeleton: Skeleton, first: int = 0) -> DetectedView:
    """Read the view of a file.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or has another number of keypoints than the skeleton.
    """
    entries = _entries(path, skeleton)
    frames = {}
    for number, entry in zip(_numbers_of_frames(path, entries), entries, strict=True):
        where = f"{path}, frame {number} (counted from 0)"
        instances = entry.get("instances")
        if not isinstance(instances, list) or not all(isinstance(person, dict) for person in instances):
            raise InputError(f"{where}: expected `instances` with a list of people; make the file again")
        frames[number - first] = stack_people([_person(p, skeleton, where) for p in instances], skeleton)
    return view_of_people(path.stem, frames, skeleton)


def _entries(path: Path, skeleton: Skeleton) -> list[dict[str, Any]]:
    content = load_json(path, _EXPECTED)
    if isinstance(content, dict):
        _check_names(path, content.get("meta_info"), skeleton)
        content = content.get("instance_info")
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{path}: not {_EXPECTED}")
    if "instances" not in content[0] and "keypoints" in content[0]:
        raise InputError(f"{path}: predictions of a single image; run MMPose on the video, which gives one file")
    return content


def _check_names(path: Path, about: object, skeleton: Skeleton) -> None:
    if isinstance(about, dict):
        names = about.get("keypoint_id2name") or about.get("keypoint_name2id")
        if isinstance(names, dict) and len(names) != len(skeleton):
            raise InputError(_misfit(path, len(names), skeleton))


def _misfit(where: object, found: int, skeleton: Skeleton) -> str:
    return (
        f"{where}: {found} keypoints, expected the {len(skeleton)} of {skeleton.name}; state the layout of the model "
        "(skeleton: in the data set's file)"
    )


def _numbers_of_frames(path: Path, entries: list[dict[str, Any]]) -> list[int]:
    """Give the frame numbers, counted from 0; without any, the order counts."""
    stated = [entry.get("frame_id") for entry in entries]
    if all(number is None for number in stated):
        return list(range(len(entries)))
    found = [number for number in stated if type(number) is int and number >= 0]
    if len(found) < len(entries) or len(set(found)) < len(entries):
        raise InputError(
            f"{path}: expected a different `frame_id` from 0 or 1 on in every frame; make the file again"
        )
    check_length(max(found) + 1, len(found), str(path))
    start = 0 if 0 in found else 1
    return [number - start for number in found]


def _person(person: dict[str, Any], skeleton: Skeleton, where: str) -> np.ndarray:
    keypoints, scores = (numbers(person.get(key), where) for key in ("keypoints", "keypoint_scores"))
    if keypoints.ndim != 2 or keypoints.shape[1] != 2 or scores.shape != keypoints.shape[:1]:
        raise InputError(f"{where}: expected `keypoints` as pairs x, y and a number of `keypoint_scores` for each")
    if len(keypoints) != len(skeleton):
        raise InputError(_misfit(where, len(keypoints), skeleton))
    return np.column_stack([keypoints, scores])

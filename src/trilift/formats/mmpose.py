"""MMPose's and RTMPose's predictions of a video: a JSON file per view.

Its demo scripts write ``{"meta_info": ..., "instance_info": [frame, ...]}`` and count frames from 1; its inferencer
writes the list of frames alone and counts from 0. A frame is ``{"frame_id": ..., "instances": [person, ...]}``, a
person ``{"keypoints": [[x, y], ...], "keypoint_scores": [...]}`` and more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, layouts, view_of_people
from trilift.formats.beginnings import json_beginning
from trilift.formats.checks import load_json, numbers, stack_people
from trilift.formats.layouts import Told
from trilift.skeletons import SKELETONS, Skeleton

_EXPECTED = "MMPose's predictions of a video (a list of frames with `frame_id` and `instances`)"


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    frames = _frames(json_beginning(path))
    return _is_list_of_objects(frames) and "instances" in frames[0]


def tell_layout(paths: Sequence[Path]) -> Told:
    """Tell the layout from the names of the keypoints, where the files have them, else from the people."""
    people = []
    for path in paths:
        names, _, entries = _content(path)
        if names is not None:
            return layouts.of_ordered_names(names, str(path))
        for entry in layouts.evenly(entries, len(paths)):
            people += [_person(person, str(path)) for person in _instances(entry, str(path))]
    return layouts.of_poses(people, (), layouts.of_views(paths))


def read_view(path: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a file.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or has another number of keypoints than the skeleton.
    """
    names, counted_from, entries = _content(path)
    if names is not None:
        _check_names(path, names, skeleton)
    frames = {}
    for number, entry in zip(_numbers_of_frames(path, entries, counted_from), entries, strict=True):
        where = f"{path}, frame {number} (counted from 0)"
        people = [_person(person, where) for person in _instances(entry, where)]
        for person in people:
            if len(person) != len(skeleton):
                raise InputError(_misfit(where, len(person), skeleton))
        frames[number] = stack_people(people, skeleton)
    return view_of_people(path.stem, frames, skeleton, str(path))


def _content(path: Path) -> tuple[list[str] | None, int, list[dict[str, Any]]]:
    """Give the names of the keypoints where the file has them, what it counts from, and what it holds of frames."""
    content = load_json(path, _EXPECTED)
    names, counted_from = (_names(content.get("meta_info")), 1) if isinstance(content, dict) else (None, 0)
    frames = _frames(content)
    if not _is_list_of_objects(frames):
        raise InputError(f"{path}: not {_EXPECTED}")
    if "instances" not in frames[0] and "keypoints" in frames[0]:
        raise InputError(f"{path}: predictions of a single image; run MMPose on the video, which gives one file")
    return names, counted_from, frames


def _frames(content: object) -> Any:
    return content.get("instance_info") if isinstance(content, dict) else content


def _is_list_of_objects(content: object) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(entry, dict) for entry in content)


def _names(about: object) -> list[str] | None:
    about = about if isinstance(about, dict) else {}
    by_number, by_name = about.get("keypoint_id2name"), about.get("keypoint_name2id")
    if not by_number and isinstance(by_name, dict):
        by_number = {number: name for name, number in by_name.items() if isinstance(number, int | str)}
    if not by_number or not isinstance(by_number, dict):
        return None
    return [str(by_number[number]) for number in sorted(by_number, key=_as_number)]


def _as_number(text: object) -> float:
    return float(str(text)) if str(text).isdecimal() else 0  # of thousands of digits there is no int


def _check_names(path: Path, names: list[str], skeleton: Skeleton) -> None:
    if len(names) != len(skeleton):
        raise InputError(_misfit(path, len(names), skeleton))
    if skeleton.name not in SKELETONS:
        return
    named = layouts.of_ordered_names(names, str(path)).skeleton
    if named != skeleton:
        raise InputError(
            f"{path}: its keypoints are named as those of {named.name}, not of {skeleton.name}; state that "
            "(skeleton: in the data set's file)"
        )


def _instances(entry: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """List the people of a frame; an empty entry is nobody."""
    instances = entry.get("instances")
    if not isinstance(instances, list) or not all(isinstance(person, dict) for person in instances):
        raise InputError(f"{where}: expected `instances` with a list of people; make the file again")
    return [person for person in instances if person.get("keypoints") or person.get("keypoint_scores")]


def _misfit(where: object, found: int, skeleton: Skeleton) -> str:
    return (
        f"{where}: {found} keypoints, expected the {len(skeleton)} of {skeleton.name}; state the layout of the model "
        "(skeleton: in the data set's file)"
    )


def _numbers_of_frames(path: Path, entries: list[dict[str, Any]], counted_from: int) -> list[int]:
    """Give the frame numbers, counted from 0; without any, the order counts."""
    stated = [entry.get("frame_id") for entry in entries]
    if all(number is None for number in stated):
        return list(range(len(entries)))
    found = [number for number in stated if type(number) is int and number >= 0]
    if len(found) < len(entries) or len(set(found)) < len(entries):
        raise InputError(
            f"{path}: expected a different `frame_id` from 0 or 1 on in every frame; make the file again"
        )
    first = min(counted_from, *found)
    return [number - first for number in found]


def _person(person: dict[str, Any], where: str) -> np.ndarray:
    """Give (keypoint, 3: x, y, confidence)."""
    keypoints, scores = (numbers(person.get(key), where) for key in ("keypoints", "keypoint_scores"))
    if keypoints.ndim != 2 or keypoints.shape[1] != 2 or scores.shape != keypoints.shape[:1]:
        raise InputError(f"{where}: expected `keypoints` as pairs x, y and a number of `keypoint_scores` for each")
    return np.column_stack([keypoints, scores])

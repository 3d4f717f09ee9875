"""OpenPose's JSON files: a folder per view, a file per frame, ``people[].pose_keypoints_2d``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, layouts, view_of_people
from trilift.formats.beginnings import json_beginning
from trilift.formats.checks import load_json, numbers, stack_people
from trilift.formats.folders import files_in
from trilift.formats.layouts import Told
from trilift.formats.names import frame_numbers, name_of_view
from trilift.skeletons import MPI15, Skeleton


def recognises(path: Path) -> bool:
    """Tell whether a file is a frame of this format."""
    people = _people(json_beginning(path))
    return people is not None and all("pose_keypoints_2d" in person for person in people)


def tell_layout(folders: Sequence[Path]) -> Told:
    """Tell the layout that OpenPose was run with from the people of all views."""
    files = [file for folder in folders for file in layouts.evenly(list(_files(folder).values()), len(folders))]
    people = [person.reshape(-1, 3) for file in files for person in _read_people(file) if person.size % 3 == 0]
    return layouts.of_poses(people, (MPI15,), layouts.of_views(folders))


def read_view(folder: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a folder.

    Frames are told by the numbers in the names of the files: a frame without a file is missing. Entries whose list
    has another length than the skeleton needs are no people of this layout and are left out.

    Parameters
    ----------
    folder
        Holds a file per frame.
    skeleton
        The layout that OpenPose was run with.

    Raises
    ------
    InputError
        If there are no such files, their names do not tell the frames, one is damaged, or no entry fits the layout.
    """
    files = _files(folder)
    frames: dict[int, np.ndarray] = {}
    sizes: set[int] = set()
    for number, file in files.items():
        people = _read_people(file)
        sizes.update(len(person) for person in people)
        fitting = [person for person in people if len(person) == 3 * len(skeleton)]
        frames[number] = stack_people(fitting, skeleton)
    if sizes and 3 * len(skeleton) not in sizes:
        found = ", ".join(f"{size / 3:g}" for size in sorted(sizes))
        raise InputError(
            f"{folder}: no person with the {len(skeleton)} keypoints of {skeleton.name}; found lists of {found} "
            "keypoints. State the layout that OpenPose was run with (skeleton: in the data set's file)"
        )
    return view_of_people(name_of_view(folder), frames, skeleton, str(folder))


def _files(folder: Path) -> dict[int, Path]:
    found = files_in(folder, ".json")
    if not found:
        raise InputError(f"{folder}: no files *.json (a folder per view, a JSON file per frame)")
    files: dict[int, Path] = {}
    for file, number in zip(found, frame_numbers([file.name for file in found]), strict=True):
        if number is None:
            raise InputError(f"{file}: no frame number in its name, such as video_000000000012_keypoints has")
        if number in files:
            raise InputError(f"{file}: the same frame number as {files[number].name}; remove one of them")
        files[number] = file
    return files


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

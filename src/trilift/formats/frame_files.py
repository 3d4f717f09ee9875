"""What formats with a folder per view and a JSON file per frame share."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, layouts, view_of_people
from trilift.formats.checks import stack_people
from trilift.formats.folders import files_in
from trilift.formats.layouts import Told
from trilift.formats.names import frame_numbers, name_of_view
from trilift.skeletons import Skeleton

ReadPeople = Callable[[Path], list[np.ndarray]]
"""Gives the people of a file, each a flat list of x, y, confidence."""


def tell_layout(folders: Sequence[Path], fixed: Sequence[Skeleton], read_people: ReadPeople) -> Told:
    """Tell the layout from the people of all views; `fixed` are those that the format has by their number."""
    files = [file for folder in folders for file in layouts.evenly(list(_files(folder).values()), len(folders))]
    people = [person.reshape(-1, 3) for file in files for person in read_people(file) if person.size % 3 == 0]
    return layouts.of_poses(people, fixed, layouts.of_views(folders))


def read_view(folder: Path, skeleton: Skeleton, read_people: ReadPeople) -> DetectedView:
    """Read the view of a folder.

    Frames are told by the numbers in the names of the files: a frame without a file is missing. Entries whose list
    has another length than the skeleton needs are no people of this layout and are left out.

    Raises
    ------
    InputError
        If there are no such files, their names do not tell the frames, one is damaged, or no entry fits the layout.
    """
    frames: dict[int, np.ndarray] = {}
    sizes: set[int] = set()
    for number, file in _files(folder).items():
        people = read_people(file)
        sizes.update(len(person) for person in people)
        fitting = [person for person in people if len(person) == 3 * len(skeleton)]
        frames[number] = stack_people(fitting, skeleton)
    if sizes and 3 * len(skeleton) not in sizes:
        found = ", ".join(f"{size / 3:g}" for size in sorted(sizes))
        raise InputError(
            f"{folder}: no person with the {len(skeleton)} keypoints of {skeleton.name}; found lists of {found} "
            "keypoints. State the layout that the detector was run with (skeleton: in the data set's file)"
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

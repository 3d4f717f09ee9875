"""COCO keypoint results, as AlphaPose and many others write them: a JSON file per view.

It is a list of ``{"image_id": ..., "keypoints": [x, y, score, x, ...], ...}``, one entry per person and frame. With
``--format open``, AlphaPose writes ``{image_id: {"people": [{"pose_keypoints_2d": [x, y, score, ...]}]}}`` instead.
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
from trilift.formats.names import frame_numbers
from trilift.skeletons import COCO17, Skeleton

_EXPECTED = "COCO keypoint results (a list of people with `image_id` and `keypoints`)"
_OF_ALPHAPOSE = {"open": ("people", "pose_keypoints_2d"), "cmu": ("bodies", "joints")}


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    content = json_beginning(path)
    if isinstance(content, dict):
        content = _entries_of_alphapose(dict(list(content.items())[:1]))
    return bool(content) and _is_list_of_people(content)


def tell_layout(paths: Sequence[Path]) -> Told:
    """Tell the layout from the number of keypoints: COCO's own of 17, which the format fixes, or another."""
    entries = [entry for path in paths for entry in layouts.evenly(_entries(path), len(paths))]
    found = [numbers(values, layouts.of_views(paths)).reshape(-1) for _, values in entries]
    people = [person.reshape(-1, 3) for person in found if person.size % 3 == 0]
    return layouts.of_poses(people, (COCO17,), layouts.of_views(paths))


def read_view(path: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a file.

    Frames without people are not in such files; one without any is of a camera that saw nobody.

    Parameters
    ----------
    path
        The file. Frames are told by ``image_id``, a number or the name of an image with a number in it.
    skeleton
        The layout of the keypoints.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or has another number of keypoints than the skeleton.
    """
    people: dict[int, list[np.ndarray]] = {}
    for place, (number, values) in enumerate(_entries(path), 1):
        where = f"{path}, entry {place}"
        found = people.setdefault(number, [])
        if values == []:  # nobody
            continue
        person = numbers(values, where)
        if person.size != 3 * len(skeleton):
            raise InputError(
                f"{where}: {person.size} numbers in `keypoints`, expected x, y, score of the {len(skeleton)} "
                f"keypoints of {skeleton.name}; state the layout of the model (skeleton: in the data set's file)"
            )
        found.append(person)
    if not people:
        nobody = np.empty((0, 1, len(skeleton), 3), np.float32)
        return DetectedView(path.stem, nobody[..., :2], nobody[..., 2], lists_empty_frames=False)
    frames = {number: stack_people(found, skeleton) for number, found in people.items()}
    return view_of_people(path.stem, frames, skeleton, str(path), lists_empty_frames=False)


def _entries(path: Path) -> list[tuple[int, object]]:
    """List frame number and keypoints of every entry."""
    content = load_json(path, _EXPECTED)
    if isinstance(content, dict):
        content = _entries_of_alphapose(content)
    if not _is_list_of_people(content):
        raise InputError(f"{path}: not {_EXPECTED}")
    images = [entry.get("image_id") for entry in content]
    names = [image for image in images if isinstance(image, str)]
    named = dict(zip(names, frame_numbers(names), strict=True))
    entries: list[tuple[int, object]] = []
    for place, (image, entry) in enumerate(zip(images, content, strict=True), 1):
        number = named[image] if isinstance(image, str) else image
        if type(number) is not int or number < 0:
            raise InputError(
                f"{path}, entry {place}: no frame number in `image_id` {image!a:.60}, such as 12 or frame_000012.jpg "
                "has"
            )
        entries.append((number, entry.get("keypoints")))
    return entries


def _is_list_of_people(content: object) -> bool:
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        return False
    return not content or {"image_id", "keypoints"} <= set(content[0])


def _entries_of_alphapose(content: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Turn ``{image: {"people": [person, ...]}}`` into a list of people; None where it is no such dict."""
    entries = []
    for image, found in content.items():
        kinds = [kind for kind in _OF_ALPHAPOSE.values() if isinstance(found, dict) and kind[0] in found]
        people = found[kinds[0][0]] if kinds else None
        if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
            return None
        entries += [{"image_id": image, "keypoints": person.get(kinds[0][1], [])} for person in people or [{}]]
    return entries

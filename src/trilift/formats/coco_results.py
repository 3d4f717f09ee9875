"""COCO keypoint results, as AlphaPose and many others write them: a JSON file per view.

It is a list of ``{"image_id": ..., "keypoints": [x, y, score, x, ...], ...}``, one entry per person and frame.
"""

import re
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, view_of_people
from trilift.formats.checks import check_length, load_json, numbers, stack_people
from trilift.skeletons import Skeleton

_EXPECTED = "COCO keypoint results (a list of people with `image_id` and `keypoints`)"


def first_frame(path: Path) -> int:
    """Give the smallest frame number of a view."""
    return min(number for number, _ in _entries(path))


def read_view(path: Path, skeleton: Skeleton, first: int = 0) -> DetectedView:
    """Read the view of a file.

    Parameters
    ----------
    path
        The file. Frames are told by ``image_id``, a number or the name of an image, whose last number counts.
    skeleton
        The layout of the keypoints.
    first
        The frame number where all views of the recording begin.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or has another number of keypoints than the skeleton.
    """
    people: dict[int, list[np.ndarray]] = {}
    entries = _entries(path)
    for place, (number, values) in enumerate(entries, 1):
        where = f"{path}, entry {place}"
        keypoints = numbers(values, where)
        if keypoints.size != 3 * len(skeleton):
            raise InputError(
                f"{where}: {keypoints.size} numbers in `keypoints`, expected x, y, score of the {len(skeleton)} "
                f"keypoints of {skeleton.name}; state the layout of the model (skeleton: in the data set's file)"
            )
        people.setdefault(number - first, []).append(keypoints)
    check_length(max(people) + 1, len(entries), str(path))
    return view_of_people(path.stem, {n: stack_people(found, skeleton) for n, found in people.items()}, skeleton)


def _entries(path: Path) -> list[tuple[int, object]]:
    """List frame number and keypoints of every entry."""
    content = load_json(path, _EXPECTED)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{path}: not {_EXPECTED}")
    if not content:
        raise InputError(f"{path}: holds nobody in any frame; leave the view out")
    return [
        (_frame_number(entry.get("image_id"), f"{path}, entry {place}"), entry.get("keypoints"))
        for place, entry in enumerate(content, 1)
    ]


def _frame_number(image: object, where: str) -> int:
    if type(image) is int and image >= 0:
        return image
    # Without the ending: the digit of .jp2 is no frame number.
    digits = re.findall(r"[0-9]+", re.sub(r"\.[A-Za-z]\w{2,3}$", "", image)) if isinstance(image, str) else []
    if not digits or len(digits[-1]) > 15:
        raise InputError(f"{where}: no frame number in `image_id` {image!a:.60}, such as 12 or frame_000012.jpg has")
    return int(digits[-1])

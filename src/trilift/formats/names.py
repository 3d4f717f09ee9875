"""Names in outside files: body parts, views, captures and recordings."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from trilift.errors import InputError
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

_MOST_DIGITS = 15
_PROCESSED = re.compile(
    r"[-_. ]?(sync(ed|hroni[sz]ed)?|associat(ed|ion)|filt(er|ered)?|smooth(ed)?|interpolated|corrected|cleaned)$",
    re.I,
)
"""What programs append to the name of a file or folder when they process it further."""


def match_keypoints(found: Iterable[str], skeleton: Skeleton, where: str) -> dict[str, int]:
    """Find the keypoints of a skeleton among a file's names: only letters and digits count, without their case.

    Names that the skeleton lacks are left out, with a warning.

    Raises
    ------
    InputError
        If no name matches, or two match the same keypoint.
    """
    keypoints = {plain(keypoint): index for index, keypoint in enumerate(skeleton.keypoints)}
    found = list(dict.fromkeys(found))
    matched: dict[str, int] = {}
    for name in found:
        index = keypoints.get(plain(name))
        if index is None:
            continue
        if index in matched.values():
            raise InputError(f"{where}: two body parts are called {skeleton.keypoints[index]}; rename one")
        matched[name] = index
    if not matched:
        raise InputError(
            f"{where}: no body part is a keypoint of {skeleton.name}; found {_listed(found)}; expected names like "
            f"{', '.join(skeleton.keypoints)}"
        )
    ignored = [name for name in found if name not in matched]
    if ignored:
        log.warning("%s: body parts that %s lacks, not used: %s", where, skeleton.name, _listed(ignored))
    return matched


def plain(name: str) -> str:
    """Reduce a name to what counts when names are compared: letters and digits, without their case."""
    return "".join(character for character in name.lower() if character.isalnum())


def frame_numbers(names: Sequence[str]) -> list[int | None]:
    """Read the frame numbers of the files or images of one view: the last number that differs between their names.

    A number that all share, as in ``000012_halpe26``, tells no frames.

    Returns
    -------
    list of int or None
        None for a name without a number.

    Examples
    --------
    >>> frame_numbers(["cam2/walk_007_halpe26.json", "cam2/walk_008_halpe26.json"])
    [7, 8]
    """
    # Without the ending: the digit of .jp2 is no frame number.
    stems = (re.sub(r"\.[A-Za-z]\w{2,3}$", "", re.split(r"[/\\]", name)[-1]) for name in names)
    found = [[int(digits) for digits in re.findall(r"[0-9]+", stem) if len(digits) <= _MOST_DIGITS] for stem in stems]
    fewest = min((len(numbers) for numbers in found if numbers), default=0)
    differing = (place for place in range(1, fewest + 1) if len({each[-place] for each in found if each}) > 1)
    place = next(differing, 1)
    return [numbers[-place] if numbers else None for numbers in found]


def _listed(names: Iterable[str]) -> str:
    return ascii(list(names))[1:-1][:500]


def name_of_view(path: Path) -> str:
    """Give the name of the view that a file or folder holds: without the ending, or OpenPose's ``_json``."""
    return re.sub("(?i)_json$", "", path.name) if path.is_dir() else path.stem


def name_for_files(name: object, where: str) -> str:
    """Give the name of a capture or recording as our files can hold it, where ``/`` would part groups."""
    text = str(name).replace("/", "-")
    if not text.isprintable() or not text.strip(". "):
        raise InputError(f"{where}: {text!a:.60} cannot be the name of a capture or recording; rename it")
    return text


def before_processing(name: str) -> tuple[str, list[str]]:
    """Give a name without what programs appended when they processed the file or folder further, and that."""
    words = []
    while found := _PROCESSED.search(name):
        name = name[: found.start()]
        words.append(found[1].lower())
    return name, words

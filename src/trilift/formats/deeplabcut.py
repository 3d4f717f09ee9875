"""DeepLabCut's CSV: a file per view, header rows scorer, [individuals], bodyparts and coords, a row per frame.

Of an analysed video the first column holds the number of the frame. With several individuals, the frames before the
first and after the last in which one is seen are left out. Of labelled frames it holds the path of the image, in one
column or in three: ``labeled-data``, the video, ``img0012.png``.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedView, layouts, view_of_people
from trilift.formats.beginnings import csv_dialect
from trilift.formats.checks import check_not_infinite
from trilift.formats.layouts import Told
from trilift.formats.names import frame_numbers, match_keypoints
from trilift.skeletons import Skeleton

_COORDS = ("x", "y", "likelihood")


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    separator, _ = csv_dialect(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _is_header(_read_header(csv.reader(file, delimiter=separator)))
    except (OSError, ValueError, csv.Error):
        return False


def tell_layout(paths: Sequence[Path]) -> Told:
    """Tell the layout from the names of the body parts."""
    header, _, _ = _read_rows(paths[0])
    parts = [part for part, coord in zip(header["bodyparts"], header["coords"], strict=True) if coord in _COORDS]
    return layouts.of_names(list(dict.fromkeys(parts)), str(paths[0]))


def read_view(path: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a file; its body parts are matched with the skeleton's keypoints by name.

    Individuals are the people.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or no body part is a keypoint of the skeleton.
    """
    if path.suffix in (".h5", ".hdf5"):
        raise InputError(
            f"{path}: DeepLabCut's HDF5 holds pickles, which can run code, and is not read; give its CSV "
            "(analyze_videos with save_as_csv=True, or deeplabcut.analyze_videos_converth5_to_csv)"
        )
    header, index, values = _read_rows(path)
    coords, parts = header["coords"], header["bodyparts"]
    owners = header.get("individuals", [""] * len(coords))
    columns = [column for column, coord in enumerate(coords) if coord in _COORDS]
    keypoint = match_keypoints((parts[column] for column in columns), skeleton, str(path))
    columns = [column for column in columns if parts[column] in keypoint]
    individuals = list(dict.fromkeys(owners[column] for column in columns))
    people = np.full((len(values), len(individuals), len(skeleton), 3), np.nan, np.float32)
    filled = set()
    for column in columns:
        place = individuals.index(owners[column]), keypoint[parts[column]], _COORDS.index(coords[column])
        if place in filled:
            raise InputError(f"{path}, column {column + 1}: {parts[column]!a} has a column {coords[column]} already")
        filled.add(place)
        people[:, *place] = values[:, column]
    has_likelihood = any(coord == 2 for _, _, coord in filled)
    if not has_likelihood:
        people[..., 2] = 1
    people[np.isnan(people).any(-1)] = np.nan
    frames = dict(zip(_frame_numbers(path, index), people, strict=True))
    lists_empty_frames = "individuals" not in header and index[0].isdigit()
    view = view_of_people(path.stem, frames, skeleton, str(path), lists_empty_frames=lists_empty_frames)
    return view if has_likelihood else replace(view, confidence=None)


def _read_rows(path: Path) -> tuple[dict[str, list[str]], list[str], np.ndarray]:
    """Read the header rows by name, what tells the frame of each row, and the numbers (row, column)."""
    header: dict[str, list[str]] = {}
    index, values = [], []
    separator, decimal = csv_dialect(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=separator)
            header = _read_header(rows)
            if not _is_header(header) or len({len(row) for row in header.values()}) > 1:
                raise InputError(
                    f"{path}: no CSV of DeepLabCut, whose header rows scorer, bodyparts and coords are as long as "
                    "each other; export it again"
                )
            used = [column for column, coord in enumerate(header["coords"]) if coord in _COORDS]
            names = next((column for column, coord in enumerate(header["coords"]) if column and coord), None)
            for row in filter(None, rows):
                if len(row) != len(header["coords"]):
                    raise ValueError(f"{len(row)} columns, expected {len(header['coords'])}")
                numbers = np.full(len(row), np.nan)
                numbers[used] = [float(row[column].replace(decimal, ".") or "nan") for column in used]
                values.append(numbers)
                index.append("/".join(row[:names]).replace("\\", "/"))
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}, row {len(header) + len(index) + 1}: {error!s:.200}; export it again") from None
    if not values:
        raise InputError(f"{path}: holds no frames; export it again")
    array = np.array(values)
    check_not_infinite(array, str(path))
    return header, index, array


def _read_header(rows: Iterator[list[str]]) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    for row in islice(rows, 4):
        header[row[0] if row else ""] = row
        if "coords" in header:
            break
    return header


def _is_header(header: dict[str, list[str]]) -> bool:
    return {"bodyparts", "coords"} <= set(header)


def _frame_numbers(path: Path, index: list[str]) -> list[int]:
    if len({entry.rpartition("/")[0] for entry in index}) > 1:
        raise InputError(f"{path}: its rows are of several videos; export a file for each, named like its camera")
    numbers: dict[int, str] = {}
    for entry, number in zip(index, frame_numbers(index), strict=True):
        if number is None or number in numbers or entry.isdigit() != index[0].isdigit():
            raise InputError(
                f"{path}: expected a different frame number in each row, found {entry!a:.60} (12 and "
                "labeled-data/cam_01/img0012.png are frame 12)"
            )
        numbers[number] = entry
    return list(numbers)

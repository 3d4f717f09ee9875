"""Caliscope's long CSV of landmarks, MediaPipe's or of its other trackers: a row per frame, camera and landmark."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView
from trilift.formats.beginnings import csv_dialect
from trilift.formats.checks import check_frames, check_not_infinite
from trilift.skeletons import COCO17, COCO133, HALPE26, MEDIAPIPE33, Skeleton

_COLUMNS = {
    "sync_index": np.int64,
    "camera": np.int64,
    "point_id": np.int64,
    "img_loc_x": np.float64,
    "img_loc_y": np.float64,
}
_CAMERA = ("port", "cam_id")
"""What versions of Caliscope call the camera."""


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    try:
        _read_columns(path, _COLUMNS, nrows=0)
    except (OSError, ValueError):
        return False
    return True


def frame_rate(path: Path) -> float | None:
    """Give the frames per second that the times of a file tell, if it holds any."""
    try:
        rows = _read_columns(path, dict.fromkeys(["sync_index", "camera", "frame_time"], float))
    except ValueError:  # the reader needs no times, and tells what else is wrong
        return None
    of_cameras = rows.groupby("camera")[["sync_index", "frame_time"]]
    last = of_cameras.max() - of_cameras.min()  # since the first
    rates = last["sync_index"] / last["frame_time"].where(last["frame_time"] > 0)
    return round(float(rates.median()), 1) if rates.notna().any() else None


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the one recording of a file: of MediaPipe the 33 points of the body, other landmarks are left out.

    Frames are told by ``sync_index``, from the smallest on. Images in which nothing was found have no rows.

    Raises
    ------
    InputError
        If the file is damaged or lacks a column.
    """
    rows = _read_rows(path)
    start, numbers = int(rows["sync_index"].min()), np.unique(rows["camera"])
    length = int(rows["sync_index"].max()) - start + 1
    entries = len(rows[["sync_index", "camera"]].drop_duplicates())
    check_frames(start, length * len(numbers), entries, f"{path}, sync_index of {len(numbers)} cameras")
    skeleton = _layout(rows["point_id"])
    body = rows[rows["point_id"].between(0, len(skeleton) - 1)]
    found = body[["img_loc_x", "img_loc_y"]].to_numpy(np.float64, copy=True)
    check_not_infinite(found, str(path))
    found[np.isnan(found).any(1)] = np.nan
    pixels = np.full((len(numbers), length, 1, len(skeleton), 2), np.nan, np.float32)
    frames = body["sync_index"].to_numpy() - start
    pixels[np.searchsorted(numbers, body["camera"]), frames, 0, body["point_id"].to_numpy()] = found
    views = [
        DetectedView(f"cam_{number}", view, None, start, lists_empty_frames=False)
        for number, view in zip(numbers, pixels, strict=True)
    ]
    yield DetectedRecording.of_its_own(name, skeleton, views)


def _layout(point_ids: pd.Series) -> Skeleton:
    """Tell the tracker: MediaPipe counts hands and face from 100 on, others count all of their points from 0."""
    found = set(point_ids.unique())
    others = (skeleton for skeleton in (COCO17, HALPE26, COCO133) if found == set(range(len(skeleton))))
    return next(others, MEDIAPIPE33)


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        with np.errstate(invalid="ignore"):  # what is no whole number ends in a ValueError
            rows = _read_columns(path, _COLUMNS)
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, OverflowError, TypeError) as error:
        expected = ", ".join(_COLUMNS).replace("camera", " or ".join(_CAMERA))
        raise InputError(
            f"{path}: no CSV of Caliscope with the columns {expected} ({error!s:.200}); export it again"
        ) from None
    if rows.empty:
        raise InputError(f"{path}: holds no rows; export it again")
    twice = rows.duplicated(["sync_index", "camera", "point_id"])
    if twice.any():
        raise InputError(f"{path}, row {int(twice.argmax()) + 2}: the same sync_index, camera and point_id once more")
    return rows


def _read_columns(path: Path, columns: Mapping[str, type], **more: Any) -> pd.DataFrame:
    """Read columns as the types that they have, that of the camera under whichever name it is there."""
    separator, decimal = csv_dialect(path)
    options = {"sep": separator, "decimal": decimal, "encoding": "utf-8-sig", **more}
    header = pd.read_csv(path, **options | {"nrows": 0})
    camera = next((name for name in _CAMERA if name in header), _CAMERA[0])
    types = {camera if name == "camera" else name: kind for name, kind in columns.items()}
    return pd.read_csv(path, usecols=list(types), dtype=types, **options).rename(columns={camera: "camera"})

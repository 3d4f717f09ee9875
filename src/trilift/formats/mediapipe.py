"""Caliscope's long CSV of MediaPipe's landmarks: a row per frame, camera and landmark, of one recording."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView
from trilift.formats.beginnings import csv_dialect
from trilift.formats.checks import check_frames, check_not_infinite
from trilift.skeletons import MEDIAPIPE33

_COLUMNS = {
    "sync_index": np.int64,
    "port": np.int64,
    "point_id": np.int64,
    "img_loc_x": np.float64,
    "img_loc_y": np.float64,
}


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    try:
        _read_columns(path, list(_COLUMNS), nrows=0)
    except (OSError, ValueError):
        return False
    return True


def frame_rate(path: Path) -> float | None:
    """Give the frames per second that the times of a file tell, if it holds any."""
    try:
        rows = _read_columns(path, ["sync_index", "port", "frame_time"], dtype=float)
    except ValueError:  # the reader needs no times, and tells what else is wrong
        return None
    rows = rows.drop_duplicates(["sync_index", "port"]).sort_values(["port", "sync_index"])
    steps = rows["frame_time"].groupby(rows["port"]).diff().dropna()
    return round(float(1 / steps.median()), 1) if len(steps) and steps.median() > 0 else None


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the one recording of a file: the 33 points of the body, other landmarks are left out.

    Frames are told by ``sync_index``, from the smallest on. Images in which nothing was found have no rows.

    Raises
    ------
    InputError
        If the file is damaged or lacks a column.
    """
    rows = _read_rows(path)
    start, ports = int(rows["sync_index"].min()), np.unique(rows["port"])
    length = int(rows["sync_index"].max()) - start + 1
    entries = len(rows[["sync_index", "port"]].drop_duplicates())
    check_frames(start, length * len(ports), entries, f"{path}, sync_index of {len(ports)} cameras")
    body = rows[rows["point_id"].between(0, len(MEDIAPIPE33) - 1)]
    points = body[["img_loc_x", "img_loc_y"]].to_numpy(np.float64, copy=True)
    check_not_infinite(points, str(path))
    points[np.isnan(points).any(1)] = np.nan
    keypoints = np.full((len(ports), length, 1, len(MEDIAPIPE33), 2), np.nan, np.float32)
    frames = body["sync_index"].to_numpy() - start
    keypoints[np.searchsorted(ports, body["port"]), frames, 0, body["point_id"].to_numpy()] = points
    yield DetectedRecording(
        capture=name,
        name=name,
        subject="1",
        action=name,
        skeleton=MEDIAPIPE33,
        views=[
            DetectedView(f"cam_{port}", view, None, start, lists_empty_frames=False)
            for port, view in zip(ports, keypoints, strict=True)
        ],
    )


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        with np.errstate(invalid="ignore"):  # what is no whole number ends in a ValueError
            rows = _read_columns(path, list(_COLUMNS), dtype=_COLUMNS)
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, OverflowError, TypeError) as error:
        raise InputError(
            f"{path}: no CSV of Caliscope with the columns {', '.join(_COLUMNS)} ({error!s:.200}); export it again"
        ) from None
    if rows.empty:
        raise InputError(f"{path}: holds no rows; export it again")
    twice = rows.duplicated(["sync_index", "port", "point_id"])
    if twice.any():
        raise InputError(f"{path}, row {int(twice.argmax()) + 2}: the same sync_index, port and point_id once more")
    return rows


def _read_columns(path: Path, columns: list[str], **more: Any) -> pd.DataFrame:
    separator, decimal = csv_dialect(path)
    return pd.read_csv(path, usecols=columns, sep=separator, decimal=decimal, encoding="utf-8-sig", **more)

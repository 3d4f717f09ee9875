"""Checks that several readers share: files are not believed, and damage ends in a message."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError
from trilift.skeletons import Skeleton

_LARGEST = float(np.finfo(np.float32).max)


def load_json(path: Path, expected: str) -> Any:
    """Read a JSON file; `expected` says in messages what it should be."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not {expected} ({type(error).__name__}: {error!s:.200}); copy it or make it again"
        ) from None


def numbers(values: object, where: str) -> np.ndarray:
    """Turn nested lists of numbers into an array; null and NaN are missing."""
    try:
        array = np.array(values, np.float64)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{where}: expected lists of numbers ({error!s:.200}); make the file again") from None
    check_not_infinite(array, where)
    return array


def check_not_infinite(array: np.ndarray, where: str) -> None:
    """Refuse numbers that are infinite, or become so in single precision."""
    if (np.abs(array) > _LARGEST).any():
        raise InputError(f"{where}: holds an infinite number; write NaN for what is missing")


_HOUR = 216_000  # frames at 60 per second, in which somebody may be seen but once
_SELDOM = 100  # times as many frames as those in which somebody is seen
_LAST_FRAME = 2**31


def check_frames(first: int, length: int, entries: int, where: str) -> None:
    """Refuse frame numbers that count far more frames than there are entries, before memory is spent on them."""
    if not 0 <= first < _LAST_FRAME:
        raise InputError(f"{where}: begins at frame {first:.6g}; check the frame numbers")
    if length > _SELDOM * entries + _HOUR:
        raise InputError(f"{where}: {entries} entries, but they count {length} frames; check the frame numbers")


def stack_people(people: Sequence[np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Stack lists of x, y, confidence to (person, keypoint, 3); a keypoint that lacks one of them is missing."""
    stacked = np.array(people, np.float64).reshape(-1, len(skeleton), 3)
    stacked[np.isnan(stacked).any(-1)] = np.nan
    return stacked

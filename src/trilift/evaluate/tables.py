"""Collecting errors block by block and making tables of them."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from trilift.captures.schema import Recording
from trilift.evaluate.protocols import Protocol

OF_POSE = "(pose)"
"""Stands for a joint where a measure is of whole poses."""

_AXES = ["capture", "recording", "action", "view", "joint", "measure"]


class _Collected(NamedTuple):
    """Sums and numbers (recording, view, joint) of a measure's errors."""

    joints: list[str]
    sums: np.ndarray
    numbers: np.ndarray


class Errors:
    """Sums and numbers of errors per recording, view and joint of a capture: memory does not grow with the frames.

    Errors that are not finite do not count.

    Parameters
    ----------
    capture
        Its name.
    recordings
        Those that are measured.
    views, joints
        Names of the axes.
    """

    def __init__(self, capture: str, recordings: Sequence[Recording], views: Sequence[str], joints: Iterable[str]):
        self.capture, self.recordings, self.views = capture, list(recordings), list(views)
        self.joints = list(joints)
        self._collected: dict[str, _Collected] = {}

    def add(self, measure: str, recording: int, errors: Tensor) -> None:
        """Add errors (frame, view, joint), or (frame, view) of whole poses, of frames of one recording."""
        of_joints = errors.ndim == 3
        mine = self._of(measure, self.joints if of_joints else [OF_POSE])
        values = (errors if of_joints else errors.unsqueeze(-1)).double().cpu().numpy()
        known = np.isfinite(values)
        mine.sums[recording] += values.sum(0, where=known)
        mine.numbers[recording] += known.sum(0)

    def merge(self, part: "Errors", recording: int) -> None:
        """Add errors that were collected of one recording alone."""
        for measure, others in part._collected.items():
            mine = self._of(measure, others.joints)
            mine.sums[recording] += others.sums[0]
            mine.numbers[recording] += others.numbers[0]

    def _of(self, measure: str, joints: list[str]) -> _Collected:
        shape = (len(self.recordings), len(self.views), len(joints))
        return self._collected.setdefault(measure, _Collected(joints, np.zeros(shape), np.zeros(shape, np.int64)))

    def table(self) -> pd.DataFrame:
        """Give a row for each recording, view, joint and measure: `sum` and `number` of its errors, 0 without any."""
        parts = []
        for measure, (joints, sums, numbers) in self._collected.items():
            recording, view, joint = (index.ravel() for index in np.indices(numbers.shape))
            parts.append(
                pd.DataFrame(
                    {
                        "capture": self.capture,
                        "recording": [self.recordings[index].name for index in recording],
                        "action": [action_of_take(self.recordings[index].action) for index in recording],
                        "view": np.array(self.views, object)[view],
                        "joint": np.array(joints, object)[joint],
                        "measure": measure,
                        "sum": sums.ravel(),
                        "number": numbers.ravel(),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*_AXES, "sum", "number"])


def of_protocol(errors: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Keep the joints that a protocol counts."""
    aligned = errors["measure"].str.contains("pa_mpjpe")
    counts = (
        errors["joint"].isin(protocol.joints) & ~aligned | errors["joint"].isin(protocol.aligned_joints) & aligned
    )
    return errors[counts | (errors["joint"] == OF_POSE)]


def overall(errors: pd.DataFrame) -> dict[str, float]:
    """Give the mean of every measure over all joints of all poses; NaN without any."""
    total = errors.groupby("measure", sort=False)[["sum", "number"]].sum()
    return {str(name): float(mean) for name, mean in (total["sum"] / total["number"]).items()}


def means(errors: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Give the mean of every measure in each group.

    Parameters
    ----------
    errors
        Of `Errors.table`.
    by
        Columns that make the groups.

    Returns
    -------
    pandas.DataFrame
        A row per group in the order in which they come, a column per measure; NaN where there is no error.
    """
    total = errors.groupby([*by, "measure"], sort=False)[["sum", "number"]].sum()
    table = (total["sum"] / total["number"]).unstack("measure")
    order = pd.MultiIndex.from_frame(errors[[*by]].drop_duplicates())
    table = table.reindex(order if len(by) > 1 else order.get_level_values(0))
    return table[list(dict.fromkeys(errors["measure"]))].rename_axis(columns=None)


def per_action(errors: pd.DataFrame) -> pd.DataFrame:
    """Give the mean of every measure per action, and in a last row ``average`` the mean over the actions.

    The convention of the field for Human3.6M: the takes of an action are one action (`action_of_take`), an action's
    mean is over the errors of all its poses, and in the average every action counts the same, however many poses it
    has. So the average differs from `overall`, in which every pose counts the same. Actions are in the order of the
    alphabet without regard to capitals, which is the field's.
    """
    table = means(errors, "action").sort_index(key=lambda names: names.str.casefold())
    table.loc["average"] = table.mean()
    return table


def confidence_interval(errors: pd.DataFrame, measure: str, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Give the 95 % interval of a mean by the bootstrap over recordings (percentiles); NaN of fewer than two.

    Frames of a recording resemble each other, so that recordings are drawn, not frames. Recordings of one person
    resemble each other too: where there are few people, the truth is less certain than this says.
    """
    of_measure = errors[errors["measure"] == measure]
    parts = of_measure.groupby(["capture", "recording"], sort=False)[["sum", "number"]].sum().to_numpy(float)
    parts = parts[parts[:, 1] > 0]
    if len(parts) < 2:
        return float("nan"), float("nan")
    drawn = parts[np.random.default_rng(seed).integers(0, len(parts), (draws, len(parts)))].sum(1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return float(low), float(high)


class Bins:
    """Means of errors within bins of something else, such as the detector's confidence."""

    def __init__(self, edges: np.ndarray):
        self.edges = np.asarray(edges, float)
        self.sums = np.zeros(len(self.edges) - 1)
        self.numbers = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, of: Tensor, errors: Tensor) -> None:
        """Add errors and, in the same shape, what they are binned by; the last edge belongs to the last bin."""
        values, error = of.double().cpu().numpy().ravel(), errors.double().cpu().numpy().ravel()
        which = np.searchsorted(self.edges, values, side="right") - 1
        which[values == self.edges[-1]] = len(self.numbers) - 1
        kept = np.isfinite(error) & np.isfinite(values) & (which >= 0) & (which < len(self.numbers))
        self.sums += np.bincount(which[kept], error[kept], len(self.sums))
        self.numbers += np.bincount(which[kept], minlength=len(self.numbers))

    def merge(self, other: "Bins") -> None:
        self.sums += other.sums
        self.numbers += other.numbers

    def table(self, low: str, high: str, error: str, number: str) -> pd.DataFrame:
        """Give edges, mean error and number of errors, in columns of these names, of the bins that have any."""
        some = self.numbers > 0
        columns = self.edges[:-1], self.edges[1:], self.sums / np.where(some, self.numbers, 1), self.numbers
        return pd.DataFrame(dict(zip((low, high, error, number), columns, strict=True)))[some]


class Distribution:
    """How many errors are at most as large as each of some thresholds."""

    def __init__(self, thresholds: np.ndarray):
        self.thresholds = np.asarray(thresholds, float)
        self._counts: dict[str, np.ndarray] = {}

    def add(self, name: str, errors: Tensor) -> None:
        values = errors.double().cpu().numpy()
        values = values[np.isfinite(values)]
        self._of(name)[:] += np.bincount(np.searchsorted(self.thresholds, values), minlength=len(self.thresholds) + 1)

    def merge(self, other: "Distribution") -> None:
        for name, counts in other._counts.items():
            self._of(name)[:] += counts

    def _of(self, name: str) -> np.ndarray:
        return self._counts.setdefault(name, np.zeros(len(self.thresholds) + 1, np.int64))

    def table(self) -> pd.DataFrame:
        """Give ``threshold`` and ``<name>_percent``: how many errors are at most as large; NaN without any."""
        percent = {
            f"{name}_percent": 100 * counts.cumsum()[:-1] / (counts.sum() or np.nan)
            for name, counts in self._counts.items()
        }
        return pd.DataFrame({"threshold": self.thresholds} | percent)


def action_of_take(action: str) -> str:
    """Leave out the number at the end, which tells the takes of an action apart; a name of only a number stays.

    Examples
    --------
    >>> [action_of_take(name) for name in ("Directions", "Directions 1", "Sitting 2", "Walk1", "2")]
    ['Directions', 'Directions', 'Sitting', 'Walk', '2']
    """
    return re.sub(r"(?<=[^\s\d])\s*\d+$", "", action)

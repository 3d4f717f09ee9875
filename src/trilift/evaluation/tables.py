"""Collecting errors block by block and making tables of them."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from torch import Tensor


class ErrorTable:
    """Sums and numbers of errors per recording and joint, so that memory does not grow with the frames.

    Parameters
    ----------
    recordings
        Names of the rows.
    joints
        Names of the columns.
    """

    def __init__(self, recordings: list[str], joints: Iterable[str]):
        self.recordings, self.joints = recordings, list(joints)
        self._sums: dict[str, np.ndarray] = {}
        self._numbers: dict[str, np.ndarray] = {}

    def add(self, measure: str, recording: np.ndarray, errors: Tensor) -> None:
        """Add errors (frame, view, joint) of frames that belong to `recording` (frame,), an index."""
        shape = (len(self.recordings), len(self.joints))
        sums = self._sums.setdefault(measure, np.zeros(shape))
        numbers = self._numbers.setdefault(measure, np.zeros(shape, np.int64))
        values = errors.double().cpu().numpy()
        np.add.at(sums, recording, np.nansum(values, 1))
        np.add.at(numbers, recording, np.isfinite(values).sum(1))

    @classmethod
    def join(cls, tables: "list[ErrorTable]") -> "ErrorTable":
        """Put the recordings of several tables with the same joints below one another."""
        joined = cls([name for table in tables for name in table.recordings], tables[0].joints)
        for measure in dict.fromkeys(name for table in tables for name in table.measures):
            shape = (-1, len(joined.joints))
            joined._sums[measure] = np.concatenate(
                [table._sums.get(measure, np.zeros((len(table.recordings), shape[1]))) for table in tables]
            )
            joined._numbers[measure] = np.concatenate(
                [
                    table._numbers.get(measure, np.zeros((len(table.recordings), shape[1]), np.int64))
                    for table in tables
                ]
            )
        return joined

    @property
    def measures(self) -> list[str]:
        return list(self._sums)

    def overall(self, leave_out: Iterable[int] = ()) -> dict[str, float]:
        """Mean of every measure over all joints of all poses, without the joints of these indices."""
        kept = self._kept(leave_out)
        return {
            name: _mean(self._sums[name][:, kept].sum(), self._numbers[name][:, kept].sum()) for name in self._sums
        }

    def per_recording(self, leave_out: Iterable[int] = ()) -> pd.DataFrame:
        kept = self._kept(leave_out)
        means = {
            name: _divide(self._sums[name][:, kept].sum(1), self._numbers[name][:, kept].sum(1))
            for name in self._sums
        }
        return pd.DataFrame(means, index=pd.Index(self.recordings, name="recording"))

    def per_action(self, actions: Sequence[str], leave_out: Iterable[int] = ()) -> pd.DataFrame:
        """Mean of every measure per action, and in a last row ``average`` the mean over the actions.

        The convention of the field for Human3.6M: the takes of an action are one action (`action_of_take`), an
        action's mean is over the errors of all its poses, and in the average every action counts the same, however
        many poses it has. So the average differs from `overall`, in which every pose counts the same.

        Parameters
        ----------
        actions
            The action of every recording, in the order of the recordings.
        leave_out
            Indices of joints that do not count.

        Returns
        -------
        pandas.DataFrame
            A row per action that has errors, in the order of the alphabet without regard to capitals, which is the
            field's; a column per measure.
        """
        kept = self._kept(leave_out)
        rows = pd.Index([action_of_take(action) for action in actions], name="action")
        means = {}
        for name in self._sums:
            parts = {"sum": self._sums[name][:, kept].sum(1), "number": self._numbers[name][:, kept].sum(1)}
            total = pd.DataFrame(parts, index=rows).groupby(level="action").sum()
            means[name] = total["sum"] / total["number"].where(total["number"] > 0)
        table = pd.DataFrame(means).dropna(how="all").sort_index(key=lambda names: names.str.casefold())
        table.loc["average"] = table.mean()
        return table

    def per_joint(self) -> pd.DataFrame:
        means = {name: _divide(self._sums[name].sum(0), self._numbers[name].sum(0)) for name in self._sums}
        return pd.DataFrame(means, index=pd.Index(self.joints, name="joint"))

    def _kept(self, leave_out: Iterable[int]) -> list[int]:
        left_out = set(leave_out)
        return [joint for joint in range(len(self.joints)) if joint not in left_out]


def action_of_take(action: str) -> str:
    """Leave out the number at the end, which tells the takes of an action apart; a name of only a number stays.

    Examples
    --------
    >>> [action_of_take(name) for name in ("Directions", "Directions 1", "Sitting 2", "Walk1", "2")]
    ['Directions', 'Directions', 'Sitting', 'Walk', '2']
    """
    return re.sub(r"(?<=[^\s\d])\s*\d+$", "", action)


def _divide(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def _mean(total: float, number: int) -> float:
    return float(total / number) if number else float("nan")

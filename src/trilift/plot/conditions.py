"""The figure of the lifter's error by the detector's confidence and by the angle of view."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from trilift.plot.series import FEW, Overall, unit_of
from trilift.style import LINES, new_figure, say

_HOLLOW: dict[str, Any] = {
    "color": LINES[0],
    "markerfacecolor": "white",
    "markeredgewidth": 0.6,
    "markersize": 3,
    "linestyle": "none",
}
_BARS, _COUNTS = "#DDDDDD", "#666666"
_NO_CONFIDENCE = "the detector gives no confidence"
_NO_ANGLE = "no pose tells where the person faces"


def error_by_condition(by_confidence: pd.DataFrame, by_angle: pd.DataFrame, overall: Overall, note: str) -> Figure:
    """Error of the lifter against the detector's confidence, and against where the person faces.

    What is not known has no panel: a line says why. Means of fewer than `FEW` are hollow, with their number.

    Parameters
    ----------
    by_confidence
        Columns ``confidence_low``, ``confidence_high``, ``error`` and ``joints``, a row per range of the
        confidence; empty if not known.
    by_angle
        Columns ``angle_low_deg``, ``angle_high_deg``, ``error`` and ``poses``, a row per range of the angle
        between where the person faces and the camera: 0 is seen from the front. Empty if not known.
    overall
        The error of all: a line through the panels, and a band for its interval. Its unit is that of the tables:
        ``mm`` (distance from the reference) or ``px`` (distance in the other views).
    note
        Where the data come from.
    """
    unit = unit_of(overall.measure)
    what, where = ("Error", "from the reference") if unit == "mm" else ("Reprojection", "in the other views")
    panels = {
        "confidence": (by_confidence, "confidence_low", "confidence_high", "joints", _NO_CONFIDENCE),
        "viewing direction": (by_angle, "angle_low_deg", "angle_high_deg", "poses", _NO_ANGLE),
    }
    known = {name: panel for name, panel in panels.items() if len(panel[0])}
    absent = [f"(not by {name}: {panel[4]})" for name, panel in panels.items() if name not in known]
    if not known:
        return say(f"{what} by condition", "\n".join(absent), note)
    figure = new_figure(0.5 + 1.55 * len(known) + 0.1 * len(absent), note)
    for axes, name in zip(figure.subplots(len(known), squeeze=False)[:, 0], known, strict=True):
        table, low, high, number, _ = known[name]
        _draw(axes, table[low], table[high], table["error"], table[number], overall)
        axes.set(ylabel=f"mean distance\n{where} ({unit})", title="\n".join([f"{what} by {name}", *absent]))
        if name == "confidence":
            axes.set_xlabel("confidence of the detected joint (no unit)")
        else:
            axes.set_xlabel("angle from facing the camera (degrees)")
            axes.set_xticks([0, 45, 90, 135, 180], ["0\nfront", "45", "90\nside", "135", "180\nbehind"])
            axes.set_xlim(0, 180)
    figure.legend(
        handles=_legend([known[name][0][known[name][3]] for name in known], overall),
        loc="outside upper center",
        ncols=2,
    )
    return figure


def _legend(numbers: list[pd.Series], overall: Overall) -> list[Line2D]:
    handles = [Line2D([], [], color="black", linewidth=0.6, linestyle=":", label=f"all: {overall}")]
    if any((number < FEW).any() for number in numbers):
        handles.append(Line2D([], [], marker="o", **_HOLLOW, label=f"of fewer than {FEW} (the number)"))
    return handles


def _draw(axes: Axes, low: pd.Series, high: pd.Series, error: pd.Series, number: pd.Series, overall: Overall) -> None:
    """Draw the errors as a line, and behind it how many samples each is the mean of."""
    counts = axes.twinx()
    axes.set_zorder(counts.get_zorder() + 1)
    axes.patch.set_visible(False)
    counts.bar(low, number, high - low, align="edge", color=_BARS, edgecolor="white", linewidth=0.6)
    counts.grid(visible=False)
    counts.set_ylabel(f"number of {number.name} (bars)", color=_COUNTS)
    counts.tick_params(axis="y", colors=_COUNTS)
    counts.yaxis.set_major_formatter(EngFormatter(sep=""))
    counts.set_ylim(0, 1.35 * number.max())
    middle, many = (low + high) / 2, number >= FEW
    axes.axhspan(overall.low, overall.high, color="black", alpha=0.12, linewidth=0)
    axes.axhline(overall.means["lifter"], color="black", linewidth=0.6, linestyle=":")
    gaps = np.flatnonzero(low.to_numpy()[1:] > high.to_numpy()[:-1]) + 1
    joined = np.insert(middle.to_numpy(), gaps, np.nan), np.insert(error.to_numpy(), gaps, np.nan)
    axes.plot(*joined, color=LINES[0], linewidth=0.5, linestyle="--")
    axes.plot(middle, error.where(many), "o-", color=LINES[0], markersize=2.5)
    axes.plot(middle[~many], error[~many], "o", **_HOLLOW)
    for at, value, of in zip(middle[~many], error[~many], number[~many], strict=True):
        if np.isfinite(value):
            axes.annotate(f"{of:,}", (at, value), (0, 3), textcoords="offset points", ha="center", fontsize=6)
    axes.set_xlim(low.min(), high.max())
    axes.set_ylim(
        0, 1.2 * np.nanmax([*error, np.nan_to_num(overall.high), np.nan_to_num(overall.means["lifter"]), 1e-9])
    )
    axes.yaxis.label.set_color(LINES[0])

"""The figure of the lifter's error by the detector's confidence and by the angle of view."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from trilift.style import LINES, new_figure

_BARS, _COUNTS = "#DDDDDD", "#666666"


def error_by_condition(by_confidence: pd.DataFrame, by_angle: pd.DataFrame, note: str, unit: str = "mm") -> Figure:
    """Error of the lifter against the detector's confidence, and against where the person faces.

    Parameters
    ----------
    by_confidence
        Columns ``confidence_low``, ``confidence_high``, ``error`` and ``joints``, a row per range of the
        confidence; empty if not known.
    by_angle
        Columns ``angle_low_deg``, ``angle_high_deg``, ``error`` and ``poses``, a row per range of the angle
        between where the person faces and the camera: 0 is seen from the front. Empty if not known.
    note
        Where the data come from.
    unit
        ``mm`` (distance from the reference) or ``px`` (distance in the other views).
    """
    figure = new_figure(7, 3, note)
    of_confidence, of_angle = figure.subplots(1, 2)
    what, where = ("Error", "from the reference") if unit == "mm" else ("Reprojection", "in the other views")
    for axes, table, low, high, number, unknown in (
        (
            *(of_confidence, by_confidence, "confidence_low", "confidence_high", "joints"),
            "the detector gives no confidence",
        ),
        (
            *(of_angle, by_angle, "angle_low_deg", "angle_high_deg", "poses"),
            "no pose tells where the person faces",
        ),
    ):
        axes.set_ylabel(f"mean distance\n{where} ({unit})")
        if len(table):
            _draw(axes, table[low], table[high], table["error"], table[number])
        else:
            axes.text(0.5, 0.5, f"not known:\n{unknown}", transform=axes.transAxes, ha="center", va="center")
            axes.set(xticks=[], yticks=[])
    of_confidence.set(xlabel="confidence of the detected joint (no unit)", title=f"{what} by confidence")
    of_angle.set(xlabel="angle from facing the camera (degrees)", title=f"{what} by viewing direction")
    if len(by_angle):
        of_angle.set_xticks([0, 45, 90, 135, 180], ["0\nfront", "45", "90\nside", "135", "180\nbehind"])
    return figure


def _draw(axes: Axes, low: pd.Series, high: pd.Series, error: pd.Series, number: pd.Series) -> None:
    """Draw the errors as a line, and behind it how many samples each is the mean of."""
    counts = axes.twinx()
    axes.set_zorder(counts.get_zorder() + 1)
    axes.patch.set_visible(False)
    counts.bar(low, number, high - low, align="edge", color=_BARS, edgecolor="white", linewidth=1)
    counts.grid(visible=False)
    counts.set_ylabel(f"number of {number.name} (bars)", color=_COUNTS)
    counts.tick_params(axis="y", colors=_COUNTS)
    counts.yaxis.set_major_formatter(EngFormatter(sep=""))
    counts.set_ylim(0, 1.35 * number.max())
    axes.plot((low + high) / 2, error, "o-", color=LINES[0], markersize=4)
    axes.set_xlim(low.min(), high.max())
    axes.set_ylim(0, 1.1 * np.nanmax(error) if error.notna().any() else 1)
    axes.yaxis.label.set_color(LINES[0])

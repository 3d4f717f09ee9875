"""What is measured, and the lifter beside what it is compared with: the same in all figures of errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from trilift.style import LINES, REFERENCE, new_figure


@dataclass(frozen=True)
class Series:
    """Poses whose error is shown.

    Attributes
    ----------
    name
        As the columns of tables have it.
    label
        As legends have it.
    colour, line, marker
        How it is drawn; told apart without colours too.
    """

    name: str
    label: str
    colour: str
    line: str
    marker: str

    def column(self, measure: str) -> str:
        return measure if self is LIFTER else f"{self.name}_{measure}"


LIFTER = Series("lifter", "lifter (one view)", LINES[0], "-", "s")
COMPARED = (
    Series("mean_pose", "mean training pose", REFERENCE, "--", "D"),
    Series("pseudo_label", "pseudo-label (all views)", LINES[2], "-.", "o"),
)
ALL_SERIES = (LIFTER, *COMPARED)

_AXIS_LABELS = {
    "mpjpe_mm": "mean distance from the reference (mm)",
    "other_views_reprojection_px": "mean distance in the other views (px)",
}
_TITLES = {
    "mpjpe_mm": "MPJPE per {}",
    "other_views_reprojection_px": "Reprojection into the other views, per {}\n(agreement, not accuracy)",
}
_COUNTS = "#555555"


def measure_of(table: pd.DataFrame) -> str:
    """Name the measure of a table: the error where a reference exists, otherwise the agreement with other views."""
    return next(measure for measure in _AXIS_LABELS if measure in table)


def label_of(measure: str) -> str:
    return _AXIS_LABELS[measure]


def title_of(measure: str, per: str) -> str:
    return _TITLES[measure].format(per)


def new_figure_of_rows(rows: int, note: str) -> tuple[Figure, Axes]:
    """Start a figure for `draw_rows`, as wide as a column of a paper."""
    figure = new_figure(4.8, 1.8 + 0.2 * rows, note)
    return figure, figure.add_subplot()


def draw_rows(
    axes: Axes, positions: np.ndarray, names: list[str], table: pd.DataFrame
) -> list[Artist | BarContainer]:
    """Draw a bar per row for the lifter, markers for what it is compared with, and how many poses there are.

    Parameters
    ----------
    positions
        Where the rows are, downwards.
    names
        What the rows are called.
    table
        Columns of a measure (see `measure_of`) and ``poses``.

    Returns
    -------
    list
        What belongs into the legend.
    """
    measure = measure_of(table)
    bars = axes.barh(positions, table[LIFTER.column(measure)], 0.72, color=LIFTER.colour, label=LIFTER.label)
    markers = [
        axes.plot(
            table[series.column(measure)],
            positions,
            series.marker,
            color=series.colour,
            markeredgecolor="white",
            markersize=6,
            label=series.label,
        )[0]
        for series in COMPARED
    ]
    _write_at_the_right(axes, positions[0] - 0.95, "poses")
    for position, number in zip(positions, table["poses"], strict=True):
        _write_at_the_right(axes, position, f"{number:,.0f}")
    axes.set_yticks(positions, names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=label_of(measure), xlim=(0, None), ylim=(positions[-1] + 0.7, positions[0] - 0.7))
    axes.grid(axis="y", visible=False)
    return [bars, *markers]


def _write_at_the_right(axes: Axes, position: float, text: str) -> None:
    axes.annotate(
        text,
        (1, position),
        (46, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=7,
        color=_COUNTS,
        annotation_clip=False,
    )

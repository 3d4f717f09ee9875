"""What is measured, and the lifter beside what it is compared with: the same in all figures of errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trilift.style import LINES, REFERENCE, new_figure

FEW = 100
"""The mean of fewer is drawn hollow: it may be chance."""


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
MEAN_POSE = Series("mean_pose", "mean training pose", REFERENCE, "--", "D")
PSEUDO_LABEL = Series("pseudo_label", "pseudo-label (all views)", LINES[2], "-.", "o")
ALL_SERIES = (LIFTER, MEAN_POSE, PSEUDO_LABEL)

_AXIS_LABELS = {
    "mpjpe_mm": "mean distance from the reference (mm)",
    "other_views_reprojection_px": "mean distance in the other views (px)",
}
_TITLES = {
    "mpjpe_mm": "MPJPE per {}",
    "other_views_reprojection_px": "Reprojection into the other views, per {}\n(agreement, not accuracy)",
}
_COUNTS = "#555555"
_ROW = 0.135  # inches
_INTERVAL = "95 % interval of the mean"


@dataclass(frozen=True)
class Overall:
    """The main error of a run, as ``metrics.json`` has it.

    Attributes
    ----------
    measure
        ``mpjpe_mm`` where a reference exists, otherwise ``other_views_reprojection_px``.
    means
        By the names of `Series`.
    low, high
        The 95 % interval of the lifter's, over recordings; NaN of a single one.
    """

    measure: str
    means: Mapping[str, float]
    low: float
    high: float

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Overall":
        """Take it from the content of ``metrics.json``."""

        def number(name: str) -> float:
            return float("nan") if facts.get(name) is None else float(facts[name])

        measure = measure_of(facts)
        return cls(
            measure,
            {series.name: number(series.column(measure)) for series in ALL_SERIES},
            number(f"{measure}_ci95_low"),
            number(f"{measure}_ci95_high"),
        )

    def __str__(self) -> str:
        interval = f" [{self.low:.1f}, {self.high:.1f}]" if np.isfinite(self.low) else ""
        return f"{self.means['lifter']:.1f}{interval} {unit_of(self.measure)}"


def measure_of(names: Any) -> str:
    """Name the measure of a table: the error where a reference exists, otherwise the agreement with other views."""
    return "mpjpe_mm" if "mpjpe_mm" in names else "other_views_reprojection_px"


def title_of(measure: str, per: str) -> str:
    return _TITLES[measure].format(per)


def unit_of(measure: str) -> str:
    return measure.rpartition("_")[2]


def draw_rows(
    names: list[str],
    table: pd.DataFrame,
    per: str,
    overall: Overall,
    note: str,
    *,
    number: str = "poses",
    average: bool = False,
    remark: str = "",
    ranges: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Draw a bar per row for the lifter, markers for what it is compared with, and last the error of all.

    The error of all has its interval. The scale is that of the lifter: where the mean pose is far beyond, an arrow
    at the edge stands for it, with the number. Means of fewer than `FEW` are hollow.

    Parameters
    ----------
    names
        What the rows are called.
    table
        Columns of a measure (see `measure_of`) and of numbers, a row for each name.
    per
        What a row is, such as ``joint``.
    overall
        The error of all.
    note
        Where the data come from.
    number
        The column of how many each is the mean of.
    average
        Whether the last row is the average of the others, and belongs apart.
    remark
        A second line for the title.
    ranges
        Lowest and highest error of the lifter in each row.
    """
    measure = overall.measure
    of_all = {series.column(measure): overall.means[series.name] for series in ALL_SERIES}
    numbers = [*table[number], table[number][: len(table) - average].sum()]
    table = pd.concat([table[list(of_all)], pd.DataFrame([of_all])], ignore_index=True)
    positions = np.arange(len(table)) + np.where(np.arange(len(table)) >= len(table) - 1 - average, 0.4, 0)
    title = title_of(measure, per) + (f"\n{remark}" if remark else "")
    figure = new_figure(1.15 + 0.1 * title.count("\n") + _ROW * (positions[-1] + 1), note)
    axes = figure.add_subplot()
    errors = table[LIFTER.column(measure)]
    few = np.array(numbers) < FEW
    bars = axes.barh(positions, errors, 0.72, color=LIFTER.colour, label=LIFTER.label)
    for bar in np.array(bars.patches, object)[few]:
        bar.set(facecolor="white", edgecolor=LIFTER.colour, linewidth=0.8, linestyle="--")
    labels = table[PSEUDO_LABEL.column(measure)]
    largest = np.nanmax([1e-9, *errors, *labels, np.nan_to_num(overall.high), *(ranges[1] if ranges else ())])
    _draw_markers(axes, labels, positions, PSEUDO_LABEL)
    if ranges:
        axes.hlines(positions[: len(ranges[0])], *ranges, color="black", linewidth=0.8)
    if np.isfinite(overall.low):
        errors_of_all = [[errors.iloc[-1] - overall.low], [overall.high - errors.iloc[-1]]]
        axes.errorbar(errors.iloc[-1:], positions[-1:], xerr=errors_of_all, fmt="none", ecolor="black", capsize=2)
    edge = _draw_mean_pose(axes, table[MEAN_POSE.column(measure)], positions, largest)
    _write_at_the_edge(axes, positions[0] - 0.95, number, 32)
    for position, of_row in zip(positions, numbers, strict=True):
        _write_at_the_edge(axes, position, f"{of_row:,.0f}", 32)
    axes.set_yticks(positions, [*names, f"all {number}"])
    for label in axes.get_yticklabels()[-1 - average :]:
        label.set_fontweight("bold")
    axes.axhline(positions[-1 - average] - 0.7, color="black", linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=_AXIS_LABELS[measure], xlim=(0, edge), ylim=(positions[-1] + 0.6, positions[0] - 0.6))
    axes.set_title(title, pad=11)
    axes.grid(axis="y", visible=False)
    handles = _legend(few, number, has_interval=bool(np.isfinite(overall.low)), has_ranges=ranges is not None)
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _draw_markers(axes: Axes, values: pd.Series, positions: np.ndarray, series: Series) -> None:
    axes.plot(
        *(values, positions, series.marker),
        color=series.colour,
        markeredgecolor="white",
        markeredgewidth=0.6,
        markersize=4,
        label=series.label,
    )


def _draw_mean_pose(axes: Axes, values: pd.Series, positions: np.ndarray, largest: float) -> float:
    """Draw its markers, at the edge where they would squeeze the scale; returns where the axis ends."""
    within = values <= 1.5 * largest
    beyond = values.notna() & ~within
    edge = max(1.05 * max(largest, values[within].max() if within.any() else 0), 1.3 * largest if beyond.any() else 0)
    _draw_markers(axes, values[within], positions[within], MEAN_POSE)
    for position, value in zip(positions[beyond], values[beyond], strict=True):
        _write_at_the_edge(axes, position, f"{value:.0f} ▶", 2)
    return edge


def _legend(few: np.ndarray, number: str, *, has_interval: bool, has_ranges: bool) -> list[Patch | Line2D]:
    hollow = Patch(facecolor="white", edgecolor=LIFTER.colour, linestyle="--", label=f"of fewer than {FEW} {number}")
    handles: list[Patch | Line2D] = [] if few.all() else [Patch(color=LIFTER.colour, label=LIFTER.label)]
    handles += [
        Line2D([], [], marker=series.marker, linestyle="none", color=series.colour, markersize=4, label=series.label)
        for series in (PSEUDO_LABEL, MEAN_POSE)
    ]
    handles += [hollow] if few.any() else []
    handles += [Line2D([], [], color="black", marker="|", label=_INTERVAL)] if has_interval else []
    handles += [Line2D([], [], color="black", label="lowest to highest capture")] if has_ranges else []
    return handles


def _write_at_the_edge(axes: Axes, position: float, text: str, right: float) -> None:
    """Write text that ends so many points to the right of the axes' edge."""
    axes.annotate(
        text,
        (1, position),
        (right, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=6,
        color=_COUNTS,
        annotation_clip=False,
    )

"""The figure of how errors are distributed: which share of the joints is within each."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trilift.plot.series import ALL_SERIES, Series
from trilift.style import new_figure

_PCK_MM = 150
_BINS = 100  # of the density
_FAR_PERCENT = 95  # the axes end where so many of all joints are


def error_distribution(table: pd.DataFrame, note: str, unit: str) -> Figure:
    """How errors are distributed: the share of joints up to each error, and below it the density.

    Parameters
    ----------
    table
        Columns ``threshold``, increasing in equal steps, and ``lifter_percent``, ``mean_pose_percent`` and
        ``pseudo_label_percent``: how many joints have an error of at most the threshold.
    note
        Where the data come from.
    unit
        ``mm`` (distance from the reference) or ``px`` (distance in the other views).
    """
    figure = new_figure(4.1, note)
    shares, densities = figure.subplots(2)
    known = {
        series: table[f"{series.name}_percent"].to_numpy(float)
        for series in ALL_SERIES
        if table[f"{series.name}_percent"].notna().any()
    }
    thresholds = table["threshold"].to_numpy(float)
    for series, percent in known.items():
        _draw(shares, densities, thresholds, percent, series, unit)
    for axes in (shares, densities):
        axes.set(xlim=(0, _last_shown(thresholds, list(known.values()))))
        axes.set_xlabel("distance from the reference (mm)" if unit == "mm" else "distance in the other views (px)")
    shares.set(ylabel="joints up to this distance (%)", ylim=(0, 100))
    densities.set(ylabel=f"joints (% per {unit})", ylim=(0, None))
    if unit == "mm":
        shares.axvline(_PCK_MM, color="#555555", linewidth=0.6, linestyle=":")
        shares.annotate(
            f"{_PCK_MM} mm", (_PCK_MM, 2), (3, 0), textcoords="offset points", fontsize=6, color="#555555"
        )
    shares.set_title("Share of correct joints (PCK)" if unit == "mm" else "Agreement with the other views")
    densities.set_title("Density of the errors" if unit == "mm" else "Density (agreement, not accuracy)")
    handles = shares.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center")
    return figure


def _draw(
    shares: Axes, densities: Axes, thresholds: np.ndarray, percent: np.ndarray, series: Series, unit: str
) -> None:
    label = f"{series.label}: {_summary(thresholds, percent, unit)}"
    shares.plot(thresholds, percent, series.line, color=series.colour, label=label)
    every = max(1, len(percent) // _BINS)
    thresholds, percent = thresholds[::every], percent[::every]
    density = np.diff(percent) / np.diff(thresholds)
    densities.plot((thresholds[1:] + thresholds[:-1]) / 2, density, series.line, color=series.colour)
    densities.fill_between(
        (thresholds[1:] + thresholds[:-1]) / 2, density, color=series.colour, alpha=0.12, linewidth=0
    )


def _summary(thresholds: np.ndarray, percent: np.ndarray, unit: str) -> str:
    if unit == "mm":
        correct = np.interp(_PCK_MM, thresholds, percent)
        # The convention of MPI-INF-3DHP: the mean of the shares at thresholds in equal steps, 0 included.
        area = percent[thresholds <= _PCK_MM].mean()
        return f"PCK@{_PCK_MM} {correct:.1f} %, AUC 0-{_PCK_MM} {area:.1f} %"
    if percent[-1] < 50:
        return f"median above {thresholds[-1]:g} px"
    return f"median {np.interp(50, percent, thresholds):.1f} px"


def _last_shown(thresholds: np.ndarray, known: list[np.ndarray]) -> float:
    """Find the first threshold but 0 that nearly all errors are below, whatever the series."""
    far = np.all([percent >= _FAR_PERCENT for percent in known], 0)[1:] if known else np.zeros(0, bool)
    return float(thresholds[1:][far].min() if far.any() else thresholds[-1])

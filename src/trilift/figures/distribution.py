import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trilift.figures.series import ALL_SERIES, Series
from trilift.figures.style import new_figure

_PCK_MM = 150
_FAR = 0.95  # the axes end where so many of all joints are


def error_distribution(table: pd.DataFrame, note: str, unit: str) -> Figure:
    """How errors are distributed: the share of joints up to each error, and beside it the density.

    Parameters
    ----------
    table
        Columns ``threshold``, increasing in equal steps, and ``lifter``, ``mean_pose`` and ``pseudo_label``: the
        share of joints with an error of at most the threshold.
    note
        Where the data come from.
    unit
        ``mm`` (distance from the reference) or ``px`` (distance in the other views).
    """
    figure = new_figure(7, 3.2, note)
    shares, densities = figure.subplots(1, 2)
    known = [series for series in ALL_SERIES if table[series.name].notna().any()]
    thresholds = table["threshold"].to_numpy(float)
    for series in known:
        _draw(shares, densities, thresholds, table[series.name].to_numpy(float), series, unit)
    for axes in (shares, densities):
        axes.set(xlim=(0, _last_shown(table, known)))
        axes.set_xlabel("distance from the reference (mm)" if unit == "mm" else "distance in the other views (px)")
    shares.set(ylabel="joints up to this distance (%)", ylim=(0, 100))
    densities.set(ylabel=f"joints (% per {unit})", ylim=(0, None))
    if unit == "mm":
        shares.axvline(_PCK_MM, color="#555555", linewidth=0.8, linestyle=":")
        shares.annotate(
            f"{_PCK_MM} mm", (_PCK_MM, 2), (3, 0), textcoords="offset points", fontsize=7, color="#555555"
        )
    shares.set_title("Share of correct joints (PCK)" if unit == "mm" else "Agreement with the other views")
    densities.set_title("Density of the errors" if unit == "mm" else "Density (agreement, not accuracy)")
    handles = shares.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7, columnspacing=1)
    return figure


def _draw(
    shares: Axes, densities: Axes, thresholds: np.ndarray, share: np.ndarray, series: Series, unit: str
) -> None:
    label = f"{series.label}\n{_summary(thresholds, share, unit)}"
    shares.plot(thresholds, 100 * share, series.line, color=series.colour, label=label)
    density = 100 * np.diff(share) / np.diff(thresholds)
    densities.plot((thresholds[1:] + thresholds[:-1]) / 2, density, series.line, color=series.colour)
    densities.fill_between(
        (thresholds[1:] + thresholds[:-1]) / 2, density, color=series.colour, alpha=0.12, linewidth=0
    )


def _summary(thresholds: np.ndarray, share: np.ndarray, unit: str) -> str:
    if unit == "mm":
        correct = 100 * np.interp(_PCK_MM, thresholds, share)
        # The convention of MPI-INF-3DHP: the mean of the shares at thresholds in equal steps, 0 included.
        area = 100 * share[thresholds <= _PCK_MM].mean()
        return f"PCK@{_PCK_MM} {correct:.1f} %, AUC 0-{_PCK_MM} {area:.1f} %"
    if share[-1] < 0.5:
        return f"median above {thresholds[-1]:g} px"
    return f"median {np.interp(0.5, share, thresholds):.1f} px"


def _last_shown(table: pd.DataFrame, known: list[Series]) -> float:
    """Find the first threshold that nearly all errors are below, whatever the series."""
    far = (table[[series.name for series in known]] >= _FAR).all(axis=1)
    last = table["threshold"][far].min() if far.any() else table["threshold"].max()
    return float(max(last, table["threshold"].iloc[min(1, len(table) - 1)]))

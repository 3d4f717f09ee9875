"""The figure of the error of each joint."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import ALL_SERIES, label_of, measure_of, title_of
from trilift.skeletons import TRAINING_SKELETON
from trilift.style import new_figure

_WIDTH = 0.27


def error_per_joint(table: pd.DataFrame, note: str) -> Figure:
    """Error of each joint: the lifter beside the mean training pose and the pseudo-label.

    Parameters
    ----------
    table
        Indexed by joint. Uses the columns of ``mpjpe_mm`` where a reference exists, and otherwise those of
        ``other_views_reprojection_px``.
    note
        Where the data come from.
    """
    measure = measure_of(table)
    shown = table[table.index != TRAINING_SKELETON.root]  # at 0, or where the pseudo-label has it
    figure = new_figure(6.5, 3.8, note)
    axes = figure.add_subplot()
    positions = np.arange(len(shown))
    for offset, series in zip((-_WIDTH, 0, _WIDTH), ALL_SERIES, strict=True):
        heights = shown[series.column(measure)]
        axes.bar(positions + offset, heights, _WIDTH, label=series.label, color=series.colour)
    axes.set_xticks(positions, [name.replace("_", " ") for name in shown.index], rotation=45, ha="right")
    axes.grid(axis="x", visible=False)
    axes.set(ylabel=label_of(measure), title=title_of(measure, "joint"))
    axes.legend()
    return figure

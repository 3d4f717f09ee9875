"""The figure of the error in each view."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import LIFTER, draw_rows, measure_of, new_figure_of_rows, title_of

_MOST_ROWS = 16


def error_per_view(table: pd.DataFrame, note: str) -> Figure:
    """Error in each view of each capture; where they are many, the medians of the captures for each view.

    Parameters
    ----------
    table
        Columns ``capture``, ``view`` and ``poses``, and those of ``mpjpe_mm`` where a reference exists, otherwise
        those of ``other_views_reprojection_px``.
    note
        Where the data come from.
    """
    measure = measure_of(table)
    captures = table["capture"].nunique()
    shown = table.assign(view=table["view"].astype(str))
    title = title_of(measure, "view")
    summarised = len(table) > _MOST_ROWS and captures > 1
    if summarised:
        views = shown.drop(columns="capture").groupby("view", sort=False)
        shown = views.median().assign(poses=views["poses"].sum()).reset_index()
        title += f"\nmedians of {captures} captures (poses: of all of them)"
    elif captures > 1:
        shown["view"] = shown["capture"].astype(str) + " " + shown["view"]
    figure, axes = new_figure_of_rows(len(shown), note)
    positions = np.arange(len(shown))
    handles = draw_rows(axes, positions, shown["view"].tolist(), shown)
    if summarised:
        errors = views[LIFTER.column(measure)]
        what = "lifter, lowest to highest capture"
        handles.append(axes.hlines(positions, errors.min(), errors.max(), color="black", linewidth=1, label=what))
        axes.set_xlim(0, None)
    axes.set_title(title, fontsize=9, pad=14)
    columns = 2 if summarised else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=7, columnspacing=1)
    return figure

"""The figure of the error of each action."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import LIFTER, draw_rows, measure_of, new_figure_of_rows, title_of


def error_per_action(table: pd.DataFrame, note: str) -> Figure:
    """Error of each action, the easiest first, and apart from them the average.

    Parameters
    ----------
    table
        Indexed by action, ``average`` in the last row. Uses ``poses`` and the columns of ``mpjpe_mm`` where a
        reference exists, and otherwise those of ``other_views_reprojection_px``.
    note
        Where the data come from.
    """
    measure = measure_of(table)
    actions = table.iloc[:-1].sort_values(LIFTER.column(measure))
    shown = pd.concat([actions, table.iloc[-1:]])
    figure, axes = new_figure_of_rows(len(shown), note)
    positions = np.append(np.arange(len(actions)), len(actions) + 0.5)
    handles = draw_rows(axes, positions, [str(name) for name in shown.index], shown)
    axes.axhline(len(actions) - 0.25, color="black", linewidth=0.8)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_title(title_of(measure, "action"), fontsize=9, pad=14)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7, columnspacing=1)
    return figure

"""The figure of the error of each action."""

import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import LIFTER, Overall, draw_rows, title_of
from trilift.style import say


def error_per_action(table: pd.DataFrame, overall: Overall, note: str) -> Figure:
    """Error of each action, the easiest first, and apart from them the average; of a single one a sentence.

    Parameters
    ----------
    table
        Indexed by action, ``average`` in the last row. Uses ``poses`` and the columns of ``mpjpe_mm`` where a
        reference exists, and otherwise those of ``other_views_reprojection_px``.
    overall
        The error of all.
    note
        Where the data come from.
    """
    if len(table) <= 2:
        title = title_of(overall.measure, "action")
        return say(
            title, f"There is one action, {table.index[0]}: {overall} over {table['poses'].iloc[0]:,.0f} poses.", note
        )
    shown = pd.concat([table.iloc[:-1].sort_values(LIFTER.column(overall.measure)), table.iloc[-1:]])
    return draw_rows([str(name) for name in shown.index], shown, "action", overall, note, average=True)

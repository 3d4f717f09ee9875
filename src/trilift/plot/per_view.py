"""The figure of the error in each view."""

import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import LIFTER, Overall, draw_rows

_MOST_ROWS = 16


def error_per_view(table: pd.DataFrame, overall: Overall, note: str) -> Figure:
    """Error in each view of each capture; where they are many, the medians of the captures for each view.

    Parameters
    ----------
    table
        Columns ``capture``, ``view`` and ``poses``, and those of ``mpjpe_mm`` where a reference exists, otherwise
        those of ``other_views_reprojection_px``.
    overall
        The error of all.
    note
        Where the data come from.
    """
    captures = table["capture"].nunique()
    shown = table.assign(view=table["view"].astype(str))
    remark, ranges = "", None
    if len(table) > _MOST_ROWS and captures > 1:
        views = shown.drop(columns="capture").groupby("view", sort=False)
        shown = views.median().assign(poses=views["poses"].sum()).reset_index()
        remark = f"medians of {captures} captures (poses: of all of them)"
        errors = views[LIFTER.column(overall.measure)]
        ranges = errors.min().to_numpy(), errors.max().to_numpy()
    elif captures > 1:
        shown["view"] = shown["capture"].astype(str) + " " + shown["view"]
    return draw_rows(shown["view"].tolist(), shown, "view", overall, note, remark=remark, ranges=ranges)

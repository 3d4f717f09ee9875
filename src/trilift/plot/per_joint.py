"""The figure of the error of each joint."""

import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.series import Overall, draw_rows
from trilift.skeletons import TRAINING_SKELETON


def error_per_joint(table: pd.DataFrame, overall: Overall, note: str) -> Figure:
    """Error of each joint: the lifter beside the mean training pose and the pseudo-label.

    Parameters
    ----------
    table
        Indexed by joint. Uses ``joints`` (how many were measured) and the columns of ``mpjpe_mm`` where a reference
        exists, and otherwise those of ``other_views_reprojection_px``.
    overall
        The error of all.
    note
        Where the data come from.
    """
    shown = table[table.index != TRAINING_SKELETON.root]  # at 0, or where the pseudo-label has it
    return draw_rows([name.replace("_", " ") for name in shown.index], shown, "joint", overall, note, number="joints")

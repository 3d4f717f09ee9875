import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trilift.figures.style import LINES, REFERENCE, new_figure
from trilift.skeletons import TRAINING_SKELETON

_SERIES = {
    "": "lifter (one view)",
    "mean_pose_": "mean training pose",
    "pseudo_label_": "pseudo-label (all views)",
}


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
    has_reference = "mpjpe_mm" in table
    measure = "mpjpe_mm" if has_reference else "other_views_reprojection_px"
    shown = table[table.index != TRAINING_SKELETON.root]  # at 0, or where the pseudo-label has it
    figure = new_figure(6.5, 3.8, note)
    axes = figure.add_subplot()
    positions = np.arange(len(shown))
    colours = (LINES[0], REFERENCE, LINES[2])
    for offset, (prefix, label), colour in zip((-0.27, 0, 0.27), _SERIES.items(), colours, strict=True):
        axes.bar(positions + offset, shown[prefix + measure], 0.27, label=label, color=colour)
    axes.set_xticks(positions, [name.replace("_", " ") for name in shown.index], rotation=45, ha="right")
    axes.grid(axis="x", visible=False)
    if has_reference:
        axes.set(ylabel="mean distance from the reference (mm)", title="Error per joint, relative to the pelvis")
    else:
        axes.set(
            ylabel="distance in the other views (px)",
            title="Reprojection into the other views (agreement, not accuracy)",
        )
    axes.legend()
    return figure

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trilift.figures.style import LINES, REFERENCE, new_figure


def pseudo_label_quality(views: pd.DataFrame, keypoints: pd.DataFrame, bones: pd.DataFrame, note: str) -> Figure:
    """Draw what became of the detections: errors and shares per view and keypoint, and how bone lengths vary.

    Parameters
    ----------
    views, keypoints, bones
        The tables of `trilift.evaluation.recap`. Where there are several captures, bars are their medians; views are
        shown capture by capture, unless there are more than twelve.
    note
        Where the data come from.
    """
    if len(views) > 12:
        views = views.drop(columns="capture").groupby("view", as_index=False).median()
    elif views["capture"].nunique() > 1:
        views = views.assign(view=views["capture"] + " " + views["view"])
    keypoints = keypoints.drop(columns="capture").groupby("keypoint", as_index=False, sort=False).median()
    bones = bones.assign(bone=bones["parent"] + " - " + bones["child"])
    bones = bones.groupby("bone", as_index=False, sort=False)[["spread_mm", "single_frames_spread_mm"]].median()

    longest = max(len(views), len(keypoints), len(bones))
    figure = new_figure(10, 1.6 + 0.19 * longest, note)
    of_views, of_keypoints, shares, of_bones = figure.subplots(1, 4)
    for axes, table, column in ((of_views, views, "view"), (of_keypoints, keypoints, "keypoint")):
        table = table.sort_values("median_px")
        _bars(axes, table[column], table["p90_px"], REFERENCE, "90th percentile")
        _bars(axes, table[column], table["median_px"], LINES[0], "median")
        axes.set(xlabel="reprojection error (px)", title=f"Error per {column}")
    keypoints = keypoints.sort_values("median_px")
    left = np.zeros(len(keypoints))
    for what, colour in (("missing", REFERENCE), ("rejected", LINES[1]), ("filled", LINES[2])):
        percent = 100 * keypoints[what].to_numpy()
        shares.barh(np.arange(len(keypoints)), percent, left=left, color=colour, label=what)
        left += percent
    shares.set_yticks(np.arange(len(keypoints)), [])
    shares.set(xlabel="detections (%)", title="Missing, rejected, filled")
    shares.grid(axis="y", visible=False)
    bones = bones.sort_values("single_frames_spread_mm")
    _bars(of_bones, bones["bone"], bones["single_frames_spread_mm"], REFERENCE, "each frame on its own")
    _bars(of_bones, bones["bone"], bones["spread_mm"], LINES[0], "in the end")
    of_bones.set(xlabel="spread over time (mm)", title="Bone lengths")
    for axes in (of_views, of_keypoints, shares, of_bones):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.4 / figure.get_figheight() - 0.04), fontsize=7)
    return figure


def _bars(axes: Axes, names: pd.Series, values: pd.Series, colour: str, label: str) -> None:
    axes.barh(np.arange(len(names)), values, color=colour, label=label)
    axes.set_yticks(np.arange(len(names)), [name.replace("_", " ") for name in names], fontsize=7)
    axes.grid(axis="y", visible=False)

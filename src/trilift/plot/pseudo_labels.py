"""The figure of what became of the detections in the triangulation."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trilift.style import LINES, REFERENCE, new_figure


def pseudo_label_quality(views: pd.DataFrame, keypoints: pd.DataFrame, bones: pd.DataFrame, note: str) -> Figure:
    """Draw what became of the detections: errors and shares per view and keypoint, and how bone lengths vary.

    Parameters
    ----------
    views, keypoints, bones
        The tables of `trilift.triangulate.recap`. Where there are several captures, bars are their medians; views are
        shown capture by capture, unless there are more than twelve.
    note
        Where the data come from.
    """
    if views["capture"].nunique() > 1 and len(views) <= 12:
        views = views.assign(view=views["capture"] + " " + views["view"])
    bones = bones.assign(bone=bones["parent"] + " - " + bones["child"])
    views, keypoints = (
        _medians(table, name, "median_px") for table, name in ((views, "view"), (keypoints, "keypoint"))
    )
    bones = _medians(bones, "bone", "single_frames_spread_mm")

    rows = [max(number, 2) for number in (len(views), len(keypoints), len(bones))]
    figure = new_figure(2.3 + 0.11 * sum(rows), note)
    grid = figure.add_gridspec(3, 2, height_ratios=rows)
    places = grid[0, :], grid[1, 0], grid[1, 1], grid[2, :]
    of_views, of_keypoints, shares, of_bones = (figure.add_subplot(place) for place in places)
    for axes, table in ((of_views, views), (of_keypoints, keypoints)):
        _bars(axes, table["p90_px"], REFERENCE, "90th percentile")
        _bars(axes, table["median_px"], LINES[0], "median")
        axes.set_xlabel("error (px)")
    _bars(shares, 100 * keypoints["missing"], REFERENCE, "missing")
    _bars(shares, 100 * keypoints["rejected_of_frames"], LINES[1], "rejected", left=100 * keypoints["missing"])
    shares.plot(100 * keypoints["filled"], range(len(keypoints)), "kD", markersize=2, label="filled points")
    shares.tick_params(axis="y", labelleft=False)
    shares.set(xlabel="of frames (%)", xlim=(0, None))
    _bars(of_bones, bones["single_frames_spread_mm"], REFERENCE, "single frames")
    _bars(of_bones, bones["spread_mm"], LINES[0], "in the end")
    of_bones.set_xlabel("spread over time (mm)")
    _head(of_views, "Reprojection error per view", 2)
    _head(of_keypoints, "Error per keypoint", 1)
    _head(shares, "Detections", 1)
    _head(of_bones, "Bone lengths", 2)
    return figure


def _head(axes: Axes, title: str, columns: int) -> None:
    """Write a title over the axes, and under it what the bars are."""
    legend = axes.legend(title=title, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    legend.set_alignment("left")
    legend.get_title().set_fontweight("bold")


def _medians(table: pd.DataFrame, name: str, order: str) -> pd.DataFrame:
    """Give the medians of rows of the same name, in the order of a column: what is not known comes last."""
    medians = table.groupby(name, sort=False).median(numeric_only=True)
    return medians.sort_values(order, kind="stable", na_position="last")


def _bars(axes: Axes, values: pd.Series, colour: str, label: str, left: pd.Series | float = 0.0) -> None:
    """Draw a bar for every row; also without a value each has its place, the same in all axes of one table."""
    rows = np.arange(len(values))
    axes.barh(rows, values, left=left, color=colour, label=label)
    axes.set_yticks(rows, [name.replace("_", " ") for name in values.index])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="y", visible=False)

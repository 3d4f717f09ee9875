"""The figures of `trilift check`: what each camera disagrees with, and its offset over time."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trilift.skeletons import Skeleton
from trilift.style import LEFT, MIDDLE, RIGHT, columns, new_figure, side_colour, stroke

_MOST_ARROWS = 1500


def camera_agreement(
    pixels: np.ndarray, residuals: np.ndarray, image_size: np.ndarray, skeleton: Skeleton, title: str, note: str
) -> Figure:
    """Draw how the detections of one camera lie to what the other cameras see.

    Arrows lead from there to the detections: all in one direction mean a moved camera, out from the middle a wrong
    focal length or lens, along the movement a camera out of time. Below them the distances.

    Parameters
    ----------
    pixels, residuals
        (frame, keypoint, 2): the detections, and the detections minus what the other views see.
    image_size
        Width and height in pixels.
    skeleton
        Layout of the keypoints.
    title, note
        What is shown, and where the data come from.
    """
    width, height = image_size
    ratios = min(2.9 * height / width, 3), 0.3 + 0.11 * len(skeleton)
    figure = new_figure(1.5 + sum(ratios), note)
    image, distances = figure.subplots(2, height_ratios=ratios)
    known = np.argwhere(np.isfinite(residuals).all(-1))
    frame, keypoint = known[:: max(1, -(-len(known) // _MOST_ARROWS))].T
    ends, arrows = pixels[frame, keypoint], residuals[frame, keypoint]
    colours = [side_colour(skeleton.keypoints[index]) for index in keypoint]
    image.quiver(
        *(ends - arrows).T, *arrows.T, color=colours, angles="xy", scale_units="xy", scale=1, width=0.003, alpha=0.6
    )
    image.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel="x (px)", ylabel="y (px)")
    sides = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
    own = {side_colour(name) for name in skeleton.keypoints}
    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker=">", markersize=3, markevery=[-1], label=side)
            for side, colour in sides.items()
            if colour in own
        ],
        title=f"{title}\narrows: from where the other views see a keypoint to where it was detected",
        title_fontsize=6,
        loc="outside upper center",
        ncols=3,
    )

    distance = np.linalg.norm(residuals, axis=-1)
    per_keypoint = [values[np.isfinite(values)] for values in distance.T]
    names = [name.replace("_", " ") for name in skeleton.keypoints]
    boxes = distances.boxplot(
        per_keypoint, orientation="horizontal", showfliers=False, tick_labels=names, medianprops={"color": MIDDLE}
    )
    for box, name in zip(boxes["boxes"], skeleton.keypoints, strict=True):
        box.set_color(side_colour(name))
    distances.set(xlabel="distance from what the other views see (px)", xlim=(0, None))
    distances.invert_yaxis()
    distances.grid(axis="y", visible=False)
    return figure


def offsets_over_time(timing: pd.DataFrame, title: str, note: str) -> Figure:
    """Draw by how many frames every camera is late, run by run of frames.

    Parameters
    ----------
    timing
        A row per run and camera: ``recording``, ``first``, ``view``, ``late_by_frames``, ``standard_error_frames``.
    title, note
        What is shown, and where the data come from.
    """
    runs = timing[["recording", "first"]].drop_duplicates().reset_index(drop=True)
    position = timing.merge(runs.reset_index(), on=["recording", "first"], sort=False)["index"].to_numpy()
    views = timing["view"].unique()
    figure = new_figure(
        1.1 + 0.1 * (-(-len(views) // columns(views))) + max(0.16, 0.05 * len(views)) * len(runs), note
    )
    axes = figure.subplots()
    for number, view in enumerate(views):
        own = (timing["view"] == view).to_numpy()
        beside = 0.5 * ((number + 0.5) / len(views) - 0.5)  # so that equal offsets do not hide each other
        axes.errorbar(
            timing["late_by_frames"][own],
            position[own] + beside,
            xerr=timing["standard_error_frames"][own],
            marker="osD^v"[number % 5],
            markersize=2.5,
            **stroke(number),
            label=view,
        )
    labels = [f"{run.recording}, {run.first}" for run in runs.itertuples()]
    axes.set_yticks(range(len(runs)), labels)
    axes.set(xlabel="late by (frames)", ylim=(len(runs) - 0.4, -0.6))
    figure.legend(title=title, loc="outside upper center", ncols=columns(views))
    return figure

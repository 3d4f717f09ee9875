"""The figures of `trilift check`: what each camera disagrees with, and its offset over time."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trilift.skeletons import Skeleton
from trilift.style import LINES, MIDDLE, new_figure, side_colour

_MOST_ARROWS = 1500


def camera_agreement(
    pixels: np.ndarray, residuals: np.ndarray, image_size: np.ndarray, skeleton: Skeleton, title: str, note: str
) -> Figure:
    """Draw how the detections of one camera lie to what the other cameras see.

    On the left arrows lead from there to the detections: all in one direction mean a moved camera, out from the
    middle a wrong focal length or lens, along the movement a camera out of time. On the right the distances.

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
    figure = new_figure(10, 1.5 + 0.17 * len(skeleton), note)
    figure.suptitle(title)
    image, distances = figure.subplots(1, 2, width_ratios=[1.5, 1])
    known = np.argwhere(np.isfinite(residuals).all(-1))
    frame, keypoint = known[:: max(1, -(-len(known) // _MOST_ARROWS))].T
    ends, arrows = pixels[frame, keypoint], residuals[frame, keypoint]
    colours = [side_colour(skeleton.keypoints[index]) for index in keypoint]
    image.quiver(
        *(ends - arrows).T, *arrows.T, color=colours, angles="xy", scale_units="xy", scale=1, width=0.002, alpha=0.6
    )
    image.set(xlim=(0, image_size[0]), ylim=(image_size[1], 0), aspect="equal")
    image.set(xlabel="x (px)", ylabel="y (px)")

    distance = np.linalg.norm(residuals, axis=-1)
    per_keypoint = [values[np.isfinite(values)] for values in distance.T]
    names = [name.replace("_", " ") for name in skeleton.keypoints]
    boxes = distances.boxplot(
        per_keypoint, orientation="horizontal", showfliers=False, tick_labels=names, medianprops={"color": MIDDLE}
    )
    for box, name in zip(boxes["boxes"], skeleton.keypoints, strict=True):
        box.set_color(side_colour(name))
    distances.tick_params(axis="y", labelsize=7)
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
    figure = new_figure(max(5, 2 + 0.4 * len(runs)), 3.5, note)
    axes = figure.subplots()
    views = timing["view"].unique()
    for number, view in enumerate(views):
        own = (timing["view"] == view).to_numpy()
        beside = 0.5 * ((number + 0.5) / len(views) - 0.5)  # so that equal offsets do not hide each other
        axes.errorbar(
            position[own] + beside,
            timing["late_by_frames"][own],
            timing["standard_error_frames"][own],
            marker="o",
            markersize=3,
            color=LINES[number % len(LINES)],
            linestyle=("-", "--", ":")[number // len(LINES) % 3],
            label=view,
        )
    labels = [f"{run.recording}, {run.first}" for run in runs.itertuples()]
    axes.set_xticks(range(len(runs)), labels, rotation=45, ha="right", fontsize=7)
    axes.set(title=title, xlabel="recording, first frame", ylabel="late by (frames)")
    figure.legend(loc="outside right upper")
    return figure

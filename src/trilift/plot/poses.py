"""The figure of single poses, from the best to the worst: detections, prediction, and what it is compared with."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trilift.skeletons import Skeleton
from trilift.style import LEFT, REFERENCE, RIGHT, new_figure, side_colour


@dataclass(frozen=True)
class Example:
    """One pose to show.

    Attributes
    ----------
    title
        Recording, view and frame.
    pixels
        (keypoint, 2) pixels, in `skeleton_2d`.
    skeleton_2d
        Layout of the detections.
    predicted, target
        (joint, 3), metres, camera frame, root at 0, in `skeleton_3d`.
    skeleton_3d
        Layout of the poses.
    rank
        Why it is shown, such as ``worst, 312 mm``; written beside the row.
    image
        (height, width, 3) bytes, the frame of the video; None where there is none.
    """

    title: str
    pixels: np.ndarray
    skeleton_2d: Skeleton
    predicted: np.ndarray
    target: np.ndarray
    skeleton_3d: Skeleton
    rank: str = ""
    image: np.ndarray | None = None


def predicted_poses(examples: list[Example], compared_with: str, note: str) -> Figure:
    """What the lifter saw beside what it made of it, from the front and from the side.

    Parameters
    ----------
    examples
        One row each.
    compared_with
        What the grey skeleton is: ``reference`` or ``pseudo-label``.
    note
        Where the data come from.
    """
    figure = new_figure(7, 2.5 * len(examples) + 0.5, note)
    rows = figure.subplots(len(examples), 3, squeeze=False)
    for axes_of_row, example in zip(rows, examples, strict=True):
        _draw_2d(axes_of_row[0], example)
        _draw_3d(axes_of_row[1], example, horizontal=0)
        _draw_3d(axes_of_row[2], example, horizontal=2)
        axes_of_row[0].set_title(example.title, fontsize=8)
        axes_of_row[1].set_title("predicted, as the camera sees it", fontsize=8)
        axes_of_row[2].set_title("predicted, from the side\n(camera at the left)", fontsize=8)
        axes_of_row[0].annotate(
            example.rank,
            (0, 0.5),
            xytext=(-44, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="center",
            fontweight="bold",
        )
    handles = [
        Line2D([], [], color=LEFT, label="left"),
        Line2D([], [], color=RIGHT, label="right"),
        Line2D([], [], color=REFERENCE, label=compared_with),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _draw_2d(axes: Axes, example: Example) -> None:
    skeleton = example.skeleton_2d
    _draw_bones(axes, example.pixels, skeleton)
    x, y = example.pixels.T
    axes.scatter(x, y, s=6, c=[side_colour(name) for name in skeleton.keypoints], zorder=3)
    axes.set(aspect="equal", xlabel="x (px)", ylabel="y (px)")
    known = example.pixels[np.isfinite(example.pixels).all(-1)]
    if len(known):  # a square around the person, as large as the panels beside it
        low, high = known.min(0), known.max(0)
        half = 0.55 * max(*(high - low), 1.0)
        x_middle, y_middle = (low + high) / 2
        axes.set(xlim=(x_middle - half, x_middle + half), ylim=(y_middle + half, y_middle - half))
    if example.image is not None:
        _draw_image(axes, example.image, bool(len(known)))
    axes.tick_params(labelsize=6)


def _draw_image(axes: Axes, image: np.ndarray, is_cut: bool) -> None:
    """Draw what the axes show of an image, so that a figure holds no more of it."""
    height, width = image.shape[:2]
    limits = (*axes.get_xlim(), *axes.get_ylim()[::-1]) if is_cut else (0, width, 0, height)
    left, right = np.clip([np.floor(limits[0]), np.ceil(limits[1])], 0, width).astype(int)
    top, bottom = np.clip([np.floor(limits[2]), np.ceil(limits[3])], 0, height).astype(int)
    if left < right and top < bottom:
        extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)  # a pixel's middle is at whole numbers
        axes.imshow(image[top:bottom, left:right], extent=extent, zorder=0)
        axes.set(xlim=limits[:2], ylim=limits[:1:-1])
        axes.grid(visible=False)


def _draw_3d(axes: Axes, example: Example, horizontal: int) -> None:
    """Draw the poses with x (0) or depth z (2) to the right and up (y points down) upwards."""
    for pose, colour in ((example.target, REFERENCE), (example.predicted, None)):
        _draw_bones(axes, pose[:, [horizontal, 1]] * [1, -1], example.skeleton_3d, colour)
    axes.set(aspect="equal", xlabel=("x (m)", "", "depth (m)")[horizontal], ylabel="up (m)")
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1))
    axes.tick_params(labelsize=6)


def _draw_bones(axes: Axes, points: np.ndarray, skeleton: Skeleton, colour: str | None = None) -> None:
    width = 1.6 if colour is None else 3.0
    for parent, child in skeleton.bone_indices:
        axes.plot(
            *points[[parent, child]].T,
            color=colour or side_colour(skeleton.keypoints[child]),
            linewidth=width,
            solid_capstyle="round",
        )

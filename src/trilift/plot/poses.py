"""The figure of single poses, from the best to the worst: detections, prediction, and what it is compared with."""

import textwrap
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from trilift.skeletons import Skeleton
from trilift.style import LEFT, REFERENCE, RIGHT, new_figure, side_colour

_RIGHT = (0, (2.5, 0.6))  # the stroke of the right side, told from the left one in grey too


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
        Why it is shown, such as ``worst, 312 mm``; begins the title.
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
    figure = new_figure(1.28 * len(examples) + 0.55, note)
    figure.set_layout_engine("constrained", h_pad=0.09)  # inches, for the lines of titles
    rows = figure.subplots(len(examples), 3, squeeze=False)
    half = _half(examples)
    for axes_of_row, example in zip(rows, examples, strict=True):
        _draw_2d(axes_of_row[0], example)
        _draw_3d(axes_of_row[1], example, 0, half)
        _draw_3d(axes_of_row[2], example, 2, half)
        title = f"{example.rank}: {example.title}" if example.rank else example.title
        axes_of_row[0].annotate(
            *(textwrap.fill(title, 68), (0, 1), (0, 2)),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=6,
            va="bottom",
            in_layout=False,  # it may reach over the panels beside it
        )
    if len(examples):
        for axes, text in zip(
            rows[-1], ("detected", "seen by the camera", "from the side,\ncamera at the left"), strict=True
        ):
            axes.set_xlabel(text)
    handles = [
        Line2D([], [], color=LEFT, label="left"),
        Line2D([], [], color=RIGHT, linestyle=_RIGHT, label="right"),
        Line2D([], [], color=REFERENCE, linewidth=2.5, label=compared_with),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _half(examples: list[Example]) -> float:
    """Half of what the panels of poses show, the same in all of them, in metres."""
    reach = [0.5]
    for example in examples:
        both = np.concatenate([example.predicted, example.target])
        known = both[np.isfinite(both).all(-1)]
        reach += np.ptp(known, axis=0).tolist() if len(known) else []
    return 0.54 * max(reach)


def _draw_2d(axes: Axes, example: Example) -> None:
    skeleton = example.skeleton_2d
    _draw_lines(axes, example.pixels, skeleton)
    x, y = example.pixels.T
    axes.scatter(x, y, s=1.5, c=[side_colour(name) for name in skeleton.keypoints], zorder=3)
    axes.set_aspect("equal")
    known = example.pixels[np.isfinite(example.pixels).all(-1)]
    if len(known):  # a square around the person, as large as the panels beside it
        low, high = known.min(0), known.max(0)
        half = 0.55 * max(*(high - low), 1.0)
        x_middle, y_middle = (low + high) / 2
        axes.set(xlim=(x_middle - half, x_middle + half), ylim=(y_middle + half, y_middle - half))
    if example.image is not None:
        _draw_image(axes, example.image, bool(len(known)))
    _draw_scale(axes, "px")


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


def _draw_3d(axes: Axes, example: Example, horizontal: int, half: float) -> None:
    """Draw the poses with x (0) or depth z (2) to the right and up (y points down) upwards."""
    both = np.concatenate([example.target, example.predicted])[:, [horizontal, 1]] * [1, -1]
    known = both[np.isfinite(both).all(-1)]
    middle = (known.min(0) + known.max(0)) / 2 if len(known) else np.zeros(2)
    for pose, colour in zip(np.split(both, 2), (REFERENCE, None), strict=True):
        _draw_lines(axes, pose, example.skeleton_3d, colour)
    axes.set(aspect="equal", xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half])
    _draw_scale(axes, "m")


def _draw_scale(axes: Axes, unit: str) -> None:
    """Draw a bar of a round length in place of numbers along the axes."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#BBBBBB")
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = right - left, top - bottom
    magnitude = 10 ** np.floor(np.log10(width / 2))
    length = magnitude * max(step for step in (1, 2, 5) if step * magnitude <= width / 2)
    x, y = left + 0.05 * width, bottom + 0.04 * height
    edge = [withStroke(linewidth=2.4, foreground="white")]
    axes.plot([x, x + length], [y, y], color="black", linewidth=1, path_effects=edge, gid="scale")
    axes.annotate(
        *(f"{length:g} {unit}", (x, y), (0, 2)),
        textcoords="offset points",
        fontsize=6,
        va="bottom",
        path_effects=edge,
    )


def _draw_lines(axes: Axes, points: np.ndarray, skeleton: Skeleton, colour: str | None = None) -> None:
    for one, other in skeleton.drawn_indices:
        of_side = side_colour(skeleton.keypoints[one], skeleton.keypoints[other])
        axes.plot(
            *points[[one, other]].T,
            color=colour or of_side,
            linestyle=_RIGHT if of_side == RIGHT and not colour else "-",
            linewidth=1 if colour is None else 2.2,
            solid_capstyle="round",
        )

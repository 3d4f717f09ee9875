"""The beginning of a test recording as a GIF: what the lifter saw, and the pose that it predicted."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from trilift.skeletons import Skeleton
from trilift.style import LEFT, REFERENCE, RIGHT, new_figure, side_colour

_FPS, _SECONDS = 12.5, 10  # a GIF counts in hundredths of a second: 12.5 fps are 8 of them
_WIDTH, _HEIGHT, _DPI = 640, 320, 100
_AROUND, _ABOVE = np.radians([-60, 15])  # where the poses are seen from
_TO_PICTURE = np.array(
    [
        [-np.sin(_AROUND), np.cos(_AROUND), 0],
        [-np.sin(_ABOVE) * np.cos(_AROUND), -np.sin(_ABOVE) * np.sin(_AROUND), np.cos(_ABOVE)],
    ]
)
_CELL = 0.5  # metres


def animate(
    pixels: np.ndarray,
    skeleton_2d: Skeleton,
    image_size: np.ndarray,
    predicted: np.ndarray,
    target: np.ndarray,
    skeleton_3d: Skeleton,
    fps: float,
    begin: float,
    title: str,
    note: str,
    path: Path,
    compared_with: str = "for comparison",
) -> None:
    """Write the first seconds of a recording as a GIF: the detections of a view beside the predicted poses.

    The same input gives the same bytes.

    Parameters
    ----------
    pixels
        (frame, keypoint, 2) pixels, in `skeleton_2d`; NaN where missing.
    skeleton_2d
        Layout of the detections.
    image_size
        Width and height in pixels.
    predicted, target
        (frame, joint, 3), metres, z up, root at 0, in `skeleton_3d`; NaN where missing.
    skeleton_3d
        Layout of the poses.
    fps
        Frames per second of the arrays.
    begin
        Time of their first frame, in seconds of the video.
    title, note
        What is shown, and where the data come from.
    path
        File to write.
    compared_with
        What the grey skeleton is: ``reference`` or ``pseudo-label``.
    """
    frames, milliseconds = _chosen(len(pixels), fps)
    figure = new_figure(_HEIGHT / _DPI, note, _WIDTH / _DPI)
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    image, space = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _set_image(image, image_size, pixels[frames])
    _set_space(space, np.concatenate([predicted[frames], target[frames]]), compared_with)
    moving = (
        (_bones(image, skeleton_2d), pixels, skeleton_2d),
        (_bones(space, skeleton_3d, REFERENCE), target @ _TO_PICTURE.T, skeleton_3d),
        (_bones(space, skeleton_3d), predicted @ _TO_PICTURE.T, skeleton_3d),
    )
    time = image.text(0.02, 0.97, "", transform=image.transAxes, va="top", fontsize=8, animated=True)
    canvas.draw()  # all but what moves
    figure.set_layout_engine("none")
    still = canvas.copy_from_bbox(figure.bbox)
    palette, pictures = _palette(), []
    for frame in frames:
        canvas.restore_region(still)
        for bones, points, skeleton in moving:
            bones.set_segments(points[frame][np.array(skeleton.drawn_indices)])
            figure.draw_artist(bones)
        time.set_text(f"{begin + frame / fps:.2f} s")
        figure.draw_artist(time)
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    plt.close(figure)
    pictures[0].save(
        path, format="GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, optimize=False
    )


def _chosen(length: int, fps: float) -> tuple[np.ndarray, int]:
    """Choose the frames to show, and for how many milliseconds each."""
    rate = min(fps, _FPS)
    frames = (np.arange(int(_SECONDS * rate)) * (fps / rate)).astype(int)
    return frames[frames < length], 10 * round(100 / rate)


def _set_image(axes: Axes, image_size: np.ndarray, pixels: np.ndarray) -> None:
    """Show the part of the image, and of what is beyond, in which the person is."""
    known = pixels[np.isfinite(pixels).all(-1)]
    low, high = np.percentile(known, [0.5, 99.5], axis=0) if len(known) else (np.zeros(2), image_size)
    margin = 0.08 * max(*(high - low), 1.0)
    (left, top), (right, bottom) = low - margin, high + margin
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="x (px)", ylabel="y (px)")
    edge = Rectangle((0, 0), *image_size, fill=False, edgecolor="#555555", linewidth=0.8, linestyle=":")
    axes.add_patch(edge)
    axes.set_title("detected in one view", fontsize=8)
    axes.tick_params(labelsize=6)
    axes.grid(visible=False)


def _set_space(axes: Axes, poses: np.ndarray, compared_with: str) -> None:
    """Draw a floor under the poses; the root stays where it is, so this is for scale and direction only."""
    heights = poses[..., 2][np.isfinite(poses[..., 2])]
    floor = np.percentile(heights, 1) if len(heights) else -1.0
    ends = np.arange(-1, 1 + _CELL, _CELL)
    along = [[(start, -1, floor), (start, 1, floor)] for start in ends]
    lines = np.array(along + [[(y, x, z) for x, y, z in line] for line in along])
    axes.add_collection(LineCollection(list(lines @ _TO_PICTURE.T), colors="#DDDDDD", linewidths=0.8))
    shown = poses[np.isfinite(poses).all(-1)] @ _TO_PICTURE.T
    low, high = np.percentile(shown, [0.1, 99.9], axis=0) if len(shown) else (np.full(2, -1.0), np.ones(2))
    middle, half = (low + high) / 2, 0.62 * max(*(high - low), 0.5)
    axes.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half], aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"predicted from it in 3D (grid: {_CELL} m)", fontsize=8)
    handles = [
        Line2D([], [], color=colour, label=label)
        for colour, label in ((LEFT, "left"), (RIGHT, "right"), (REFERENCE, compared_with))
    ]
    axes.legend(handles=handles, loc="upper left", fontsize=7, handlelength=1, borderaxespad=0)


def _bones(axes: Axes, skeleton: Skeleton, colour: str | None = None) -> LineCollection:
    names = skeleton.keypoints
    colours = [colour or side_colour(names[one], names[other]) for one, other in skeleton.drawn_indices]
    width = 1.8 if colour is None else 3.2
    bones = LineCollection([], colors=colours, linewidths=width, capstyle="round", animated=True)
    axes.add_collection(bones, autolim=False)
    return bones


def _palette() -> Image.Image:
    """Make one palette for all pictures: greys, and the colours of the sides blended with white and with grey."""
    levels = np.linspace(0, 1, 32)[:, None]  # finer, white would become the next grey
    blends = [np.repeat(levels, 3, axis=1)]
    for colour in (LEFT, RIGHT):
        for other in ("white", REFERENCE):
            blends.append(levels * to_rgb(colour) + (1 - levels) * to_rgb(other))
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(255 * np.concatenate(blends)).astype(int).ravel().tolist())
    return palette

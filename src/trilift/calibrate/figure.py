"""The figure of a rig: its cameras, and the way of the person, from above and from the side."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trilift.geometry.calibration.findings import Rig
from trilift.style import COLUMN, LEFT, MIDDLE, REFERENCE, RIGHT, new_figure

_COLOURS = {"well determined": LEFT, "weak": RIGHT}
_STROKES: dict[str, Literal["-", "--"]] = {"well determined": "-", "weak": "--"}
_DEPTH = 0.12  # of a frustum, of the rig's extent
_TALLEST = 5.0  # inches, of both axes
_LIKELY = 2.8  # standard errors: a ball of this radius holds the place in 95 % (chi-square, 3 degrees of freedom)


def rig_from_above_and_aside(names: Sequence[str], rig: Rig, image_size: np.ndarray, note: str) -> Figure:
    """Draw a rig in metres, z up: what each camera sees, and where the person was; of one that is refined, no floor.

    Parameters
    ----------
    names
        Of the cameras.
    rig
        What was found.
    image_size
        (view, 2): width and height, px.
    note
        Where the data come from.
    """
    placed = [number for number, found in enumerate(rig.found) if found.verdict in _COLOURS]
    R, K = (getattr(rig.cameras, name).numpy()[placed] for name in ("R", "K"))
    centres = rig.cameras.positions.numpy()[placed]
    way = _way(rig.poses.numpy())
    extent = np.ptp(np.concatenate([centres, way]), axis=0).max()
    frusta = _corners(K, R, centres, image_size[placed], _DEPTH * extent)
    everything = np.concatenate([centres, frusta.reshape(-1, 3), way, np.zeros((1, 3))])
    margin = extent * np.array([0.18, 0.05, 0.05])  # names stand beside the cameras
    low, high = everything.min(0) - margin, everything.max(0) + margin
    span = high - low
    per_metre = min((COLUMN - 0.6) / span[0], _TALLEST / span[1:].sum())
    heights = np.maximum(per_metre * span[1:], 0.6)
    figure = new_figure(1.3 + heights.sum(), note)
    above, aside = figure.subplots(2, height_ratios=heights)
    for axes, up, label in ((above, 1, "y (m), from above"), (aside, 2, "z (m), from the side")):
        axes.plot(way[:, 0], way[:, up], color=REFERENCE, linewidth=0.6, label="way")
        for number, corners, centre in zip(placed, frusta, centres, strict=True):
            _draw_camera(axes, corners[:, [0, up]], centre[[0, up]], names[number], rig.found[number].verdict)
            error = _LIKELY * rig.found[number].position_m
            axes.errorbar(*centre[[0, up]], xerr=error, yerr=error, color=MIDDLE, linewidth=0.6)
        axes.set(xlabel="x (m)", ylabel=label, xlim=(low[0], high[0]), ylim=(low[up], high[up]), aspect="equal")
    if not _refined(rig):
        aside.axhline(0, color=MIDDLE, linewidth=0.8, label="floor")
    _legend(figure, names, rig)
    return figure


def _refined(rig: Rig) -> bool:
    return any(np.isfinite(found.moved_m) for found in rig.found)


def _way(poses: np.ndarray) -> np.ndarray:
    """Give where the middle of the person was (frame, 3), in the frames in which that is known."""
    known = np.isfinite(poses).all(-1)
    middle = np.where(known[..., None], poses, 0).sum(1) / np.maximum(known.sum(1), 1)[:, None]
    return middle[known.any(1)]


def _corners(K: np.ndarray, R: np.ndarray, centres: np.ndarray, sizes: np.ndarray, depth: float) -> np.ndarray:
    """Give where the corners of the images lie at a depth: (view, 4, 3)."""
    width, height = sizes.T
    zero = np.zeros_like(width)
    pixels = np.stack([[zero, zero], [width, zero], [width, height], [zero, height]]).transpose(2, 0, 1)
    rays = (pixels - K[:, None, :2, 2]) / K[:, [0, 1], [0, 1]][:, None]
    rays = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) * depth
    return centres[:, None] + rays @ R


def _draw_camera(axes: Axes, corners: np.ndarray, centre: np.ndarray, name: str, verdict: str) -> None:
    style: dict[str, Any] = {"color": _COLOURS[verdict], "linestyle": _STROKES[verdict], "linewidth": 0.8}
    axes.plot(*corners[[0, 1, 2, 3, 0]].T, **style)
    for corner in corners:
        axes.plot(*np.stack([centre, corner]).T, **style)
    back = centre - corners.mean(0)
    back *= 7 / max(float(np.linalg.norm(back)), 1e-9)  # points
    axes.annotate(
        name,
        (centre[0], centre[1]),
        xytext=(back[0], back[1]),
        textcoords="offset points",
        fontsize=6,
        ha="left" if back[0] > 2 else "right" if back[0] < -2 else "center",
        va="center",
    )


def _legend(figure: Figure, names: Sequence[str], rig: Rig) -> None:
    shown = {found.verdict for found in rig.found}
    handles = [
        Line2D([], [], color=_COLOURS[verdict], linestyle=_STROKES[verdict], label=verdict)
        for verdict in _COLOURS
        if verdict in shown
    ]
    handles.append(Line2D([], [], color=REFERENCE, linewidth=0.6, label="way of the person"))
    label = "crosses: 95 %" if _refined(rig) else "floor; crosses: 95 %"
    handles.append(Line2D([], [], color=MIDDLE, linewidth=0.8, label=label))
    lost = [name for name, found in zip(names, rig.found, strict=True) if found.verdict not in _COLOURS]
    title = f"cameras by people; not placed: {', '.join(lost)}" if lost else "cameras by people"
    figure.legend(handles=handles, title=title, loc="outside upper center", ncols=2)

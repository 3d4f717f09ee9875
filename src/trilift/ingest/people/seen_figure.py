"""The figure of who is seen when, in which view."""

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trilift.ingest.people.seen import Clip
from trilift.style import LINES, columns, new_figure

_MOST_IN_LEGEND = 40
_TALLEST = 40.0  # inches
_ROW = 0.8  # of the way to the next person


def who_is_seen(clips: list[Clip], left_out: int, note: str) -> Figure:
    """Draw a panel per clip, in it a row per person, and in that a line per view, with gaps where it misses them.

    The lines of a row are in the order of the legend, so that they are told apart without colours.

    Parameters
    ----------
    clips
        Those that are drawn.
    left_out
        How many have no panel.
    note
        Where the data come from.
    """
    views = list(dict.fromkeys(view for clip in clips for person in clip.people for view in person.runs))
    rows = [len(clip.people) for clip in clips]
    lines = max(len(person.runs) for clip in clips for person in clip.people)
    row_height = min(0.1 + 0.03 * lines, 0.4, _TALLEST / sum(rows))
    height = (
        0.9
        + 0.1 * -(-min(len(views), _MOST_IN_LEGEND) // columns(views))
        + row_height * sum(rows)
        + 0.35 * len(clips)
    )
    figure = new_figure(height, note)
    title = "Who is seen when, in which view (lines: views, from above)"
    if left_out:
        title += f"\n{len(clips)} clips, those with the most people first; {left_out} others are left out"
    panels = figure.subplots(len(clips), squeeze=False, height_ratios=[number + 0.5 for number in rows])[:, 0]
    for axes, clip in zip(panels, clips, strict=True):
        of_clip = list(clip.people[0].runs)
        thick = _ROW / len(of_clip)
        for line, view in enumerate(of_clip):
            bars = [
                _rectangles(person.runs[view], row + line * thick - _ROW / 2, 0.8 * thick)
                for row, person in enumerate(clip.people)
            ]
            colour = _colour(views.index(view))
            # An edge, so that a single frame of a long clip is seen too.
            axes.add_collection(
                PolyCollection(list(np.concatenate(bars)), facecolor=colour, edgecolor=colour, linewidth=0.2)
            )
        axes.set_yticks(range(len(clip.people)), [person.name for person in clip.people])
        axes.set(xlim=(clip.begin, clip.end), ylim=(len(clip.people) - 0.5, -0.5))
        axes.set_title(clip.name, loc="left")
        axes.grid(axis="y", visible=False)
    panels[-1].set_xlabel("time (s)")
    handles = [Patch(color=_colour(number), label=view) for number, view in enumerate(views[:_MOST_IN_LEGEND])]
    if len(views) > len(handles):
        handles.append(Patch(color="none", label=f"and {len(views) - len(handles)} more"))
    figure.legend(handles=handles, title=title, loc="outside upper center", ncols=columns(views))
    return figure


def _colour(view: int) -> str:
    return LINES[view % len(LINES)]


def _rectangles(runs: np.ndarray, top: float, height: float) -> np.ndarray:
    """Give the corners (run, 4, 2) of bars."""
    begins, ends = runs.T
    tops = np.full(len(runs), top)
    corners = ((begins, tops), (ends, tops), (ends, tops + height), (begins, tops + height))
    return np.stack([np.stack(corner, -1) for corner in corners], 1)

"""How all figures look: as wide as a column in print, where no text is smaller than 6 pt."""

import textwrap
from collections.abc import Iterable
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.figure import Figure

COLUMN = 8.5 / 2.54
"""Inches: the width of figures that are made for print."""

# Okabe and Ito's colours, told apart by colour-blind readers; in grey print strokes and markers tell.
LEFT, RIGHT, MIDDLE, REFERENCE = "#0072B2", "#D55E00", "#333333", "#9A9A9A"
PEOPLE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = (LEFT, RIGHT, *PEOPLE)
_STROKES = ("-", "--", "-.", ":")


def use() -> None:
    """Set matplotlib up: no window system, and our defaults."""
    matplotlib.use("Agg")
    plt.rcParams.update(
        {
            "figure.dpi": 300,
            "font.size": 7,
            "axes.titlesize": 7,
            "figure.titlesize": 7,
            **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 6),
            "legend.title_fontsize": 7,
            **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width", "grid.linewidth"), 0.6),
            "lines.linewidth": 1.1,
            "legend.handlelength": 1.6,
            "legend.columnspacing": 1.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "text.parse_math": False,  # names may hold dollar signs
            "axes.prop_cycle": cycler(color=LINES),
            "svg.hashsalt": "trilift",  # else names within the file change from run to run
        }
    )


def new_figure(height: float, note: str, width: float = COLUMN) -> Figure:
    """Start a figure (inches, and for each further line of the note more) with a note on where its data come from."""
    lines = textwrap.wrap(note, int(20 * width))
    figure = plt.figure(figsize=(width, height + 0.1 * max(0, len(lines) - 1)), layout="constrained")
    figure.supxlabel("\n".join(lines), fontsize=6, color="#555555")
    return figure


def say(title: str, text: str, note: str) -> Figure:
    """Make a figure of words alone, where there is nothing to draw."""
    lines = "\n".join(textwrap.fill(line, int(18 * COLUMN)) for line in text.split("\n"))
    figure = new_figure(0.6 + 0.1 * (title + lines).count("\n"), note)
    figure.suptitle(title)
    figure.text(0.5, 0.5, lines, ha="center", va="center")
    return figure


def columns(labels: Iterable[str]) -> int:
    """Say how many columns a legend of these has room for."""
    return max(1, min(4, 62 // (6 + max(map(len, labels), default=0))))


def stroke(number: int) -> dict[str, Any]:
    """Colour and stroke of the line of a number: 24 are told apart, and neighbours in grey too."""
    rounds = number // len(LINES)
    return {"color": LINES[number % len(LINES)], "linestyle": _STROKES[(number + rounds) % len(_STROKES)]}


def side_colour(*names: str) -> str:
    """Colour of a keypoint, or of a line between two: one for left, one for right, one for the middle and across."""
    sides = {LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE for name in names}
    of_sides = sides - {MIDDLE}
    return of_sides.pop() if len(of_sides) == 1 else MIDDLE

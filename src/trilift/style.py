"""How all figures look."""

import textwrap

import matplotlib
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers and in grey print.
LEFT, RIGHT, MIDDLE, REFERENCE = "#0072B2", "#D55E00", "#333333", "#9A9A9A"
PEOPLE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = (LEFT, RIGHT, *PEOPLE)


def use() -> None:
    """Set matplotlib up: no window system, and our defaults."""
    matplotlib.use("Agg")
    plt.rcParams.update(
        {
            "figure.dpi": 150,
            "font.size": 9,
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


def new_figure(width: float, height: float, note: str) -> Figure:
    """Start a figure (inches) with a note on where its data come from at the bottom."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    figure.supxlabel(textwrap.fill(note, int(18 * width)), fontsize=7, color="#555555")
    return figure


def side_colour(name: str) -> str:
    """Colour of a keypoint or of a bone's end: one for left, one for right, one for the middle."""
    return LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE

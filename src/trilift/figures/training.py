from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trilift.figures.style import REFERENCE, new_figure


def training_curve(history: pd.DataFrame, note: str, others: Sequence[pd.DataFrame] = ()) -> Figure:
    """Losses over the training, and beside them the distance of validation predictions from their pseudo-labels.

    Parameters
    ----------
    history
        Columns ``step``, one per loss ending in ``_m`` or ``_px``, and perhaps ``validation_mpjpe_mm``.
    note
        Where the data come from.
    others
        Histories of the same training with other seeds: bands show the range over all seeds.
    """
    watched = "validation_mpjpe_mm" in history
    figure = new_figure(8 if watched else 5, 3.4, note)
    axes = figure.subplots(1, 2 if watched else 1, squeeze=False)[0]
    seeds = [history, *others]
    for column in history.columns:
        name, _, unit = column.rpartition("_")
        if unit == "m":
            _draw(axes[0], seeds, column, 1000, "-", label=name.replace("_", " "))
        elif unit == "px":
            _draw(axes[0], seeds, column, 1, ":", label=f"{name.replace('_', ' ')} (px)")
    axes[0].set(xlabel="optimiser step", ylabel="loss without its weight (mm)", yscale="log", title="Training")
    if watched:
        _draw(axes[1], seeds, "validation_mpjpe_mm", 1, "-", color="black")
        errors = history.set_index("step")["validation_mpjpe_mm"].dropna()
        if len(errors):
            axes[1].axvline(float(errors.idxmin()), color=REFERENCE, linestyle="--", label="lowest")
        axes[1].set(xlabel="optimiser step", ylabel="MPJPE against pseudo-labels (mm)", yscale="log")
        axes[1].set_title("Validation")
    for one in axes:
        handles = one.get_legend_handles_labels()[0]
        if others:
            handles.append(Patch(color=REFERENCE, alpha=0.4, linewidth=0, label=f"range of {len(seeds)} seeds"))
        one.legend(handles=handles)
        one.yaxis.set_major_formatter("{x:g}")
        one.yaxis.set_minor_formatter("{x:g}")
        one.tick_params(axis="y", which="minor", labelsize=7)
    return figure


def _draw(axes: Axes, seeds: list[pd.DataFrame], column: str, factor: float, line: str, **how: str) -> None:
    """Draw a column of the first history as a line, and behind it the range over all."""
    (drawn,) = axes.plot(seeds[0]["step"], factor * seeds[0][column], line, **how)
    if len(seeds) > 1:
        known = pd.concat([one[["step", column]] for one in seeds if column in one])
        spread = factor * known.groupby("step")[column].agg(["min", "max"])
        colour = drawn.get_color()
        axes.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.25, linewidth=0)

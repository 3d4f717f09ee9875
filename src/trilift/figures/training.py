from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter

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
    figure = new_figure(8 if watched else 5.6, 3.4, note)
    axes = figure.subplots(1, 2 if watched else 1, squeeze=False)[0]
    seeds = [history, *others]
    for column in history.columns:
        name, _, unit = column.rpartition("_")
        if unit == "m":
            _draw(axes[0], seeds, column, 1000, "-", name.replace("_", " "))
        elif unit == "px":
            _draw(axes[0], seeds, column, 1, ":", f"{name.replace('_', ' ')} (px)")
    axes[0].set(xlabel="optimiser step", ylabel="loss without its weight (mm)", yscale="log", title="Training")
    if watched:
        _draw(axes[1], seeds, "validation_mpjpe_mm", 1, "k-", "this training" if others else None)
        known = history.dropna(subset="validation_mpjpe_mm")
        if len(known):
            lowest = known["validation_mpjpe_mm"].to_numpy().argmin()
            axes[1].axvline(float(known["step"].to_numpy()[lowest]), color=REFERENCE, linestyle="--", label="lowest")
        axes[1].set(xlabel="optimiser step", ylabel="MPJPE against pseudo-labels (mm)", yscale="log")
        axes[1].set_title("Validation")
    for one in axes:
        handles = one.get_legend_handles_labels()[0]
        if others:
            handles.append(Patch(color=REFERENCE, alpha=0.4, linewidth=0, label=f"range of {len(seeds)} seeds"))
        one.legend(handles=handles, frameon=True, framealpha=0.85, edgecolor="none")
        one.yaxis.set_major_formatter("{x:g}")
        one.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(3, 0.5)))
        one.tick_params(axis="y", which="minor", labelsize=7)
    return figure


def _draw(axes: Axes, seeds: list[pd.DataFrame], column: str, factor: float, line: str, label: str | None) -> None:
    """Draw a column of the first history as a line, and behind it the range over all."""
    (drawn,) = axes.plot(seeds[0]["step"], factor * seeds[0][column], line, label=label)
    if len(seeds) > 1:
        known = pd.concat([one[["step", column]] for one in seeds if column in one])
        spread = factor * known.groupby("step")[column].agg(["min", "max"])
        colour = drawn.get_color()
        axes.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.25, linewidth=0)

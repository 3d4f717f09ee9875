"""The figure of losses and validation error over the training."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from trilift.style import REFERENCE, new_figure, stroke


def training_curve(history: pd.DataFrame, note: str) -> Figure:
    """Losses over the training, and below them the distance of validation predictions from their pseudo-labels.

    Parameters
    ----------
    history
        Columns ``step``, one per loss ending in ``_m`` or ``_px``, and perhaps ``validation_mpjpe_mm``.
    note
        Where the data come from.
    """
    watched = "validation_mpjpe_mm" in history
    figure = new_figure(3.9 if watched else 2.2, note)
    axes = figure.subplots(2 if watched else 1, squeeze=False)[:, 0]
    losses = [column for column in history.columns if column.rpartition("_")[2] in ("m", "px")]
    for number, column in enumerate(losses):
        name, _, unit = column.rpartition("_")
        factor, label = (1000, "") if unit == "m" else (1, " (px)")
        axes[0].plot(
            history["step"], factor * history[column], **stroke(number), label=name.replace("_", " ") + label
        )
    axes[0].set(xlabel="optimiser step", ylabel="loss without its weight (mm)", yscale="log", title="Training")
    if watched:
        axes[1].plot(history["step"], history["validation_mpjpe_mm"], "k-")
        known = history.dropna(subset="validation_mpjpe_mm")
        if len(known):
            lowest = known["validation_mpjpe_mm"].to_numpy().argmin()
            axes[1].axvline(float(known["step"].to_numpy()[lowest]), color=REFERENCE, linestyle="--", label="lowest")
        axes[1].set(xlabel="optimiser step", ylabel="MPJPE against pseudo-labels (mm)", yscale="log")
        axes[1].set_title("Validation")
    for one in axes:
        if one.get_legend_handles_labels()[0]:
            one.legend(frameon=True, framealpha=0.85, edgecolor="none")
        label_logarithms(one)
    return figure


def label_logarithms(axes: Axes) -> None:
    """Write plain numbers along a logarithmic y axis, also where it spans less than a decade."""
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(3, 0.5)))

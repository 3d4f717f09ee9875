import pandas as pd
from matplotlib.figure import Figure

from trilift.figures.style import new_figure


def training_curve(history: pd.DataFrame, note: str) -> Figure:
    """Losses over the training, and beside them the distance of validation predictions from their pseudo-labels.

    Parameters
    ----------
    history
        Columns ``step``, one per loss ending in ``_m`` or ``_px``, and perhaps ``validation_mpjpe_mm``.
    note
        Where the data come from.
    """
    watched = "validation_mpjpe_mm" in history
    figure = new_figure(8 if watched else 5, 3.4, note)
    axes = figure.subplots(1, 2 if watched else 1, squeeze=False)[0]
    for column in history.columns:
        name, _, unit = column.rpartition("_")
        if unit == "m":
            axes[0].plot(history["step"], 1000 * history[column], label=name.replace("_", " "))
        elif unit == "px":
            axes[0].plot(history["step"], history[column], ":", label=f"{name.replace('_', ' ')} (px)")
    axes[0].set(xlabel="optimiser step", ylabel="loss without its weight (mm)", yscale="log", title="Training")
    axes[0].legend()
    if watched:
        errors = history["validation_mpjpe_mm"]
        axes[1].plot(history["step"], errors, color="black")
        axes[1].axvline(
            float(history["step"].to_numpy()[errors.to_numpy().argmin()]),
            color="#9A9A9A",
            linestyle="--",
            label="lowest",
        )
        axes[1].set(xlabel="optimiser step", ylabel="MPJPE against pseudo-labels (mm)", yscale="log")
        axes[1].set_title("Validation")
        axes[1].legend()
    for one in axes:
        one.yaxis.set_major_formatter("{x:g}")
        one.yaxis.set_minor_formatter("{x:g}")
        one.tick_params(axis="y", which="minor", labelsize=7)
    return figure

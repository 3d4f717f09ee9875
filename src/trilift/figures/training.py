import pandas as pd
from matplotlib.figure import Figure

from trilift.figures.style import new_figure


def training_curve(history: pd.DataFrame, note: str) -> Figure:
    """Losses over the training, and the distance of validation predictions from their pseudo-labels.

    Parameters
    ----------
    history
        Columns ``step``, ``loss_m``, one per loss ending in ``_m``, and perhaps ``validation_l1_mm``.
    note
        Where the data come from.
    """
    figure = new_figure(6, 3.4, note)
    axes = figure.add_subplot()
    for column in history.columns:
        if column.endswith("_m") and column != "loss_m":
            label = column.removesuffix("_m").replace("_", " ") + " (training)"
            axes.plot(history["step"], 1000 * history[column], label=label)
    if "validation_l1_mm" in history:
        axes.plot(
            history["step"],
            history["validation_l1_mm"],
            "--",
            color="black",
            label="against pseudo-labels (validation)",
        )
    axes.set(xlabel="optimiser step", ylabel="mean absolute difference (mm)", yscale="log", title="Training")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.legend()
    return figure

"""The figures of a sweep: errors of its runs, and their trainings."""

import pandas as pd
from matplotlib.figure import Figure

from trilift.plot.training import label_logarithms
from trilift.style import LINES, columns, new_figure, stroke

_LABELS = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "other_views_reprojection_px": "distance in the other views (px)",
}


def sweep_comparison(runs: pd.DataFrame, measure: str, note: str) -> Figure:
    """Show every run of a sweep as a point, and mean and standard deviation over the seeds, the best losses first.

    Parameters
    ----------
    runs
        Columns ``losses``, ``seed`` and the measure, a row per run.
    measure
        ``mpjpe_mm``, ``pa_mpjpe_mm`` or ``other_views_reprojection_px``.
    note
        Where the data come from.
    """
    table = runs.groupby("losses", sort=False)[measure].agg(["mean", "std"]).sort_values("mean")
    figure = new_figure(0.9 + 0.2 * len(table), note)
    axes = figure.add_subplot()
    rows = {name: row for row, name in enumerate(table.index)}
    of_runs = runs["losses"].map(rows)
    axes.plot(
        runs[measure], of_runs, "o", color=LINES[0], alpha=0.5, markersize=3, markeredgewidth=0, label="one seed"
    )
    axes.errorbar(
        table["mean"],
        range(len(table)),
        xerr=table["std"].fillna(0),
        fmt="|",
        color="black",
        markersize=7,
        capsize=2,
        linewidth=0.8,
        label="mean and standard deviation",
    )
    for row, (mean, std) in enumerate(table.itertuples(index=False)):
        text = f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} ± {std:.1f}"
        axes.text(1.03, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6)
    axes.set_yticks(range(len(table)), [str(name) for name in table.index])
    axes.set(xlabel=_LABELS[measure], title="Choices of losses, the best first", ylim=(len(table) - 0.4, -0.6))
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def sweep_training(histories: pd.DataFrame, note: str) -> Figure:
    """Validation over the training for each choice of losses: the mean over the seeds, and a band of their range.

    Parameters
    ----------
    histories
        Columns ``losses``, ``seed``, ``step`` and ``validation_mpjpe_mm``, a row per row of a run's history.
    note
        Where the data come from.
    """
    figure = new_figure(2.6, note)
    axes = figure.add_subplot()
    for number, (name, own) in enumerate(histories.groupby("losses", sort=False)):
        over_seeds = own.groupby("step")["validation_mpjpe_mm"].agg(["mean", "min", "max"])
        (line,) = axes.plot(over_seeds.index, over_seeds["mean"], **stroke(number), label=str(name))
        low, high = over_seeds["min"], over_seeds["max"]
        axes.fill_between(over_seeds.index, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="optimiser step", ylabel="MPJPE against pseudo-labels (mm)", yscale="log")
    axes.set_title("Validation: mean and range over the seeds")
    label_logarithms(axes)
    figure.legend(loc="outside upper center", ncols=columns(histories["losses"].unique()))
    return figure

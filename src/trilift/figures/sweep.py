import pandas as pd
from matplotlib.figure import Figure

from trilift.figures.style import new_figure

_LABELS = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "other_views_reprojection_px": "distance in the other views (px)",
}


def sweep_comparison(runs: pd.DataFrame, measure: str, note: str) -> Figure:
    """Show every run of a sweep as a point, and the mean over the seeds of each choice of losses.

    Parameters
    ----------
    runs
        Columns ``losses``, ``seed`` and the measure, a row per run.
    measure
        ``mpjpe_mm``, ``pa_mpjpe_mm`` or ``other_views_reprojection_px``.
    note
        Where the data come from.
    """
    names = list(dict.fromkeys(runs["losses"]))
    figure = new_figure(6, 1.2 + 0.3 * len(names), note)
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        values = runs.loc[runs["losses"] == name, measure]
        axes.plot(values, [row] * len(values), "o", color="#0072B2", alpha=0.6)
        axes.plot([values.mean()], [row], "|", color="black", markersize=14)
    axes.set(xlabel=f"{_LABELS[measure]}; a point per seed, a line at the mean")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    return figure

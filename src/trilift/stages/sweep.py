"""sweep: the metrics of all runs of a sweep -> a table and a figure."""

import json
import logging

import matplotlib.pyplot as plt
import pandas as pd

from trilift import provenance
from trilift.errors import InputError
from trilift.figures import style
from trilift.figures.sweep import sweep_comparison
from trilift.files import replacing
from trilift.layout import Layout
from trilift.params import load
from trilift.sweep import Sweep

log = logging.getLogger(__name__)

Settings = Sweep

MEASURES = ("mpjpe_mm", "pa_mpjpe_mm", "other_views_reprojection_px")


def run(layout: Layout) -> None:
    """Put the runs of a sweep side by side: mean and standard deviation over the seeds."""
    sweep = load(layout.params, "sweep", Sweep)
    if not sweep.runs:
        raise InputError(f"{layout.params}, section sweep: it has no runs; give it losses and seeds")
    rows = []
    for name in sweep.runs:
        path = layout.of_run(name).results / "metrics.json"
        try:
            metrics = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no readable metrics ({error}); train and evaluate the run {name}") from None
        losses, seed = sweep.choice(name)
        rows.append({"losses": losses, "seed": seed} | {key: metrics[key] for key in MEASURES if key in metrics})
    runs = pd.DataFrame(rows)
    measures = [name for name in MEASURES if name in runs]
    grouped = runs.groupby("losses", sort=False)
    table = pd.DataFrame({"seeds": grouped.size()})
    for name in measures:
        table[f"{name}_mean"], table[f"{name}_std"] = grouped[name].mean(), grouped[name].std()
    with replacing(layout.sweep_table) as temporary:
        table.to_csv(temporary, float_format="%.4f")
    log.info("mean and standard deviation over the seeds\n%s", table.to_string(float_format="%.2f"))
    style.use()
    note = f"data set {layout.dataset}" + (" (SIMULATED)" if metrics["simulated"] else "")
    note += f" · detections: {metrics['detections_from']}"
    figure = sweep_comparison(runs, measures[0], note)
    with replacing(layout.sweep_figure) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)
    provenance.write(
        layout.of_run("sweep"),
        "sweep",
        params={"sweep": sweep},
        inputs=[layout.of_run(name).results / "metrics.json" for name in sweep.runs],
        outputs=[layout.sweep_table, layout.sweep_figure],
    )

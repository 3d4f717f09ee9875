"""sweep: the metrics and histories of all runs of a sweep -> a table and figures."""

import json
import logging

import matplotlib.pyplot as plt
import pandas as pd

from trilift import style
from trilift.errors import InputError
from trilift.project import provenance
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load
from trilift.sweep.figure import sweep_comparison, sweep_training
from trilift.train.runs import Sweep

log = logging.getLogger(__name__)

Settings = Sweep

_VALIDATION = "validation_mpjpe_mm"
MEASURES = ("mpjpe_mm", "pa_mpjpe_mm", "other_views_reprojection_px")


def run(layout: Layout) -> None:
    """Put the runs of a sweep side by side: mean and standard deviation over the seeds."""
    sweep = load(layout.params, "sweep", Sweep)
    if not sweep.runs:
        raise InputError(f"{layout.params}, section sweep: it has no runs; give it losses and seeds")
    rows, histories = [], []
    for name in sweep.runs:
        folder = layout.of_run(name).results
        try:
            metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
            history = pd.read_csv(folder / "history.csv")
        except FileNotFoundError as error:
            raise InputError(f"{error.filename}: not there; train and evaluate the run {name} first") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no readable results ({error}); train and evaluate the run {name}") from None
        losses, seed = sweep.choice(name)
        rows.append({"losses": losses, "seed": seed} | {key: metrics[key] for key in MEASURES if key in metrics})
        histories.append(history.assign(losses=losses, seed=seed))
    runs = pd.DataFrame(rows)
    measures = [name for name in MEASURES if name in runs]
    runs = runs.astype(dict.fromkeys(measures, float))  # null, what could not be measured, is NaN
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
    note += f" · cameras: {metrics['cameras_from']}" if "cameras_from" in metrics else ""
    over_time = pd.concat(histories)
    if _VALIDATION not in over_time:
        over_time[_VALIDATION] = float("nan")  # train.validation_share is 0
    for path, figure in (
        (layout.sweep_figure, sweep_comparison(runs, measures[0], note)),
        (layout.sweep_curves, sweep_training(over_time, note)),
    ):
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png")
        plt.close(figure)
    provenance.write(
        layout.of_run("sweep"),
        "sweep",
        params={"sweep": sweep},
        inputs=[
            layout.of_run(name).results / file for name in sweep.runs for file in ("metrics.json", "history.csv")
        ],
        outputs=[layout.sweep_table, layout.sweep_figure, layout.sweep_curves],
    )

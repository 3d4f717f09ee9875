"""The command ``trilift report``: all data sets and runs side by side, with links to the page of each."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from trilift.errors import InputError
from trilift.plot.pages import number, render
from trilift.plot.report import Bar, bars
from trilift.plot.series import measure_of
from trilift.project.files import write_text

log = logging.getLogger(__name__)

_HEAD = ["run", "error", "95 % interval", "mean pose", "pseudo-label", "PA-MPJPE (mm)", "poses", "detections"]


def describe(command: argparse.ArgumentParser) -> None:
    """Say on the command line what the command does and takes."""
    command.description = (
        "Put the results of all data sets and runs that are in results/ side by side, on one page, with links to the "
        "page of each: results/report.html. It opens without a network."
    )
    command.epilog = "Example:\n  trilift report"
    command.add_argument("--project", type=Path, default=Path(), help="folder of params.yaml (default: this one)")


def run(options: argparse.Namespace) -> None:
    """Run ``trilift report``.

    Raises
    ------
    InputError
        If there are no results, or unreadable ones.
    """
    folder = options.project / "results"
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*/metrics.json"), key=lambda path: (path.parts[-2] != "main", path)):
        found.setdefault(path.parts[-3], {})[path.parts[-2]] = _read(path)
    if not found:
        raise InputError(f"{folder}: no results yet (<data set>/<run>/metrics.json): run the workflow first")
    page = render("comparison.html", datasets=[_dataset(folder, name, found[name]) for name in sorted(found)])
    write_text(folder / "report.html", page)
    log.info("%s", folder / "report.html")


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
        lacking = {measure_of(facts), "simulated", "detections_from", "test_poses"} - facts.keys()
        if lacking:
            raise ValueError(f"lacks {', '.join(sorted(lacking))}")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: no readable metrics ({error}); evaluate again") from None
    return facts


def _dataset(folder: Path, name: str, runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Collect what the page says of a data set; its yardsticks are those of its first run."""
    first = next(iter(runs.values()))
    measure = measure_of(first)
    of_runs = {run: bars(facts, measure) for run, facts in runs.items()}
    shown = [lifter._replace(label=run) for run, (lifter, *_) in of_runs.items()]
    shown += next(iter(of_runs.values()))[1:]
    return {
        "name": name,
        "simulated": first["simulated"],
        "measure": measure,
        "bars": shown,
        "rows": [_HEAD, *(_row(_linked(folder, name, run), runs[run], of_runs[run]) for run in runs)],
    }


def _linked(folder: Path, name: str, run: str) -> str:
    """Name a run, with a link to its page where there is one: of a sweep's runs nothing is drawn."""
    page = f"{name}/{run}/report.html"
    return Markup('<a href="{}">{}</a>').format(quote(page), run) if (folder / page).is_file() else run


def _row(run: str, facts: dict[str, Any], of_run: list[Bar]) -> list[str]:
    lifter, mean_pose, pseudo_label = of_run
    return [
        run,
        number(lifter.value),
        "–" if lifter.low is None else f"{number(lifter.low)} to {number(lifter.high)}",
        number(mean_pose.value),
        number(pseudo_label.value),
        number(facts.get("pa_mpjpe_mm")),
        number(facts["test_poses"] - facts.get("test_poses_without_prediction", 0), 0),
        str(facts["detections_from"]) + (f"; cameras: {facts['cameras_from']}" if "cameras_from" in facts else ""),
    ]

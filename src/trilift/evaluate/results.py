"""The files of an evaluation: metrics, tables, those for a paper."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trilift.evaluate.measuring import MEASURED, PREDICTED, Conditions
from trilift.evaluate.paper import main_table, to_latex, to_markdown
from trilift.evaluate.protocols import PROTOCOLS, Protocol
from trilift.evaluate.settings import Settings
from trilift.evaluate.tables import OF_POSE, confidence_interval, means, of_protocol, overall, per_action
from trilift.formats import human36m
from trilift.project.files import write_text
from trilift.project.layout import Layout

log = logging.getLogger(__name__)


def write_results(
    layout: Layout, errors: pd.DataFrame, conditions: Conditions, settings: Settings, facts: dict[str, Any]
) -> None:
    protocol = PROTOCOLS[settings.protocol]
    poses = errors[errors["measure"] == MEASURED]
    errors = errors[~errors["measure"].isin([MEASURED, PREDICTED])]
    counted = of_protocol(errors, protocol)
    metrics = overall(counted)
    main, has_reference = conditions.main, conditions.unit == "mm"
    metrics = {main: metrics[main]} | metrics  # what is looked for stands first, in `dvc exp show` too
    actions = per_action(counted)
    if has_reference:
        metrics["mpjpe_over_actions_mm"] = float(actions["mpjpe_mm"]["average"])
        metrics["pa_mpjpe_over_actions_mm"] = float(actions["pa_mpjpe_mm"]["average"])
    metrics[f"{main}_ci95_low"], metrics[f"{main}_ci95_high"] = confidence_interval(counted, main)
    tables = {
        "per_recording": means(counted, "capture", "recording"),
        "per_action": actions,
        "per_view": means(counted, "capture", "view"),
        "per_joint": means(errors[errors["joint"] != OF_POSE], "joint"),
    }
    for name, by in (
        ("per_recording", ["capture", "recording"]),
        ("per_action", ["action"]),
        ("per_view", ["capture", "view"]),
    ):
        tables[name]["poses"] = poses.groupby(by)["number"].sum()
    tables["per_action"].loc["average", "poses"] = tables["per_action"]["poses"].sum()
    tables["per_joint"]["joints"] = errors[errors["measure"] == main].groupby("joint", sort=False)["number"].sum()
    for name, table in tables.items():
        _write(layout.results / f"{name}.csv", table.to_csv(float_format="%.4f"))
    for name, table in (
        ("by_confidence", conditions.by_confidence.table("confidence_low", "confidence_high", "error", "joints")),
        ("by_angle", conditions.by_angle.table("angle_low_deg", "angle_high_deg", "error", "poses")),
        ("distribution", conditions.distribution.table()),
    ):
        table["unit"] = conditions.unit  # in a column of its own: DVC's plots know columns by one name only
        _write(layout.results / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    # Its test people, cameras and references, and nothing simulated: the published numbers may stand beside ours.
    is_human36m = (
        has_reference
        and not facts["simulated"]
        and settings.protocol == "human36m"
        and set(errors["capture"]) == {"S9", "S11"}
        and set(errors["view"]) == {camera.name for camera in human36m.read_cameras()["S9"]}
    )
    measured = int(poses["number"].sum())
    _write_for_paper(layout, metrics, protocol, is_human36m, facts, measured)
    rounded = {name: round(value, 4) if np.isfinite(value) else None for name, value in metrics.items()}
    facts = facts | {"protocol": settings.protocol, "flip": settings.flip}
    _write(layout.results / "metrics.json", json.dumps(rounded | facts, indent=2) + "\n")
    log.info("per action\n%s", actions.to_string(float_format="%.1f"))
    log.info("overall\n%s", pd.Series(rounded | facts).to_string())


def _write_for_paper(
    layout: Layout,
    metrics: dict[str, float],
    protocol: Protocol,
    is_human36m: bool,
    facts: dict[str, Any],
    measured: int,
) -> None:
    """Write the main table as Markdown and LaTeX, with what its numbers are means of."""
    table = main_table(metrics, is_human36m)
    note = f"Data set {layout.dataset}{' (SIMULATED)' if facts['simulated'] else ''}; detections: "
    without = facts["test_poses_without_prediction"]
    predicted = facts["test_poses"] - without
    note += facts["detections_from"]
    note += f"; cameras: {facts['cameras_from']}" if "cameras_from" in facts else ""
    note += f"; {predicted} poses, each from one view"
    note += f", of which {measured} could be measured" if measured < predicted else ""
    note += f" ({without} more had too few detections)" if without else ""
    note += f"; {protocol.about if 'mpjpe_mm' in metrics else 'mean over the joints without the root'}"
    note += f"; never predicted: {facts['joints_never_predicted']}" if "joints_never_predicted" in facts else ""
    note += "; the person was seen in training." if facts["seen_in_training"] else "."
    _write(layout.results / "table.md", to_markdown(table, note))
    _write(layout.results / "table.tex", to_latex(table, note))


def _write(path: Path, text: str) -> None:
    write_text(path, text)

"""check: whether detections and calibration belong together, as tables and a figure per camera; changes nothing."""

import logging

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trilift import checking, skeletons
from trilift.assembling import AssembledCapture, assemble
from trilift.checking import Findings
from trilift.errors import listed
from trilift.figures import style
from trilift.figures.check import camera_agreement
from trilift.files import replacing
from trilift.formats.registry import Source
from trilift.layout import Layout
from trilift.params import load_dataset
from trilift.skeletons import TRAINING_SKELETON
from trilift.stages.ingest import facts_of

log = logging.getLogger(__name__)


def run(layout: Layout) -> None:
    """Read the raw files of a data set, compare its views with each other, and say what looks wrong."""
    source = load_dataset(layout.dataset_file, "ingest", Source)
    style.use()
    note = f"data set {layout.dataset}" + (" (SIMULATED)" if source.simulated else "")
    note += f" · detections: {facts_of(source)}"
    problems = 0
    for capture in assemble(layout, source):
        findings = checking.examine(capture)
        _print(capture, findings)
        problems += len(findings.problems)
        blind = _without_root(capture, findings)
        if blind:
            log.info(
                "the %s is not detected in %s: these views help to triangulate, but no pose is predicted from them",
                TRAINING_SKELETON.root,
                listed(blind),
            )
        _draw(capture, findings, layout, note)
    log.info("%s", f"{problems} problems, see above" if problems else "none of the usual mistakes is in it")
    log.info("A figure per camera: %s", layout.check)


def _without_root(capture: AssembledCapture, findings: Findings) -> list[str]:
    """Name the views in which the root can hardly ever be formed of what is detected."""
    mapping = skeletons.mapping(capture.skeleton, TRAINING_SKELETON)
    roots = mapping.apply(findings.sample.pixels.numpy())[..., TRAINING_SKELETON.root_index, :]
    shares = np.isfinite(roots).all(-1).mean(0)
    return [name for name, share in zip(capture.names_of_views, shares, strict=True) if share < 0.05]


def _print(capture: AssembledCapture, findings: Findings) -> None:
    errors = findings.errors.pivot(index="keypoint", columns="view", values="median_px")
    errors = errors.loc[list(capture.skeleton.keypoints), capture.names_of_views]
    errors.loc["(median)"] = errors.median()
    missing = findings.errors.pivot(index="keypoint", columns="view", values="missing").mean()
    errors.loc["(missing, %)"] = 100 * missing[capture.names_of_views]
    log.info(
        "capture %s: median distance (px) of detections from what the other views see\n%s",
        capture.name,
        errors.to_string(float_format="%.1f"),
    )
    log.info("lengths of bones (m)\n%s", findings.bones.to_string(index=False, float_format="%.3f"))
    for problem in findings.problems:
        log.warning("capture %s: %s", capture.name, problem.text)


def _draw(capture: AssembledCapture, findings: Findings, layout: Layout, note: str) -> None:
    pixels = findings.sample.pixels.numpy()
    for view, camera in enumerate(capture.cameras):
        figure = camera_agreement(
            pixels[:, view],
            findings.residuals[:, view],
            camera.image_size,
            capture.skeleton,
            f"{capture.name}, {camera.name}: from what the other views see to the detections",
            note,
        )
        with replacing(layout.check / f"{capture.name}-{camera.name}.png") as temporary:
            figure.savefig(temporary, format="png")
        plt.close(figure)
    with replacing(layout.check / f"{capture.name}.csv") as temporary:
        table: pd.DataFrame = findings.errors
        table.to_csv(temporary, index=False, float_format="%.4f")

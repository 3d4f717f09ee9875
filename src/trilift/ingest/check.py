"""check: whether detections and calibration belong together, as tables and a figure per camera; changes nothing."""

import logging
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trilift import skeletons, style
from trilift.errors import listed
from trilift.formats.source import Source
from trilift.ingest import examine
from trilift.ingest.assemble import assemble
from trilift.ingest.assembled import AssembledCapture
from trilift.ingest.check_figure import camera_agreement, offsets_over_time
from trilift.ingest.examine import Findings, Run
from trilift.ingest.stage import note_of
from trilift.project import threads
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load_dataset
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)


@threads.apart()
def run(layout: Layout) -> int:
    """Read the raw files of a data set, compare its views with each other, and say what looks wrong.

    Returns
    -------
    int
        The exit code: 1 where something looks wrong.
    """
    source = load_dataset(layout.dataset_file, "ingest", Source)
    style.use()
    note = note_of(source, layout)
    problems, steps = 0, 0
    with tqdm(total=0, unit="step", desc="check", disable=None) as progress, logging_redirect_tqdm():
        for capture in assemble(layout, source):
            steps += 1 + len(capture.cameras)
            progress.total = steps  # how many captures follow is not known
            findings = examine.examine(capture, over_time=True)
            _print(capture, findings)
            problems += len(findings.problems)
            blind = _without_root(capture, findings)
            if blind:
                log.info(
                    "the %s is not detected in %s: these help to triangulate, but no pose is predicted from them",
                    TRAINING_SKELETON.root,
                    listed(blind),
                )
            progress.update()
            _draw(capture, findings, layout, note, progress)
    log.info("%s", f"{problems} problems, see above" if problems else "none of the usual mistakes is in it")
    log.info("A figure per camera: %s", layout.check)
    return 1 if problems else 0


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
    if len(findings.timing):
        offsets = findings.timing.pivot(index=list(Run._fields), columns="view", values="late_by_frames")
        log.info(
            "by how many frames a camera is late (- where there is too little motion to tell)\n%s",
            offsets[capture.names_of_views].to_string(float_format="%.1f", na_rep="-"),
        )
    for problem in findings.problems:
        log.warning("capture %s: %s", capture.name, problem.text)


def _draw(capture: AssembledCapture, findings: Findings, layout: Layout, note: str, progress: tqdm) -> None:
    pixels = findings.sample.pixels.numpy()
    for view, camera in enumerate(capture.cameras):
        figure = camera_agreement(
            pixels[:, view],
            findings.residuals[:, view],
            camera.image_size,
            capture.skeleton,
            f"{capture.name}, {camera.name}",
            note,
        )
        _save(figure, layout.check / f"{capture.name}-{camera.name}.png")
        progress.update()
    _write(findings.errors, layout.check / f"{capture.name}.csv")
    if len(findings.timing):
        title = f"{capture.name}: by how much each camera is late,\nby recording and first frame"
        _save(offsets_over_time(findings.timing, title, note), layout.check / f"{capture.name}-timing.png")
        _write(findings.timing, layout.check / f"{capture.name}-timing.csv")


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)


def _write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")

"""evaluate: a lifter and the test frames -> predictions, metrics and tables."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import torch
import xarray as xr
from tqdm import tqdm

from trilift import skeletons
from trilift.captures import reading, splits, writing
from trilift.captures.splits import Split
from trilift.errors import InputError, listed
from trilift.evaluate.capture import CaptureEvaluation
from trilift.evaluate.measuring import PREDICTED, Conditions
from trilift.evaluate.protocols import PROTOCOLS, Protocol
from trilift.evaluate.results import write_results
from trilift.evaluate.settings import Settings
from trilift.evaluate.tables import of_protocol
from trilift.lifter.lifter import Lifter
from trilift.project import provenance, threads
from trilift.project.layout import LIFTER, Layout
from trilift.project.params import load, load_dataset
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)

_TABLES = ("per_recording", "per_action", "per_joint", "per_view", "by_confidence", "by_angle", "distribution")
_OUTPUTS = ["metrics.json", *(f"{name}.csv" for name in _TABLES), "table.md", "table.tex", "predictions.nc"]


@threads.apart()
def run(layout: Layout, device: torch.device) -> None:
    """Predict every test frame from every view alone, and compare.

    With a reference: errors of root-relative poses, and the MPJPE of absolute ones, which this view alone places by
    their size. In any case the error in pixels when a prediction is reprojected into the other views. The mean
    training pose and the pseudo-label stand beside the lifter.
    """
    settings = load(layout.params, "evaluate", Settings)
    split = load_dataset(layout.dataset_file, "split", Split)
    lifter = Lifter.load(layout.results).to(device)
    if lifter.unlearnt:
        log.warning("the training had no label of %s: all means are over the other joints", listed(lifter.unlearnt))
    evaluations = []
    with (
        reading.read(layout.captures, "captures") as detections,
        reading.read(layout.pseudo_labels, "pseudo_labels") as labels,
        reading.read(layout.references, "references") as references,
        writing.create(layout.results / "predictions.nc", "predictions", dataset=layout.dataset) as file,
    ):
        splits.check_names(detections, split, str(layout.dataset_file))
        reading.check_same_recordings(layout.pseudo_labels, detections, labels)
        reading.check_same_recordings(layout.references, references, detections)
        _check_joints(references, PROTOCOLS[settings.protocol], layout)
        chosen, has_reference = splits.frames_to_test(detections, split, references)
        total = sum(int(frames.sum()) for frames in chosen.values())
        if not total:
            raise InputError(f"{layout.dataset_file}, section split: leaves no frame for testing")
        conditions = Conditions("mm" if has_reference else "px")
        with (
            tqdm(total=total, unit="frame", unit_scale=True, desc="evaluate", disable=None) as progress,
            ThreadPoolExecutor(
                threads.number() if device.type == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool,
        ):
            for name, capture in detections.items():
                if chosen[name].any():
                    reference = references[name] if has_reference else None
                    evaluation = CaptureEvaluation(
                        name, capture, labels[name], reference, chosen[name], lifter, device, settings.flip
                    )
                    written = file.add_capture(
                        name,
                        recordings=reading.recordings(capture),
                        skeleton=TRAINING_SKELETON,
                        views=evaluation.views,
                        frames=int(chosen[name].sum()),
                        units={"pose_error": conditions.unit},
                    )
                    evaluation.run(written, conditions, pool, progress)
                    evaluations.append(evaluation)
        errors = pd.concat([evaluation.errors.table() for evaluation in evaluations], ignore_index=True)
        predicted = int(errors.loc[errors["measure"] == PREDICTED, "number"].sum())
        facts: dict[str, Any] = {
            "detections_from": next(iter(detections.values())).attrs["detections_from"],
            "simulated": next(iter(detections.values())).attrs["simulated"] == "yes",
            "seen_in_training": splits.seen_in_training(detections, split, chosen),
            "test_frames": total,
            "test_poses": sum(evaluation.poses for evaluation in evaluations),
        }
        facts["test_poses_without_prediction"] = facts["test_poses"] - predicted
        if "cameras_from" in next(iter(detections.values())).attrs:
            facts["cameras_from"] = next(iter(detections.values())).attrs["cameras_from"]
        if "frames" in lifter.facts:
            facts["training_frames"] = lifter.facts["frames"]
        if lifter.unlearnt:
            facts["joints_never_predicted"] = ", ".join(lifter.unlearnt)
        _check_content(of_protocol(errors, PROTOCOLS[settings.protocol]), conditions.main, facts, layout)
    write_results(layout, errors, conditions, settings, facts)
    lifter_files = [layout.results / name for name in LIFTER]
    provenance.write(
        layout,
        "evaluate",
        params={"evaluate": settings},
        dataset={"split": split},
        inputs=[layout.captures, layout.references, layout.pseudo_labels, *lifter_files],
        outputs=[layout.results / name for name in _OUTPUTS],
    )


def _check_joints(references: dict[str, xr.Dataset], protocol: Protocol, layout: Layout) -> None:
    """Refuse references that lack a joint which the protocol counts."""
    for name, reference in references.items():
        mapping = skeletons.mapping(reading.skeleton_of(reference), TRAINING_SKELETON)
        absent = {
            joint for joint, kind in zip(TRAINING_SKELETON.keypoints, mapping.kind, strict=True) if kind == "absent"
        }
        lacking = sorted(absent & {*protocol.joints, *protocol.aligned_joints})
        if lacking:
            raise InputError(
                f"{layout.references}, capture {name}: its skeleton {reference.attrs['skeleton']} lacks "
                f"{', '.join(lacking)}; choose another protocol (evaluate.protocol in params.yaml)"
            )


def _check_content(errors: pd.DataFrame, main: str, facts: dict[str, Any], layout: Layout) -> None:
    """Refuse to report on poses of which none can be measured."""
    measured = (errors["measure"] == main) & (errors["joint"] != TRAINING_SKELETON.root)
    if errors.loc[measured, "number"].sum():
        return
    poses, without = facts["test_poses"], facts["test_poses_without_prediction"]
    if poses == without:
        reason = f"the lifter can predict none: no view has detected the {TRAINING_SKELETON.root} in these frames"
    elif main == "mpjpe_mm":
        reason = "where the lifter predicts them, the reference has no pose"
    else:
        reason = (
            f"there is no reference, and where the lifter predicts them, there is no pseudo-label of the "
            f"{TRAINING_SKELETON.root}, or no other view has detections"
        )
    raise InputError(
        f"{layout.captures}: none of the {poses} test poses can be measured: {reason}. Choose other frames for "
        f"testing ({layout.dataset_file}, section split)"
    )

"""evaluate: a lifter and the test frames -> predictions, metrics and tables."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from trilift import skeletons
from trilift.captures import reading, splits, writing
from trilift.captures.schema import Recording
from trilift.captures.splits import Split
from trilift.errors import InputError, listed
from trilift.evaluate.measuring import FRAMES_OF_MOVEMENT, POSES, Conditions, Frames, Measuring
from trilift.evaluate.paper import main_table, to_latex, to_markdown
from trilift.evaluate.protocols import PROTOCOLS, Protocol
from trilift.evaluate.settings import Settings
from trilift.evaluate.tables import OF_POSE, Errors, confidence_interval, means, of_protocol, overall, per_action
from trilift.formats import human36m
from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import normalised_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.placement import place
from trilift.project import provenance, threads
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load, load_dataset
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)

_FRAMES_PER_PART = 512  # from every view
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
        chosen, compared = splits.frames_to_test(detections, split, references)
        total = sum(int(frames.sum()) for frames in chosen.values())
        if not total:
            raise InputError(f"{layout.dataset_file}, section split: leaves no frame for testing")
        conditions = Conditions("mm" if compared else "px")
        with (
            tqdm(total=total, unit="frame", unit_scale=True, desc="evaluate", disable=None) as progress,
            ThreadPoolExecutor(
                threads.number() if device.type == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool,
        ):
            for name, capture in detections.items():
                if chosen[name].any():
                    reference = references[name] if compared else None
                    evaluation = _CaptureEvaluation(
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
        predicted = int(errors.loc[errors["measure"] == POSES, "number"].sum())
        facts: dict[str, Any] = {
            "detections_from": next(iter(detections.values())).attrs["detections_from"],
            "simulated": next(iter(detections.values())).attrs["simulated"] == "yes",
            "seen_in_training": splits.seen_in_training(detections, split, chosen),
            "test_frames": total,
            "test_poses": sum(evaluation.poses for evaluation in evaluations),
        }
        facts["test_poses_without_prediction"] = facts["test_poses"] - predicted
        if lifter.unlearnt:
            facts["joints_never_predicted"] = ", ".join(lifter.unlearnt)
        _check_content(of_protocol(errors, PROTOCOLS[settings.protocol]), conditions.main, facts, layout)
    _write_results(layout, errors, conditions, settings, facts)
    lifter_files = [layout.results / name for name in ("lifter.safetensors", "lifter.json")]
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
        mapping = skeletons.mapping(skeletons.get(reference.attrs["skeleton"]), TRAINING_SKELETON)
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


@dataclass(frozen=True)
class _Loaded:
    """Some frames of a recording as they are in the files; `first` is the first one's index in the capture."""

    first: int
    pixels: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray
    reference: np.ndarray | None

    def at(self, frames: slice) -> "_Loaded":
        rows = slice(frames.start - self.first, frames.stop - self.first)
        reference = None if self.reference is None else self.reference[rows]
        return _Loaded(frames.start, self.pixels[rows], self.confidence[rows], self.labels[rows], reference)


class _Part(NamedTuple):
    """What came of some frames: joints (frame, view, joint, 3), root (frame, view, 3), pose_error (frame, view)."""

    joints: Tensor
    root: Tensor
    pose_error: Tensor
    errors: Errors
    conditions: Conditions


class _CaptureEvaluation:
    """The evaluation of one capture, block by block, the parts of a block side by side."""

    def __init__(
        self,
        name: str,
        capture: xr.Dataset,
        labels: xr.Dataset,
        reference: xr.Dataset | None,
        chosen: np.ndarray,
        lifter: Lifter,
        device: torch.device,
        flip: bool,
    ):
        self._name, self._capture, self._labels, self._reference = name, capture, labels, reference
        self._lifter, self._device, self._flip = lifter, device, flip
        self._cameras = Cameras.from_arrays(capture).to(device)
        self._mapping = skeletons.mapping(skeletons.get(capture.attrs["skeleton"]), lifter.skeleton)
        self._measuring = Measuring(self._cameras, lifter.skeleton, lifter.mean_pose)
        self._has_confidence = capture.attrs["confidence_source"] != "none"
        self._around = lifter.network_settings.frames // 2
        self.views = capture["view"].values.tolist()
        self.poses = len(self.views) * int(chosen.sum())
        self._tested = {  # frames that follow each other
            recording: slice(recording.start + int(own[0]), recording.start + int(own[-1]) + 1)
            for recording in reading.recordings(capture)
            if len(own := np.flatnonzero(chosen[recording.frames]))
        }
        self.errors = self._no_errors(list(self._tested))

    def run(
        self, written: writing.CaptureWriter, conditions: Conditions, pool: ThreadPoolExecutor, progress: tqdm
    ) -> None:
        """Write the predictions, and collect their errors in `errors` and `conditions`."""
        done = 0
        for number, (recording, tested) in enumerate(self._tested.items()):
            for block in reading.blocks(tested.stop - tested.start):
                frames = slice(tested.start + block.start, tested.start + block.stop)
                loaded = self._load(self._around_of(frames, tested))
                evaluate = partial(self._evaluate, loaded, tested, recording, conditions.unit)
                # Parts that stay in the processor's cache; a temporal lifter sees many frames around each.
                parts = [
                    slice(frames.start + part.start, frames.start + part.stop)
                    for part in reading.blocks(block.stop - block.start, max(_FRAMES_PER_PART, 8 * self._around))
                ]
                for part, result in zip(parts, pool.map(evaluate, parts), strict=True):
                    length = part.stop - part.start
                    written.write_block(
                        slice(done, done + length),
                        joints_3d=result.joints.cpu().numpy(),
                        root=result.root.cpu().numpy(),
                        pose_error=result.pose_error.cpu().numpy(),
                        frame_of_capture=np.arange(part.start, part.stop),
                    )
                    self.errors.merge(result.errors, number)
                    conditions.merge(result.conditions)
                    done += length
                    progress.update(length)

    def _no_errors(self, recordings: list[Recording]) -> Errors:
        return Errors(self._name, recordings, self.views, self._lifter.skeleton.keypoints)

    def _around_of(self, frames: slice, tested: slice) -> slice:
        """Frames to which the movements into `frames` belong, and what a temporal lifter sees around these."""
        first = frames.start - FRAMES_OF_MOVEMENT - self._around
        return slice(max(tested.start, first), min(tested.stop, frames.stop + self._around))

    def _load(self, frames: slice) -> _Loaded:
        pixels, confidence = reading.load_frames(self._capture, frames, "keypoints_2d", "confidence")
        (labels,) = reading.load_frames(self._labels, frames, "joints_3d")
        reference = None
        if self._reference is not None:
            (reference,) = reading.load_frames(self._reference, frames, "keypoints_3d")
            skeleton = skeletons.get(self._reference.attrs["skeleton"])
            reference = skeletons.mapping(skeleton, self._lifter.skeleton).apply(reference)
        return _Loaded(frames.start, pixels, confidence, labels, reference)

    def _evaluate(self, loaded: _Loaded, tested: slice, recording: Recording, unit: str, frames: slice) -> _Part:
        seen = self._around_of(frames, tested)
        lead = min(FRAMES_OF_MOVEMENT, frames.start - tested.start)
        core = slice(frames.start - lead - seen.start, frames.stop - seen.start)
        own = loaded.at(seen)
        points, scores = normalised_joints(
            self._tensor(own.pixels).double(), self._tensor(own.confidence), self._cameras, self._mapping
        )
        predicted = self._lifter.predict(points, scores, self._flip)[core]
        root = place(predicted, points[core], scores[core])
        errors, conditions = self._no_errors([recording]), Conditions(unit)
        measured = Frames(
            predicted,
            root,
            scores[core] if self._has_confidence else None,
            self._tensor(self._mapping.apply(own.pixels[core])),
            self._tensor(own.labels[core]),
            None if own.reference is None else self._tensor(own.reference[core]),
            lead,
            recording.fps,
        )
        pose_error = self._measuring.measure(measured, errors, conditions)
        return _Part(predicted[lead:], root[lead:], pose_error, errors, conditions)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, device=self._device)


def _write_results(
    layout: Layout, errors: pd.DataFrame, conditions: Conditions, settings: Settings, facts: dict[str, Any]
) -> None:
    protocol = PROTOCOLS[settings.protocol]
    poses, errors = errors[errors["measure"] == POSES], errors[errors["measure"] != POSES]
    counted = of_protocol(errors, protocol)
    metrics = overall(counted)
    main, compared = conditions.main, conditions.unit == "mm"
    actions = per_action(counted)
    if compared:
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
        (
            "by_confidence",
            conditions.by_confidence.table("confidence_low", "confidence_high", f"error_{conditions.unit}", "joints"),
        ),
        (
            "by_angle",
            conditions.by_angle.table("angle_low_deg", "angle_high_deg", f"error_{conditions.unit}", "poses"),
        ),
        ("distribution", conditions.distribution.table(conditions.unit)),
    ):
        _write(layout.results / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    # Its test people, cameras and references, and nothing simulated: the published numbers may stand beside ours.
    is_human36m = (
        compared
        and not facts["simulated"]
        and settings.protocol == "human36m"
        and set(errors["capture"]) == {"S9", "S11"}
        and set(errors["view"]) == {camera.name for camera in human36m.read_cameras()["S9"]}
    )
    _write_for_paper(layout, metrics, protocol, is_human36m, facts)
    rounded = {name: round(value, 4) if np.isfinite(value) else None for name, value in metrics.items()}
    facts = facts | {"protocol": settings.protocol, "flip": settings.flip}
    _write(layout.results / "metrics.json", json.dumps(rounded | facts, indent=2) + "\n")
    log.info("per action\n%s", actions.to_string(float_format="%.1f"))
    log.info("overall\n%s", pd.Series(rounded | facts).to_string())


def _write_for_paper(
    layout: Layout, metrics: dict[str, float], protocol: Protocol, is_human36m: bool, facts: dict[str, Any]
) -> None:
    """Write the main table as Markdown and LaTeX, with what its numbers are means of."""
    table = main_table(metrics, is_human36m)
    note = f"Data set {layout.dataset}{' (SIMULATED)' if facts['simulated'] else ''}; detections: "
    without = facts["test_poses_without_prediction"]
    note += f"{facts['detections_from']}; {facts['test_poses'] - without} poses, each from one view"
    note += f" ({without} more had too few detections)" if without else ""
    note += f"; {protocol.about if 'mpjpe_mm' in metrics else 'mean over the joints without the root'}"
    note += f"; never predicted: {facts['joints_never_predicted']}" if "joints_never_predicted" in facts else ""
    note += "; the person was seen in training." if facts["seen_in_training"] else "."
    _write(layout.results / "table.md", to_markdown(table, note))
    _write(layout.results / "table.tex", to_latex(table, note))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")

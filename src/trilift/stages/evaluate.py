"""evaluate: a lifter and the test frames -> predictions, metrics and tables."""

import json
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from trilift import captures, skeletons, splits
from trilift.errors import InputError
from trilift.evaluation.metrics import (
    acceleration_error,
    aligned_joint_error,
    angle_seen_from,
    area_under_curve,
    bone_length_error,
    correct,
    correct_poses,
    joint_error,
    other_views_error,
    scaled_joint_error,
    velocity_error,
)
from trilift.evaluation.paper import main_table, to_latex, to_markdown
from trilift.evaluation.protocols import PROTOCOLS, Protocol
from trilift.evaluation.tables import (
    OF_POSE,
    Bins,
    Distribution,
    Errors,
    confidence_interval,
    means,
    of_protocol,
    overall,
    per_action,
)
from trilift.files import replacing
from trilift.formats import human36m
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.layout import Layout
from trilift.lifting.lifter import Lifter
from trilift.lifting.placement import place
from trilift.lifting.views import normalised_joints
from trilift.params import StrictModel, load, load_dataset
from trilift.skeletons import TRAINING_SKELETON
from trilift.splits import Split

log = logging.getLogger(__name__)

THRESHOLD, THRESHOLDS = 0.150, 30
"""Metres, and how many steps lead there: the PCK and AUC of MPI-INF-3DHP."""

_POSES = "poses"  # counted like a measure


class Settings(StrictModel):
    """The section ``evaluate`` of ``params.yaml``.

    Attributes
    ----------
    protocol
        Which joints count: a key of `trilift.evaluation.protocols.PROTOCOLS`.
    """

    protocol: Literal["human36m", "human36m_17", "mpi_inf_3dhp", "humaneva"] = "human36m"


def run(layout: Layout, device: torch.device) -> None:
    """Predict every test frame from every view alone, and compare.

    With a reference: errors of root-relative poses, and the MPJPE of absolute ones, which this view alone places by
    their size. In any case the error in pixels when a prediction is reprojected into the other views. The mean
    training pose and the pseudo-label stand beside the lifter.
    """
    settings = load(layout.params, "evaluate", Settings)
    split = load_dataset(layout.dataset_file, "split", Split)
    lifter = Lifter.load(layout.results).to(device)
    torch.set_num_threads(lifter.facts["settings"]["threads"])  # the last bits depend on it
    evaluations = []
    with (
        captures.read(layout.captures, "captures") as detections,
        captures.read(layout.pseudo_labels, "pseudo_labels") as labels,
        captures.read(layout.references, "references") as references,
        captures.create(layout.results / "predictions.nc", "predictions", dataset=layout.dataset) as file,
    ):
        splits.check_names(detections, split, str(layout.dataset_file))
        captures.check_same_recordings(layout.pseudo_labels, detections, labels)
        captures.check_same_recordings(layout.references, references, detections)
        chosen = {
            name: splits.frames_to_test(capture, split, references.get(name)) for name, capture in detections.items()
        }
        total = sum(int(frames.sum()) for frames in chosen.values())
        conditions = _Conditions(has_reference=bool(references))
        _check_joints(references, PROTOCOLS[settings.protocol], layout)
        if not total:
            raise InputError(f"{layout.dataset_file}, section split: leaves no frame for testing")
        with tqdm(total=total, unit="frame", unit_scale=True, desc="evaluate", disable=None) as progress:
            for name, capture in detections.items():
                if chosen[name].any():
                    written = file.add_capture(
                        name,
                        recordings=captures.recordings(capture),
                        skeleton=TRAINING_SKELETON,
                        views=capture["view"].values.tolist(),
                        frames=int(chosen[name].sum()),
                    )
                    evaluation = _CaptureEvaluation(
                        name, capture, labels[name], references.get(name), lifter, device, conditions
                    )
                    evaluation.run(chosen[name], written, progress)
                    evaluations.append(evaluation)
        facts: dict[str, Any] = {
            "detections_from": next(iter(detections.values())).attrs["detections_from"],
            "simulated": next(iter(detections.values())).attrs["simulated"] == "yes",
            "seen_in_training": splits.seen_in_training(detections, split),
            "test_frames": total,
            "test_poses": sum(evaluation.poses for evaluation in evaluations),
            "test_poses_without_prediction": sum(
                evaluation.poses - evaluation.predicted for evaluation in evaluations
            ),
        }
    errors = pd.concat([evaluation.errors.table() for evaluation in evaluations], ignore_index=True)
    _write_results(layout, errors, conditions, settings, facts)


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


class _Conditions:
    """Errors of joints by how sure the detector was, by the side a person is seen from, and how they are spread."""

    def __init__(self, has_reference: bool):
        self.by_confidence = Bins(np.linspace(0, 1, 11))
        self.by_angle = Bins(np.arange(0, 181, 15))
        self.distribution = Distribution(np.arange(0, 501, 5) if has_reference else np.arange(0, 100.5, 0.5))


class _CaptureEvaluation:
    """The evaluation of one capture, block by block."""

    def __init__(
        self,
        name: str,
        capture: xr.Dataset,
        labels: xr.Dataset,
        reference: xr.Dataset | None,
        lifter: Lifter,
        device: torch.device,
        conditions: _Conditions,
    ):
        self.capture, self.labels, self.reference = capture, labels, reference
        self.lifter, self.device, self.conditions = lifter, device, conditions
        self.cameras = Cameras.from_arrays(capture).to(device)
        self.mapping = skeletons.mapping(skeletons.get(capture.attrs["skeleton"]), lifter.skeleton)
        self.recordings = captures.recordings(capture)
        self.poses = self.predicted = self.recording = 0
        self.before: Tensor | None = None
        self.has_confidence = capture.attrs["confidence_source"] != "none"
        self.errors = Errors(name, self.recordings, capture["view"].values.tolist(), lifter.skeleton.keypoints)

    def run(self, chosen: np.ndarray, written: captures.CaptureWriter, progress: tqdm) -> None:
        done = 0
        for number, recording in enumerate(self.recordings):
            own = recording.first_frame + np.flatnonzero(chosen[recording.frames])  # follow each other
            self.recording, self.before = number, None
            for block in captures.blocks(len(own)):
                frames = slice(int(own[block.start]), int(own[block.stop - 1]) + 1)
                predicted, root, error = self._evaluate_block(frames, slice(int(own[0]), int(own[-1]) + 1))
                length = frames.stop - frames.start
                written.write_block(
                    slice(done, done + length),
                    joints_3d=predicted.cpu().numpy(),
                    root=root.cpu().numpy(),
                    pose_error=error.cpu().numpy(),
                    frame_of_capture=np.arange(frames.start, frames.stop),
                )
                done += length
                progress.update(length)

    def _evaluate_block(self, frames: slice, recorded: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate some frames; a temporal lifter sees more around them, as far as they are `recorded`.

        Returns the poses (frame, view, joint, 3) and where their roots are (frame, view, 3), in the views, and the
        error of each pose (frame, view).
        """
        around = self.lifter.network_settings.frames // 2
        seen = slice(max(recorded.start, frames.start - around), min(recorded.stop, frames.stop + around))
        core = slice(frames.start - seen.start, frames.stop - seen.start)
        pixels, confidence = captures.load_frames(self.capture, seen, "keypoints_2d", "confidence")
        points, scores = normalised_joints(
            self._tensor(pixels).double(), self._tensor(confidence), self.cameras, self.mapping
        )
        predicted = self.lifter.predict(points, scores)[core]  # (F, V, J, 3)
        root = place(predicted, points[core], scores[core])  # (F, V, 3)
        self.poses += predicted.shape[:2].numel()
        self.predicted += int(predicted[..., 0, 0].isfinite().sum())
        (labels,) = captures.load_frames(self.labels, frames, "joints_3d")
        labels_world = self._tensor(labels)
        # Only on poses that the lifter could predict, as for the mean pose. Joints without a label stay out of
        # the label's own mean, so that with few views it is one over easier joints.
        known = predicted.isfinite()
        poses = {
            "": predicted,
            "mean_pose_": torch.where(known, self.lifter.mean_pose, torch.nan),
            "pseudo_label_": torch.where(known, self._root_relative_in_views(labels_world), torch.nan),
        }
        detected = self._tensor(self.mapping.apply(pixels[core]))
        labelled_root = labels_world[:, self.lifter.skeleton.root_index]
        error = torch.full_like(predicted[..., 0], torch.nan)
        # Costly, and with a reference of use for the lifter only.
        for source, own in poses.items() if self.reference is None else [("", predicted)]:
            of_source = other_views_error(own, labelled_root, self.cameras, detected)
            self._add(f"{source}other_views_reprojection_px", of_source)
            error = of_source if source == "" else error
            if self.reference is None:
                self.conditions.distribution.add(_name(source), self._without_root(of_source))
        if self.reference is not None:
            error = self._compare_with_reference(frames, poses, root)
        if self.has_confidence:
            sure = self._without_root(torch.where(scores[core] > 0, scores[core], torch.nan))
            self.conditions.by_confidence.add(sure, self._without_root(error))
        of_pose = self._without_root(error).nanmean(-1)
        angle = angle_seen_from(poses["pseudo_label_"].double(), root.double(), self.lifter.skeleton)
        self.conditions.by_angle.add(angle, of_pose)
        self._add(_POSES, torch.where(known.all(-1).any(-1), 1.0, torch.nan))
        return predicted, root, of_pose

    def _compare_with_reference(self, frames: slice, poses: dict[str, Tensor], root: Tensor) -> Tensor:
        """Add all errors that need a reference; returns those of the lifter's joints, in millimetres."""
        assert self.reference is not None
        skeleton = self.lifter.skeleton
        (reference,) = captures.load_frames(self.reference, frames, "keypoints_3d")
        mapping = skeletons.mapping(skeletons.get(self.reference.attrs["skeleton"]), skeleton)
        world = self._tensor(mapping.apply(reference))
        truth = self._root_relative_in_views(world)
        in_camera = world_to_camera(self.cameras, world.double())
        errors = {source: joint_error(own, truth) for source, own in poses.items()}
        for source, own in poses.items():
            self._add(f"{source}mpjpe_mm", 1e3 * errors[source])
            self._add(f"{source}pa_mpjpe_mm", 1e3 * aligned_joint_error(own, truth))
            self._add(f"{source}n_mpjpe_mm", 1e3 * scaled_joint_error(own, truth))
            self._add(f"{source}pck_150mm_percent", correct(errors[source], THRESHOLD))
            self._add(f"{source}auc_150mm_percent", area_under_curve(errors[source], THRESHOLD, THRESHOLDS))
            self.conditions.distribution.add(_name(source), 1e3 * self._without_root(errors[source]))
        predicted = poses[""]
        self._add("absolute_mpjpe_mm", 1e3 * joint_error(predicted + root.unsqueeze(-2), in_camera))
        self._add("correct_poses_150mm_percent", correct_poses(errors[""], THRESHOLD))
        self._add("bone_length_error_mm", 1e3 * bone_length_error(predicted, truth, skeleton.bone_indices))
        # The two frames before a block belong to its first movements.
        pair = torch.stack([predicted, truth])
        whole = pair if self.before is None else torch.cat([self.before, pair], 1)
        new = pair.shape[1]
        self._add("mpjve_mm_per_frame", 1e3 * velocity_error(whole[0], whole[1])[-new:])
        fps = self.recordings[self.recording].fps
        self._add("acceleration_error_m_per_s2", acceleration_error(whole[0], whole[1], fps)[-new:])
        self.before = whole[:, -2:]
        return 1e3 * errors[""]

    def _add(self, measure: str, errors: Tensor) -> None:
        self.errors.add(measure, self.recording, errors)

    def _without_root(self, errors: Tensor) -> Tensor:
        """Leave out the root's error, which is 0."""
        root = self.lifter.skeleton.root_index
        return torch.cat([errors[..., :root], errors[..., root + 1 :]], -1)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, device=self.device)

    def _root_relative_in_views(self, world: Tensor) -> Tensor:
        """Turn world poses (frame, joint, 3) into every view's frame, root at 0: (frame, view, joint, 3)."""
        relative = world - world[:, self.lifter.skeleton.root_index, None]
        return relative.unsqueeze(1) @ self.cameras.R.to(world.dtype).mT


def _name(source: str) -> str:
    return source.removesuffix("_") or "lifter"


def _write_results(
    layout: Layout, errors: pd.DataFrame, conditions: _Conditions, settings: Settings, facts: dict[str, Any]
) -> None:
    protocol = PROTOCOLS[settings.protocol]
    poses, errors = errors[errors["measure"] == _POSES], errors[errors["measure"] != _POSES]
    counted = of_protocol(errors, protocol)
    metrics = overall(counted)
    has_reference = "mpjpe_mm" in metrics
    main = "mpjpe_mm" if has_reference else "other_views_reprojection_px"
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
        ("by_confidence", conditions.by_confidence.table("joints")),
        ("by_angle", conditions.by_angle.table("poses")),
        ("distribution", conditions.distribution.table()),
    ):
        _write(layout.results / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    # Its test people, cameras and references, and nothing simulated: the published numbers may stand beside ours.
    is_human36m = (
        has_reference
        and not facts["simulated"]
        and settings.protocol == "human36m"
        and set(errors["capture"]) == {"S9", "S11"}
        and set(errors["view"]) == {camera.name for camera in human36m.read_cameras()["S9"]}
    )
    _write_for_paper(layout, metrics, protocol, is_human36m, facts)
    rounded = {name: round(value, 4) if np.isfinite(value) else None for name, value in metrics.items()}
    facts = facts | {"protocol": settings.protocol}
    _write(layout.results / "metrics.json", json.dumps(rounded | facts, indent=2) + "\n")
    log.info("per action\n%s", actions.to_string(float_format="%.1f"))
    log.info("overall\n%s", pd.Series(rounded | facts).to_string())


def _write_for_paper(
    layout: Layout, metrics: dict[str, float], protocol: Protocol, is_human36m: bool, facts: dict[str, Any]
) -> None:
    """Write the main table as Markdown and LaTeX, with what its numbers are means of."""
    table = main_table(metrics, is_human36m)
    note = f"Data set {layout.dataset}{' (SIMULATED)' if facts['simulated'] else ''}; detections: "
    note += f"{facts['detections_from']}; {facts['test_poses']} poses, each from one view; {protocol.about}"
    note += "; the person was seen in training." if facts["seen_in_training"] else "."
    _write(layout.results / "table.md", to_markdown(table, note))
    _write(layout.results / "table.tex", to_latex(table, note))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")

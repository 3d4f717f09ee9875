"""evaluate: a lifter and the test frames -> predictions, metrics and tables."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from trilift import captures, skeletons, splits
from trilift.errors import InputError
from trilift.evaluation.metrics import aligned_joint_error, joint_error, other_views_error
from trilift.evaluation.tables import ErrorTable
from trilift.files import replacing
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.layout import Layout
from trilift.lifting.lifter import Lifter
from trilift.lifting.placement import place
from trilift.lifting.views import normalised_joints
from trilift.params import StrictModel, load, load_dataset
from trilift.skeletons import TRAINING_SKELETON
from trilift.splits import Split

log = logging.getLogger(__name__)


class Settings(StrictModel):
    """The section ``evaluate`` of ``params.yaml``: no settings yet."""


def run(layout: Layout, device: torch.device) -> None:
    """Predict every test frame from every view alone, and compare.

    With a reference: MPJPE and PA-MPJPE of root-relative poses, and the MPJPE of absolute ones, which this view alone
    places by their size. In any case the error in pixels when a prediction is reprojected into the
    other views. The mean training pose stands beside the lifter in all of them.
    """
    load(layout.params, "evaluate", Settings)
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
                    evaluation = _CaptureEvaluation(capture, labels[name], references.get(name), lifter, device)
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
    actions = [recording.action for evaluation in evaluations for recording in evaluation.recordings]
    _write_results(layout, [evaluation.table for evaluation in evaluations], actions, facts)


class _CaptureEvaluation:
    """The evaluation of one capture, block by block."""

    def __init__(
        self,
        capture: xr.Dataset,
        labels: xr.Dataset,
        reference: xr.Dataset | None,
        lifter: Lifter,
        device: torch.device,
    ):
        self.capture, self.labels, self.reference = capture, labels, reference
        self.lifter, self.device = lifter, device
        self.cameras = Cameras.from_arrays(capture).to(device)
        self.mapping = skeletons.mapping(skeletons.get(capture.attrs["skeleton"]), lifter.skeleton)
        self.recordings = captures.recordings(capture)
        self.poses = self.predicted = 0
        self.table = ErrorTable([recording.name for recording in self.recordings], lifter.skeleton.keypoints)

    def run(self, chosen: np.ndarray, written: captures.CaptureWriter, progress: tqdm) -> None:
        done = 0
        for recording in self.recordings:
            own = recording.first_frame + np.flatnonzero(chosen[recording.frames])  # follow each other
            for block in captures.blocks(len(own)):
                frames = slice(int(own[block.start]), int(own[block.stop - 1]) + 1)
                predicted, root = self._evaluate_block(frames, slice(int(own[0]), int(own[-1]) + 1))
                number = frames.stop - frames.start
                written.write_block(
                    slice(done, done + number),
                    joints_3d=predicted.cpu().numpy(),
                    root=root.cpu().numpy(),
                    frame_of_capture=np.arange(frames.start, frames.stop),
                )
                done += number
                progress.update(number)

    def _evaluate_block(self, frames: slice, recorded: slice) -> tuple[Tensor, Tensor]:
        """Evaluate some frames; a temporal lifter sees more around them, as far as they are `recorded`.

        Returns the poses (frame, view, joint, 3) and where their roots are (frame, view, 3), in the views.
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
        pixels = pixels[core]
        self.poses += predicted.shape[:2].numel()
        self.predicted += int(predicted[..., 0, 0].isfinite().sum())
        mean_pose = torch.where(predicted.isfinite(), self.lifter.mean_pose, torch.nan)
        (recording,) = captures.load_frames(self.capture, frames, "recording_of_frame")
        (labels,) = captures.load_frames(self.labels, frames, "joints_3d")
        labels_world = self._tensor(labels)
        # Only on poses that the lifter could predict, as for the mean pose. Joints without a label stay out of
        # the label's own mean, so that with few views it is one over easier joints.
        triangulated = self._root_relative_in_views(labels_world)
        triangulated = torch.where(predicted.isfinite(), triangulated, torch.nan)

        if self.reference is not None:
            (reference,) = captures.load_frames(self.reference, frames, "keypoints_3d")
            mapping = skeletons.mapping(skeletons.get(self.reference.attrs["skeleton"]), self.lifter.skeleton)
            world = self._tensor(mapping.apply(reference))
            truth = self._root_relative_in_views(world)
            in_camera = world_to_camera(self.cameras, world.double())
            placed = predicted + root.unsqueeze(-2)
            self.table.add("absolute_mpjpe_mm", recording, 1000 * joint_error(placed, in_camera))
            for measure, poses in (
                ("", predicted),
                ("mean_pose_", mean_pose),
                ("pseudo_label_", triangulated),
            ):
                self.table.add(f"{measure}mpjpe_mm", recording, 1000 * joint_error(poses, truth))
                self.table.add(f"{measure}pa_mpjpe_mm", recording, 1000 * aligned_joint_error(poses, truth))

        detected = self._tensor(self.mapping.apply(pixels))
        labelled_root = labels_world[:, self.lifter.skeleton.root_index]
        for measure, poses in (
            ("", predicted),
            ("mean_pose_", mean_pose),
            ("pseudo_label_", triangulated),
        ):
            self.table.add(
                f"{measure}other_views_reprojection_px",
                recording,
                other_views_error(poses, labelled_root, self.cameras, detected),
            )
        return predicted, root

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, device=self.device)

    def _root_relative_in_views(self, world: Tensor) -> Tensor:
        """Turn world poses (frame, joint, 3) into every view's frame, root at 0: (frame, view, joint, 3)."""
        relative = world - world[:, self.lifter.skeleton.root_index, None]
        return relative.unsqueeze(1) @ self.cameras.R.to(world.dtype).mT


def _write_results(layout: Layout, tables: list[ErrorTable], actions: list[str], facts: dict[str, Any]) -> None:
    root = TRAINING_SKELETON.root_index
    joined = ErrorTable.join(tables)

    def made(make: Callable[[list[int]], Any]) -> Any:
        """Make a table. The root is at 0 in prediction and reference alike: it counts only after alignment."""
        table, with_root = make([root]), make([])
        for name in joined.measures:
            if "pa_mpjpe" in name:
                table[name] = with_root[name]
        return table

    metrics, per_recording = made(joined.overall), made(joined.per_recording)
    per_action = made(lambda left_out: joined.per_action(actions, left_out))
    per_recording = per_recording.dropna(how="all")
    folder = layout.results
    for name, table in (
        ("per_recording.csv", per_recording),
        ("per_action.csv", per_action),
        ("per_joint.csv", joined.per_joint()),
    ):
        with replacing(folder / name) as temporary:
            table.to_csv(temporary, float_format="%.4f")
    rounded = {name: round(value, 4) if np.isfinite(value) else None for name, value in metrics.items()}
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(rounded | facts, indent=2) + "\n", "utf-8")
    log.info("per action\n%s", per_action.to_string(float_format="%.1f"))
    log.info("overall\n%s", pd.Series(rounded | facts).to_string())

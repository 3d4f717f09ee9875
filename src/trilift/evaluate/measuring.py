"""All measures of some frames of predicted poses, collected in sums that can be added up."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trilift.evaluate.metrics import (
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
from trilift.evaluate.tables import Bins, Distribution, Errors
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.skeletons import Skeleton

THRESHOLD, THRESHOLDS = 0.150, 30
"""Metres, and how many steps lead there: the PCK and AUC of MPI-INF-3DHP."""

PREDICTED, MEASURED = "predicted_poses", "measured_poses"
"""Counted like measures: the poses that could be predicted, and those of them that could be compared."""

FRAMES_OF_MOVEMENT = 2
"""How many frames before one its acceleration needs."""


@dataclass(frozen=True)
class Frames:
    """Some frames of one recording, after prediction.

    Attributes
    ----------
    predicted
        (frame, view, joint, 3), metres, camera frame, root at 0; NaN where there is no prediction.
    root
        (frame, view, 3): where the root is, as placed by the view alone.
    confidence
        (frame, view, joint): the detector's confidence, 0 where missing; None if it gives none.
    pixels
        (frame, view, joint, 2), pixels; NaN where missing.
    labels
        (frame, joint, 3): pseudo-labels, world frame.
    reference
        (frame, joint, 3): world frame; None if there is none.
    lead
        How many of the frames, at the start, are there for the movements from them to the next only.
    fps
        Frames per second.
    """

    predicted: Tensor
    root: Tensor
    confidence: Tensor | None
    pixels: Tensor
    labels: Tensor
    reference: Tensor | None
    lead: int
    fps: float


class Conditions:
    """Errors of joints by how sure the detector was, by the side a person is seen from, and how they are spread.

    Parameters
    ----------
    unit
        ``mm``, where poses are compared with a reference, or ``px``, where only other views tell.
    """

    def __init__(self, unit: str):
        self.unit = unit
        self.by_confidence = Bins(np.linspace(0, 1, 11))
        self.by_angle = Bins(np.arange(0, 181, 15))
        self.distribution = Distribution(np.arange(0, 501, 5) if unit == "mm" else np.arange(0, 100.5, 0.5))

    @property
    def main(self) -> str:
        """The measure of joints that these errors are of."""
        return "mpjpe_mm" if self.unit == "mm" else "other_views_reprojection_px"

    def merge(self, other: "Conditions") -> None:
        self.by_confidence.merge(other.by_confidence)
        self.by_angle.merge(other.by_angle)
        self.distribution.merge(other.distribution)


class Measuring:
    """Measures poses that were predicted in the views of one rig.

    With a reference: errors of root-relative poses, and the MPJPE of absolute ones. In any case the error in pixels
    when a prediction is reprojected into the other views. The mean training pose and the pseudo-label stand beside
    the lifter, on the poses that it could predict.
    """

    def __init__(self, cameras: Cameras, skeleton: Skeleton, mean_pose: Tensor):
        self._cameras, self._skeleton, self._mean_pose = cameras, skeleton, mean_pose

    def measure(self, frames: Frames, errors: Errors, conditions: Conditions) -> Tensor:
        """Add the errors of some frames to the first recording of `errors`, and to `conditions`.

        Returns
        -------
        Tensor
            (frame, view): mean error of each pose but for the lead, in millimetres, without a reference in pixels.
        """
        now = slice(frames.lead, None)
        predicted, labels = frames.predicted[now], frames.labels[now]
        known = predicted.isfinite()
        # Joints without a label stay out of the label's own mean: with few views it is one over easier joints.
        of_labels = torch.where(known, self._in_views(labels), torch.nan)
        root = labels[:, self._skeleton.root_index]
        error = other_views_error(predicted, root, self._cameras, frames.pixels[now])
        errors.add("other_views_reprojection_px", 0, error)
        if frames.reference is not None:
            error = self._compare(frames, of_labels, errors, conditions)
        else:
            conditions.distribution.add("lifter", self._without_root(error))
            mean_poses = torch.where(known, self._mean_pose, torch.nan)
            # Costly, and with a reference of use for the lifter only.
            for source, poses in (("mean_pose", mean_poses), ("pseudo_label", of_labels)):
                of_source = other_views_error(poses, root, self._cameras, frames.pixels[now])
                errors.add(f"{source}_other_views_reprojection_px", 0, of_source)
                conditions.distribution.add(source, self._without_root(of_source))
        if frames.confidence is not None:
            confidence = frames.confidence[now]
            known_confidence = torch.where(confidence > 0, confidence, torch.nan)
            conditions.by_confidence.add(self._without_root(known_confidence), self._without_root(error))
        of_pose = self._without_root(error).nanmean(-1)
        angle = angle_seen_from(of_labels.double(), frames.root[now].double(), self._skeleton)
        conditions.by_angle.add(angle, of_pose)
        for measure, counts in ((PREDICTED, known.all(-1).any(-1)), (MEASURED, of_pose.isfinite())):
            errors.add(measure, 0, torch.where(counts, 1.0, torch.nan))
        return of_pose

    def _compare(self, frames: Frames, of_labels: Tensor, errors: Errors, conditions: Conditions) -> Tensor:
        """Add all errors that need a reference; returns those of the lifter's joints, in millimetres."""
        assert frames.reference is not None
        now, world = slice(frames.lead, None), frames.reference
        truth = self._in_views(world)
        movement = frames.predicted, truth
        predicted, truth = frames.predicted[now], truth[now]
        mean_poses = torch.where(predicted.isfinite(), self._mean_pose, torch.nan)
        of_joints = {"": joint_error(predicted, truth), "mean_pose_": joint_error(mean_poses, truth)}
        aligned = {"": aligned_joint_error(predicted, truth), "mean_pose_": aligned_joint_error(mean_poses, truth)}
        scaled = {"": scaled_joint_error(predicted, truth), "mean_pose_": scaled_joint_error(mean_poses, truth)}
        # No view changes how far a label is from the reference: the world will do for all.
        label, reference = self._root_relative(frames.labels[now]), self._root_relative(world[now])
        for of_source, error in (
            (of_joints, joint_error(label, reference)),
            (aligned, aligned_joint_error(label, reference)),
            (scaled, scaled_joint_error(label, reference)),
        ):
            of_source["pseudo_label_"] = torch.where(of_labels[..., 0].isfinite(), error.unsqueeze(1), torch.nan)
        for source, error in of_joints.items():
            errors.add(f"{source}mpjpe_mm", 0, 1e3 * error)
            errors.add(f"{source}pa_mpjpe_mm", 0, 1e3 * aligned[source])
            errors.add(f"{source}n_mpjpe_mm", 0, 1e3 * scaled[source])
            errors.add(f"{source}pck_150mm_percent", 0, correct(error, THRESHOLD))
            errors.add(f"{source}auc_150mm_percent", 0, area_under_curve(error, THRESHOLD, THRESHOLDS))
            conditions.distribution.add(source.removesuffix("_") or "lifter", 1e3 * self._without_root(error))
        in_camera = world_to_camera(self._cameras, world[now].double())
        placed = predicted + frames.root[now].unsqueeze(-2)
        errors.add("absolute_mpjpe_mm", 0, 1e3 * joint_error(placed, in_camera))
        errors.add("correct_poses_150mm_percent", 0, correct_poses(self._without_root(of_joints[""]), THRESHOLD))
        errors.add("bone_length_error_mm", 0, 1e3 * bone_length_error(predicted, truth, self._skeleton.bone_indices))
        # What starts in the lead belongs to the first frames after it.
        new = len(predicted)
        errors.add("mpjve_mm_per_frame", 0, 1e3 * velocity_error(*movement)[-new:])
        errors.add("acceleration_error_m_per_s2", 0, acceleration_error(*movement, frames.fps)[-new:])
        return 1e3 * of_joints[""]

    def _root_relative(self, world: Tensor) -> Tensor:
        return world - world[:, self._skeleton.root_index, None]

    def _in_views(self, world: Tensor) -> Tensor:
        """Turn world poses (frame, joint, 3) into every view's frame, root at 0: (frame, view, joint, 3)."""
        return self._root_relative(world).unsqueeze(1) @ self._cameras.R.to(world.dtype).mT

    def _without_root(self, errors: Tensor) -> Tensor:
        """Leave out the root's error, which is 0."""
        root = self._skeleton.root_index
        return torch.cat([errors[..., :root], errors[..., root + 1 :]], -1)

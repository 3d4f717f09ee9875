"""Errors of predicted poses, per joint. Missing joints stay NaN: they are left out of means, never counted as 0."""

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, camera_to_world, project
from trilift.geometry.similarity import similarity
from trilift.skeletons import Skeleton


def joint_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of each joint from the reference: (..., joint, 3) twice to (..., joint), in their unit.

    The mean over the joints of root-relative poses is the MPJPE (protocol 1).
    """
    return (predicted - reference).norm(dim=-1)


def aligned_joint_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of each joint after the best similarity alignment of the pose (no reflection).

    The mean over the joints is the PA-MPJPE (protocol 2). NaN where fewer than three joints are known: any two
    points can be aligned with any two others.
    """
    error = joint_error(similarity(predicted, reference).place(predicted), reference)
    return torch.where(error.isfinite().sum(-1, keepdim=True) >= 3, error, torch.nan)


def other_views_error(poses: Tensor, roots: Tensor, cameras: Cameras, pixels: Tensor) -> Tensor:
    """Reproject poses predicted from one view into all *other* views and compare with what was detected there.

    It tells whether poses agree with views that they were not predicted from. It is no accuracy: it contains the
    error of the detector, and it cannot see errors along the other views' rays.

    Parameters
    ----------
    poses
        (frame, view, joint, 3), metres, in the frame of the view that each was predicted from, root at 0.
    roots
        (frame, 3), metres, world frame: where the root is, from the pseudo-label.
    cameras
        The cameras of the views.
    pixels
        (frame, view, joint, 2), pixels; NaN where missing.

    Returns
    -------
    Tensor
        (frame, view predicted from, joint), pixels: mean over the other views that have the joint.
    """
    frames, views, joints, _ = poses.shape
    in_camera = poses.double() + (roots.double() @ cameras.R.mT + cameras.t[:, None]).movedim(0, 1).unsqueeze(2)
    world = camera_to_world(cameras, in_camera)
    projected = project(cameras, world.reshape(frames, views * joints, 3))  # (F, into view, from view * joint, 2)
    projected = projected.reshape(frames, views, views, joints, 2)
    error = (projected - pixels.double().unsqueeze(2)).norm(dim=-1)  # (F, into, from, J)
    itself = torch.eye(views, dtype=torch.bool, device=error.device)[:, :, None]
    return error.masked_fill(itself | ~error.isfinite(), torch.nan).nanmean(1)


def scaled_joint_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of each joint after the best scaling of the root-relative pose: (..., joint).

    The mean over the joints is the N-MPJPE (Rhodin et al., CVPR 2018): the scale minimises the squared distances.
    """
    known = (predicted + reference).sum(-1, keepdim=True).isfinite()
    p, r = torch.where(known, predicted, 0.0), torch.where(known, reference, 0.0)
    scale = (p * r).sum((-1, -2)) / p.square().sum((-1, -2)).clamp(min=torch.finfo(p.dtype).tiny)
    return joint_error(scale[..., None, None] * predicted, reference)


def velocity_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of the joints' movements from one frame to the next, along the first axis: one frame fewer.

    The mean over the joints of root-relative poses is the MPJVE (Pavllo et al., CVPR 2019), in metres per frame.
    """
    return joint_error(predicted.diff(dim=0), reference.diff(dim=0))


def acceleration_error(predicted: Tensor, reference: Tensor, fps: float) -> Tensor:
    """Distance of the joints' accelerations (second differences along the first axis): two frames fewer, m/s^2."""
    return joint_error(predicted.diff(n=2, dim=0), reference.diff(n=2, dim=0)) * fps**2


def bone_length_error(predicted: Tensor, reference: Tensor, bones: tuple[tuple[int, int], ...]) -> Tensor:
    """Absolute difference of bone lengths, each at the place of the joint at its end: (..., joint), NaN elsewhere."""
    parent, child = torch.tensor(bones, device=predicted.device).T

    def lengths(poses: Tensor) -> Tensor:
        return (poses.index_select(-2, parent) - poses.index_select(-2, child)).norm(dim=-1)

    error = torch.full_like(predicted[..., 0], torch.nan)
    return error.index_copy(-1, child, (lengths(predicted) - lengths(reference)).abs())


def correct(error: Tensor, threshold: float) -> Tensor:
    """100 where a joint's error is at most a threshold, else 0; NaN where it is not known. The mean is the PCK."""
    return torch.where(error.isfinite(), 100.0 * (error <= threshold), torch.nan)


def area_under_curve(error: Tensor, largest: float, steps: int) -> Tensor:
    """Share (percent) of thresholds 0, largest / steps, ..., largest that a joint's error keeps: its mean is the AUC.

    With 150 mm and 30 steps that is the convention of MPI-INF-3DHP (Mehta et al., 3DV 2017).
    """
    kept = steps - (error / (largest / steps)).ceil().clamp(min=0) + 1
    return torch.where(error.isfinite(), 100.0 * kept.clamp(min=0) / (steps + 1), torch.nan)


def correct_poses(error: Tensor, threshold: float) -> Tensor:
    """100 where all known joints (last axis) of a pose are within a threshold, else 0; NaN where none is known."""
    known = error.isfinite()
    every = torch.where(known, error <= threshold, True).all(-1)
    return torch.where(known.any(-1), 100.0 * every, torch.nan)


def angle_seen_from(poses: Tensor, root: Tensor, skeleton: Skeleton) -> Tensor:
    """Angle between where a person faces and the camera, in degrees: 0 is seen from the front, 180 from behind.

    Parameters
    ----------
    poses
        (..., joint, 3) in the camera's frame, root at 0.
    root
        (..., 3): where the root is.
    skeleton
        Has hips and a thorax.
    """
    left, right, up = (poses[..., skeleton.index(name), :] for name in ("left_hip", "right_hip", "thorax"))
    forward = torch.linalg.cross(left - right, up)
    cosine = -(forward * root).sum(-1) / (forward.norm(dim=-1) * root.norm(dim=-1))
    return cosine.clamp(-1, 1).acos().rad2deg()

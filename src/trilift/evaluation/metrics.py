"""Errors of predicted poses, per joint. Missing joints stay NaN: they are left out of means, never counted as 0."""

import torch
from torch import Tensor

from trilift.geometry.alignment import align
from trilift.geometry.cameras import Cameras, camera_to_world, project


def joint_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of each joint from the reference: (..., joint, 3) twice to (..., joint), in their unit.

    The mean over the joints of root-relative poses is the MPJPE (protocol 1).
    """
    return (predicted - reference).norm(dim=-1)


def aligned_joint_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Distance of each joint after the best similarity alignment of the pose (no reflection).

    The mean over the joints is the PA-MPJPE (protocol 2).
    """
    return joint_error(align(predicted, reference), reference)


def other_views_error(poses: Tensor, roots: Tensor, cameras: Cameras, detected: Tensor) -> Tensor:
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
    detected
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
    error = (projected - detected.double().unsqueeze(2)).norm(dim=-1)  # (F, into, from, J)
    itself = torch.eye(views, dtype=torch.bool, device=error.device)[:, :, None]
    return error.masked_fill(itself, torch.nan).nanmean(1)

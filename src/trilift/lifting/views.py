"""Detections as lifters see them: undistorted, normalised by K, in the training skeleton."""

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, to_normalised
from trilift.skeletons import Mapping


def normalised_joints(
    pixels: Tensor, confidence: Tensor, cameras: Cameras, mapping: Mapping
) -> tuple[Tensor, Tensor]:
    """Undistort detections and map them onto the training skeleton.

    Parameters
    ----------
    pixels
        (frame, view, keypoint, 2); NaN where missing.
    confidence
        (frame, view, keypoint).
    cameras
        The cameras.
    mapping
        From the detector's skeleton to the training skeleton.

    Returns
    -------
    points : Tensor
        (frame, view, joint, 2), at depth 1; NaN where missing.
    confidence : Tensor
        (frame, view, joint); 0 where missing.
    """
    points = to_normalised(cameras, pixels)
    joints = torch.as_tensor(mapping.apply(points.cpu().numpy()), device=pixels.device)
    mapped = torch.as_tensor(mapping.apply_to_confidence(confidence.cpu().numpy()), device=pixels.device)
    return joints, torch.where(joints.isfinite().all(-1), mapped, 0.0)

"""What a lifter sees of a view: coordinates that do not depend on the camera's intrinsics."""

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, to_rays
from trilift.skeletons import Mapping, Skeleton


def without_root(values: Tensor, skeleton: Skeleton, axis: int = -1) -> Tensor:
    """Leave the root out of an axis of joints."""
    root = skeleton.root_index
    before, after = values.narrow(axis, 0, root), values.narrow(axis, root + 1, len(skeleton) - root - 1)
    return torch.cat([before, after], axis)


def root_relative(values: Tensor, skeleton: Skeleton) -> Tensor:
    """Subtract the root and leave it out: (..., joint, space) to (..., joint - 1, space)."""
    root = skeleton.root_index
    return without_root(values - values[..., root : root + 1, :], skeleton, axis=-2)


def insert_root(relative: Tensor, skeleton: Skeleton) -> Tensor:
    """Put the root back, at 0: (..., joint - 1, space) to (..., joint, space)."""
    root = skeleton.root_index
    zero = torch.zeros_like(relative[..., :1, :])
    return torch.cat([relative[..., :root, :], zero, relative[..., root:, :]], -2)


def features(rays: Tensor, confidence: Tensor, skeleton: Skeleton) -> Tensor:
    """Form the input of a lifter, not yet scaled.

    Parameters
    ----------
    rays
        (..., joint, 2), undistorted, at depth 1; NaN where missing.
    confidence
        (..., joint), 0 where missing.
    skeleton
        Names the joints and the root.

    Returns
    -------
    Tensor
        (..., 3 joint): root-relative coordinates of all joints but the root, the root's own ray, and all
        confidences. Coordinates of missing joints are NaN; without the root all coordinates are.
    """
    relative = root_relative(rays, skeleton).flatten(-2)
    return torch.cat([relative, rays[..., skeleton.root_index, :], confidence], -1)


def feature_scaling(raw: Tensor, coordinates: int) -> tuple[Tensor, Tensor]:
    """Mean and spread of each input over rows (row, feature); confidences (after `coordinates`) stay as they are.

    All root-relative coordinates share one spread, so that the body keeps its proportions. What is missing in all
    rows has the mean 0 and the spread 1.
    """
    mean, spread = torch.zeros(raw.shape[1], dtype=raw.dtype), torch.ones(raw.shape[1], dtype=raw.dtype)
    if len(raw):
        mean[:coordinates] = raw[:, :coordinates].nanmean(0).nan_to_num().cpu()
        centred = raw[:, :coordinates].cpu() - mean[:coordinates]
        relative, ray = centred[:, :-2], centred[:, -2:]
        spread[: coordinates - 2] = relative.square().nanmean().sqrt()
        spread[coordinates - 2 : coordinates] = ray.square().nanmean().sqrt()
    return mean, spread.nan_to_num(1.0).clamp(min=1e-6)


def scale(raw: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Scale inputs; what is missing becomes 0, the mean, and its confidence of 0 says so."""
    return ((raw - mean) / spread).nan_to_num(0.0)


def rays_of_joints(pixels: Tensor, confidence: Tensor, cameras: Cameras, mapping: Mapping) -> tuple[Tensor, Tensor]:
    """Undo the intrinsics and distortion of detections, and map them onto the training skeleton.

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
    rays : Tensor
        (frame, view, joint, 2) float64; NaN where missing.
    confidence : Tensor
        (frame, view, joint); 0 where missing.
    """
    rays = to_rays(cameras, pixels.double())
    rays = torch.as_tensor(mapping.apply(rays.cpu().numpy()), device=pixels.device)
    mapped = torch.as_tensor(mapping.apply_to_confidence(confidence.cpu().numpy()), device=pixels.device)
    return rays, torch.where(rays.isfinite().all(-1), mapped, 0.0)

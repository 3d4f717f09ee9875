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


def number_of_features(skeleton: Skeleton) -> int:
    """Tell how many numbers a lifter sees of a view and frame."""
    return number_of_coordinates(skeleton) + len(skeleton)


def number_of_coordinates(skeleton: Skeleton) -> int:
    """Tell how many of them are no confidences: two for each joint, the root's ray among them, and the size."""
    return 2 * len(skeleton) + 1


def features(rays: Tensor, confidence: Tensor, skeleton: Skeleton) -> Tensor:
    """Form the input of a lifter, not yet scaled.

    The size of a person in the image says how far away they are, and little of their pose: it is taken out of the
    coordinates, and stands beside them.

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
        (..., 3 joint + 1): root-relative coordinates of all joints but the root, over their mean distance from it;
        the logarithm of this distance; the root's own ray; and all confidences. Coordinates of missing joints are
        NaN; without the root, or with nothing else, all but its ray are.
    """
    relative = root_relative(rays, skeleton)
    distance = relative.norm(dim=-1)  # (..., joint - 1)
    known = distance.isfinite()
    size = torch.where(known, distance, 0.0).sum(-1, keepdim=True) / known.sum(-1, keepdim=True)
    size = torch.where(size > 0, size, torch.nan)
    relative = (relative / size[..., None]).flatten(-2)
    return torch.cat([relative, size.log(), rays[..., skeleton.root_index, :], confidence], -1)


def _parts(skeleton: Skeleton) -> tuple[slice, slice, slice]:
    """Tell where among features a pose's coordinates lie, the size's logarithm, and the root's ray."""
    end = number_of_coordinates(skeleton)
    return slice(end - 3), slice(end - 3, end - 2), slice(end - 2, end)


def appearance(of_features: Tensor, skeleton: Skeleton) -> Tensor:
    """Take from features (..., feature) what tells of camera and place: the size's logarithm and the root's ray."""
    _, size, ray = _parts(skeleton)
    return of_features[..., size.start : ray.stop]


def feature_scaling(raw: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Mean and spread of each input over rows (row, feature); confidences stay as they are.

    All root-relative coordinates share one spread, so that the body keeps its proportions. What is missing in all
    rows has the mean 0 and the spread 1.
    """
    coordinates = number_of_coordinates(skeleton)
    mean, spread = torch.zeros(raw.shape[1], dtype=raw.dtype), torch.ones(raw.shape[1], dtype=raw.dtype)
    if len(raw):
        mean[:coordinates] = raw[:, :coordinates].nanmean(0).nan_to_num().cpu()
        centred = raw[:, :coordinates].cpu() - mean[:coordinates]
        for part in _parts(skeleton):
            spread[part] = centred[:, part].square().nanmean().sqrt()
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

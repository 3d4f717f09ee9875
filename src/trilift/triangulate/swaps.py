"""Frames in which a detector took left for right."""

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, project
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.triangulation import Solution, t_cost

_GAIN_OF_SWAP = 10.0  # nats


_FEWEST_PAIRED = 4


def find_swaps(
    cameras: Cameras, pixels: Tensor, scale: Tensor, solution: Solution, mirrored: tuple[int, ...]
) -> Tensor:
    """Find the views in which the detector took left for right.

    Parameters
    ----------
    cameras
        The cameras.
    pixels, scale
        (frame, view, keypoint, 2) and (frame, view, keypoint), pixels.
    solution
        Of `trilift.geometry.triangulation.triangulate_robust`, which the other views outvote a swapped one in.
    mirrored
        For each keypoint the index of its mirror image.

    Returns
    -------
    Tensor
        (frame, view) bool: with left and right exchanged, the detections of this view are far likelier.
    """
    mirror = torch.tensor(mirrored, device=pixels.device)
    paired = mirror != torch.arange(len(mirror), device=pixels.device)
    swapped = torch.zeros(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
    rejected = (solution.error.isfinite() & ~solution.inlier)[:, :, paired].sum(-1)
    frames = (rejected >= _FEWEST_PAIRED / 2).any(1).nonzero()[:, 0]
    if not len(frames):
        return swapped
    seen, size = pixels[frames], scale[frames]
    projected = project(cameras, solution.poses[frames]).to(pixels.dtype)

    def cost(seen: Tensor, size: Tensor) -> Tensor:
        squared = ((projected - seen) / size[..., None]).square().sum(-1)
        return t_cost(squared) * (DEGREES_OF_FREEDOM + 2) / 2

    gain = cost(seen, size) - cost(seen[:, :, mirror], size[:, :, mirror])
    counts = gain.isfinite() & size.isfinite() & size[:, :, mirror].isfinite() & paired
    gain = torch.where(counts, gain, 0.0).sum(-1)
    swapped[frames] = (gain > _GAIN_OF_SWAP) & (counts.sum(-1) >= _FEWEST_PAIRED)
    return swapped


def exchange(values: Tensor, swapped: Tensor, mirrored: tuple[int, ...]) -> Tensor:
    """Exchange left and right in values (frame, view, keypoint, ...) where `swapped` (frame, view) says so."""
    chosen = swapped.reshape(*swapped.shape, *[1] * (values.ndim - 2))
    return torch.where(chosen, values[:, :, list(mirrored)], values)

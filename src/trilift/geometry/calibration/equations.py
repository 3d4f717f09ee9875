"""What an adjustment compares, linearised: detections with cameras, clocks and points; bones with their lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.derivatives import FOCAL, linearise
from trilift.geometry.triangulation import t_weight

POSE, TIME = slice(0, 6), 7
"""Parameters of a camera: those of `trilift.geometry.rig.derivatives`, and by how many frames it is late."""

BONE_M = 0.02
"""By how much the length of a bone between two keypoints varies (m): detectors place these not on joints. Bones help
where people hardly move; in simulated minutes of somebody who walks 0.015, 0.03 and no bones came out alike."""

_TAIL_OF_BONES = 4.0  # squared: a swap of left and right is no bone of another length
_NEAREST = 1e-2  # m: points that are not before a camera tell nothing


class Observations(NamedTuple):
    """Detections of some frames.

    Attributes
    ----------
    pixels
        (frame, view, keypoint, 2), as detected; finite where the scale is.
    velocity
        (frame, view, keypoint, 2): px per frame, by which a late clock moves them; 0 where not known.
    scale
        (frame, view, keypoint), px; infinite where there is no detection.
    """

    pixels: Tensor
    velocity: Tensor
    scale: Tensor

    def part(self, frames: slice) -> "Observations":
        return Observations(*(values[frames] for values in self))


@dataclass(frozen=True)
class Estimate:
    """What is sought.

    Attributes
    ----------
    cameras
        All of them.
    late
        (view,), frames, beyond what the observations were moved by.
    points
        (frame, keypoint, 3); NaN where fewer than two views see it.
    lengths
        (bone,): logarithms.
    """

    cameras: Cameras
    late: Tensor
    points: Tensor
    lengths: Tensor


class Free(NamedTuple):
    """Which parameters of the cameras are sought: (view, 8) -> column, -1 where it is held; and how many columns."""

    columns: Tensor
    number: int

    @classmethod
    def of(cls, focal_groups: Sequence[int], clocks: bool, views: Sequence[int]) -> "Free":
        """Free the poses of some views, their focal lengths by group, and their clocks but that of the first view."""
        columns = torch.full((len(focal_groups), 8), -1)
        number = 0
        groups: dict[int, int] = {}
        for view in sorted(views):
            columns[view, POSE] = torch.arange(number, number + 6)
            number += 6
            group = focal_groups[view]
            if group >= 0:
                if group not in groups:
                    groups[group], number = number, number + 1
                columns[view, FOCAL] = groups[group]
            if clocks and view != min(views):
                columns[view, TIME], number = number, number + 1
        return cls(columns, number)

    @property
    def parameters(self) -> list[int]:
        """Numbers of the parameters that are sought of any view."""
        return (self.columns >= 0).any(0).nonzero()[:, 0].tolist()

    def spread(self, step: Tensor) -> Tensor:
        """Give the parameters (view, 8) that columns (column,) stand for; 0 where held."""
        return torch.where(self.columns >= 0, step[self.columns], 0.0)

    @property
    def selection(self) -> Tensor:
        """(view * parameters, columns): of zeros and ones."""
        flat = self.columns[:, self.parameters].flatten()
        chosen = torch.zeros(len(flat), self.number, dtype=torch.float64)
        chosen[flat >= 0, flat[flat >= 0]] = 1
        return chosen


class Linearised(NamedTuple):
    """Detections of some frames at an estimate; 0 where they do not count.

    Attributes
    ----------
    residual, weight, squared
        (frame, view, keypoint, 2), px, and (frame, view, keypoint): weights (1/px^2), squares over squared scales.
    counts
        (frame, view, keypoint) bool.
    by_camera, by_point
        (frame, view, keypoint, 2, parameter) and (..., 2, 3): derivatives, by those parameters that are sought.
    """

    residual: Tensor
    weight: Tensor
    squared: Tensor
    counts: Tensor
    by_camera: Tensor
    by_point: Tensor


def linearised(seen: Observations, estimate: Estimate, points: Tensor, known: Tensor, free: Free) -> Linearised:
    """Compare detections of some frames with their points (frame, keypoint, 3), as far as these are known."""
    pixels, by_camera, by_point, depth = linearise(estimate.cameras, points)
    residual = seen.pixels + seen.velocity * estimate.late[:, None, None] - pixels
    counts = seen.scale.isfinite() & known[:, None] & (depth > _NEAREST)
    squared = torch.where(counts, residual.square().sum(-1) / seen.scale.square(), 0.0)
    weight = torch.where(counts, t_weight(squared) / seen.scale.square(), 0.0)
    residual = torch.where(counts[..., None], residual, 0.0)
    by_camera = torch.cat([by_camera, -seen.velocity[..., None]], -1)[..., free.parameters]
    by_camera = torch.where(counts[..., None, None], by_camera, 0.0)
    by_point = torch.where(counts[..., None, None], by_point, 0.0)
    return Linearised(residual, weight, squared, counts, by_camera, by_point)


class Bones(NamedTuple):
    """Bones of some frames at an estimate.

    Attributes
    ----------
    weight, push
        (frame, bone): weights of their logarithms, and these times by how much they are too short.
    towards
        (frame, bone, 3): derivative of the logarithm by the parent, 1/m.
    costs
        (frame,).
    """

    weight: Tensor
    push: Tensor
    towards: Tensor
    costs: Tensor


def stretched(pairs: Tensor, lengths: Tensor, points: Tensor, known: Tensor) -> Bones:
    """Compare bones between pairs (bone, 2) of points, where both are known, with their lengths."""
    parent, child = pairs.T
    between = points[:, parent] - points[:, child]
    length = between.norm(dim=-1).clamp(min=1e-6)
    trust = (lengths.exp() / BONE_M).square()
    counts = known[:, parent] & known[:, child]
    residual = torch.where(counts, lengths - length.log(), 0.0)
    squared = residual.square() * trust
    weight = torch.where(counts, trust / (1 + squared / _TAIL_OF_BONES), 0.0)
    costs = torch.log1p(squared / _TAIL_OF_BONES).sum(1) * _TAIL_OF_BONES / 2
    return Bones(weight, weight * residual, between / length.square()[..., None], costs)

"""How well cameras are known that people calibrated: a covariance that holds where errors resemble each other."""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.calibration.adjust import Adjustment
from trilift.geometry.calibration.equations import POSE, TIME, Estimate
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.rig.derivatives import FOCAL, cross
from trilift.geometry.rig.refit import alike
from trilift.project import threads

_BEYOND_LINEAR, _BY_FOCAL_LENGTHS = 1.25, 1.15
"""Times the errors that linear theory gives, and again where focal lengths are sought: errors of detections bend the
cost, which it leaves out. Chosen on simulated rigs, so that about 95 % of the ellipsoids of 95 % hold the truth."""


class Certainty(NamedTuple):
    """Covariances of what was sought; 0 where it was held.

    Attributes
    ----------
    poses
        (view, 6, 6): of rotation (rad) and displacement (m) in the axes of each camera, that of the rig as a whole
        taken out.
    focal
        (view,): standard error of the logarithm of the focal length.
    late
        (view,): that of the clock, frames.
    points
        Root mean square of how far all this moves points, that of the rig as a whole taken out (m).
    """

    poses: Tensor
    focal: Tensor
    late: Tensor
    points: float


def certainty(adjustment: Adjustment, estimate: Estimate, stretch: Tensor, distance: float) -> Certainty:
    """Estimate covariances from how much what single stretches and keypoints say contradicts each other.

    Parameters
    ----------
    adjustment, estimate
        At its optimum.
    stretch
        (frame,): numbers from 0 on; errors of different ones are independent.
    distance
        From cameras to people, m: by so much an angle counts when the movement of the whole rig is taken out.

    Returns
    -------
    Certainty
        Of all views.

    Notes
    -----
    The sandwich of the robust estimate. Its gradients are those of the cost in which points follow the cameras; they
    may go together within a stretch of time. Besides, each view sees each keypoint beside its place from the first
    frame to the last, and near keypoints alike: detectors place joints by what clothes and bodies look like from
    there. How far, in metres at the person, the means of the residuals tell, less what chance leaves in them and more
    what the fit has taken out of them. The curvature is that of the weights of the iteration, times how much less the
    cost bends than these (Huber, Robust Statistics, section 7.6).
    """
    stretches = int(stretch.max()) + 1
    parts = threads.each(partial(_part, adjustment, estimate, stretch, stretches), adjustment.blocks())
    summed = _Part(*(torch.stack(values).sum(0) for values in zip(*parts, strict=True)))
    curvature, moved, scores, sensitivity, pushes, weights, bends = summed
    meat = scores.T @ scores * (stretches / max(stretches - 1, 1))
    meat += _of_bias(estimate, sensitivity, pushes, weights)
    moved /= estimate.points.isfinite().all(-1).sum()
    return _sandwich(adjustment, estimate.cameras, curvature, meat, moved, 1 - float(bends / weights.sum()), distance)


class _Part(NamedTuple):
    """What some frames add: P are the columns, S the stretches."""

    curvature: Tensor  # (P, P)
    moved: Tensor  # (P, P): squares of how far points follow
    scores: Tensor  # (S, P): gradients
    sensitivity: Tensor  # (V, J, 2, P): of the gradient to detections
    pushes: Tensor  # (S, V, J, 2): weighted residuals
    weights: Tensor  # (S, V, J)
    bends: Tensor  # (): weights, times how far they fall with the residual


def _part(adjustment: Adjustment, estimate: Estimate, stretch: Tensor, stretches: int, frames: slice) -> _Part:
    parts = adjustment.parts(estimate, frames)
    seen, bones = parts.detections, parts.bones
    parent, child = adjustment.bones.T
    sought = adjustment.free.number
    number, views, keypoints = seen.weight.shape
    selection = adjustment.selection.reshape(views, -1, sought)
    follow = torch.cholesky_solve(parts.coupling, parts.factor)
    flat = follow.flatten(0, 1)
    curvature = parts.of_cameras - parts.coupling.flatten(0, 1).T @ flat
    moved = flat.T @ flat
    follow = follow.reshape(number, keypoints, 3, -1)  # the points, negated
    reduced = -torch.einsum("fvjac,fjcp->fvjap", seen.by_point, follow)
    reduced[..., :sought] += torch.einsum("fvjam,vmp->fvjap", seen.by_camera, selection)
    push = seen.weight[..., None] * seen.residual
    of_bones = torch.einsum("fbc,fbcp->fbp", bones.towards, follow[:, child] - follow[:, parent])
    of_bones[..., sought:] -= torch.eye(len(parent), dtype=torch.float64)
    of_frames = torch.einsum("fvjap,fvja->fp", reduced, push) + (of_bones * bones.push[..., None]).sum(1)

    def by_stretch(values: Tensor) -> Tensor:
        return torch.zeros(stretches, *values.shape[1:], dtype=torch.float64).index_add_(0, stretch[frames], values)

    sensitivity = torch.einsum("fvjap,fvj->vjap", reduced, seen.weight)
    bends = (seen.weight * seen.squared / (DEGREES_OF_FREEDOM + seen.squared)).sum()
    return _Part(
        curvature, moved, by_stretch(of_frames), sensitivity, by_stretch(push), by_stretch(seen.weight), bends
    )


def _of_bias(estimate: Estimate, sensitivity: Tensor, pushes: Tensor, weights: Tensor) -> Tensor:
    """Give what the detector's bias adds to the covariance of the gradients (column, column)."""
    points, cameras = estimate.points, estimate.cameras
    depth = world_to_camera(cameras, points)[..., 2].transpose(0, 1).flatten(1).nanmedian(1).values
    metres = depth / cameras.focal.mean(-1)  # of a pixel
    total = weights.sum(0)
    known = total > 0
    mean = torch.where(known[..., None], pushes.sum(0) / total[..., None], 0.0)
    chance = (pushes - weights[..., None] * mean).square().sum(0) / total.square()[..., None]
    squared = torch.where(known[..., None], mean.square() - chance, 0.0).sum(-1) / 2 * metres.square()[:, None]
    mean_square = max(float((squared * total).sum() / total.sum()), 0.0)
    near = alike(points)
    apart = float(known.sum(1).max()) ** 2 / float(near[known.any(0)][:, known.any(0)].sum())  # keypoints that differ
    views = int(known.any(1).sum())
    every = 2 * views * apart
    left = max((2 * views - 3) * apart - (6 * views - 7), 0.1 * every)
    per_view = sensitivity / metres[:, None, None, None]
    return mean_square * every / left * torch.einsum("vjap,jk,vkaq->pq", per_view, near, per_view)


def _sandwich(
    adjustment: Adjustment,
    cameras: Cameras,
    curvature: Tensor,
    meat: Tensor,
    moved: Tensor,
    bend: float,
    distance: float,
) -> Certainty:
    free = adjustment.free
    unit = torch.ones(adjustment.columns, dtype=torch.float64)
    rotations = free.columns[:, :3]
    unit[rotations[rotations >= 0]] = 1 / distance
    gauge = _gauge(adjustment, cameras, unit)
    curved = unit[:, None] * curvature * unit
    held = gauge @ gauge.T * curved.diagonal().mean()
    inverse = torch.linalg.inv(bend * curved + held)
    beyond = _BEYOND_LINEAR * (_BY_FOCAL_LENGTHS if (free.columns[:, FOCAL] >= 0).any() else 1)
    covariance = beyond**2 * inverse @ (unit[:, None] * meat * unit) @ inverse
    # Of all movements of the rig that one is taken out that makes the errors of the poses smallest.
    poses = free.columns[:, POSE]
    chosen = poses[poses >= 0]
    still = torch.eye(adjustment.columns, dtype=torch.float64)
    still[:, chosen] -= gauge @ torch.linalg.pinv(gauge[chosen])
    covariance = still @ covariance @ still.T * unit[:, None] * unit
    covariance = (covariance + covariance.T) / 2
    found = torch.zeros(len(cameras), 6, 6, dtype=torch.float64)
    for view in (poses[:, 0] >= 0).nonzero()[:, 0].tolist():
        found[view] = covariance[poses[view]][:, poses[view]]
    error = covariance.diagonal().clamp(min=0).sqrt()
    focal, late = (
        torch.where(free.columns[:, which] >= 0, error[free.columns[:, which]], 0.0) for which in (FOCAL, TIME)
    )
    return Certainty(found, focal, late, math.sqrt(max(float((covariance * moved).sum()), 0.0)))


def _gauge(adjustment: Adjustment, cameras: Cameras, unit: Tensor) -> Tensor:
    """Directions (columns, 7), orthonormal in these units: those in which all moves, turns and grows together."""
    free = adjustment.free
    directions = torch.zeros(adjustment.columns, 7, dtype=torch.float64)
    centre = cameras.positions - cameras.positions.mean(0)
    for view in range(len(cameras)):
        columns = free.columns[view, POSE]
        if columns[0] < 0:
            continue
        R = cameras.R[view]
        directions[columns[:3], :3] = -R  # the world turns by w: R' = R exp(-w)
        directions[columns[3:], :3] = -R @ cross(centre[view])
        directions[columns[3:], 3:6] = R
        directions[columns[3:], 6] = R @ centre[view]
    directions[free.number :, 6] = 1.0
    return torch.linalg.qr(directions / unit[:, None])[0]

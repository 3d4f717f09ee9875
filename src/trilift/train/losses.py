"""What a lifter learns from: pseudo-labels and multi-view geometry, as losses on a batch of frames.

Shapes: B frames, V views, J joints without the root. Poses are root-relative, in metres. Every loss is a weighted
mean of a norm of differences over all that exist, in metres (`LossSettings.reprojection_unit` may say pixels).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trilift.geometry.cameras import distort
from trilift.lifter.inputs import without_root
from trilift.train.samples import Batch, constant, into_views
from trilift.train.settings import LossSettings

_SMALLEST_DEPTH = 0.1  # metres: what is predicted closer to a camera, or behind it, is projected as if it were there


@dataclass(frozen=True)
class Predicted:
    """The poses predicted from all views of a batch.

    Attributes
    ----------
    poses
        (B, V, J, 3), each in its view's camera frame, `placed`.
    rotations
        (B, V, 3, 3): of the views.
    relative
        The poses as predicted, with the root at 0; 0 where a view is not visible.
    """

    poses: Tensor
    rotations: Tensor
    relative: Tensor

    @cached_property
    def in_all_views(self) -> Tensor:
        """(B, 3, j, i, J): the pose predicted from view i, in view j's camera frame."""
        return into_all_views(self.poses, self.rotations)


def losses(
    predicted: Tensor, batch: Batch, settings: LossSettings, on: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Compute losses.

    Parameters
    ----------
    predicted
        (B, V, J, 3), each in its view's camera frame; anything where a view is not visible.
    batch
        The frames that it was predicted from.
    settings
        Weights and norms.
    on
        Names of those to compute; by default all that have a weight.

    Returns
    -------
    dict
        Unweighted losses by name; NaN where the batch has nothing to compare.
    """
    relative = torch.where(batch.visible[..., None, None], predicted, 0.0)
    of_views = Predicted(placed(relative, batch), batch.rotations, relative)
    return {name: LOSSES[name](of_views, batch, settings) for name in (switched_on(settings) if on is None else on)}


def switched_on(settings: LossSettings, progress: float = 1.0) -> tuple[str, ...]:
    """Name the losses that have a weight after a share of the training, from 0 to 1."""
    weights = dict(settings)
    if progress < settings.output_triangulation_from:
        weights["output_triangulation"] = 0.0
    return tuple(name for name in LOSSES if weights[name])


def weighted_sum(computed: dict[str, Tensor], settings: LossSettings) -> Tensor:
    """Add the losses up with their weights, but for those that have nothing to compare."""
    weights = dict(settings)
    return torch.stack(
        [weights[name] * torch.where(value.isnan(), 0.0, value) for name, value in computed.items()]
    ).sum()


def placed(predicted: Tensor, batch: Batch) -> Tensor:
    """Move predictions (B, V, J, 3) of frames whose labels have no root: to the labelled joints, on average."""
    labels = batch.labels_in_views
    exists = labels.isfinite().all(-1, keepdim=True)
    away = torch.where(exists, labels - predicted, 0.0).sum(2, keepdim=True) / exists.sum(2, keepdim=True).clamp(
        min=1
    )
    return predicted + torch.where(batch.rooted[:, None, None, None], 0.0, away)


def input_triangulation(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the prediction from each view with the pseudo-label."""
    labels, trust = labels_and_trust(batch, settings)
    return mean_norm(predicted.poses - labels, batch.visible[..., None] * trust, settings)


def multi_view_consistency(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the prediction from each view with what is known in every other view."""
    itself = torch.eye(batch.visible.shape[1], dtype=torch.bool, device=predicted.poses.device)
    known, weights = predicted.poses, (_pairs(batch) & ~itself)[..., None]  # (B, j, i, 1)
    if settings.consistency_target == "pseudo_label":
        known, trust = labels_and_trust(batch, settings)
        weights = weights * trust[:, None]  # (B, j, i, J)
    return mean_norm(predicted.in_all_views - known.movedim(-1, 1).unsqueeze(3), weights, settings, axis=1)


def reprojection(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the prediction from each view, projected into every view, with the detections there."""
    rays = without_root(batch.rays[:, batch.middle], batch.skeleton, axis=2)  # (B, j, J, 2)
    exists = rays.isfinite().all(-1)
    rays = torch.where(exists[..., None], rays, 0.0).movedim(-1, 1).unsqueeze(3)  # (B, 2, j, 1, J)
    confidence = without_root(batch.confidence[:, batch.middle], batch.skeleton, axis=2)
    weights = torch.where(exists, confidence if settings.trust_detections else 1.0, 0.0)
    weights = _pairs(batch)[..., None] * weights.unsqueeze(2)  # (B, j, i, J)
    root = _root_in_views(batch).mT[..., None, None]  # (B, 3, j, 1, 1)
    depth = root[:, 2:].clamp(min=_SMALLEST_DEPTH)
    aside, ahead = (predicted.in_all_views + root).split([2, 1], 1)  # (B, 2, j, i, J), (B, 1, j, i, J)
    projected = aside * (depth / ahead.clamp(min=_SMALLEST_DEPTH))  # on the plane at the root's depth
    if settings.reprojection_unit == "metres":
        return mean_norm(projected - rays * depth, weights, settings, axis=1)
    in_image, detected = (
        distort(at.movedim(1, -1), batch.distortion[:, :, None]) for at in (projected / depth, rays)
    )
    depth, focal = depth[:, 0], batch.focal.mean(-1)[:, :, None, None]
    return mean_norm((in_image - detected) * depth[..., None], weights, settings, factor=focal / depth)


def output_triangulation(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the prediction from each view with the point triangulated from those of all views."""
    target = _triangulated(predicted.poses, batch)  # (B, J, 3)
    if settings.output_triangulation_detached:
        target = target.detach()
    several = batch.visible & (batch.visible.sum(1, keepdim=True) >= 2)
    return mean_norm(predicted.poses - into_views(target, batch.rotations), several[..., None], settings)


def bone_symmetry(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the length of each left bone with that of its right one."""
    bones, mirrored = batch.skeleton.bone_indices, batch.skeleton.mirrored
    others = [(mirrored[parent], mirrored[child]) for parent, child in bones]
    pairs = [(bone, bones.index(other)) for bone, other in enumerate(others) if other in bones[bone + 1 :]]
    lengths = _bone_lengths(predicted.relative, batch)
    differences = lengths @ _minus(pairs, len(bones), lengths).mT  # (B, V, pair)
    return mean_norm(differences[..., None], batch.visible[..., None], settings)


def bone_constancy(predicted: Predicted, batch: Batch, settings: LossSettings) -> Tensor:
    """Compare the length of each bone with its mean over the predictions of the same person in the batch."""
    lengths = _bone_lengths(predicted.relative, batch)
    weights = batch.visible[..., None].to(lengths.dtype)
    same = (batch.person[:, None] == batch.person).to(lengths.dtype)  # (B, B)
    mean = same @ (lengths * weights).sum(1) / (same @ weights.sum(1)).clamp(min=1)  # (B, bone)
    return mean_norm((lengths - mean[:, None])[..., None], weights, settings)


LOSSES = {
    "input_triangulation": input_triangulation,
    "multi_view_consistency": multi_view_consistency,
    "reprojection": reprojection,
    "output_triangulation": output_triangulation,
    "bone_symmetry": bone_symmetry,
    "bone_constancy": bone_constancy,
}
"""The losses by the names of their weights in `LossSettings`."""


def mean_norm(
    difference: Tensor, weights: Tensor, settings: LossSettings, factor: Tensor | float = 1.0, axis: int = -1
) -> Tensor:
    """Average the norm of differences in metres with weights (..., joint); NaN without any.

    The differences (..., joint) have another axis of coordinates, the last one or `axis`. `factor` turns metres into
    another unit.
    """
    space = difference.shape[axis]
    weights = weights.to(difference.dtype)
    number = weights.sum() * (difference.numel() // space // max(1, weights.numel()))
    counted = weights * factor
    if settings.norm == "l1":
        total = (difference.abs() * (counted / space).unsqueeze(axis)).sum()
    else:
        size = _added(difference.square(), axis).clamp(min=1e-18).sqrt()  # no infinite slope at 0
        if settings.norm == "huber":
            limit = settings.huber_from_m
            size = torch.where(size < limit, size.square() / (2 * limit), size - limit / 2)
        total = (size * counted).sum()
    return torch.where(number > 0, total / torch.where(number > 0, number, 1.0), torch.nan)


def _added(values: Tensor, axis: int) -> Tensor:
    """Add the coordinates up; several times faster than torch's sum over so short an axis."""
    total, *others = values.unbind(axis)
    for other in others:
        total = total + other
    return total


def labels_and_trust(batch: Batch, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """Give pseudo-labels in all views (B, V, J, 3) and how much each counts (B, 1, J); 0 where one is missing."""
    exists = batch.labels.isfinite().all(-1)[:, None]  # (B, 1, J)
    labels = torch.where(exists[..., None], batch.labels_in_views, 0.0)
    trust = without_root(batch.trust, batch.skeleton)[:, None] if settings.trust_labels else 1.0
    return labels, torch.where(exists, trust, 0.0).to(labels.dtype)


def into_all_views(poses: Tensor, rotations: Tensor) -> Tensor:
    """Turn the pose of every view i into every view j's frame: (B, V, J, 3) to (B, 3, j, i, J).

    Coordinate after coordinate, because passes over memory are what the losses of all pairs of views cost.
    """
    world = (poses @ rotations).flatten(1, 2)  # (B, i J, 3), row vectors: x_world = R^T x_camera
    axes = rotations.transpose(1, 2).flatten(1, 2)  # (B, 3 j, 3): the views' x axes, then y, then z
    return (axes @ world.mT).unflatten(1, (3, -1)).unflatten(3, poses.shape[1:3])


def _pairs(batch: Batch) -> Tensor:
    """(B, j, i) bool: whether both views are visible."""
    return batch.visible.unsqueeze(2) & batch.visible.unsqueeze(1)


def _root_in_views(batch: Batch) -> Tensor:
    """(B, V, 3): the pseudo-label's root in the views; 1 m in front of one that is not visible."""
    root = (batch.rotations @ batch.root[:, None, :, None])[..., 0] + batch.translations
    return torch.where(batch.visible[..., None], root, torch.eye(3, dtype=root.dtype, device=root.device)[2])


def _bone_lengths(predicted: Tensor, batch: Batch) -> Tensor:
    """(B, V, bone), metres."""
    along = _minus(batch.skeleton.bone_indices, len(batch.skeleton), predicted)
    bones = without_root(along, batch.skeleton) @ predicted  # the root is at 0
    return bones.square().sum(-1).clamp(min=1e-18).sqrt()


def _minus(pairs: Sequence[tuple[int, int]], numbers: int, like: Tensor) -> Tensor:
    """Give the matrix (pair, number) that takes the second of each pair of numbers from the first."""
    rows = (tuple((at == first) - (at == second) for at in range(numbers)) for first, second in pairs)
    return constant(tuple(rows), like.device).reshape(-1, numbers).to(like.dtype)


def _triangulated(predicted: Tensor, batch: Batch) -> Tensor:
    """Triangulate the predictions, each projected into its own view: (B, J, 3), world frame, root-relative.

    The direct linear transform, each view's equations divided by the depth of the root, which makes them errors
    on the normalised image plane. With the root seen at u in a depth p, and a joint at u + d, they are
    (C - d R2) x = d p, where R2 is the last row of R, and C the other two less u R2. The sums of their squares are
    linear in d and its square, so that all but these is the same for all joints.
    """
    rows, ahead = batch.rotations.split([2, 1], -2)  # (B, V, 2, 3), (B, V, 1, 3)
    root = _root_in_views(batch)[:, :, None]  # (B, V, 1, 3)
    depth = root[..., 2:].clamp(min=_SMALLEST_DEPTH)  # (B, V, 1, 1)
    at = root[..., :2] / depth
    in_views = predicted + root
    away = in_views[..., :2] / in_views[..., 2:].clamp(min=_SMALLEST_DEPTH) - at  # (B, V, J, 2)
    numbers = torch.cat([away, away.square().sum(-1, keepdim=True)], -1).transpose(1, 2).flatten(2)  # (B, J, 3 V)

    rows = rows - at.mT * ahead
    mixed = rows[..., None] * ahead[..., None, :]  # (B, V, 2, 3, 3)
    squares = torch.cat([-mixed - mixed.mT, (ahead.mT @ ahead).unsqueeze(2)], 2)  # (B, V, 3, 3, 3)
    right = depth * torch.cat([rows, -ahead], 2)  # (B, V, 3, 3)
    weights = batch.visible[..., None, None] / depth.square()  # (B, V, 1, 1)
    of_numbers = weights[..., None] * torch.cat([squares, right[..., None]], -1)  # (B, V, 3, 3, 4)
    sums = (numbers @ of_numbers.flatten(3).flatten(1, 2)).unflatten(-1, (3, 4)).double()  # (B, J, 3, 4)
    matrix = sums[..., :3] + (weights * (rows.mT @ rows)).sum(1)[:, None]
    several = (batch.visible.sum(1) >= 2)[:, None, None]
    matrix = torch.where(several[..., None], matrix, torch.eye(3, dtype=matrix.dtype, device=matrix.device))
    return _solve_symmetric(matrix, torch.where(several, sums[..., 3], 0.0)).to(predicted.dtype)


def _solve_symmetric(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve symmetric 3x3 systems (..., 3, 3) for (..., 3) by Cramer's rule: many times faster than LAPACK."""
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    d, e, f = matrix[..., 1, 1], matrix[..., 1, 2], matrix[..., 2, 2]
    ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = a * ca + b * cb + c * cc
    u, v, w = right.unbind(-1)
    solution = [ca * u + cb * v + cc * w, cb * u + cd * v + ce * w, cc * u + ce * v + cf * w]
    return torch.stack(solution, -1) / determinant[..., None]

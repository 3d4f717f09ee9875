"""Bundle adjustment: cameras, clocks, points and the lengths of bones that explain detections best, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, project
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.rig.derivatives import FOCAL, changed, linearise
from trilift.geometry.triangulation import t_cost, t_weight
from trilift.project import threads

POSE, TIME = slice(0, 6), 7
"""Parameters of a camera: those of `trilift.geometry.rig.derivatives`, and by how many frames it is late."""

BONE_M = 0.02
"""By how much the length of a bone between two keypoints varies (m): detectors place these not on joints. Bones help
where people hardly move; in simulated minutes of somebody who walks 0.015, 0.03 and no bones came out alike."""

_BEHIND = 100.0  # cost of a point that is not before a camera which sees it
_NUMBERS_AT_ONCE = 250_000  # of the points' own blocks of normal equations
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


def _of_detection(squared: Tensor) -> Tensor:
    """Give the cost of detections of such squared errors over squared scales."""
    return (DEGREES_OF_FREEDOM + 2) / 2 * t_cost(squared)


class _Block(NamedTuple):
    """A linearised part of the problem: frames whose points are eliminated."""

    reduced: Tensor  # (P, P)
    gradient: Tensor  # (P,)
    factor: Tensor  # (F, 3 J, 3 J): of the points' own block
    forward: Tensor  # (F, 3 J, P): the factor's inverse times the coupling of points and parameters
    own: Tensor  # (F, 3 J): that times the gradient by the points

    def follow(self, step: Tensor) -> Tensor:
        """Tell how points (F, 3 J) move with a step (P,) of the parameters."""
        rest = (self.own - self.forward @ step)[..., None]
        return torch.linalg.solve_triangular(self.factor.mT, rest, upper=True)[..., 0]


class Adjustment:
    """Detections and bones, by which an estimate is judged and improved.

    Parameters
    ----------
    observations
        The detections.
    bones
        Pairs of keypoints whose distance is constant in time; as many as the estimate has lengths.
    free
        Which parameters are sought.

    Notes
    -----
    The cost is that of a bivariate Student t for each detection and of a normal distribution of the logarithm of each
    bone's length in each frame, about one length that is sought. Points are eliminated frame by frame (Schur
    complement; Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000, section 6), the bones coupling those of
    a frame. Levenberg's damping, on the cameras alone. Scale, place and direction of the world are left free: no step
    is taken along them, as the damping holds them.
    """

    def __init__(self, observations: Observations, bones: Sequence[tuple[int, int]], free: Free):
        self.observations, self.free = observations, free
        self.bones = torch.tensor(list(bones), dtype=torch.long).reshape(-1, 2)
        self.selection = free.selection
        self.columns = free.number + len(self.bones)

    def improve(self, estimate: Estimate, steps: int, enough: float = 1e-4) -> Estimate:
        """Take Gauss-Newton steps until cameras turn by less than `enough` (rad) and move by as little."""
        damping, failed, costs = 1e-6, 0, self.costs(estimate)
        blocks = self._linearise(estimate)
        for _ in range(steps):
            trial, lower, moved = self._step(estimate, blocks, damping)
            if float(lower.sum()) < float(costs.sum()):
                estimate, costs, failed = trial, lower, 0
                damping = max(damping / 10, 1e-9)
                if moved < enough:
                    break
                blocks = self._linearise(estimate)
            else:
                damping, failed = damping * 100, failed + 1
                if failed > 4:
                    break
        return estimate

    def costs(self, estimate: Estimate) -> Tensor:
        """Give the cost of each frame (frame,)."""
        seen, points = self.observations, estimate.points
        known = points.isfinite().all(-1)
        there = seen.scale.isfinite() & known[:, None]
        pixels = project(estimate.cameras, points)
        residual = seen.pixels + seen.velocity * estimate.late[:, None, None] - pixels
        squared = residual.square().sum(-1) / seen.scale.square()
        counts = there & squared.isfinite()
        of_views = torch.where(counts, _of_detection(squared.nan_to_num(0.0)), 0.0) + _BEHIND * (there & ~counts)
        return of_views.sum((1, 2)) + self._bones(estimate.lengths, points.nan_to_num(0.0), known).costs

    def blocks(self) -> list[slice]:
        """Give the frames that are looked at together."""
        frames, _, keypoints, _ = self.observations.pixels.shape
        number = max(8, _NUMBERS_AT_ONCE // (3 * keypoints) ** 2)
        return [slice(start, start + number) for start in range(0, frames, number)]

    def _linearise(self, estimate: Estimate) -> list[_Block]:
        return threads.each(lambda frames: self._block(estimate, frames), self.blocks())

    def _step(self, estimate: Estimate, blocks: list[_Block], damping: float) -> tuple[Estimate, Tensor, float]:
        """Take a step; also give its costs (frame,), and tell by how much it moves cameras (rad, or of 10 m).

        Points follow in each frame as far as that is good for it: a point that is hardly determined may overshoot.
        """
        reduced, gradient = (torch.stack([block[index] for block in blocks]).sum(0) for index in (0, 1))
        unit = reduced.diagonal().clamp(min=1e-12).rsqrt()
        scaled = unit[:, None] * reduced * unit + damping * torch.eye(len(unit), dtype=unit.dtype)
        step = unit * torch.linalg.lstsq(scaled, (unit * gradient)[:, None], driver="gelsd").solution[:, 0]
        parameters = self.free.spread(step[: self.free.number])
        moved = torch.cat([block.follow(step) for block in blocks]).reshape(estimate.points.shape)
        stepped = replace(
            estimate,
            cameras=changed(estimate.cameras, parameters),
            late=estimate.late + parameters[:, TIME],
            lengths=estimate.lengths + step[self.free.number :],
        )
        shares = (1.0, 0.3, 0.0)
        each = torch.stack([self.costs(replace(stepped, points=estimate.points + share * moved)) for share in shares])
        costs, best = each.min(0)
        share = torch.tensor(shares, dtype=moved.dtype)[best]
        changes = parameters[:, :TIME] * torch.tensor([1.0] * 3 + [0.1] * 3 + [1.0], dtype=step.dtype)
        stepped = replace(stepped, points=estimate.points + share[:, None, None] * moved)
        return stepped, costs, float(changes.abs().max())

    def _block(self, estimate: Estimate, frames: slice) -> _Block:
        parts = self.parts(estimate, frames)
        both = torch.cat([parts.coupling, parts.pull[..., None]], -1)
        both = torch.linalg.solve_triangular(parts.factor, both, upper=False)
        forward, own = both[..., :-1], both[..., -1]
        flat = both.flatten(0, 1)
        product = flat[:, :-1].T @ flat
        return _Block(parts.of_cameras - product[:, :-1], parts.gradient - product[:, -1], parts.factor, forward, own)

    def parts(self, estimate: Estimate, frames: slice) -> "Parts":
        """Linearise some frames at an estimate."""
        seen = self.observations.part(frames)
        points = estimate.points[frames]
        number, _, keypoints, _ = seen.pixels.shape
        known = points.isfinite().all(-1)
        points = torch.where(known[..., None], points, 0.0)
        pixels, by_camera, by_point, depth = linearise(estimate.cameras, points)
        residual = seen.pixels + seen.velocity * estimate.late[:, None, None] - pixels
        counts = seen.scale.isfinite() & known[:, None] & (depth > _NEAREST)
        squared = torch.where(counts, residual.square().sum(-1) / seen.scale.square(), 0.0)
        weight = torch.where(counts, t_weight(squared) / seen.scale.square(), 0.0)
        residual = torch.where(counts[..., None], residual, 0.0)
        by_camera = torch.cat([by_camera, -seen.velocity[..., None]], -1)[..., self.free.parameters]
        by_camera = torch.where(counts[..., None, None], by_camera, 0.0)
        by_point = torch.where(counts[..., None, None], by_point, 0.0)
        # Few large products, and where there would be many small ones, sums of two terms.
        rows = torch.cat([by_camera, residual[..., None]], -1) * weight.sqrt()[..., None, None]
        rows = rows.transpose(0, 1).reshape(len(estimate.cameras), -1, rows.shape[-1])
        of_views = rows.mT @ rows  # (V, K + 1, K + 1)
        pulling = (weight[..., None, None] * by_point).permute(0, 2, 4, 1, 3)  # (F, J, 3, V, 2)
        sides = torch.cat([by_point, residual[..., None]], -1).transpose(1, 2).flatten(2, 3)  # (F, J, V * 2, 4)
        own = pulling.flatten(3) @ sides
        normal, pull = own[..., :3], own[..., 3]
        turning = by_camera.transpose(1, 2)[:, :, None]  # (F, J, 1, V, 2, K parameters)
        coupling = pulling[..., 0, None] * turning[..., 0, :] + pulling[..., 1, None] * turning[..., 1, :]
        total = torch.zeros(self.columns, self.columns, dtype=pixels.dtype)
        slope = torch.zeros(self.columns, dtype=pixels.dtype)
        sought = self.free.number
        total[:sought, :sought] = self.selection.T @ torch.block_diag(*of_views[:, :-1, :-1]) @ self.selection
        slope[:sought] = self.selection.T @ of_views[:, :-1, -1].flatten()
        joined = torch.zeros(number, keypoints, 3, self.columns, dtype=pixels.dtype)
        joined[..., :sought] = coupling.flatten(3) @ self.selection
        held = torch.where(known, 1e-9, 1.0)[..., None, None] * torch.eye(3, dtype=pixels.dtype)
        square = torch.zeros(number, keypoints, 3, keypoints, 3, dtype=pixels.dtype)
        each = torch.arange(keypoints)
        square[:, each, :, each, :] = (normal + held).transpose(0, 1)
        bones = self._bones(estimate.lengths, points, known)
        pushed = bones.push[..., None] * bones.towards
        for bone, (parent, child) in enumerate(self.bones.tolist()):
            outer = bones.weight[:, bone, None, None] * bones.towards[:, bone, :, None] * bones.towards[:, bone, None]
            for one, other in ((parent, parent), (child, child), (parent, child), (child, parent)):
                square[:, one, :, other, :] += outer if one == other else -outer
            pull[:, parent] += pushed[:, bone]
            pull[:, child] -= pushed[:, bone]
            shortened = bones.weight[:, bone, None] * bones.towards[:, bone]
            joined[:, parent, :, sought + bone] -= shortened
            joined[:, child, :, sought + bone] += shortened
        total[sought:, sought:] += torch.diag(bones.weight.sum(0))
        slope[sought:] -= bones.push.sum(0)
        factor = torch.linalg.cholesky(square.reshape(number, 3 * keypoints, 3 * keypoints))
        seen_as = Linearised(residual, weight, squared, counts, by_camera, by_point)
        return Parts(factor, joined.flatten(1, 2), pull.flatten(1), total, slope, seen_as, bones)

    def _bones(self, lengths: Tensor, points: Tensor, known: Tensor) -> "Bones":
        parent, child = self.bones.T
        between = points[:, parent] - points[:, child]
        length = between.norm(dim=-1).clamp(min=1e-6)
        trust = (lengths.exp() / BONE_M).square()
        counts = known[:, parent] & known[:, child]
        residual = torch.where(counts, lengths - length.log(), 0.0)
        squared = residual.square() * trust
        weight = torch.where(counts, trust / (1 + squared / _TAIL_OF_BONES), 0.0)
        costs = torch.log1p(squared / _TAIL_OF_BONES).sum(1) * _TAIL_OF_BONES / 2
        return Bones(weight, weight * residual, between / length.square()[..., None], costs)


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


class Parts(NamedTuple):
    """Normal equations of some frames.

    Attributes
    ----------
    factor
        (frame, 3 keypoint, 3 keypoint): Cholesky factor of the points' block.
    coupling
        (frame, 3 keypoint, column): between points and parameters.
    pull
        (frame, 3 keypoint): gradient by the points.
    of_cameras, gradient
        (column, column) and (column,): block and gradient of the parameters.
    detections, bones
        What they are made of.
    """

    factor: Tensor
    coupling: Tensor
    pull: Tensor
    of_cameras: Tensor
    gradient: Tensor
    detections: Linearised
    bones: Bones

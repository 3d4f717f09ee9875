"""Bundle adjustment: cameras, clocks, points and the lengths of bones that explain detections best, all at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.calibration.equations import (
    TIME,
    Bones,
    Estimate,
    Free,
    Linearised,
    Observations,
    linearised,
    stretched,
)
from trilift.geometry.cameras import project
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.rig.derivatives import changed
from trilift.geometry.triangulation import t_cost
from trilift.project import threads

_BEHIND = 100.0  # cost of a point that is not before a camera which sees it
_NUMBERS_AT_ONCE = 250_000  # of the points' own blocks of normal equations


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
        return of_views.sum((1, 2)) + stretched(self.bones, estimate.lengths, points.nan_to_num(0.0), known).costs

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

    def parts(self, estimate: Estimate, frames: slice) -> Parts:
        """Linearise some frames at an estimate."""
        seen = self.observations.part(frames)
        points = estimate.points[frames]
        number, _, keypoints, _ = seen.pixels.shape
        known = points.isfinite().all(-1)
        points = torch.where(known[..., None], points, 0.0)
        seen_as = linearised(seen, estimate, points, known, self.free)
        residual, weight, _, _, by_camera, by_point = seen_as
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
        total = torch.zeros(self.columns, self.columns, dtype=points.dtype)
        slope = torch.zeros(self.columns, dtype=points.dtype)
        sought = self.free.number
        total[:sought, :sought] = self.selection.T @ torch.block_diag(*of_views[:, :-1, :-1]) @ self.selection
        slope[:sought] = self.selection.T @ of_views[:, :-1, -1].flatten()
        joined = torch.zeros(number, keypoints, 3, self.columns, dtype=points.dtype)
        joined[..., :sought] = coupling.flatten(3) @ self.selection
        held = torch.where(known, 1e-9, 1.0)[..., None, None] * torch.eye(3, dtype=points.dtype)
        square = torch.zeros(number, keypoints, 3, keypoints, 3, dtype=points.dtype)
        each = torch.arange(keypoints)
        square[:, each, :, each, :] = (normal + held).transpose(0, 1)
        bones = stretched(self.bones, estimate.lengths, points, known)
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
        return Parts(factor, joined.flatten(1, 2), pull.flatten(1), total, slope, seen_as, bones)

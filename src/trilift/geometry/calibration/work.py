"""The steps from detections to cameras: guesses, and their adjustment while the error of the detector is learnt."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trilift.geometry import noise
from trilift.geometry.calibration.adjust import Adjustment
from trilift.geometry.calibration.equations import Estimate, Free, Observations
from trilift.geometry.calibration.findings import Scale
from trilift.geometry.calibration.sample import Recorded, observations
from trilift.geometry.calibration.start import Placed, starts
from trilift.geometry.calibration.world import size_of
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.triangulation import triangulate_robust
from trilift.skeletons import Skeleton

_MOST_FRAMES = 800
"""So many frames are used, from all over the recording: with more, errors hardly shrink."""

_FIRST_FRAMES, _TRIED_FRAMES = 240, 120  # that poses are guessed by, and that guesses are compared by
_ROUGHLY = 300  # frames, at first
_ROUNDS_OF_CLOCKS, _SETTLED = 4, 0.03  # at most; frames by which clocks still change
_FIRST_SCALE = 0.006  # longer sides of the image: the error of a detection, before it is learnt
_FOCAL_FACTORS = (1.0, 0.75, 1.35, 0.55, 1.8, 2.5)  # on the first guess of a focal length
_MOST_STEPS, _STILL = 25, 5e-5  # rad: where an adjustment ends
_COST_OF_MISSED = 5.0  # of a detection that a view has which could not be placed: that of an outlier
_LEARNT_FROM = 400  # frames
_FEWEST_OF_BONE = 20  # frames


@dataclass(frozen=True)
class Guess:
    """Cameras at their first poses, the clocks that were taken, and how well that fits."""

    placed: Placed
    late: Tensor
    cost: float


class Solved(NamedTuple):
    """Cameras as adjusted, what they were adjusted by, which frames that is of, and the clocks (view,)."""

    estimate: Estimate
    observations: Observations
    adjustment: Adjustment
    frames: Tensor
    late: Tensor


@dataclass(frozen=True)
class Work:
    """What is known from the beginning.

    Attributes
    ----------
    recorded
        The detections.
    cameras
        As far as they are known.
    skeleton, groups, image_size, refine, size
        As `calibrate` is given them.
    """

    recorded: Recorded
    cameras: Cameras
    skeleton: Skeleton
    groups: list[int]
    image_size: Tensor
    refine: bool
    size: Scale | None

    def guess(self, late: Tensor, left_out: dict[int, str]) -> Guess:
        """Place cameras, with the clocks given."""
        best = Guess(Placed(self.cameras, []), late, np.inf)
        used = [view for view in range(len(self.cameras)) if view not in left_out]
        frames = self.recorded.choose(late, _FIRST_FRAMES, used)
        if not len(frames):
            return best
        pixels, confidence = self.recorded.take(frames, late)
        sides = self.image_size.amax(1)
        scale = _FIRST_SCALE * sides[:, None] * (1 + 3 * (1 - confidence))
        scale = torch.where(confidence > 0, scale, torch.inf)
        scale[:, list(left_out)] = torch.inf
        every = max(1, -(-len(frames) // _TRIED_FRAMES))
        seen = observations(pixels[::every], torch.zeros_like(pixels[::every]), scale[::every])
        possible = seen.scale.isfinite().sum()
        unknown = [view for view, group in enumerate(self.groups) if group >= 0]
        for factor in _FOCAL_FACTORS if unknown else (1.0,):
            K = self.cameras.K.clone()
            K[unknown, 0, 0] *= factor
            K[unknown, 1, 1] *= factor
            cameras = replace(self.cameras, K=K)
            tried = starts(cameras, pixels, scale, sides, list(left_out))
            if self.refine:
                tried.append(Placed(self.cameras, used))
            for placed in tried:
                estimate, adjustment = self._begin(placed, pixels[::every], seen, clocks=False)
                estimate = adjustment.improve(estimate, 10, 10 * _STILL)
                known = estimate.points.isfinite().all(-1)[:, None] & seen.scale.isfinite()
                missed = possible - known[:, placed.views].sum()
                cost = float((adjustment.costs(estimate).sum() + _COST_OF_MISSED * missed) / possible.clamp(min=1))
                if cost < best.cost:
                    best = Guess(Placed(estimate.cameras, placed.views), late, cost)
        return best

    def adjust(self, guess: Guess, find_offsets: bool) -> Solved:
        """Adjust all, first by some frames, then by many; clocks step by step, as errors of speeds shorten each."""
        solved, begin = None, guess
        for most, rounds in ((_ROUGHLY, _ROUNDS_OF_CLOCKS), (_MOST_FRAMES, _ROUNDS_OF_CLOCKS)):
            detector = self._detector(begin, most)
            for _ in range(rounds if find_offsets else 1):
                solved = self._adjust(begin, most, detector, find_offsets, solved)
                begin = replace(begin, placed=Placed(solved.estimate.cameras, guess.placed.views), late=solved.late)
                if solved.estimate.late.abs().max() < _SETTLED:
                    break
        assert solved is not None
        return solved

    def _detector(self, guess: Guess, most: int) -> noise.DetectorNoise:
        """Learn the error of the detector, of the views that are placed."""
        chosen = sorted(guess.placed.views)
        frames = self.recorded.choose(guess.late, min(most, _LEARNT_FROM), chosen)
        pixels, confidence = (values[:, chosen].float() for values in self.recorded.take(frames, guess.late))
        return noise.learn(guess.placed.cameras[chosen], pixels, confidence)

    def _adjust(
        self, guess: Guess, most: int, detector: noise.DetectorNoise, find_offsets: bool, before: Solved | None
    ) -> Solved:
        """Adjust all by so many frames; points begin where they were before, if that is of the same frames."""
        placed, late = guess.placed, guess.late
        chosen = sorted(placed.views)
        frames = self.recorded.choose(late, most, chosen)
        pixels, confidence = self.recorded.take(frames, late)
        scale = torch.full(confidence.shape, torch.inf, dtype=torch.float64)
        scale[:, chosen] = detector.scale(confidence[:, chosen].float()).double()
        velocity = torch.zeros_like(pixels)
        if find_offsets:
            velocity[:, chosen] = self._velocity(frames, late, placed.cameras, chosen, detector)
        seen = observations(pixels, velocity, scale)
        if before is not None and torch.equal(frames, before.frames):
            adjustment = Adjustment(seen, before.adjustment.bones.tolist(), before.adjustment.free)
            estimate = replace(before.estimate, late=torch.zeros_like(late))
        else:
            estimate, adjustment = self._begin(placed, pixels, seen, find_offsets)
        estimate = adjustment.improve(estimate, _MOST_STEPS, _STILL)
        return Solved(estimate, seen, adjustment, frames, late + estimate.late)

    def _velocity(
        self, frames: Tensor, late: Tensor, cameras: Cameras, chosen: list[int], detector: noise.DetectorNoise
    ) -> Tensor:
        """Measure how fast points move in the chosen views (frame, view, keypoint, 2), px per frame; 0 if not known.

        Of the points of all views, not of the detections: the errors of these would pass for motion.
        """
        around = self.recorded.neighbours(frames)
        projected = []
        for moment in around:
            pixels, confidence = (values[:, chosen] for values in self.recorded.take(moment, late))
            points = triangulate_robust(cameras[chosen], pixels, detector.scale(confidence.float()).double()).poses
            projected.append(project(cameras[chosen], points))
        elapsed = (around[1] - around[0])[:, None, None, None].clamp(min=1)
        return ((projected[1] - projected[0]) / elapsed).nan_to_num(0.0)

    def _begin(self, placed: Placed, pixels: Tensor, seen: Observations, clocks: bool) -> tuple[Estimate, Adjustment]:
        """Triangulate, measure bones, and set up the adjustment."""
        scale = seen.scale.clone()
        scale[:, [view for view in range(scale.shape[1]) if view not in placed.views]] = torch.inf
        seen = seen._replace(scale=scale)
        chosen = sorted(placed.views)
        points = triangulate_robust(placed.cameras[chosen], pixels[:, chosen], scale[:, chosen]).poses
        metres = self._metres(placed, points)
        cameras, points = replace(placed.cameras, t=placed.cameras.t * metres), points * metres
        lengths, bones = [], []
        for parent, child in self.skeleton.bone_indices:
            length = (points[:, parent] - points[:, child]).norm(dim=-1)
            if length.isfinite().sum() >= _FEWEST_OF_BONE:
                lengths.append(length.nanmedian().log())
                bones.append((parent, child))
        late = torch.zeros(scale.shape[1], dtype=torch.float64)
        of_bones = torch.stack(lengths) if lengths else torch.zeros(0, dtype=torch.float64)
        free = Free.of(self.groups, clocks, placed.views)
        return Estimate(cameras, late, points, of_bones), Adjustment(seen, bones, free)

    def _metres(self, placed: Placed, points: Tensor) -> float:
        """Give the factor to metres, as far as it is known by now: how far bones vary is a matter of centimetres."""
        size = float("nan")
        if self.refine:
            now, then = (rig.positions[placed.views] for rig in (placed.cameras, self.cameras))
            size = float(then.std(0).norm() / now.std(0).norm())
        elif self.size is not None and set((self.size.baseline or ())[:2]) <= {*placed.views}:
            size = size_of(placed.cameras, points, self.skeleton, self.size)
        return size if np.isfinite(size) else 1.0

"""From detections to pseudo-labels: what is learnt from a part of the frames of a capture, and the labels of all."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry import noise
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.geometry.chunks import REJECTED_FROM
from trilift.geometry.noise import DetectorNoise
from trilift.geometry.triangulation import reprojection_error, triangulate, triangulate_robust
from trilift.skeletons import Skeleton
from trilift.triangulate.bones import bone_lengths
from trilift.triangulate.settings import Smoothing
from trilift.triangulate.smoothing import MARGIN, smooth
from trilift.triangulate.swaps import exchange, find_swaps

_CONTRADICTED_FROM = 64.0
"""Squared error over squared scale from which a detection contradicts a point that follows from several frames: 8
scales. One in 700 does so by chance."""


class Sample(NamedTuple):
    """Runs of consecutive frames from all over a capture.

    Attributes
    ----------
    pixels
        (frame, view, keypoint, 2), as detected.
    confidence
        (frame, view, keypoint); 0 does not count.
    run
        (frame,): number of the run.
    person
        (frame,): number of the person.
    """

    pixels: Tensor
    confidence: Tensor
    run: Tensor
    person: Tensor


class Labels(NamedTuple):
    """Pseudo-labels of consecutive frames.

    Attributes
    ----------
    poses
        (frame, keypoint, 3), metres, world frame; NaN where there is none, and where what single frames tell is
        contradicted over time and along the bones.
    of_single_frames
        The same before smoothing.
    covariance
        (frame, keypoint, 3, 3), square metres, as far as each frame for itself tells: an upper bound after smoothing.
        NaN where it tells nothing.
    error_px
        (frame, view, keypoint): reprojection error, NaN where there is no detection or no point.
    error_mm
        The same at the depth of the point.
    detected
        (frame, view, keypoint) bool; detections of no confidence are not among them.
    used
        (frame, view, keypoint) bool: those that lie near the point.
    swapped
        (frame, view) bool: left and right were exchanged.
    filled
        (frame, keypoint) bool: follows from other frames and the bones.
    """

    poses: Tensor
    of_single_frames: Tensor
    covariance: Tensor
    error_px: Tensor
    error_mm: Tensor
    detected: Tensor
    used: Tensor
    swapped: Tensor
    filled: Tensor


@dataclass(frozen=True)
class Labeller:
    """Makes pseudo-labels from detections; `learn` makes one.

    Attributes
    ----------
    cameras, skeleton
        Of the capture.
    noise
        Error of the detector.
    inflation
        See `trilift.geometry.noise.inflation`.
    bone_lengths
        (person, bone), metres; NaN does not count.
    smoothing
        None: every frame on its own.
    repair_swaps
        Exchange left and right in a view where the other views say so.

    Examples
    --------
    >>> labeller = learn(cameras, BODY25B, noise, sample, Smoothing(), repair_swaps=True)      # doctest: +SKIP
    >>> labels = labeller.label(pixels, confidence, person=0, fps=60)                          # doctest: +SKIP
    """

    cameras: Cameras
    skeleton: Skeleton
    noise: DetectorNoise
    inflation: float
    bone_lengths: Tensor
    smoothing: Smoothing | None
    repair_swaps: bool

    @property
    def margin(self) -> int:
        """How many frames on either side take part in a solution."""
        return MARGIN if self.smoothing else 0

    def label(
        self, pixels: Tensor, confidence: Tensor, person: int, fps: float, frames: slice = slice(None)
    ) -> Labels:
        """Make pseudo-labels of consecutive frames of one person.

        Parameters
        ----------
        pixels
            (frame, view, keypoint, 2), as detected.
        confidence
            (frame, view, keypoint); 0 does not count.
        person
            Row of `bone_lengths`.
        fps
            Frames per second.
        frames
            What is wanted; up to `margin` frames on either side of it take part.

        Returns
        -------
        Labels
            Of `frames`.
        """
        scale = self.noise.scale(confidence)
        solution = triangulate_robust(self.cameras, pixels, scale)
        swapped = torch.zeros(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
        if self.repair_swaps:
            mirrored = self.skeleton.mirrored
            swapped = find_swaps(self.cameras, pixels, scale, solution, mirrored)
            changed = swapped.any(1)
            if changed.any():
                pixels, scale = exchange(pixels, swapped, mirrored), exchange(scale, swapped, mirrored)
                for values, again in zip(
                    solution, triangulate_robust(self.cameras, pixels[changed], scale[changed]), strict=True
                ):
                    values[changed] = again
        seen, inlier = solution.poses.isfinite().all(-1), solution.inlier[frames]
        poses = solution.poses[frames]
        if self.smoothing is not None:
            poses = smooth(
                self.cameras,
                pixels,
                scale,
                solution.poses,
                bones=self.skeleton.bone_indices,
                lengths=self.bone_lengths[person],
                fps=fps,
                acceleration=self.smoothing.acceleration,
                bone_spread=self.smoothing.bone_spread_mm / 1e3,
                inflation=self.inflation,
                frames=frames,
            )
            of_errors = torch.where(scale[frames].isfinite(), scale[frames], torch.nan)
            squared = (reprojection_error(self.cameras, poses, pixels[frames]) / of_errors).square()
            inlier = squared < REJECTED_FROM
            seen[frames] &= (squared < _CONTRADICTED_FROM).sum(1) >= 2
        gap = min(int(self.smoothing.max_gap_s * fps), MARGIN) if self.smoothing else 0
        filled = _short_gaps(seen, gap)[frames] & poses.isfinite().all(-1)
        poses = torch.where((seen[frames] | filled)[..., None], poses, torch.nan)
        return _labels(
            self.cameras,
            pixels[frames],
            poses,
            detected=scale[frames].isfinite(),
            of_single_frames=solution.poses[frames],
            covariance=torch.where(seen[frames][..., None, None], solution.covariance[frames], torch.nan),
            used=inlier & poses.isfinite().all(-1)[:, None],
            swapped=swapped[frames],
            filled=filled,
        )


def learn(
    cameras: Cameras,
    skeleton: Skeleton,
    detector_noise: DetectorNoise,
    sample: Sample,
    smoothing: Smoothing | None,
    repair_swaps: bool,
) -> Labeller:
    """Learn the correlation of errors in time, and every person's bone lengths, from a part of the frames."""
    scale = detector_noise.scale(sample.confidence)
    solution = triangulate_robust(cameras, sample.pixels, scale)
    follows = torch.zeros(len(sample.run), dtype=torch.bool, device=scale.device)
    follows[1:] = sample.run[1:] == sample.run[:-1]
    inflation = noise.inflation(cameras, sample.pixels, scale, solution.poses, follows)
    lengths = [
        bone_lengths(
            solution.poses[sample.person == person],
            solution.covariance[sample.person == person],
            skeleton.bone_indices,
        )
        for person in range(int(sample.person.max()) + 1)
    ]
    return Labeller(cameras, skeleton, detector_noise, inflation, torch.stack(lengths), smoothing, repair_swaps)


def label_plainly(cameras: Cameras, pixels: Tensor, confidence: Tensor) -> Labels:
    """Make pseudo-labels by the plain DLT: all detections count the same, every frame on its own.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected.
    confidence
        (frame, view, keypoint); 0 does not count.

    Returns
    -------
    Labels
        Without covariances.
    """
    counts = confidence > 0
    poses, _ = triangulate(cameras, pixels, counts.to(pixels.dtype))
    found = poses.isfinite().all(-1)
    return _labels(
        cameras,
        pixels,
        poses,
        detected=counts,
        of_single_frames=poses,
        covariance=torch.full((*poses.shape, 3), torch.nan, dtype=pixels.dtype, device=pixels.device),
        used=counts & found[:, None],
        swapped=torch.zeros_like(counts[:, :, 0]),
        filled=torch.zeros_like(found),
    )


def _labels(cameras: Cameras, pixels: Tensor, poses: Tensor, **others: Tensor) -> Labels:
    error = reprojection_error(cameras, poses, pixels)
    depth = world_to_camera(cameras, poses)[..., 2]
    return Labels(
        poses=poses,
        error_px=error,
        error_mm=1e3 * error * depth / cameras.focal.mean(-1)[:, None],
        **others,
    )


def _short_gaps(seen: Tensor, most: int) -> Tensor:
    """Mark the frames (frame, keypoint) of gaps of up to `most` frames that are seen on both sides."""
    frame = torch.arange(len(seen), device=seen.device)[:, None].expand(seen.shape)
    before = torch.where(seen, frame, -len(seen) - most).cummax(0).values
    after = torch.where(seen, frame, 2 * len(seen) + most).flip(0).cummin(0).values.flip(0)
    return ~seen & (after - before - 1 <= most)

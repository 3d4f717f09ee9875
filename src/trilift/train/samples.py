"""What training draws its batches from: all frames on the device, as detections, pseudo-labels and cameras."""

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from trilift.lifter.inputs import features, root_relative, scale
from trilift.skeletons import Skeleton


class _Tensors:
    """A dataclass of tensors that move together."""

    def to(self, device: torch.device) -> Self:
        moved = {
            field.name: value.to(device) if isinstance(value := getattr(self, field.name), Tensor) else value
            for field in fields(self)  # type: ignore[arg-type]
        }
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class Rigs(_Tensors):
    """The cameras of all captures; views that a capture does not have are never visible.

    Attributes
    ----------
    rotations, translations
        (capture, view, 3, 3) and (capture, view, 3), world to camera, metres.
    focal, distortion
        (capture, view, 2) pixels and (capture, view, 5).
    """

    rotations: Tensor
    translations: Tensor
    focal: Tensor
    distortion: Tensor


@dataclass(frozen=True)
class Batch(_Tensors):
    """Frames of one optimiser step; T frames around each of the B ones that are to be lifted.

    Attributes
    ----------
    points
        (B, T, V, J, 2): detections, undistorted, at depth 1; NaN where missing.
    confidence
        (B, T, V, J); 0 where missing.
    joints
        (B, T, J, 3): pseudo-labels, metres, world frame; NaN where missing. Those in the middle have a root.
    trust
        (B, J): how much a pseudo-label counts, from 0 to 1.
    visible
        (B, V) bool: whether a pose is to be predicted from this view.
    rotations, translations, focal, distortion
        Of each frame's cameras, as in `Rigs`.
    person
        (B,) int64.
    skeleton
        Of the joints.
    """

    points: Tensor
    confidence: Tensor
    joints: Tensor
    trust: Tensor
    visible: Tensor
    rotations: Tensor
    translations: Tensor
    focal: Tensor
    distortion: Tensor
    person: Tensor
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.points)

    @property
    def middle(self) -> int:
        """Which of the T frames is lifted."""
        return self.points.shape[1] // 2

    @property
    def root(self) -> Tensor:
        """(B, 3): metres, world frame."""
        return self.joints[:, self.middle, self.skeleton.root_index]

    @property
    def labels(self) -> Tensor:
        """(B, J - 1, 3): root-relative pseudo-labels, world frame."""
        return root_relative(self.joints[:, self.middle], self.skeleton)

    def rows(self, mean: Tensor, spread: Tensor) -> Tensor:
        """Form the inputs of all visible views: (row, T, feature), or (row, feature) if T is 1."""
        raw = features(self.points, self.confidence, self.skeleton)  # (B, T, V, feature)
        rows = scale(raw, mean, spread).transpose(1, 2)[self.visible]
        return rows[:, 0] if rows.shape[1] == 1 else rows


@dataclass(frozen=True)
class Samples(_Tensors):
    """Frames to train on or to watch.

    Attributes
    ----------
    points, confidence, joints, trust
        Of all frames, as in `Batch` but without T: (frame, ...).
    visible
        (frame, view) bool: whether the view has its root.
    capture, person
        (frame,) int64.
    first, last
        (frame,) int64: the frames between which the recording goes on without a gap; windows do not look beyond.
    chosen
        (sample,) int64: the frames that are lifted. The others are seen in windows only.
    rigs
        The cameras of the captures.
    skeleton
        Of the joints.
    """

    points: Tensor
    confidence: Tensor
    joints: Tensor
    trust: Tensor
    visible: Tensor
    capture: Tensor
    person: Tensor
    first: Tensor
    last: Tensor
    chosen: Tensor
    rigs: Rigs
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.chosen)

    def to(self, device: torch.device) -> "Samples":
        return replace(super().to(device), rigs=self.rigs.to(device))

    def batch(self, which: Tensor, window: int) -> Batch:
        """Take samples by their position in `chosen`, with `window` frames around each."""
        frames = self.chosen[which]
        seen = frames[:, None]
        if window > 1:
            seen = windows(frames, self.first[frames], self.last[frames], window)
        capture = self.capture[frames]
        return Batch(
            self.points[seen],
            self.confidence[seen],
            self.joints[seen],
            self.trust[frames],
            self.visible[frames],
            self.rigs.rotations[capture],
            self.rigs.translations[capture],
            self.rigs.focal[capture],
            self.rigs.distortion[capture],
            self.person[frames],
            self.skeleton,
        )


TRUSTED_BELOW = 0.03
"""Metres: a pseudo-label of this standard deviation per coordinate counts half."""


def trust(variance: Tensor) -> Tensor:
    """Give the weight of pseudo-labels from their variance per coordinate, square metres; 0 where it is not known."""
    return torch.where(variance.isfinite(), 1 / (1 + variance / TRUSTED_BELOW**2), 0.0)


def windows(frames: Tensor, first: Tensor, last: Tensor, size: int) -> Tensor:
    """Give the frames around each: (n,) to (n, size). Beyond `first` and `last` these are repeated."""
    around = torch.arange(size, device=frames.device) - size // 2
    return (frames[:, None] + around).clamp(first[:, None], last[:, None])

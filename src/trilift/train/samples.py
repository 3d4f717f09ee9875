"""What training draws its batches from: all frames on the device, as detections, pseudo-labels and cameras."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any, Self

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import feature_scaling, features, root_relative, scale
from trilift.skeletons import Skeleton


@dataclass(frozen=True)
class _Tensors:
    """Tensors by name, which are changed and joined together; what else there is stays as it is."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Change every tensor."""

        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            return value.map(change) if isinstance(value, _Tensors) else value

        return replace(self, **{field.name: changed(getattr(self, field.name)) for field in fields(self)})

    def to(self, device: torch.device) -> Self:
        return self.map(lambda tensor: tensor.to(device))

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Join tensors of the same name along their first axis."""

        def joined(values: list[Any]) -> Any:
            if isinstance(values[0], Tensor):
                return torch.cat(values)
            return values[0].cat(values) if isinstance(values[0], _Tensors) else values[0]

        return cls(**{field.name: joined([getattr(part, field.name) for part in parts]) for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
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

    @classmethod
    def of(cls, cameras: Cameras) -> "Rigs":
        """Take the cameras of one capture."""
        one = cls(rotations=cameras.R, translations=cameras.t, focal=cameras.focal, distortion=cameras.distortion)
        return one.map(lambda values: values.float()[None])


@dataclass(frozen=True, kw_only=True)
class Frames(_Tensors):
    """Frames of synchronised views, in the joints of a skeleton.

    Attributes
    ----------
    rays
        (frame, view, joint, 2): detections; NaN where missing.
    confidence
        (frame, view, joint); 0 where missing.
    poses
        (frame, joint, 3): pseudo-labels, metres, world frame; NaN where missing.
    trust
        (frame, joint): how much a pseudo-label counts, from 0 to 1.
    rooted
        (frame,) bool: whether the pseudo-label has a root. Where it has none, the one in `poses` merely says about
        where it is, and predictions are put where the labelled joints are.
    visible
        (frame, view) bool: whether a pose is to be predicted from this view, which has its root then.
    person
        (frame,) int64.
    skeleton
        Of the joints.
    """

    rays: Tensor
    confidence: Tensor
    poses: Tensor
    trust: Tensor
    rooted: Tensor
    visible: Tensor
    person: Tensor
    skeleton: Skeleton


@dataclass(frozen=True, kw_only=True)
class Batch(Frames, Rigs):
    """Frames of one optimiser step, each with its cameras.

    The fields are those of `Frames` and `Rigs`, with B in the place of frame and of capture. `rays`, `confidence`
    and `poses` are of T frames around each that is to be lifted: (B, T, ...). Labels in the middle have a root.

    Attributes
    ----------
    complete
        Whether it is known that every view is visible.
    """

    complete: bool

    def __len__(self) -> int:
        return len(self.rays)

    @property
    def middle(self) -> int:
        """Which of the T frames is lifted."""
        return self.rays.shape[1] // 2

    @property
    def root(self) -> Tensor:
        """(B, 3): metres, world frame."""
        return self.poses[:, self.middle, self.skeleton.root_index]

    @property
    def labels(self) -> Tensor:
        """(B, J - 1, 3): root-relative pseudo-labels, world frame."""
        return root_relative(self.poses[:, self.middle], self.skeleton)

    @cached_property
    def labels_in_views(self) -> Tensor:
        """(B, V, J - 1, 3): root-relative pseudo-labels, in the views' camera frames."""
        return into_views(self.labels, self.rotations)

    def rows(self, scaling: "Scaling") -> Tensor:
        """Form the inputs of all views: (row, T, feature), or (row, feature) if T is 1; 0 if one is not visible."""
        raw = features(self.rays, self.confidence, self.skeleton)  # (B, T, V, feature)
        rows = scale(raw, scaling.mean, scaling.spread).transpose(1, 2)
        rows = torch.where(self.visible[..., None, None], rows, 0.0).flatten(0, 1)
        return rows[:, 0] if rows.shape[1] == 1 else rows

    @property
    def counts(self) -> Tensor | None:
        """(row,): 1 for the rows of visible views, 0 for others; None if there are no others."""
        return None if self.complete else self.visible.flatten().to(self.rays.dtype)


@dataclass(frozen=True, kw_only=True)
class Samples(Frames):
    """Frames to train on or to watch.

    Attributes
    ----------
    capture
        (frame,) int64: which of the rigs has filmed it.
    first, last
        (frame,) int64: the frames between which the recording goes on without a gap; windows do not look beyond.
    every
        (frame,) int64: windows are of frames that lie so many frames apart, as a network sees them.
    chosen
        (sample,) int64: the frames that are lifted. The others are seen in windows only.
    rigs
        The cameras of the captures.
    """

    capture: Tensor
    first: Tensor
    last: Tensor
    every: Tensor
    chosen: Tensor
    rigs: Rigs

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def complete(self) -> bool:
        """Whether every view of every chosen frame is visible."""
        return bool(self.visible[self.chosen].all())

    def batch(self, which: Tensor, window: int) -> Batch:
        """Take samples by their position in `chosen`, with `window` frames around each."""
        frames = self.chosen[which]  # (B,)
        seen = frames[:, None]  # (B, T)
        if window > 1:
            seen = windows(frames, self.first[frames], self.last[frames], window, self.every[frames])
        capture = self.capture[frames]
        return Batch(
            rays=self.rays[seen],
            confidence=self.confidence[seen],
            poses=self.poses[seen],
            trust=self.trust[frames],
            rooted=self.rooted[frames],
            visible=self.visible[frames],
            person=self.person[frames],
            skeleton=self.skeleton,
            complete=self.complete,
            **vars(self.rigs.map(lambda of_captures: of_captures[capture])),
        )


@dataclass(frozen=True)
class Scaling(_Tensors):
    """Mean and spread of the inputs, (feature,) each."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, samples: Samples) -> "Scaling":
        """Measure the inputs of the chosen frames, in the views that are visible."""
        frames = samples.chosen
        raw = features(samples.rays[frames], samples.confidence[frames], samples.skeleton)
        return cls(*feature_scaling(raw[samples.visible[frames]], samples.skeleton))


@lru_cache
def constant(numbers: tuple[Any, ...], device: torch.device) -> Tensor:
    """Keep numbers, as deep in tuples as the tensor has axes, on a device: copied in every step, each would wait."""
    return torch.tensor(numbers, device=device)


TRUSTED_BELOW = 0.03
"""Metres: a pseudo-label of this standard deviation per coordinate counts half."""


def trust(variance: Tensor) -> Tensor:
    """Give the weight of pseudo-labels from their variance per coordinate, square metres; 0 where it is not known."""
    return torch.where(variance.isfinite(), 1 / (1 + variance / TRUSTED_BELOW**2), 0.0)


def into_views(poses: Tensor, rotations: Tensor) -> Tensor:
    """Turn poses (B, J, 3) into the frames of all views: (B, V, J, 3)."""
    turned = poses @ rotations.flatten(1, 2).mT  # one product for all views
    return turned.unflatten(-1, (-1, 3)).transpose(1, 2)


def windows(frames: Tensor, first: Tensor, last: Tensor, size: int, every: Tensor) -> Tensor:
    """Give frames around each, `every` apart: (n,) to (n, size). Beyond `first` and `last` these are repeated."""
    around = every[:, None] * (torch.arange(size, device=frames.device) - size // 2)
    return (frames[:, None] + around).clamp(first[:, None], last[:, None])

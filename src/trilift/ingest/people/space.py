"""What following people forwards and backwards shares: the cameras, who has which detection, and where they are."""

from dataclasses import dataclass

import numpy as np
import torch

from trilift.geometry.cameras import Cameras, to_rays
from trilift.ingest.people import placing

Array = np.ndarray

GATE = 0.2
"""Of a person's length: detections that lie farther away are not this person's."""


@dataclass(frozen=True)
class Rig:
    """The cameras, and their poses as arrays."""

    cameras: Cameras
    R: Array
    t: Array

    @classmethod
    def of(cls, cameras: Cameras) -> "Rig":
        return cls(cameras, cameras.R.numpy(), cameras.t.numpy())

    def rays(self, pixels: Array) -> Array:
        """Undistort (frame, view, detection, keypoint, 2) pixels."""
        return to_rays(self.cameras, torch.as_tensor(pixels).double().transpose(1, 2)).numpy().swapaxes(1, 2)


def slots(person: Array, people: int) -> Array:
    """Give (frame, person, view) which detection is whose; -1 for none."""
    slot = np.full((len(person), people, person.shape[1]), -1)
    frame, view, detection = np.nonzero(person >= 0)
    slot[frame, person[frame, view, detection], view] = detection
    return slot


def tidy(person: Array, values: Array, least: int, views: int = 2) -> tuple[Array, Array]:
    """Number people by first appearance, without those too few views see; order their values."""
    slot = slots(person, len(values)) >= 0
    seen = slot.sum(2) >= views
    kept = seen.sum(0) >= max(1, least)
    first = np.where(kept, seen.argmax(0), len(person))
    order = np.argsort(first, kind="stable")[: kept.sum()]
    new = np.full(len(values) + 1, -1)
    new[order] = np.arange(len(order))
    return new[person], values[order]


def place_all(rays: Array, slot: Array, rig: Rig, lengths: Array) -> tuple[Array, Array]:
    frames, people = slot.shape[:2]
    points = np.empty((frames, people, rays.shape[3], 3))
    views = np.empty(points.shape[:3], np.int64)
    placing.place_all(rays, slot, rig.R, rig.t, lengths, points, views)
    return points, views

"""A rig that is known but was knocked: most cameras stand where they stood."""

from dataclasses import replace

import torch
from torch import Tensor

from trilift.geometry.calibration.world import World
from trilift.geometry.cameras import Cameras
from trilift.geometry.similarity import similarity

_STOOD = 0.01  # of the distance to people: how well a calibration is repeated
_ROUNDS = 30


def onto(cameras: Cameras, poses: Tensor, before: Cameras, distance: float) -> World:
    """Lay an adjusted rig onto what was known of it, so that most cameras stay where they were.

    Parameters
    ----------
    cameras
        As adjusted, in any frame; NaN where not placed.
    poses
        (frame, keypoint, 3), in the same frame.
    before
        As they were known.
    distance
        From cameras to people, in the units of the adjusted rig: by so much a turn counts.

    Returns
    -------
    World
        In the axes and the size of the rig as it was known.

    Notes
    -----
    The similarity whose sum of distances, not of their squares, is smallest: of the centres, and of points before
    the cameras, as far away as people are (iteratively reweighted; Weiszfeld).
    """
    placed = cameras.t.isfinite().all(1)
    ahead = torch.tensor([[0, 0, 0], [0, 0, 1], [0.5, 0, 1], [0, 0.5, 1]], dtype=torch.float64) * distance
    size = 1.0
    weight = torch.ones(int(placed.sum()), dtype=torch.float64)
    for _ in range(_ROUNDS):
        now = (ahead - cameras.t[placed][:, None]) @ cameras.R[placed]
        then = (ahead * size - before.t[placed][:, None]) @ before.R[placed]
        found = similarity(now.flatten(0, 1), then.flatten(0, 1), weight.repeat_interleave(len(ahead)))
        size = float(found.scale)
        off = (found.place(now) - then).norm(dim=-1).mean(1)
        weight = 1 / (off + _STOOD * distance * size)
    R = cameras.R @ found.rotation.T
    t = size * cameras.t - (R @ found.shift[:, None])[..., 0]
    return World(replace(cameras, R=R, t=t), found.place(poses), float("nan"), [])

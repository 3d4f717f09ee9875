"""A rig that is known but was knocked: most cameras stand where they stood."""

from dataclasses import replace

import torch
from torch import Tensor

from trilift.geometry.calibration.world import World
from trilift.geometry.cameras import Cameras

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
        size, rotation, shift = _similarity(
            now.flatten(0, 1), then.flatten(0, 1), weight.repeat_interleave(len(ahead))
        )
        off = (size * now @ rotation.T + shift - then).norm(dim=-1).mean(1)
        weight = 1 / (off + _STOOD * distance * size)
    R = cameras.R @ rotation.T
    t = size * cameras.t - (R @ shift[:, None])[..., 0]
    return World(replace(cameras, R=R, t=t), size * poses @ rotation.T + shift, float("nan"), [])


def _similarity(points: Tensor, target: Tensor, weight: Tensor) -> tuple[float, Tensor, Tensor]:
    """Give size, rotation and shift that take points (N, 3) to others (Umeyama 1991, weighted)."""
    weight = (weight / weight.sum())[:, None]
    middle, goal = (weight * points).sum(0), (weight * target).sum(0)
    centred, wanted = points - middle, target - goal
    U, values, V = torch.linalg.svd(wanted.T @ (weight * centred))
    signs = torch.ones(3, dtype=points.dtype)
    signs[2] = torch.det(U @ V).sign()
    rotation = U @ torch.diag(signs) @ V
    size = float((values * signs).sum() / (weight * centred.square()).sum())
    return size, rotation, goal - size * rotation @ middle

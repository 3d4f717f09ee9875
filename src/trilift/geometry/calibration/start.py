"""A first guess of where cameras stand: pairs of views by the essential matrix, all others by the points of these."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import poselib
import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.triangulation import triangulate_robust

_FEWEST = 60  # detections that tell something
_MOST = 1000  # of which a pose is estimated at first
_SEEDS = 3  # pairs of views that are tried
_EPIPOLAR, _REPROJECTION = 0.008, 0.02  # in longer sides of the image: what is no outlier at first
_CLEAR = np.radians(15.0)  # between rays, from where on points are as good as they get
_FEWEST_INLIERS = 0.2
_OPTIONS = {"max_iterations": 3000, "min_iterations": 100, "success_prob": 0.9999, "seed": 1}


class _Pair(NamedTuple):
    """Two views, the pose of the other one in the axes of the first, and how much speaks for it."""

    one: int
    other: int
    R: np.ndarray
    t: np.ndarray
    worth: float


class Placed(NamedTuple):
    """Cameras at their first poses.

    Attributes
    ----------
    cameras
        Of all views; the pose is without meaning where not placed.
    views
        Those that are placed, in the order in which that was done.
    """

    cameras: Cameras
    views: list[int]


def starts(cameras: Cameras, pixels: Tensor, scale: Tensor, sides: Tensor, skip: Sequence[int] = ()) -> list[Placed]:
    """Place cameras, each time beginning with another pair of views.

    Parameters
    ----------
    cameras
        Of which the intrinsics count.
    pixels, scale
        (frame, view, keypoint, 2) and (frame, view, keypoint), px; infinite where there is no detection.
    sides
        (view,): longer sides of the images, px.
    skip
        Views that are not to be placed.

    Returns
    -------
    list of Placed
        The most promising first; empty where no two views have enough in common.

    Notes
    -----
    Relative poses: five points in LO-RANSAC (Nistér 2004; poselib). Pairs are ranked by their inliers, each counting
    by the angle between its rays. Then the camera that sees most of the points is placed by three of them (P3P), all
    points are triangulated anew, and so on.
    """
    rays = to_rays(cameras, pixels)
    seen = scale.isfinite() & rays.isfinite().all(-1)
    pairs = []
    for one, other in combinations([view for view in range(len(cameras)) if view not in skip], 2):
        pair = _relate(one, other, rays, seen, cameras.focal.mean(-1), sides)
        if pair is not None:
            pairs.append(pair)
    pairs.sort(key=lambda pair: -pair.worth)
    return [_complete(pair, cameras, pixels, scale, rays, seen, sides, skip) for pair in pairs[:_SEEDS]]


def _relate(one: int, other: int, rays: Tensor, seen: Tensor, focal: Tensor, sides: Tensor) -> _Pair | None:
    both = (seen[:, one] & seen[:, other]).nonzero()
    if len(both) < _FEWEST:
        return None
    both = both[_drawn(len(both))]
    a, b = (rays[both[:, 0], view, both[:, 1]].numpy() for view in (one, other))
    error = _EPIPOLAR * float(sides[[one, other]].mean())
    pose, info = poselib.estimate_relative_pose(
        a * float(focal[one]),
        b * float(focal[other]),
        _pinhole(focal[one]),
        _pinhole(focal[other]),
        {**_OPTIONS, "max_epipolar_error": error},
        {"loss_type": "CAUCHY", "loss_scale": error / 2},
    )
    inlier = np.asarray(info["inliers"], bool)
    if inlier.sum() < _FEWEST / 2:
        return None
    bearing = [np.concatenate([ray, np.ones((len(ray), 1))], 1) for ray in (a, b)]
    bearing = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in bearing]
    cosine = ((bearing[0] @ pose.R.T) * bearing[1]).sum(1)
    angle = np.arccos(cosine.clip(-1, 1))
    angle = np.minimum(angle, np.pi - angle)  # cameras that face each other tell as little as those side by side
    worth = float(np.minimum(angle / _CLEAR, 1)[inlier].sum())
    return _Pair(one, other, np.array(pose.R), np.array(pose.t), worth * float(inlier.mean()))


def _complete(
    pair: _Pair,
    cameras: Cameras,
    pixels: Tensor,
    scale: Tensor,
    rays: Tensor,
    seen: Tensor,
    sides: Tensor,
    skip: Sequence[int],
) -> Placed:
    R, t = torch.eye(3, dtype=torch.float64).repeat(len(cameras), 1, 1), torch.zeros(len(cameras), 3).double()
    R[pair.other], t[pair.other] = torch.tensor(pair.R), torch.tensor(pair.t)
    placed = [pair.one, pair.other]
    rest = [view for view in range(len(cameras)) if view not in (*placed, *skip)]
    focal = cameras.focal.mean(-1)
    while rest:
        now = replace(cameras, R=R, t=t)
        solution = triangulate_robust(now[placed], pixels[:, placed], scale[:, placed])
        points = torch.where((solution.inlier.sum(1) >= 2)[..., None], solution.poses, torch.nan)
        known = points.isfinite().all(-1)
        poses = [_resect(view, points, known, rays, seen, focal, sides) for view in rest]
        best = int(np.argmax([worth for *_, worth in poses]))
        if poses[best][2] <= 0:
            break
        R[rest[best]], t[rest[best]] = torch.tensor(poses[best][0]), torch.tensor(poses[best][1])
        placed.append(rest.pop(best))
    return Placed(replace(cameras, R=R, t=t), placed)


def _resect(
    view: int, points: Tensor, known: Tensor, rays: Tensor, seen: Tensor, focal: Tensor, sides: Tensor
) -> tuple[np.ndarray, np.ndarray, float]:
    """Place a view by known points; also tell how many of its detections agree."""
    both = (known & seen[:, view]).nonzero()
    if len(both) < _FEWEST:
        return np.eye(3), np.zeros(3), 0.0
    both = both[_drawn(len(both))]
    image = rays[both[:, 0], view, both[:, 1]].numpy() * float(focal[view])
    error = _REPROJECTION * float(sides[view])
    pose, info = poselib.estimate_absolute_pose(
        image,
        points[both[:, 0], both[:, 1]].numpy(),
        _pinhole(focal[view]),
        {**_OPTIONS, "max_reproj_error": error},
        {"loss_type": "CAUCHY", "loss_scale": error / 2},
    )
    agree = float(np.mean(info["inliers"])) if info["num_inliers"] else 0.0
    return np.array(pose.R), np.array(pose.t), len(both) * agree if agree > _FEWEST_INLIERS else 0.0


def _drawn(number: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(number)[:_MOST]


def _pinhole(focal: Tensor) -> dict[str, object]:
    return {"model": "SIMPLE_PINHOLE", "width": 0, "height": 0, "params": [float(focal), 0.0, 0.0]}

"""The error of a detector, learnt from a recording: no ground truth and no assumption on its size."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, project, world_to_camera
from trilift.geometry.triangulation import (
    DEGREES_OF_FREEDOM,
    reprojection_error,
    t_weight,
    triangulate,
    triangulate_robust,
    triangulate_without,
)

MOST_INFLATION = 4.0
"""Smoothing spans a few frames, not the long run. Of 1, 3 and 9 on real motion with errors of a correlation time of
0.08 s, 3 was best by 3 and 5 %."""

_LEVELS = 255  # steps of confidence from 0 to 1
_BINS = 8
_ROUNDS = 4
_FEWEST_DETECTIONS = 200
_SMALLEST_SCALE = 0.05  # pixels; exact detections exist in tests only, and rounding errors are no outliers
_COUNTED_AS_EXPECTED = 20.0  # so many detections draw a factor towards 1


@dataclass(frozen=True)
class DetectorNoise:
    """Scale of the detection errors of one rig and detector.

    It is a function of confidence, times one factor per view and one per keypoint. Errors follow a Student t of that
    scale in the image (`trilift.geometry.triangulation.DEGREES_OF_FREEDOM`).

    Attributes
    ----------
    confidence
        (level,): rising confidences.
    scale_px
        (level,): the scale at these confidences, in pixels.
    view_factor
        (view,).
    keypoint_factor
        (keypoint,).
    """

    confidence: Tensor
    scale_px: Tensor
    view_factor: Tensor
    keypoint_factor: Tensor

    def scale(self, confidence: Tensor) -> Tensor:
        """Give the scale in pixels of detections by their confidence (frame, view, keypoint); infinite where it is 0.

        Examples
        --------
        >>> noise = learn(cameras, pixels, confidence)                                   # doctest: +SKIP
        >>> solution = triangulate_robust(cameras, pixels, noise.scale(confidence))      # doctest: +SKIP
        """
        _, views, keypoints = confidence.shape
        levels = torch.arange(_LEVELS + 1, dtype=confidence.dtype, device=confidence.device) / _LEVELS
        of_level = _interpolate(levels, self.confidence.to(levels), self.scale_px.to(levels).log()).exp()
        of_level[0] = torch.inf
        factor = self.view_factor.to(levels)[:, None] * self.keypoint_factor.to(levels)
        table = (factor[..., None] * of_level).clamp(min=_SMALLEST_SCALE)  # (V, J, level)
        first = torch.arange(views * keypoints, device=confidence.device).reshape(views, keypoints) * len(levels)
        # The level that lies above: a detection with any confidence counts.
        level = (confidence * _LEVELS).ceil().clamp(0, _LEVELS).nan_to_num()
        return table.reshape(-1).take(first + level.long())


def learn(cameras: Cameras, pixels: Tensor, confidence: Tensor) -> DetectorNoise:
    """Learn the error of the detections of a recording, leaving one view out at a time.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected. About 500 frames from all over the recording are enough.
    confidence
        (frame, view, keypoint); 0 does not count.

    Returns
    -------
    DetectorNoise
        With fewer than three views, or hardly any detections, its scale is one constant.

    Notes
    -----
    The distance between a detection and the point triangulated from the *other* views holds the error of both. The
    covariance of that point says how large its part is. With ``s`` the scale sought, ``p`` that of the point and
    ``e`` the distance per coordinate,
    ``e^2 / (s^2 + p^2)`` has the mean 1 after t-weighting. The three factors of ``s``
    are updated in turn until that holds in every bin of confidence, for every keypoint and for every view. As better
    scales give better points, this is repeated.
    """
    _, views, keypoints = confidence.shape
    counts = (confidence > 0) & pixels.isfinite().all(-1)
    device = pixels.device
    factors = {
        "confidence": torch.full((1,), _overall_scale(cameras, pixels, counts), device=device).log(),
        "view": torch.zeros(views, device=device),
        "keypoint": torch.zeros(keypoints, device=device),
    }
    nodes = torch.ones(1, device=device)
    if views > 2 and counts.sum() >= _FEWEST_DETECTIONS:
        known = confidence[counts].float()
        shares = (torch.arange(_BINS, device=device) + 0.5) / _BINS
        nodes = torch.quantile(known[:: max(1, len(known) // 1_000_000)], shares).unique()
        factors["confidence"] = factors["confidence"].expand(len(nodes)).clone()
        borders = (nodes[1:] + nodes[:-1]) / 2
        shape = counts.shape
        group = {
            "confidence": torch.bucketize(confidence.float().contiguous(), borders),
            "keypoint": torch.arange(keypoints, device=device).expand(shape),
            "view": torch.arange(views, device=device)[:, None].expand(shape),
        }

        def scale() -> Tensor:
            by_confidence = _interpolate(confidence.float(), nodes, factors["confidence"])
            return (by_confidence + factors["view"][:, None] + factors["keypoint"]).exp()

        for _ in range(_ROUNDS):
            squared, of_point = _leave_one_view_out(cameras, pixels, torch.where(counts, scale(), torch.inf))
            known = squared.isfinite() & (of_point < 25 * scale().square())
            if known.sum() < _FEWEST_DETECTIONS:
                break
            for name in ("confidence", "keypoint", "view", "confidence"):
                _update(factors[name], group[name][known], scale()[known], squared[known], of_point[known])
        for name in ("view", "keypoint"):
            middle = factors[name].mean()
            factors[name] -= middle
            factors["confidence"] += middle
    return DetectorNoise(nodes, factors["confidence"].exp(), factors["view"].exp(), factors["keypoint"].exp())


def inflation(cameras: Cameras, pixels: Tensor, scale: Tensor, points: Tensor, follows: Tensor) -> float:
    """Tell how many times less the detections weigh in time than if the error of each were new.

    Errors of successive frames resemble each other: averaging over time removes less than it seems.

    Parameters
    ----------
    cameras
        The cameras.
    pixels, scale
        (frame, view, keypoint, 2) and (frame, view, keypoint), pixels.
    points
        (frame, keypoint, 3): of single frames.
    follows
        (frame,) bool: the frame before is the one before in the recording.

    Returns
    -------
    float
        ``(1 + r) / (1 - r)`` with ``r`` the correlation of the reprojection errors of successive frames (the variance
        of the mean of an AR(1) series over that of independent values), but from 1 to `MOST_INFLATION`.
    """
    error = project(cameras, points) - pixels
    size = (error / scale[..., None]).norm(dim=-1, keepdim=True)
    error = torch.where(size.isfinite() & (scale[..., None] < torch.inf), error / scale[..., None], torch.nan)
    error = error / (1 + size.square() / DEGREES_OF_FREEDOM).sqrt()  # bounded
    now, before = error[1:][follows[1:]], error[:-1][follows[1:]]
    both = now.isfinite() & before.isfinite()
    if not both.any():
        return 1.0
    now, before = now[both], before[both]
    correlation = float((now * before).sum() / (now.square().sum() * before.square().sum()).sqrt())
    return min(max((1 + correlation) / max(1 - correlation, 1e-9), 1.0), MOST_INFLATION)


def _update(factor: Tensor, group: Tensor, scale: Tensor, squared: Tensor, of_point: Tensor) -> None:
    """Change the logarithms of one factor so that the errors of every group are of the size expected."""
    own = scale.square()
    total = own + of_point
    ratio = squared / total
    trust = own / total  # detections whose own error dominates tell more

    def summed(values: Tensor) -> Tensor:
        return torch.zeros_like(factor).index_add_(0, group, values) + _COUNTED_AS_EXPECTED

    number = summed(trust)
    excess = summed(trust * t_weight(2 * ratio) * ratio) / number - 1
    factor += 0.5 * (1 + excess * number / summed(trust * own / total)).clamp(0.1, 10).log()


def _leave_one_view_out(cameras: Cameras, pixels: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Give squared errors per coordinate against the other views' points, and the part that is those points' own.

    Both are (frame, view, keypoint), in square pixels.
    """
    squared, of_point = torch.full_like(scale, torch.nan), torch.full_like(scale, torch.nan)
    for view in range(len(cameras)):
        solution = triangulate_without(cameras, pixels, scale, view)
        counts = scale[:, view].isfinite()
        squared[:, view] = torch.where(counts, solution.error[:, view].square() / 2, torch.nan).to(squared.dtype)
        of_point[:, view] = _variance_in_view(cameras, view, solution.points, solution.covariance).to(of_point.dtype)
    return squared, of_point


def _variance_in_view(cameras: Cameras, view: int, points: Tensor, covariance: Tensor) -> Tensor:
    """Give the variance per coordinate (frame, keypoint), square pixels, of points seen in a view."""
    x, y, depth = world_to_camera(cameras, points)[:, view].unbind(-1)
    rotation = cameras.R[view].double()
    focal = cameras.focal[view].double()
    by_x = (rotation[0] - (x / depth)[..., None] * rotation[2]) * (focal[0] / depth)[..., None]
    by_y = (rotation[1] - (y / depth)[..., None] * rotation[2]) * (focal[1] / depth)[..., None]
    covariance = covariance.double()
    both = torch.stack([by_x, by_y], -2)  # (F, J, 2, 3)
    return (both @ covariance * both).sum((-2, -1)) / 2


def _overall_scale(cameras: Cameras, pixels: Tensor, counts: Tensor) -> float:
    """Give one scale for all detections: from reprojection errors and the part of them that fitting points leaves.

    The points of the DLT give the right one, unless outliers are in most of them. Robust points of a small scale
    resist those, but give too large a one with few views. Both err to the same side, so the smaller one is taken.
    """
    points, views_used = triangulate(cameras, pixels, counts.to(pixels.dtype))
    resistant = triangulate_robust(cameras, pixels, torch.where(counts, 1.0, torch.inf).to(pixels.dtype)).error
    left_free = 2.0 * views_used - 3  # equations beyond the unknowns
    median_of_chi2 = left_free * (1 - 2 / (9 * left_free)) ** 3  # Wilson and Hilferty, PNAS 1931
    found = []
    for error in (reprojection_error(cameras, points, pixels), resistant):
        squared = torch.where(counts, error, 0.0).square().sum(1) / median_of_chi2
        known = squared[squared.isfinite() & (left_free > 0)]
        if len(known):
            found.append(max(float(known.median().sqrt()), _SMALLEST_SCALE))
    return min(found, default=1.0)


def _interpolate(x: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """Interpolate linearly; constant beyond the nodes."""
    if len(nodes) == 1:
        return values.expand_as(x)
    right = torch.searchsorted(nodes, x.contiguous()).clamp(1, len(nodes) - 1)
    share = ((x - nodes[right - 1]) / (nodes[right] - nodes[right - 1])).clamp(0, 1)
    return torch.lerp(values[right - 1], values[right], share)

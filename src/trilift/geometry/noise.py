"""The error of a detector, learnt from a recording: no ground truth and no assumption on its size."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trilift.geometry import kernels
from trilift.geometry.cameras import Cameras, project, world_to_camera
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.evidence import STRETCHES, Detections, Evidence, gather, place_between, take_between
from trilift.geometry.triangulation import reprojection_error, t_weight, triangulate, triangulate_robust

MOST_INFLATION = 4.0
"""Smoothing spans a few frames, not the long run. Of 1, 3 and 9 on real motion with errors of a correlation time of
0.08 s, 3 was best by 3 and 5 %."""

MOST_TRUST = 2.0
"""How many times more exact than the middle view a view may be taken for, by what is expected from its distance and
focal length. A view that draws the points to itself looks as exact as one pleases."""

_LEVELS = 255  # steps of confidence from 0 to 1
_BINS = 8
_ROUNDS = 4
_FEWEST_DETECTIONS = 200
_ENOUGH_DETECTIONS = 12000
_SMALLEST_SCALE = 0.05  # pixels; exact detections exist in tests only, and rounding errors are no outliers
_COUNTED_AS_EXPECTED = {"confidence": 2.0, "keypoint": 2.0, "view": 20.0}
"""So many independent detections draw a value of a factor to what is expected of it. Many for views: the factor of a
keypoint or of a confidence hardly moves points, that of a view does, and errors that views share from the first to
the last frame (cameras side by side, a calibration slightly off) look like evidence. Of 5, 10, 20 and 40 on a real
recording with such errors, 20 made both sides of the body most alike and bones clearly steadier than the plain DLT
does, as 40 did; but the less a camera that is off can be told from the others."""


@dataclass(frozen=True)
class DetectorNoise:
    """Scale of the detection errors of one rig and detector.

    It is a function of confidence, times one factor per view and one per keypoint. Errors follow a Student t of that
    scale in the image (`trilift.geometry.chunks.DEGREES_OF_FREEDOM`).

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
    view_share
        (view,): share of a view in all that is known about a point which it and two others see, on average; NaN where
        that was not learnt. Together 1.
    view_held
        (view,) bool: by its errors the view would be more exact than `MOST_TRUST` allows.
    """

    confidence: Tensor
    scale_px: Tensor
    view_factor: Tensor
    keypoint_factor: Tensor
    view_share: Tensor
    view_held: Tensor

    def scale(self, confidence: Tensor) -> Tensor:
        """Give the scale in pixels of detections by their confidence (frame, view, keypoint); infinite where it is 0.

        Examples
        --------
        >>> noise = learn(cameras, pixels, confidence)                                   # doctest: +SKIP
        >>> solution = triangulate_robust(cameras, pixels, noise.scale(confidence))      # doctest: +SKIP
        """
        levels = torch.arange(_LEVELS + 1, dtype=confidence.dtype) / _LEVELS
        of_level = take_between(
            self.scale_px.to(levels).log(), place_between(levels, self.confidence.to(levels))
        ).exp()
        of_level[0] = torch.inf
        factor = self.view_factor.to(levels)[:, None] * self.keypoint_factor.to(levels)
        table = (factor[..., None] * of_level).clamp(min=_SMALLEST_SCALE)  # (V, J, level)
        found = np.empty(confidence.shape, table.numpy().dtype)
        # The level that lies above: a detection with any confidence counts.
        kernels.look_up(table.numpy(), confidence.cpu().numpy(), found)
        return torch.from_numpy(found).to(confidence.device)


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
    covariance of that point, seen in the view, says how large its part is: along the direction in which the others
    know least, and across it. With ``s`` the scale sought, ``p`` that of the point and ``e`` the distance, each along
    one of these directions, ``e^2 / (s^2 + p^2)`` has the mean 1 after t-weighting, and a detection tells the more
    the larger ``s^2`` is in that sum: the equations of restricted maximum likelihood (Patterson and Thompson,
    Biometrika 1971). The factors of ``s`` are updated in turn until that holds in every bin of confidence, for every
    keypoint and for every view. As better scales give better points, this is repeated.

    A view that is taken for exact draws the points to itself, and then it looks exact. So each factor has a prior, as
    strong as `_COUNTED_AS_EXPECTED` independent detections: the conjugate inverse gamma, about equal errors of all
    views in metres at the distance of the person, of all keypoints and of all confidences. How many detections count
    as one is measured (`_design_effect`). `MOST_TRUST` bounds what evidence can do.
    """
    _, views, keypoints = confidence.shape
    counts = (confidence > 0) & pixels.isfinite().all(-1)
    device = pixels.device
    # All rounds but the last look at a part of the frames, if that is enough: it takes them nearly all the way.
    every = min(max(1, int(counts.sum()) // _ENOUGH_DETECTIONS), _ROUNDS)
    poses, views_used = triangulate(cameras, pixels[::every], counts[::every].to(pixels.dtype))
    overall = _overall_scale(cameras, pixels[::every], counts[::every], poses, views_used)
    known = confidence[counts].float()
    if views < 3 or len(known) < _FEWEST_DETECTIONS:
        return _constant(overall, views, keypoints, device)
    shares = (torch.arange(_BINS, device=device) + 0.5) / _BINS
    nodes = torch.quantile(known[:: max(1, len(known) // 1_000_000)], shares).unique()
    expected = {
        "level": torch.tensor([overall], device=device).log(),
        "confidence": torch.zeros(len(nodes), device=device),
        "keypoint": torch.zeros(keypoints, device=device),
        "view": _log_magnification(cameras, poses, counts[::every]),
    }
    factors = {name: values.clone() for name, values in expected.items()}
    for part in [slice(None, None, every)] * (_ROUNDS - 1) + [slice(None)]:
        evidence = gather(cameras, pixels[part], confidence[part], counts[part], nodes, factors)
        if len(evidence.squared) < _FEWEST_DETECTIONS:
            return _constant(overall, views, keypoints, device)
        for name in ("level", "confidence", "keypoint", "view"):
            _update(factors, name, evidence, expected)
        exactness = expected["view"] - factors["view"]
        most = exactness.median() + math.log(MOST_TRUST)
        held = exactness > most
        factors["view"] = expected["view"] - exactness.clamp(max=most)
        _update(factors, "level", evidence, expected)
    for name in ("confidence", "keypoint", "view"):
        middle = factors[name].mean()
        factors[name] -= middle
        factors["level"] += middle
    curve = (factors["level"] + factors["confidence"]).exp()
    leverage = evidence.leverage(factors)
    share = leverage / leverage.nansum()
    return DetectorNoise(nodes, curve, factors["view"].exp(), factors["keypoint"].exp(), share, held)


def inflation(cameras: Cameras, pixels: Tensor, scale: Tensor, poses: Tensor, follows: Tensor) -> float:
    """Tell how many times less the detections weigh in time than if the error of each were new.

    Errors of successive frames resemble each other: averaging over time removes less than it seems.

    Parameters
    ----------
    cameras
        The cameras.
    pixels, scale
        (frame, view, keypoint, 2) and (frame, view, keypoint), pixels.
    poses
        (frame, keypoint, 3): of single frames.
    follows
        (frame,) bool: the frame before is the one before in the recording.

    Returns
    -------
    float
        ``(1 + r) / (1 - r)`` with ``r`` the correlation of the reprojection errors of successive frames (the variance
        of the mean of an AR(1) series over that of independent values), but from 1 to `MOST_INFLATION`.
    """
    error = project(cameras, poses) - pixels
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


def _constant(scale: float, views: int, keypoints: int, device: torch.device) -> DetectorNoise:
    one = torch.ones(1, device=device)
    view, keypoint = one.repeat(views), one.repeat(keypoints)
    return DetectorNoise(one, scale * one, view, keypoint, torch.nan * view, torch.zeros_like(view, dtype=torch.bool))


def _log_magnification(cameras: Cameras, poses: Tensor, counts: Tensor) -> Tensor:
    """Give the logarithm of the pixels per metre at the detected points, less its mean over the views (view,)."""
    depth = torch.where(counts, world_to_camera(cameras, poses)[..., 2], torch.nan)
    per_metre = cameras.focal.mean(-1) / depth.transpose(0, 1).flatten(1).nanmedian(1).values
    logarithm = per_metre.log().float()
    return (logarithm - logarithm.nanmean()).nan_to_num(0.0)


def _update(factors: dict[str, Tensor], name: str, evidence: Evidence, expected: dict[str, Tensor]) -> None:
    """Change the logarithms of one factor so that the errors of every group are of the size expected."""
    factor, group = factors[name], evidence.detections.group[name]
    own = evidence.detections.variance(factors)[:, None]
    total = own + evidence.of_point
    ratio = evidence.squared / total
    trust = own / total  # detections whose own error dominates tell more
    excess = (trust * (t_weight(ratio.sum(1, keepdim=True)) * ratio - 1)).mean(1)
    slope = trust.square().mean(1)

    def summed(values: Tensor) -> Tensor:
        return torch.zeros_like(factor).index_add_(0, group, values)

    numerator, denominator = summed(excess), summed(slope)
    if name != "level":
        remaining = excess - slope * (numerator / denominator)[group]
        prior = _COUNTED_AS_EXPECTED[name] * _design_effect(remaining, group, len(factor), evidence.detections)
        away = factor - expected[name]
        numerator += prior * ((-2 * (away - away.mean())).exp() - 1)
        denominator += prior
    factor += 0.5 * (1 + numerator / denominator).clamp(0.1, 10).log()


def _design_effect(excess: Tensor, group: Tensor, groups: int, detections: Detections) -> Tensor:
    """Tell for every group how many detections count as one, since their errors resemble each other (group,).

    It is the variance of a sum over that of as many independent values. Values may go together where they are of the
    same stretch of time, or of the same keypoint and view (Cameron, Gelbach and Miller, "Robust inference with
    multiway clustering", Journal of Business and Economic Statistics 2011).
    """
    view, keypoint = detections.group["view"], detections.group["keypoint"]
    series, of_each = torch.unique(view * (keypoint.max() + 1) + keypoint, return_inverse=True)
    cell = (group * STRETCHES + detections.stretch) * len(series) + of_each
    sums = torch.zeros(groups * STRETCHES * len(series), device=excess.device).index_add_(0, cell, excess)
    sums = sums.reshape(groups, STRETCHES, len(series))
    of_both = sums.square().sum((1, 2))
    together = (sums.sum(2).square().sum(1) + sums.sum(1).square().sum(1) - of_both).maximum(of_both)
    alone = torch.zeros(groups, device=excess.device).index_add_(0, group, excess.square())
    return (together / alone).clamp(min=1).nan_to_num(1.0)


def _overall_scale(cameras: Cameras, pixels: Tensor, counts: Tensor, poses: Tensor, views_used: Tensor) -> float:
    """Give one scale for all detections: from reprojection errors and the part of them that fitting points leaves.

    The points of the DLT (given, with the number of views of each) make the right one, unless outliers are in most of
    them. Robust points of a small scale resist those, but give too large a one with few views. Both err to the same
    side, so the smaller one is taken.
    """
    resistant = triangulate_robust(cameras, pixels, torch.where(counts, 1.0, torch.inf).to(pixels.dtype)).error
    left_free = 2.0 * views_used - 3  # equations beyond the unknowns
    median_of_chi2 = left_free * (1 - 2 / (9 * left_free)) ** 3  # Wilson and Hilferty, PNAS 1931
    found = []
    for error in (reprojection_error(cameras, poses, pixels), resistant):
        squared = torch.where(counts, error, 0.0).square().sum(1) / median_of_chi2
        known = squared[squared.isfinite() & (left_free > 0)]
        if len(known):
            found.append(max(float(known.median().sqrt()), _SMALLEST_SCALE))
    return min(found, default=1.0)

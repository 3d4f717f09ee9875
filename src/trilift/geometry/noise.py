"""The error of a detector, learnt from a recording: no ground truth and no assumption on its size."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trilift.geometry import kernels
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.triangulation import (
    DEGREES_OF_FREEDOM,
    reprojection_error,
    t_weight,
    triangulate,
    triangulate_robust,
)

MOST_INFLATION = 4.0
"""Smoothing spans a few frames, not the long run. Of 1, 3 and 9 on real motion with errors of a correlation time of
0.08 s, 3 was best by 3 and 5 %."""

_LEVELS = 255  # steps of confidence from 0 to 1
_BINS = 8
_ROUNDS = 4
_FEWEST_DETECTIONS = 200
_ENOUGH_DETECTIONS = 12000
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
        levels = torch.arange(_LEVELS + 1, dtype=confidence.dtype) / _LEVELS
        of_level = _take(self.scale_px.to(levels).log(), _place(levels, self.confidence.to(levels))).exp()
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
    covariance of that point says how large its part is. With ``s`` the scale sought, ``p`` that of the point and
    ``e`` the distance per coordinate,
    ``e^2 / (s^2 + p^2)`` has the mean 1 after t-weighting. The three factors of ``s``
    are updated in turn until that holds in every bin of confidence, for every keypoint and for every view. As better
    scales give better points, this is repeated.
    """
    _, views, keypoints = confidence.shape
    counts = (confidence > 0) & pixels.isfinite().all(-1)
    device = pixels.device
    # All rounds but the last look at a part of the frames, if that is enough: it takes them nearly all the way.
    every = min(max(1, int(counts.sum()) // _ENOUGH_DETECTIONS), _ROUNDS)
    overall = _overall_scale(cameras, pixels[::every], counts[::every])
    factors = {
        "confidence": torch.full((1,), overall, device=device).log(),
        "view": torch.zeros(views, device=device),
        "keypoint": torch.zeros(keypoints, device=device),
    }
    nodes = torch.ones(1, device=device)
    if views > 2 and counts.sum() >= _FEWEST_DETECTIONS:
        known = confidence[counts].float()
        shares = (torch.arange(_BINS, device=device) + 0.5) / _BINS
        nodes = torch.quantile(known[:: max(1, len(known) // 1_000_000)], shares).unique()
        factors["confidence"] = factors["confidence"].expand(len(nodes)).clone()
        place = _place(confidence.float(), nodes)
        group = {
            "confidence": torch.bucketize(confidence.float().contiguous(), (nodes[1:] + nodes[:-1]) / 2),
            "keypoint": torch.arange(keypoints, device=device).expand(counts.shape),
            "view": torch.arange(views, device=device)[:, None].expand(counts.shape),
        }

        def scale(place: tuple[Tensor, Tensor], view: Tensor, keypoint: Tensor) -> Tensor:
            return (_take(factors["confidence"], place) + factors["view"][view] + factors["keypoint"][keypoint]).exp()

        for part in [slice(None, None, every)] * (_ROUNDS - 1) + [slice(None)]:
            groups = {name: of[part] for name, of in group.items()}
            places = place[0][part], place[1][part]
            of_all = scale(places, groups["view"], groups["keypoint"])
            counted = torch.where(counts[part], of_all, torch.inf)
            squared, of_point = _leave_one_view_out(cameras, pixels[part], counted)
            tells = (squared.isfinite() & (of_point < 25 * of_all.square())).reshape(-1).nonzero()[:, 0]
            if len(tells) < _FEWEST_DETECTIONS:
                break
            squared, of_point = squared.reshape(-1)[tells], of_point.reshape(-1)[tells]
            members = {name: of.reshape(-1)[tells] for name, of in groups.items()}
            of_members = (places[0].reshape(-1)[tells], places[1].reshape(-1)[tells])
            for name in ("confidence", "keypoint", "view", "confidence"):
                expected = scale(of_members, members["view"], members["keypoint"])
                _update(factors[name], members[name], expected, squared, of_point)
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
    frames, views, keypoints = scale.shape
    others = scale.expand(views, -1, -1, -1).clone()  # first axis: the view that is left out
    each = torch.arange(views, device=scale.device)
    others[each, :, each] = torch.inf
    solution = triangulate_robust(cameras, pixels.repeat(views, 1, 1, 1), others.flatten(0, 1))
    error = solution.error.reshape(views, frames, views, keypoints)[each, :, each].transpose(0, 1)
    squared = torch.where(scale.isfinite(), error.square() / 2, torch.nan)
    points, covariance = solution.points.to(scale.dtype), solution.covariance.to(scale.dtype)
    of_point = _variance_in_view(cameras, points.reshape(views, -1, 3), covariance.reshape(views, -1, 3, 3))
    return squared.to(scale.dtype), of_point.reshape(views, frames, keypoints).transpose(0, 1)


def _variance_in_view(cameras: Cameras, points: Tensor, covariance: Tensor) -> Tensor:
    """Give the variance per coordinate (view, point), px^2, of other points (view, point, 3) in each view."""
    rotation, t, focal = (values.to(points) for values in (cameras.R, cameras.t, cameras.focal))
    x, y, depth = (points @ rotation.mT + t[:, None]).unbind(-1)
    total = torch.zeros_like(depth)
    for axis, coordinate in enumerate((x, y)):
        slope = (rotation[:, None, axis] - (coordinate / depth)[..., None] * rotation[:, None, 2]) / depth[..., None]
        total += focal[:, axis, None].square() * torch.einsum("vpi,vpij,vpj->vp", slope, covariance, slope)
    return total / 2


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


def _place(x: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Give the node above x, and how far x is on the way there from the one below; constant beyond the nodes."""
    if len(nodes) == 1:
        return torch.zeros_like(x, dtype=torch.long), torch.ones_like(x)
    above = torch.searchsorted(nodes, x.contiguous()).clamp_(1, len(nodes) - 1)
    below = nodes[above - 1]
    return above, ((x - below) / (nodes[above] - below)).clamp_(0, 1)


def _take(values: Tensor, place: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate linearly between the values at nodes."""
    above, share = place
    return torch.lerp(values[(above - 1).clamp_(min=0)], values[above], share)

"""Views that run ahead of the others or behind, constantly or more and more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.refit import Camera, robust_cost, squared_mahalanobis
from trilift.geometry.rig.settings import Settings
from trilift.geometry.triangulation import triangulate_without

Timing = Literal["in time", "late", "early", "cannot tell"]


_FEWEST_FRAMES = 30  # to tell an offset from


_FURTHER = 4


_SCATTER_OF_OFFSETS = 0.3  # frames: of segments of one recording, beyond what each tells of its own error


@dataclass(frozen=True)
class TimeOffset:
    """By how much a camera is late.

    Attributes
    ----------
    verdict
        What that means.
    offset, error
        Frames, and their standard error.
    """

    verdict: Timing
    offset: float
    error: float


def time_offsets(
    cameras: Cameras, pixels: Tensor, scale: Tensor, segments: Tensor, settings: Settings
) -> list[TimeOffset]:
    """Search by how many frames each camera is late.

    Parameters
    ----------
    cameras, pixels, scale, segments, settings
        As in `diagnose`.

    Returns
    -------
    list of TimeOffset
        Per camera; relative to the middle of the cameras that are in time, with standard errors by the jackknife over
        keypoints.
    """
    views, reach = len(cameras), settings.max_offset_frames
    unknown = TimeOffset("cannot tell", math.nan, math.inf)
    seeing = scale.isfinite().any(2).any(0)
    if not seeing.all():
        some = iter(time_offsets(cameras[seeing], pixels[:, seeing], scale[:, seeing], segments, settings))
        return [next(some) if sees else unknown for sees in seeing.tolist()]
    inside = _inside(segments, reach)
    if views < 3 or inside.sum() < _FEWEST_FRAMES:
        return [unknown] * views
    keypoints = _most_moving(pixels, scale, inside, reach, 2 * settings.max_points)
    pixels, scale = pixels[:, :, keypoints], scale[:, :, keypoints]
    aligned, aligned_scale = pixels, scale
    offsets = [0.0] * views
    first_gains: list[float] = []
    curves: dict[int, Tensor] = {}

    def complete() -> list[Tensor]:
        # A camera's own alignment plays no part in its curves.
        for view in set(range(views)) - set(curves):
            curves[view] = _cost_over_offset(
                cameras, aligned, aligned_scale, view, pixels[:, view], segments, inside, reach
            )
        return [curves[view] for view in range(views)]

    for _ in range(3 * views):
        summed = [curve.sum(0) for curve in complete()]
        gains = [_gain(curve, offset, reach) for curve, offset in zip(summed, offsets, strict=True)]
        first_gains = first_gains or gains
        best = [_lowest(curve, reach) for curve in summed]
        worst = max(range(views), key=lambda view: gains[view] * (abs(best[view] - offsets[view]) > 0.2))
        if not (gains[worst] > 0 and abs(best[worst] - offsets[worst]) > 0.2):
            break
        offsets[worst] = best[worst]
        aligned, aligned_scale = aligned.clone(), aligned_scale.clone()
        aligned[:, worst], aligned_scale[:, worst] = pixels[:, worst], scale[:, worst]
        aligned, aligned_scale = shift_view(aligned, aligned_scale, segments, worst, best[worst])
        curves = {worst: curves[worst]}
    errors = [_jackknife(curve, reach) for curve in complete()]
    if not max(errors) <= settings.max_offset_error_frames:
        return [
            TimeOffset("cannot tell", offset if error <= settings.max_offset_error_frames else math.nan, error)
            for offset, error in zip(offsets, errors, strict=True)
        ]
    offsets, out = _relative_to_those_in_time(offsets, errors, first_gains, settings.min_offset_frames)
    return [
        TimeOffset("in time" if view not in out else "late" if offsets[view] > 0 else "early", offset, error)
        for view, (offset, error) in enumerate(zip(offsets, errors, strict=True))
    ]


def time_offsets_of_segments(
    cameras: Cameras, pixels: Tensor, scale: Tensor, segments: Tensor, settings: Settings
) -> list[list[TimeOffset]]:
    """Search by how many frames each camera is late, for every segment by itself.

    Parameters
    ----------
    cameras, pixels, scale, segments, settings
        As in `diagnose`. Where no offset is found, it is searched `_FURTHER` times as far.

    Returns
    -------
    list of list of TimeOffset
        Per segment and camera.
    """
    further = replace(settings, max_offset_frames=_FURTHER * settings.max_offset_frames)
    found = []
    for segment in segments.unique():
        which = segments == segment
        own = pixels[which], scale[which], segments[which]
        offsets = time_offsets(cameras, *own, settings)
        if any(one.verdict == "cannot tell" for one in offsets):
            far = time_offsets(cameras, *own, further)
            offsets = offsets if any(one.verdict == "cannot tell" for one in far) else far
        found.append(offsets)
    return found


def changes_over_time(offsets: Sequence[TimeOffset], settings: Settings) -> bool:
    """Tell whether the offset of a camera changes, as where frames were dropped or its rate is another.

    `offsets` are those of successive segments. Whatever is before some moment is compared with what is after it.
    """
    known = torch.tensor([[one.offset, one.error] for one in offsets if one.verdict != "cannot tell"]).reshape(-1, 2)
    offset, variance = known[:, 0], known[:, 1].square() + _SCATTER_OF_OFFSETS**2
    fewest = 2 if len(known) > 4 else 1  # a single segment may err
    for first in range(fewest, len(known) - fewest + 1):
        weights = [1 / variance[:first], 1 / variance[first:]]
        before, after = (
            (weight * part).sum() / weight.sum()
            for weight, part in zip(weights, (offset[:first], offset[first:]), strict=True)
        )
        error = math.sqrt(sum(1 / float(weight.sum()) for weight in weights))
        if abs(before - after) >= settings.min_offset_frames + 2 * error:
            return True
    return False


def _jackknife(curves: Tensor, reach: int) -> float:
    """Standard error of the lowest offset of the summed curves (keypoint, 2 reach + 1)."""
    summed = curves.sum(0)
    if not float(summed.min()) < min(float(summed[0]), float(summed[-1])):
        return math.inf  # flat, or falling up to an end
    left_out = torch.tensor([_lowest(summed - curve, reach) for curve in curves]).double()
    return math.sqrt((len(curves) - 1) * float(left_out.var(correction=0)))


def _relative_to_those_in_time(
    offsets: list[float], errors: list[float], gains: list[float], least: float
) -> tuple[list[float], set[int]]:
    """Tell which cameras are out of time, a minority, and take the offsets from the middle of the others."""

    def middle(views: set[int]) -> float:
        return (min(offsets[view] for view in views) + max(offsets[view] for view in views)) / 2

    out: set[int] = set()
    everyone = set(range(len(offsets)))
    while 2 * (len(everyone) - len(out) - 1) > len(everyone):
        rest = everyone - out
        off = [view for view in rest if abs(offsets[view] - middle(rest - {view})) >= least + 2 * errors[view]]
        if not off:
            break
        out.add(max(off, key=lambda view: gains[view]))
    zero = middle(everyone - out)
    return [offset - zero for offset in offsets], out


def _inside(segments: Tensor, reach: int) -> Tensor:
    """Frames (frame,) whose neighbours up to `reach` away are of the same segment."""
    inside = torch.zeros_like(segments, dtype=torch.bool)
    if len(segments) > 2 * reach:
        same = (segments[2 * reach :] == segments[reach:-reach]) & (segments[: -2 * reach] == segments[reach:-reach])
        inside[reach:-reach] = same
    return inside


def _most_moving(pixels: Tensor, scale: Tensor, inside: Tensor, reach: int, max_points: int) -> Tensor:
    """Indices of the keypoints that move most, as many as the number of points allows."""
    number = max(6, max_points // len(pixels))
    frames = inside.nonzero()[:, 0]
    moved = (pixels[frames + reach] - pixels[frames]).norm(dim=-1) / scale[frames]
    return moved.nan_to_num(0.0).mean((0, 1)).topk(min(number, pixels.shape[2])).indices.sort().values


def _cost_over_offset(
    cameras: Cameras,
    aligned: Tensor,
    scale: Tensor,
    view: int,
    pixels: Tensor,
    segments: Tensor,
    inside: Tensor,
    reach: int,
) -> Tensor:
    """Robust cost (keypoint, 2 reach + 1) of the detections (frame, keypoint, 2) of a view from -reach on."""
    solution = triangulate_without(cameras, aligned, scale, view)
    camera = Camera.of(cameras, view)
    projected, _, by_point = camera.linearise(solution.poses)
    own = torch.where(scale[:, view].isfinite(), scale[:, view], torch.nan).nanmedian()
    spread = by_point @ solution.covariance.double() @ by_point.mT  # (F, J, 2, 2)
    spread = spread + own.square() * torch.eye(2, dtype=spread.dtype, device=spread.device)
    cost = torch.zeros(pixels.shape[1], 2 * reach + 1, dtype=torch.float64, device=pixels.device)
    steps = torch.arange(-reach, reach + 1, device=pixels.device)
    for segment in segments[inside].unique():
        frames = (inside & (segments == segment)).nonzero()[:, 0]
        residual = pixels[frames + steps[:, None]] - projected[frames]  # (D, L, J, 2)
        residual = residual - residual.nanmedian(1, keepdim=True).values
        squared = squared_mahalanobis(residual, spread[frames])
        found = squared.isfinite()
        summed = torch.where(found, robust_cost(squared), 0.0).sum(1)  # (D, J)
        compared = found.sum(1)  # (D, J)
        mean = summed / compared.clamp(min=1)
        # Where only every fifth frame is labelled, few shifts can be compared; the others are as bad as the worst.
        comparable = 2 * compared >= compared[reach]
        worst = torch.where(comparable, mean, 0.0).amax(0)
        cost += (torch.where(comparable, mean, worst) * compared[reach]).T
    return cost


def _lowest(curve: Tensor, reach: int) -> float:
    """Where a curve (2 reach + 1,) is lowest, by a parabola through the lowest three."""
    lowest = int(curve.argmin())
    if not 0 < lowest < len(curve) - 1:
        return float(lowest - reach)
    left, middle, right = curve[lowest - 1 : lowest + 2].tolist()
    bend = left - 2 * middle + right
    return lowest - reach + (0.5 * (left - right) / bend if bend > 0 else 0.0)


def _gain(curve: Tensor, offset: float, reach: int) -> float:
    """By which share the cost (2 reach + 1,) is lower at the best offset than at the present one."""
    position = min(max(offset + reach, 0.0), 2.0 * reach)
    below = min(int(position), 2 * reach - 1)
    share = position - below
    present = float((1 - share) * curve[below] + share * curve[below + 1])
    return 1 - float(curve.min()) / present if present > 0 else 0.0


def shift_view(pixels: Tensor, scale: Tensor, segments: Tensor, view: int, offset: float) -> tuple[Tensor, Tensor]:
    """Move a view that is late by `offset` frames back in time, by linear interpolation within segments."""
    frames = len(pixels)
    index = torch.arange(frames, device=pixels.device)
    below = math.floor(offset)
    share = offset - below
    if share < 1e-6:
        share = 0.0
    first, second = index + below, index + below + (share > 0)
    valid = (first >= 0) & (second < frames)
    first, second = first.clamp(0, frames - 1), second.clamp(0, frames - 1)
    valid &= (segments[first] == segments) & (segments[second] == segments)
    pixels, scale = pixels.clone(), scale.clone()
    moved = (1 - share) * pixels[first, view] + share * pixels[second, view]
    pixels[:, view] = torch.where(valid[:, None, None], moved, torch.nan)
    scale[:, view] = torch.where(valid[:, None], torch.maximum(scale[first, view], scale[second, view]), torch.inf)
    return pixels, scale

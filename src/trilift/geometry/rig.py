"""What is wrong with a rig, told from the detections alone: cameras out of time, moved, or of another focal length.

Every camera is compared with the others: their points, projected into it, should lie where it sees them. Which camera
to blame is decided by the rig as a whole: that one whose correction makes all views agree best. A fault common to all
cameras (scale, position of the world) cannot be seen, and more than half of the cameras cannot be outvoted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, distort_with_slopes
from trilift.geometry.triangulation import (
    DEGREES_OF_FREEDOM,
    t_cost,
    t_weight,
    triangulate_robust,
    triangulate_without,
)

Timing = Literal["in time", "late", "early", "cannot tell"]
Geometry = Literal["consistent", "moved", "focal length", "pose or focal length", "cannot tell"]

_MEDIAN_OF_SQUARED_NORM = 2 * math.log(2)  # of two standard normal coordinates
_CHI2_OF_FOCAL, _CHI2_OF_POSE = 3.84, 12.59  # 95 % quantiles with one and six degrees of freedom
_FEWEST_FRAMES = 30  # to tell an offset from
_FURTHER = 4
_SCATTER_OF_OFFSETS = 0.3  # frames: of segments of one recording, beyond what each tells of its own error
_POSE, _FOCAL, _BOTH = range(6), range(6, 7), range(7)


@dataclass(frozen=True)
class Settings:
    """What counts as a fault.

    The defaults come from faults put into two real recordings of four cameras and into simulated ones. In the sound
    ones a refit shifted the image of the person by up to 2.1 cm (real) and 0.3 cm (simulated) and lowered the cost of
    the rig by up to 0.3 % (simulated), and cameras were up to 0.95 frames off the middle. Where one sound camera had
    been moved sideways by 10 cm, its own refit shifted by at least 6.9 cm and that of a second by up to 3.2 cm.

    Attributes
    ----------
    max_offset_frames
        Offsets in time are searched up to here, in both directions.
    min_offset_frames
        A camera is out of time if its offset from the middle of the others is larger, by two standard errors.
        Detectors that smooth over time lag differently in different views, and cheap cameras by parts of a frame.
    max_offset_error_frames
        With a larger standard error there is too little motion to tell.
    min_shift_m
        A camera is at fault if its refit moves its image of the person by at least this much (median over the
        detections, measured at the person), or by `min_shift_of_bias` times what is left of the bias of its
        detections, whichever is less. Detectors place a joint 1-2 cm elsewhere when seen from another side, and a
        refit explains part of that.
    min_shift_of_bias
        See `min_shift_m`.
    shift_growth
        Factor on the shift for each further camera at fault, since fewer are left to judge it by.
    min_share
        A camera is at fault if its refit lowers the robust cost of the whole rig by at least this share.
    tolerance_rad, tolerance_depth, tolerance_focal
        How far a calibration may be off without being wrong: rotation (rad), displacement (in units of the distance
        of the person), focal length (relative).
    max_points
        Number of points (frames x keypoints) of which each fit uses about this many.
    """

    max_offset_frames: int = 10
    min_offset_frames: float = 1.75
    max_offset_error_frames: float = 0.5
    min_shift_m: float = 0.027
    min_shift_of_bias: float = 3.0
    shift_growth: float = 1.25
    min_share: float = 0.02
    tolerance_rad: float = math.radians(0.3)
    tolerance_depth: float = 0.005
    tolerance_focal: float = 0.01
    max_points: int = 6000


@dataclass(frozen=True)
class CameraFinding:
    """What was found about one camera.

    Attributes
    ----------
    view
        Its index.
    timing
        Whether it shows things later or earlier than the others.
    geometry
        Whether its pose or focal length contradicts the other cameras.
    time_offset_frames
        By how much it is late; NaN where that cannot be told.
    time_offset_error_frames
        Standard error of that.
    error_px
        Median distance of its detections from the other cameras' points, with the calibration as it is, the cameras
        at fault corrected.
    error_refitted_px
        The same with its pose, or its focal length, refitted: the smaller.
    displacement_m, rotation_deg
        How far the refitted pose is from the calibrated one (focal length as calibrated).
    focal_factor
        The refitted focal length over the calibrated one (pose as calibrated).
    pose_share, focal_share
        Share of the rig's robust cost that the refit of pose, and of the focal length, explains.
    message
        One sentence for the user.
    """

    view: int
    timing: Timing
    geometry: Geometry
    time_offset_frames: float
    time_offset_error_frames: float
    error_px: float
    error_refitted_px: float
    displacement_m: float
    rotation_deg: float
    focal_factor: float
    pose_share: float
    focal_share: float
    message: str

    @property
    def at_fault(self) -> bool:
        """Whether the user has to look at this camera."""
        return self.timing in ("late", "early") or self.geometry not in ("consistent", "cannot tell")


def diagnose(
    cameras: Cameras,
    pixels: Tensor,
    scale: Tensor,
    segments: Tensor | None = None,
    settings: Settings | None = None,
    names: Sequence[str] | None = None,
) -> list[CameraFinding]:
    """Diagnose the cameras of one capture.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected (distorted). NaN is missing.
    scale
        (frame, view, keypoint), pixels: scale of the error of each detection (see `trilift.triangulate.noise`).
        Infinite or NaN where a detection does not count.
    segments
        (frame,) integers: frames of equal number are consecutive in time. By default all are. The offset in time
        needs segments of more than twice `Settings.max_offset_frames`.
    settings
        What counts as a fault.
    names
        Of the cameras, for the messages; by default they are numbered from 1.

    Returns
    -------
    list of CameraFinding
        One per camera, in their order.

    Notes
    -----
    Time: the points of the other cameras, projected into a camera, are compared with its detections some frames
    later, each keypoint's median residual of each segment removed. The camera whose shift lowers the robust cost most
    is shifted, by parts of a frame, until nothing changes; offsets are relative to the median camera.

    Geometry: pose and focal length of one camera are refitted to the points of the others by iteratively reweighted
    Gauss-Newton; all views are triangulated again with the refitted camera, and the robust cost decides. Sets of
    cameras grow by one, the best few of each size being kept. In a set, each camera must pass `Settings.min_share`
    and `Settings.min_shift_m`.

    Pose or focal length: of the refit of both, the Wald statistics of either being right, within the tolerance of a
    calibration. The covariance takes the errors of a keypoint's detections as correlated in time and as biased alike
    in all frames, and the bias of near keypoints as alike.
    """
    settings = settings or Settings()
    pixels, scale = pixels.detach().double(), scale.detach().double()
    cameras = cameras.to(torch.float64)
    if segments is None:
        segments = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    scale = torch.where(pixels.isfinite().all(-1) & (scale > 0), scale, torch.inf).nan_to_num(torch.inf, torch.inf)
    trusted, timings = cameras, [TimeOffset("in time", 0.0, 0.0)] * len(cameras)
    for _ in range(2):
        # A camera in the wrong place disturbs the timing of all, so that is done again with it corrected.
        before, timings = timings, time_offsets(trusted, pixels, scale, segments, settings)
        if trusted is not cameras and all(a.verdict == b.verdict for a, b in zip(before, timings, strict=True)):
            break
        aligned, aligned_scale = pixels, scale
        for view, timing in enumerate(timings):
            if timing.verdict in ("late", "early"):
                aligned, aligned_scale = _shift_view(aligned, aligned_scale, segments, view, timing.offset)
        geometry = _Geometry(cameras, aligned, aligned_scale, settings)
        blamed = geometry.blame()
        if not blamed:
            break
        trusted = geometry.sets[blamed].cameras
    names = names or [f"camera {view + 1}" for view in range(len(cameras))]
    return [_find(geometry, blamed, view, timing, names[view]) for view, timing in enumerate(timings)]


# --- time ------------------------------------------------------------


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
        aligned, aligned_scale = _shift_view(aligned, aligned_scale, segments, worst, best[worst])
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
    camera = _Camera.of(cameras, view)
    projected, _, by_point = camera.linearise(solution.points)
    own = torch.where(scale[:, view].isfinite(), scale[:, view], torch.nan).nanmedian()
    spread = by_point @ solution.covariance.double() @ by_point.mT  # (F, J, 2, 2)
    spread = spread + own.square() * torch.eye(2, dtype=spread.dtype, device=spread.device)
    cost = torch.zeros(pixels.shape[1], 2 * reach + 1, dtype=torch.float64, device=pixels.device)
    steps = torch.arange(-reach, reach + 1, device=pixels.device)
    for segment in segments[inside].unique():
        frames = (inside & (segments == segment)).nonzero()[:, 0]
        residual = pixels[frames + steps[:, None]] - projected[frames]  # (D, L, J, 2)
        residual = residual - residual.nanmedian(1, keepdim=True).values
        squared = _squared_mahalanobis(residual, spread[frames])
        found = squared.isfinite()
        summed = torch.where(found, _cost(squared), 0.0).sum(1)  # (D, J)
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


def _shift_view(pixels: Tensor, scale: Tensor, segments: Tensor, view: int, offset: float) -> tuple[Tensor, Tensor]:
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


# --- geometry ------------------------------------------------------------


@dataclass(frozen=True)
class _Camera:
    """One camera, of which pose and focal length can be changed.

    The seven parameters are the rotation vector (rad) and the displacement of the centre (m), both in the axes of the
    camera, and the logarithm of the factor on the focal length.
    """

    K: Tensor
    distortion: Tensor
    R: Tensor
    t: Tensor

    @classmethod
    def of(cls, cameras: Cameras, view: int) -> "_Camera":
        return cls(cameras.K[view], cameras.distortion[view], cameras.R[view], cameras.t[view])

    def into(self, cameras: Cameras, view: int) -> Cameras:
        """Put this camera in the place of another."""
        replaced = {}
        for name in ("K", "distortion", "R", "t"):
            values = getattr(cameras, name).clone()
            values[view] = getattr(self, name)
            replaced[name] = values
        return Cameras(**replaced)

    @property
    def focal(self) -> float:
        return float(self.K[0, 0] + self.K[1, 1]) / 2

    def changed(self, parameters: Tensor) -> "_Camera":
        """Change pose and focal length by the parameters (7,)."""
        rotation = torch.linalg.matrix_exp(_cross(parameters[:3]))
        K = self.K.clone()
        K[0, 0] *= parameters[6].exp()
        K[1, 1] *= parameters[6].exp()
        return replace(self, K=K, R=rotation @ self.R, t=rotation @ (self.t - parameters[3:6]))

    def depth(self, points: Tensor) -> Tensor:
        """Depths of world points (..., 3)."""
        return points @ self.R[2] + self.t[2]

    def project(self, points: Tensor) -> Tensor:
        """Project world points (..., 3) into the image: (..., 2) px, distorted."""
        x, y, z = (points @ self.R.T + self.t).unbind(-1)
        u, v, *_ = distort_with_slopes(x / z, y / z, self.distortion.unbind(-1))
        return torch.stack([u * self.K[0, 0], v * self.K[1, 1]], -1) + self.K[:2, 2]

    def linearise(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project world points (..., 3); also give the derivatives by the parameters and by the points.

        Returns
        -------
        tuple of Tensor
            (..., 2) px, (..., 2, 7), (..., 2, 3) px/m. The displacement is taken in the axes that the camera has now.
        """
        seen = points @ self.R.T + self.t
        x, y, z = seen.unbind(-1)
        u, v = x / z, y / z
        du, dv, uu, uv, vv = distort_with_slopes(u, v, self.distortion.unbind(-1))
        focal_x, focal_y = self.K[0, 0], self.K[1, 1]
        centred = torch.stack([du * focal_x, dv * focal_y], -1)
        by_x = torch.stack([uu * focal_x, uv * focal_y], -1) / z[..., None]
        by_y = torch.stack([uv * focal_x, vv * focal_y], -1) / z[..., None]
        by_seen = torch.stack([by_x, by_y, -u[..., None] * by_x - v[..., None] * by_y], -1)  # (..., 2, 3)
        # R' = exp(w) R: the point turns by w x seen.
        by_rotation = torch.linalg.cross(seen.unsqueeze(-2).expand_as(by_seen), by_seen, dim=-1)
        by_parameters = torch.cat([by_rotation, -by_seen, centred[..., None]], -1)
        return centred + self.K[:2, 2], by_parameters, by_seen @ self.R


def _cross(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind()
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)


@dataclass(frozen=True)
class _Refit:
    """A camera refitted to the points of the others.

    Attributes
    ----------
    camera
        The refitted one.
    parameters
        (7,), see `_Camera`; 0 where not free.
    covariance
        Of the free parameters.
    shift
        How far the image of the person moved, m at the person.
    bias
        What is left of the bias of the detections, m at the person.
    error, error_before
        Median distance of the detections from the points of the others, px.
    """

    camera: _Camera
    parameters: Tensor
    covariance: Tensor
    shift: float
    bias: float
    error: float
    error_before: float
    depth: float


class _View:
    """The detections of one view and the points of the others."""

    near_m = 0.15
    """Keypoints closer to each other than this share their bias."""

    block = 20
    """Number of successive frames over which errors are taken as correlated."""

    # Keeps parameters that the points do not determine near the calibration: rad, distances of the person, relative.
    prior = (0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.15)

    def __init__(self, cameras: Cameras, pixels: Tensor, scale: Tensor, view: int):
        solution = triangulate_without(cameras, pixels, scale, view)
        self.camera = _Camera.of(cameras, view)
        points, own = solution.points, scale[:, view]
        depth = self.camera.depth(points)
        self.counts = points.isfinite().all(-1) & own.isfinite() & (depth > 0)  # (F, J)
        self.keypoint = self.counts.nonzero()[:, 1]
        self.points, self.pixels, self.scale = points[self.counts], pixels[:, view][self.counts], own[self.counts]
        self.enough = len(self.points) >= 100
        if not self.enough:
            return
        self.depth = float(depth[self.counts].median())
        self.covariance = solution.covariance.double()[self.counts]
        _, _, by_point = self.camera.linearise(self.points)
        spread = by_point @ self.covariance @ by_point.mT
        self.precision = torch.linalg.inv(spread + torch.diag_embed(self.scale.square()[:, None].expand(-1, 2)))
        distance = (points[:, :, None] - points[:, None]).norm(dim=-1).nanmedian(0).values
        self.alike = torch.exp(-0.5 * (distance.nan_to_num(torch.inf) / self.near_m).square())
        self.alike.fill_diagonal_(1.0)

    def refit(self, free: range, original: _Camera | None = None, steps: int = 12) -> _Refit:
        """Refit the parameters `free` of the camera (or of the one given), the others as they are."""
        calibrated = original or self.camera
        columns = list(free)
        unit = [1.0] * 3 + [self.depth] * 3 + [1.0]
        prior = torch.tensor([1 / (self.prior[i] * unit[i]) ** 2 for i in columns]).to(self.points)
        camera, total = calibrated, torch.zeros(7).to(self.points)
        start = camera.project(self.points)
        lowest = self._mean_cost(camera)
        for _ in range(steps):
            residual, weights, jacobian = self._linearise(camera)
            jacobian = jacobian[..., columns]
            weighted = (self.precision @ jacobian * weights[:, None, None]).flatten(0, 1)  # (2 N, P)
            normal = weighted.T @ jacobian.flatten(0, 1) + torch.diag(prior)
            gradient = weighted.T @ residual.flatten() - prior * total[columns]
            step = _solve_scaled(normal, gradient)
            total[columns] += step
            camera = calibrated.changed(total)
            # Newton's step may be too long where the points determine the parameters badly.
            cost, halvings = self._mean_cost(camera), 0
            while not cost < lowest and halvings < 4:
                step, halvings = step / 2, halvings + 1
                total[columns] -= step
                camera = calibrated.changed(total)
                cost = self._mean_cost(camera)
            lowest = min(cost, lowest)
            if halvings == 4 or float(step @ normal @ step) < 0.1:
                break
        residual, weights, jacobian = self._linearise(camera)
        covariance, bias = self._covariance(residual, weights, jacobian[..., columns], prior)
        metres = self.depth / self.camera.focal
        end = camera.project(self.points)
        return _Refit(
            camera=camera,
            parameters=total,
            covariance=covariance,
            shift=float((end - start).norm(dim=-1).median()) * metres,
            bias=bias * metres,
            error=float((self.pixels - end).norm(dim=-1).median()),
            error_before=float((self.pixels - start).norm(dim=-1).median()),
            depth=self.depth,
        )

    def _mean_cost(self, camera: _Camera) -> float:
        """Robust cost of a camera, whatever the size of the errors."""
        residual = self.pixels - camera.project(self.points)
        squared = ((self.precision @ residual[..., None])[..., 0] * residual).sum(-1)
        inflation = squared.median() / _MEDIAN_OF_SQUARED_NORM
        return float(_cost(squared / inflation).mean() + 2 * inflation.log())

    def _linearise(self, camera: _Camera) -> tuple[Tensor, Tensor, Tensor]:
        """Residuals (N, 2), weights (N,) and derivatives by the parameters (N, 2, 7) of a camera."""
        projected, _, by_point = camera.linearise(self.points)
        residual = self.pixels - projected
        pull = (self.precision @ residual[..., None])[..., 0]
        squared = (pull * residual).sum(-1)
        inflation = max(float(squared.median()) / _MEDIAN_OF_SQUARED_NORM, 0.04)
        weights = t_weight(squared / inflation)
        # The derivatives are taken at the points that this view has a say in: at the points of the other views alone
        # their errors would correlate with the residuals and bias the fit (toward too long a focal length).
        pull = (by_point * (pull * weights.clamp(max=1)[:, None])[..., None]).sum(-2)  # (N, 3)
        _, jacobian, _ = camera.linearise(self.points + (self.covariance * pull[:, None]).sum(-1))
        return residual, weights / inflation, jacobian

    def _covariance(self, residual: Tensor, weights: Tensor, jacobian: Tensor, prior: Tensor) -> tuple[Tensor, float]:
        """Covariance of the parameters, and the bias left (px, root mean square of a coordinate)."""
        precision = self.precision * weights[:, None, None]
        weighted = jacobian.mT @ precision
        keypoints = self.counts.shape[1]

        def by_keypoint(values: Tensor) -> Tensor:
            zeros = torch.zeros(keypoints, *values.shape[1:]).to(values)
            return zeros.index_add_(0, self.keypoint, values)

        sensitivity, total = by_keypoint(weighted), by_keypoint(precision)
        information = (weighted @ jacobian).sum(0)
        bias = torch.linalg.pinv(total) @ by_keypoint(precision @ residual[..., None])  # (J, 2, 1)
        share = total.diagonal(dim1=-2, dim2=-1).sum(-1)
        mean_square = float((share * bias.square().sum((-2, -1))).sum() / share.sum()) / 2
        unbiased = (residual - bias[self.keypoint, :, 0]) * (weights.sqrt() / self.scale)[:, None]
        noise = self._correlation(unbiased) * unbiased.square().mean()
        from_bias = torch.einsum("jpa,jk,kqa->pq", sensitivity, self.alike, sensitivity) * mean_square
        inverse = torch.linalg.inv(information + torch.diag(prior))
        covariance = inverse @ (from_bias + noise * information) @ inverse
        return covariance, math.sqrt(mean_square)

    def _correlation(self, values: Tensor) -> float:
        """By how much more the mean of values (N, 2) of a block of frames scatters than that of independent ones."""
        frames, keypoints = self.counts.shape
        dense = torch.full((frames, keypoints, 2), torch.nan).to(values)
        dense[self.counts] = values
        blocks = dense[: frames // self.block * self.block].reshape(-1, self.block, keypoints, 2)
        number = blocks.isfinite().sum(1)
        full = number > self.block // 2
        if not full.any():
            return float(self.block)
        scatter = (blocks.nanmean(1)[full].square() * number[full]).mean() / values.square().mean()
        return max(float(scatter), 1.0)


@dataclass(frozen=True)
class _Set:
    """Cameras taken to be at fault, the rig with their poses refitted, and its robust cost."""

    views: tuple[int, ...]
    cameras: Cameras
    cost: float


class _Geometry:
    """Which cameras contradict the others."""

    beam = 2
    """Number of sets of cameras of one size that are followed."""

    def __init__(self, cameras: Cameras, pixels: Tensor, scale: Tensor, settings: Settings):
        every = max(1, pixels.shape[0] * pixels.shape[2] // settings.max_points)
        self.pixels, self.scale, self.settings = pixels[::every], scale[::every], settings
        self.even = _even(self.scale)
        self.views = len(cameras)
        self.most_at_fault = min(self.views // 2, self.views - 2)
        self.sets: dict[tuple[int, ...], _Set] = {(): _Set((), cameras, self.cost(cameras))}
        self._examined: dict[tuple[tuple[int, ...], int], _View] = {}
        self._refitted: dict[tuple[tuple[int, ...], int, range], _Refit] = {}

    def cost(self, cameras: Cameras) -> float:
        """Mean robust cost of a detection, all views triangulated."""
        squared = (triangulate_robust(cameras, self.pixels, self.even).error / self.even).square()
        squared = squared[squared.isfinite() & self.even.isfinite()]
        return float(_cost(squared).mean()) if len(squared) else math.nan

    def examine(self, base: _Set, view: int) -> _View:
        """Compare a view with the others, those of a set corrected."""
        key = base.views, view
        if key not in self._examined:
            self._examined[key] = _View(base.cameras, self.pixels, self.scale, view)
        return self._examined[key]

    def refit(self, base: _Set, view: int, free: range) -> _Refit:
        key = base.views, view, free
        if key not in self._refitted:
            self._refitted[key] = self.examine(base, view).refit(free)
        return self._refitted[key]

    def blame(self) -> tuple[int, ...]:
        """Find the cameras at fault."""
        sound = self.sets[()]
        if self.views < 3 or sum(self.examine(sound, view).enough for view in range(self.views)) < 3:
            return ()
        kept = [sound]
        for _ in range(self.most_at_fault):
            grown: dict[tuple[int, ...], _Set] = {}
            for base in kept:
                for view in set(range(self.views)) - set(base.views):
                    views = tuple(sorted((*base.views, view)))
                    if views not in grown and self.examine(base, view).enough:
                        grown[views] = self._extend(base, view)
            self.sets |= grown
            lowest = (1 - self.settings.min_share) * min(base.cost for base in kept)
            kept = sorted(grown.values(), key=lambda one: one.cost)[: self.beam]
            if not (kept and kept[0].cost < lowest):
                break
        for size in range(self.most_at_fault, 0, -1):
            cheapest = min(
                (one for one in self.sets.values() if len(one.views) == size), key=lambda one: one.cost, default=None
            )
            if cheapest is not None and all(self._earns_its_place(cheapest, view) for view in cheapest.views):
                return cheapest.views
        return ()

    def _extend(self, base: _Set, view: int) -> _Set:
        """Refit one more camera, and then those refitted before once more."""
        cameras = self.refit(base, view, _POSE).camera.into(base.cameras, view)
        for before in base.views:
            examined = _View(cameras, self.pixels, self.scale, before)
            if examined.enough:
                original = _Camera.of(self.sets[()].cameras, before)
                cameras = examined.refit(_POSE, original).camera.into(cameras, before)
        return _Set(tuple(sorted((*base.views, view))), cameras, self.cost(cameras))

    def without(self, views: tuple[int, ...], view: int) -> _Set | None:
        """Give the set without a camera."""
        return self.sets.get(tuple(other for other in views if other != view))

    def _earns_its_place(self, whole: _Set, view: int) -> bool:
        settings, rest = self.settings, self.without(whole.views, view)
        if rest is None or not self.examine(rest, view).enough:
            return False
        sound = self.sets[()]
        judged = [other for other in range(self.views) if self.examine(sound, other).enough]
        bias = max(self.refit(sound, other, _POSE).bias for other in judged)
        least = min(settings.min_shift_m, settings.min_shift_of_bias * bias)
        least *= settings.shift_growth ** (len(whole.views) - 1)
        return whole.cost <= (1 - settings.min_share) * rest.cost and self.refit(rest, view, _POSE).shift >= least


def _find(geometry: _Geometry, blamed: tuple[int, ...], view: int, timing: TimeOffset, name: str) -> CameraFinding:
    """Put together what was found about a camera."""
    settings, rest = geometry.settings, geometry.without(blamed, view)
    known = geometry.views > 2 and rest is not None and geometry.examine(rest, view).enough
    if not known or rest is None:
        sentence = f"{name}: too few detections in common with two other cameras to tell anything"
        unknown = dict.fromkeys(("error_px", "error_refitted_px", "displacement_m", "rotation_deg"), math.nan)
        unknown |= dict.fromkeys(("focal_factor", "pose_share", "focal_share"), math.nan)
        return CameraFinding(
            view, timing.verdict, "cannot tell", timing.offset, timing.error, message=sentence, **unknown
        )
    pose, focal = (geometry.refit(rest, view, free) for free in (_POSE, _FOCAL))
    pose_share, focal_share = (
        1 - geometry.cost(refit.camera.into(rest.cameras, view)) / rest.cost for refit in (pose, focal)
    )
    found: Geometry = "consistent"
    if view in blamed:
        found = _pose_or_focal(geometry.refit(rest, view, _BOTH), pose_share, focal_share, settings)
    displacement, rotation = float(pose.parameters[3:6].norm()), math.degrees(float(pose.parameters[:3].norm()))
    factor = float(focal.parameters[6].exp())
    parts = []
    if timing.verdict in ("late", "early"):
        parts.append(f"{timing.verdict} by {abs(timing.offset):.1f} frames")
    if found == "moved":
        parts.append(f"moved by about {100 * displacement:.0f} cm and {rotation:.1f} degrees since its calibration")
    elif found == "focal length":
        parts.append(f"of another focal length than calibrated, about {factor:.3f} times")
    elif found == "pose or focal length":
        parts.append("inconsistent: pose or focal length")
    if not parts:
        parts.append("consistent with the others")
    if timing.verdict == "cannot tell":
        parts.append("moves too little to tell its timing")
    return CameraFinding(
        view=view,
        timing=timing.verdict,
        geometry=found,
        time_offset_frames=timing.offset,
        time_offset_error_frames=timing.error,
        error_px=pose.error_before,
        error_refitted_px=min(pose.error, focal.error),
        displacement_m=displacement,
        rotation_deg=rotation,
        focal_factor=factor,
        pose_share=pose_share,
        focal_share=focal_share,
        message=f"{name} is " + " and ".join(parts),
    )


def _pose_or_focal(both: _Refit, pose_share: float, focal_share: float, settings: Settings) -> Geometry:
    """Tell which of pose and focal length is wrong, if one alone explains what is seen and the other cannot."""
    tolerance = [settings.tolerance_rad] * 3 + [settings.tolerance_depth * both.depth] * 3
    allowed = torch.tensor([*tolerance, settings.tolerance_focal]).to(both.covariance)
    precision = torch.linalg.inv(both.covariance + torch.diag(allowed.square()))
    weighted = precision @ both.parameters
    overall = float(weighted @ both.parameters)
    # Minimum over the one that is free of the Wald statistic of the other.
    against_pose = overall - float(weighted[:6] @ torch.linalg.solve(precision[:6, :6], weighted[:6]))
    against_focal = overall - float(weighted[6] ** 2 / precision[6, 6])
    pose_suffices = against_pose < _CHI2_OF_FOCAL and pose_share > 0
    focal_suffices = against_focal < _CHI2_OF_POSE and focal_share > 0.5 * pose_share
    if focal_suffices and not pose_suffices:
        return "focal length"
    if pose_suffices and not focal_suffices:
        return "moved"
    return "pose or focal length"


# --- shared ------------------------------------------------------------


def _even(scale: Tensor) -> Tensor:
    """Take the views' own factors out of the scale: which view has large errors is the question here."""
    known = torch.where(scale.isfinite(), scale.log(), torch.nan)
    per_view = known.transpose(0, 1).flatten(1).nanmedian(1).values
    return torch.where(scale.isfinite(), (known - per_view[:, None] + per_view.nanmedian()).exp(), torch.inf)


def _cost(squared: Tensor) -> Tensor:
    """Twice the negative logarithm of the likelihood of errors of that squared standardised size."""
    return (DEGREES_OF_FREEDOM + 2) * t_cost(squared)


def _squared_mahalanobis(residual: Tensor, covariance: Tensor) -> Tensor:
    """Squared size of residuals (..., 2) under covariances (..., 2, 2)."""
    x, y = residual.unbind(-1)
    a, b, d = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    return (d * x * x - 2 * b * x * y + a * y * y) / (a * d - b * b)


def _solve_scaled(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve with unknowns of very different units."""
    unit = matrix.diagonal().rsqrt()
    return unit * torch.linalg.solve(unit[:, None] * matrix * unit, unit * right)

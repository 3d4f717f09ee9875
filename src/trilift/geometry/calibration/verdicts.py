"""What can be said of each camera that people calibrated: how sure its pose is, and if it is not, why."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.calibration.certainty import Certainty
from trilift.geometry.calibration.equations import Observations
from trilift.geometry.calibration.findings import CameraFound, Verdict
from trilift.geometry.cameras import Cameras, project, world_to_camera
from trilift.geometry.triangulation import triangulate_robust, triangulate_without

_FEWEST_DETECTIONS = 200
_ALIKE_PX, _ALIKE_SHARE = 0.01, 0.5  # detections of two views in the same places
_OUTLIER = 4.0  # scales, and the point's own error
_MANY_OUTLIERS = 0.25
_WEAK_DEG, _WEAK_SHARE, _WEAK_FOCAL = 1.0, 0.03, 0.03  # standard errors; of the distance to people; relative
_SEEN_SELDOM = 0.2  # of the frames
_LITTLE_PARALLAX = 5.0  # degrees
_FAR_LARGER = 2.2  # times: errors of a view in metres, over the middle of all views
_FLAT_M = 0.05  # across a plane: less is error
_STILL_M = 0.04  # what moves less does not move, or cannot be told from error


class Facts(NamedTuple):
    """What verdicts rest on.

    Attributes
    ----------
    cameras, before
        The rig in its world, NaN where not placed; and as it was given.
    poses
        (frame, keypoint, 3), m.
    observations
        The detections of these frames.
    certainty, grown
        In units of the adjustment, and metres per unit.
    late
        (view,), frames.
    outliers
        (view,): shares.
    left_out
        View -> why it is not placed.
    flat
        Whether all points lie in one plane.
    refined
        Whether `before` is a rig.
    """

    cameras: Cameras
    before: Cameras
    poses: Tensor
    observations: Observations
    certainty: Certainty
    grown: float
    late: Tensor
    outliers: Tensor
    left_out: dict[int, str]
    flat: bool
    refined: bool


def without_use(pixels: Tensor, confidence: Tensor, names: Sequence[str]) -> dict[int, str]:
    """Name views that cannot be placed whatever the others see: view -> why."""
    found = {}
    for view in range(pixels.shape[1]):
        number = int((confidence[:, view] > 0).sum())
        if number < _FEWEST_DETECTIONS:
            found[view] = f"has {number} detected keypoints only"
            continue
        for other in range(view):
            both = (confidence[:, view] > 0) & (confidence[:, other] > 0)
            off = (pixels[:, view] - pixels[:, other]).abs().amax(-1)[both]
            if len(off) and float((off < _ALIKE_PX).double().mean()) > _ALIKE_SHARE:
                found[view] = f"has the same detections as {names[other]}: is it the same video?"
    return found


def contradicts(share: float) -> str:
    """Say why a view is left out of which so many detections are outliers."""
    return (
        f"{share:.0%} of its detections contradict the other views: another person, a mirrored image or a wrong lens"
    )


def outliers(cameras: Cameras, seen: Observations, views: list[int]) -> Tensor:
    """Tell which share of the detections of each view contradicts the others (view,); NaN where not placed."""
    shares = torch.full((len(cameras),), torch.nan, dtype=torch.float64)
    placed = sorted(views)
    rig, scale = cameras[placed], seen.scale[:, placed]
    pixels = torch.where(scale.isfinite()[..., None], seen.pixels[:, placed], torch.nan)
    for row, view in enumerate(placed):
        if len(placed) > 2:
            solution = triangulate_without(rig, pixels, scale, row)
        else:
            solution = triangulate_robust(rig, pixels, scale)
        error = (project(rig[[row]], solution.poses)[:, 0] - pixels[:, row]).norm(dim=-1)
        spread = solution.covariance.diagonal(dim1=-2, dim2=-1).mean(-1).double()
        depth = world_to_camera(rig[[row]], solution.poses)[:, 0, :, 2]
        per_metre = float(rig.focal[row].mean()) / depth.clamp(min=1e-3)
        allowed = _OUTLIER * (scale[:, row].square() + spread * per_metre.square()).sqrt()
        known = error.isfinite() & scale[:, row].isfinite()
        if known.any():
            shares[view] = float((error > allowed)[known].double().mean())
    return shares


def distance(cameras: Cameras, poses: Tensor) -> float:
    """Give how far people are from the cameras (median), in the units of both."""
    middle = torch.nanmedian(poses.flatten(0, 1), 0).values
    return float((cameras.R @ middle + cameras.t).norm(dim=-1).median())


def moves(poses: Tensor, stretch: Tensor) -> bool:
    """Tell whether people move, from poses (frame, keypoint, 3), m, and the stretch of time of each frame."""
    away = _means(poses, stretch)
    away = away - away.nanmean(0)
    moved = away.square().sum(-1).nanmean(0).sqrt()
    moved = moved[moved.isfinite()]
    return len(moved) > 0 and float(moved.quantile(0.75)) > _STILL_M


def flat(poses: Tensor, stretch: Tensor) -> bool:
    """Tell whether all that is seen lies in one plane."""
    points = _means(poses, stretch).flatten(0, 1)
    points = points[points.isfinite().all(1)]
    thin = torch.linalg.eigvalsh(torch.cov(points.T)).clamp(min=0)[0].sqrt()
    return not float(thin) >= _FLAT_M


def _means(poses: Tensor, stretch: Tensor) -> Tensor:
    """Average over stretches: (stretch, keypoint, 3); NaN where a keypoint is in none of its frames."""
    known = poses.isfinite().all(-1, keepdim=True)
    zeros = torch.zeros(int(stretch.max()) + 1, *poses.shape[1:], dtype=poses.dtype)
    total = zeros.index_add(0, stretch, torch.where(known, poses, 0.0))
    number = zeros[..., :1].index_add(0, stretch, known.to(poses.dtype))
    return torch.where(number > 0, total / number, torch.nan)


def judge(facts: Facts) -> list[CameraFound]:
    """Give a verdict on every camera."""
    placed = facts.cameras.t.isfinite().all(1)
    away = distance(facts.cameras[placed], facts.poses)
    scale = facts.observations.scale
    error = (project(facts.cameras, facts.poses) - facts.observations.pixels).norm(dim=-1)
    error = torch.where(scale.isfinite(), error, torch.nan).transpose(0, 1).flatten(1).nanmedian(1).values
    depth = world_to_camera(facts.cameras, facts.poses)[..., 2].transpose(0, 1).flatten(1).nanmedian(1).values
    in_metres = error * depth / facts.cameras.focal.mean(-1)
    # Of two views none can be told to be the worse one.
    larger = in_metres / in_metres[placed].nanquantile(0.5) if placed.sum() > 2 else torch.ones_like(in_metres)
    return [_of_view(facts, view, away, float(error[view]), float(larger[view])) for view in range(len(placed))]


def _of_view(facts: Facts, view: int, away: float, error: float, larger: float) -> CameraFound:
    placed = bool(facts.cameras.t[view].isfinite().all())
    if not placed:
        reason = facts.left_out.get(view, "its detections fit no pose: does it see the same person at the same time?")
        return CameraFound("not placed", reason)
    unit = torch.tensor([1.0] * 3 + [facts.grown] * 3, dtype=torch.float64)
    covariance = facts.certainty.poses[view] * unit[:, None] * unit
    variance = covariance.diagonal()
    turn, shift = math.degrees(math.sqrt(float(variance[:3].mean()))), math.sqrt(float(variance[3:].mean()))
    focal_error = float(facts.certainty.focal[view])
    share = float(facts.outliers[view])
    reason = _weakness(facts, view, turn, shift / away, focal_error, larger)
    verdict: Verdict = "weak" if reason else "well determined"
    now, then = facts.cameras, facts.before
    moved_deg = moved_m = math.nan
    if facts.refined:
        between = now.R[view] @ then.R[view].T
        moved_deg = math.degrees(math.acos(min(max((float(between.trace()) - 1) / 2, -1.0), 1.0)))
        moved_m = float((now.positions[view] - then.positions[view]).norm())
    return CameraFound(
        verdict=verdict,
        reason=reason,
        rotation_deg=turn,
        position_m=shift,
        covariance=covariance,
        focal_factor=float(now.K[view, 0, 0] / then.K[view, 0, 0]),
        focal_error=focal_error,
        late_frames=float(facts.late[view]),
        late_error=float(facts.certainty.late[view]),
        error_px=error,
        outliers=share,
        moved_deg=moved_deg,
        moved_m=moved_m,
    )


def _weakness(facts: Facts, view: int, turn: float, shift: float, focal: float, larger: float) -> str:
    """Say why a camera is weak; empty if it is not."""
    reasons, share = [], float(facts.outliers[view])
    if facts.flat:
        reasons.append("all that is seen lies in one plane, of which two views have two explanations")
    if larger > _FAR_LARGER:
        reasons.append(f"its errors are {larger:.1f} times those of the others: a mirrored image or a wrong lens?")
    if share > _MANY_OUTLIERS:
        reasons.append(
            f"{share:.0%} of its detections contradict the other views: somebody else in some of the frames?"
        )
    if turn > _WEAK_DEG or shift > _WEAK_SHARE or focal > _WEAK_FOCAL:
        seen = facts.observations.scale[:, view].isfinite().any(1).double().mean()
        why = "people moved too little before it, or errors are large"
        if seen < _SEEN_SELDOM:
            why = f"it sees somebody in {float(seen):.0%} of the frames only"
        elif (angle := _parallax(facts, view)) < _LITTLE_PARALLAX:
            why = f"its rays meet those of other cameras at {angle:.0f} degrees"
        error = f"{turn:.1f} degrees, {100 * shift:.0f} % of the distance to people"
        reasons.append(f"standard error of {error}" + (f", focal length {focal:.0%}" if focal else "") + f": {why}")
    return "; ".join(reasons)


def _parallax(facts: Facts, view: int) -> float:
    """Give the median over points of the largest angle (degrees) between its ray and those of other cameras."""
    cameras = facts.cameras[facts.cameras.t.isfinite().all(1)]
    middle = torch.nanmedian(facts.poses, 1).values  # (F, 3)
    ray = middle - facts.cameras.positions[view]
    others = middle[:, None] - cameras.positions
    cosine = (others * ray[:, None]).sum(-1) / (others.norm(dim=-1) * ray.norm(dim=-1)[:, None])
    # Cameras that face each other tell as little as those side by side.
    return float(torch.rad2deg(cosine.abs().clamp(max=1).acos().amax(1).nanmedian()))

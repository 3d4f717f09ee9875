"""Which cameras have moved or refocused, so that the others agree without them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.refit import Camera, Refit, View, robust_cost
from trilift.geometry.rig.settings import Settings
from trilift.geometry.rig.timing import TimeOffset, Timing
from trilift.geometry.triangulation import triangulate_robust

Geometry = Literal["consistent", "moved", "focal length", "pose or focal length", "cannot tell"]


_CHI2_OF_FOCAL, _CHI2_OF_POSE = 3.84, 12.59  # 95 % quantiles with one and six degrees of freedom


_POSE, _FOCAL, _BOTH = range(6), range(6, 7), range(7)


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
    error_px
        Median distance of its detections from the other cameras' points, with the calibration as it is, the cameras
        at fault corrected.
    error_refitted_px
        The same with its pose, or its focal length, refitted: the smaller.
    displacement_m, rotation_deg
        How far the refitted pose is from the calibrated one (focal length as calibrated).
    focal_factor
        The refitted focal length over the calibrated one (pose as calibrated).
    message
        One sentence for the user.
    """

    view: int
    timing: Timing
    geometry: Geometry
    time_offset_frames: float
    error_px: float
    error_refitted_px: float
    displacement_m: float
    rotation_deg: float
    focal_factor: float
    message: str

    @property
    def at_fault(self) -> bool:
        """Whether the user has to look at this camera."""
        return self.timing in ("late", "early") or self.geometry not in ("consistent", "cannot tell")


@dataclass(frozen=True)
class _Set:
    """Cameras taken to be at fault, the rig with their poses refitted, and its robust cost."""

    views: tuple[int, ...]
    cameras: Cameras
    cost: float


class Trials:
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
        self._examined: dict[tuple[tuple[int, ...], int], View] = {}
        self._refitted: dict[tuple[tuple[int, ...], int, range], Refit] = {}

    def cost(self, cameras: Cameras) -> float:
        """Mean robust cost of a detection, all views triangulated."""
        squared = (triangulate_robust(cameras, self.pixels, self.even).error / self.even).square()
        squared = squared[squared.isfinite() & self.even.isfinite()]
        return float(robust_cost(squared).mean()) if len(squared) else math.nan

    def examine(self, base: _Set, view: int) -> View:
        """Compare a view with the others, those of a set corrected."""
        key = base.views, view
        if key not in self._examined:
            self._examined[key] = View(base.cameras, self.pixels, self.scale, view)
        return self._examined[key]

    def refit(self, base: _Set, view: int, free: range) -> Refit:
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
            examined = View(cameras, self.pixels, self.scale, before)
            if examined.enough:
                original = Camera.of(self.sets[()].cameras, before)
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


def find(geometry: Trials, blamed: tuple[int, ...], view: int, timing: TimeOffset, name: str) -> CameraFinding:
    """Put together what was found about a camera."""
    settings, rest = geometry.settings, geometry.without(blamed, view)
    known = geometry.views > 2 and rest is not None and geometry.examine(rest, view).enough
    if not known or rest is None:
        sentence = f"{name}: too few detections in common with two other cameras to tell anything"
        unknown = ("error_px", "error_refitted_px", "displacement_m", "rotation_deg", "focal_factor")
        return CameraFinding(
            view, timing.verdict, "cannot tell", timing.offset, message=sentence, **dict.fromkeys(unknown, math.nan)
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
        error_px=pose.error_before,
        error_refitted_px=min(pose.error, focal.error),
        displacement_m=displacement,
        rotation_deg=rotation,
        focal_factor=factor,
        message=f"{name} is " + " and ".join(parts),
    )


def _pose_or_focal(both: Refit, pose_share: float, focal_share: float, settings: Settings) -> Geometry:
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


def _even(scale: Tensor) -> Tensor:
    """Take the views' own factors out of the scale: which view has large errors is the question here."""
    known = torch.where(scale.isfinite(), scale.log(), torch.nan)
    per_view = known.transpose(0, 1).flatten(1).nanmedian(1).values
    return torch.where(scale.isfinite(), (known - per_view[:, None] + per_view.nanmedian()).exp(), torch.inf)

"""What is found out about a rig that people calibrated, and how sure that is."""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras

Verdict = Literal["well determined", "weak", "not placed"]


class Undetermined(ValueError):
    """The detections cannot tell how the cameras stand; the message says why, and what would help."""


@dataclass(frozen=True)
class Scale:
    """One length by which the rig gets its size: exactly one of these.

    Attributes
    ----------
    stature_m
        How tall the person is.
    bone
        Two keypoints, and their distance in metres.
    baseline
        Two views (indices), and their cameras' distance in metres.
    """

    stature_m: float | None = None
    bone: tuple[str, str, float] | None = None
    baseline: tuple[int, int, float] | None = None


@dataclass(frozen=True)
class CameraFound:
    """What was found about one camera; NaN where it is not placed.

    Attributes
    ----------
    verdict, reason
        How well it is determined, and if it is weak or not placed, why.
    rotation_deg, position_m
        Standard errors (root of the mean square over the axes), those of the rig as a whole taken out.
    covariance
        (6, 6): of the rotation (rad) and the displacement of the centre (m), both in the axes of the camera.
    focal_factor, focal_error
        Focal length over the one given, and its relative standard error (0 where it was known).
    late_frames, late_error
        By how many frames the camera is late against the first one that is placed, and the standard error.
    error_px
        Median distance of its detections from the points of all views.
    outliers
        Share of its detections that contradict the other views.
    moved_deg, moved_m
        How far the pose is from the one that was given; NaN unless a rig is refined.
    """

    verdict: Verdict
    reason: str
    rotation_deg: float = math.nan
    position_m: float = math.nan
    covariance: Tensor = field(default_factory=lambda: torch.full((6, 6), torch.nan, dtype=torch.float64))
    focal_factor: float = math.nan
    focal_error: float = math.nan
    late_frames: float = math.nan
    late_error: float = math.nan
    error_px: float = math.nan
    outliers: float = math.nan
    moved_deg: float = math.nan
    moved_m: float = math.nan


@dataclass(frozen=True)
class Rig:
    """Cameras that people calibrated.

    Attributes
    ----------
    cameras
        In metres, z up, the floor at 0 and its origin below the middle of where people were; if refined, in the world
        that the rig had. NaN where not placed.
    found
        Per view.
    frames
        (frame,): which frames were used.
    poses
        (frame, keypoint, 3): the people in them, m; NaN where not known.
    points_m
        By how much points are off (root mean square) by what is not known of the cameras: what the detections' own
        errors do to them comes on top.
    stature_m
        How tall the person comes out, by shanks, thighs and trunk.
    problems
        What speaks against the rig as a whole, in sentences: a mirrored world, a floor that is none.
    """

    cameras: Cameras
    found: list[CameraFound]
    frames: Tensor
    poses: Tensor
    points_m: float
    stature_m: float
    problems: list[str]

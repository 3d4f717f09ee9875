"""A ring of cameras and a person among them, in place of what the solver finds."""

from collections.abc import Callable

import numpy as np
import torch

from synthetic import ring_of_cameras, waving_person
from trilift.geometry.calibration.findings import CameraFound, Rig
from trilift.geometry.cameras import Cameras


def found(**other: object) -> CameraFound:
    """What is found of a camera that is well determined, or with other values."""
    values = {
        "verdict": "well determined",
        "reason": "",
        "rotation_deg": 0.1,
        "position_m": 0.005,
        "covariance": torch.eye(6).double(),
        "focal_factor": 1.0,
        "focal_error": 0.01,
        "late_frames": 0.0,
        "late_error": 0.05,
        "error_px": 2.5,
        "outliers": 0.02,
        "moved_deg": float("nan"),
        "moved_m": float("nan"),
    }
    return CameraFound(**(values | other))


def ring(views: int, *, frames: int = 24, problems: tuple[str, ...] = (), **of_last: object) -> Rig:
    """A ring of cameras of which the last has other values; it has no pose where it is not placed."""
    cameras = Cameras.stack(ring_of_cameras(views))
    last = found(**of_last)
    if last.verdict == "not placed":
        cameras.R[-1], cameras.t[-1] = float("nan"), float("nan")
    poses = torch.from_numpy(waving_person(frames) + np.linspace([-1, -0.5, 0], [1, 0.5, 0], frames)[:, None])
    return Rig(cameras, [*[found()] * (views - 1), last], torch.arange(frames), poses, 0.004, 1.7, list(problems))


class Solver:
    """Stands in for `calibrate`: keeps what it is given, and gives a rig."""

    def __init__(self, rig: Callable[[int], Rig]):
        self.given: dict[str, object] = {}
        self._rig = rig

    def __call__(self, cameras, pixels, confidence, skeleton, fps, **others):
        self.given = {"cameras": cameras, "pixels": pixels, "confidence": confidence, "fps": fps, **others}
        return self._rig(len(cameras))

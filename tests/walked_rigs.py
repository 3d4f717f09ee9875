"""A simulated person who walks before a rig that is to be found, and how far what is found is off."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from synthetic import ring_of_cameras
from trilift.formats import Camera
from trilift.geometry.calibration.calibrate import calibrate
from trilift.geometry.calibration.findings import Rig, Scale
from trilift.geometry.cameras import Cameras
from trilift.geometry.similarity import similarity
from trilift.simulate.body import sample_body
from trilift.simulate.detector import DetectorModel
from trilift.simulate.filming import Detector, film
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import H36M17, Skeleton

FPS = 30
WALKING, REACHING = 450, 150  # frames
RIGHT_DEG, RIGHT_MM = 0.5, 30.0


@dataclass(frozen=True)
class Recording:
    """What is detected in all views, and what is true."""

    rig: list[Camera]
    skeleton: Skeleton
    poses: np.ndarray  # (frame, joint, 3) m
    pixels: np.ndarray
    confidence: np.ndarray
    segments: np.ndarray

    @property
    def cameras(self) -> Cameras:
        return Cameras.stack(self.rig)

    @property
    def shank_m(self) -> float:
        knee, ankle = (self.poses[:, H36M17.index(name)] for name in ("right_knee", "right_ankle"))
        return float(np.linalg.norm(knee - ankle, axis=-1).mean())

    def calibrate(self, cameras: Cameras | None = None, **options) -> Rig:
        options = {"scale": Scale(bone=("right_knee", "right_ankle", self.shank_m)), "find_offsets": False} | options
        return calibrate(
            cameras or unplaced(self.cameras),
            torch.as_tensor(self.pixels),
            torch.as_tensor(self.confidence),
            self.skeleton,
            FPS,
            image_size=torch.as_tensor(np.stack([camera.image_size for camera in self.rig])),
            segments=torch.as_tensor(self.segments),
            **options,
        )

    def without(self, missing: np.ndarray) -> "Recording":
        """Leave out detections, told by a mask that broadcasts against (frame, view, keypoint)."""
        missing = np.broadcast_to(missing, self.confidence.shape)
        return replace(
            self,
            pixels=np.where(missing[..., None], np.nan, self.pixels),
            confidence=np.where(missing, 0.0, self.confidence),
        )

    def showing(self, view: int, pixels: np.ndarray, confidence: np.ndarray) -> "Recording":
        """Let a view show something else."""
        changed = self.pixels.copy(), self.confidence.copy()
        changed[0][:, view], changed[1][:, view] = pixels, confidence
        return replace(self, pixels=changed[0], confidence=changed[1])


def unplaced(cameras: Cameras) -> Cameras:
    return replace(cameras, R=torch.full_like(cameras.R, torch.nan), t=torch.full_like(cameras.t, torch.nan))


def watched(poses, rig, layout=H36M17, seed=0):
    detector = Detector(layout, DetectorModel(), hidden=0.0, gives_confidence=True)
    found = film(rig, poses, detector, FPS, np.random.default_rng(seed))
    return found.pixels, found.confidence


def make(cameras=4, layout=H36M17, seed=0):
    rng = np.random.default_rng(seed)
    body, rig = sample_body(rng), ring_of_cameras(cameras)
    walking = simulate_motion("walking", body, WALKING, FPS, rng)
    reaching = simulate_motion("reaching", body, REACHING, FPS, rng)
    seen = [watched(poses, rig, layout, seed + part) for part, poses in enumerate((walking, reaching))]
    pixels, confidence = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    segments = np.repeat([0, 1], [WALKING, REACHING])
    return Recording(rig, layout, np.concatenate([walking, reaching]), pixels, confidence, segments)


def centres(cameras):
    return -(cameras.R.mT @ cameras.t[..., None])[..., 0]


def between(cameras, true):
    """Angle (degrees) by which the rotation between two cameras is off: (camera, camera); NaN where not placed."""
    turns = [(rig.R[:, None] @ rig.R.mT).reshape(-1, 3, 3).numpy() for rig in (cameras, true)]
    off, known = np.full(len(turns[0]), np.nan), np.isfinite(turns[0]).all((1, 2))
    off[known] = np.degrees(Rotation.from_matrix(turns[0][known] @ turns[1][known].swapaxes(1, 2)).magnitude())
    return off.reshape(len(true), len(true))


def displaced(cameras, true):
    """How far (mm) cameras are from where they truly are, after the similarity that fits them best."""
    found, expected = centres(cameras), centres(true)
    return 1e3 * (similarity(found, expected).place(found) - expected).norm(dim=-1)


def trusted(rig):
    return [view for view, camera in enumerate(rig.found) if camera.verdict == "well determined"]

"""Real motion seen by the simulated detector: CMU motion capture in Human3.6M's rig.

The motion is read from ../shared/data/cmu_mocap beside the project, or from the folder that TRILIFT_REAL_DATA names.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trilift.formats import human36m
from trilift.geometry.cameras import Cameras, project
from trilift.simulate.body import sample_body
from trilift.simulate.detector import DetectorModel, detect, error_scale
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.skeletons import H36M17

SUBJECT = "S1"
"""The subject of Human3.6M whose camera poses are used."""

LEARNT_FROM_FRAMES = 500
"""From how many frames the noise of the detector is learnt; they are from all over the motion."""

FOLDER = Path(os.environ.get("TRILIFT_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "cmu_mocap"
MISSING = f"the motion is not there: {FOLDER} (TRILIFT_REAL_DATA names the folder that holds cmu_mocap)"


class Motion(NamedTuple):
    """Clips one after another: ``poses`` (frame, 17, 3) in metres, z up, ``clip`` and ``person`` (frame,)."""

    poses: np.ndarray
    clip: np.ndarray
    person: np.ndarray
    fps: float
    name: str


class Rig(NamedTuple):
    cameras: Cameras
    image_size: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """The point nearest to all optical axes."""
        axis = self.cameras.R[:, 2]
        across = torch.eye(3, dtype=axis.dtype) - axis[:, :, None] * axis[:, None]
        centre = -(self.cameras.R.mT @ self.cameras.t[..., None])
        return torch.linalg.solve(across.sum(0), (across @ centre).sum(0))[:, 0].numpy()


@dataclass(frozen=True)
class Seen:
    """A motion and its detections, all as long as the motion's frames.

    Attributes
    ----------
    poses
        (frame, keypoint, 3): where they truly are, in metres.
    pixels
        (frame, view, keypoint, 2), float32 as in a file of captures.
    confidence, outlier
        (frame, view, keypoint).
    true_scale
        (frame, view, keypoint) px: of each detection's Student t error, or `outlier_px` for outliers; infinite
        where there is no detection.
    clip, person
        (frame,).
    """

    cameras: Cameras
    poses: np.ndarray
    pixels: torch.Tensor
    confidence: torch.Tensor
    outlier: torch.Tensor
    true_scale: torch.Tensor
    clip: np.ndarray
    person: np.ndarray
    fps: float

    @property
    def views(self) -> np.ndarray:
        """Number of views that found a keypoint (frame, keypoint)."""
        return (self.confidence > 0).sum(1).numpy()


def read_motion(limit_frames: int | None = None) -> Motion:
    """Read the motion, of every clip the first `limit_frames` frames.

    Raises
    ------
    FileNotFoundError
        Saying where it was looked for.
    """
    file = FOLDER / "cmu_h36m17_60hz.npz"
    if not file.exists():
        raise FileNotFoundError(MISSING)
    with np.load(file) as content:
        poses, clip, person = content["joints"].astype(float), content["clip"], content["subject"]
        motion = Motion(poses, clip, person, float(content["fps"]), "CMU motion capture")
    return _limit(motion, limit_frames)


def make_motion(limit_frames: int | None = None) -> Motion:
    """Make a seeded motion of about the same size, for where the real one is missing."""
    rng = np.random.default_rng(0)
    names, frames, clips = list(MOTIONS), 1389, 28
    poses = [simulate_motion(names[i % len(names)], sample_body(rng), frames, 60, rng) for i in range(clips)]
    clip = np.repeat(np.arange(clips), frames)
    motion = Motion(np.concatenate(poses), clip, clip.astype(str), 60.0, "SIMULATED motion")
    return _limit(motion, limit_frames)


def read_or_make_motion(limit_frames: int | None = None) -> Motion:
    """Read the real motion or, if it is missing, make one; the name says which."""
    try:
        return read_motion(limit_frames)
    except FileNotFoundError:
        return make_motion(limit_frames)


def _limit(motion: Motion, frames: int | None) -> Motion:
    if frames is None:
        return motion
    number = np.arange(len(motion.clip)) - np.searchsorted(motion.clip, motion.clip)  # clips are in order
    kept = number < frames
    return motion._replace(poses=motion.poses[kept], clip=motion.clip[kept], person=motion.person[kept])


def rig() -> Rig:
    """Human3.6M's four cameras as they stood for one subject."""
    views = human36m.read_cameras()[SUBJECT]
    return Rig(Cameras.stack(views), np.stack([view.image_size for view in views]))


def sample_frames(frames: int) -> np.ndarray:
    """Choose the frames, evenly spread, from which the noise of the detector is learnt."""
    return np.linspace(0, frames - 1, min(frames, LEARNT_FROM_FRAMES)).astype(int)


def see(motion: Motion, model: DetectorModel, seed: int = 0) -> Seen:
    """Place every clip in the middle of the rig by its mean pelvis (the floor stays) and detect it."""
    cameras, image_size = studio = rig()
    middle = studio.middle
    rng = np.random.default_rng(seed)
    poses, detections = [], []
    for clip in np.unique(motion.clip):
        placed = motion.poses[motion.clip == clip]
        placed = placed + np.append((middle - placed[:, H36M17.index("pelvis")].mean(0))[:2], 0)
        pixels = project(cameras, torch.as_tensor(placed)).numpy()
        poses.append(placed)
        detections.append(detect(pixels, image_size, H36M17, motion.fps, model, rng))
    keypoints, confidence, outlier = (np.concatenate(values) for values in zip(*detections, strict=True))
    scale = np.where(outlier, model.outlier_px, model.scale * error_scale(confidence))
    return Seen(
        cameras=cameras,
        poses=np.concatenate(poses),
        pixels=torch.as_tensor(keypoints.astype(np.float32)),
        confidence=torch.as_tensor(confidence.astype(np.float32)),
        outlier=torch.as_tensor(outlier),
        true_scale=torch.as_tensor(np.where(confidence > 0, scale, np.inf)),
        clip=motion.clip,
        person=motion.person,
        fps=motion.fps,
    )

"""Rigs whose poses are to be found: who walks before them, what is seen, and how far a rig that was found is off.

A minute of walking and reaching is made of two clips of one person of the CMU motion capture (`cmu_mocap`), the first
half of a minute of each (or as many seconds as are asked for), at 60 Hz. Of all clips those six were taken that are
long enough, have no glitch, go over at least 1.6 m both ways, and in which the person is mostly on the floor. They
are from a playground and from uneven ground: feet are not always on one plane. Nothing is stretched or turned;
every clip is centred on the middle of the room, as in the other benchmarks.

The detector is the off-the-shelf one of the simulated captures: its errors are those of its model, times how much
larger a person in the middle is in a view than in Human3.6M's. Of drawn rigs those are taken whose every camera sees
at least half of all joints.
"""

from dataclasses import replace
from typing import NamedTuple

import cmu_mocap
import cv2
import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from trilift.formats import Camera, human36m
from trilift.geometry.calibration.findings import Scale
from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.triangulation import triangulate
from trilift.simulate.detector import LEVELS, error_scale
from trilift.simulate.filming import PX_PER_METRE, Detector, film
from trilift.simulate.rigs import draw_rig, look, magnification
from trilift.simulate.settings import Rigs
from trilift.skeletons import H36M17

MINUTES = (("01_04", "01_05"), ("01_02", "01_03"), ("03_03", "03_04"))
"""Clips of the minutes; Human3.6M's rig sees the first."""

FEWEST_SEEN = 0.5
DETECTOR = Detector(H36M17, LEVELS["off-the-shelf"], hidden=0.0, gives_confidence=True)
SHANK = ("right_knee", "right_ankle")
_NAIVE_POINTS, _NAIVE_PX = 20_000, 10.0


class Scene(NamedTuple):
    """A person before a rig.

    Attributes
    ----------
    rig
        The cameras, as they truly are; they stand around the origin.
    poses
        (frame, keypoint, 3) m, where the person is when a view that is not late shows a frame.
    pixels
        (frame, view, keypoint, 2) px; NaN is missing.
    confidence
        (frame, view, keypoint).
    late
        (view,): by how many frames a view is late.
    clip
        (frame,).
    """

    rig: list[Camera]
    poses: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray
    late: np.ndarray
    clip: np.ndarray
    fps: float

    @property
    def cameras(self) -> Cameras:
        return Cameras.stack(self.rig)

    @property
    def image_size(self) -> np.ndarray:
        return np.stack([camera.image_size for camera in self.rig])

    @property
    def error_scale(self) -> torch.Tensor:
        """(frame, view, keypoint) px, of the Student t that the errors were drawn from; infinite where missing."""
        enlarged = magnification(self.rig)[:, None] / PX_PER_METRE
        return torch.as_tensor(np.where(self.confidence > 0, enlarged * error_scale(self.confidence), np.inf))

    @property
    def scale(self) -> Scale:
        """What is told of the person: how long a shank is."""
        one, other = (self.poses[:, H36M17.index(name)] for name in SHANK)
        return Scale(bone=(*SHANK, float(np.linalg.norm(one - other, axis=-1).mean())))


class Walk(NamedTuple):
    """Poses (frame, 17, 3), m, around the origin, and which clip a frame is of (frame,)."""

    poses: np.ndarray
    clip: np.ndarray
    fps: float


def minute(number: int, seconds: float) -> Walk:
    motion = cmu_mocap.read_motion()
    with np.load(cmu_mocap.FOLDER / "cmu_h36m17_60hz.npz") as content:
        names = [str(name).removesuffix(".amc") for name in content["clip_names"]]
    frames = round(seconds * motion.fps / 2)
    return _join(
        [motion.poses[motion.clip == names.index(name)][:frames] for name in MINUTES[number % 3]], motion.fps
    )


def long_walk(frames: int) -> Walk:
    """Give so many frames of one person, of whatever clips there are, as `minute` does."""
    motion = cmu_mocap.read_motion()
    own = np.flatnonzero(motion.person == "01")[:frames]
    return _join([motion.poses[own[motion.clip[own] == clip]] for clip in np.unique(motion.clip[own])], motion.fps)


def _join(clips: list[np.ndarray], fps: float) -> Walk:
    pelvis = H36M17.index("pelvis")
    poses = [clip - np.append(clip[:, pelvis, :2].mean(0), 0) for clip in clips]
    return Walk(np.concatenate(poses), np.repeat(np.arange(len(clips)), [len(clip) for clip in clips]), fps)


def human36m_rig() -> list[Camera]:
    """Human3.6M's four cameras as they stood for one subject, around the origin."""
    middle = cmu_mocap.rig().middle * [1, 1, 0]
    return [replace(camera, t=camera.t + camera.R @ middle) for camera in human36m.read_cameras()[cmu_mocap.SUBJECT]]


def draw(cameras: int, poses: np.ndarray, rng: np.random.Generator) -> list[Camera]:
    """Draw a rig each of whose cameras sees enough of a motion."""
    while True:
        rig = draw_rig(Rigs(cameras=[cameras, cameras], distance_m=[3.0, 7.0]), rng)
        pixels, size = look(rig, poses[::20]), np.stack([camera.image_size for camera in rig])[:, None]
        with np.errstate(invalid="ignore"):
            seen = ((pixels >= 0) & (pixels < size)).all(-1).mean((0, 2))
        if seen.min() >= FEWEST_SEEN:
            return rig


def see(rig: list[Camera], walk: Walk, rng: np.random.Generator, late: np.ndarray | None = None) -> Scene:
    """Detect a person in all views, which may be late; a frame that a view has nothing to show for is missing."""
    poses, clip, fps = walk
    late = np.zeros(len(rig)) if late is None else late
    found = []
    for number in np.unique(clip):
        of_clip = poses[clip == number]
        time = np.arange(len(of_clip))
        path = CubicSpline(time, of_clip, extrapolate=False)
        views = [film([camera], path(time - by), DETECTOR, fps, rng) for camera, by in zip(rig, late, strict=True)]
        found.append([np.concatenate(values, 1) for values in zip(*views, strict=True)])
    pixels, confidence, _ = (np.concatenate(values) for values in zip(*found, strict=True))
    return Scene(rig, poses, pixels, confidence, late, clip, fps)


class Aligned(NamedTuple):
    """A rig moved, turned and scaled to where another stands, which `scale`, `rotation` and `shift` do to points."""

    cameras: Cameras
    scale: float
    rotation: np.ndarray
    shift: np.ndarray

    def place(self, points: torch.Tensor) -> torch.Tensor:
        return self.scale * points @ torch.as_tensor(self.rotation.T) + torch.as_tensor(self.shift)


def centres(cameras: Cameras) -> np.ndarray:
    return -(cameras.R.mT @ cameras.t[..., None])[..., 0].numpy()


def align(cameras: Cameras, to: Cameras, reach_m: float) -> Aligned:
    """Align a rig by a similarity.

    Least is the sum over cameras of the squared distance of the centres and the squared angle (rad, while small)
    times `reach_m`; with 0, that of the centres alone. Rotation and scale are solved for in turn (Umeyama 1991).
    """
    at, true = centres(cameras), centres(to)
    from_middle, from_true = at - at.mean(0), true - true.mean(0)
    turned = (to.R.mT @ cameras.R).sum(0).numpy()  # the squared angle is half the squared distance of the matrices
    rotation = np.eye(3)
    scale = np.linalg.norm(from_true) / np.linalg.norm(from_middle)
    for _ in range(20):
        u, _, vt = np.linalg.svd(scale * from_true.T @ from_middle + reach_m**2 / 2 * turned)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        scale = max((from_true * (from_middle @ rotation.T)).sum() / (from_middle**2).sum(), 1e-6)
    shift = true.mean(0) - scale * rotation @ at.mean(0)
    turn = cameras.R @ torch.as_tensor(rotation.T)
    placed = torch.as_tensor(scale * at @ rotation.T + shift)
    moved = replace(cameras, R=turn, t=-(turn @ placed[..., None])[..., 0])
    return Aligned(moved, scale, rotation, shift)


def reach(cameras: Cameras, poses: np.ndarray) -> float:
    """How far the person is from the cameras (m), on average."""
    return float(np.linalg.norm(centres(cameras) - np.nanmean(poses, (0, 1)), axis=-1).mean())


def unplaced(cameras: Cameras) -> Cameras:
    """Forget where cameras are: nothing can come of it by mistake."""
    return replace(cameras, R=torch.full_like(cameras.R, torch.nan), t=torch.full_like(cameras.t, torch.nan))


def placed(cameras: Cameras) -> list[int]:
    """Which cameras have a pose."""
    return torch.nonzero(cameras.t.isfinite().all(1))[:, 0].tolist()


def rotation_errors(cameras: Cameras, true: Cameras) -> np.ndarray:
    """Angle (degrees) by which the rotation between two cameras is off, for every pair."""
    one, other = np.triu_indices(len(true), 1)
    between = [(rig.R[other] @ rig.R[one].mT).numpy() for rig in (cameras, true)]
    return np.degrees(Rotation.from_matrix(between[0] @ between[1].swapaxes(1, 2)).magnitude())


def position_errors(cameras: Cameras, true: Cameras) -> np.ndarray:
    """How far (mm) each camera is from where it truly is, after the similarity that fits the centres best."""
    return 1e3 * np.linalg.norm(centres(align(cameras, true, 0.0).cameras) - centres(true), axis=-1)


def standardised(aligned: Cameras, true: Cameras, covariance: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (camera, 2) of rotations and of positions, both in the axes of the cameras."""
    turned = Rotation.from_matrix((aligned.R @ true.R.mT).numpy()).as_rotvec()
    moved = (true.R.numpy() @ (centres(aligned) - centres(true))[..., None])[..., 0]
    blocks = covariance[:, :3, :3], covariance[:, 3:, 3:]
    return np.stack(
        [
            (error * np.linalg.solve(block, error[..., None])[..., 0]).sum(-1)
            for error, block in zip((turned, moved), blocks, strict=True)
        ],
        -1,
    )


def naive(cameras: Cameras, pixels: np.ndarray, confidence: np.ndarray) -> Cameras:
    """Place cameras as a first script would: essential matrices along a chain, and no adjustment.

    `cv2.findEssentialMat` and `cv2.recoverPose` of each camera and the next, from the surer half of what both see.
    How long a baseline is over the one before follows from the depths of the points of both pairs. NaN from where the
    chain breaks. (MAGSAC and the threshold are what did best: after plain RANSAC rotations are off by 5 to 30
    degrees.)
    """
    rays = to_rays(cameras, torch.as_tensor(pixels).double())
    rotations, positions = [np.eye(3)], [np.zeros(3)]
    depth_before: np.ndarray | None = None
    baseline = 1.0
    for view in range(len(cameras) - 1):
        sure = confidence[:, view : view + 2].min(1)
        both = (sure > 0) & (sure >= np.median(sure[sure > 0])) if (sure > 0).any() else sure > 0
        rows = np.flatnonzero(both.ravel())[:: max(1, int(both.sum()) // _NAIVE_POINTS)]
        one, other = (rays[:, each].reshape(-1, 2).numpy()[rows] for each in (view, view + 1))
        pair = _relative_pose(one, other, _NAIVE_PX / float(cameras.focal[view : view + 2].mean()))
        if pair is None:
            break
        R, t = pair
        two = Cameras(
            torch.eye(3, dtype=torch.double).repeat(2, 1, 1),
            torch.zeros(2, 5, dtype=torch.double),
            torch.as_tensor(np.stack([np.eye(3), R])),
            torch.as_tensor(np.stack([np.zeros(3), t])),
        )
        points = triangulate(two, rays[:, view : view + 2])[0].numpy()
        if depth_before is not None:
            baseline *= float(np.nanmedian(depth_before / points[..., 2]))
        depth_before = (points @ R.T + t)[..., 2]
        rotations.append(R @ rotations[-1])
        positions.append(R @ positions[-1] + baseline * t)
    missing = len(cameras) - len(rotations)
    rotations += [np.full((3, 3), np.nan)] * missing
    positions += [np.full(3, np.nan)] * missing
    return replace(cameras, R=torch.as_tensor(np.stack(rotations)), t=torch.as_tensor(np.stack(positions)))


def _relative_pose(one: np.ndarray, other: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray] | None:
    if len(one) < 8:
        return None
    cv2.setRNGSeed(0)
    essential, kept = cv2.findEssentialMat(
        one, other, np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=threshold
    )
    if essential is None or essential.shape != (3, 3):
        return None
    _, R, t, _ = cv2.recoverPose(essential, one, other, np.eye(3), mask=kept)
    return R, t[:, 0]

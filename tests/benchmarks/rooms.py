"""Rooms with several people, seen by the simulated detector, and how well somebody's grouping tells them apart.

The people move as in CMU motion capture (`cmu_mocap`), forwards and backwards in turns, so that a scene is as long as
it is wanted. They keep apart by the length of two forearms and walk round each other. Who stands nearer hides who is
behind.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cmu_mocap
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from trilift.formats import Camera
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.simulate.detector import LEVELS, MEAN_MISSED_RUN, detect
from trilift.simulate.rigs import draw_rig, look
from trilift.simulate.settings import Rigs
from trilift.skeletons import H36M17

FPS = 30.0
NEAREST_M = 0.6  # that two pelvises come to each other: hand-shake distance
_ROOM_M = 1.0  # half its side, within which the middles of the people's ways lie
_LIMB_M = 0.07  # half the width of what hides others
_MISSED, _FALSE = (
    0.03,
    0.03,
)  # share of people who are missed as a whole; of frames of a view with a detection of nobody
_FUSED_FROM = 0.1  # two people whose keypoints lie so close (median, of the size) may be seen as one ...
_FUSED = 0.3  # ... as often


class Scene(NamedTuple):
    """Several people before several cameras.

    Attributes
    ----------
    rig
        The cameras.
    poses
        (frame, person, keypoint, 3) m.
    pixels
        (frame, view, detection, keypoint, 2) px, the detections of a frame in no order; NaN is missing.
    confidence
        (frame, view, detection, keypoint).
    who
        (frame, view, detection): whose it is; -1 where it is nobody's, two people's or none.
    """

    rig: list[Camera]
    poses: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray
    who: np.ndarray

    @property
    def cameras(self) -> Cameras:
        return Cameras.stack(self.rig)


def _forth_and_back(length: int, frames: int, start: int) -> np.ndarray:
    """Number the frames of a clip that is played forwards and backwards in turns."""
    place = (start + np.arange(frames)) % (2 * length - 2)
    return np.minimum(place, 2 * length - 2 - place)


def walk_about(people: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Let people move about in a room: (frame, person, 17, 3) m."""
    motion = cmu_mocap.read_or_make_motion()
    step = round(motion.fps / FPS)
    clips = [clip for clip in np.unique(motion.clip) if (motion.clip == clip).sum() >= 700]
    poses = np.empty((frames, people, 17, 3))
    for person, clip in enumerate(rng.permutation(clips)[:people]):
        of_clip = motion.poses[motion.clip == clip][::step]
        of_clip = of_clip * rng.uniform(0.88, 1.08)  # people of different stature
        turned = of_clip @ Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)).as_matrix().T
        turned = turned - np.append(turned[:, 0, :2].mean(0) - rng.uniform(-_ROOM_M, _ROOM_M, 2), 0)
        poses[:, person] = turned[_forth_and_back(len(turned), frames, rng.integers(len(turned)))]
    moved = np.zeros((frames, people, 2))
    for _ in range(40 if people > 1 else 0):
        place = poses[:, :, 0, :2] + moved
        apart = place[:, :, None] - place[:, None]
        distance = np.linalg.norm(apart, axis=-1)
        distance[:, np.arange(people), np.arange(people)] = np.inf
        push = (NEAREST_M - distance).clip(0)[..., None] / 2 * apart / np.maximum(distance, 0.05)[..., None]
        moved = gaussian_filter1d(moved + 1.5 * push.sum(2), 5, axis=0, mode="nearest")
    poses[..., :2] += moved[:, :, None]
    return poses


def _hidden(rig: list[Camera], poses: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Tell which keypoints are behind somebody's limbs: (frame, view, person, keypoint)."""
    frames, people = poses.shape[:2]
    depth = world_to_camera(Cameras.stack(rig), torch.as_tensor(poses.reshape(frames, -1, 3)))[..., 2].numpy()
    depth = depth.reshape(frames, len(rig), people, 17)
    focal = np.array([camera.K[0, 0] for camera in rig])[:, None]
    hidden = np.zeros(depth.shape, bool)
    for near in range(people):
        for far in set(range(people)) - {near}:
            for one, other in H36M17.bone_indices:
                a, b = pixels[:, :, near, one, None], pixels[:, :, near, other, None]
                along, point = b - a, pixels[:, :, far] - a
                share = ((point * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)).clip(0, 1)
                distance = np.linalg.norm(point - share[..., None] * along, axis=-1)
                of_limb = depth[:, :, near, [one, other]].mean(-1, keepdims=True)
                with np.errstate(invalid="ignore"):
                    hidden[:, :, far] |= (distance < _LIMB_M * focal[..., None][None, :, 0] / of_limb) & (
                        of_limb < depth[:, :, far] - 0.1
                    )
    return hidden


def _in_runs(shape: tuple[int, ...], share: float, rng: np.random.Generator, mean: float = 2 * MEAN_MISSED_RUN):
    """Draw runs of frames (first axis): True in so large a share of them."""
    state = np.empty(shape, bool)
    state[0] = rng.random(shape[1:]) < share
    for frame in range(1, shape[0]):
        chance = np.where(state[frame - 1], 1 - 1 / mean, share / (1 - share) / mean)
        state[frame] = rng.random(shape[1:]) < chance
    return state


def make(people: int, views: int, frames: int, seed: int, level: str = "off-the-shelf") -> Scene:
    """Make a scene.

    People are missed as a whole for 3 % of the time besides what others hide of them; in 3 % of the frames of a view
    somebody is found who is nobody; one view sees a poster; two people who lie upon each other in an image may be
    found as one.
    """
    rng = np.random.default_rng(seed)
    limits = Rigs(cameras=[views, views], arc_deg=[360, 360], distance_m=[5.0, 7.5], focal=[0.8, 1.1], off_centre=0.1)
    rig = draw_rig(limits, rng)
    poses = walk_about(people, frames, rng)
    pixels = look(rig, poses.reshape(frames, -1, 3)).reshape(frames, views, people, 17, 2)
    sizes = np.stack([camera.image_size for camera in rig])
    seen = np.where(_hidden(rig, poses, pixels)[..., None], np.nan, pixels)
    detections = [detect(seen[:, :, one], sizes, H36M17, FPS, LEVELS[level], rng) for one in range(people)]
    found = np.stack([one.pixels for one in detections], 2)
    confidence = np.stack([one.confidence for one in detections], 2)
    missed = _in_runs((frames, views, people), _MISSED, rng) | ((confidence > 0).sum(-1) < 5)
    who = np.where(missed, -2, np.arange(people))
    _fuse(found, confidence, who, pixels, rng)
    found, confidence, who = _add_nobodies(found, confidence, who, rng)
    gone = (who == -2)[..., None]
    found, confidence = np.where(gone[..., None], np.nan, found), np.where(gone, 0.0, confidence)
    order = rng.permuted(np.broadcast_to(np.arange(who.shape[2]), who.shape), axis=2)
    found = np.take_along_axis(found, order[..., None, None], 2).astype(np.float32)
    confidence = np.take_along_axis(confidence, order[..., None], 2).astype(np.float32)
    return Scene(rig, poses, found, confidence, np.take_along_axis(who, order, 2).clip(-1))


def _fuse(found, confidence, who, pixels, rng) -> None:
    """Make one of two people who lie upon each other: upper body of one, legs of the other."""
    legs = [H36M17.index(f"{side}_{part}") for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    frames, views, people = who.shape
    for one in range(people):
        for other in range(one + 1, people):
            size = np.ptp(pixels[:, :, one], axis=2).max(-1)
            apart = np.median(np.linalg.norm(pixels[:, :, one] - pixels[:, :, other], axis=-1), -1)
            with np.errstate(invalid="ignore"):
                fused = (apart < _FUSED_FROM * size) & _in_runs((frames, views), _FUSED, rng)
            fused &= (who[:, :, one] == one) & (who[:, :, other] == other)
            for values in (found, confidence):
                mixed = values[:, :, one][fused]
                mixed[:, legs] = values[:, :, other][fused][:, legs]
                values[:, :, one][fused] = mixed
            who[:, :, one][fused], who[:, :, other][fused] = -1, -2


def _add_nobodies(found, confidence, who, rng):
    """Add a poster to one view, and in all views now and then something that is nobody."""
    frames, views, _ = who.shape
    some = np.full((frames, views, 2, 17, 2), np.nan)
    sure = np.zeros((frames, views, 2, 17))
    nobody = np.full((frames, views, 2), -2)
    poster = rng.integers(views)
    for view in range(views):
        whole = np.argwhere(np.isfinite(found[:, view]).all((-1, -2)))
        shapes = whole[rng.integers(len(whole), size=frames)]
        shape = found[shapes[:, 0], view, shapes[:, 1]]
        there = _in_runs((frames,), _FALSE, rng, 3.0)
        some[there, view, 0] = (shape + rng.normal(0, 150, (frames, 1, 2)))[there]
        nobody[there, view, 0] = -1
        if view == poster:
            jitter = rng.normal(0, 3, (frames, 17, 2))
            some[:, view, 1], nobody[:, view, 1] = shape[0] + [250, -60] + jitter, -1
    sure[nobody == -1] = 0.6
    return np.concatenate([found, some], 2), np.concatenate([confidence, sure], 2), np.concatenate([who, nobody], 2)


@dataclass(frozen=True)
class Score:
    """How well a grouping agrees with the truth.

    Attributes
    ----------
    precision
        Share of the detections in groups that belong to the person of their group.
    recall
        Share of the detections of somebody whom two views see in that frame, which are in this person's group.
    switches
        How often the group of a person changes, per person and 10 minutes.
    groups
        How many there are.
    """

    precision: float
    recall: float
    switches: float
    groups: int


def score(who: np.ndarray, person: np.ndarray) -> Score:
    """Compare groups with the truth, both (frame, view, detection), -1 for nobody; a person has one group at most."""
    people, groups = who.max() + 1, person.max() + 1
    both = (who >= 0) & (person >= 0)
    counts = np.zeros((people, max(groups, 1)), int)
    np.add.at(counts, (who[both], person[both]), 1)
    of_person = np.full(people, -2)
    rows, columns = linear_sum_assignment(-counts)
    of_person[rows] = columns
    right = both & (of_person[who.clip(0)] == person)
    in_views = np.stack([(who == one).any(2).sum(1) for one in range(people)], -1)  # (frame, person)
    countable = (who >= 0) & (
        np.take_along_axis(in_views, who.clip(0).reshape(len(who), -1), 1).reshape(who.shape) > 1
    )
    switches = 0
    for one in range(people):
        last = -1
        votes = np.zeros((len(who), max(groups, 1)), int)
        frame, view, slot = np.nonzero(both & (who == one))
        np.add.at(votes, (frame, person[frame, view, slot]), 1)
        for group in votes.argmax(1)[votes.any(1)]:
            switches += last not in (-1, group)
            last = group
    minutes = len(who) / FPS / 60
    return Score(
        precision=right.sum() / max((person >= 0).sum(), 1),
        recall=(right & countable).sum() / max(countable.sum(), 1),
        switches=switches / people / minutes * 10,
        groups=int(groups),
    )

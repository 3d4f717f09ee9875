"""The world that people stand in: its size, what is up, where the floor is, and what speaks against it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from trilift.geometry.calibration.findings import Scale, Undetermined
from trilift.geometry.cameras import Cameras
from trilift.geometry.stature import ANKLE_SHARE, SHOULDER_SHARE, stature
from trilift.skeletons import H36M17, Skeleton, mapping

Array = np.ndarray

_USUAL_M = 1.7  # stature, where it is not known
_HEEL = 0.02  # m: keypoints of heels and toes lie above the sole
_LEANING = 0.06  # rad: how far the mean of a person's axis is from upright
_FOOT_M = 0.03  # how evenly feet stand on a floor
_CORRELATED = 10  # frames that tell as much as one
_REWEIGHTINGS = 10

_MOST_TILT = 12.0  # degrees, between floor and people
_MOST_UNEVEN = 0.07  # m
_STATURES = (1.0, 2.3)  # m
_MOST_ONE_SIDED = 1.15  # longer bones of one side
_SURELY = 0.15  # mean cosine from where on somebody faces one way


class World(NamedTuple):
    """A rig in metres, z up, the floor at 0.

    Attributes
    ----------
    cameras, poses
        In the world.
    stature_m
        Of the person; NaN where legs or trunk are not seen.
    problems
        Sentences.
    """

    cameras: Cameras
    poses: torch.Tensor
    stature_m: float
    problems: list[str]


def settle(cameras: Cameras, poses: torch.Tensor, skeleton: Skeleton, scale: Scale) -> World:
    """Give a rig its size, its vertical and its floor.

    Parameters
    ----------
    cameras
        All of them placed, or NaN.
    poses
        (frame, keypoint, 3), in the same frame of any size; NaN where not known.
    skeleton
        Layout of the keypoints.
    scale
        The length that gives the size.

    Returns
    -------
    World
        With the origin on the floor, below the middle of where people were.

    Raises
    ------
    Undetermined
        If the length that gives the size is not seen.

    Notes
    -----
    Up is the normal of the plane on which the lower foot of each frame stands, where feet were far enough apart to
    tell; else it is drawn to the axis from people's feet to their shoulders.
    """
    size = size_of(cameras, poses, skeleton, scale)
    if not np.isfinite(size):
        raise Undetermined(
            "the length that gives the size is not known: "
            + ("one of the two cameras is not placed" if scale.baseline else "two cameras do not see it")
            + (" (for the stature these are shanks, thighs and trunk)" if scale.stature_m else "")
            + "; state another: the person's stature, a bone, or the distance of two cameras"
        )
    points = poses.numpy() * size
    joints = mapping(skeleton, H36M17).apply(points)
    centre = cameras.positions.numpy() * size
    axis = _body_axis(joints, cameras)
    tall = scale.stature_m or stature(points, skeleton)
    tall = tall if np.isfinite(tall) else _USUAL_M
    up, height, uneven = _floor(points[:, _named(skeleton, "heel", "toe", "foot_index")], axis, _HEEL)
    if not np.isfinite(height):
        up, height, uneven = _floor(points[:, _named(skeleton, "ankle")], axis, ANKLE_SHARE * tall)
    problems = []
    if not np.isfinite(height):
        shoulders = joints[:, H36M17.index("thorax")] @ up
        shoulders = shoulders[np.isfinite(shoulders)]
        if not len(shoulders):
            raise Undetermined("neither feet nor shoulders are seen by two cameras: nothing tells where the floor is")
        height = float(np.median(shoulders)) - SHOULDER_SHARE * tall
        problems.append("feet are hardly seen: the floor is taken to be where it is for somebody who stands")
    elif uneven > _MOST_UNEVEN:
        problems.append(
            f"the feet do not stand on one plane: they lie {100 * uneven:.0f} cm off it. The rig is bent, or people "
            "climbed, jumped or lay"
        )
    tilt = np.degrees(np.arccos(np.clip(up @ axis, -1, 1)))
    if tilt > _MOST_TILT:
        problems.append(f"people lean by {tilt:.0f} degrees against the floor: one of the two is wrong")
    rotation = _to_z(up)
    middle = np.nanmedian(points.reshape(-1, 3), 0)
    origin = rotation @ middle
    origin[2] = height
    R = cameras.R.numpy() @ rotation.T
    t = -np.einsum("vij,vj->vi", R, centre @ rotation.T - origin)
    points = points @ rotation.T - origin
    tall = stature(points, skeleton)
    problems += _implausible(points, skeleton, tall)
    placed = replace(cameras, R=torch.as_tensor(R), t=torch.as_tensor(t))
    return World(placed, torch.as_tensor(points), tall, problems)


def _named(skeleton: Skeleton, *parts: str) -> list[int]:
    return [index for index, name in enumerate(skeleton.keypoints) if any(part in name for part in parts)]


def size_of(cameras: Cameras, poses: torch.Tensor, skeleton: Skeleton, scale: Scale) -> float:
    """Give the factor to metres; NaN where the length that gives it is not seen."""
    if scale.baseline is not None:
        one, other, length = scale.baseline
        return length / float((cameras.positions[one] - cameras.positions[other]).norm())
    if scale.bone is not None:
        parent, child, length = scale.bone
        between = poses[:, skeleton.index(parent)] - poses[:, skeleton.index(child)]
        return length / float(between.norm(dim=-1).nanmedian())
    assert scale.stature_m is not None
    return scale.stature_m / stature(poses.numpy(), skeleton)


def _body_axis(joints: Array, cameras: Cameras) -> Array:
    """Give the mean direction (3,) from feet to shoulders, or of the trunk, or that in which images are up."""
    index = H36M17.index
    ankles = (joints[:, index("left_ankle")] + joints[:, index("right_ankle")]) / 2
    for below in (ankles, joints[:, index("pelvis")]):
        ways = joints[:, index("thorax")] - below
        ways = ways[np.isfinite(ways).all(-1)]
        if len(ways) >= _CORRELATED:
            return _unit(np.median(ways / np.linalg.norm(ways, axis=-1, keepdims=True), 0))
    return _unit(-np.nanmean(cameras.R[:, 1].numpy(), 0))


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def _floor(feet: Array, axis: Array, above: float) -> tuple[Array, float, float]:
    """Fit the floor below feet (frame, foot, 3): its normal, its height along that, and how far feet lie off it."""
    up = axis
    feet = feet[np.isfinite(feet).all(-1).any(1)]
    if not len(feet):
        return up, np.nan, np.nan
    lowest = np.where(np.isfinite(feet).all(-1), feet @ up, np.inf).argmin(1)
    lower = np.take_along_axis(feet, lowest[:, None, None], 1)[:, 0]
    if len(lower) < 3 * _CORRELATED:
        return up, np.nan, np.nan
    aside = np.linalg.svd(up[None])[2][1:]  # two directions along the floor
    place, rise = lower @ aside.T, lower @ up
    middle = np.median(place, 0)
    design = np.concatenate([place - middle, np.ones((len(place), 1))], 1)
    weight = np.ones(len(rise))
    held = np.diag([1 / _LEANING**2, 1 / _LEANING**2, 0.0])
    for _ in range(_REWEIGHTINGS):
        trust = weight / (_FOOT_M**2 * _CORRELATED)
        normal = design.T @ (trust[:, None] * design) + held
        plane = np.linalg.solve(normal, design.T @ (trust * rise))
        off = rise - design @ plane
        # Where both feet are in the air the lower one is above the floor, not below.
        weight = 1 / (1 + (off / _FOOT_M) ** 2)
    normal = _unit(up - plane[:2] @ aside)
    heights = lower @ normal
    height = float(np.median(heights[np.abs(off) < 2 * _FOOT_M])) if (np.abs(off) < 2 * _FOOT_M).any() else np.nan
    return normal, height - above, float(np.median(np.abs(off)))


def _to_z(up: Array) -> Array:
    """Give the shortest rotation that takes a direction to z."""
    axis = np.cross(up, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(axis)
    if sine < 1e-12:
        return np.diag([1.0, np.sign(up[2]), np.sign(up[2])])
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, up[2])).as_matrix()


def _implausible(points: Array, skeleton: Skeleton, tall: float) -> list[str]:
    """Say what no person can be."""
    problems = []
    if np.isfinite(tall) and not _STATURES[0] < tall < _STATURES[1]:
        problems.append(f"the person comes out {tall:.2f} m tall: is the length that gives the size right?")
    facing = _faces_forward(points, skeleton)
    if facing < -_SURELY:
        problems.append(
            "the world is mirrored: knees, noses or toes point backwards. Are all videos mirrored, or left and right "
            "exchanged in the detections?"
        )
    ratio = _one_sided(points, skeleton)
    if ratio > _MOST_ONE_SIDED:
        problems.append(f"bones of one side come out {100 * (ratio - 1):.0f} % longer than those of the other")
    return problems


def _faces_forward(points: Array, skeleton: Skeleton) -> float:
    """Mean cosine between where knees, noses and toes point and where somebody faces, by left, right and up."""
    joints = mapping(skeleton, H36M17).apply(points)

    def joint(name: str) -> Array:
        return joints[:, H36M17.index(name)]

    def keypoint(name: str) -> Array:
        return points[:, skeleton.index(name)] if name in skeleton.keypoints else np.full((len(points), 3), np.nan)

    left = joint("left_hip") - joint("right_hip")
    shoulders = joint("left_shoulder") - joint("right_shoulder")
    left = np.where(np.isfinite(left), left, shoulders)
    forward = np.cross(left, joint("thorax") - joint("pelvis"))
    pointing = [joint("nose") - (keypoint("left_ear") + keypoint("right_ear")) / 2]
    for side in ("left", "right"):
        hip, knee, ankle = (joint(f"{side}_{name}") for name in ("hip", "knee", "ankle"))
        pointing.append(knee - (hip + ankle) / 2)
        for toe in ("big_toe", "foot_index"):
            pointing.append(keypoint(f"{side}_{toe}") - ankle)
    means = []
    for ways in pointing:
        cosine = (ways * forward).sum(-1) / (np.linalg.norm(ways, axis=-1) * np.linalg.norm(forward, axis=-1))
        cosine = cosine[np.isfinite(cosine)]
        if len(cosine) >= _CORRELATED:
            means.append(float(cosine.mean()))
    return float(np.mean(means)) if means else 0.0


def _one_sided(points: Array, skeleton: Skeleton) -> float:
    """How many times longer the bones of one side are (median over bones)."""
    ratios = []
    for parent, child in skeleton.bones:
        if not (parent.startswith("left_") and child.startswith("left_")):
            continue
        pair = [(skeleton.index(parent), skeleton.index(child))]
        pair.append((skeleton.mirrored[pair[0][0]], skeleton.mirrored[pair[0][1]]))
        lengths = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pair]
        lengths = [values[np.isfinite(values)] for values in lengths]
        if min(len(values) for values in lengths) >= _CORRELATED:
            ratios.append(np.log(np.median(lengths[0]) / np.median(lengths[1])))
    return float(np.exp(np.abs(np.median(ratios)))) if ratios else 1.0

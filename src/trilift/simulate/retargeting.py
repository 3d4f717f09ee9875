"""Captured motion given to another body, and the keypoints of a body's joints in any layout."""

import numpy as np
from scipy.spatial.transform import Rotation

from trilift.simulate.body import CROWN_DIRECTION, FACE_DIRECTION, SIDES, Body
from trilift.simulate.plans import wander
from trilift.skeletons import H36M17, Skeleton


def _chains() -> np.ndarray:
    """Tell which bones (joint, bone) lead from the root to each joint."""
    leads = np.zeros((len(H36M17), len(H36M17.bones)))
    for _ in H36M17.bones:  # as often as a chain can be long
        for bone, (parent, child) in enumerate(H36M17.bone_indices):
            leads[child] = leads[parent]
            leads[child, bone] = 1
    return leads


_CHAINS = _chains()

# Eyes and ears of a head of average size, from the tip of the nose (m): forwards, to the left, up. About the
# distances between pupils and ears, and from ear to nose, of Gordon et al., 2012 Anthropometric Survey of U.S. Army
# Personnel (2014).
_FACE = {"eye": (-0.025, 0.032, 0.033), "ear": (-0.11, 0.072, 0.02)}
_STATURE = 1.75


def retarget(poses: np.ndarray, body: Body, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Let a body do what another did: the directions of bones stay, their lengths become the body's.

    Parameters
    ----------
    poses
        (frame, 17, 3), metres, z up. What stands for the pelvis is the middle of the hips.
    body
        Who does it.
    fps
        Frames per second.
    rng
        Source of how the person faces and looks around: the head of captured motion is little more than its axis.

    Returns
    -------
    np.ndarray
        (frame, 17, 3). The way of the pelvis becomes longer or shorter as the legs do, and the lowest ankle is where
        it is in standing.
    """
    column = H36M17.index
    parents, children = np.array(H36M17.bone_indices).T
    bones = poses[:, children] - poses[:, parents]
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    in_legs = np.isin(children, [column(side + end) for side in SIDES for end in ("knee", "ankle")])
    leg = np.median(lengths[:, in_legs, 0].sum(1)) / 2
    directions = bones / np.maximum(lengths, 1e-9)

    axes = _facing(
        poses[:, column("head_top")] - poses[:, column("thorax")],
        poses[:, column("left_shoulder")] - poses[:, column("right_shoulder")],
    )
    looks = wander(
        rng, np.arange(len(poses)) / fps, lambda: rng.uniform((-45, -15), (45, 15)), slowest=0.9, hold=(0.4, 2.5)
    )
    head = axes @ Rotation.from_euler("ZY", looks, degrees=True).as_matrix()
    for joint, direction in (("nose", FACE_DIRECTION), ("head_top", CROWN_DIRECTION)):
        directions[:, children == column(joint)] = (head @ direction)[:, None]

    joints = np.einsum("jb,fbi->fji", _CHAINS, directions * body.bone_lengths[:, None])
    joints += (body.leg / leg) * poses[:, [column("pelvis")]]
    ankles = joints[:, [column(side + "ankle") for side in SIDES], 2]
    joints[..., 2] += body.ankle_height - np.quantile(ankles.min(1), 0.02)
    turn = Rotation.from_euler("Z", rng.uniform(0, 2 * np.pi)).as_matrix()
    return joints @ turn.T


def _facing(up: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Give axes forwards, left and up as columns (frame, 3, 3): up as it is, left as far as it is square to it."""
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    left = left - (left * up).sum(-1, keepdims=True) * up
    left /= np.linalg.norm(left, axis=-1, keepdims=True)
    return np.stack([np.cross(left, up), left, up], -1)


def keypoints_of(joints: np.ndarray, layout: Skeleton) -> np.ndarray:
    """Place the keypoints of a layout: joints as they are, eyes and ears in the head, the neck between the shoulders.

    Parameters
    ----------
    joints
        (frame, 17, 3), of a body of ours, metres.
    layout
        Names the keypoints.

    Returns
    -------
    np.ndarray
        (frame, keypoint, 3); NaN where the body has nothing, as fingers and toes.
    """
    at = {name: joints[:, number] for number, name in enumerate(H36M17.keypoints)}
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    at |= {"neck": shoulders, "upper_neck": shoulders, "mid_hip": at["pelvis"]}
    # The crown leans back from the face, so that the two bones tell how the head is turned.
    crown, left = at["head_top"] - at["nose"], np.cross(at["head_top"] - at["nose"], at["nose"] - at["thorax"])
    back, _, up = CROWN_DIRECTION
    axes = _facing(crown, left)  # as columns: forwards, left, up of the crown
    head = axes @ np.array([[up, 0, back], [0, 1, 0], [-back, 0, up]]).T
    size = np.linalg.norm(crown, axis=-1, keepdims=True) / (0.09 * _STATURE)
    for name, (forwards, sideways, upwards) in _FACE.items():
        for side, sign in SIDES.items():
            at[side + name] = at["nose"] + size * (head @ np.array([forwards, sign * sideways, upwards]))
    nowhere = np.full_like(joints[:, 0], np.nan)
    return np.stack([at.get(name, nowhere) for name in layout.keypoints], 1)

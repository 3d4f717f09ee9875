"""A body's joints from the angles between its bones, within what bodies can do."""

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import logsumexp

from trilift.simulate.body import (
    CLAVICLE_DIRECTION,
    CROWN_DIRECTION,
    FACE_DIRECTION,
    HIGHEST_ARM,
    JOINT_LIMITS,
    SIDE_LIMITS,
    SIDES,
    Angles,
    Body,
)
from trilift.skeletons import H36M17

LIMIT_MARGIN = 5.0
"""Degrees before each limit where the clamp begins to bend (`clamp`)."""


_UP = np.array([0.0, 0.0, 1.0])


_DOWN = -_UP


# The sharpness (m) of the soft minimum that lowers the pelvis to where both feet reach the floor, and the
# flexion (degrees) that a leg solved for an ankle keeps: outside the margin, where the clamp would alter it.
_SOFTNESS = 0.004


_LEAST_KNEE = 7.0


def clamp(angle: np.ndarray, limits: tuple[float, float], margin: float = LIMIT_MARGIN) -> np.ndarray:
    """Bring an angle inside its limits, smoothly.

    Unchanged up to ``margin`` before either limit; from there on it approaches the limit as a hyperbolic
    tangent. The map has two continuous derivatives and a slope of at most 1: a smooth angle stays smooth and
    never turns faster than it was asked to.

    Examples
    --------
    >>> clamp(np.array([-1e9, 40.0, 1e9]), (0, 150))
    array([  0.,  40., 150.])
    """
    low, high = limits
    inside = np.clip(angle, low + margin, high - margin)
    return np.clip(inside + margin * np.tanh((angle - inside) / margin), low, high)


def pose(body: Body, angles: Angles, root_position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Place the joints: forward kinematics.

    Parameters
    ----------
    body
        The person.
    angles
        Joint angles (degrees), each (frames,) or a number; those left out are 0: standing upright with
        hanging arms. Any value is brought inside `JOINT_LIMITS` by `clamp`, so that any input gives a legal
        pose. Flexion and abduction of hip and shoulder are the components of one rotation (by the root of
        the sum of their squares), so that no combination of them folds a limb back through the body.
    root_position
        (frames, 3), the pelvis in the world (m).
    heading
        (frames,), the direction the person faces (degrees, counter-clockwise from world x, seen from above).

    Returns
    -------
    np.ndarray
        (frames, 17, 3), the joints of ``H36M17`` in the world (m).

    Examples
    --------
    >>> body = sample_body(np.random.default_rng(0))
    >>> joints = pose(body, {"left_knee_flexion": np.array([90.0])}, np.array([[0, 0, 0.9]]), np.array([0.0]))
    >>> joints.shape
    (1, 17, 3)
    """
    root_position = np.asarray(root_position, float)
    legal = _legal(angles, len(root_position))
    joints = np.empty((len(root_position), len(H36M17), 3))

    def put(child: str, parent: str, rotation: Rotation, direction: np.ndarray) -> None:
        bone = rotation.apply(body.bones[child] * direction)
        joints[:, H36M17.index(child)] = joints[:, H36M17.index(parent)] + bone

    joints[:, H36M17.index("pelvis")] = root_position
    pelvis = _pelvis(legal, heading)
    half_spine = _tilt(legal["spine_bend"] / 2, legal["spine_side"] / 2, legal["spine_twist"] / 2)
    lower_spine = pelvis * half_spine
    upper_spine = lower_spine * half_spine
    # The neck's base and the joints under the skull share the nod.
    neck = upper_spine * _tilt(0.6 * legal["neck_bend"], legal["neck_side"], legal["neck_twist"])
    head = neck * _about("Y", 0.4 * legal["neck_bend"])
    put("spine", "pelvis", lower_spine, _UP)
    put("thorax", "spine", upper_spine, _UP)
    put("nose", "thorax", neck, FACE_DIRECTION)
    put("head_top", "nose", head, CROWN_DIRECTION)

    for side, sign in SIDES.items():
        outwards = np.array([1.0, sign, 1.0])
        clavicle = upper_spine * Rotation.from_euler(
            "ZX",
            np.stack([-sign * legal[side + "clavicle_forward"], sign * legal[side + "clavicle_raise"]], -1),
            degrees=True,
        )
        upper_arm = upper_spine * _ball(
            legal[side + "shoulder_flexion"],
            legal[side + "shoulder_abduction"],
            legal[side + "shoulder_rotation"],
            sign,
            HIGHEST_ARM,
        )
        forearm = upper_arm * _about("Y", -legal[side + "elbow_flexion"])
        put(side + "shoulder", "thorax", clavicle, CLAVICLE_DIRECTION * outwards)
        put(side + "elbow", side + "shoulder", upper_arm, _DOWN)
        put(side + "wrist", side + "elbow", forearm, _DOWN)

        thigh = pelvis * _ball(
            legal[side + "hip_flexion"], legal[side + "hip_abduction"], legal[side + "hip_rotation"], sign
        )
        shank = thigh * _about("Y", legal[side + "knee_flexion"])
        put(side + "hip", "pelvis", pelvis, np.array([0.0, sign, 0.0]))
        put(side + "knee", side + "hip", thigh, _DOWN)
        put(side + "ankle", side + "knee", shank, _DOWN)
    return joints


def stand_on(
    body: Body,
    angles: Angles,
    root_position: np.ndarray,
    heading: np.ndarray,
    ankles: np.ndarray,
    toes: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Solve the legs so that the ankles come to given places: inverse kinematics.

    Parameters
    ----------
    body, angles, heading
        As for `pose`; hip and knee angles in ``angles`` are replaced.
    root_position
        (frames, 3), the pelvis; lowered (by a soft minimum) where the legs would not reach.
    ankles
        (frames, 2, 3), places of the left and the right ankle in the world (m).
    toes
        (frames, 2), the world direction of the feet (degrees, as the heading), which the knees follow.

    Returns
    -------
    tuple
        The angles with the legs' in them, and the root position. Ankles that the joint limits do not allow
        are missed.
    """
    root_position = np.array(root_position, float)
    legal = _legal(angles, len(root_position))
    pelvis = _pelvis(legal, heading)
    hips = {side: pelvis.apply(np.array([0.0, sign * body.bones[side + "hip"], 0.0])) for side, sign in SIDES.items()}

    heights = [root_position[:, 2]]
    for foot, side in enumerate(SIDES):
        apart = ankles[:, foot] - root_position - hips[side]
        longest = _leg_length(body, side, np.radians(_LEAST_KNEE))
        reach = np.sqrt(np.maximum(longest**2 - apart[:, 0] ** 2 - apart[:, 1] ** 2, (0.2 * longest) ** 2))
        heights.append(ankles[:, foot, 2] + reach - hips[side][:, 2])
    root_position[:, 2] = -_SOFTNESS * logsumexp(-np.stack(heights) / _SOFTNESS, axis=0)

    solved = {name: np.asarray(angle, float) for name, angle in angles.items()}
    for foot, (side, sign) in enumerate(SIDES.items()):
        to_ankle = pelvis.inv().apply(ankles[:, foot] - root_position - hips[side])
        thigh, shank = body.bones[side + "knee"], body.bones[side + "ankle"]
        longest = _leg_length(body, side, np.radians(_LEAST_KNEE))
        distance = np.minimum(np.linalg.norm(to_ankle, axis=-1), longest)
        opening = (distance**2 - thigh**2 - shank**2) / (2 * thigh * shank)
        knee = np.arccos(np.clip(opening, np.cos(np.radians(145)), 1))

        inwards = -sign * _wrapped(toes[:, foot] - heading)
        turn = -sign * np.radians(clamp(inwards, SIDE_LIMITS["hip_rotation"]))
        # The leg before its swing has this knee and this rotation; the swing then brings it to the ankle.
        back, down = -shank * np.sin(knee), -thigh - shank * np.cos(knee)
        unswung = np.stack([back * np.cos(turn), back * np.sin(turn), down], -1)
        swing = _horizontal_rotation(unswung, to_ankle)
        solved[side + "hip_flexion"] = -np.degrees(swing[:, 1])
        solved[side + "hip_abduction"] = sign * np.degrees(swing[:, 0])
        solved[side + "hip_rotation"] = inwards
        solved[side + "knee_flexion"] = np.degrees(knee)
    return solved, root_position


def _legal(angles: Angles, frames: int) -> dict[str, np.ndarray]:
    unknown = sorted(set(angles) - set(JOINT_LIMITS))
    if unknown:
        raise ValueError(f"unknown joint angles: {', '.join(unknown)}")
    return {
        name: clamp(np.broadcast_to(np.asarray(angles.get(name, 0.0), float), (frames,)), limits)
        for name, limits in JOINT_LIMITS.items()
    }


def _about(axis: str, degrees: np.ndarray) -> Rotation:
    return Rotation.from_euler(axis, degrees[:, None], degrees=True)


def _tilt(forwards: np.ndarray, left: np.ndarray, twist: np.ndarray) -> Rotation:
    return Rotation.from_euler("YXZ", np.stack([forwards, -left, twist], -1), degrees=True)


def _pelvis(legal: Angles, heading: np.ndarray) -> Rotation:
    tilted = _tilt(legal["pelvis_pitch"], legal["pelvis_roll"], np.zeros(len(heading)))
    return _about("Z", np.asarray(heading, float)) * tilted


def _ball(
    flexion: np.ndarray, abduction: np.ndarray, inwards: np.ndarray, sign: float, highest: float | None = None
) -> Rotation:
    """Rotate a hanging limb: turned about its own axis, then swung about a horizontal one."""
    swing = np.stack([sign * abduction, -flexion, np.zeros_like(flexion)], -1)
    if highest is not None:
        elevation = np.maximum(np.linalg.norm(swing, axis=-1, keepdims=True), 1e-9)
        swing = swing * clamp(elevation, (-highest, highest)) / elevation
    turn = _about("Z", -sign * inwards)
    return Rotation.from_rotvec(swing, degrees=True) * turn


def _leg_length(body: Body, side: str, knee: float) -> float:
    thigh, shank = body.bones[side + "knee"], body.bones[side + "ankle"]
    return float(np.sqrt(thigh**2 + shank**2 + 2 * thigh * shank * np.cos(knee)))


def _horizontal_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Find rotation vectors (radians) with a horizontal axis that turn each ``start`` towards ``end``."""
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = end / np.linalg.norm(end, axis=-1, keepdims=True)
    # Such an axis sees both directions at the same angle, so it is square to their difference.
    axis = np.cross(_UP, end - start)
    axis /= np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-12)
    along = np.sum(axis * start, -1, keepdims=True)
    start, end = start - along * axis, end - along * axis
    angle = np.arctan2(np.sum(axis * np.cross(start, end), -1), np.sum(start * end, -1))
    return angle[:, None] * axis


def _wrapped(degrees: np.ndarray) -> np.ndarray:
    return (degrees + 180) % 360 - 180

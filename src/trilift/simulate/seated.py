"""People who stay on a seat, or on one leg: what `pretrained` learns beside walking about."""

import numpy as np
from scipy.spatial.transform import Rotation

from trilift.simulate.body import SIDES, Body
from trilift.simulate.plans import (
    move_arms,
    over,
    perform,
    random_spot,
    standing_height,
    wander,
)
from trilift.simulate.retargeting import retarget
from trilift.skeletons import H36M17

# How often the arms go where: mostly to a table, in the lap, or to the face.
_AT_A_TABLE = {"chest": 5, "lap": 3, "low": 1, "front": 1.5, "across": 2, "head": 2, "side": 0.5, "up": 0.7}
_IN_BALANCE = {"side": 4, "up": 2, "front": 2, "hang": 1, "chest": 1, "hip": 1}

_LOWER = ("pelvis", *(side + joint for side in SIDES for joint in ("hip", "knee", "ankle")))


def seated(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sit all the time: upright, leaning back or over a table; legs tucked in, stretched, crossed or apart.

    Parameters
    ----------
    body
        The person.
    time
        Of the frames (s).
    rng
        Source of all randomness: the seat, how the person sits on it, and what the arms do.

    Returns
    -------
    np.ndarray
        (frames, 17, 3), the joints of ``H36M17`` in the world (m, z up, floor at 0).
    """
    place, facing = random_spot(rng, 0.25)
    tempo = body.manner.tempo
    thigh = min(body.bones["left_knee"], body.bones["right_knee"])
    height = rng.uniform(0.36, 0.56) + 0.09  # the hip joints of a sitting person lie above the seat
    leans, curls, stretched, half_width = rng.uniform((-25, -8, -0.30, -0.04), (30, 30, 0.25, 0.26))

    def posture() -> np.ndarray:
        lean = rng.uniform(-1, 1)
        trunk = [leans + 10 * lean, curls + 10 * lean, rng.uniform(-12, 12), rng.uniform(-30, 30)]
        return np.array([*trunk, rng.uniform(-12, 12), *rng.uniform(-0.03, 0.03, 2)])

    def feet() -> np.ndarray:
        ahead = 0.9 * thigh + stretched + rng.uniform(-0.1, 0.1) + rng.uniform(-0.12, 0.12, 2)
        return np.array(
            [*ahead, *(half_width + rng.uniform(-0.06, 0.08, 2)), *np.maximum(rng.uniform(-0.1, 0.1, 2), 0)]
        )

    plan = wander(rng, time, posture, slowest=1.5 / tempo, hold=(0.3, 3.0)).T
    pitch, curl, side, twist, turned, forwards, leftwards = plan
    foot_plan = wander(rng, time, feet, slowest=1.0 / tempo, hold=(1.5, 6)).T
    angles = move_arms(rng, time, _AT_A_TABLE, rate=rng.uniform(50, 90) * tempo) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + curl,
        "spine_side": side,
        "spine_twist": twist,
    }
    root = over(place, facing, forwards, leftwards, np.full(len(time), height))
    ankles = np.stack(
        [
            over(place, facing, foot_plan[foot], sign * foot_plan[2 + foot], body.ankle_height + foot_plan[4 + foot])
            for foot, sign in ((0, 1), (1, -1))
        ],
        1,
    )
    toes = np.tile(facing + np.array([1, -1]) * rng.uniform(-10, 35), (len(time), 1))
    return perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def seat(poses: np.ndarray, body: Body, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Let a body that sits do with its upper half what another did on its feet.

    Parameters
    ----------
    poses
        (frame, 17, 3), metres, z up: captured motion.
    body, fps, rng
        As for `retarget`.

    Returns
    -------
    np.ndarray
        (frame, 17, 3): all from the pelvis up moves against the hips as captured, leaning a little besides.
    """
    time = np.arange(len(poses)) / fps
    below = seated(body, time, rng)
    above = retarget(poses, body, fps, rng)
    lean = wander(rng, time, lambda: rng.uniform((-20, -8), (25, 8)), slowest=1.5, hold=(0.5, 3.0))
    leaning = Rotation.from_euler("YX", lean, degrees=True)
    turns = _heading(below) * leaning * _heading(above).inv()
    root = H36M17.root_index
    joints = np.empty_like(above)
    for joint in range(len(H36M17)):
        joints[:, joint] = below[:, root] + turns.apply(above[:, joint] - above[:, root])
    lower = [H36M17.index(joint) for joint in _LOWER]
    joints[:, lower] = below[:, lower]
    return joints


def _heading(poses: np.ndarray) -> Rotation:
    """Turn the world's axes about the vertical to where the hips face."""
    left = poses[:, H36M17.index("left_hip")] - poses[:, H36M17.index("right_hip")]
    return Rotation.from_euler("Z", np.arctan2(-left[:, 0], left[:, 1])[:, None])


def balance(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stand on one leg, the other raised or set down before or behind, the arms mostly spread.

    Parameters and returns are those of `seated`.
    """
    place, facing = random_spot(rng, 0.8)
    tempo = body.manner.tempo
    stands = int(rng.integers(2))  # the left leg or the right one
    sign = (1.0, -1.0)[stands]

    def posture() -> np.ndarray:
        behind = rng.random() < 0.3
        pitch = rng.uniform(5, 50) if behind else rng.uniform(-12, 15)
        free = [-rng.uniform(0.1, 0.5) if behind else rng.uniform(-0.15, 0.45), rng.uniform(-0.05, 0.3)]
        raised = max(0.0, rng.uniform(-0.1, 0.45))
        trunk = [pitch, rng.uniform(-10, 20), rng.uniform(-18, 18), rng.uniform(-25, 25), rng.uniform(-15, 15)]
        return np.array([*trunk, *free, raised, max(0.0, rng.uniform(-0.08, 0.14)), *rng.uniform(-0.04, 0.04, 2)])

    plan = wander(rng, time, posture, slowest=1.0 / tempo, hold=(0.1, 2.0)).T
    pitch, curl, aside, twist, turned, ahead, apart, raised, crouch, forwards, leftwards = plan
    angles = move_arms(rng, time, _IN_BALANCE, rate=rng.uniform(60, 110) * tempo) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + curl,
        "spine_side": aside,
        "spine_twist": twist,
    }
    root = over(
        place,
        facing,
        forwards - 0.1 * np.sin(np.radians(pitch)),
        leftwards - 0.05 * sign,
        standing_height(body) - crouch,
    )
    still = np.zeros(len(time))
    ankles = [
        over(place, facing, still, still, body.ankle_height + still),
        over(place, facing, ahead, -sign * (0.1 + apart), body.ankle_height + raised),
    ]
    toes = np.tile(facing + np.array([1, -1]) * body.manner.toe_out, (len(time), 1))
    left_first = ankles[::-1] if stands else ankles
    return perform(body, time, angles, root, facing + turned, np.stack(left_first, 1), toes, rng)

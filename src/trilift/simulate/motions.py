"""What the simulated people do: walking, reaching, bending, sitting and turning.

A motion is made in three steps. Plans (minimum-jerk moves between random targets, or the phase of a gait)
give the angles of trunk and arms, the way of the pelvis and the places of the feet; a slow random wobble is
added to all of it; and the legs are solved so that the feet stay where they were planted. Angles are degrees,
lengths metres, times seconds; directions on the floor are counter-clockwise from world x.
"""

from collections.abc import Callable

import numpy as np

from trilift.simulate.body import Body
from trilift.simulate.gait import MID_STANCE, step, walk
from trilift.simulate.plans import (
    arm_target,
    eased,
    left_of,
    move_arms,
    named_arms,
    over,
    perform,
    random_spot,
    stance,
    standing_height,
    two_arms,
    wander,
    wobble,
)

# How often each target is chosen, by what the person does.
_REACHES = {"front": 3, "up": 3, "side": 3, "low": 2, "across": 2, "chest": 1, "hang": 1.5, "head": 1}
_GESTURES = {
    "chest": 4,
    "front": 2,
    "side": 2,
    "up": 1,
    "head": 2,
    "hip": 1.5,
    "hang": 2,
    "across": 1,
    "behind": 1,
}
_SEATED = {"lap": 4, "chest": 3, "front": 2, "side": 1, "up": 1, "head": 2, "across": 1}
_LIFTS = {"hang": 3, "chest": 3, "front": 2, "up": 2, "side": 1}


def simulate_motion(name: str, body: Body, frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Let a person move.

    Parameters
    ----------
    name
        One of `MOTIONS`.
    body
        The person.
    frames, fps
        Length of the clip and its frames per second.
    rng
        Source of all randomness: what is done, where, in which direction and how.

    Returns
    -------
    np.ndarray
        (frames, 17, 3), the joints of ``H36M17`` in the world (m, z up, floor at 0), within about 1.5 m of
        the vertical through the origin.

    Examples
    --------
    >>> from trilift.simulate.body import sample_body
    >>> rng = np.random.default_rng(0)
    >>> simulate_motion("walking", sample_body(rng), frames=100, fps=50, rng=rng).shape
    (100, 17, 3)
    """
    if name not in MOTIONS:
        raise ValueError(f"unknown motion '{name}': known are {', '.join(MOTIONS)}")
    return MOTIONS[name](body, np.arange(frames) / fps, rng)


def reach(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stand and reach for things around with either arm or both; the trunk and the knees help."""
    place, facing = random_spot(rng, 0.75)
    ankles, toes = stance(body, time, place, facing, rng)

    def posture() -> np.ndarray:
        deep = rng.random() ** 2
        return np.array(
            [
                rng.uniform(-7, 6) + 30 * deep,
                rng.uniform(-12, 8) + 25 * deep,
                rng.uniform(-20, 20),
                rng.uniform(-35, 35),
                deep * max(rng.uniform(-0.3, 0.3), 0.0),
                rng.uniform(-0.03, 0.05),
                rng.uniform(-0.06, 0.06),
                rng.uniform(-20, 20),
            ]
        )

    rate = rng.uniform(60, 110) * body.manner.tempo
    posture_plan = wander(rng, time, posture, slowest=1.6 / body.manner.tempo, hold=(0.2, 1.5))
    pitch, bend, side, twist, crouch, forwards, leftwards, turned = posture_plan.T
    arms = move_arms(rng, time, _REACHES, rate)
    # An arm that reaches forwards takes its shoulder along.
    pulled = 0.12 * (arms["right_shoulder_flexion"] - arms["left_shoulder_flexion"])
    angles = arms | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + bend,
        "spine_side": side,
        "spine_twist": body.manner.amplitude * twist + pulled,
    }
    root = over(place, facing, forwards - 0.12 * np.sin(np.radians(pitch)), leftwards, standing_height(body) - crouch)
    return perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def bend(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pick things up from the floor in front or to a side, with straight or bent knees, and do so again."""
    place, facing = random_spot(rng, 0.7)
    ankles, toes = stance(body, time, place, facing, rng)
    tempo = body.manner.tempo

    # Columns: pelvis pitch, spine bend, side and twist, lowering, moving back, turning, the arms' eight.
    def upright() -> np.ndarray:
        arms = np.concatenate([arm_target(rng, _LIFTS)] * 2 if rng.random() < 0.4 else two_arms(rng, _LIFTS))
        trunk = [rng.uniform(-4, 6), rng.uniform(-8, 8), rng.uniform(-6, 6), rng.uniform(-15, 15), 0, 0]
        return np.array([*trunk, rng.uniform(-10, 10), *arms])

    def down() -> np.ndarray:
        squat = rng.random()
        aside = rng.uniform(-1, 1)
        pitch, curl = 74 - 42 * squat, rng.uniform(25, 55)
        # An arm hangs plumb where its flexion undoes the lean of the chest.
        hanging = pitch + 0.9 * curl
        working = (
            hanging + rng.uniform(0, 20),
            rng.uniform(-5, 20),
            rng.uniform(-10, 25),
            rng.uniform(3, 25),
        )
        resting = (
            hanging * rng.uniform(0.35, 0.8),
            rng.uniform(5, 25),
            rng.uniform(0, 50),
            rng.uniform(15, 80),
        )
        left, right = rng.permutation(3)[:2] > 0
        arms = [*(working if left else resting), *(working if right else resting)]
        lowered = (0.10 + 0.30 * squat) * body.leg / 0.86
        trunk = [pitch, curl, 14 * aside, 32 * aside, lowered, 0.10 + 0.03 * squat, 22 * aside]
        return np.array([*trunk, *arms])

    moments, targets = [-float(rng.uniform(0, 4))], [upright()]
    while moments[-1] < (time[-1] if len(time) else 0):
        for target, hold in ((down(), rng.uniform(0.1, 1.0)), (upright(), rng.uniform(0.2, 1.5))):
            reached = moments[-1] + rng.uniform(1.3, 2.3) / tempo
            moments += [reached, reached + hold]
            targets += [target, target]
    plan = eased(moments, targets, time).T

    pitch, curl, side, twist, lowered, back, turned = plan[:7]
    angles = named_arms(plan[7:11], plan[11:]) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch * (1 - pitch / 90) + curl,
        "spine_side": side,
        "spine_twist": twist,
    }
    root = over(place, facing, -back, 0 * back, standing_height(body) - lowered)
    return perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def sit(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sit down on a seat, gesture, lean and shift the feet there, and get up again."""
    place, facing = random_spot(rng, 0.6)
    tempo = body.manner.tempo
    thigh = min(body.bones["left_knee"], body.bones["right_knee"])
    seat_height = rng.uniform(0.41, 0.50) + 0.09  # the hip joints of a sitting person lie above the seat
    seat_depth = thigh * rng.uniform(0.85, 0.98)

    # Minimum-jerk changes between standing (0) and sitting (1), from a random moment of the cycle on.
    moments, states = [0.0], [0.0]
    while len(moments) < 5 or moments[-1] < 14 + (time[-1] if len(time) else 0):
        for state, hold in ((0.0, rng.uniform(0.5, 1.5)), (1.0, rng.uniform(3, 8))):
            reached = moments[-1] + rng.uniform(1.7, 2.6) / tempo
            moments += [reached, reached + hold]
            states += [state, state]
    begin = rng.uniform(0, 12)
    seated = eased(moments, np.array(states)[:, None], time + begin)[:, 0]
    rising = 4 * seated * (1 - seated)
    settled = seated**4

    def posture() -> np.ndarray:
        lean = rng.uniform(-1, 1)
        return np.array([18 * lean, 12 + 18 * lean, rng.uniform(-15, 15), rng.uniform(-30, 30), rng.uniform(-12, 12)])

    def feet() -> np.ndarray:
        stretched = rng.uniform(-0.12, 0.25)
        return np.array([stretched, stretched + rng.uniform(-0.12, 0.12), *rng.uniform(-0.06, 0.12, 2)])

    lean_plan = wander(rng, time, posture, slowest=1.5 / tempo, hold=(0.3, 2.5)).T * settled
    foot_plan = wander(rng, time, feet, slowest=1.0 / tempo, hold=(1.5, 5)).T * settled
    seated_arms = move_arms(rng, time, _SEATED, rate=rng.uniform(50, 90) * tempo)
    standing_arms = move_arms(rng, time, {"hang": 1}, rate=60)

    pitch, curl, side, twist, turned = lean_plan
    angles = {name: standing_arms[name] + settled * (seated_arms[name] - standing_arms[name]) for name in seated_arms}
    for arm in ("left_", "right_"):
        angles[arm + "shoulder_flexion"] = angles[arm + "shoulder_flexion"] + 25 * rising
    angles |= {
        "pelvis_pitch": pitch + rng.uniform(20, 30) * rising,
        "spine_bend": body.manner.slouch + curl + rng.uniform(10, 25) * rising,
        "spine_side": side,
        "spine_twist": twist,
    }

    # The feet stay put while the pelvis goes back and down; the middle between the two is the person's place.
    back = seat_depth * np.sin(np.pi / 2 * seated)
    lowered = (standing_height(body) - seat_height) * seated
    root = over(place, facing, seat_depth / 2 - back, 0 * back, standing_height(body) - lowered)
    half_width = rng.uniform(0.09, 0.17)
    ankles = np.stack(
        [
            over(
                place,
                facing,
                seat_depth / 2 + foot_plan[foot],
                sign * (half_width + foot_plan[2 + foot]),
                body.ankle_height + 0 * back,
            )
            for foot, sign in ((0, 1), (1, -1))
        ],
        1,
    )
    toes = np.tile(facing + np.array([1, -1]) * (body.manner.toe_out + rng.uniform(0, 12)), (len(time), 1))
    return perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def turn(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn on the spot with small steps, gesturing: once around or more in any clip of at least 3 s."""
    place, facing = random_spot(rng, 0.8)
    duration = time[-1] if len(time) > 1 else 1.0
    rate = min(max(rng.uniform(365, 500) / max(duration, 0.1), rng.uniform(35, 70)), 125.0)
    sense = rng.choice([-1.0, 1.0])
    turned = rate * (time + wobble(rng, time, 0.06))
    per_cycle = np.clip(rate, 35, 75)
    begin = rng.uniform()
    half_width = rng.uniform(0.07, 0.14)
    toes_out = np.array([1, -1]) * body.manner.toe_out

    def footprint(cycle: np.ndarray, foot: int) -> np.ndarray:
        direction = facing + sense * (cycle - begin) * per_cycle
        spot = place + (half_width if foot == 0 else -half_width) * left_of(direction)
        return np.column_stack([spot, direction + toes_out[foot]])

    cycle = begin + turned / per_cycle
    ankles, toes = step(body, cycle, footprint, rng.uniform(0.05, 0.09))

    def posture() -> np.ndarray:
        return np.array([rng.uniform(-7, 9), rng.uniform(-14, 16), rng.uniform(-15, 15), rng.uniform(-25, 25)])

    plan = wander(rng, time, posture, slowest=1.5 / body.manner.tempo, hold=(0.2, 1.5))
    pitch, curl, side, twist = plan.T
    over_left = np.cos(2 * np.pi * (cycle - MID_STANCE))
    heading = facing + sense * turned
    angles = move_arms(rng, time, _GESTURES, rate=rng.uniform(60, 100) * body.manner.tempo) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + curl,
        "spine_side": side,
        # Head and shoulders lead the turn.
        "spine_twist": 8 * sense + twist,
        "neck_twist": np.full(len(time), 12 * sense),
    }
    height = np.full(len(time), standing_height(body) - rng.uniform(0, 0.015))
    root = np.column_stack([place + rng.uniform(0.01, 0.03) * over_left[:, None] * left_of(heading), height])
    return perform(body, time, angles, root, heading, ankles, toes, rng)


MOTIONS: dict[str, Callable[[Body, np.ndarray, np.random.Generator], np.ndarray]] = {
    "walking": walk,
    "reaching": reach,
    "bending": bend,
    "sitting": sit,
    "turning": turn,
}
"""Each kind of motion: of a body, the times (s) of the frames and a generator, the joints (frames, 17, 3)."""

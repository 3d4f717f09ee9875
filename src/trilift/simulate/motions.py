"""What the simulated people do: walking, reaching, bending, sitting and turning.

A motion is made in three steps. Plans (minimum-jerk moves between random targets, or the phase of a gait)
give the angles of trunk and arms, the way of the pelvis and the places of the feet; a slow random wobble is
added to all of it; and the legs are solved so that the feet stay where they were planted. Angles are degrees,
lengths metres, times seconds; directions on the floor are counter-clockwise from world x.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from trilift.simulate.body import Body, pose, stand_on

_ARM = ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow_flexion")

# Where arms go: the middle and the half width of a uniform distribution of each angle of `_ARM`.
_ARM_TARGETS = {
    "hang": ((2, 10, 10, 20), (10, 5, 15, 12)),
    "lap": ((32, 10, 30, 55), (12, 6, 15, 20)),
    "chest": ((30, 16, 45, 95), (20, 12, 20, 25)),
    "low": ((42, 10, 10, 15), (15, 15, 15, 12)),
    "front": ((85, 10, 10, 25), (25, 15, 25, 20)),
    "across": ((65, 0, 60, 70), (15, 6, 15, 25)),
    "side": ((15, 80, 10, 20), (25, 25, 30, 18)),
    "up": ((140, 20, 0, 20), (25, 18, 25, 18)),
    "head": ((60, 45, 10, 128), (20, 20, 25, 12)),
    "hip": ((-20, 38, 50, 85), (8, 8, 12, 12)),
    "behind": ((-32, 16, 25, 40), (8, 8, 15, 20)),
}

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
_CARRIES = {"chest": 4, "head": 1.5, "hip": 2, "front": 1, "hang": 1, "side": 0.5}
_LIFTS = {"hang": 3, "chest": 3, "front": 2, "up": 2, "side": 1}

# Share of a gait cycle at which a foot leaves the ground, and at which the body is right over it.
_SWING_FROM = 0.52
_MID_STANCE = 0.28

# Height of the ankle over a gait cycle, 1 at the top of the swing: the heel rises before the foot leaves.
_ANKLE_LIFT = PchipInterpolator(
    [-0.1, 0, 0.38, 0.50, 0.58, 0.72, 0.90, 1.0, 1.1], [0, 0, 0, 0.10, 0.42, 1.0, 0.22, 0, 0]
)

_KNEES_AT_EASE = 0.996
"""Height of the hips over the ankles in easy standing, as a share of the leg's length."""


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


def walk(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Walk rounds along an oval or a figure of eight, swinging the arms or carrying something."""
    manner = body.manner
    path = _random_path(rng)
    # Curves are walked slower, and so that the outer foot keeps up.
    speed = min(rng.uniform(0.45, 0.95) * manner.tempo, 0.95, 1.25 * np.sqrt(path.tightest))
    stride = 2.3 * body.leg * (0.35 + 0.3 * speed)
    start = rng.uniform(0, path.length)
    way = start + speed * (time + _wobble(rng, time, 0.03))
    cycle = way / stride

    half_width = rng.uniform(0.05, 0.1)
    toes_out = np.array([1, -1]) * manner.toe_out

    def footprint(cycle: np.ndarray, foot: int) -> np.ndarray:
        along = cycle * stride
        direction = path.direction(along)
        spot = path.place(along) + (half_width if foot == 0 else -half_width) * _left_of(direction)
        return np.column_stack([spot, direction + toes_out[foot]])

    ankles, toes = _step(body, cycle, footprint, rng.uniform(0.09, 0.14))

    # Left heel strike is where the cosine is 1: there the left hip and the right arm are in front.
    swing = np.cos(2 * np.pi * cycle)
    over_left = np.cos(2 * np.pi * (cycle - _MID_STANCE))
    direction = path.direction(way)
    pelvis_turn = rng.uniform(3, 7)
    pelvis_drop = rng.uniform(1, 4)
    root = np.column_stack(
        [
            path.place(way) + rng.uniform(0.01, 0.03) * over_left[:, None] * _left_of(direction),
            np.full(len(time), _standing_height(body) - rng.uniform(0, 0.02)),
        ]
    )
    angles = {
        "pelvis_pitch": np.full(len(time), rng.uniform(0, 5)),
        "pelvis_roll": -pelvis_drop * over_left,
        "spine_bend": np.full(len(time), manner.slouch + rng.uniform(-8, 6)),
        "spine_side": pelvis_drop * over_left,
        "spine_twist": manner.amplitude * rng.uniform(1.3, 2.2) * pelvis_turn * swing,
    }

    arm_swing = manner.amplitude * (6 + 22 * speed) * rng.uniform(0.7, 1.3)
    carried = _arms(rng, time, _CARRIES, rate=60)
    elbows = rng.uniform(12, 45)
    for side, forwards, share in (
        ("left_", -swing, 1 + manner.asymmetry),
        ("right_", swing, 1 - manner.asymmetry),
    ):
        swung = share * arm_swing * forwards
        free = {
            "shoulder_flexion": rng.uniform(-4, 6) + swung,
            "shoulder_abduction": rng.uniform(6, 14) + 0 * swung,
            "shoulder_rotation": rng.uniform(5, 30) + 0 * swung,
            "elbow_flexion": elbows + 0.5 * swung,
        }
        carries = rng.random() < 0.25
        for name in _ARM:
            angles[side + name] = free[name]
            if carries:
                angles[side + name] = carried[side + name] + 0.2 * (free[name] - free[name].mean())

    return _perform(body, time, angles, root, direction - pelvis_turn * swing, ankles, toes, rng)


def reach(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stand and reach for things around with either arm or both; the trunk and the knees help."""
    place, facing = _random_spot(rng, 0.75)
    ankles, toes = _stance(body, time, place, facing, rng)

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
    posture_plan = _wander(rng, time, posture, slowest=1.6 / body.manner.tempo, hold=(0.2, 1.5))
    pitch, bend, side, twist, crouch, forwards, leftwards, turned = posture_plan.T
    arms = _arms(rng, time, _REACHES, rate)
    # An arm that reaches forwards takes its shoulder along.
    pulled = 0.12 * (arms["right_shoulder_flexion"] - arms["left_shoulder_flexion"])
    angles = arms | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + bend,
        "spine_side": side,
        "spine_twist": body.manner.amplitude * twist + pulled,
    }
    root = _over(
        place, facing, forwards - 0.12 * np.sin(np.radians(pitch)), leftwards, _standing_height(body) - crouch
    )
    return _perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def bend(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pick things up from the floor in front or to a side, with straight or bent knees, and do so again."""
    place, facing = _random_spot(rng, 0.7)
    ankles, toes = _stance(body, time, place, facing, rng)
    tempo = body.manner.tempo

    # Columns: pelvis pitch, spine bend, side and twist, lowering, moving back, turning, the arms' eight.
    def upright() -> np.ndarray:
        arms = np.concatenate([_arm_target(rng, _LIFTS)] * 2 if rng.random() < 0.4 else _two_arms(rng, _LIFTS))
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
    plan = _eased(moments, targets, time).T

    pitch, curl, side, twist, lowered, back, turned = plan[:7]
    angles = _named_arms(plan[7:11], plan[11:]) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch * (1 - pitch / 90) + curl,
        "spine_side": side,
        "spine_twist": twist,
    }
    root = _over(place, facing, -back, 0 * back, _standing_height(body) - lowered)
    return _perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def sit(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sit down on a seat, gesture, lean and shift the feet there, and get up again."""
    place, facing = _random_spot(rng, 0.6)
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
    seated = _eased(moments, np.array(states)[:, None], time + begin)[:, 0]
    rising = 4 * seated * (1 - seated)
    settled = seated**4

    def posture() -> np.ndarray:
        lean = rng.uniform(-1, 1)
        return np.array([18 * lean, 12 + 18 * lean, rng.uniform(-15, 15), rng.uniform(-30, 30), rng.uniform(-12, 12)])

    def feet() -> np.ndarray:
        stretched = rng.uniform(-0.12, 0.25)
        return np.array([stretched, stretched + rng.uniform(-0.12, 0.12), *rng.uniform(-0.06, 0.12, 2)])

    lean_plan = _wander(rng, time, posture, slowest=1.5 / tempo, hold=(0.3, 2.5)).T * settled
    foot_plan = _wander(rng, time, feet, slowest=1.0 / tempo, hold=(1.5, 5)).T * settled
    seated_arms = _arms(rng, time, _SEATED, rate=rng.uniform(50, 90) * tempo)
    standing_arms = _arms(rng, time, {"hang": 1}, rate=60)

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
    lowered = (_standing_height(body) - seat_height) * seated
    root = _over(place, facing, seat_depth / 2 - back, 0 * back, _standing_height(body) - lowered)
    half_width = rng.uniform(0.09, 0.17)
    ankles = np.stack(
        [
            _over(
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
    return _perform(body, time, angles, root, facing + turned, ankles, toes, rng)


def turn(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn on the spot with small steps, gesturing: once around or more in any clip of at least 3 s."""
    place, facing = _random_spot(rng, 0.8)
    duration = time[-1] if len(time) > 1 else 1.0
    rate = min(max(rng.uniform(365, 500) / max(duration, 0.1), rng.uniform(35, 70)), 125.0)
    sense = rng.choice([-1.0, 1.0])
    turned = rate * (time + _wobble(rng, time, 0.06))
    per_cycle = np.clip(rate, 35, 75)
    begin = rng.uniform()
    half_width = rng.uniform(0.07, 0.14)
    toes_out = np.array([1, -1]) * body.manner.toe_out

    def footprint(cycle: np.ndarray, foot: int) -> np.ndarray:
        direction = facing + sense * (cycle - begin) * per_cycle
        spot = place + (half_width if foot == 0 else -half_width) * _left_of(direction)
        return np.column_stack([spot, direction + toes_out[foot]])

    cycle = begin + turned / per_cycle
    ankles, toes = _step(body, cycle, footprint, rng.uniform(0.05, 0.09))

    def posture() -> np.ndarray:
        return np.array([rng.uniform(-7, 9), rng.uniform(-14, 16), rng.uniform(-15, 15), rng.uniform(-25, 25)])

    plan = _wander(rng, time, posture, slowest=1.5 / body.manner.tempo, hold=(0.2, 1.5))
    pitch, curl, side, twist = plan.T
    over_left = np.cos(2 * np.pi * (cycle - _MID_STANCE))
    heading = facing + sense * turned
    angles = _arms(rng, time, _GESTURES, rate=rng.uniform(60, 100) * body.manner.tempo) | {
        "pelvis_pitch": pitch,
        "spine_bend": body.manner.slouch + curl,
        "spine_side": side,
        # Head and shoulders lead the turn.
        "spine_twist": 8 * sense + twist,
        "neck_twist": np.full(len(time), 12 * sense),
    }
    height = np.full(len(time), _standing_height(body) - rng.uniform(0, 0.015))
    root = np.column_stack([place + rng.uniform(0.01, 0.03) * over_left[:, None] * _left_of(heading), height])
    return _perform(body, time, angles, root, heading, ankles, toes, rng)


MOTIONS: dict[str, Callable[[Body, np.ndarray, np.random.Generator], np.ndarray]] = {
    "walking": walk,
    "reaching": reach,
    "bending": bend,
    "sitting": sit,
    "turning": turn,
}
"""Each kind of motion: of a body, the times (s) of the frames and a generator, the joints (frames, 17, 3)."""


def _perform(
    body: Body,
    time: np.ndarray,
    angles: Mapping[str, np.ndarray],
    root: np.ndarray,
    heading: np.ndarray,
    ankles: np.ndarray,
    toes: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Add the wobble and the small things that come along, solve the legs, place the joints."""
    looks = _wander(rng, time, lambda: rng.uniform((-40, -15), (40, 20)), slowest=0.9, hold=(0.4, 2.5))
    whole = dict(angles)
    # People look ahead rather than along their chest.
    levelled = looks[:, 1] - 0.3 * (whole["pelvis_pitch"] + whole["spine_bend"])
    extra = {"neck_twist": looks[:, 0], "neck_bend": levelled, "neck_side": _wobble(rng, time, 5)}
    for side in ("left_", "right_"):
        # The shoulder blade takes a share of the raising of an arm.
        elevation = np.hypot(whole[side + "shoulder_flexion"], whole[side + "shoulder_abduction"])
        extra[side + "clavicle_raise"] = 20 * np.sin(np.radians(np.minimum(elevation, 180) / 2)) ** 2
        extra[side + "clavicle_forward"] = 0.1 * whole[side + "shoulder_flexion"] * np.cos(np.radians(elevation / 2))
        for name, size in zip(_ARM, (4, 3, 6, 5), strict=True):
            extra[side + name] = _wobble(rng, time, size)
    for name in ("pitch", "roll"):
        extra["pelvis_" + name] = _wobble(rng, time, 1.5)
    for name in ("bend", "side", "twist"):
        extra["spine_" + name] = _wobble(rng, time, 2.5)
    for name, angle in extra.items():
        whole[name] = whole.get(name, 0.0) + angle

    swayed = root + np.column_stack([_wobble(rng, time, size) for size in (0.008, 0.008, 0.005)])
    heading = heading + _wobble(rng, time, 2.0)
    solved, reachable = stand_on(body, whole, swayed, heading, ankles, toes)
    return pose(body, solved, reachable, heading)


def _eased(moments: list[float], targets: list[np.ndarray] | np.ndarray, time: np.ndarray) -> np.ndarray:
    """Move from target to target (moments, columns) by minimum-jerk moves; (frames, columns).

    The minimum-jerk course between two points at rest is Flash and Hogan's (Journal of Neuroscience, 1985).
    """
    at, values = np.asarray(moments), np.asarray(targets, float)
    move = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    share = np.clip((time - at[move]) / (at[move + 1] - at[move]), 0, 1)[:, None]
    return values[move] + share**3 * (10 - 15 * share + 6 * share**2) * (values[move + 1] - values[move])


def _wander(
    rng: np.random.Generator,
    time: np.ndarray,
    draw: Callable[[], np.ndarray],
    slowest: float,
    hold: tuple[float, float],
    rate: float = np.inf,
) -> np.ndarray:
    """Move between targets that ``draw`` gives, with pauses; at most ``rate`` per second on average."""
    moments, targets = [-rng.uniform(0, 2)], [draw()]
    while moments[-1] < (time[-1] if len(time) else 0):
        target = draw()
        takes = max(slowest * rng.uniform(0.8, 1.4), float(np.max(np.abs(target - targets[-1]))) / rate)
        moments += [moments[-1] + takes, moments[-1] + takes + rng.uniform(*hold)]
        targets += [target, target]
    return _eased(moments, targets, time)


def _wobble(rng: np.random.Generator, time: np.ndarray, size: float) -> np.ndarray:
    """Draw a smooth band-limited disturbance (0.1-0.9 Hz) with standard deviation ``size``."""
    waves = 5
    frequency = np.exp(rng.uniform(np.log(0.1), np.log(0.9), waves))
    phase = rng.uniform(0, 2 * np.pi, waves)
    return size * np.sqrt(2 / waves) * np.sin(2 * np.pi * frequency * time[:, None] + phase).sum(-1)


def _arm_target(rng: np.random.Generator, weights: Mapping[str, float]) -> np.ndarray:
    shares = np.array(list(weights.values())) / sum(weights.values())
    middle, half_width = _ARM_TARGETS[list(weights)[rng.choice(len(shares), p=shares)]]
    return np.array(middle) + np.array(half_width) * rng.uniform(-1, 1, 4)


def _two_arms(rng: np.random.Generator, weights: Mapping[str, float]) -> list[np.ndarray]:
    return [_arm_target(rng, weights), _arm_target(rng, weights)]


def _arms(
    rng: np.random.Generator, time: np.ndarray, weights: Mapping[str, float], rate: float
) -> dict[str, np.ndarray]:
    """Move the arms between random targets, each for itself or, in a third of the clips, as one."""

    def one_arm() -> np.ndarray:
        return _wander(rng, time, lambda: _arm_target(rng, weights), slowest=0.6, hold=(0.1, 1.5), rate=rate).T

    left = one_arm()
    right = left if rng.random() < 0.3 else one_arm()
    return _named_arms(left, right)


def _named_arms(left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    sides = (("left_", left), ("right_", right))
    return {side + name: angle for side, arm in sides for name, angle in zip(_ARM, arm, strict=True)}


def _standing_height(body: Body) -> float:
    return body.ankle_height + _KNEES_AT_EASE * body.leg


def _random_spot(rng: np.random.Generator, radius: float) -> tuple[np.ndarray, float]:
    """Draw a place on the floor, uniform in a disc, and a direction to face, uniform in the circle."""
    away, towards, facing = radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi), rng.uniform(0, 360)
    return np.array([away * np.cos(towards), away * np.sin(towards)]), facing


def _left_of(direction: np.ndarray) -> np.ndarray:
    return np.stack([-np.sin(np.radians(direction)), np.cos(np.radians(direction))], -1)


def _over(
    place: np.ndarray, facing: float, forwards: np.ndarray, leftwards: np.ndarray, height: np.ndarray
) -> np.ndarray:
    """Turn a way relative to a place and a direction into one in the world, (frames, 3)."""
    left = _left_of(np.array(facing))
    ahead = np.array([left[1], -left[0]])
    return np.column_stack([place + forwards[:, None] * ahead + leftwards[:, None] * left, height])


def _stance(
    body: Body, time: np.ndarray, place: np.ndarray, facing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Plant the feet: ankles (frames, 2, 3) and toes (frames, 2)."""
    half_width, stagger = rng.uniform(0.07, 0.22), rng.uniform(-0.12, 0.12)
    still = np.ones(len(time))
    ankles = [
        _over(place, facing, sign * stagger * still, sign * half_width * still, body.ankle_height * still)
        for sign in (1, -1)
    ]
    toes = facing + np.array([1, -1]) * (body.manner.toe_out + 30 * half_width)
    return np.stack(ankles, 1), np.tile(toes, (len(time), 1))


def _step(
    body: Body, cycle: np.ndarray, footprint: Callable[[np.ndarray, int], np.ndarray], lift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Set one foot after the other.

    Parameters
    ----------
    cycle
        (frames,), the gait cycle: whole numbers are heel strikes of the left foot, halves of the right.
    footprint
        Gives x, y and direction of the foot (0 left, 1 right) that has the body over it at a given cycle.
    lift
        Height of the ankle's swing (m).

    Returns
    -------
    tuple
        Ankles (frames, 2, 3) and toes (frames, 2).
    """
    ankles, toes = [], []
    for foot, delay in ((0, 0.0), (1, 0.5)):
        number, share = np.divmod(cycle - delay, 1.0)
        here = footprint(number + delay + _MID_STANCE, foot)
        there = footprint(number + delay + _MID_STANCE + 1, foot)
        swing = np.clip((share - _SWING_FROM) / (1 - _SWING_FROM), 0, 1)[:, None]
        course = here + swing**2 * (3 - 2 * swing) * (there - here)
        ankles.append(np.column_stack([course[:, :2], body.ankle_height + lift * _ANKLE_LIFT(share)]))
        toes.append(course[:, 2])
    return np.stack(ankles, 1), np.stack(toes, -1)


@dataclass(frozen=True)
class _Path:
    """A closed way over the floor, by the length along it; ``tightest`` is its smallest radius (m)."""

    length: float
    turning: float
    tightest: float
    _place: CubicSpline
    _wavering: CubicSpline

    def place(self, along: np.ndarray) -> np.ndarray:
        return self._place(along)

    def direction(self, along: np.ndarray) -> np.ndarray:
        """Direction of the way (degrees), continuous over the rounds."""
        return self._wavering(along) + self.turning * along / self.length


def _random_path(rng: np.random.Generator) -> _Path:
    round_angle = np.linspace(0, 2 * np.pi, 721)
    if rng.random() < 0.6:
        x = rng.uniform(0.85, 1.2) * np.cos(round_angle)
        y = rng.uniform(0.65, 1.05) * np.sin(round_angle)
    else:
        x = rng.uniform(1.0, 1.25) * np.sin(round_angle)
        y = rng.uniform(0.4, 0.6) * np.sin(2 * round_angle)
    if rng.random() < 0.5:
        y = -y
    rotated = rng.uniform(0, 2 * np.pi)
    turned = np.column_stack([x * np.cos(rotated) - y * np.sin(rotated), x * np.sin(rotated) + y * np.cos(rotated)])
    # The first and the last point are the same up to rounding, which a periodic spline does not forgive.
    turned[-1] = turned[0]

    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(turned, axis=0), axis=-1))])
    place = CubicSpline(along, turned, bc_type="periodic")
    velocity = place(along, 1)
    direction = np.degrees(np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0])))
    turning = 360 * round((direction[-1] - direction[0]) / 360)
    wavering = direction - turning * along / along[-1]
    wavering[-1] = wavering[0]
    tightest = float(1 / np.abs(np.diff(np.radians(direction)) / np.diff(along)).max())
    return _Path(float(along[-1]), turning, tightest, place, CubicSpline(along, wavering, bc_type="periodic"))

"""Poses over time: from one to the next, with the small movements of people who stand or sit."""

from collections.abc import Callable, Mapping

import numpy as np

from trilift.simulate.body import Body
from trilift.simulate.posing import pose, stand_on

ARM = ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow_flexion")


# Where arms go: the middle and the half width of a uniform distribution of each angle of `ARM`.
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


_KNEES_AT_EASE = 0.996
"""Height of the hips over the ankles in easy standing, as a share of the leg's length."""


def perform(
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
    looks = wander(rng, time, lambda: rng.uniform((-40, -15), (40, 20)), slowest=0.9, hold=(0.4, 2.5))
    whole = dict(angles)
    # People look ahead rather than along their chest.
    levelled = looks[:, 1] - 0.3 * (whole["pelvis_pitch"] + whole["spine_bend"])
    extra = {"neck_twist": looks[:, 0], "neck_bend": levelled, "neck_side": wobble(rng, time, 5)}
    for side in ("left_", "right_"):
        # The shoulder blade takes a share of the raising of an arm.
        elevation = np.hypot(whole[side + "shoulder_flexion"], whole[side + "shoulder_abduction"])
        extra[side + "clavicle_raise"] = 20 * np.sin(np.radians(np.minimum(elevation, 180) / 2)) ** 2
        extra[side + "clavicle_forward"] = 0.1 * whole[side + "shoulder_flexion"] * np.cos(np.radians(elevation / 2))
        for name, size in zip(ARM, (4, 3, 6, 5), strict=True):
            extra[side + name] = wobble(rng, time, size)
    for name in ("pitch", "roll"):
        extra["pelvis_" + name] = wobble(rng, time, 1.5)
    for name in ("bend", "side", "twist"):
        extra["spine_" + name] = wobble(rng, time, 2.5)
    for name, angle in extra.items():
        whole[name] = whole.get(name, 0.0) + angle

    swayed = root + np.column_stack([wobble(rng, time, size) for size in (0.008, 0.008, 0.005)])
    heading = heading + wobble(rng, time, 2.0)
    solved, reachable = stand_on(body, whole, swayed, heading, ankles, toes)
    return pose(body, solved, reachable, heading)


def eased(moments: list[float], targets: list[np.ndarray] | np.ndarray, time: np.ndarray) -> np.ndarray:
    """Move from target to target (moments, columns) by minimum-jerk moves; (frames, columns).

    The minimum-jerk course between two points at rest is Flash and Hogan's (Journal of Neuroscience, 1985).
    """
    at, values = np.asarray(moments), np.asarray(targets, float)
    move = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    share = np.clip((time - at[move]) / (at[move + 1] - at[move]), 0, 1)[:, None]
    return values[move] + share**3 * (10 - 15 * share + 6 * share**2) * (values[move + 1] - values[move])


def wander(
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
    return eased(moments, targets, time)


def wobble(rng: np.random.Generator, time: np.ndarray, size: float) -> np.ndarray:
    """Draw a smooth band-limited disturbance (0.1-0.9 Hz) with standard deviation ``size``."""
    waves = 5
    frequency = np.exp(rng.uniform(np.log(0.1), np.log(0.9), waves))
    phase = rng.uniform(0, 2 * np.pi, waves)
    return size * np.sqrt(2 / waves) * np.sin(2 * np.pi * frequency * time[:, None] + phase).sum(-1)


def arm_target(rng: np.random.Generator, weights: Mapping[str, float]) -> np.ndarray:
    shares = np.array(list(weights.values())) / sum(weights.values())
    middle, half_width = _ARM_TARGETS[list(weights)[rng.choice(len(shares), p=shares)]]
    return np.array(middle) + np.array(half_width) * rng.uniform(-1, 1, 4)


def two_arms(rng: np.random.Generator, weights: Mapping[str, float]) -> list[np.ndarray]:
    return [arm_target(rng, weights), arm_target(rng, weights)]


def move_arms(
    rng: np.random.Generator, time: np.ndarray, weights: Mapping[str, float], rate: float
) -> dict[str, np.ndarray]:
    """Move the arms between random targets, each for itself or, in a third of the clips, as one."""

    def one_arm() -> np.ndarray:
        return wander(rng, time, lambda: arm_target(rng, weights), slowest=0.6, hold=(0.1, 1.5), rate=rate).T

    left = one_arm()
    right = left if rng.random() < 0.3 else one_arm()
    return named_arms(left, right)


def named_arms(left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    sides = (("left_", left), ("right_", right))
    return {side + name: angle for side, arm in sides for name, angle in zip(ARM, arm, strict=True)}


def standing_height(body: Body) -> float:
    return body.ankle_height + _KNEES_AT_EASE * body.leg


def random_spot(rng: np.random.Generator, radius: float) -> tuple[np.ndarray, float]:
    """Draw a place on the floor, uniform in a disc, and a direction to face, uniform in the circle."""
    away, towards, facing = radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi), rng.uniform(0, 360)
    return np.array([away * np.cos(towards), away * np.sin(towards)]), facing


def left_of(direction: np.ndarray) -> np.ndarray:
    return np.stack([-np.sin(np.radians(direction)), np.cos(np.radians(direction))], -1)


def over(
    place: np.ndarray, facing: float, forwards: np.ndarray, leftwards: np.ndarray, height: np.ndarray
) -> np.ndarray:
    """Turn a way relative to a place and a direction into one in the world, (frames, 3)."""
    left = left_of(np.array(facing))
    ahead = np.array([left[1], -left[0]])
    return np.column_stack([place + forwards[:, None] * ahead + leftwards[:, None] * left, height])


def stance(
    body: Body, time: np.ndarray, place: np.ndarray, facing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Plant the feet: ankles (frames, 2, 3) and toes (frames, 2)."""
    half_width, stagger = rng.uniform(0.07, 0.22), rng.uniform(-0.12, 0.12)
    still = np.ones(len(time))
    ankles = [
        over(place, facing, sign * stagger * still, sign * half_width * still, body.ankle_height * still)
        for sign in (1, -1)
    ]
    toes = facing + np.array([1, -1]) * (body.manner.toe_out + 30 * half_width)
    return np.stack(ankles, 1), np.tile(toes, (len(time), 1))

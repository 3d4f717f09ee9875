"""Walking: feet that stand still while they carry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from trilift.simulate.body import Body
from trilift.simulate.plans import ARM, left_of, move_arms, perform, standing_height, wobble

_CARRIES = {"chest": 4, "head": 1.5, "hip": 2, "front": 1, "hang": 1, "side": 0.5}


# Share of a gait cycle at which a foot leaves the ground, and at which the body is right over it.
_SWING_FROM = 0.52


MID_STANCE = 0.28


# Height of the ankle over a gait cycle, 1 at the top of the swing: the heel rises before the foot leaves.
_ANKLE_LIFT = PchipInterpolator(
    [-0.1, 0, 0.38, 0.50, 0.58, 0.72, 0.90, 1.0, 1.1], [0, 0, 0, 0.10, 0.42, 1.0, 0.22, 0, 0]
)


def walk(body: Body, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Walk rounds along an oval or a figure of eight, swinging the arms or carrying something."""
    manner = body.manner
    path = _random_path(rng)
    # Curves are walked slower, and so that the outer foot keeps up.
    speed = min(rng.uniform(0.45, 0.95) * manner.tempo, 0.95, 1.25 * np.sqrt(path.tightest))
    stride = 2.3 * body.leg * (0.35 + 0.3 * speed)
    start = rng.uniform(0, path.length)
    way = start + speed * (time + wobble(rng, time, 0.03))
    cycle = way / stride

    half_width = rng.uniform(0.05, 0.1)
    toes_out = np.array([1, -1]) * manner.toe_out

    def footprint(cycle: np.ndarray, foot: int) -> np.ndarray:
        along = cycle * stride
        direction = path.direction(along)
        spot = path.place(along) + (half_width if foot == 0 else -half_width) * left_of(direction)
        return np.column_stack([spot, direction + toes_out[foot]])

    ankles, toes = step(body, cycle, footprint, rng.uniform(0.09, 0.14))

    # Left heel strike is where the cosine is 1: there the left hip and the right arm are in front.
    swing = np.cos(2 * np.pi * cycle)
    over_left = np.cos(2 * np.pi * (cycle - MID_STANCE))
    direction = path.direction(way)
    pelvis_turn = rng.uniform(3, 7)
    pelvis_drop = rng.uniform(1, 4)
    root = np.column_stack(
        [
            path.place(way) + rng.uniform(0.01, 0.03) * over_left[:, None] * left_of(direction),
            np.full(len(time), standing_height(body) - rng.uniform(0, 0.02)),
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
    carried = move_arms(rng, time, _CARRIES, rate=60)
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
        for name in ARM:
            angles[side + name] = free[name]
            if carries:
                angles[side + name] = carried[side + name] + 0.2 * (free[name] - free[name].mean())

    return perform(body, time, angles, root, direction - pelvis_turn * swing, ankles, toes, rng)


def step(
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
        here = footprint(number + delay + MID_STANCE, foot)
        there = footprint(number + delay + MID_STANCE + 1, foot)
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

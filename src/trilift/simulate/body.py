"""An articulated body with the 17 Human3.6M joints: bone lengths, joint limits and forward kinematics.

Frames of reference: the world has z up and the floor at z = 0; the body's own axes are x forward, y to its
left, z up. Lengths are metres and all angles, the heading included, degrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trilift.skeletons import H36M17

Angles = Mapping[str, np.ndarray]
"""Joint angles by name (the keys of `JOINT_LIMITS`), each (frames,) in degrees."""

SIDES = {"left_": 1.0, "right_": -1.0}

_MIDDLE_LIMITS = {
    "pelvis_pitch": (-35.0, 90.0),
    "pelvis_roll": (-20.0, 20.0),
    "spine_bend": (-25.0, 75.0),
    "spine_side": (-35.0, 35.0),
    "spine_twist": (-45.0, 45.0),
    "neck_bend": (-45.0, 50.0),
    "neck_side": (-35.0, 35.0),
    "neck_twist": (-70.0, 70.0),
}

SIDE_LIMITS = {
    "clavicle_raise": (-10.0, 30.0),
    "clavicle_forward": (-15.0, 25.0),
    "shoulder_flexion": (-50.0, 175.0),
    "shoulder_abduction": (-10.0, 160.0),
    "shoulder_rotation": (-70.0, 85.0),
    "elbow_flexion": (0.0, 150.0),
    "hip_flexion": (-30.0, 120.0),
    "hip_abduction": (-20.0, 45.0),
    "hip_rotation": (-40.0, 40.0),
    "knee_flexion": (0.0, 150.0),
}

JOINT_LIMITS: dict[str, tuple[float, float]] = _MIDDLE_LIMITS | {
    side + name: limits for side in SIDES for name, limits in SIDE_LIMITS.items()
}
"""Lowest and highest angle (degrees) of each joint.

Close to the normal ranges of the American Academy of Orthopaedic Surgeons (Joint Motion: Method of
Measuring and Recording, 1965), less the ends that people seldom use. Pitch and bend are positive forwards;
roll and side to the body's left; twist to its left; rotation of shoulder and hip inwards. Pelvis angles tilt
the whole body about the pelvis. Spine angles are shared equally by the two spine bones.
"""


HIGHEST_ARM = 172.0
"""The steepest elevation (degrees) of the upper arm, whatever the mix of flexion and abduction."""

# Lengths as shares of stature, by child joint: close to Drillis and Contini's segment lengths (1966; printed
# in Winter, Biomechanics and Motor Control of Human Movement) for the limbs and the height of the shoulders.
# Hips and shoulders are joint centres, which lie further in than the widths of those tables.
_PROPORTIONS = {
    "hip": 0.062,
    "knee": 0.245,
    "ankle": 0.246,
    "spine": 0.140,
    "thorax": 0.150,
    "nose": 0.108,
    "head_top": 0.090,
    "shoulder": 0.098,
    "elbow": 0.176,
    "wrist": 0.146,
}
_ANKLE_HEIGHT = 0.039

FACE_DIRECTION = np.array([0.35, 0.0, np.sqrt(1 - 0.35**2)])
CROWN_DIRECTION = np.array([-0.30, 0.0, np.sqrt(1 - 0.30**2)])
CLAVICLE_DIRECTION = np.array([-0.05, 1.0, -0.15]) / np.linalg.norm([0.05, 1.0, 0.15])


@dataclass(frozen=True)
class Manner:
    """How a person moves, whatever they do.

    Parameters
    ----------
    tempo
        Speed, 1 is average.
    amplitude
        Size of the swings of arms and trunk, 1 is average.
    asymmetry
        How much more the left arm swings than the right, as a share.
    slouch
        Bend of the spine when at ease (degrees).
    toe_out
        Direction of each foot outwards from the heading (degrees).
    """

    tempo: float = 1.0
    amplitude: float = 1.0
    asymmetry: float = 0.0
    slouch: float = 4.0
    toe_out: float = 8.0


@dataclass(frozen=True)
class Body:
    """One person's measures.

    Parameters
    ----------
    stature
        Height standing upright (m).
    ankle_height
        Height of the ankle joints over the floor with the feet flat on it (m).
    bones
        Length (m) of the bone that ends in each joint, by the joint's name; all but the pelvis have one.
    manner
        How the person moves.
    """

    stature: float
    ankle_height: float
    bones: Mapping[str, float]
    manner: Manner = Manner()

    @property
    def bone_lengths(self) -> np.ndarray:
        """Lengths (m) in the order of ``H36M17.bones``."""
        return np.array([self.bones[child] for _, child in H36M17.bones])

    @property
    def leg(self) -> float:
        """Length of the shorter leg, stretched, hip to ankle (m)."""
        return min(self.bones[side + "knee"] + self.bones[side + "ankle"] for side in SIDES)


def sample_body(rng: np.random.Generator) -> Body:
    """Draw a person.

    Stature is normal around 1.63 or 1.77 m (standard deviation 7 cm; women and men equally often), within
    1.50-1.95 m. Each kind of bone differs from the average proportion by 3 % and left from right by 0.5 %
    (standard deviations); people further differ in how long the legs are for the trunk.

    Examples
    --------
    >>> body = sample_body(np.random.default_rng(0))
    >>> 1.5 <= body.stature <= 1.95
    True
    """
    stature = float(np.clip(rng.choice([1.63, 1.77]) + 0.07 * rng.standard_normal(), 1.50, 1.95))
    long_legs = 1 + 0.02 * float(np.clip(rng.standard_normal(), -2, 2))
    bones = {}
    for name, share in _PROPORTIONS.items():
        share = share * float(np.exp(0.03 * np.clip(rng.standard_normal(), -2.5, 2.5)))
        if name in ("knee", "ankle"):
            share *= long_legs
        if name in ("spine", "thorax", "nose", "head_top"):
            bones[name] = share
        else:
            skew = 0.0025 * float(np.clip(rng.standard_normal(), -2.5, 2.5))
            bones["left_" + name] = share * (1 + skew)
            bones["right_" + name] = share * (1 - skew)

    # The proportions vary freely, so what they add up to is scaled to the stature that was drawn.
    height = (
        _ANKLE_HEIGHT
        + (bones["left_knee"] + bones["right_knee"] + bones["left_ankle"] + bones["right_ankle"]) / 2
        + bones["spine"]
        + bones["thorax"]
        + bones["nose"] * FACE_DIRECTION[2]
        + bones["head_top"] * CROWN_DIRECTION[2]
    )
    scale = stature / float(height)
    scaled = {name: length * scale for name, length in bones.items()}
    return Body(stature, _ANKLE_HEIGHT * scale, scaled, _sample_manner(rng))


def _sample_manner(rng: np.random.Generator) -> Manner:
    tempo, amplitude, asymmetry, slouch, toe_out = np.clip(rng.standard_normal(5), -2, 2).tolist()
    return Manner(
        tempo=1 + 0.08 * tempo,
        amplitude=1 + 0.15 * amplitude,
        asymmetry=0.1 * asymmetry,
        slouch=4 + 3 * slouch,
        toe_out=8 + 4 * toe_out,
    )

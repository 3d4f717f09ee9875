"""Bodies and forward kinematics, checked against geometry that is worked out here from the joints alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilift.simulate.body import JOINT_LIMITS, Body, sample_body
from trilift.simulate.posing import LIMIT_MARGIN, clamp, pose, stand_on
from trilift.skeletons import H36M17

SEEDS = st.integers(0, 2**32 - 1)

EXACT = Body(
    stature=1.7,
    ankle_height=0.07,
    bones={
        **{side + name: length for side in ("left_", "right_") for name, length in
           {"hip": 0.1, "knee": 0.4, "ankle": 0.45, "shoulder": 0.15, "elbow": 0.3, "wrist": 0.25}.items()},
        **{"spine": 0.2, "thorax": 0.3, "nose": 0.1, "head_top": 0.12},
    },
)  # fmt: skip


def joint(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[:, H36M17.index(name)]


def bone(joints: np.ndarray, parent: str, child: str) -> np.ndarray:
    return joint(joints, child) - joint(joints, parent)


def random_angles(seed: int, frames: int = 20, beyond: float = 1.5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(low - (beyond - 1) * (high - low), high + (beyond - 1) * (high - low), frames)
        for name, (low, high) in JOINT_LIMITS.items()
    }


def random_pose(seed: int, body: Body, **fixed: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angles = random_angles(seed) | {name: np.full(20, value) for name, value in fixed.items()}
    return pose(body, angles, rng.uniform(-1, 1, (20, 3)), rng.uniform(-360, 360, 20))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.sum(unit(a) * unit(b), -1), -1, 1)))


def least_rotated(vector: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Carry a vector along by the smallest rotation that takes ``start`` to ``end`` (Rodrigues' formula)."""
    start, end = unit(start), unit(end)
    axis = np.cross(start, end)
    cosine = np.sum(start * end, -1, keepdims=True)
    along = np.sum(axis * vector, -1, keepdims=True)
    return cosine * vector + np.cross(axis, vector) + axis * along / (1 + cosine)


def girdle(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pelvis' forward and down, for a pelvis that neither pitches nor rolls."""
    left = unit(bone(joints, "right_hip", "left_hip"))
    down = np.broadcast_to([0.0, 0.0, -1.0], left.shape)
    return np.cross(left, -down), down


@given(SEEDS)
@settings(max_examples=30)
def test_sampled_people_are_plausible(seed: int) -> None:
    body = sample_body(np.random.default_rng(seed))
    assert 1.5 <= body.stature <= 1.95
    for name, length in body.bones.items():
        assert 0.02 * body.stature < length < 0.3 * body.stature
        other = name.replace("left_", "right_")
        assert length == pytest.approx(body.bones[other], rel=0.02)
    upright = pose(body, {}, np.array([[0, 0, body.ankle_height + body.leg]]), np.zeros(1))[0]
    assert upright[H36M17.index("head_top"), 2] == pytest.approx(body.stature, abs=0.01)


def test_people_differ_and_a_seed_is_a_person() -> None:
    people = np.stack([sample_body(np.random.default_rng(seed)).bone_lengths for seed in range(30)])
    assert (np.abs(people[:, None] - people[None]).max(-1) + np.eye(30) > 0.002).all()
    proportions = people / people.sum(1, keepdims=True)
    assert (proportions.std(0) > 0.01 * proportions.mean(0)).all()
    assert (sample_body(np.random.default_rng(4)).bone_lengths == people[4]).all()
    assert sample_body(np.random.default_rng(4)) == sample_body(np.random.default_rng(4))


@given(SEEDS)
@settings(max_examples=30)
def test_bones_keep_their_length(seed: int) -> None:
    body = sample_body(np.random.default_rng(seed))
    joints = random_pose(seed, body)
    for (parent, child), length in zip(H36M17.bones, body.bone_lengths, strict=True):
        np.testing.assert_allclose(np.linalg.norm(bone(joints, parent, child), axis=-1), length, atol=1e-12)


def test_hand_worked_pose() -> None:
    """Facing world y: the left thigh level ahead, its shank plumb; the right arm out, its forearm ahead."""
    angles = {
        "left_hip_flexion": np.array([90.0]),
        "left_knee_flexion": np.array([90.0]),
        "right_knee_flexion": np.array([30.0]),
        "right_shoulder_abduction": np.array([90.0]),
        "right_elbow_flexion": np.array([90.0]),
        "left_shoulder_flexion": np.array([90.0]),
        "left_elbow_flexion": np.array([90.0]),
        "left_shoulder_rotation": np.array([60.0]),
    }
    joints = pose(EXACT, angles, np.array([[1.0, 2.0, 0.9]]), np.array([90.0]))
    sine, cosine = 0.5, np.sqrt(0.75)
    # Seen from above, facing y means that left is -x.
    expected = {
        "pelvis": (1.0, 2.0, 0.9),
        "left_hip": (0.9, 2.0, 0.9),
        "left_knee": (0.9, 2.4, 0.9),
        "left_ankle": (0.9, 2.4, 0.45),
        "right_hip": (1.1, 2.0, 0.9),
        "right_knee": (1.1, 2.0, 0.5),
        "right_ankle": (1.1, 2 - 0.45 * sine, 0.5 - 0.45 * cosine),
        "spine": (1.0, 2.0, 1.1),
        "thorax": (1.0, 2.0, 1.4),
    }
    for name, place in expected.items():
        np.testing.assert_allclose(joint(joints, name)[0], place, atol=1e-12, err_msg=name)
    bones = {
        ("right_shoulder", "right_elbow"): (0.3, 0, 0),
        ("right_elbow", "right_wrist"): (0, 0.25, 0),
        ("left_shoulder", "left_elbow"): (0, 0.3, 0),
        # The forearm points up, turned inwards (to the right, +x) by 60 degrees.
        ("left_elbow", "left_wrist"): (0.25 * cosine, 0, 0.25 * sine),
    }
    for (parent, child), way in bones.items():
        np.testing.assert_allclose(bone(joints, parent, child)[0], way, atol=1e-12, err_msg=child)
    assert joint(joints, "nose")[0, 1] > 2.0


def test_trunk_signs() -> None:
    angles = {
        "spine_bend": np.array([40.0, 0, 0, 0]),
        "spine_side": np.array([0, 20.0, 0, 0]),
        "neck_twist": np.array([0, 0, 50.0, 0]),
        "spine_twist": np.array([0, 0, 0, 30.0]),
    }
    joints = pose(EXACT, angles, np.zeros((4, 3)), np.zeros(4))
    thorax, nose = joint(joints, "thorax"), bone(joints, "thorax", "nose")
    assert thorax[0, 0] > 0.1
    assert thorax[1, 1] > 0.05
    assert nose[2, 1] > 0
    shoulders = bone(joints, "right_shoulder", "left_shoulder")[3]
    assert np.degrees(np.arctan2(-shoulders[0], shoulders[1])) == pytest.approx(30)


@given(SEEDS)
@settings(max_examples=30)
def test_left_is_left_of_where_the_person_faces(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heading = rng.uniform(-720, 720, 20)
    joints = pose(sample_body(rng), {}, rng.uniform(-1, 1, (20, 3)), heading)
    facing = np.stack([np.cos(np.radians(heading)), np.sin(np.radians(heading))], -1)
    nose = bone(joints, "thorax", "nose")[:, :2]
    np.testing.assert_allclose(unit(nose), facing, atol=1e-9)
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        left = bone(joints, "right_" + part, "left_" + part)[:, :2]
        turn = facing[:, 0] * left[:, 1] - facing[:, 1] * left[:, 0]
        assert (turn > 0.1).all()


@given(SEEDS)
@settings(max_examples=30)
def test_mirrored_angles_give_the_mirrored_pose(seed: int) -> None:
    angles = random_angles(seed)
    swapped = {
        name.replace("left_", "?").replace("right_", "left_").replace("?", "right_"): angle
        for name, angle in angles.items()
    }
    for name in ("pelvis_roll", "spine_side", "spine_twist", "neck_side", "neck_twist"):
        swapped[name] = -swapped[name]
    heading = np.random.default_rng(seed).uniform(0, 360, 20)
    joints = pose(EXACT, angles, np.zeros((20, 3)), heading)
    mirrored = pose(EXACT, swapped, np.zeros((20, 3)), -heading)
    np.testing.assert_allclose(mirrored[:, H36M17.mirrored], joints * [1, -1, 1], atol=1e-9)


@given(SEEDS)
@settings(max_examples=30)
def test_knees_bend_backwards_and_elbows_forwards(seed: int) -> None:
    body = sample_body(np.random.default_rng(seed))
    upright = dict.fromkeys(("pelvis_pitch", "pelvis_roll", "spine_bend", "spine_side", "spine_twist"), 0.0)
    joints = random_pose(seed, body, **upright)
    forwards, down = girdle(joints)
    # Turned about its own axis by less than 90 degrees, a limb's front stays on the side of the carried one.
    for side in ("left_", "right_"):
        thigh, shank = (
            bone(joints, side + "hip", side + "knee"),
            bone(joints, side + "knee", side + "ankle"),
        )
        assert (np.sum(unit(shank) * least_rotated(forwards, down, thigh), -1) < 1e-9).all()
        upper_arm = bone(joints, side + "shoulder", side + "elbow")
        forearm = bone(joints, side + "elbow", side + "wrist")
        assert (np.sum(unit(forearm) * least_rotated(forwards, down, upper_arm), -1) > -1e-9).all()


@pytest.mark.parametrize("size", [1e3, 1e9, np.inf])
@pytest.mark.parametrize("sign", [-1, 1])
def test_absurd_angles_stay_within_the_limits(size: float, sign: int) -> None:
    absurd = {name: np.array([sign * size]) for name in JOINT_LIMITS}
    joints = pose(EXACT, absurd, np.zeros((1, 3)), np.zeros(1))
    assert np.isfinite(joints).all()
    for side in ("left_", "right_"):
        for a, b, c in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            bent = angle_between(bone(joints, side + a, side + b), bone(joints, side + b, side + c))
            assert bent == pytest.approx(150 if sign > 0 else 0, abs=1e-5)
    one = pose(EXACT, {"left_hip_abduction": np.array([sign * size])}, np.zeros((1, 3)), np.zeros(1))
    thigh = bone(one, "left_hip", "left_knee")[0]
    assert np.degrees(np.arctan2(thigh[1], -thigh[2])) == pytest.approx(45 if sign > 0 else -20)


@given(SEEDS)
@settings(max_examples=20)
def test_upper_arms_never_pass_the_vertical(seed: int) -> None:
    upright = dict.fromkeys(("pelvis_pitch", "pelvis_roll", "spine_bend", "spine_side", "spine_twist"), 0.0)
    joints = random_pose(seed, EXACT, **upright)
    forwards, down = girdle(joints)
    for side, sign in (("left_", 1), ("right_", -1)):
        arm = unit(bone(joints, side + "shoulder", side + "elbow"))
        raised = angle_between(arm, down)
        assert (raised <= 172 + 1e-6).all()
        # Behind the back an arm reaches no higher than the limit of extension and abduction together.
        outwards = sign * np.cross(-down, forwards)
        behind = (np.sum(arm * forwards, -1) < 0) & (np.sum(arm * outwards, -1) < 0)
        assert (raised[behind] <= np.hypot(50, 10) + 1e-6).all()


@given(st.floats(-1e4, 1e4), st.sampled_from(sorted(JOINT_LIMITS)))
def test_clamp_is_smooth_and_never_speeds_up(angle: float, name: str) -> None:
    low, high = limits = JOINT_LIMITS[name]
    around = angle + 1e-3 * np.arange(-1, 2)
    clamped = clamp(around, limits)
    assert ((low <= clamped) & (clamped <= high)).all()
    rates = np.diff(clamped) / 1e-3
    assert ((rates > -1e-9) & (rates < 1 + 1e-9)).all()
    assert abs(rates[1] - rates[0]) < 1e-3
    if low + LIMIT_MARGIN <= angle <= high - LIMIT_MARGIN:
        assert clamp(np.array(angle), limits) == angle


@given(SEEDS)
@settings(max_examples=30)
def test_standing_on_given_ankles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    facing = rng.uniform(0, 360)
    left = np.array([-np.sin(np.radians(facing)), np.cos(np.radians(facing)), 0])
    ahead = np.array([left[1], -left[0], 0])
    ankles = np.stack([body.ankle_height * np.array([0, 0, 1]) + s * rng.uniform(0.08, 0.2) * left for s in (1, -1)])
    ankles = np.tile(ankles + rng.uniform(-0.15, 0.15, (2, 1)) * ahead, (10, 1, 1))
    wished = np.linspace(0.5 * body.leg, 2.0, 10)
    root = np.column_stack([np.zeros((10, 2)), wished])
    heading = np.full(10, facing)
    angles, reachable = stand_on(
        body, {"pelvis_pitch": np.full(10, 15.0)}, root, heading, ankles, heading[:, None] + np.array([10, -10])
    )
    joints = pose(body, angles, reachable, heading)
    for foot, name in enumerate(("left_ankle", "right_ankle")):
        np.testing.assert_allclose(joint(joints, name), ankles[:, foot], atol=2e-3)
    assert (reachable[:, 2] <= wished + 1e-12).all()


def test_an_unknown_angle_is_refused() -> None:
    with pytest.raises(ValueError, match="left_knee_bend"):
        pose(EXACT, {"left_knee_bend": np.zeros(1)}, np.zeros((1, 3)), np.zeros(1))

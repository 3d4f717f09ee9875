"""Motions, judged by the joints that come out."""

import hashlib
from functools import cache

import numpy as np
import pytest

from trilift.simulate.body import Body, sample_body
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.skeletons import H36M17

FPS = 50
FRAMES = 500
CLIPS = 12

PELVIS, LEFT_HIP, RIGHT_HIP = (H36M17.index(name) for name in ("pelvis", "left_hip", "right_hip"))
ANKLES = [H36M17.index("left_ankle"), H36M17.index("right_ankle")]


@cache
def clips(name: str) -> tuple[tuple[Body, np.ndarray], ...]:
    made = []
    for seed in range(CLIPS):
        # One number of the stream per motion, so that the motions have different people.
        digest = hashlib.sha256(f"{name} {seed}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        body = sample_body(rng)
        made.append((body, simulate_motion(name, body, FRAMES, FPS, rng)))
    return tuple(made)


def heading(joints: np.ndarray) -> np.ndarray:
    """Direction faced (degrees): square to the line of the hips."""
    hips = joints[:, LEFT_HIP] - joints[:, RIGHT_HIP]
    return np.degrees(np.arctan2(-hips[:, 0], hips[:, 1]))


def speed(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(joints, axis=0), axis=-1) * FPS


def bent(joints: np.ndarray, a: str, b: str, c: str) -> np.ndarray:
    first = joints[:, H36M17.index(b)] - joints[:, H36M17.index(a)]
    second = joints[:, H36M17.index(c)] - joints[:, H36M17.index(b)]
    cosine = (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
    return np.degrees(np.arccos(cosine))


def test_the_motions() -> None:
    assert set(MOTIONS) == {"walking", "reaching", "bending", "sitting", "turning"}
    with pytest.raises(ValueError, match="swimming"):
        simulate_motion("swimming", sample_body(np.random.default_rng(0)), 2, FPS, np.random.default_rng(0))


@pytest.mark.parametrize("name", MOTIONS)
def test_people_stay_human(name: str) -> None:
    for body, joints in clips(name):
        assert joints.shape == (FRAMES, 17, 3)
        assert joints.dtype == np.float64
        assert np.isfinite(joints).all()
        lengths = np.stack([np.linalg.norm(joints[:, c] - joints[:, p], axis=-1) for p, c in H36M17.bone_indices], -1)
        np.testing.assert_allclose(lengths, np.broadcast_to(body.bone_lengths, lengths.shape), atol=1e-9)
        assert speed(joints).max() < 4.2
        assert speed(joints).max() > 0.3


@pytest.mark.parametrize("name", MOTIONS)
def test_motion_is_smooth(name: str) -> None:
    """At a finer frame rate velocities change less from frame to frame: there are no kinks to be found."""
    for seed in range(3):
        jumps = []
        for fps in (200, 800):
            rng = np.random.default_rng(seed)
            body = sample_body(rng)
            # The same moments: plans are drawn for the clip's duration.
            joints = simulate_motion(name, body, 3 * fps + 1, fps, rng)
            jumps.append(np.abs(np.diff(joints, 2, axis=0) * fps).max())
        assert jumps[0] < 0.9
        assert jumps[1] < 0.4 * jumps[0]


@pytest.mark.parametrize("name", MOTIONS)
def test_people_stay_in_the_room_with_their_feet_on_the_floor(name: str) -> None:
    for body, joints in clips(name):
        assert np.linalg.norm(joints[:, PELVIS, :2], axis=-1).max() < 1.5
        assert np.linalg.norm(joints[..., :2], axis=-1).max() < 2.2
        lowest = joints[:, ANKLES, 2].min(1) - body.ankle_height
        assert lowest.min() > -0.025
        assert lowest.max() < 0.025
        assert joints[..., 2].min() > -0.05


# Seated people shift their feet.
@pytest.mark.parametrize("name", sorted(set(MOTIONS) - {"sitting"}))
def test_planted_feet_do_not_slide(name: str) -> None:
    for body, joints in clips(name):
        ankles = joints[:, ANKLES]
        planted = ankles[:-1, :, 2] < body.ankle_height + 0.001
        assert planted.any(1).mean() > 0.6
        sliding = np.linalg.norm(np.diff(ankles[..., :2], axis=0), axis=-1) * FPS
        assert np.quantile(sliding[planted], 0.95) < 0.08


@pytest.mark.parametrize("name", MOTIONS)
def test_a_seed_is_a_clip(name: str) -> None:
    body = sample_body(np.random.default_rng(0))
    first, again, other = (simulate_motion(name, body, 60, FPS, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("frames", [1, 2, 40])
def test_short_clips(name: str, frames: int) -> None:
    rng = np.random.default_rng(frames)
    joints = simulate_motion(name, sample_body(rng), frames, 25, rng)
    assert joints.shape == (frames, 17, 3)
    assert np.isfinite(joints).all()


@pytest.mark.parametrize("name", MOTIONS)
def test_headings_cover_the_circle(name: str) -> None:
    rng = np.random.default_rng(3)
    body = sample_body(rng)
    first = np.concatenate([heading(simulate_motion(name, body, 1, FPS, rng)) for _ in range(80)])
    counts, _ = np.histogram(first, np.linspace(-180, 180, 7))
    assert counts.min() >= 4


def test_walkers_swing_the_arms_against_the_legs() -> None:
    agreement = []
    for _, joints in clips("walking"):
        angle = np.radians(heading(joints))
        ahead = np.stack([np.cos(angle), np.sin(angle)], -1)

        def forwards(part: str, origin: str, joints: np.ndarray = joints, ahead: np.ndarray = ahead) -> np.ndarray:
            way = joints[:, H36M17.index(part), :2] - joints[:, H36M17.index(origin), :2]
            return (way * ahead).sum(-1)

        legs = forwards("left_ankle", "left_hip") - forwards("right_ankle", "right_hip")
        arms = forwards("left_elbow", "left_shoulder") - forwards("right_elbow", "right_shoulder")
        agreement.append(np.corrcoef(legs, arms)[0, 1])
    # Some carry something or gesture with an arm, which then swings less.
    assert np.quantile(agreement, 0.3) < -0.9
    assert np.median(agreement) < -0.6
    assert max(agreement) < 0.1


def test_walkers_go_where_they_face() -> None:
    for _, joints in clips("walking"):
        way = np.diff(joints[:, PELVIS, :2], axis=0)
        angle = np.radians(heading(joints))[:-1]
        along = way[:, 0] * np.cos(angle) + way[:, 1] * np.sin(angle)
        assert along.sum() > 0.95 * np.linalg.norm(way, axis=-1).sum()
        assert 0.3 < along.mean() * FPS < 1.2


def test_turners_turn_all_the_way() -> None:
    for _, joints in clips("turning"):
        turned = np.unwrap(heading(joints), period=360)
        assert np.ptp(turned) > 345
        assert np.ptp(joints[:, PELVIS, :2], axis=0).max() < 0.3


def test_benders_come_down_to_the_floor_and_up_again() -> None:
    for body, joints in clips("bending"):
        hands = joints[:, [H36M17.index("left_wrist"), H36M17.index("right_wrist")], 2].min(1)
        assert hands.min() < 0.30 * body.stature
        top = joints[:, H36M17.index("head_top"), 2]
        assert top.max() > 0.9 * body.stature
        assert top.min() < 0.7 * body.stature


def test_sitters_sit_on_a_seat_and_stand() -> None:
    seated_share = []
    for body, joints in clips("sitting"):
        height = joints[:, PELVIS, 2]
        seated = height < height.min() + 0.03
        seated_share.append(seated.mean())
        assert 0.46 < height.min() < 0.62
        assert np.median(bent(joints[seated], "left_hip", "left_knee", "left_ankle")) > 45
        if (~seated).mean() > 0.5:
            assert height.max() > 0.45 * body.stature
    assert 0.3 < np.mean(seated_share) < 0.9


def test_reachers_reach_far_with_both_arms() -> None:
    for side in ("left_", "right_"):
        # Wrist to shoulder over the arm's length, and the wrist's height over the shoulder's.
        stretched, raised = [], []
        for body, joints in clips("reaching"):
            arm = joints[:, H36M17.index(side + "wrist")] - joints[:, H36M17.index(side + "shoulder")]
            stretched.append(
                np.linalg.norm(arm, axis=-1).max() / (body.bones[side + "elbow"] + body.bones[side + "wrist"])
            )
            raised.append(np.ptp(arm[:, 2]))
        assert np.median(stretched) > 0.95
        assert np.median(raised) > 0.5


def test_poses_are_diverse() -> None:
    """The mean pose, even with every person turned to face one way, is a bad predictor."""
    poses = np.concatenate([joints[::25] for name in MOTIONS for _, joints in clips(name)])
    relative = poses - poses[:, :1]
    assert np.linalg.norm(relative - relative.mean(0), axis=-1).mean() > 0.22
    angle = -np.radians(heading(poses))[:, None]
    facing = relative.copy()
    facing[..., 0] = np.cos(angle) * relative[..., 0] - np.sin(angle) * relative[..., 1]
    facing[..., 1] = np.sin(angle) * relative[..., 0] + np.cos(angle) * relative[..., 1]
    assert np.linalg.norm(facing - facing.mean(0), axis=-1).mean() > 0.14

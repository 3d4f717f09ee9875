"""Predictions made steady: bones of one length, a known stature, gaps; a lifter's errors are simulated."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from trilift.errors import InputError
from trilift.lifter import smoothing as module
from trilift.lifter.smoothing import Live, Smoothing, bone_lengths, factor_to, steady, with_lengths
from trilift.skeletons import H36M17

ROOT, FPS = H36M17.root_index, 50.0
OF_LEGS_AND_TRUNK = ["left_knee", "left_ankle", "right_knee", "right_ankle", "spine", "thorax"]


STATURE = 1.8
BONES = {  # direction while standing (y is down), and length as a share of the stature
    "left_hip": ((1, 0, 0), 0.06),
    "right_hip": ((-1, 0, 0), 0.06),
    "left_knee": ((0, 1, 0), 0.245),
    "right_knee": ((0, 1, 0), 0.245),
    "left_ankle": ((0, 1, 0.1), 0.246),
    "right_ankle": ((0, 1, 0.1), 0.246),
    "spine": ((0, -1, 0), 0.14),
    "thorax": ((0, -1, 0.1), 0.148),
    "nose": ((0, -1, -0.4), 0.1),
    "head_top": ((0, -1, 0.3), 0.09),
    "left_shoulder": ((1, 0.1, 0), 0.1),
    "right_shoulder": ((-1, 0.1, 0), 0.1),
    "left_elbow": ((0.2, 1, 0), 0.18),
    "right_elbow": ((-0.2, 1, 0), 0.18),
    "left_wrist": ((0.1, 1, -0.3), 0.15),
    "right_wrist": ((-0.1, 1, -0.3), 0.15),
}


def person(frames: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Joints (frame, joint, 3) of a person whose bones swing, root at 0, and where it is (frame, 3): 4 m away."""
    rng, time = np.random.default_rng(1), np.arange(frames)[:, None] / FPS
    joints = {str(H36M17.root): np.zeros((frames, 3))}
    waiting = list(H36M17.bones)
    while waiting:
        parent, child = waiting.pop(0)
        if parent not in joints:
            waiting.append((parent, child))
            continue
        direction, share = BONES[child]
        swing = np.sin(2 * np.pi * (rng.uniform(0.3, 0.8, 3) * time + rng.random(3)))
        bone = np.array(direction) + 0.3 * swing
        joints[child] = joints[parent] + STATURE * share * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    root = [0.2, 0.1, 4.0] + np.linspace(0, 0.5, frames)[:, None] * [1, 0, 1]
    return np.stack([joints[name] for name in H36M17.keypoints], 1), root


def predict(frames: int = 120, size: float = 1.0, error: float = 0.03, missing: tuple = ()) -> tuple:
    """What a lifter made of exact detections: poses, rays and confidence."""
    poses, root = person(frames)
    joints = poses + root[:, None]
    rng = np.random.default_rng(0)
    shaken = size * poses + rng.normal(0, error, poses.shape)
    shaken -= shaken[:, ROOT, None]
    rays = joints[..., :2] / joints[..., 2:]
    shaken[list(missing)] = rays[list(missing)] = np.nan
    return torch.tensor(shaken), torch.tensor(rays), torch.ones(rays.shape[:-1]).double()


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected, axis=-1).mean())


def test_poses_are_nearer_to_the_truth_and_steady_with_bones_of_one_length() -> None:
    poses, root = person()
    shaken, rays, confidence = predict()
    found = steady(shaken, rays, confidence, H36M17, Smoothing(FPS))
    assert error(found.poses.numpy(), poses) < 0.5 * error(shaken.numpy(), poses)
    movement = np.diff(poses, axis=0)
    assert error(np.diff(found.poses, axis=0), movement) < 0.1 * error(np.diff(shaken, axis=0), movement)
    assert bone_lengths(found.poses.numpy(), H36M17).std(0).max() < 1e-4
    assert error(found.root.numpy(), root) < 0.1
    assert not found.filled.any()


def test_bones_get_their_lengths_by_nearly_the_least_displacement() -> None:
    pose = predict(error=0.05)[0].numpy()[3]
    lengths = bone_lengths(person()[0], H36M17)[0]
    found = with_lengths(pose, lengths, H36M17)
    np.testing.assert_allclose(bone_lengths(found, H36M17), lengths, atol=1e-4)
    np.testing.assert_array_equal(found[ROOT], 0)
    free = np.delete(np.arange(len(H36M17)), ROOT)

    def whole(of_free: np.ndarray) -> np.ndarray:
        joints = np.zeros((len(H36M17), 3))
        joints[free] = of_free.reshape(-1, 3)
        return joints

    best = minimize(
        lambda x: np.square(x - pose[free].ravel()).sum(),
        found[free].ravel() + np.random.default_rng(0).normal(0, 0.02, 3 * len(free)),
        constraints={"type": "eq", "fun": lambda x: bone_lengths(whole(x), H36M17) - lengths},
        options={"maxiter": 500},
    )
    assert best.success
    assert np.square(found - pose).sum() < 1.1 * best.fun
    np.testing.assert_allclose(with_lengths(found, lengths, H36M17), found, atol=1e-4)


def test_bones_without_a_length_or_a_direction_do_no_harm() -> None:
    poses = person(2)[0]
    lengths = bone_lengths(poses, H36M17)[0]
    wrist, elbow = H36M17.index("left_wrist"), H36M17.index("left_elbow")
    poses[0, wrist] = np.nan
    poses[1, wrist] = poses[1, elbow]
    found = with_lengths(poses, lengths, H36M17)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(poses))
    np.testing.assert_allclose(np.delete(found, wrist, 1), np.delete(poses, wrist, 1), atol=1e-5)
    np.testing.assert_allclose(with_lengths(poses, np.nan * lengths, H36M17), poses)


def test_a_known_stature_tells_size_and_place() -> None:
    truth, root = person()
    seen = predict(size=0.8, error=0.0)
    found = steady(*seen, H36M17, Smoothing(FPS))
    np.testing.assert_allclose(found.root[:, 2], 0.8 * root[:, 2], rtol=0.02)
    found = steady(*seen, H36M17, Smoothing(FPS, stature=STATURE))
    np.testing.assert_allclose(found.poses, truth, atol=0.02)
    np.testing.assert_allclose(found.root, root, atol=0.06)
    live = Live(H36M17, Smoothing(FPS, stature=STATURE))
    for frame in range(60):
        found = live.step(*(values[frame : frame + 1] for values in seen))
    np.testing.assert_allclose(found.root[0], root[59], atol=0.1)


def test_a_stature_needs_a_thigh_a_shank_or_the_trunk() -> None:
    lengths = bone_lengths(person(1)[0], H36M17)[0]
    whole = factor_to(1.7, lengths, H36M17)
    arms = np.array([child not in OF_LEGS_AND_TRUNK for _, child in H36M17.bones])
    np.testing.assert_allclose(factor_to(1.7, np.where(arms, np.nan, lengths), H36M17), whole)
    with pytest.raises(InputError, match=r"a stature of 1\.7 m: the lifter knows no thigh"):
        factor_to(1.7, np.where(arms, lengths, np.nan), H36M17)
    assert factor_to(1.7, np.full_like(lengths, np.nan), H36M17) == 1  # nobody is seen at all


GAPS = (0, 1, 20, 21, 40, 41, 42, 43, 44, 45, 119)


@pytest.mark.parametrize(("seconds", "filled"), [(0.0, []), (0.04, [20, 21]), (0.2, [20, 21, *range(40, 46)])])
def test_gaps_are_filled_on_request_and_marked(seconds: float, filled: list[int]) -> None:
    truth, root = person()
    found = steady(*predict(missing=GAPS), H36M17, Smoothing(FPS, max_gap_s=seconds))
    assert found.filled.nonzero()[:, 0].tolist() == filled
    missing = sorted({*GAPS} - {*filled})
    np.testing.assert_array_equal(np.flatnonzero(found.poses.isnan().any(-1).any(-1)), missing)
    np.testing.assert_array_equal(np.flatnonzero(found.root.isnan().any(-1)), missing)
    np.testing.assert_allclose(found.poses[filled], truth[filled], atol=0.1)
    np.testing.assert_allclose(found.root[filled], root[filled], atol=0.15)


def test_live_gaps_are_filled_until_they_last_too_long() -> None:
    live, seen = Live(H36M17, Smoothing(FPS, max_gap_s=0.06)), predict(missing=GAPS)
    found = [live.step(*(values[frame : frame + 1] for values in seen)) for frame in range(60)]
    filled = [number for number, frame in enumerate(found) if frame.filled]
    assert filled == [20, 21, 40, 41, 42]
    missing = [number for number, frame in enumerate(found) if frame.root.isnan().any()]
    assert missing == [0, 1, 43, 44, 45]
    assert all(frame.poses.isnan().any() == frame.root.isnan().any() for frame in found)


def test_live_poses_are_steady_and_nearer_to_the_truth() -> None:
    poses, _ = person()
    seen = predict()
    live = Live(H36M17, Smoothing(FPS))
    found = np.concatenate([live.step(*(values[frame : frame + 1] for values in seen)).poses for frame in range(120)])
    assert error(found[10:], poses[10:]) < 0.7 * error(seen[0].numpy()[10:], poses[10:])
    movement = np.diff(poses[10:], axis=0)
    assert error(np.diff(found[10:], axis=0), movement) < 0.2 * error(np.diff(seen[0][10:], axis=0), movement)


def test_several_views_are_made_steady_each_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    views = [predict(missing=GAPS), predict(size=0.9, error=0.1)]
    settings = Smoothing(FPS, max_gap_s=0.1, stature=1.8)
    alone = [steady(*seen, H36M17, settings) for seen in views]
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 50)
    together = steady(*(torch.stack(values, 1) for values in zip(*views, strict=True)), H36M17, settings)
    for field, found in together._asdict().items():
        expected = torch.stack([getattr(one, field) for one in alone], 1)
        torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=1e-6)


def test_a_joint_that_is_never_predicted_stays_missing() -> None:
    seen, wrist = predict(), H36M17.index("left_wrist")
    seen[0][:, wrist] = torch.nan
    live = Live(H36M17, Smoothing(FPS))
    for frame in range(3):
        newest = live.step(*(values[frame : frame + 1] for values in seen))
    for found in (steady(*seen, H36M17, Smoothing(FPS)), newest):
        known = found.poses.isfinite().all(-1).all(0)
        assert known.tolist() == [joint != wrist for joint in range(len(H36M17))]


def test_nobody_in_any_frame_stays_nobody() -> None:
    seen = predict(missing=tuple(range(120)))
    found = steady(*seen, H36M17, Smoothing(FPS, max_gap_s=9, stature=1.8))
    assert found.poses.isnan().all()
    assert found.root.isnan().all()
    assert not found.filled.any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0.0}, "0 frames per second"),
        ({"acceleration": -1.0}, "an acceleration of -1"),
        ({"max_gap_s": np.nan}, "gaps of nan seconds"),
        ({"stature": 178.0}, "a stature of 178 m; expected metres, such as 1.78"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Smoothing(**{"fps": FPS} | wrong)

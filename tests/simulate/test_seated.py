"""People on seats and on one leg, judged by the joints that come out."""

from collections.abc import Callable

import numpy as np
import pytest

from trilift.simulate.body import Body, sample_body
from trilift.simulate.motions import simulate_motion
from trilift.simulate.seated import balance, seat, seated
from trilift.skeletons import H36M17

FPS, FRAMES, PEOPLE = 50, 400, 20
COLUMN = H36M17.index


def sit(body: Body, rng: np.random.Generator) -> np.ndarray:
    return seated(body, np.arange(FRAMES) / FPS, rng)


def sit_as_captured(body: Body, rng: np.random.Generator) -> np.ndarray:
    return seat(simulate_motion("walking", sample_body(rng), FRAMES, FPS, rng), body, FPS, rng)


def stand_on_one_leg(body: Body, rng: np.random.Generator) -> np.ndarray:
    return balance(body, np.arange(FRAMES) / FPS, rng)


def people(move: Callable[[Body, np.random.Generator], np.ndarray]) -> list[tuple[Body, np.ndarray]]:
    made = []
    for seed in range(PEOPLE):
        rng = np.random.default_rng(seed)
        body = sample_body(rng)
        made.append((body, move(body, rng)))
    return made


@pytest.mark.parametrize("move", [sit, sit_as_captured, stand_on_one_leg])
def test_bodies_keep_their_bones_and_move_as_people_do(move: Callable[..., np.ndarray]) -> None:
    parents, children = np.array(H36M17.bone_indices).T
    for body, joints in people(move):
        assert joints.shape == (FRAMES, 17, 3)
        lengths = np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1)
        np.testing.assert_allclose(lengths, np.broadcast_to(body.bone_lengths, lengths.shape), rtol=1e-6)
        assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * FPS < 8
        assert joints[..., 2].min() > 0


@pytest.mark.parametrize("move", [sit, sit_as_captured])
def test_who_sits_stays_on_the_seat_with_the_thighs_about_level(move: Callable[..., np.ndarray]) -> None:
    slopes = []
    for _, joints in people(move):
        pelvis = joints[:, COLUMN("pelvis")]
        assert 0.35 < pelvis[:, 2].min() < pelvis[:, 2].max() < 0.75
        assert np.ptp(pelvis, 0).max() < 0.25
        for side in ("left", "right"):
            thigh = joints[:, COLUMN(f"{side}_knee")] - joints[:, COLUMN(f"{side}_hip")]
            slopes.append(np.degrees(np.arcsin(thigh[:, 2] / np.linalg.norm(thigh, axis=-1))))
    assert abs(np.median(slopes)) < 15
    assert (np.abs(slopes) < 50).mean() > 0.95


def test_the_upper_half_of_who_sits_as_captured_moves_as_captured() -> None:
    """How far the wrists are from the shoulders does not depend on how the whole is turned."""

    def reach(joints: np.ndarray) -> np.ndarray:
        sides = ("left", "right")
        away = [joints[:, COLUMN(f"{side}_wrist")] - joints[:, COLUMN(f"{side}_shoulder")] for side in sides]
        return np.linalg.norm(away, axis=-1)

    rng = np.random.default_rng(0)
    body = sample_body(rng)
    clip = simulate_motion("reaching", body, FRAMES, FPS, rng)
    np.testing.assert_allclose(reach(seat(clip, body, FPS, rng)), reach(clip), atol=1e-6)
    assert np.ptp(reach(clip)) > 0.1


def test_one_foot_stays_and_the_other_is_raised_now_and_then() -> None:
    raised = []
    for body, joints in people(stand_on_one_leg):
        ankles = joints[:, [COLUMN("left_ankle"), COLUMN("right_ankle")]]
        ways = np.ptp(ankles, 0).max(-1)
        assert ways.min() < 0.05
        raised.append((ankles[..., 2].max(1) > body.ankle_height + 0.05).mean())
    assert np.mean(raised) > 0.5

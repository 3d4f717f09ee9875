"""Smooth motion against dense least squares and simulated errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilift.geometry import motion
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.motion import Filter, State, corrected, error_of_jitter, jerkiness, predicted, smooth

FPS, ACCELERATION = 50.0, 10.0


def shaking(frames: int = 60, points: int = 3, seed: int = 0, error: float = 0.02) -> np.ndarray:
    """Points that swing, with errors, a few missing."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / FPS
    swings = 0.3 * np.sin(2 * np.pi * time * rng.uniform(0.2, 1, (points, 3)) + rng.uniform(0, 6, (points, 3)))
    seen = swings + rng.normal(0, error, swings.shape)
    seen[rng.random((frames, points)) < 0.1] = np.nan
    return seen


def dense(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Least squares of one coordinate (frame,): a row for each second difference and each measurement."""
    frames, known = len(points), np.isfinite(points)
    differences = np.diff(np.eye(frames), 2, axis=0) * np.sqrt(FPS**3 * 60 / ACCELERATION**2)
    rows = np.concatenate([differences, np.eye(frames)[known] * np.sqrt(weight[known])[:, None]])
    right = np.concatenate([np.zeros(frames - 2), (points * np.sqrt(weight))[known]])
    return np.linalg.lstsq(rows, right, rcond=None)[0]


def test_it_is_the_weighted_least_squares_of_all_frames() -> None:
    seen = shaking()
    jitter = np.nanmedian(np.abs(np.diff(seen, 2, axis=0)), 0) / 0.67449
    fast, slow = error_of_jitter(jitter**2, FPS)
    trust = np.ones(seen.shape[:2])
    for _ in range(4):
        expected = np.stack(
            [[dense(seen[:, p, c], trust[:, p] / slow[p, c]) for c in range(3)] for p in range(3)]
        ).transpose(2, 0, 1)
        trust = (DEGREES_OF_FREEDOM + 3) / (DEGREES_OF_FREEDOM + (np.square(seen - expected) / fast).sum(-1))
    np.testing.assert_allclose(smooth(seen, FPS, ACCELERATION), expected, atol=5e-6)


def test_causally_it_is_the_least_squares_of_the_frames_so_far() -> None:
    seen, variance, fastest = shaking(points=1)[:, 0, 0], 0.01, 4.0
    state = State(seen[:1], np.zeros(1), np.full(1, variance), np.zeros(1), np.full(1, fastest))
    for last in range(1, 40):
        known = np.isfinite(seen[last])
        state = predicted(state, jerkiness(ACCELERATION, FPS))
        off, error = (np.array([seen[last]]) - state.place, variance) if known else (np.zeros(1), np.inf)
        state = corrected(state, off, np.full(1, error))
        some = seen[: last + 1]
        first_step = np.zeros((1, last + 1))
        first_step[0, :2] = [-1 / np.sqrt(fastest), 1 / np.sqrt(fastest)]
        rows = [np.diff(np.eye(last + 1), 2, axis=0) / np.sqrt(jerkiness(ACCELERATION, FPS)), first_step]
        rows.append(np.eye(last + 1)[np.isfinite(some)] / np.sqrt(variance))
        right = [np.zeros(max(last - 1, 0)), np.zeros(1), some[np.isfinite(some)] / np.sqrt(variance)]
        a, b = np.concatenate(rows), np.concatenate(right)
        np.testing.assert_allclose(state.place[0], np.linalg.lstsq(a, b, rcond=None)[0][-1], atol=1e-7)
        np.testing.assert_allclose(state.of_place[0], np.linalg.inv(a.T @ a)[-1, -1], rtol=1e-5)


def test_the_error_is_told_from_how_points_shake() -> None:
    rng, r = np.random.default_rng(0), np.exp(-1 / (FPS * 0.08))
    error = np.zeros((20_000, 200))
    error[0] = rng.normal(0, 1, 200)
    for frame in range(1, len(error)):
        error[frame] = r * error[frame - 1] + np.sqrt(1 - r * r) * rng.normal(0, 1, 200)
    fast, slow = error_of_jitter(np.square(np.diff(error, 2, axis=0)).mean(), FPS)
    np.testing.assert_allclose(fast, error.var(), rtol=0.02)
    of_means = error.reshape(40, 500, 200).mean(1).var()
    np.testing.assert_allclose(slow / 500, of_means, rtol=0.05)


def test_a_typical_acceleration_means_the_same_at_every_rate() -> None:
    rng = np.random.default_rng(0)
    for fps in (25.0, 60.0, 200.0):  # white acceleration, integrated twice with far smaller steps
        many = 50
        acceleration = rng.normal(0, ACCELERATION * np.sqrt(many * fps / 60), (4000 * many,))
        moved = np.cumsum(np.cumsum(acceleration)) / (many * fps) ** 2
        # Sampling sums neighbouring accelerations twice: a third of the variance goes over to the neighbours.
        found = np.diff(moved[::many], 2).var()
        np.testing.assert_allclose(found, jerkiness(ACCELERATION, fps) * 2 / 3, rtol=0.1)


@given(st.integers(1, 40), st.integers(0, 1000), st.floats(-20, 20), st.booleans())
@settings(max_examples=30, deadline=None)
def test_steady_movement_stays_as_it_is(frames: int, seed: int, speed: float, causal: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = (
        rng.normal(0, 5, (1, 2, 3)) + speed / FPS * rng.normal(0, 0.1, (1, 2, 3)) * np.arange(frames)[:, None, None]
    )
    seen = truth.copy()
    seen[rng.random((frames, 2)) < 0.2] = np.nan
    if causal:
        steady = Filter(FPS, ACCELERATION)
        found = np.array([steady.step(frame) for frame in seen])
        known = np.maximum.accumulate(np.isfinite(seen), axis=0)
        assert (np.isnan(found) == ~known).all()
        np.testing.assert_allclose(found[-1], np.where(known[-1], truth[-1], np.nan), atol=0.2 * abs(speed) + 1e-9)
    else:
        known = np.isfinite(seen).sum(0) > 1
        found = smooth(seen, FPS, ACCELERATION)
        np.testing.assert_allclose(found[:, known], truth[:, known], atol=1e-4)


def test_a_frame_that_is_elsewhere_does_not_count() -> None:
    seen = shaking(200)
    expected = smooth(seen, FPS, ACCELERATION)
    seen[100] += 1.0
    assert np.abs(smooth(seen, FPS, ACCELERATION) - expected).max() < 0.02
    steady, other = Filter(FPS, ACCELERATION), Filter(FPS, ACCELERATION)
    seen[101:] = np.nan_to_num(seen[101:], nan=0.1)
    found = np.array([steady.step(frame) for frame in seen])
    seen[100] -= 1.0
    assert np.abs(found - [other.step(frame) for frame in seen])[20:].max() < 0.1


def test_somebody_who_jumps_is_found_again() -> None:
    """A filter that trusts itself too much would go on as before for ever."""
    seen = np.zeros((200, 1, 3))
    seen[100:] = 1.5
    steady = Filter(FPS, ACCELERATION)
    found = np.array([steady.step(frame) for frame in seen])
    assert np.abs(found[150:] - 1.5).max() < 0.05


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_are_taken_as_they_are(frames: int) -> None:
    seen = shaking(3, error=0.0)[:frames]
    seen[:, 1] = np.nan
    found = smooth(seen, FPS, ACCELERATION)
    assert found.shape == seen.shape
    assert np.isnan(found[:, 1]).all()


def test_points_are_solved_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = shaking(points=7).astype(np.float32)
    expected = smooth(seen, FPS, ACCELERATION)
    assert expected.dtype == np.float32
    monkeypatch.setattr(motion, "_NUMBERS_AT_ONCE", 400)
    np.testing.assert_array_equal(smooth(seen, FPS, ACCELERATION), expected)
    np.testing.assert_array_equal(
        smooth(seen.reshape(60, 7, 1, 3)[:, 2:3], FPS, ACCELERATION)[:, 0, 0], expected[:, 2]
    )

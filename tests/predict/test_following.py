"""Who is who in one view: people of known identity, in any order, with gaps, ghosts and newcomers."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trilift.evaluate.people import tracking_measures
from trilift.predict.following import Follower, follow, pick

FPS = 30.0
Array = NDArray[np.float64]


def walking(x: float, speed: float, frames: int, size: float = 200.0, seed: int = 0) -> Array:
    """Somebody who moves sideways, pixels per second, and swings: (frame, keypoint, 2)."""
    rng = np.random.default_rng(seed)
    shape, swing = rng.uniform(-0.5, 0.5, (17, 2)) * [0.4, 1], rng.normal(0, 0.02, (17, 2))
    time = np.arange(frames)[:, None, None] / FPS
    return size * (shape + swing * np.sin(6 * time)) + [x, 500] + [speed, 0] * time


def shuffled(people: list[Array], seed: int) -> tuple[Array, NDArray[np.intp]]:
    """Put people (frame, keypoint, 2) into one array in any order: and which person each detection is of."""
    rng = np.random.default_rng(seed)
    pixels = np.stack(people, 1)
    order = rng.permuted(np.tile(np.arange(len(people)), (len(pixels), 1)), axis=1)
    return np.take_along_axis(pixels, order[..., None, None], 1), order


def scene() -> list[Array]:
    """Two who cross, one of them hidden meanwhile, and one who comes later."""
    one, two, three = walking(300, 80, 150), walking(700, -80, 150, seed=1), walking(1200, 0, 150, seed=2)
    two[60:90] = np.nan
    three[:40] = np.nan
    rng = np.random.default_rng(3)
    for person in (one, two, three):
        person += rng.normal(0, 2, person.shape)
        person[rng.random(person.shape[:2]) < 0.1] = np.nan
    one[rng.random(150) < 0.1] = np.nan
    return [one, two, three]


@given(seed=st.integers(0, 1000))
def test_people_who_cross_hide_and_come_are_followed_in_any_order(seed: int) -> None:
    pixels, of_person = shuffled(scene(), seed)
    found = follow(pixels, fps=FPS)
    assert len(found) == 3
    for number, which in enumerate(found):
        seen = which >= 0
        assert (of_person[seen, which[seen]] == number).all()
        assert seen.sum() == np.isfinite(scene()[number]).all(-1).any(-1).sum()


def test_live_they_are_followed_as_well() -> None:
    pixels, of_person = shuffled(scene(), 0)
    follower = Follower(FPS)
    numbers = np.stack([follower.step(frame) for frame in pixels])
    tracks = np.arange(1, numbers.max() + 1)
    match = (numbers[..., None] == tracks)[..., None] & (of_person[..., None] == np.arange(3))[:, :, None]
    exists = np.isfinite(pixels).all(-1).any(-1)
    match = (match & exists[..., None, None]).any(1)
    measured = tracking_measures(np.where(match, 0, np.inf), match.any(2), np.isfinite(scene()).all(-1).any(-1).T)
    assert measured["identity_switches"] == measured["false"] == 0
    assert measured["missed"] == 3 * 2  # two frames of each, until the person counts
    assert follower.people == [1, 2, 3]


def test_somebody_of_whom_keypoints_are_missing_or_elsewhere_stays_one() -> None:
    """Many keypoints are missing, each for a while, so that few are seen in two frames, and some are outliers."""
    rng = np.random.default_rng(0)
    person = walking(300, 60, 300)
    missing = np.repeat(rng.random((100, 17)) < 0.35, 3, axis=0)
    person[rng.random((300, 17)) < 0.05] += 300
    person[missing] = np.nan
    person[100:120] = np.nan
    assert (follow(person[:, None], fps=FPS) == 0).sum(1).tolist() == [np.isfinite(person).all(-1).any(-1).sum()]
    follower = Follower(FPS)
    for frame in person:
        follower.step(frame[None])
    assert follower.people == [1]


def test_live_who_is_unseen_for_too_long_is_forgotten() -> None:
    follower, person = Follower(FPS), walking(300, 0, 20)[:, None]
    assert [follower.step(frame).tolist() for frame in person[:4]] == [[0], [0], [1], [1]]
    for _ in range(60):
        assert follower.step(person[0, :0]).tolist() == []
    assert follower.people == [1]
    assert follower.step(person[4]).tolist() == [1]
    for _ in range(61):
        follower.step(person[0] * np.nan)
    assert follower.people == []
    assert [follower.step(frame).tolist() for frame in person[5:8]] == [[0], [0], [2]]


@pytest.mark.parametrize(("gap_s", "people"), [(0.5, 1), (1.9, 1), (2.1, 2)])
def test_who_comes_back_soon_is_the_same(gap_s: float, people: int) -> None:
    person = walking(300, 20, 180)
    person[60 : 60 + round(gap_s * FPS) - 1] = np.nan
    assert len(follow(person[:, None], fps=FPS)) == people


@pytest.mark.parametrize(("size", "x", "people"), [(200, 350, 1), (350, 350, 2), (200, 600, 2)])
def test_who_comes_back_elsewhere_or_much_larger_is_somebody_else(size: float, x: float, people: int) -> None:
    person = walking(300, 0, 120)
    person[40:70] = np.nan
    person[70:] = walking(x, 0, 50, size)
    assert len(follow(person[:, None], fps=FPS)) == people


def test_ghosts_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    short, unsure = walking(900, 0, 120, seed=1), walking(1300, 0, 120, seed=2)
    short[5:] = np.nan
    pixels, confidence = np.stack([short, walking(300, 0, 120), unsure], 1), np.full((120, 3, 17), 0.9)
    confidence[:, 2] = 0.2
    with caplog.at_level(logging.INFO):
        found = follow(pixels, confidence, FPS)
    assert found.tolist() == [[1] * 120]
    assert "2 more are left out" in caplog.text
    assert "125 detections" in caplog.text
    assert len(follow(pixels, np.full((120, 3, 17), 0.9), FPS)) == 2


def test_the_surest_is_kept_however_short_and_nobody_is_nobody() -> None:
    person = walking(300, 0, 120)
    person[3:] = np.nan
    assert follow(person[:, None], fps=FPS).tolist() == [[0, 0, 0] + [-1] * 117]
    assert follow(np.full((4, 2, 17, 2), np.nan)).shape == (0, 4)


def test_people_are_numbered_by_their_first_frame_and_the_surest_first() -> None:
    late, sure, unsure = (walking(x, 0, 60, seed=x) for x in (300, 700, 1100))
    late[:2] = np.nan
    confidence = np.tile(np.array([0.9, 0.8, 0.5])[:, None], (60, 1, 17))
    found = follow(np.stack([late, sure, unsure], 1), confidence, FPS)
    assert found[:, -1].tolist() == [1, 2, 0]


def test_one_persons_detections_are_taken() -> None:
    pixels = np.arange(12.0).reshape(3, 2, 1, 2)
    its, confidence = pick(pixels, np.arange(6.0).reshape(3, 2, 1), np.array([1, -1, 0]))
    np.testing.assert_array_equal(its, [[[2, 3]], [[np.nan] * 2], [[8, 9]]])
    assert confidence is not None
    assert confidence.tolist() == [[1], [0], [4]]

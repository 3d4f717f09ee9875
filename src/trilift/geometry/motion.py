"""Points that move smoothly, seen with errors: all frames at once, or as they come."""

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import solveh_banded

from trilift.geometry.chunks import DEGREES_OF_FREEDOM

_SIXTIETH = 1 / 60  # seconds
_CORRELATION_TIME = 0.08
"""Seconds after which errors of detectors, and of what is made of them, resemble each other by 1/e only."""

_REWEIGHTINGS = 3
_SMALLEST_ERROR = 1e-3  # metres
_HOLD = 1e-10  # of the smoothness: keeps what is never seen where it is
_NUMBERS_AT_ONCE = 1_000_000

_USUAL_JITTER, _COUNTED_AS_USUAL = 0.03, 10.0  # metres, and frames: what the first frames are weighed by
_MOST_JITTER = 9.0  # times the usual square: the most that one frame counts
_FASTEST = 5.0  # m/s, at first sight


def jerkiness(acceleration: float, fps: float) -> float:
    """Variance of a second difference of positions from frame to frame, m^2: that of white acceleration.

    It is proportional to the third power of the time step, so that a typical `acceleration` over a sixtieth of a
    second (rms, m/s^2) means the same at every frame rate.
    """
    return acceleration**2 * _SIXTIETH / fps**3


def second_differences(frames: int) -> np.ndarray:
    """Diagonals (3, frame) of D^T D, the main one first, with D the second difference of so many frames."""
    diagonals = np.zeros((3, frames))
    for offset, products in enumerate(((1, 4, 1), (-2, -2), (1,))):
        for shift, product in enumerate(products):
            diagonals[offset, shift : max(frames - 2, 0) + shift] += product
    return diagonals


def smooth(points: np.ndarray, fps: float, acceleration: float) -> np.ndarray:
    """Solve for the motion of points from all frames at once.

    Parameters
    ----------
    points
        (frame, ..., 3), metres, of consecutive frames; NaN where missing.
    fps
        Frames per second.
    acceleration
        Typical acceleration of a point over a sixtieth of a second (rms), m/s^2: the larger, the less smoothing.

    Returns
    -------
    numpy.ndarray
        (frame, ..., 3), as `points`; NaN only for a point that is in no frame.

    Notes
    -----
    The sum of ``(second difference)^2 / jerkiness`` and ``weight (position - measured)^2 / variance`` is least. The
    variance follows from how much each coordinate shakes (`error_of_jitter`); weights are those of a Student t and
    solved for in turn with the positions, so that a frame in which a point is elsewhere does not count. The normal
    equations are banded, and those of many points are solved together.

    Examples
    --------
    >>> still = np.ones((100, 17, 3))
    >>> bool(np.allclose(smooth(still, fps=50, acceleration=10), still))
    True
    """
    frames = len(points)
    rows = points.reshape(frames, -1, 3)
    found = np.empty_like(rows)
    step = max(1, _NUMBERS_AT_ONCE // max(3 * frames, 1))
    for start in range(0, rows.shape[1], step):
        some = slice(start, start + step)
        found[:, some] = _smooth(rows[:, some].astype(np.float64), fps, acceleration)
    return found.reshape(points.shape)


def _smooth(points: np.ndarray, fps: float, acceleration: float) -> np.ndarray:
    known = np.isfinite(points).all(-1, keepdims=True)
    shakes = np.abs(np.diff(points, 2, axis=0))
    jitter = np.full(points.shape[1:], np.nan)
    enough = np.isfinite(shakes).sum(0) > 0
    jitter[enough] = np.nanmedian(shakes[:, enough], 0) / 0.6745  # of a normal distribution
    fast, slow = error_of_jitter(np.where(enough, jitter, _USUAL_JITTER) ** 2, fps)
    seen = np.where(known, points, 0.0)
    middle = seen.sum(0) / np.maximum(known.sum(0), 1)
    seen = np.where(known, points - middle, 0.0)
    smoothness = second_differences(len(points))[:, None, None] / jerkiness(acceleration, fps)
    smoothness = smoothness.repeat(points.shape[1], 1).repeat(3, 2)  # (diagonal, point, space, frame)
    weight = known / slow
    solved = _solve(smoothness, weight, seen)
    for _ in range(_REWEIGHTINGS):
        off = ((seen - solved) ** 2 / fast).sum(-1, keepdims=True)
        solved = _solve(smoothness, weight * _trust(off), seen)
    return np.where(known.any(0), solved + middle, np.nan)


def _solve(smoothness: np.ndarray, weight: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Minimise, each coordinate for itself; where one ends and the next begins, the diagonals hold zeros."""
    diagonals = smoothness.copy()
    diagonals[0] += weight.transpose(1, 2, 0) + _HOLD * smoothness[0].max(initial=0) + 1e-12
    right = (weight * points).transpose(1, 2, 0)
    solved = solveh_banded(
        diagonals.reshape(3, -1), right.reshape(-1), overwrite_ab=True, lower=True, check_finite=False
    )
    return solved.reshape(right.shape).transpose(2, 0, 1)


def error_of_jitter(squared: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Tell the error of positions from how they shake, if their errors are an AR(1) series.

    Parameters
    ----------
    squared
        Mean square of second differences; true motion adds little to them where it is smooth.
    fps
        Frames per second.

    Returns
    -------
    fast, slow : numpy.ndarray
        The variance of a frame's error, which is ``squared / (6 - 8 r + 2 r^2)`` with ``r`` the correlation of
        successive frames, and that times ``(1 + r) / (1 - r)``: the variance of as many independent errors whose mean
        over many frames were as uncertain.
    """
    r = math.exp(-1 / (fps * _CORRELATION_TIME))
    fast = np.maximum(squared / (6 - 8 * r + 2 * r * r), _SMALLEST_ERROR**2)
    return fast, fast * (1 + r) / (1 - r)


def _trust(squared: np.ndarray) -> np.ndarray:
    """Weight of a point under a Student t, from its squared distance over the variance of a coordinate."""
    return (DEGREES_OF_FREEDOM + 3) / (DEGREES_OF_FREEDOM + squared)


class Filter:
    """The causal form of `smooth`: each frame's estimate from it and those before (a Kalman filter).

    With the same variances and weights it is what `smooth` gives for the last of the frames so far. How much points
    shake is learnt on the way.

    Parameters
    ----------
    fps, acceleration
        As for `smooth`.

    Examples
    --------
    >>> steady = Filter(fps=50, acceleration=10)
    >>> steady.step(np.array([[0.0, 1.0, 2.0]]))
    array([[0., 1., 2.]])
    """

    def __init__(self, fps: float, acceleration: float):
        self._fps, self._jerkiness = fps, jerkiness(acceleration, fps)
        self._before: list[np.ndarray] = []  # the last measured points, at most two
        self._state: State | None = None

    def step(self, points: np.ndarray) -> np.ndarray:
        """Take the points (point, 3) of the next frame, NaN where missing, and estimate where they are.

        Missing points go on as they moved before; NaN only before they were first seen.
        """
        if self._state is None:
            nothing = np.zeros(points.shape)
            self._state = State(np.full(points.shape, np.nan), nothing, nothing, nothing, nothing)
            self._squared = np.full(points.shape, _COUNTED_AS_USUAL * _USUAL_JITTER**2)
            self._number = np.full(points.shape, _COUNTED_AS_USUAL)
        seen = np.isfinite(points)
        if len(self._before) == 2:
            shakes = (points - 2 * self._before[1] + self._before[0]) ** 2
            new = np.isfinite(shakes)
            # What is far beyond the usual is no jitter: somebody else, or left and right exchanged.
            self._squared += np.where(new, np.minimum(shakes, _MOST_JITTER * self._squared / self._number), 0)
            self._number += new
        self._before = [*self._before[-1:], points]
        fast, slow = error_of_jitter(self._squared / self._number, self._fps)
        state = predicted(self._state, self._jerkiness)
        first = np.isnan(state.place) & seen
        if first.any():
            begin = points, 0 * slow, slow, 0 * slow, np.full_like(slow, (_FASTEST / self._fps) ** 2)
            state = State(*(np.where(first, new, old) for new, old in zip(begin, state, strict=True)))
        off = points - state.place
        squared = (off * off / (fast + state.of_place)).sum(-1, keepdims=True)
        error = np.where(seen & ~first, slow / _trust(squared), np.inf)
        self._state = corrected(state, np.where(seen, off, 0.0), error)
        return self._state.place


class State(NamedTuple):
    """Where points are and how they move from frame to frame, and the variances and covariance of both."""

    place: np.ndarray
    step: np.ndarray
    of_place: np.ndarray
    of_both: np.ndarray
    of_step: np.ndarray


def predicted(state: State, jerkiness: float) -> State:
    """Take a state to the next frame."""
    place, step, of_place, of_both, of_step = state
    return State(place + step, step, of_place + 2 * of_both + of_step, of_both + of_step, of_step + jerkiness)


def corrected(state: State, off: np.ndarray, error: np.ndarray) -> State:
    """Correct a state by how far off places were measured, with a variance; where that is infinite it stays."""
    place, step, of_place, of_both, of_step = state
    gain, of_steps = of_place / (of_place + error), of_both / (of_place + error)
    left = 1 - gain
    return State(
        place + gain * off, step + of_steps * off, left * of_place, left * of_both, of_step - of_steps * of_both
    )

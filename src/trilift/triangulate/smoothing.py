"""Poses solved over time and with constant bone lengths, together with the reprojection error."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.linalg import solveh_banded
from threadpoolctl import threadpool_limits
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.motion import jerkiness, second_differences
from trilift.geometry.triangulation import linearise
from trilift.project import threads

FRAMES_OF_WINDOW = 256
"""Frames solved at once. Their neighbours take part, so that the cuts do not show."""

MARGIN = 64
"""Frames on either side of a window that are solved with it and dropped: influences die out within about 35."""

_STEPS, _MOST_STEPS = 4, 20
_SETTLED = 0.01  # metres: a step that moves nothing further is the last
_SPREADS_TO_DEPART = 5.0  # a bone that is so many spreads from its length does not belong to the body
_HOLD = 1e-3  # per square metre: keeps what nothing else holds where it was


def smooth(
    cameras: Cameras,
    pixels: Tensor,
    scale: Tensor,
    poses: Tensor,
    *,
    bones: tuple[tuple[int, int], ...],
    lengths: Tensor,
    fps: float,
    acceleration: float,
    bone_spread: float,
    inflation: float = 1.0,
    frames: slice = slice(None),
) -> Tensor:
    """Solve the poses of a recording at once: reprojection, smoothness in time, and bones of one length.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected, consecutive frames of one person.
    scale
        (frame, view, keypoint), pixels, as in `trilift.geometry.triangulation.triangulate_robust`.
    poses
        (frame, keypoint, 3): the solution of single frames, to start from. NaN where there is none.
    bones
        Pairs of keypoints.
    lengths
        (bone,), metres; NaN does not count.
    fps
        Frames per second.
    acceleration
        Typical acceleration of a keypoint over a sixtieth of a second (rms), m/s^2: the larger, the less smoothing.
    bone_spread
        How much the length of a bone varies from frame to frame (standard deviation), metres: keypoints of detectors
        are not fixed to the bones.
    inflation
        How many times the errors of detections weigh less than if each frame's were new (see
        `trilift.geometry.noise.inflation`).
    frames
        What is wanted; up to `MARGIN` frames on either side of it take part.

    Returns
    -------
    Tensor
        (frame, keypoint, 3) float64: where a keypoint was not seen, it follows from its neighbours in time and along
        the bones. NaN where it departs from its bones by many spreads: what was taken for it is something else.

    Notes
    -----
    Gauss-Newton on the negative log-likelihood of the Student t errors plus ``|second difference|^2`` and
    ``(bone length - its mean)^2`` over their variances. The normal equations of consecutive frames are banded and
    solved by a Cholesky factorisation: linear in the number of frames. The variance of a second difference is
    `trilift.geometry.motion.jerkiness`.

    A few steps are enough, but beside a wrong detection, where a bone that is pulled aside turns and seems longer for
    some steps more. What departs from its bones even then has drawn its neighbours after it: they are solved once
    more without it.
    """
    begin, end, _ = frames.indices(len(poses))
    inner = list(range(begin, end, FRAMES_OF_WINDOW))
    starts = np.array(sorted({0, *inner, end} - {len(poses)}))
    ends = np.append(starts[1:], len(poses))
    current = _fill(poses)
    normal, gradient = np.empty((*current.shape, 3)), np.empty_like(current)
    penalty = 1 / jerkiness(acceleration, fps)
    of_bones = np.array(bones), lengths.cpu().numpy(), bone_spread

    def solve(window: int) -> np.ndarray:
        rows = slice(max(0, starts[window] - MARGIN), min(len(poses), ends[window] + MARGIN))
        solved = _solve_window(current[rows], normal[rows], gradient[rows], *of_bones, penalty)
        return solved[starts[window] - rows.start : ends[window] - rows.start]

    def settle(moving: np.ndarray, scale: Tensor, fewest: int) -> None:
        for step in range(1, _MOST_STEPS + 1):
            windows = np.flatnonzero(moving)
            rows = np.zeros(len(poses), bool)
            for window in windows:
                rows[max(0, starts[window] - MARGIN) : ends[window] + MARGIN] = True
            at = torch.as_tensor(current[rows], device=poses.device)
            which = torch.as_tensor(rows, device=poses.device)
            of_rows = linearise(cameras, pixels[which], scale[which], at)
            normal[rows], gradient[rows] = (values.cpu().numpy() / inflation for values in of_rows)
            moving = np.full_like(moving, step < fewest)
            for window, solved in zip(windows, list(pool.map(solve, windows)), strict=True):
                of_window = slice(starts[window], ends[window])
                moved = np.linalg.norm(solved - current[of_window], axis=-1).max(initial=0)
                current[of_window] = solved
                if moved > _SETTLED and _far_bones(solved, *of_bones).any():
                    moving[max(window - 1, 0) : window + 2] = True  # its neighbours take part
            if not moving.any():
                break

    # Several windows at once: OpenBLAS itself splits such a system badly, tens of times slower on a busy machine.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads.number()) as pool:
        settle(np.ones(len(starts), bool), scale, _STEPS)
        of_bones_seen = *of_bones[:2], _spread(current, *of_bones)
        departed = _departed(current, *of_bones_seen)
        if departed.any():
            lost = torch.as_tensor(departed, device=poses.device)[:, None]
            settle(np.logical_or.reduceat(departed.any(1), starts), torch.where(lost, torch.inf, scale), 1)
            departed |= _departed(current, *of_bones_seen)
    current[departed] = np.nan
    return torch.as_tensor(current[frames], device=poses.device)


def _off(poses: np.ndarray, bones: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Measure how far bones (frame, bone) of points (frame, keypoint, 3) are from their lengths; NaN without one."""
    parents, children = bones.T
    return np.abs(np.linalg.norm(poses[:, parents] - poses[:, children], axis=-1) - lengths)


def _spread(poses: np.ndarray, bones: np.ndarray, lengths: np.ndarray, bone_spread: float) -> np.ndarray:
    """Measure how much bones (bone,) vary, where that is more than is expected; less than half of frames move it."""
    return np.maximum(1.48 * np.median(_off(poses, bones, lengths), 0), bone_spread)


def _far_bones(poses: np.ndarray, bones: np.ndarray, lengths: np.ndarray, spread: np.ndarray | float) -> np.ndarray:
    """Tell which bones (frame, bone) are many spreads from their lengths."""
    return _off(poses, bones, lengths) > _SPREADS_TO_DEPART * spread


def _departed(poses: np.ndarray, bones: np.ndarray, lengths: np.ndarray, spread: np.ndarray | float) -> np.ndarray:
    """Find keypoints (frame, keypoint) that are not where their bones end.

    Of the ends of a bone that is far from its length, that one is meant most of whose bones are; then the next, until
    the bones between those that are left have their lengths.
    """
    far = _far_bones(poses, bones, lengths, spread)
    departed = np.zeros(poses.shape[:2], bool)
    ends = np.zeros((len(bones), poses.shape[1]))
    ends[np.arange(len(bones))[:, None], bones] = np.isfinite(lengths)[:, None]
    while (frames := np.flatnonzero(far.any(1))).size:
        share = far[frames] @ ends / np.maximum(ends.sum(0), 1)
        worst = share.argmax(1)
        departed[frames, worst] = True
        far[frames] &= ends[:, worst].T == 0
    return departed


def _fill(poses: Tensor) -> np.ndarray:
    """Interpolate missing points (frame, keypoint, 3) in time; keypoints never seen start amid the others."""
    filled = poses.double().cpu().numpy().copy()
    seen = np.isfinite(filled).all(-1)
    frames = np.arange(len(filled))
    middle = filled[seen].mean(0) if seen.any() else np.zeros(3)
    for keypoint in np.flatnonzero(~seen.all(0)):
        known = seen[:, keypoint]
        for axis in range(3):
            values = filled[:, keypoint, axis]
            values[~known] = np.interp(frames[~known], frames[known], values[known]) if known.any() else middle[axis]
    return filled


def _solve_window(
    poses: np.ndarray,
    normal: np.ndarray,
    gradient: np.ndarray,
    bones: np.ndarray,
    lengths: np.ndarray,
    bone_spread: float,
    penalty: float,
) -> np.ndarray:
    """Take one Gauss-Newton step for consecutive frames.

    Parameters
    ----------
    poses
        (frame, keypoint, 3).
    normal
        (frame, keypoint, 3, 3): J^T W J of the reprojection errors.
    gradient
        (frame, keypoint, 3): J^T W r.
    """
    frames, keypoints, _ = poses.shape
    size = 3 * keypoints  # unknowns per frame
    # Lower band: band[k, t, c] couples the unknown c of frame t with the one k further on.
    band = np.zeros((2 * size + 1, frames, size))
    right = -gradient
    by_keypoint = band.reshape(2 * size + 1, frames, keypoints, 3)
    for row in range(3):
        for column in range(row + 1):
            by_keypoint[row - column, :, :, column] += normal[:, :, row, column]
    band[0] += _HOLD

    second = second_differences(frames)
    moved = penalty * poses
    for offset in range(min(3, frames)):
        band[offset * size] += penalty * second[offset][:, None]
        coupled = second[offset, : frames - offset, None, None]
        right[: frames - offset] -= coupled * moved[offset:]
        if offset:
            right[offset:] -= coupled * moved[: frames - offset]

    stiffness = 1 / bone_spread**2
    for (parent, child), length in zip(bones, lengths, strict=True):
        if not np.isfinite(length):
            continue
        difference = poses[:, parent] - poses[:, child]
        distance = np.maximum(np.linalg.norm(difference, axis=-1, keepdims=True), 1e-6)
        direction = difference / distance
        outer = stiffness * direction[:, :, None] * direction[:, None]  # (frame, 3, 3)
        force = stiffness * (length - distance) * direction
        right[:, parent] += force
        right[:, child] -= force
        low, high = min(parent, child), max(parent, child)
        for row in range(3):
            for column in range(3):
                if column <= row:
                    by_keypoint[row - column, :, parent, column] += outer[:, row, column]
                    by_keypoint[row - column, :, child, column] += outer[:, row, column]
                by_keypoint[3 * (high - low) + row - column, :, low, column] -= outer[:, row, column]
    step = solveh_banded(
        band.reshape(2 * size + 1, -1), right.reshape(-1), lower=True, overwrite_ab=True, check_finite=False
    )
    return poses + step.reshape(poses.shape)

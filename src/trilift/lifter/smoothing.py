"""Predictions of frames that follow each other: steady, of one person with bones of one length, of a known size."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trilift.errors import InputError
from trilift.geometry.motion import Filter, smooth
from trilift.lifter.placement import place
from trilift.skeletons import Skeleton

_TURNS = 3
"""So often bones are given their lengths: then all have them to a tenth of a millimetre."""

_NO_DIRECTION = 1e-6  # metres: a shorter bone has none
_FRAMES_AT_ONCE = 1024

_SHARE_OF_STATURE = {
    **{f"{side}_{end}": share for side in ("left", "right") for end, share in (("knee", 0.245), ("ankle", 0.246))},
    **dict.fromkeys(("spine", "thorax"), 0.288 / 2),
}
"""Thighs, shanks and the trunk from hips to shoulders, by the joint at the end of each bone: Drillis and Contini,
Body Segment Parameters, 1966, as printed in Winter, Biomechanics and Motor Control of Human Movement."""

_SHORTEST, _TALLEST = 0.4, 2.8  # metres


@dataclass(frozen=True)
class Smoothing:
    """How predictions of a recording become steady.

    Attributes
    ----------
    fps
        Frames per second.
    acceleration
        Typical acceleration of a joint (rms over a sixtieth of a second), m/s^2: the larger, the less smoothing.
    max_gap_s
        Frames without a prediction are filled in gaps up to so many seconds.
    stature
        How tall the person is, metres; None if that is not known.

    Raises
    ------
    InputError
        If a number makes no sense.
    """

    fps: float
    acceleration: float = 10.0
    max_gap_s: float = 0.0
    stature: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fps < np.inf:
            raise InputError(f"{self.fps:g} frames per second; expected a number above 0")
        if not 0 < self.acceleration < np.inf:
            raise InputError(f"an acceleration of {self.acceleration:g} m/s^2; expected a number above 0, such as 10")
        if not self.max_gap_s >= 0:
            raise InputError(f"gaps of {self.max_gap_s:g} seconds; expected 0 or more")
        if self.stature is not None and not _SHORTEST <= self.stature <= _TALLEST:
            raise InputError(f"a stature of {self.stature:g} m; expected metres, such as 1.78")

    @property
    def most_missing(self) -> float:
        """How many missing frames in a row are filled."""
        return self.max_gap_s * self.fps + 1e-6


class Smoothed(NamedTuple):
    """Poses (frame, ..., joint, 3), where their root is (frame, ..., 3), and which were filled (frame, ...)."""

    poses: Tensor
    root: Tensor
    filled: Tensor


def steady(poses: Tensor, rays: Tensor, confidence: Tensor, skeleton: Skeleton, smoothing: Smoothing) -> Smoothed:
    """Make the predictions of one person in consecutive frames steady.

    Joints are smoothed over time (`trilift.geometry.motion.smooth`); then all bones get the length that they have in
    the middle frame, and the body its stature where that is known; then the pose is placed again, and the place of
    the root smoothed as well.

    Parameters
    ----------
    poses
        (frame, ..., joint, 3), metres, root at 0; NaN where missing.
    rays, confidence
        (frame, ..., joint, 2) and (frame, ..., joint), as for `trilift.lifter.placement.place`.
    skeleton
        Of the poses.
    smoothing
        The settings.

    Raises
    ------
    InputError
        If the stature is given and no bone of the poses tells it.

    Examples
    --------
    >>> steady(poses, rays, confidence, H36M17, Smoothing(fps=50, stature=1.78)).root    # doctest: +SKIP
    """
    known = poses[..., skeleton.root_index, :].isfinite().all(-1).cpu().numpy()
    body = smooth(poses.cpu().numpy(), smoothing.fps, smoothing.acceleration)
    lengths, factor = _build(np.where(known[..., None], bone_lengths(body, skeleton), np.nan), skeleton, smoothing)
    root = np.empty((*known.shape, 3), body.dtype)
    for start in range(0, len(body), _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        body[rows] = with_lengths(body[rows], lengths, skeleton) * factor
        root[rows] = place(torch.as_tensor(body[rows], device=poses.device), rays[rows], confidence[rows]).cpu()
    located = known & np.isfinite(root).all(-1)
    root[~located] = np.nan
    root = smooth(root[..., None, :], smoothing.fps, smoothing.acceleration)[..., 0, :]
    filled = _in_short_gaps(located, smoothing.most_missing)
    body[~(known | filled)], root[~(located | filled)] = np.nan, np.nan
    return Smoothed(*(torch.as_tensor(values, device=poses.device) for values in (body, root, filled)))


def _build(measured: np.ndarray, skeleton: Skeleton, smoothing: Smoothing) -> tuple[np.ndarray, np.ndarray]:
    """Give the lengths of bones (..., bone), from those of frames, and the factor (..., 1, 1) of them all."""
    lengths = np.full(measured.shape[1:], np.nan)
    some = np.isfinite(measured).any(0)
    lengths[some] = np.nanmedian(measured[:, some], 0)
    return lengths, factor_to(smoothing.stature, lengths, skeleton)[..., None, None]


def _in_short_gaps(known: np.ndarray, most: float) -> np.ndarray:
    """Mark what is missing (frame, ...) between two known frames, in gaps of at most so many frames."""
    number = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    before = np.maximum.accumulate(np.where(known, number, -1), axis=0)
    after = np.minimum.accumulate(np.where(known, number, len(known))[::-1], axis=0)[::-1]
    return ~known & (before >= 0) & (after < len(known)) & (after - before - 1 <= most)


def bone_lengths(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Measure bones: (..., joint, 3) to (..., bone)."""
    parents, children = np.array(skeleton.bone_indices).T
    return np.linalg.norm(poses[..., children, :] - poses[..., parents, :], axis=-1)


def with_lengths(poses: np.ndarray, lengths: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Give bones their lengths, and move joints little.

    Parameters
    ----------
    poses
        (..., joint, 3), metres, root at 0.
    lengths
        (..., bone), metres; NaN does not count. Its axes but the last are the last ones of the poses'.
    skeleton
        Of the poses.

    Returns
    -------
    numpy.ndarray
        As `poses`.

    Notes
    -----
    Joints are projected onto these constraints, linearised where the joints now are, a few times (as SHAKE does for
    molecules, but for all bonds at once): nearly the least displacement. The root stays.
    """
    parents, children = np.array(skeleton.bone_indices).T
    ends = np.zeros((len(parents), len(skeleton)))
    rows = np.arange(len(parents))
    ends[rows, children], ends[rows, parents] = 1, -1
    ends[:, skeleton.root_index] = 0
    poses = poses.copy()
    for _ in range(_TURNS):
        bones = poses[..., children, :] - poses[..., parents, :]
        distance = np.linalg.norm(bones, axis=-1)
        counts = np.isfinite(lengths) & (distance > _NO_DIRECTION)
        directions = np.divide(bones, distance[..., None], out=np.zeros_like(bones), where=counts[..., None])
        excess = np.where(counts, distance - lengths, 0)
        coupled = ends @ ends.T * (directions @ directions.swapaxes(-1, -2))
        coupled += np.eye(len(rows)) * ~counts[..., None]  # what does not count is coupled with nothing
        force = np.linalg.solve(coupled, excess[..., None])
        poses -= ends.T @ (force * directions)
    return poses


def factor_to(stature: float | None, lengths: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Tell by how much a body of these bones (..., bone) has to grow to be so tall; 1 where that is not known.

    Legs and trunk are compared with their usual share of the stature (`_SHARE_OF_STATURE`), a leg with half the
    weight of the trunk. Bones that are NaN do not count.

    Raises
    ------
    InputError
        If bodies have bones and none of these tells.
    """
    share = np.array([_SHARE_OF_STATURE.get(child, np.nan) for _, child in skeleton.bones])
    weight = np.array([0.5 if child.startswith(("left", "right")) else 1.0 for _, child in skeleton.bones])
    known = np.isfinite(lengths + share)
    if stature is None or not np.isfinite(lengths).any():
        return np.ones(lengths.shape[:-1])
    if not known.any():
        raise InputError(
            f"a stature of {stature:g} m: the lifter knows no thigh, shank or trunk, whose lengths would tell how "
            "tall it takes the person for; leave the stature out"
        )
    expected, measured = (np.where(known, weight * values, 0).sum(-1) for values in (stature * share, lengths))
    return np.divide(expected, measured, out=np.ones_like(measured), where=measured > 0)


class Live:
    """The causal form of `steady`, frame by frame.

    Bones have the mean length of the frames so far: in the first ones they still change.

    Parameters
    ----------
    skeleton, smoothing
        As for `steady`.
    """

    def __init__(self, skeleton: Skeleton, smoothing: Smoothing):
        self._skeleton, self._smoothing = skeleton, smoothing
        self._joints, self._root = (Filter(smoothing.fps, smoothing.acceleration) for _ in range(2))
        self._lengths = np.full(len(skeleton.bones), np.nan)
        self._frames, self._missing = 0, np.inf

    def step(self, poses: Tensor, rays: Tensor, confidence: Tensor) -> Smoothed:
        """Make the next frame steady: poses (1, joint, 3), rays (1, joint, 2) and confidence (1, joint)."""
        pose = self._joints.step(poses[0].double().cpu().numpy())
        known = bool(poses[0, self._skeleton.root_index].isfinite().all())
        if known:
            self._frames += 1
            new = bone_lengths(pose, self._skeleton)
            self._lengths = np.where(self._frames == 1, new, self._lengths + (new - self._lengths) / self._frames)
        factor = factor_to(self._smoothing.stature, self._lengths, self._skeleton)
        body = (with_lengths(pose, self._lengths, self._skeleton) * factor)[None]
        placed = place(torch.as_tensor(body, device=poses.device), rays, confidence).cpu().numpy()
        located = known and bool(np.isfinite(placed).all())
        root = self._root.step(placed if located else np.full_like(placed, np.nan))
        self._missing = 0 if located else self._missing + 1
        filled = np.array([0 < self._missing <= self._smoothing.most_missing])
        body[~(known | filled)], root[~(located | filled)] = np.nan, np.nan
        return Smoothed(*(torch.as_tensor(values, device=poses.device) for values in (body, root, filled)))

"""Which layout the keypoints of a file have: told by names where it has them, else by what looks like a body."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from trilift.errors import InputError
from trilift.formats.names import match_keypoints, plain
from trilift.skeletons import SKELETONS, TRAINING_SKELETON, Skeleton, mapping

Thing = TypeVar("Thing")

_MOST_FRAMES = 2000
_LENGTHS_M = {
    ("hip", "knee"): 0.42,
    ("knee", "ankle"): 0.40,
    ("shoulder", "elbow"): 0.29,
    ("elbow", "wrist"): 0.25,
    ("shoulder", "hip"): 0.50,
}
"""Of parts that all layouts have on both sides, in an adult; only their proportions count."""
_FEWEST_PARTS = 4
_LEAST = -3.0
_A_BODY_FROM = -0.8  # resemblance: 224 views of real motion have medians above -0.42 in their own layout
_CLEAR_SHARE = 0.75  # of the poses that vote
_STATE = "state the layout (`skeleton` in the data set's file, --skeleton on the command line)"
_OWN = "; describe it in a file of your own, and state that (--skeleton my_layout.yaml)"


class Told(NamedTuple):
    """A layout, and in words for the user how it is known."""

    skeleton: Skeleton
    reason: str


def resemblance(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Say how much poses look like a body's, if their keypoints are a layout's.

    A part of the body is as long in the image as its direction allows, and in a pose most are not far from that:
    beside the longest, as its own proportion to it goes, their logarithms are a little below 0. Between points that
    are no part's ends, distances are of any size.

    Parameters
    ----------
    poses
        (..., keypoint, 2), pixels; NaN is missing.
    skeleton
        A layout of so many keypoints.

    Returns
    -------
    ndarray
        (...,): the mean over arms, legs and sides of the trunk of log(length / proportion), minus the largest; NaN
        where fewer than four of these are seen.
    """
    ends = [
        (skeleton.index(side + one), skeleton.index(side + other))
        for one, other in _LENGTHS_M
        for side in ("left_", "right_")
    ]
    first, second = np.array(ends).T
    length = np.linalg.norm(poses[..., first, :] - poses[..., second, :], axis=-1)
    with np.errstate(divide="ignore"):
        logarithms = np.log(length / np.repeat(list(_LENGTHS_M.values()), 2))
    known = np.isfinite(length)
    longest = np.where(known, logarithms, -np.inf).max(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        below = np.where(known, (logarithms - longest).clip(_LEAST, 0), 0)
    count = known.sum(-1)
    return np.where((count >= _FEWEST_PARTS) & np.isfinite(longest[..., 0]), below.sum(-1) / count.clip(1), np.nan)


class Vote(NamedTuple):
    """Which layout most poses look like.

    Attributes
    ----------
    skeleton
        That layout.
    share
        Of the poses that vote, those in which it is the one that looks most like a body.
    poses
        How many vote.
    is_body
        Whether they look like a body at all.
    """

    skeleton: Skeleton
    share: float
    poses: int
    is_body: bool

    @property
    def is_clear(self) -> bool:
        return self.is_body and self.share >= _CLEAR_SHARE


def vote(poses: np.ndarray, candidates: Sequence[Skeleton]) -> Vote:
    """Let every pose (..., keypoint, 2) vote for one of the layouts, all of so many keypoints."""
    found = np.stack([resemblance(poses, skeleton).reshape(-1) for skeleton in candidates])
    found = found[:, np.isfinite(found).any(0)]
    if found.shape[1] == 0:
        return Vote(candidates[0], 1 / len(candidates), 0, False)
    found = np.nan_to_num(found, nan=-np.inf)
    is_best = found == found.max(0)
    votes = (is_best & (is_best.sum(0) == 1)).sum(1)  # layouts that are each other's mirror image look the same
    best = int(votes.argmax())
    of_best = found[best, np.isfinite(found[best])]
    number = found.shape[1]
    return Vote(candidates[best], votes[best] / number, number, bool(np.median(of_best) > _A_BODY_FROM))


def of_names(names: Sequence[str], where: str) -> Told:
    """Tell the layout of which a file has the names, in any order.

    Of several that have as many of them, that of which most joints of the training skeleton can be formed, and then
    the smallest.

    Raises
    ------
    InputError
        If none of the names is known.
    """

    def merit(skeleton: Skeleton) -> tuple[int, int, int]:
        own = {name for name in skeleton.keypoints if plain(name) in found}
        groups = mapping(skeleton, TRAINING_SKELETON).formed_of.values()
        return len(own), sum(bool(group) and own.issuperset(group) for group in groups), -len(skeleton)

    found = {plain(name) for name in names}
    best = max(SKELETONS.values(), key=merit)
    match_keypoints(names, best, where)
    return Told(best, "by the names of its keypoints")


def of_ordered_names(names: Sequence[str], where: str) -> Told:
    """Tell the layout that has these names in this order, or most of them.

    Raises
    ------
    InputError
        If no layout of so many keypoints has a third of the names of its first ones.
    """

    def alike(skeleton: Skeleton) -> int:
        pairs = zip(names, skeleton.keypoints, strict=True)
        return sum(plain(name) == plain(keypoint) for name, keypoint in pairs)

    candidates = [skeleton for skeleton in SKELETONS.values() if len(skeleton) == len(names)]
    best = max(candidates, key=alike, default=None)
    if best is None or 3 * alike(best) < min(len(best), 17):
        raise InputError(
            f"{where}: its {len(names)} keypoints ({', '.join(names[:5])}, ...) are of no layout that is known "
            f"({', '.join(SKELETONS)}){_OWN}"
        )
    return Told(best, "by the names of its keypoints")


def evenly(things: Sequence[Thing], views: int) -> Sequence[Thing]:
    """Take as many things of a view, from all over it, as it needs to tell the layout beside the other views."""
    return things[:: max(1, len(things) * views // _MOST_FRAMES)]


def of_views(views: Sequence[Path]) -> str:
    """Name views in messages."""
    return str(views[0] if len(views) == 1 else views[0].parent)


def of_poses(poses: Sequence[np.ndarray], fixed: Sequence[Skeleton], where: str) -> Told:
    """Tell the layout of poses that a file holds without names.

    Parameters
    ----------
    poses
        Of people in all views: (keypoint, 3: x, y, confidence); without confidence, a keypoint is missing. Some may
        have lists of another length: these are no people of this layout.
    fixed
        Layouts that the format fixes by the number of keypoints.
    where
        The views, for messages.

    Raises
    ------
    InputError
        If there is nobody, no layout has so many keypoints, or it is not clear which.
    """
    lengths = [len(pose) for pose in poses if (pose[:, 2] > 0).any()]
    known = [length for length in lengths if any(len(skeleton) == length for skeleton in SKELETONS.values())]
    if not lengths:
        raise InputError(f"{where}: nobody is seen, so that nothing tells the layout of the keypoints; {_STATE}")
    if not known:
        listed = ", ".join(f"{name} {len(skeleton)}" for name, skeleton in SKELETONS.items())
        raise InputError(
            f"{where}: people have {', '.join(map(str, sorted(set(lengths))[:5]))} keypoints, but layouts that are "
            f"known: {listed}{_OWN}"
        )
    length = max(set(known), key=lambda number: (known.count(number), number))
    by_number = [skeleton for skeleton in fixed if len(skeleton) == length]
    if by_number:
        return Told(by_number[0], f"the format's own of {length} keypoints")
    candidates = [skeleton for skeleton in SKELETONS.values() if len(skeleton) == length]
    people = np.stack([pose for pose in poses if len(pose) == length])
    result = vote(np.where(people[..., 2:] > 0, people[..., :2], np.nan), candidates)
    names = " or ".join(skeleton.name for skeleton in candidates)
    if result.poses and not result.is_body:
        raise InputError(f"{where}: its {length} keypoints, taken as {names}, do not look like a body's; {_STATE}")
    if len(candidates) == 1:
        return Told(candidates[0], f"the only one of {length} keypoints")
    looks = f"{result.share:.0%} of {result.poses} poses look most like {result.skeleton.name}"
    if not result.is_clear:
        raise InputError(f"{where}: are its {length} keypoints those of {names}? {looks}; {_STATE}")
    return Told(result.skeleton, f"of {names}, {looks}")

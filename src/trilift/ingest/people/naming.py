"""Which of the people that were followed is whom: by stature, or by where a reference lies."""

from collections.abc import Mapping

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import triangulate

Array = np.ndarray

_FRAMES = 200  # of a person that are looked at


def place(cameras: Cameras, pixels: Array) -> tuple[Array, Array]:
    """Triangulate some frames, from all over, of a person (frame, view, keypoint, 2): numbers and poses."""
    frames = np.flatnonzero((np.isfinite(pixels).all(-1).sum(1) >= 2).any(1))
    frames = frames[:: max(1, -(-len(frames) // _FRAMES))]
    return frames, triangulate(cameras, torch.as_tensor(pixels[frames]).double())[0].numpy()


def names(statures: Array, stated: Mapping[str, float | None]) -> list[str]:
    """Name people, who are in the order of their first appearance.

    Parameters
    ----------
    statures
        (person,): as measured; NaN where it could not be.
    stated
        The stature of everybody who has a name; None where it is not known.

    Returns
    -------
    list of str
        Those whose stature is stated get the people whose measured ones fit best, all together; the other names go by
        first appearance. Who is left has a number: ``person_3`` is the third to appear.

    Examples
    --------
    >>> names(np.array([1.9, 1.6, 1.75]), {"Ann": 1.62, "Bob": None})
    ['Bob', 'Ann', 'person_3']
    """
    found = [""] * len(statures)
    by_stature = [name for name, value in stated.items() if value is not None]
    measured = [index for index, value in enumerate(statures) if np.isfinite(value)]
    wanted = np.array([stated[name] for name in by_stature], float)
    differ = np.abs(np.log(statures[measured][:, None] / wanted))
    for row, column in zip(*linear_sum_assignment(differ), strict=True):
        found[measured[row]] = by_stature[column]
    others = iter([name for name in stated if name not in found])
    for index in range(len(found)):
        found[index] = found[index] or next(others, f"person_{index + 1}")
    return found

"""Several senses in which files can be read, and which of them brings the views closest to each other.

Every view can take its own sense. To compare very many combinations, views are compared two at a time, by the
distance of points from each other's epipolar lines.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.epipolar import essential, lower_median

Array = np.ndarray

_MOST_ROWS = 300  # compared of a pair of views
_MOST_DISTANCES = 12_000  # in such a comparison, where there are several people
_MOST_PEOPLE = 4
_MOST_NUMBERS = 4_000_000  # in memory at a time


class Reading(NamedTuple):
    """What files say, read in one sense.

    Attributes
    ----------
    cameras, sizes
        The cameras, and (view, 2) width and height of their images.
    pixels
        (frame, view, person, keypoint, 2), as detected; NaN is missing.
    """

    cameras: Cameras
    sizes: Array
    pixels: Array


def mixed(readings: Sequence[Reading], choice: Sequence[int]) -> Reading:
    """Take of every view the reading that is chosen for it."""
    chosen = [(readings[which], view) for view, which in enumerate(choice)]
    cameras = {
        name: torch.stack([getattr(reading.cameras, name)[view] for reading, view in chosen])
        for name in ("K", "distortion", "R", "t")
    }
    return Reading(
        Cameras(**cameras),
        np.stack([reading.sizes[view] for reading, view in chosen]),
        np.stack([reading.pixels[:, view] for reading, view in chosen], 1),
    )


def epipolar_cost(readings: Sequence[Reading], choices: Array, score: Array | None) -> Array:
    """Tell how far views are from agreeing.

    Parameters
    ----------
    readings
        Of which every view takes one.
    choices
        (choice, view): which.
    score
        (frame, view, person): how much speaks for a detection; needed where there are several people.

    Returns
    -------
    numpy.ndarray
        (choice,): the sum over pairs of views of the median distance (pixels) of points from each other's epipolar
        lines. Of several people in both views, those two count in a frame who come closest to that.
    """
    pairs = list(combinations(range(choices.shape[1]), 2))
    pixels, rows = _sample(readings, pairs, score)
    rays = np.stack([_rays(reading.cameras, one) for reading, one in zip(readings, pixels, strict=True)])
    R, t, focal = (
        torch.stack([getattr(reading.cameras, name) for reading in readings]).numpy() for name in ("R", "t", "focal")
    )
    cost = np.zeros(len(choices))
    for (one, other), its_rows in zip(pairs, rows, strict=True):
        both, which = np.unique(choices[:, one] * len(readings) + choices[:, other], return_inverse=True)
        a, b = np.divmod(both, len(readings))
        matrix = essential(R[a, one], t[a, one], R[b, other], t[b, other])
        near, far = rays[:, its_rows, one], rays[:, its_rows, other]
        chunk = max(1, _MOST_NUMBERS // max(1, near[0].size * near.shape[2]))
        distance = [
            _median_distance(near[a[part]], far[b[part]], matrix[part], focal[a[part], one], focal[b[part], other])
            for part in (slice(start, start + chunk) for start in range(0, len(both), chunk))
        ]
        cost += np.concatenate(distance)[which]
    return cost


def _sample(
    readings: Sequence[Reading], pairs: list[tuple[int, int]], score: Array | None
) -> tuple[list[Array], list[Array]]:
    """Choose what is compared: rows (row, view, person, keypoint, 2) of all readings, and which of them of each pair.

    With one person a row is one keypoint in one frame, else a frame.
    """
    pixels = [reading.pixels for reading in readings]
    _, views, _, keypoints, _ = pixels[0].shape
    most = _MOST_ROWS
    if score is None:
        pixels = [one.swapaxes(1, 3).reshape(-1, views, 1, 1, 2) for one in pixels]
    else:
        best = np.argsort(-score, axis=2)[:, :, :_MOST_PEOPLE, None, None]
        pixels = [np.take_along_axis(one, best, 2) for one in pixels]
        most = min(most, _MOST_DISTANCES // (best.shape[2] ** 2 * keypoints))
    seen = np.isfinite(pixels[0]).all(-1).any((2, 3))
    order = np.random.default_rng(0).permutation(len(seen))  # from all over the recording,
    order = order[np.argsort(-seen[order].sum(1), kind="stable")]  # those first that most views see
    of_pairs = [order[seen[order][:, list(pair)].all(1)][:most] for pair in pairs]
    chosen = np.unique(np.concatenate(of_pairs))
    return [one[chosen] for one in pixels], [np.searchsorted(chosen, rows) for rows in of_pairs]


def _rays(cameras: Cameras, pixels: Array) -> Array:
    """Give (row, view, person, keypoint, 3): where rays meet depth 1."""
    flat = torch.as_tensor(pixels).double().flatten(2, 3)
    rays = to_rays(cameras, flat).numpy().reshape(pixels.shape)
    return np.concatenate([rays, np.ones_like(rays[..., :1])], -1)


def _median_distance(near: Array, far: Array, essential: Array, focal_near: Array, focal_far: Array) -> Array:
    """Give (choice,) the median over rows of Sampson's distance: to first order, how far points are from agreeing.

    Rays are (choice, row, person, keypoint, 3), focal lengths (choice, 2).
    """
    lines = np.einsum("cij,crpkj->crpki", essential, near, optimize=True)
    back = np.einsum("cji,crqkj->crqki", essential, far, optimize=True)
    product = np.einsum("crpki,crqki->crpqk", lines, far, optimize=True)
    per_pixel = [1 / focal.mean(-1)[:, None, None, None] ** 2 for focal in (focal_far, focal_near)]
    slope = ((lines[..., :2] ** 2).sum(-1) * per_pixel[0])[:, :, :, None]
    slope = slope + ((back[..., :2] ** 2).sum(-1) * per_pixel[1])[:, :, None]
    distance = np.abs(product) / np.sqrt(slope + 1e-30)
    of_people = lower_median(distance).min((2, 3))
    return np.nan_to_num(lower_median(np.where(np.isfinite(of_people), of_people, np.nan)), posinf=0)

"""What a usual mistake is: another way to read the same numbers, and how well the views then agree."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import reprojection_error, triangulate, triangulate_without
from trilift.ingest.people.subject import choose_subject
from trilift.ingest.readings import Reading

_WORST_SHARE = 0.2  # of the focal length: larger errors count as this, and so does a point behind a camera


_TYPICAL_SHARE = 0.01  # of the focal length: the error of a detector, roughly


_NAMED_BELOW = 0.6  # a mistake is named where mending it leaves at most this share of the error,


_MOST_POINTS = 1000


_MOST_CHOICES = 66_000


@dataclass(frozen=True)
class Mistake:
    """A usual mistake, and what to do about it."""

    name: str
    advice: str


def typical_scale(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give, roughly, the error in pixels (frame, view, keypoint) of detections (frame, view, keypoint, 2)."""
    return (_TYPICAL_SHARE * cameras.focal.mean(-1))[:, None].expand_as(pixels[..., 0])


def views_needed(seen: Tensor) -> int:
    """Tell how many views must see a point for it to be compared: three, or two where no (point, view) has three."""
    return 3 if (seen.sum(1) >= 3).any() else 2


def disagreement(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give for each view (view,) the median distance (pixels) of its detections from what the other views see there.

    `pixels` are (point, view, 2). Where no point is seen by three views, the distance is that from the point that two
    make up. It is NaN for views without common points.
    """
    pixels = pixels.unsqueeze(2)
    seen = pixels[..., 0, :].isfinite().all(-1)
    scale, needed = typical_scale(cameras, pixels), views_needed(seen)
    enough = seen.sum(1) >= needed
    of_all = triangulate(cameras, pixels)[0] if needed == 2 else None
    medians = []
    for view in range(len(cameras)):
        poses = triangulate_without(cameras, pixels, scale, view).poses if of_all is None else of_all
        counts = seen[:, view] & enough
        error = reprojection_error(cameras, poses, pixels)[counts, view, 0]
        # An error that is not known is that of a point behind a camera.
        worst = _WORST_SHARE * cameras.focal[view].mean()
        known = torch.where(error < worst, error, worst)
        medians.append(known.median() if len(known) else worst * torch.nan)
    return torch.stack(medians)


def sample_pixels(read: Reading, score: np.ndarray | None) -> Tensor:
    """Give pixels (point, view, 2) of the one person who would be chosen, of those that enough views see."""
    pixels = read.pixels[:, :, 0]
    if score is not None:
        person = choose_subject(read.cameras, read.pixels, score).person
        pixels = np.take_along_axis(read.pixels, person.clip(0)[:, :, None, None, None], 2)[:, :, 0]
        pixels = np.where((person < 0)[..., None, None], np.nan, pixels)
    of_points = torch.as_tensor(pixels).double().transpose(1, 2).flatten(0, 1)
    seen = of_points.isfinite().all(-1)
    of_points = of_points[seen.sum(1) >= views_needed(seen)]
    return of_points[:: max(1, len(of_points) // _MOST_POINTS)]


@dataclass(frozen=True)
class Kind:
    """Mistakes of one kind.

    Attributes
    ----------
    readings
        Of which every view takes one.
    choices
        (choice, view): which.
    own
        (view,): the choice that changes nothing.
    mend
        Gives what is read by a choice, and the mistake that it mends.
    named_below
        The share of the error that this leaves at most.
    """

    readings: Sequence[Reading]
    choices: np.ndarray
    own: np.ndarray
    mend: Callable[[np.ndarray], tuple[Reading, Mistake]]
    named_below: float = _NAMED_BELOW


def same_for_all(readings: int, views: int) -> np.ndarray:
    """Let all views take the same reading, any but the first."""
    return np.repeat(np.arange(1, readings)[:, None], views, 1)


def mixtures(readings: Sequence[int], views: int) -> np.ndarray:
    """Let every view take any of the readings; of too many choices, those that few views differ in from the first."""
    if len(readings) ** views <= _MOST_CHOICES:
        return np.array(list(product(readings, repeat=views)))
    found = [[readings[0]] * views]
    for number in range(1, views):
        if len(found) + math.comb(views, number) * (len(readings) - 1) ** number > _MOST_CHOICES:
            break
        for some in combinations(range(views), number):
            for others in product(readings[1:], repeat=number):
                row = [readings[0]] * views
                for view, other in zip(some, others, strict=True):
                    row[view] = other
                found.append(row)
    return np.array(found)

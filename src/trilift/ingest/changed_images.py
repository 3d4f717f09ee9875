"""Images turned, scaled or mirrored after calibration, as mistakes that might explain a disagreement."""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from trilift.formats import Camera
from trilift.formats.images import ImageChange, mirror
from trilift.geometry.cameras import Cameras
from trilift.ingest.mistakes import Kind, Mistake, disagreement, mixtures, same_for_all, sample_pixels
from trilift.ingest.readings import Reading
from trilift.project.yaml_text import in_yaml

_STEP = 0.15  # of the logarithm of the factor by which images were scaled


_FACTORS = tuple(math.exp(_STEP * step) for step in range(-10, 11) if step)


USUAL_SIDES: tuple[int, ...] = (
    240,
    256,
    270,
    288,
    360,
    384,
    480,
    512,
    540,
    576,
    600,
    720,
    768,
    800,
    900,
    960,
    1024,
    1080,
    1200,
)


class _Change(NamedTuple):
    """What may have been done to images of any size; see `ImageChange`."""

    turned: int
    mirrored: bool
    factor: float

    def of(self, size: np.ndarray) -> ImageChange:
        width, height = size[::-1] if self.turned in (90, 270) else size
        new_size = None if self.factor == 1 else _usual_size(width * self.factor, height * self.factor)
        return ImageChange.model_validate({"turned": self.turned, "size": new_size, "mirrored": self.mirrored})


def _usual_size(width: float, height: float) -> list[int]:
    """Give whole pixels; a size that images usually have where that is as good as the same."""
    shorter = min(width, height)
    usual = min(USUAL_SIDES, key=lambda side: abs(side - shorter))
    factor = usual / shorter if abs(usual - shorter) < 0.01 * shorter else 1.0
    return [round(width * factor), round(height * factor)]


def other_images(
    read: Reading,
    names: Sequence[str],
    stated: Sequence[ImageChange],
    other_side: Sequence[int],
    score: np.ndarray | None,
) -> Kind:
    views = len(names)
    unscaled = [_Change(*one, 1.0) for one in product((0, 90, 180, 270), (False, True))]
    changes = unscaled + [_Change(turned, False, factor) for turned, factor in product((0, 90, 180, 270), _FACTORS)]
    readings = [_with_images(read, [change.of(size) for size in read.sizes], other_side) for change in changes]
    numbers = range(len(changes))
    turned = [number for number in numbers if changes[number][1:] == (False, 1.0)]
    sideways = [number for number in turned if changes[number].turned in (90, 270)]
    scaled = [number for number in numbers if changes[number][:2] == (0, False)]
    alike = same_for_all(len(changes), views)
    one_only, all_but_one = np.eye(views, dtype=int), 1 - np.eye(views, dtype=int)
    some = [numbers[number] * rows for number in numbers[1:] for rows in (one_only, all_but_one)]
    # The fewer the readings, the more views can differ in a rig of many.
    free = [mixtures(some_of, views) for some_of in (numbers[: len(unscaled)], turned, sideways, scaled)]
    choices = np.unique(np.concatenate([alike, *some, *free]), axis=0)[1:]  # not the one that changes nothing

    def mend(choice: np.ndarray) -> tuple[Reading, Mistake]:
        chosen = _with_better_factors(read, [changes[number] for number in choice], other_side, score)
        made = [change.of(size) for change, size in zip(chosen, read.sizes, strict=True)]
        return _with_images(read, made, other_side), _changed_images(made, stated, names)

    return Kind(readings, choices, np.zeros(views, int), mend)


def _with_images(read: Reading, changes: Sequence[ImageChange], other_side: Sequence[int]) -> Reading:
    """Take the images for changed ones."""
    arrays = [getattr(read.cameras, name).numpy() for name in ("K", "distortion", "R", "t")]
    cameras = [
        change.camera(Camera("", *fields)) for change, *fields in zip(changes, *arrays, read.sizes, strict=True)
    ]
    sizes = np.stack([camera.image_size for camera in cameras])
    pixels = read.pixels
    if any(change.mirrored for change in changes):
        pixels = pixels.copy()
        for view, change in enumerate(changes):
            if change.mirrored:
                pixels[:, view] = mirror(pixels[:, view], sizes[view][0], other_side)
    return Reading(Cameras.stack(cameras), sizes, pixels)


def _with_better_factors(
    read: Reading, changes: list[_Change], other_side: Sequence[int], score: np.ndarray | None
) -> list[_Change]:
    """Search for the best factors near those that were tried; one for the views that have the same."""

    def scaled(by: float, views: Sequence[int]) -> list[_Change]:
        return [one._replace(factor=one.factor * by) if view in views else one for view, one in enumerate(changes)]

    def taken(changes: list[_Change]) -> Reading:
        return _with_images(read, [one.of(size) for one, size in zip(changes, read.sizes, strict=True)], other_side)

    sample = sample_pixels(taken(changes), score)[::4]
    for factor in sorted({change.factor for change in changes} - {1.0}):
        views = [view for view, change in enumerate(changes) if change.factor == factor]
        best = minimize_scalar(
            lambda step, views=views: float(
                disagreement(taken(scaled(math.exp(step), views)).cameras, sample).nanmean()
            ),
            bounds=(-0.55 * _STEP, 0.55 * _STEP),
            method="bounded",
            options={"xatol": 0.002},
        )
        changes = scaled(math.exp(best.x), views)
    return changes


def _changed_images(changes: Sequence[ImageChange], stated: Sequence[ImageChange], names: Sequence[str]) -> Mistake:
    def what(change: ImageChange) -> dict[str, str]:
        degrees = {90: "by 90 degrees clockwise", 180: "upside down", 270: "by 90 degrees counterclockwise"}
        told = {"turned": degrees.get(change.turned), "scaled": change.size and "to {} x {}".format(*change.size)}
        return {name: text for name, text in told.items() if text} | ({"mirrored": ""} if change.mirrored else {})

    texts: dict[str, list[str]] = {}
    for name, change in zip(names, changes, strict=True):
        text = " and ".join(f"{how} {by}".strip() for how, by in what(change).items())
        texts.setdefault(text, []).append(name)
    found = ", ".join(f"those of {', '.join(views)} {text}" for text, views in texts.items() if text)
    # What was read is mirrored back already: a further change came before that.
    both = [
        one.model_copy(update={"mirrored": False}).then(other).then(ImageChange(mirrored=one.mirrored))
        for one, other in zip(stated, changes, strict=True)
    ]
    to_state = {
        name: change.model_dump(exclude_defaults=True)
        for name, change in zip(names, both, strict=True)
        if change != ImageChange()
    }
    if len(to_state) == len(names) and all(change == both[0] for change in both):
        to_state = {"*": to_state[names[0]]}
    name = " and ".join(dict.fromkeys(how for change in changes for how in what(change))) + " images"
    return Mistake(
        name,
        f"images were changed after they were calibrated, {found}; state `images: {in_yaml(to_state)}` under "
        "`ingest:` in the data set's file",
    )

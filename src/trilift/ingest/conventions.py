"""Whether a calibration and detections mean the same thing; if not, which usual mistake would explain it.

Views that see the same points agree: what some of them see, triangulated, lies where the others see it. Files that
are read in another sense than they were written in make the views disagree, and agree again once they are read as
meant. Every usual mistake is such a sense, for all views or some of them, and all are tried alike. A mistake is named
only where the views, without it, agree as those of a sound rig do. Length is the exception: a rig in millimetres
agrees as well as one in metres, and only that of bones tells.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, permutations, product
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from trilift.formats.images import Calibrated, ImageChange, mirror
from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import reprojection_error, triangulate, triangulate_without
from trilift.ingest.people import box_sides, choose_subject
from trilift.ingest.readings import Reading, epipolar_cost, mixed
from trilift.project.yaml_text import in_yaml

_WORST_SHARE = 0.2  # of the focal length: larger errors count as this, and so does a point behind a camera
_TYPICAL_SHARE = 0.01  # of the focal length: the error of a detector, roughly
_SOUND_SHARE = 0.045  # of a person's size in the image: views of a sound rig do not disagree by more
_SOUND_SHARE_OF_TWO = 0.006  # the same of two views, once a mistake is mended
_NAMED_BELOW = 0.6  # a mistake is named where mending it leaves at most this share of the error,
_LENS_NAMED_BELOW = 0.87  # or this one: lenses move points by little
_CERTAIN_BELOW = 0.5
_AS_GOOD = 0.9  # mistakes cannot be told apart where the errors that they leave differ by less
_STANDS_OUT_BELOW = 0.7  # a camera stands out where the others have at most this share of the error of all,
_STANDS_OUT_OF_OTHERS_BELOW = 0.6  # or this share of what they have without another camera,
_STANDS_OUT_OF_THREE_BELOW = 0.4  # or, two being left, this share of it
_MOST_POINTS = 1000
_MOST_TRIED = 8
_TRIED_BELOW = 0.8  # of the distance from epipolar lines
_MOST_NAMED = 3
_MOST_CHOICES = 66_000
_MOST_PERMUTED = 8
_LIMBS_M = {"legs": (0.35, 1.25), "arms": (0.25, 0.85)}  # from small children to the tallest
_FEWEST_LIMBS = 5
_UNITS = {  # by how a data set's file states them
    "m": ("metres", 1.0),
    "mm": ("millimetres", 1e-3),
    "cm": ("centimetres", 1e-2),
    "dm": ("decimetres", 0.1),
    "inch": ("inches", 0.0254),
    "foot": ("feet", 0.3048),
}


@dataclass(frozen=True)
class Mistake:
    """A usual mistake, and what to do about it."""

    name: str
    advice: str


@dataclass(frozen=True)
class Verdict:
    """How well the views agree.

    Attributes
    ----------
    error_px
        Typical distance of the detections from what the other views see there: the mean of the views' medians.
    share
        The same over the size of a person in the image.
    sound
        Whether it is no larger in any view than that of a sound rig.
    mistake
        Which mistake explains a disagreement, or None.
    error_mended_px
        The error once it is mended; `error_px` where there is none.
    standing_out
        The views without which the others agree much better, where no mistake explains it.
    error_without_px
        The error without these; `error_px` where there are none.
    """

    error_px: float
    share: float
    sound: bool
    mistake: Mistake | None
    error_mended_px: float
    standing_out: tuple[int, ...]
    error_without_px: float

    @property
    def certain(self) -> bool:
        """Whether the mistake makes most of the error, and no other explanation is needed."""
        return self.mistake is not None and self.error_mended_px <= _CERTAIN_BELOW * self.error_px


def typical_scale(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give, roughly, the error in pixels (frame, view, keypoint) of detections (frame, view, keypoint, 2)."""
    return (_TYPICAL_SHARE * cameras.focal.mean(-1))[:, None].expand_as(pixels[..., 0])


def disagreement(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give for each view (view,) the median distance (pixels) of its detections from what the other views see there.

    `pixels` are (point, view, 2). With two views only, the distance is that from the point that both make up. It is
    NaN for views without common points.
    """
    pixels = pixels.unsqueeze(2)
    seen = pixels[..., 0, :].isfinite().all(-1)
    scale = typical_scale(cameras, pixels)
    medians = []
    for view in range(len(cameras)):
        if len(cameras) == 2:
            points, counts = triangulate(cameras, pixels)[0], seen.all(1)
        else:
            points = triangulate_without(cameras, pixels, scale, view).points
            counts = seen[:, view] & (seen.sum(1) >= 3)
        error = reprojection_error(cameras, points, pixels)[counts, view, 0]
        # An error that is not known is that of a point behind a camera.
        worst = _WORST_SHARE * cameras.focal[view].mean()
        known = torch.where(error < worst, error, worst)
        medians.append(known.median() if len(known) else worst * torch.nan)
    return torch.stack(medians)


def examine(
    read: Reading,
    names: Sequence[str],
    *,
    other_side: Sequence[int],
    score: np.ndarray | None = None,
    lenses: np.ndarray | None = None,
    images: Sequence[ImageChange] | None = None,
    views: Sequence[tuple[str | None, str]] = (),
) -> Verdict:
    """Compare what was read with what it would be without each of the usual mistakes.

    Parameters
    ----------
    read
        What was read.
    names
        Of the cameras.
    other_side
        For each keypoint the index of its mirror image.
    score
        (frame, view, person): how much speaks for a detection to be the subject's; needed where there are several.
    lenses
        (view, 5): the calibration's lens distortion where the detections are taken as undistorted.
    images
        What is stated about the images of every camera.
    views
        The name of every view, if it has one, and of the camera that it is taken for.
    """
    size = _sizes_of_people(read.pixels)
    points = _points(read, score)
    of_views = disagreement(read.cameras, points)
    error, share = float(of_views.nanmean()), float((of_views / size).nanmean())
    sound = _is_sound(of_views, size)
    if math.isnan(error):
        return Verdict(error, share, sound, None, error, (), error)
    kinds = list(_other_lenses(read, lenses))
    if not sound:
        stated = images or [ImageChange()] * len(names)
        kinds += [
            _other_poses(read),
            _other_orders(read, names, views),
            _other_images(read, names, stated, other_side, score),
        ]
    found = [one for kind in kinds for one in _explanations(kind, score, size, error)]
    if found:
        return Verdict(error, share, sound, _either(found), min(one.error for one in found), (), error)
    out, without = _standing_out(read.cameras, points, size)
    return Verdict(error, share, sound, None, error, out, without if out else error)


def _sizes_of_people(pixels: np.ndarray) -> Tensor:
    """Give (view,) the diagonal of the box around a person, in pixels, in frames where most of them is seen."""
    diagonal = np.linalg.norm(box_sides(pixels), axis=-1)  # (frame, view, person)
    of_views = [diagonal[:, view][diagonal[:, view] > 0] for view in range(pixels.shape[1])]
    return torch.tensor([float(np.quantile(known, 0.9)) if len(known) else math.nan for known in of_views])


def _is_sound(of_views: Tensor, size: Tensor, share: float = _SOUND_SHARE) -> bool:
    return float((of_views / size).nan_to_num(0).max()) <= share


def _points(read: Reading, score: np.ndarray | None) -> Tensor:
    """Give points (point, view, 2) of the one person who would be chosen, of those that enough views see."""
    pixels = read.pixels[:, :, 0]
    if score is not None:
        person = choose_subject(read.cameras, read.pixels, score).person
        pixels = np.take_along_axis(read.pixels, person.clip(0)[:, :, None, None, None], 2)[:, :, 0]
        pixels = np.where((person < 0)[..., None, None], np.nan, pixels)
    points = torch.as_tensor(pixels).double().transpose(1, 2).flatten(0, 1)
    points = points[points.isfinite().all(-1).sum(1) >= min(3, points.shape[1])]
    return points[:: max(1, len(points) // _MOST_POINTS)]


def _standing_out(cameras: Cameras, points: Tensor, size: Tensor) -> tuple[tuple[int, ...], float]:
    """Find the views without which the others agree much better, and by how much these disagree (pixels)."""
    points = points[::3]
    kept, out = points.isfinite().all(-1).any(0).nonzero()[:, 0].tolist(), list[int]()

    def errors(views: list[int]) -> Tensor:
        return disagreement(cameras[views], points[:, views])

    def share(views: list[int]) -> float:
        return float((errors(views) / size[views]).nanmean().nan_to_num(torch.inf))

    while len(kept) > 2 and 2 * (len(out) + 1) < len(cameras):
        shares = [share([other for other in kept if other != view]) for view in kept]
        least, second = sorted(shares)[:2]
        # Two views are compared across one direction only: their error cannot be held against that of three.
        if len(kept) == 3:
            enough = _STANDS_OUT_OF_THREE_BELOW * second
        else:
            now = share(kept)
            enough = max(_STANDS_OUT_BELOW * now, min(now, _STANDS_OUT_OF_OTHERS_BELOW * second))
        if not least <= enough:
            break
        out.append(kept.pop(shares.index(least)))
    return tuple(sorted(out)), float(errors(kept).nanmean())


# --- the search ------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
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


class _Explanation(NamedTuple):
    mistake: Mistake
    error: float
    views_changed: int


def _explanations(kind: _Kind, score: np.ndarray | None, size: Tensor, error: float) -> Iterator[_Explanation]:
    """Try the likeliest mistakes of a kind; give those without which the views agree."""
    # Two views are compared across one direction only, in which much can be brought to agree.
    share = _SOUND_SHARE if len(size) > 2 else _SOUND_SHARE_OF_TWO
    for choice in _likeliest(kind, score):
        read, mistake = kind.mend(choice)
        of_views = disagreement(read.cameras, _points(read, score))
        mended = float(of_views.nanmean())
        if mended <= kind.named_below * error and _is_sound(of_views, size, share):
            yield _Explanation(mistake, mended, int((choice != kind.own).sum()))


def _likeliest(kind: _Kind, score: np.ndarray | None) -> np.ndarray:
    if len(kind.choices) <= _MOST_TRIED:
        return kind.choices
    costs = epipolar_cost(kind.readings, np.concatenate([kind.own[None], kind.choices]), score)
    own, cost, changed = costs[0], costs[1:], (kind.choices != kind.own).sum(1)
    near = np.flatnonzero(cost <= 1.1 * cost.min())
    simplest = near[np.lexsort((cost[near], changed[near]))][: _MOST_TRIED // 2]
    lowest = np.argsort(cost, kind="stable")[: _MOST_TRIED // 2]
    chosen = list(dict.fromkeys([*simplest.tolist(), *lowest.tolist()]))
    return kind.choices[[one for one in chosen if cost[one] <= _TRIED_BELOW * own]]


def _either(found: list[_Explanation]) -> Mistake:
    """Put the mistakes together that explain it equally well; of a kind, those of the fewest views."""
    best = min(one.error for one in found)
    close = [one for one in found if one.error <= best / _AS_GOOD]
    fewest: dict[str, int] = {}
    for one in close:
        fewest[one.mistake.name] = min(one.views_changed, fewest.get(one.mistake.name, one.views_changed))
    simplest = [one.mistake for one in close if one.views_changed == fewest[one.mistake.name]]
    advice = dict.fromkeys(mistake.advice for mistake in simplest)
    return Mistake(" or ".join(fewest), "; or ".join(islice(advice, _MOST_NAMED)))


def _alike(readings: int, views: int) -> np.ndarray:
    """Let all views take the same reading, any but the first."""
    return np.repeat(np.arange(1, readings)[:, None], views, 1)


def _mixtures(readings: Sequence[int], views: int) -> np.ndarray:
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


# --- the kinds ------------------------------------------------------------


def _other_lenses(read: Reading, lenses: np.ndarray | None) -> Iterator[_Kind]:
    views = len(read.cameras)

    def kind(distortion: Tensor, name: str, advice: str) -> _Kind:
        other = read._replace(cameras=replace(read.cameras, distortion=distortion))
        mended = other, Mistake(name, advice)
        return _Kind([read, other], _alike(2, views), np.zeros(views, int), lambda _: mended, _LENS_NAMED_BELOW)

    own = read.cameras.distortion
    if (own != 0).any():
        yield kind(
            torch.zeros_like(own),
            "undistorted points taken as distorted",
            "the detections seem to be of undistorted images; state `undistorted: true` under `detections:`",
        )
    if lenses is not None and (torch.as_tensor(lenses) != own).any():
        yield kind(
            torch.as_tensor(lenses),
            "distorted points taken as undistorted",
            "the detections seem to be of distorted images; remove `undistorted: true` under `detections:`",
        )


_POSE_CONVENTIONS = (
    ("transposed rotations", "the calibration's rotations are transposed: they turn camera into world axes"),
    ("camera positions for t", "the calibration's translations are the cameras' positions C; t = -R C is expected"),
    (
        "poses from camera to world",
        "the calibration's poses lead from camera to world (rotation transposed and position for t); "
        "R and t of x_camera = R x_world + t are expected",
    ),
)
_OPENGL = (
    "axes of OpenGL",
    "the cameras' axes are x right, y up, z backward (OpenGL, Blender); x right, y down, z forward is expected",
)


def _other_poses(read: Reading) -> _Kind:
    readings, mistakes = [read], [Mistake("", "")]
    for opengl, transposed, positions in list(product((False, True), repeat=3))[1:]:
        R = read.cameras.R.mT if transposed else read.cameras.R
        t = -(R @ read.cameras.t.unsqueeze(-1)).squeeze(-1) if positions else read.cameras.t
        about_x = torch.diag(R.new_tensor([1.0, -1.0, -1.0] if opengl else [1.0, 1.0, 1.0]))
        readings.append(read._replace(cameras=replace(read.cameras, R=about_x @ R, t=t @ about_x)))
        named = [_POSE_CONVENTIONS[transposed + 2 * positions - 1]] * (transposed or positions) + [_OPENGL] * opengl
        mistakes.append(Mistake(*(" and ".join(texts) for texts in zip(*named, strict=True))))
    views = len(read.cameras)

    def mend(choice: np.ndarray) -> tuple[Reading, Mistake]:
        return readings[choice[0]], mistakes[choice[0]]

    return _Kind(readings, _alike(len(readings), views), np.zeros(views, int), mend)


def _other_orders(read: Reading, names: Sequence[str], stated: Sequence[tuple[str | None, str]]) -> _Kind:
    views = len(names)
    readings = []
    for camera in range(views):
        which = torch.full((views,), camera)
        readings.append(Reading(read.cameras[which], read.sizes[which.numpy()], read.pixels))
    own = np.arange(views)
    orders = np.array(list(permutations(range(views)))[1:]) if views <= _MOST_PERMUTED else _exchanges(views)

    def mend(choice: np.ndarray) -> tuple[Reading, Mistake]:
        pairs = ", ".join(
            f"{names[view]} has the view of {names[other]}" for view, other in enumerate(choice) if view != other
        )
        advice = f"views are in another order than cameras: {pairs}; state {_order(stated, names, choice)}"
        return mixed(readings, choice.tolist()), Mistake("swapped views", advice)

    return _Kind(readings, orders, own, mend)


def _order(stated: Sequence[tuple[str | None, str]], names: Sequence[str], choice: np.ndarray) -> str:
    """Write the setting that gives views their cameras; of views without names the order counts."""
    right = {names[view]: names[other] for view, other in enumerate(choice)}
    if any(view is None for view, _ in stated):
        order = [right.get(camera, camera) for _, camera in stated]
        return f"`names: {in_yaml(order)}` under `ingest: cameras:` in the data set's file, in place of any there"
    moved = {view: right[camera] for view, camera in stated if right.get(camera, camera) != camera}
    return f"`views: {in_yaml(moved)}` under `ingest:` in the data set's file"


def _exchanges(views: int) -> np.ndarray:
    """Give the orders in which two views are exchanged, and those that begin with another view or run backward."""
    own = list(range(views))
    orders = []
    for one, other in combinations(own, 2):
        order = own.copy()
        order[one], order[other] = other, one
        orders.append(order)
    turned = [own[first:] + own[:first] for first in own]
    return np.unique(np.array([*orders, *turned[1:], *(order[::-1] for order in turned)]), axis=0)


_STEP = 0.15  # of the logarithm of the factor by which images were scaled
_FACTORS = tuple(math.exp(_STEP * step) for step in range(-10, 11) if step)
_USUAL_SIDES: tuple[int, ...] = (
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
_USUAL_SIDES += (1440, 1520, 1536, 1600, 2048, 2160, 2304, 2880, 3000, 3072, 4320)  # the shorter ones of images


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
    usual = min(_USUAL_SIDES, key=lambda side: abs(side - shorter))
    factor = usual / shorter if abs(usual - shorter) < 0.01 * shorter else 1.0
    return [round(width * factor), round(height * factor)]


def _other_images(
    read: Reading,
    names: Sequence[str],
    stated: Sequence[ImageChange],
    other_side: Sequence[int],
    score: np.ndarray | None,
) -> _Kind:
    views = len(names)
    unscaled = [_Change(*one, 1.0) for one in product((0, 90, 180, 270), (False, True))]
    changes = unscaled + [_Change(turned, False, factor) for turned, factor in product((0, 90, 180, 270), _FACTORS)]
    readings = [_with_images(read, [change.of(size) for size in read.sizes], other_side) for change in changes]
    numbers = range(len(changes))
    turned = [number for number in numbers if changes[number][1:] == (False, 1.0)]
    sideways = [number for number in turned if changes[number].turned in (90, 270)]
    scaled = [number for number in numbers if changes[number][:2] == (0, False)]
    alike = _alike(len(changes), views)
    one_only, all_but_one = np.eye(views, dtype=int), 1 - np.eye(views, dtype=int)
    some = [numbers[number] * rows for number in numbers[1:] for rows in (one_only, all_but_one)]
    # The fewer the readings, the more views can differ in a rig of many.
    free = [_mixtures(some_of, views) for some_of in (numbers[: len(unscaled)], turned, sideways, scaled)]
    choices = np.unique(np.concatenate([alike, *some, *free]), axis=0)[1:]  # not the one that changes nothing

    def mend(choice: np.ndarray) -> tuple[Reading, Mistake]:
        chosen = _with_better_factors(read, [changes[number] for number in choice], other_side, score)
        made = [change.of(size) for change, size in zip(chosen, read.sizes, strict=True)]
        return _with_images(read, made, other_side), _changed_images(made, stated, names)

    return _Kind(readings, choices, np.zeros(views, int), mend)


def _with_images(read: Reading, changes: Sequence[ImageChange], other_side: Sequence[int]) -> Reading:
    """Take the images for changed ones."""
    arrays = [getattr(read.cameras, name).numpy() for name in ("K", "distortion", "R", "t")]
    calibrated = map(Calibrated, *arrays, read.sizes)
    cameras = [change.camera(one) for change, one in zip(changes, calibrated, strict=True)]
    *tensors, sizes = (np.stack(values) for values in zip(*cameras, strict=True))
    pixels = read.pixels
    if any(change.mirrored for change in changes):
        pixels = pixels.copy()
        for view, change in enumerate(changes):
            if change.mirrored:
                pixels[:, view] = mirror(pixels[:, view], sizes[view][0], other_side)
    return Reading(Cameras(*map(torch.as_tensor, tensors)), sizes, pixels)


def _with_better_factors(
    read: Reading, changes: list[_Change], other_side: Sequence[int], score: np.ndarray | None
) -> list[_Change]:
    """Search for the best factors near those that were tried; one for the views that have the same."""

    def scaled(by: float, views: Sequence[int]) -> list[_Change]:
        return [one._replace(factor=one.factor * by) if view in views else one for view, one in enumerate(changes)]

    def taken(changes: list[_Change]) -> Reading:
        return _with_images(read, [one.of(size) for one, size in zip(changes, read.sizes, strict=True)], other_side)

    points = _points(taken(changes), score)[::4]
    for factor in sorted({change.factor for change in changes} - {1.0}):
        views = [view for view, change in enumerate(changes) if change.factor == factor]
        best = minimize_scalar(
            lambda step, views=views: float(
                disagreement(taken(scaled(math.exp(step), views)).cameras, points).nanmean()
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


def wrong_unit(lengths: dict[str, Tensor], read_as: float = 1.0) -> Mistake | None:
    """Tell from the length of limbs if the unit of length is wrong.

    Parameters
    ----------
    lengths
        Of ``legs`` (hip to knee to ankle) and ``arms`` (shoulder to elbow to wrist), metres, NaN where not known. The
        first of which enough is known decides.
    read_as
        The unit, in metres, in which the calibration was read.
    """
    for limb, values in lengths.items():
        known = values[values.isfinite()]
        if len(known) < _FEWEST_LIMBS:
            continue
        length, (low, high) = float(known.median()), _LIMBS_M[limb]
        if low <= length <= high:
            return None
        off = {unit: abs(math.log(length * one[1] / read_as / math.sqrt(low * high))) for unit, one in _UNITS.items()}
        fitting = [unit for unit in sorted(off, key=off.__getitem__) if off[unit] <= math.log(high / low) / 2]
        named = " or ".join(f"{_UNITS[unit][0]} (`unit: {unit}`)" for unit in fitting)
        likely = (
            f"its lengths are probably {named}: state the unit under `ingest: cameras:` in the data set's file, or "
            "convert the file"
            if fitting
            else "its unit is neither of the usual ones"
        )
        return Mistake("unit of length", f"{limb} are {length:.3g} m long by this calibration; {likely}")
    return None

"""Whether a calibration and detections mean the same thing; if not, which usual mistake would explain it.

Views that see the same points agree: what some of them see, triangulated, lies where the others see it. Files that
are read in another sense than they were written in make the views disagree, and agree again once they are read as
meant. Every usual mistake is such a sense, for all views or some of them, and all are tried alike. A mistake is named
only where the views, without it, agree as those of a sound rig do. Length is the exception: a rig in millimetres
agrees as well as one in metres, and only that of bones tells.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, permutations, product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trilift.formats.images import ImageChange
from trilift.geometry.cameras import Cameras
from trilift.geometry.tracks import box_sides
from trilift.ingest.changed_images import USUAL_SIDES, other_images
from trilift.ingest.mistakes import Kind, Mistake, disagreement, same_for_all, sample_pixels, views_needed
from trilift.ingest.readings import Reading, epipolar_cost, mixed
from trilift.project.yaml_text import in_yaml

_SOUND_SHARE = 0.045  # of a person's size in the image: views of a sound rig do not disagree by more
_SOUND_SHARE_OF_TWO = 0.006  # the same of two views, once a mistake is mended
_LENS_NAMED_BELOW = 0.87  # or this one: lenses move points by little
_CERTAIN_BELOW = 0.5
_AS_GOOD = 0.9  # mistakes cannot be told apart where the errors that they leave differ by less
_STANDS_OUT_BELOW = 0.7  # a camera stands out where the others have at most this share of the error of all,
_STANDS_OUT_OF_OTHERS_BELOW = 0.6  # or this share of what they have without another camera,
_STANDS_OUT_OF_THREE_BELOW = 0.4  # or, two being left, this share of it
_MOST_TRIED = 8
_TRIED_BELOW = 0.8  # of the distance from epipolar lines
_MOST_NAMED = 3
_MOST_PERMUTED = 8


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
    pixels = sample_pixels(read, score)
    of_views = disagreement(read.cameras, pixels)
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
            other_images(read, names, stated, other_side, score),
        ]
    found = [one for kind in kinds for one in _explanations(kind, score, size, error)]
    if found:
        return Verdict(error, share, sound, _either(found), min(one.error for one in found), (), error)
    out, without = _standing_out(read.cameras, pixels, size)
    return Verdict(error, share, sound, None, error, out, without if out else error)


def _sizes_of_people(pixels: np.ndarray) -> Tensor:
    """Give (view,) the diagonal of the box around a person, in pixels, in frames where most of them is seen."""
    diagonal = np.linalg.norm(box_sides(pixels), axis=-1)  # (frame, view, person)
    of_views = [diagonal[:, view][diagonal[:, view] > 0] for view in range(pixels.shape[1])]
    return torch.tensor([float(np.quantile(known, 0.9)) if len(known) else math.nan for known in of_views])


def _is_sound(of_views: Tensor, size: Tensor, share: float = _SOUND_SHARE) -> bool:
    return float((of_views / size).nan_to_num(0).max()) <= share


def _standing_out(cameras: Cameras, pixels: Tensor, size: Tensor) -> tuple[tuple[int, ...], float]:
    """Find the views without which the others agree much better, and by how much these disagree (pixels)."""
    pixels = pixels[::3]
    seen = pixels.isfinite().all(-1)
    kept, out = seen.any(0).nonzero()[:, 0].tolist(), list[int]()

    def errors(views: list[int]) -> Tensor:
        of_views = disagreement(cameras[views], pixels[:, views])
        return of_views * torch.nan if views_needed(seen[:, views]) < min(3, len(views)) else of_views

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
        if math.isinf(least) or not least <= enough:
            break
        out.append(kept.pop(shares.index(least)))
    return tuple(sorted(out)), float(errors(kept).nanmean())


# --- the search ------------------------------------------------------------


class _Explanation(NamedTuple):
    mistake: Mistake
    error: float
    views_changed: int


def _explanations(kind: Kind, score: np.ndarray | None, size: Tensor, error: float) -> Iterator[_Explanation]:
    """Try the likeliest mistakes of a kind; give those without which the views agree."""
    # Two views are compared across one direction only, in which much can be brought to agree.
    share = _SOUND_SHARE if len(size) > 2 else _SOUND_SHARE_OF_TWO
    for choice in _likeliest(kind, score):
        read, mistake = kind.mend(choice)
        of_views = disagreement(read.cameras, sample_pixels(read, score))
        mended = float(of_views.nanmean())
        if mended <= kind.named_below * error and _is_sound(of_views, size, share):
            yield _Explanation(mistake, mended, int((choice != kind.own).sum()))


def _likeliest(kind: Kind, score: np.ndarray | None) -> np.ndarray:
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


# --- the kinds ------------------------------------------------------------


def _other_lenses(read: Reading, lenses: np.ndarray | None) -> Iterator[Kind]:
    views = len(read.cameras)

    def kind(distortion: Tensor, name: str, advice: str) -> Kind:
        other = read._replace(cameras=replace(read.cameras, distortion=distortion))
        mended = other, Mistake(name, advice)
        return Kind([read, other], same_for_all(2, views), np.zeros(views, int), lambda _: mended, _LENS_NAMED_BELOW)

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


def _other_poses(read: Reading) -> Kind:
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

    return Kind(readings, same_for_all(len(readings), views), np.zeros(views, int), mend)


def _other_orders(read: Reading, names: Sequence[str], stated: Sequence[tuple[str | None, str]]) -> Kind:
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

    return Kind(readings, orders, own, mend)


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


USUAL_SIDES += (1440, 1520, 1536, 1600, 2048, 2160, 2304, 2880, 3000, 3072, 4320)  # the shorter ones of images

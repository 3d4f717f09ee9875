"""Whether a calibration and detections mean the same thing; if not, which usual mistake would explain it.

Views that see the same points agree: what some of them see, triangulated, lies where the others see it. A calibration
that is read in another convention makes them disagree, and agree again once the convention is mended. Scale is the
exception: a rig in millimetres agrees as well as one in metres, and only the length of bones tells.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import reprojection_error, triangulate, triangulate_without

_WORST_SHARE = 0.2  # of the focal length: larger errors count as this, and so does a point behind a camera
_TYPICAL_SHARE = 0.01  # of the focal length: the error of a detector, roughly
_SURELY_WRONG_SHARE = 0.025  # of the focal length: less cannot come of poses or an order that are wrong altogether
_NAMED_BELOW = 0.87  # a mistake is named where mending it leaves at most this share of the error,
_AND_CLEARLY_BETTER = 0.9  # and at most this share of the next best
_CERTAIN_BELOW = 0.5
_MOST_POINTS = 1000
_LIMBS_M = {"legs": (0.35, 1.25), "arms": (0.25, 0.85)}  # from small children to the tallest
_FEWEST_LIMBS = 5
_UNITS = {"millimetres": 1e-3, "centimetres": 1e-2, "decimetres": 0.1, "inches": 0.0254, "feet": 0.3048}


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
    mistake
        Which mistake explains a disagreement, or None.
    error_mended_px
        The error once it is mended; `error_px` where there is none.
    """

    error_px: float
    mistake: Mistake | None
    error_mended_px: float

    @property
    def certain(self) -> bool:
        """Whether the mistake makes most of the error, and no other explanation is needed."""
        return self.mistake is not None and self.error_mended_px <= _CERTAIN_BELOW * self.error_px


def typical_scale(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give, roughly, the error in pixels (frame, view, keypoint) of detections (frame, view, keypoint, 2)."""
    return (_TYPICAL_SHARE * cameras.focal.mean(-1))[:, None].expand_as(pixels[..., 0])


def disagreement(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Give for each view the median distance (pixels) of its detections from what the other views see there.

    `pixels` are (point, view, 2). With two views only, the distance is that from the point that both make up. Views
    without common points are left out.
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
        if len(error):
            medians.append(torch.where(error < worst, error, worst).median())
    return torch.stack(medians)


def examine(
    cameras: Cameras, pixels: Tensor, names: Sequence[str] | None = None, other_distortion: Tensor | None = None
) -> Verdict:
    """Compare the calibration as it is with what it would be without each of the usual mistakes.

    Parameters
    ----------
    cameras
        The cameras, as they were read.
    pixels
        (frame, view, keypoint, 2), as detected; NaN is missing.
    names
        Of the cameras.
    other_distortion
        (view, 5): the calibration's lens distortion where the detections are taken as undistorted.
    """
    names = names or [str(view + 1) for view in range(len(cameras))]
    flat = pixels.double().transpose(1, 2).reshape(-1, len(cameras), 2)
    flat = flat[flat.isfinite().all(-1).sum(1) >= min(3, len(cameras))]
    if len(flat) == 0:
        return Verdict(float("nan"), None, float("nan"))
    flat = flat[:: max(1, len(flat) // _MOST_POINTS)]
    of_views = disagreement(cameras, flat)
    error = float(of_views.mean())
    candidates = list(_other_lenses(cameras, other_distortion))
    if not of_views.max() <= _SURELY_WRONG_SHARE * cameras.focal.mean():
        candidates += [*_other_poses(cameras), *_other_orders(cameras, names)]
    tried = [(float(disagreement(mended, flat).mean()), mistake) for mended, mistake in candidates]
    best = min((mended for mended, _ in tried), default=error)
    # Symmetric rigs agree in several orders: the first of them moves the fewest views.
    mended, mistake = next(((e, m) for e, m in tried if e <= 1.01 * best), (error, None))
    others = [e for e, m in tried if mistake is None or m.name != mistake.name]
    if mended <= _NAMED_BELOW * error and mended <= _AND_CLEARLY_BETTER * min(others, default=error):
        return Verdict(error, mistake, mended)
    return Verdict(error, None, error)


_POSES: list[tuple[Mistake, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]] = [
    (
        Mistake(
            "transposed rotations", "the calibration's rotations are transposed: they turn camera into world axes"
        ),
        lambda R, t: (R.mT, t),
    ),
    (
        Mistake(
            "camera positions for t",
            "the calibration's translations are the cameras' positions C; t = -R C is expected",
        ),
        lambda R, t: (R, -(R @ t.unsqueeze(-1)).squeeze(-1)),
    ),
    (
        Mistake(
            "poses from camera to world",
            "the calibration's poses lead from camera to world (rotation transposed and position for t); "
            "R and t of x_camera = R x_world + t are expected",
        ),
        lambda R, t: (R.mT, -(R.mT @ t.unsqueeze(-1)).squeeze(-1)),
    ),
    (
        Mistake(
            "axes of OpenGL",
            "the cameras' axes are x right, y up, z backward (OpenGL, Blender); x right, y down, z forward is "
            "expected",
        ),
        lambda R, t: (_flip(R) @ R, (_flip(R) @ t.unsqueeze(-1)).squeeze(-1)),
    ),
]


def _flip(like: Tensor) -> Tensor:
    return torch.diag(like.new_tensor([1.0, -1.0, -1.0]))


def _other_poses(cameras: Cameras) -> Iterator[tuple[Cameras, Mistake]]:
    for mistake, mend in _POSES:
        R, t = mend(cameras.R, cameras.t)
        yield replace(cameras, R=R, t=t), mistake


def _other_orders(cameras: Cameras, names: Sequence[str]) -> Iterator[tuple[Cameras, Mistake]]:
    for order in _orders(len(cameras)):
        pairs = ", ".join(
            f"{names[view]} has the view of {names[other]}" for view, other in enumerate(order) if view != other
        )
        advice = f"views are in another order than cameras: {pairs}; name them under `views:` in the data set's file"
        which = torch.tensor(order)
        swapped = Cameras(cameras.K[which], cameras.distortion[which], cameras.R[which], cameras.t[which])
        yield swapped, Mistake("swapped views", advice)


def _other_lenses(cameras: Cameras, other_distortion: Tensor | None) -> Iterator[tuple[Cameras, Mistake]]:
    if (cameras.distortion != 0).any():
        advice = "the detections seem to be of undistorted images; state `undistorted: true` under `detections:`"
        without = replace(cameras, distortion=torch.zeros_like(cameras.distortion))
        yield without, Mistake("undistorted points taken as distorted", advice)
    if other_distortion is not None and (other_distortion != cameras.distortion).any():
        advice = "the detections seem to be of distorted images; remove `undistorted: true` under `detections:`"
        yield replace(cameras, distortion=other_distortion), Mistake("distorted points taken as undistorted", advice)


def _orders(views: int) -> Iterator[tuple[int, ...]]:
    """Give the orders of views to try: all of few, else every exchange of two."""
    own = tuple(range(views))
    if views <= 4:
        moved = {order: sum(view != other for view, other in enumerate(order)) for order in permutations(own)}
        yield from sorted((order for order in moved if moved[order]), key=lambda order: moved[order])
        return
    for one, other in combinations(own, 2):
        order = list(own)
        order[one], order[other] = other, one
        yield tuple(order)


def wrong_unit(lengths: dict[str, Tensor]) -> Mistake | None:
    """Tell from the length of limbs if the unit of length is wrong.

    Parameters
    ----------
    lengths
        Of ``legs`` (hip to knee to ankle) and ``arms`` (shoulder to elbow to wrist), metres, NaN where not known. The
        first of which enough is known decides.
    """
    for limb, values in lengths.items():
        known = values[values.isfinite()]
        if len(known) < _FEWEST_LIMBS:
            continue
        length, (low, high) = float(known.median()), _LIMBS_M[limb]
        if low <= length <= high:
            return None
        fitting = [name for name, metres in _UNITS.items() if low <= length * metres <= high]
        likely = (
            f"its lengths are probably {fitting[0]}: state the unit in the data set's file (ingest: cameras: unit) "
            "or convert the file"
            if fitting
            else "its unit is neither of the usual ones"
        )
        return Mistake("unit of length", f"{limb} are {length:.3g} m long by this calibration; {likely}")
    return None

"""3D points from their images in several views.

`triangulate` is the weighted direct linear transform (DLT), `triangulate_robust` the maximum-likelihood point under
heavy-tailed errors of a known scale. Both take any number of views from two, with detections missing anywhere. They
run on the processor, in compiled loops (`trilift.geometry.kernels`), wherever their arguments are.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from trilift.geometry import kernels
from trilift.geometry.cameras import Cameras, Lens, project
from trilift.geometry.kernels import Array
from trilift.project import threads

DEGREES_OF_FREEDOM = 5.0
"""Of the Student t that detection errors are taken to follow: between the 3 of the worst tails that were measured
and the normal distribution. Of 3, 4, 5 and 8 it gave the smallest mean error on real motion."""

REJECTED_FROM = 16.0
"""Squared error over squared scale from which a detection counts as an outlier: 4 scales, where it keeps a third of
its weight."""

_COVARIANCE_FACTOR = 1.4
"""The weighted normal matrix over the information. For many views it is the ratio of its mean to the Fisher
information of the Student t, (degrees + 4) / (degrees + 2) = 1.29 (Lange, Little and Taylor, "Robust statistical
modeling using the t distribution", JASA 1989). Few views tell less: this calibrates four of them on real motion."""

_SUSPICIOUS_FROM = 8.0

_VECTOR = 128  # a multiple of what loops take at once
_DETECTIONS_PER_CHUNK = 32768  # their rows stay in the processor's cache; no result depends on it


class Solution(NamedTuple):
    """Triangulated points and what is known about them.

    Attributes
    ----------
    points
        (frame, keypoint, 3) float64, metres, world frame. NaN where fewer than two views count, and where the views
        only meet behind a camera.
    covariance
        (frame, keypoint, 3, 3), square metres.
    error
        (frame, view, keypoint), pixels: distance of the reprojection from the detection, in every view with a
        detection, whether it counted or not.
    inlier
        (frame, view, keypoint): the detections that the point rests on. The others are missing, do not count or lie
        too far away (`REJECTED_FROM`).
    """

    points: Tensor
    covariance: Tensor
    error: Tensor
    inlier: Tensor

    @property
    def views_used(self) -> Tensor:
        """(frame, keypoint) int8: number of inliers."""
        return self.inlier.sum(1).to(torch.int8)


def triangulate(cameras: Cameras, pixels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Triangulate by the weighted direct linear transform (DLT).

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected (distorted). NaN is missing.
    weights
        (frame, view, keypoint): how much a view counts, from 0 on; by default all count the same.

    Returns
    -------
    points : Tensor
        (frame, keypoint, 3) float64, metres, world frame. NaN where fewer than two views count, and where the
        views only meet behind a camera.
    views_used : Tensor
        (frame, keypoint) int8.

    Notes
    -----
    Each view gives two equations ``(x p3 - p1) X = 0`` and ``(y p3 - p2) X = 0`` in the rows of its projection
    matrix ``[R | t]`` (Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 12.2; inhomogeneous
    form). The sum of their squares is a quadratic form whose matrix is linear in
    ``w^2 (x^2 + y^2, x, y, 1)``, so that the normal matrices of all points are one matrix product. In normalised
    coordinates and double precision its 3x3 block is safe to solve in closed form.

    Examples
    --------
    >>> points, views_used = triangulate(cameras, pixels, confidence)          # doctest: +SKIP
    """
    rig = _Rig(cameras, pixels)
    frames, views, keypoints, _ = rig.pixels.shape
    counted = np.broadcast_to(np.ones((), rig.dtype), (frames, views, keypoints))
    if weights is not None:
        counted = rig.take(weights)
    points, views_used = np.empty((frames, keypoints, 3)), np.empty((frames, keypoints), np.int8)

    def solve(rows: slice, memory: _Memory) -> None:
        chunk = _Chunk.of_frames(rig, memory, rig.pixels[rows], np.ascontiguousarray(counted[rows]))
        solution = chunk.solve_linear(chunk.information)
        used, behind = chunk.count_views(solution)
        solution[:, (used < 2) | behind] = np.nan
        points[rows] = chunk.by_frame(solution, points[rows].shape)
        views_used[rows] = chunk.by_frame(used, views_used[rows].shape)

    _by_chunks(rig, solve)
    return rig.give(points), rig.give(views_used)


def t_weight(standardised: Tensor) -> Tensor:
    """Weight of squared errors over squared scales under the bivariate Student t; 1 for a normal distribution."""
    return (DEGREES_OF_FREEDOM + 2) / (DEGREES_OF_FREEDOM + standardised)


def t_cost(standardised: Tensor) -> Tensor:
    """Negative log-likelihood of squared errors over squared scales, but for a constant and (degrees + 2) / 2."""
    return torch.log1p(standardised / DEGREES_OF_FREEDOM)


def triangulate_robust(cameras: Cameras, pixels: Tensor, scale: Tensor) -> Solution:
    """Triangulate by maximum likelihood under heavy-tailed detection errors.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected (distorted). NaN is missing.
    scale
        (frame, view, keypoint), pixels: scale of the error of each detection (see `trilift.triangulate.noise`).
        Infinite or NaN where a detection does not count.

    Returns
    -------
    Solution
        Points, covariances, errors and inliers.

    Notes
    -----
    Errors follow a bivariate Student t with `DEGREES_OF_FREEDOM`. The DLT is reweighted (each equation by its
    t-weight and, to make its algebraic error that of the image, by the inverse depth). Points with suspicious views
    are solved again from the starts that leave one of these out, and the likeliest wins: with four views that is as
    good as starting from all pairs of views, and with any number it costs one start per suspicious view. A
    Gauss-Newton step on the reprojection error with distortion ends it (`refine`).
    The covariance is the inverse of the weighted normal matrix of that step, times a factor.
    """
    rig = _Rig(cameras, pixels)
    frames, views, keypoints, _ = rig.pixels.shape
    scale_of = rig.take(scale)
    points, covariance = np.empty((frames, keypoints, 3)), np.empty((frames, keypoints, 9), rig.dtype)
    error, inlier = np.empty((frames, views, keypoints), rig.dtype), np.empty((frames, views, keypoints), np.bool_)

    def solve(rows: slice, memory: _Memory) -> None:
        chunk = _Chunk.of_scales(rig, memory, rig.pixels[rows], scale_of[rows])
        solution = chunk.solve_linear(chunk.information)
        solution = chunk.solve_linear(chunk.reproject(solution)[1])
        if views > 2:
            _search(chunk, solution)
        refined = chunk.refine(solution, steps=1)
        kernels.write(
            refined.points,
            refined.inverse,
            chunk.information,
            *refined.errors,
            REJECTED_FROM,
            _COVARIANCE_FACTOR,
            (points[rows], covariance[rows], error[rows], inlier[rows]),
        )

    _by_chunks(rig, solve)
    covariance = covariance.reshape(frames, keypoints, 3, 3)
    return Solution(*(rig.give(values) for values in (points, covariance, error, inlier)))


def triangulate_without(cameras: Cameras, pixels: Tensor, scale: Tensor, view: int) -> Solution:
    """Triangulate as `triangulate_robust` does, one view left out; its errors against the others are given too."""
    others = scale.clone()
    others[:, view] = torch.inf
    return triangulate_robust(cameras, pixels, others)


def refine(cameras: Cameras, pixels: Tensor, scale: Tensor, points: Tensor, steps: int = 10) -> Tensor:
    """Minimise the reprojection error with distortion, by Levenberg-Marquardt.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected (distorted).
    scale
        (frame, view, keypoint), pixels; infinite or NaN where a detection does not count.
    points
        (frame, keypoint, 3), metres: where to start.
    steps
        Number of steps, from 1.

    Returns
    -------
    Tensor
        (frame, keypoint, 3) float64: local maxima of the likelihood of `triangulate_robust`; never less likely than
        the start.
    """
    rig = _Rig(cameras, pixels)
    scale_of = rig.take(scale)
    refined = points.double().cpu().numpy().copy()

    def solve(rows: slice, memory: _Memory) -> None:
        chunk = _Chunk.of_scales(rig, memory, rig.pixels[rows], scale_of[rows])
        solution = chunk.refine(chunk.take_points(refined[rows]), steps).points
        refined[rows] = chunk.by_frame(solution, refined[rows].shape)

    _by_chunks(rig, solve)
    return rig.give(refined)


def linearise(cameras: Cameras, pixels: Tensor, scale: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Expand the negative log-likelihood of points around them, to second order.

    Parameters
    ----------
    cameras
        The cameras.
    pixels, scale
        As in `triangulate_robust`.
    points
        (frame, keypoint, 3), metres, finite.

    Returns
    -------
    normal : Tensor
        (frame, keypoint, 3, 3) float64: J^T W J, with J the derivative of the projections with distortion and W the
        weights of the Student t over the squared scales. 0 where nothing was detected.
    gradient : Tensor
        (frame, keypoint, 3) float64: J^T W r.
    """
    rig = _Rig(cameras, pixels)
    scale_of = rig.take(scale)
    at = points.double().cpu().numpy()
    normal, gradient = np.empty((*at.shape, 3)), np.empty(at.shape)

    def solve(rows: slice, memory: _Memory) -> None:
        chunk = _Chunk.of_scales(rig, memory, rig.pixels[rows], scale_of[rows])
        upper, slope = chunk.linearise(chunk.take_points(at[rows]))
        normal[rows] = chunk.by_frame(upper[[0, 1, 2, 1, 3, 4, 2, 4, 5]], normal[rows].shape)
        gradient[rows] = chunk.by_frame(slope, gradient[rows].shape)

    _by_chunks(rig, solve)
    return rig.give(normal), rig.give(gradient)


def reprojection_error(cameras: Cameras, points: Tensor, pixels: Tensor) -> Tensor:
    """Measure how far the projections of points lie from their detections.

    Parameters
    ----------
    cameras
        The cameras.
    points
        (frame, keypoint, 3), metres, world frame.
    pixels
        (frame, view, keypoint, 2), as detected (distorted).

    Returns
    -------
    Tensor
        (frame, view, keypoint), pixels; NaN where the point or the detection is missing.
    """
    return (project(cameras, points.double()) - pixels.double()).norm(dim=-1)


class _Rig:
    """Cameras and detections as the loops take them: arrays in the precision of the detections."""

    def __init__(self, cameras: Cameras, pixels: Tensor):
        self.device = pixels.device
        self.pixels = np.ascontiguousarray(pixels.detach().cpu().numpy())
        self.dtype = self.pixels.dtype
        cameras = cameras.to("cpu", torch.float64)
        lens = Lens(cameras.distortion, torch.float64, torch.device("cpu"))
        columns = [cameras.centre, cameras.focal, cameras.distortion, lens.largest, lens.fold, lens.inverse]
        self.lens = torch.cat(columns, 1).numpy().astype(self.dtype)
        p = torch.cat([cameras.R, cameras.t[..., None]], -1).numpy()  # (V, 3, 4)
        self.projection, self.exact_projection = p.astype(self.dtype), p
        rows, columns_of = (0, 0, 0, 0, 1, 1, 1, 2, 2), (0, 1, 2, 3, 1, 2, 3, 2, 3)

        def products(a: Array, b: Array) -> Array:
            return a[:, rows] * b[:, columns_of]  # (V, 9)

        p1, p2, p3 = p[:, 0], p[:, 1], p[:, 2]
        self.forms = np.stack(
            [
                products(p3, p3),
                -products(p3, p1) - products(p1, p3),
                -products(p3, p2) - products(p2, p3),
                products(p1, p1) + products(p2, p2),
            ],
            -1,
        )  # (V, 9, 4)

    def take(self, values: Tensor) -> Array:
        """Take weights or scales (frame, view, keypoint)."""
        return np.ascontiguousarray(values.detach().cpu().numpy(), dtype=self.dtype)

    def give(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self.device)


class _Memory:
    """Arrays that a thread uses again for every chunk: new ones would come from the system page by page."""

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}
        self._of_search: _Memory | None = None

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        size = math.prod(shape)
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = np.empty(size, dtype)
        return self._buffers[name][:size].reshape(shape)

    def of_search(self) -> "_Memory":
        """Give a second set, for points that are solved once more while the others wait."""
        self._of_search = self._of_search or _Memory()
        return self._of_search


class _Errors(NamedTuple):
    """Reprojection errors with distortion."""

    squared: Array  # (view, point), squared pixels
    standardised: Array  # (view, point), over squared scales; 0 where the detection does not count
    cost: Array  # (point,): negative log-likelihood; infinite behind a camera


class _Refined(NamedTuple):
    points: Array  # (3, point)
    inverse: Array  # (9, point): of the last normal matrix
    errors: _Errors


class _Chunk:
    """Detections whose points are solved together.

    What a method returns is overwritten when it is called again, on this chunk or the next one of the same memory.
    Rows are longer than there are points (`trilift.geometry.kernels`).
    """

    def __init__(self, rig: _Rig, memory: _Memory, views: int, points: int):
        self.rig, self.memory, self.views, self.points = rig, memory, views, points
        self.size = -(-points // _VECTOR) * _VECTOR
        self.x, self.y, self.information = (self._of_views(name) for name in ("x", "y", "information"))
        self.px, self.py = self._of_views("px"), self._of_views("py")

    @classmethod
    def of_frames(cls, rig: _Rig, memory: _Memory, pixels: Array, weights: Array) -> "_Chunk":
        frames, views, keypoints = weights.shape
        chunk = cls(rig, memory, views, frames * keypoints)
        kernels.take_rays(pixels, weights, rig.lens, chunk.x, chunk.y, chunk.px, chunk.py, chunk.information)
        return chunk

    @classmethod
    def of_scales(cls, rig: _Rig, memory: _Memory, pixels: Array, scale: Array) -> "_Chunk":
        with np.errstate(divide="ignore"):
            return cls.of_frames(rig, memory, pixels, 1 / scale)

    def _of_views(self, name: str) -> Array:
        return self.memory.take(name, (self.views, self.size), self.rig.dtype)

    def _of_points(self, name: str, *rows: int, dtype: DTypeLike = np.float64) -> Array:
        return self.memory.take(name, (*rows, self.size), dtype)

    def _errors(self, name: str) -> _Errors:
        squared, standardised = self._of_views(f"{name} squared"), self._of_views(f"{name} standardised")
        return _Errors(squared, standardised, self._of_points(f"{name} cost"))

    def take_points(self, points: Array) -> Array:
        """Put points (frame, keypoint, 3) into rows."""
        rows = self._of_points("points", 3)
        rows[:, : self.points] = points.reshape(-1, 3).T
        rows[:, self.points :] = 0
        return rows

    def by_frame(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Give what rows hold as (frame, keypoint, ...)."""
        return rows[..., : self.points].T.reshape(shape)

    def solve_linear(self, squared_weights: Array) -> Array:
        """Solve the DLT: points (3, point)."""
        points = self._of_points("linear solution", 3)
        kernels.solve_linear(self.x, self.y, squared_weights, self.rig.forms, self._of_points("equations", 9), points)
        return points

    def count_views(self, points: Array) -> tuple[Array, Array]:
        """Give the number of views that count, and whether one of them has the point behind it."""
        views_used, behind = self._of_points("views used", dtype=np.int8), self._of_points("behind", dtype=np.bool_)
        kernels.count_views(self.information, self.rig.exact_projection, points, views_used, behind)
        return views_used, behind

    def reproject(self, points: Array) -> tuple[_Errors, Array]:
        """Give the errors as if lenses did not distort (not `squared`), and weights for `solve_linear`."""
        errors, weights = self._errors("linear"), self._of_views("weights")
        kernels.reproject(
            self.x,
            self.y,
            self.information,
            self.rig.lens,
            self.rig.projection,
            DEGREES_OF_FREEDOM,
            points,
            errors.standardised,
            weights,
            errors.cost,
        )
        return errors, weights

    def linearise(self, points: Array) -> tuple[Array, Array]:
        """Give J^T W J (6, point) and J^T W r (3, point)."""
        normal = self._of_points("normal", 6, dtype=self.rig.dtype)
        gradient = self._of_points("gradient", 3, dtype=self.rig.dtype)
        kernels.linearise(*self._with_distortion(points), normal, gradient)
        return normal, gradient

    def reproject_distorted(self, points: Array, name: str) -> _Errors:
        """Give the errors, in memory of that name."""
        errors = self._errors(name)
        kernels.reproject_distorted(*self._with_distortion(points), *errors)
        return errors

    def refine(self, points: Array, steps: int) -> _Refined:
        """Levenberg-Marquardt; a step that does not lower the cost of a point is not taken."""
        damping = np.full(self.size, 1e-6)
        errors = self.reproject_distorted(points, "errors")
        for _ in range(steps):
            normal, gradient = self.linearise(points)
            candidates, inverse = self._of_points("candidates", 3), self._of_points("inverse", 9)
            kernels.step(normal, gradient, damping, points, candidates, inverse)
            new = self.reproject_distorted(candidates, "new errors")
            better = new.cost < errors.cost
            for values, new_values in zip((points, *errors), (candidates, *new), strict=True):
                np.copyto(values, new_values, where=better)
            damping = np.where(better, damping / 10, damping * 100).clip(1e-9, 1e9)
        return _Refined(points, inverse, errors)

    def _with_distortion(self, points: Array) -> tuple[Array | float, ...]:
        rig = self.rig
        return self.px, self.py, self.information, rig.lens, rig.projection, DEGREES_OF_FREEDOM, points


def _search(chunk: _Chunk, solution: Array) -> None:
    """Solve points with suspicious views from starts that leave one of these out; better ones replace `solution`."""
    (_, standardised, cost), _ = chunk.reproject(solution)
    shape = (chunk.views * chunk.size,)
    point, view = (chunk.memory.take(name, shape, np.int64) for name in ("suspicious point", "suspicious view"))
    number = kernels.find_suspicious(chunk.information, standardised, _SUSPICIOUS_FROM, point, view)
    point, view = point[:number], view[:number]
    some = _Chunk(chunk.rig, chunk.memory.of_search(), chunk.views, number)
    without = some.memory.take("without", some.x.shape, chunk.rig.dtype)
    kernels.gather(chunk.x, chunk.y, chunk.information, point, view, some.x, some.y, some.information, without)
    start = some.solve_linear(without)
    candidates = some.solve_linear(some.reproject(start)[1])
    kernels.take_better(point, candidates, some.reproject(candidates)[0].cost, solution, cost)


def _by_chunks(rig: _Rig, solve: Callable[[slice, _Memory], None]) -> None:
    """Call `solve` with every chunk of frames, on all threads that torch may use."""
    frames, views, keypoints, _ = rig.pixels.shape
    size = max(1, _DETECTIONS_PER_CHUNK // (views * keypoints))
    chunks = iter([slice(start, min(start + size, frames)) for start in range(0, frames, size)])

    def work(_: int = 0) -> None:
        memory = _Memory()
        for rows in chunks:
            solve(rows, memory)

    workers = min(threads.number(), -(-frames // size))
    if workers < 2:
        work()
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))

"""The search for the view to leave out, chunk by chunk in compiled code."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from trilift.geometry import kernels, kernels_of_views
from trilift.geometry.cameras import Cameras, Lens
from trilift.geometry.kernels_of_views import Array
from trilift.project import threads

DEGREES_OF_FREEDOM = 5.0
"""Of the Student t that detection errors are taken to follow: between the 3 of the worst tails that were measured
and the normal distribution. Of 3, 4, 5 and 8 it gave the smallest mean error on real motion."""


REJECTED_FROM = 16.0
"""Squared error over squared scale from which a detection counts as an outlier: 4 scales, where it keeps a third of
its weight."""


COVARIANCE_FACTOR = 1.4
"""The weighted normal matrix over the information. For many views it is the ratio of its mean to the Fisher
information of the Student t, (degrees + 4) / (degrees + 2) = 1.29 (Lange, Little and Taylor, "Robust statistical
modeling using the t distribution", JASA 1989). Few views tell less: this calibrates four of them on real motion."""


_SUSPICIOUS_FROM = 8.0


_VECTOR = 128  # a multiple of what loops take at once


_DETECTIONS_PER_CHUNK = 32768  # their rows stay in the processor's cache; no result depends on it


class Rig:
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


class Memory:
    """Arrays that a thread uses again for every chunk: new ones would come from the system page by page."""

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}
        self._of_search: Memory | None = None

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        size = math.prod(shape)
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = np.empty(size, dtype)
        return self._buffers[name][:size].reshape(shape)

    def of_search(self) -> "Memory":
        """Give a second set, for points that are solved once more while the others wait."""
        self._of_search = self._of_search or Memory()
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


class Chunk:
    """Detections whose points are solved together.

    What a method returns is overwritten when it is called again, on this chunk or the next one of the same memory.
    Rows are longer than there are points (`trilift.geometry.kernels`).
    """

    def __init__(self, rig: Rig, memory: Memory, views: int, points: int):
        self.rig, self.memory, self.views, self.points = rig, memory, views, points
        self.size = -(-points // _VECTOR) * _VECTOR
        self.x, self.y, self.information = (self._of_views(name) for name in ("x", "y", "information"))
        self.px, self.py = self._of_views("px"), self._of_views("py")

    @classmethod
    def of_frames(cls, rig: Rig, memory: Memory, pixels: Array, weights: Array) -> "Chunk":
        frames, views, keypoints = weights.shape
        chunk = cls(rig, memory, views, frames * keypoints)
        kernels_of_views.take_rays(pixels, weights, rig.lens, chunk.x, chunk.y, chunk.px, chunk.py, chunk.information)
        return chunk

    @classmethod
    def of_scales(cls, rig: Rig, memory: Memory, pixels: Array, scale: Array) -> "Chunk":
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

    def refine(self, points: Array) -> _Refined:
        """Take a step of Gauss-Newton, but not for a point whose cost it does not lower."""
        errors = self.reproject_distorted(points, "errors")
        normal, gradient = self.linearise(points)
        candidates, inverse = self._of_points("candidates", 3), self._of_points("inverse", 9)
        kernels.step(normal, gradient, points, candidates, inverse)
        new = self.reproject_distorted(candidates, "new errors")
        better = new.cost < errors.cost
        for values, new_values in zip((points, *errors), (candidates, *new), strict=True):
            np.copyto(values, new_values, where=better)
        return _Refined(points, inverse, errors)

    def _with_distortion(self, points: Array) -> tuple[Array | float, ...]:
        rig = self.rig
        return self.px, self.py, self.information, rig.lens, rig.projection, DEGREES_OF_FREEDOM, points


def search(chunk: Chunk, solution: Array) -> None:
    """Solve points with suspicious views from starts that leave one of these out; better ones replace `solution`."""
    (_, standardised, cost), _ = chunk.reproject(solution)
    shape = (chunk.views * chunk.size,)
    point, view = (chunk.memory.take(name, shape, np.int64) for name in ("suspicious point", "suspicious view"))
    number = kernels.find_suspicious(chunk.information, standardised, _SUSPICIOUS_FROM, point, view)
    point, view = point[:number], view[:number]
    some = Chunk(chunk.rig, chunk.memory.of_search(), chunk.views, number)
    without = some.memory.take("without", some.x.shape, chunk.rig.dtype)
    kernels.gather(chunk.x, chunk.y, chunk.information, point, view, some.x, some.y, some.information, without)
    start = some.solve_linear(without)
    candidates = some.solve_linear(some.reproject(start)[1])
    kernels.take_better(point, candidates, some.reproject(candidates)[0].cost, solution, cost)


def by_chunks(rig: Rig, solve: Callable[[slice, Memory], None]) -> None:
    """Call `solve` with every chunk of frames, on all threads that torch may use."""
    frames, views, keypoints, _ = rig.pixels.shape
    size = max(1, _DETECTIONS_PER_CHUNK // (views * keypoints))
    chunks = iter([slice(start, min(start + size, frames)) for start in range(0, frames, size)])

    def work(_: int = 0) -> None:
        memory = Memory()
        for rows in chunks:
            solve(rows, memory)

    workers = min(threads.number(), -(-frames // size))
    if workers < 2:
        work()
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))

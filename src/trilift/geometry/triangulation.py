"""3D points from their images in several views.

`triangulate` is the weighted direct linear transform (DLT), `triangulate_robust` the maximum-likelihood point under
heavy-tailed errors of a known scale. Both take any number of views from two, with detections missing anywhere.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, Lens, distort_with_slopes, project

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
_REWEIGHTINGS = 1  # more, here or in the search, changed no mean error by 0.1 %
_REWEIGHTINGS_OF_SEARCH = 1

_POINTS_PER_CHUNK = 16384  # their arrays fit into the processor's cache; no result depends on it

# Upper triangles of symmetric matrices, row by row.
_ROWS_4 = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3)
_COLUMNS_4 = (0, 1, 2, 3, 1, 2, 3, 2, 3, 3)
_ROWS_3 = (0, 0, 0, 1, 1, 2)
_COLUMNS_3 = (0, 1, 2, 1, 2, 2)


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
    frames, _, keypoints, _ = pixels.shape
    rig = _Rig(cameras, pixels)
    points = torch.empty(frames * keypoints, 3, dtype=torch.float64, device=pixels.device)
    views_used = torch.empty(frames * keypoints, dtype=torch.int8, device=pixels.device)

    def solve(part: slice, rows: slice) -> None:
        rays = rig.rays(pixels[rows], None if weights is None else weights[rows])
        solution = rig.solve_linear(rays.x, rays.y, rays.weights.square())
        counting = rays.counts.sum(0, dtype=torch.int8)
        found = (counting >= 2) & ~((rig.depth(solution) <= 0) & rays.counts).any(0)
        points[part] = torch.where(found, solution, torch.nan).T
        views_used[part] = counting

    _by_chunks(pixels, solve)
    return points.reshape(frames, keypoints, 3), views_used.reshape(frames, keypoints)


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
        (frame, view, keypoint), pixels: scale of the error of each detection (see `trilift.geometry.noise`).
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
    frames, views, keypoints, _ = pixels.shape
    rig = _Rig(cameras, pixels)
    dtype, device = pixels.dtype, pixels.device
    points = torch.empty(frames * keypoints, 3, dtype=torch.float64, device=device)
    covariance = torch.empty(frames * keypoints, 9, dtype=dtype, device=device)
    error = torch.empty(frames, views, keypoints, dtype=dtype, device=device)
    inlier = torch.empty(frames, views, keypoints, dtype=torch.bool, device=device)

    def solve(part: slice, rows: slice) -> None:
        rays = rig.rays(pixels[rows], 1 / scale[rows])
        information = rays.weights.square()
        solution = rig.solve_linear(rays.x, rays.y, information)
        for _ in range(_REWEIGHTINGS):
            solution = rig.reweight(rays, information, solution)
        if views > 2:
            _search(rig, rays, information, solution)
        solution, normal, errors = _refine(rig, rays, information, solution, steps=1)
        used = rays.counts & (errors.squared * information < REJECTED_FROM)
        found = (used.sum(0) >= 2) & ~((errors.depth <= 0) & rays.counts).any(0)
        points[part] = torch.where(found, solution, torch.nan).T
        covariance[part] = torch.where(found, _COVARIANCE_FACTOR * _inverse(normal), torch.nan).T.to(dtype)

        def by_frame(values: Tensor) -> Tensor:
            return values.reshape(views, -1, keypoints).transpose(0, 1)

        detected = torch.where(rays.detected & found, errors.squared.sqrt(), torch.nan)
        error[rows] = by_frame(detected)
        inlier[rows] = by_frame(used & found)

    _by_chunks(pixels, solve)
    return Solution(
        points.reshape(frames, keypoints, 3),
        covariance.reshape(frames, keypoints, 3, 3),
        error,
        inlier,
    )


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
    frames, _, keypoints, _ = pixels.shape
    rig = _Rig(cameras, pixels)
    refined = points.double().reshape(-1, 3).clone()

    def solve(part: slice, rows: slice) -> None:
        rays = rig.rays(pixels[rows], 1 / scale[rows])
        start = refined[part].T.contiguous()
        solution, _, _ = _refine(rig, rays, rays.weights.square(), start, steps)
        refined[part] = solution.T

    _by_chunks(pixels, solve)
    return refined.reshape(frames, keypoints, 3)


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
    frames, _, keypoints, _ = pixels.shape
    rig = _Rig(cameras, pixels)
    normal = torch.empty(frames * keypoints, 3, 3, dtype=torch.float64, device=pixels.device)
    gradient = torch.empty(frames * keypoints, 3, dtype=torch.float64, device=pixels.device)

    def solve(part: slice, rows: slice) -> None:
        rays = rig.rays(pixels[rows], 1 / scale[rows])
        start = points.reshape(-1, 3)[part].double().T.contiguous()
        upper, slope, _ = rig.linearise(rays, rays.weights.square(), start)
        gradient[part] = slope.T.double()
        for entry, (row, column) in zip(upper, zip(_ROWS_3, _COLUMNS_3, strict=True), strict=True):
            normal[part, row, column] = normal[part, column, row] = entry.double()

    _by_chunks(pixels, solve)
    return normal.reshape(frames, keypoints, 3, 3), gradient.reshape(frames, keypoints, 3)


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


class _Rays(NamedTuple):
    """Detections of a chunk of points, each (view, point). Missing ones are 0."""

    x: Tensor  # undistorted, at depth 1
    y: Tensor
    pixel_x: Tensor  # as detected, pixels
    pixel_y: Tensor
    weights: Tensor
    counts: Tensor  # bool: has a direction and a weight
    detected: Tensor  # bool

    def select(self, index: Tensor) -> "_Rays":
        return _Rays(*(values[:, index] for values in self))


class _Errors(NamedTuple):
    """Reprojection errors, with distortion, of a chunk of points."""

    squared: Tensor  # (view, point), squared pixels
    depth: Tensor  # (view, point)
    cost: Tensor  # (point,): negative log-likelihood


class _Rig:
    """The numbers of the cameras that the solvers use, in the precision of the detections.

    Points are kept as (3, point) and what belongs to views as (view, point): every coordinate is one contiguous row.
    """

    def __init__(self, cameras: Cameras, pixels: Tensor):
        dtype, device = pixels.dtype, pixels.device
        self.cameras = cameras.to(device)
        p = torch.cat([self.cameras.R, self.cameras.t[..., None]], -1).double()  # (V, 3, 4)
        views = len(p)
        self.centre = self.cameras.centre.to(dtype)
        self.focal = self.cameras.focal.to(dtype)
        self.lens = Lens(self.cameras.distortion, dtype, device)
        self.projection = p.transpose(0, 1).reshape(3 * views, 4).to(dtype)  # rows of x, then of y, then of z
        p1, p2, p3 = p.unbind(1)

        def products(a: Tensor, b: Tensor) -> Tensor:
            return a[:, _ROWS_4] * b[:, _COLUMNS_4]  # (V, 10)

        self.forms = torch.cat(
            [
                products(p3, p3),
                -products(p3, p1) - products(p1, p3),
                -products(p3, p2) - products(p2, p3),
                products(p1, p1) + products(p2, p2),
            ]
        ).T.contiguous()  # (10, 4 V)

        # R^T M R and R^T h of all views, summed, are linear in the entries of M (upper triangle) and h.
        r = self.cameras.R.to(dtype)
        sandwich = r[:, _ROWS_3][..., _ROWS_3] * r[:, _COLUMNS_3][..., _COLUMNS_3]
        sandwich = sandwich + r[:, _COLUMNS_3][..., _ROWS_3] * r[:, _ROWS_3][..., _COLUMNS_3]  # (V, 6 of M, 6)
        diagonal = torch.tensor([a == b for a, b in zip(_ROWS_3, _COLUMNS_3, strict=True)], device=device)
        sandwich = torch.where(diagonal[:, None], sandwich / 2, sandwich)
        self.rotate_matrix = sandwich.transpose(0, 1).reshape(6 * views, 6).T.contiguous()  # (6, 6 V)
        self.rotate_vector = r.transpose(0, 1).reshape(3 * views, 3).T.contiguous()  # (3, 3 V)

    def rays(self, pixels: Tensor, weights: Tensor | None) -> _Rays:
        """Take detections (frame, view, keypoint, 2) and weights (frame, view, keypoint) apart, and undistort."""
        views = len(self.focal)
        pixel_x, pixel_y = pixels.permute(3, 1, 0, 2).reshape(2, views, -1).unbind(0)
        detected = pixel_x.isfinite() & pixel_y.isfinite()
        x, y = self.lens.undistort(
            (pixel_x - self.centre[:, :1]) / self.focal[:, :1], (pixel_y - self.centre[:, 1:]) / self.focal[:, 1:]
        )
        counts = x.isfinite()
        if weights is None:
            weight = counts.to(pixels.dtype)
        else:
            weight = weights.permute(1, 0, 2).reshape(views, -1).to(pixels.dtype)
            counts &= (weight > 0) & (weight < torch.inf)
            weight = torch.where(counts, weight, 0.0)
        return _Rays(
            torch.where(counts, x, 0.0),
            torch.where(counts, y, 0.0),
            torch.where(detected, pixel_x, 0.0),
            torch.where(detected, pixel_y, 0.0),
            weight,
            counts,
            detected,
        )

    def solve_linear(self, x: Tensor, y: Tensor, squared_weights: Tensor) -> Tensor:
        """Solve the DLT: points (3, point) float64 from (view, point)."""
        views, points = x.shape
        moments = torch.empty(4, views, points, dtype=torch.float64, device=x.device)
        moments[3] = squared_weights
        torch.mul(moments[3], x, out=moments[1])
        torch.mul(moments[3], y, out=moments[2])
        torch.mul(moments[1], x, out=moments[0]).addcmul_(moments[2], y)
        a, b, c, u, d, e, v, f, w, _ = (self.forms @ moments.reshape(4 * views, points)).unbind(0)
        return _solve_symmetric((a, b, c, d, e, f), (-u, -v, -w))

    def project(self, solution: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give x and y at depth 1, and the depth, each (view, point), of points (3, point)."""
        homogeneous = torch.cat([solution, torch.ones_like(solution[:1])]).to(self.projection.dtype)
        x, y, depth = (self.projection @ homogeneous).reshape(3, -1, solution.shape[1]).unbind(0)
        return x / depth, y / depth, depth

    def depth(self, solution: Tensor) -> Tensor:
        views = len(self.focal)
        third = self.projection[2 * views :]
        return torch.addmm(third[:, 3:], third[:, :3], solution.to(third.dtype))

    def reweight(self, rays: _Rays, information: Tensor, solution: Tensor) -> Tensor:
        """Solve the DLT with the Student t weights of the errors at `solution`."""
        x, y, depth = self.project(solution)
        squared = self.squared_error(rays, x, y) * information
        return self.solve_linear(rays.x, rays.y, t_weight(squared) * information / (depth * depth))

    def squared_error(self, rays: _Rays, x: Tensor, y: Tensor) -> Tensor:
        """Give squared distances (view, point) in pixels, as if there were no distortion."""
        error_x, error_y = (x - rays.x) * self.focal[:, :1], (y - rays.y) * self.focal[:, 1:]
        return (error_x * error_x).addcmul_(error_y, error_y)

    def errors(self, rays: _Rays, information: Tensor, solution: Tensor) -> _Errors:
        """Give the reprojection errors with distortion at `solution`."""
        u, v, depth = self.project(solution)
        x, y = distort_with_slopes(u, v, self.lens.coefficients)[:2]
        error_x, error_y = self.pixel_errors(rays, x, y)
        squared = (error_x * error_x).addcmul_(error_y, error_y)
        return _Errors(squared, depth, t_cost(squared * information).sum(0))

    def pixel_errors(self, rays: _Rays, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (
            torch.addcmul(self.centre[:, :1] - rays.pixel_x, x, self.focal[:, :1]),
            torch.addcmul(self.centre[:, 1:] - rays.pixel_y, y, self.focal[:, 1:]),
        )

    def linearise(self, rays: _Rays, information: Tensor, solution: Tensor) -> tuple[Tensor, Tensor, _Errors]:
        """Give the normal matrix J^T W J (6, point), the gradient J^T W r (3, point) and the errors at `solution`."""
        u, v, depth = self.project(solution)
        x, y, dxdx, dxdy, dydy = distort_with_slopes(u, v, self.lens.coefficients)
        error_x, error_y = self.pixel_errors(rays, x, y)
        squared = (error_x * error_x).addcmul_(error_y, error_y)
        standardised = squared * information

        # Pixels by the camera's coordinates: J = F D [1 0 -u; 0 1 -v] / depth, with F the focal lengths and D the
        # slopes of the distortion. J^T W J in these coordinates has the entries s, with D F^2 D w / depth^2 its
        # upper left part.
        fx, fy = self.focal[:, :1], self.focal[:, 1:]
        weight = t_weight(standardised) * information / depth
        weighted = weight / depth
        ax, ay = dxdx * fx, dxdy * fx
        bx, by = dxdy * fy, dydy * fy
        s11 = weighted * torch.addcmul(ax * ax, bx, bx)
        s12 = weighted * torch.addcmul(ax * ay, bx, by)
        s22 = weighted * torch.addcmul(ay * ay, by, by)
        s13 = torch.addcmul(s11 * u, s12, v).neg_()
        s23 = torch.addcmul(s12 * u, s22, v).neg_()
        s33 = torch.addcmul(s13 * u, s23, v).neg_()
        wx, wy = weight * error_x, weight * error_y
        h1, h2 = torch.addcmul(ax * wx, bx, wy), torch.addcmul(ay * wx, by, wy)
        h3 = torch.addcmul(h1 * u, h2, v).neg_()
        normal = self.rotate_matrix @ torch.cat([s11, s12, s13, s22, s23, s33])
        gradient = self.rotate_vector @ torch.cat([h1, h2, h3])
        return normal, gradient, _Errors(squared, depth, t_cost(standardised).sum(0))


def _by_chunks(pixels: Tensor, solve: Callable[[slice, slice], None]) -> None:
    """Call `solve` with the points and the frames of every chunk, several at once on a processor with several cores.

    Every thread runs its own chunk alone: operations on so few numbers are not worth splitting, and threads that wait
    for each other after each of them stand still on a machine that has other work.
    """
    frames, _, keypoints, _ = pixels.shape
    on_cpu = pixels.device.type == "cpu"
    size = max(1, _POINTS_PER_CHUNK // keypoints if on_cpu else frames)
    rows = [slice(start, min(start + size, frames)) for start in range(0, frames, size)]
    parts = [slice(keypoints * chunk.start, keypoints * chunk.stop) for chunk in rows]
    threads = torch.get_num_threads()
    if not on_cpu or threads == 1:
        for part, chunk in zip(parts, rows, strict=True):
            solve(part, chunk)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(solve, parts, rows))
    finally:
        torch.set_num_threads(threads)


def _search(rig: _Rig, rays: _Rays, information: Tensor, solution: Tensor) -> None:
    """Solve points with suspicious views from starts that leave one of these out; better ones replace `solution`."""

    def evaluate(rays: _Rays, information: Tensor, solution: Tensor) -> tuple[Tensor, Tensor]:
        x, y, depth = rig.project(solution)
        standardised = rig.squared_error(rays, x, y) * information
        return standardised, torch.where(((depth <= 0) & rays.counts).any(0), torch.inf, t_cost(standardised).sum(0))

    standardised, cost = evaluate(rays, information, solution)
    suspicious = (standardised > _SUSPICIOUS_FROM) & (rays.counts.sum(0) > 2)
    view, point = suspicious.nonzero(as_tuple=True)
    if not len(point):
        return
    rays, information = rays.select(point), information[:, point]
    start = torch.arange(len(point), device=point.device)
    without = information.clone()
    without[view, start] = 0
    candidates = rig.solve_linear(rays.x, rays.y, without)
    for _ in range(_REWEIGHTINGS_OF_SEARCH):
        candidates = rig.reweight(rays, information, candidates)
    _, costs = evaluate(rays, information, candidates)
    costs_of_views = torch.full_like(standardised, torch.inf)
    costs_of_views[view, point] = costs.nan_to_num(nan=torch.inf)
    lowest, best_view = costs_of_views.min(0)
    better = (best_view[point] == view) & (lowest < cost)[point]
    solution[:, point[better]] = candidates[:, better]


def _refine(
    rig: _Rig, rays: _Rays, information: Tensor, solution: Tensor, steps: int
) -> tuple[Tensor, Tensor, _Errors]:
    """Levenberg-Marquardt: returns the points, their last normal matrix (6, point) and their errors.

    A step that raises the cost of a point is not taken.
    """
    damping = torch.full_like(solution[0], 1e-6)
    for _ in range(steps):
        normal, gradient, errors = rig.linearise(rays, information, solution)
        a, b, c, d, e, f = normal.double().unbind(0)
        more = 1 + damping
        matrix = (a * more, b, c, d * more, e, f * more)
        candidate = solution - _solve_symmetric(matrix, gradient.double().unbind(0))
        new = rig.errors(rays, information, candidate)
        better = new.cost < errors.cost
        solution = torch.where(better, candidate, solution)
        errors = _Errors(*(torch.where(better, a, b) for a, b in zip(new, errors, strict=True)))
        damping = torch.where(better, damping / 10, damping * 100).clamp(1e-9, 1e9)
    return solution, normal, errors


def _cofactors(matrix: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Give the cofactors (upper triangle) and the determinant of symmetric 3x3 matrices, given by upper triangle."""
    a, b, c, d, e, f = matrix
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    return cofactors, a * cofactors[0] + b * cofactors[1] + c * cofactors[2]


def _solve_symmetric(matrix: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> Tensor:
    """Solve symmetric 3x3 systems (3, point) by Cramer's rule."""
    (a, b, c, d, e, f), determinant = _cofactors(matrix)
    u, v, w = right
    return torch.stack([a * u + b * v + c * w, b * u + d * v + e * w, c * u + e * v + f * w]).div_(determinant)


def _inverse(matrix: Tensor) -> Tensor:
    """Invert symmetric 3x3 matrices (6, point); returns all nine entries (9, point)."""
    (a, b, c, d, e, f), determinant = _cofactors(matrix.double().unbind(0))
    return torch.stack([a, b, c, b, d, e, c, e, f]).div_(determinant)

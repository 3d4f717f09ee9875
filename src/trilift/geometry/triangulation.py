"""3D points from their images in several views."""

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, project, world_to_camera

# Upper triangle of a symmetric 4x4 matrix, row by row.
_ROWS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3)
_COLUMNS = (0, 1, 2, 3, 1, 2, 3, 2, 3, 3)


def triangulate(cameras: Cameras, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Triangulate by the weighted direct linear transform (DLT).

    Parameters
    ----------
    cameras
        The cameras.
    points
        (frame, view, keypoint, 2): undistorted, normalised (see `trilift.geometry.cameras.to_normalised`).
    weights
        (frame, view, keypoint): how much a view counts, from 0 on. A missing point has weight 0 or is NaN.

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
    """
    points, weights = points.double(), weights.double()
    counts = (weights > 0) & points.isfinite().all(-1)  # (F, V, J)
    x, y = torch.where(counts.unsqueeze(-1), points, 0.0).unbind(-1)
    squared = torch.where(counts, weights, 0.0).square()
    moments = torch.stack([squared * (x * x + y * y), squared * x, squared * y, squared], -1)  # (F, V, J, 4)

    p = torch.cat([cameras.R, cameras.t[..., None]], -1).double()  # (V, 3, 4)
    p1, p2, p3 = p.unbind(1)

    def products(a: Tensor, b: Tensor) -> Tensor:
        return a[:, _ROWS] * b[:, _COLUMNS]  # (V, 10)

    forms = torch.stack(
        [
            products(p3, p3),
            -products(p3, p1) - products(p1, p3),
            -products(p3, p2) - products(p2, p3),
            products(p1, p1) + products(p2, p2),
        ],
        1,
    )  # (V, 4, 10)
    frames, views, keypoints, _ = moments.shape
    normal = moments.permute(0, 2, 1, 3).reshape(frames * keypoints, views * 4) @ forms.reshape(views * 4, 10)
    solution = _solve(normal).reshape(frames, keypoints, 3)
    views_used = counts.sum(1)
    behind = (world_to_camera(cameras, solution)[..., 2] <= 0) & counts  # (F, V, J)
    found = (views_used >= 2) & ~behind.any(1)
    return torch.where(found.unsqueeze(-1), solution, torch.nan), views_used.to(torch.int8)


def _solve(normal: Tensor) -> Tensor:
    """Minimise the quadratic forms (point, 10) over X = (x, y, z, 1), by Cramer's rule."""
    a, b, c, u, d, e, v, f, w, _ = normal.unbind(-1)  # [[a b c u] [b d e v] [c e f w] [. . . .]]
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    ca, cb, cc, cd, ce, cf = cofactors
    determinant = a * ca + b * cb + c * cc
    return -torch.stack([ca * u + cb * v + cc * w, cb * u + cd * v + ce * w, cc * u + ce * v + cf * w], -1) / (
        determinant.unsqueeze(-1)
    )


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

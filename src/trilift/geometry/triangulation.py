"""3D points from their images in several views.

`triangulate` is the weighted direct linear transform (DLT), `triangulate_robust` the maximum-likelihood point under
heavy-tailed errors of a known scale. Both take any number of views from two, with detections missing anywhere. They
run on the processor, in compiled loops (`trilift.geometry.kernels`), wherever their arguments are.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trilift.geometry import kernels
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.chunks import (
    COVARIANCE_FACTOR,
    DEGREES_OF_FREEDOM,
    REJECTED_FROM,
    Chunk,
    Memory,
    Rig,
    by_chunks,
    search,
)


class Solution(NamedTuple):
    """Triangulated points and what is known about them.

    Attributes
    ----------
    poses
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

    poses: Tensor
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
    poses : Tensor
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
    >>> poses, views_used = triangulate(cameras, pixels, confidence)          # doctest: +SKIP
    """
    rig = Rig(cameras, pixels)
    frames, views, keypoints, _ = rig.pixels.shape
    counted = np.broadcast_to(np.ones((), rig.dtype), (frames, views, keypoints))
    if weights is not None:
        counted = rig.take(weights)
    poses, views_used = np.empty((frames, keypoints, 3)), np.empty((frames, keypoints), np.int8)

    def solve(rows: slice, memory: Memory) -> None:
        chunk = Chunk.of_frames(rig, memory, rig.pixels[rows], np.ascontiguousarray(counted[rows]))
        solution = chunk.solve_linear(chunk.information)
        used, behind = chunk.count_views(solution)
        solution[:, (used < 2) | behind] = np.nan
        poses[rows] = chunk.by_frame(solution, poses[rows].shape)
        views_used[rows] = chunk.by_frame(used, views_used[rows].shape)

    by_chunks(rig, solve)
    return rig.give(poses), rig.give(views_used)


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
    Gauss-Newton step on the reprojection error with distortion ends it.
    The covariance is the inverse of the weighted normal matrix of that step, times a factor.
    """
    rig = Rig(cameras, pixels)
    frames, views, keypoints, _ = rig.pixels.shape
    scale_of = rig.take(scale)
    poses, covariance = np.empty((frames, keypoints, 3)), np.empty((frames, keypoints, 9), rig.dtype)
    error, inlier = np.empty((frames, views, keypoints), rig.dtype), np.empty((frames, views, keypoints), np.bool_)

    def solve(rows: slice, memory: Memory) -> None:
        chunk = Chunk.of_scales(rig, memory, rig.pixels[rows], scale_of[rows])
        solution = chunk.solve_linear(chunk.information)
        solution = chunk.solve_linear(chunk.reproject(solution)[1])
        if views > 2:
            search(chunk, solution)
        refined = chunk.refine(solution)
        kernels.write(
            refined.points,
            refined.inverse,
            chunk.information,
            *refined.errors,
            REJECTED_FROM,
            COVARIANCE_FACTOR,
            (poses[rows], covariance[rows], error[rows], inlier[rows]),
        )

    by_chunks(rig, solve)
    covariance = covariance.reshape(frames, keypoints, 3, 3)
    return Solution(*(rig.give(values) for values in (poses, covariance, error, inlier)))


def triangulate_without(cameras: Cameras, pixels: Tensor, scale: Tensor, view: int) -> Solution:
    """Triangulate as `triangulate_robust` does, one view left out; its errors against the others are given too."""
    others = scale.clone()
    others[:, view] = torch.inf
    return triangulate_robust(cameras, pixels, others)


def linearise(cameras: Cameras, pixels: Tensor, scale: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Expand the negative log-likelihood of points around them, to second order.

    Parameters
    ----------
    cameras
        The cameras.
    pixels, scale
        As in `triangulate_robust`.
    poses
        (frame, keypoint, 3), metres, finite.

    Returns
    -------
    normal : Tensor
        (frame, keypoint, 3, 3) float64: J^T W J, with J the derivative of the projections with distortion and W the
        weights of the Student t over the squared scales. 0 where nothing was detected.
    gradient : Tensor
        (frame, keypoint, 3) float64: J^T W r.
    """
    rig = Rig(cameras, pixels)
    scale_of = rig.take(scale)
    at = poses.double().cpu().numpy()
    normal, gradient = np.empty((*at.shape, 3)), np.empty(at.shape)

    def solve(rows: slice, memory: Memory) -> None:
        chunk = Chunk.of_scales(rig, memory, rig.pixels[rows], scale_of[rows])
        upper, slope = chunk.linearise(chunk.take_points(at[rows]))
        normal[rows] = chunk.by_frame(upper[[0, 1, 2, 1, 3, 4, 2, 4, 5]], normal[rows].shape)
        gradient[rows] = chunk.by_frame(slope, gradient[rows].shape)

    by_chunks(rig, solve)
    return rig.give(normal), rig.give(gradient)


def reprojection_error(cameras: Cameras, poses: Tensor, pixels: Tensor) -> Tensor:
    """Measure how far the projections of points lie from their detections.

    Parameters
    ----------
    cameras
        The cameras.
    poses
        (frame, keypoint, 3), metres, world frame.
    pixels
        (frame, view, keypoint, 2), as detected (distorted).

    Returns
    -------
    Tensor
        (frame, view, keypoint), pixels; NaN where the point or the detection is missing.
    """
    return (project(cameras, poses.double()) - pixels.double()).norm(dim=-1)

"""Single cameras fitted to what the other views see, with covariances."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, distort_with_slopes
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.rig.derivatives import changed, linearise
from trilift.geometry.triangulation import t_cost, t_weight, triangulate_without

_NEAR_M = 0.15  # keypoints closer to each other than this share their bias
_MEDIAN_OF_SQUARED_NORM = 2 * math.log(2)  # of two standard normal coordinates


@dataclass(frozen=True)
class Camera:
    """One camera, of which pose and focal length can be changed.

    Its seven parameters are those of `trilift.geometry.rig.derivatives`.
    """

    K: Tensor
    distortion: Tensor
    R: Tensor
    t: Tensor

    @classmethod
    def of(cls, cameras: Cameras, view: int) -> "Camera":
        return cls(cameras.K[view], cameras.distortion[view], cameras.R[view], cameras.t[view])

    def into(self, cameras: Cameras, view: int) -> Cameras:
        """Put this camera in the place of another."""
        replaced = {}
        for name in ("K", "distortion", "R", "t"):
            values = getattr(cameras, name).clone()
            values[view] = getattr(self, name)
            replaced[name] = values
        return Cameras(**replaced)

    @property
    def focal(self) -> float:
        return float(self.K[0, 0] + self.K[1, 1]) / 2

    @property
    def alone(self) -> Cameras:
        """A rig of this camera."""
        return Cameras(self.K[None], self.distortion[None], self.R[None], self.t[None])

    def changed(self, parameters: Tensor) -> "Camera":
        """Change pose and focal length by the parameters (7,)."""
        return Camera.of(changed(self.alone, parameters[None]), 0)

    def depth(self, points: Tensor) -> Tensor:
        """Depths of world points (..., 3)."""
        return points @ self.R[2] + self.t[2]

    def project(self, points: Tensor) -> Tensor:
        """Project world points (..., 3) into the image: (..., 2) px, distorted."""
        x, y, z = (points @ self.R.T + self.t).unbind(-1)
        u, v, *_ = distort_with_slopes(x / z, y / z, self.distortion.unbind(-1))
        return torch.stack([u * self.K[0, 0], v * self.K[1, 1]], -1) + self.K[:2, 2]

    def linearise(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project world points (..., 3); also give the derivatives by the parameters and by the points.

        Returns
        -------
        tuple of Tensor
            (..., 2) px, (..., 2, 7), (..., 2, 3) px/m. The displacement is taken in the axes that the camera has now.
        """
        pixels, by_camera, by_point, _ = linearise(self.alone, points.reshape(1, -1, 3))
        shape = points.shape[:-1]
        return pixels.reshape(*shape, 2), by_camera.reshape(*shape, 2, 7), by_point.reshape(*shape, 2, 3)


@dataclass(frozen=True)
class Refit:
    """A camera refitted to the points of the others.

    Attributes
    ----------
    camera
        The refitted one.
    parameters
        (7,), see `Camera`; 0 where not free.
    covariance
        Of the free parameters.
    shift
        How far the image of the person moved, m at the person.
    bias
        What is left of the bias of the detections, m at the person.
    error, error_before
        Median distance of the detections from the points of the others, px.
    """

    camera: Camera
    parameters: Tensor
    covariance: Tensor
    shift: float
    bias: float
    error: float
    error_before: float
    depth: float


class View:
    """The detections of one view and the points of the others."""

    block = 20
    """Number of successive frames over which errors are taken as correlated."""

    # Keeps parameters that the points do not determine near the calibration: rad, distances of the person, relative.
    prior = (0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.15)

    def __init__(self, cameras: Cameras, pixels: Tensor, scale: Tensor, view: int):
        solution = triangulate_without(cameras, pixels, scale, view)
        self.camera = Camera.of(cameras, view)
        points, own = solution.poses, scale[:, view]
        depth = self.camera.depth(points)
        self.counts = points.isfinite().all(-1) & own.isfinite() & (depth > 0)  # (F, J)
        self.keypoint = self.counts.nonzero()[:, 1]
        self.points, self.pixels, self.scale = points[self.counts], pixels[:, view][self.counts], own[self.counts]
        self.enough = len(self.points) >= 100
        if not self.enough:
            return
        self.depth = float(depth[self.counts].median())
        self.covariance = solution.covariance.double()[self.counts]
        _, _, by_point = self.camera.linearise(self.points)
        spread = by_point @ self.covariance @ by_point.mT
        self.precision = torch.linalg.inv(spread + torch.diag_embed(self.scale.square()[:, None].expand(-1, 2)))
        self.alike = alike(points)

    def refit(self, free: range, original: Camera | None = None, steps: int = 12) -> Refit:
        """Refit the parameters `free` of the camera (or of the one given), the others as they are."""
        calibrated = original or self.camera
        columns = list(free)
        unit = [1.0] * 3 + [self.depth] * 3 + [1.0]
        prior = torch.tensor([1 / (self.prior[i] * unit[i]) ** 2 for i in columns]).to(self.points)
        camera, total = calibrated, torch.zeros(7).to(self.points)
        start = camera.project(self.points)
        lowest = self._mean_cost(camera)
        for _ in range(steps):
            residual, weights, jacobian = self._linearise(camera)
            jacobian = jacobian[..., columns]
            weighted = (self.precision @ jacobian * weights[:, None, None]).flatten(0, 1)  # (2 N, P)
            normal = weighted.T @ jacobian.flatten(0, 1) + torch.diag(prior)
            gradient = weighted.T @ residual.flatten() - prior * total[columns]
            step = _solve_scaled(normal, gradient)
            total[columns] += step
            camera = calibrated.changed(total)
            # Newton's step may be too long where the points determine the parameters badly.
            cost, halvings = self._mean_cost(camera), 0
            while not cost < lowest and halvings < 4:
                step, halvings = step / 2, halvings + 1
                total[columns] -= step
                camera = calibrated.changed(total)
                cost = self._mean_cost(camera)
            lowest = min(cost, lowest)
            if halvings == 4 or float(step @ normal @ step) < 0.1:
                break
        residual, weights, jacobian = self._linearise(camera)
        covariance, bias = self._covariance(residual, weights, jacobian[..., columns], prior)
        metres = self.depth / self.camera.focal
        end = camera.project(self.points)
        return Refit(
            camera=camera,
            parameters=total,
            covariance=covariance,
            shift=float((end - start).norm(dim=-1).median()) * metres,
            bias=bias * metres,
            error=float((self.pixels - end).norm(dim=-1).median()),
            error_before=float((self.pixels - start).norm(dim=-1).median()),
            depth=self.depth,
        )

    def _mean_cost(self, camera: Camera) -> float:
        """Robust cost of a camera, whatever the size of the errors."""
        residual = self.pixels - camera.project(self.points)
        squared = ((self.precision @ residual[..., None])[..., 0] * residual).sum(-1)
        inflation = squared.median() / _MEDIAN_OF_SQUARED_NORM
        return float(robust_cost(squared / inflation).mean() + 2 * inflation.log())

    def _linearise(self, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
        """Residuals (N, 2), weights (N,) and derivatives by the parameters (N, 2, 7) of a camera."""
        projected, _, by_point = camera.linearise(self.points)
        residual = self.pixels - projected
        pull = (self.precision @ residual[..., None])[..., 0]
        squared = (pull * residual).sum(-1)
        inflation = max(float(squared.median()) / _MEDIAN_OF_SQUARED_NORM, 0.04)
        weights = t_weight(squared / inflation)
        # The derivatives are taken at the points that this view has a say in: at the points of the other views alone
        # their errors would correlate with the residuals and bias the fit (toward too long a focal length).
        pull = (by_point * (pull * weights.clamp(max=1)[:, None])[..., None]).sum(-2)  # (N, 3)
        _, jacobian, _ = camera.linearise(self.points + (self.covariance * pull[:, None]).sum(-1))
        return residual, weights / inflation, jacobian

    def _covariance(self, residual: Tensor, weights: Tensor, jacobian: Tensor, prior: Tensor) -> tuple[Tensor, float]:
        """Covariance of the parameters, and the bias left (px, root mean square of a coordinate)."""
        precision = self.precision * weights[:, None, None]
        weighted = jacobian.mT @ precision
        keypoints = self.counts.shape[1]

        def by_keypoint(values: Tensor) -> Tensor:
            zeros = torch.zeros(keypoints, *values.shape[1:]).to(values)
            return zeros.index_add_(0, self.keypoint, values)

        sensitivity, total = by_keypoint(weighted), by_keypoint(precision)
        information = (weighted @ jacobian).sum(0)
        bias = torch.linalg.pinv(total) @ by_keypoint(precision @ residual[..., None])  # (J, 2, 1)
        share = total.diagonal(dim1=-2, dim2=-1).sum(-1)
        mean_square = float((share * bias.square().sum((-2, -1))).sum() / share.sum()) / 2
        unbiased = (residual - bias[self.keypoint, :, 0]) * (weights.sqrt() / self.scale)[:, None]
        noise = self._correlation(unbiased) * unbiased.square().mean()
        from_bias = torch.einsum("jpa,jk,kqa->pq", sensitivity, self.alike, sensitivity) * mean_square
        inverse = torch.linalg.inv(information + torch.diag(prior))
        covariance = inverse @ (from_bias + noise * information) @ inverse
        return covariance, math.sqrt(mean_square)

    def _correlation(self, values: Tensor) -> float:
        """By how much more the mean of values (N, 2) of a block of frames scatters than that of independent ones."""
        frames, keypoints = self.counts.shape
        dense = torch.full((frames, keypoints, 2), torch.nan).to(values)
        dense[self.counts] = values
        blocks = dense[: frames // self.block * self.block].reshape(-1, self.block, keypoints, 2)
        number = blocks.isfinite().sum(1)
        full = number > self.block // 2
        if not full.any():
            return float(self.block)
        scatter = (blocks.nanmean(1)[full].square() * number[full]).mean() / values.square().mean()
        return max(float(scatter), 1.0)


def alike(points: Tensor) -> Tensor:
    """Tell how far keypoints share a detector's bias (keypoint, keypoint), from points (frame, keypoint, 3), m."""
    distance = (points[:, :, None] - points[:, None]).norm(dim=-1).nanmedian(0).values
    return torch.exp(-0.5 * (distance.nan_to_num(torch.inf) / _NEAR_M).square()).fill_diagonal_(1.0)


def robust_cost(squared: Tensor) -> Tensor:
    """Twice the negative logarithm of the likelihood of errors of that squared standardised size."""
    return (DEGREES_OF_FREEDOM + 2) * t_cost(squared)


def squared_mahalanobis(residual: Tensor, covariance: Tensor) -> Tensor:
    """Squared size of residuals (..., 2) under covariances (..., 2, 2)."""
    x, y = residual.unbind(-1)
    a, b, d = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    return (d * x * x - 2 * b * x * y + a * y * y) / (a * d - b * b)


def _solve_scaled(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve with unknowns of very different units."""
    unit = matrix.diagonal().rsqrt()
    return unit * torch.linalg.solve(unit[:, None] * matrix * unit, unit * right)

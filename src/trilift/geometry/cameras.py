"""Pinhole cameras with Brown-Conrady distortion, in OpenCV's conventions.

Axes are x right, y down, z forward; ``x_camera = R x_world + t``; metres; distortion k1 k2 p1 p2 k3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Cameras:
    """The cameras of one capture.

    Attributes
    ----------
    K
        (view, 3, 3), pixels.
    distortion
        (view, 5).
    R
        (view, 3, 3).
    t
        (view, 3), metres.
    """

    K: Tensor
    distortion: Tensor
    R: Tensor
    t: Tensor

    @classmethod
    def from_arrays(cls, arrays: Mapping[Any, Any]) -> "Cameras":
        """Take the cameras from anything that holds arrays by these names, such as a capture."""
        return cls(*(torch.as_tensor(np.array(arrays[field.name], np.float64)) for field in fields(cls)))

    @classmethod
    def stack(cls, cameras: Sequence[Any]) -> "Cameras":
        """Stack single cameras, which have these fields without their first axis, such as `trilift.Camera`."""
        return cls.from_arrays({name: [getattr(camera, name) for camera in cameras] for name in cls.__annotations__})

    def __len__(self) -> int:
        return len(self.K)

    def __getitem__(self, views: Sequence[int] | Tensor) -> "Cameras":
        """Take some views, in that order."""
        return Cameras(*(getattr(self, field.name)[views] for field in fields(self)))

    def to(self, *args: Any) -> "Cameras":
        """Move to a device or data type, as `torch.Tensor.to` does."""
        return Cameras(*(getattr(self, field.name).to(*args) for field in fields(self)))

    @property
    def focal(self) -> Tensor:
        """Focal lengths (view, 2) in pixels."""
        return torch.stack([self.K[:, 0, 0], self.K[:, 1, 1]], -1)

    @property
    def positions(self) -> Tensor:
        """Where the cameras stand (view, 3), in the world."""
        return -(self.R.mT @ self.t[..., None])[..., 0]

    @property
    def centre(self) -> Tensor:
        """Principal points (view, 2) in pixels."""
        return self.K[:, :2, 2]


def world_to_camera(cameras: Cameras, points: Tensor) -> Tensor:
    """Express world points in every camera's frame.

    Parameters
    ----------
    cameras
        The cameras.
    points
        (..., keypoint, 3), metres.

    Returns
    -------
    Tensor
        (..., view, keypoint, 3), metres.
    """
    return points.unsqueeze(-3) @ cameras.R.mT + cameras.t[:, None]


def camera_to_world(cameras: Cameras, points: Tensor) -> Tensor:
    """Express points (..., view, keypoint, 3) of every camera's frame in the world frame (same shape)."""
    return (points - cameras.t[:, None]) @ cameras.R


def distort(rays: Tensor, distortion: Tensor) -> Tensor:
    """Apply lens distortion to rays.

    Parameters
    ----------
    rays
        (..., view, keypoint, 2), at depth 1.
    distortion
        (..., view, 5): k1 k2 p1 p2 k3.

    Notes
    -----
    The model is OpenCV's (documentation of ``calib3d``, "Detailed Description").
    """
    k1, k2, p1, p2, k3 = distortion[..., None, :].unbind(-1)
    x, y = rays.unbind(-1)
    r2 = torch.addcmul(x * x, y, y)
    # x radial + 2 p1 x y + p2 (r^2 + 2 x^2) is x (radial + 2 p1 y + 2 p2 x) + p2 r^2, and y likewise.
    common = 1 + r2 * torch.addcmul(k1, r2, torch.addcmul(k2, r2, k3)) + 2 * (p1 * y + p2 * x)
    return torch.stack([torch.addcmul(p2 * r2, x, common), torch.addcmul(p1 * r2, y, common)], -1)


def distort_with_slopes(x: Tensor, y: Tensor, coefficients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Apply lens distortion to rays and give its derivatives.

    Parameters
    ----------
    x, y
        Coordinates at depth 1, of any shape.
    coefficients
        k1 k2 p1 p2 k3, each broadcasting against the coordinates.

    Returns
    -------
    tuple of Tensor
        The distorted x and y, and the derivatives dx/dx, dx/dy (= dy/dx) and dy/dy.
    """
    k1, k2, p1, p2, k3 = coefficients
    xx, yy, xy = x * x, y * y, x * y
    r2 = xx + yy
    radial = 1 + r2 * torch.addcmul(k1, r2, torch.addcmul(k2, r2, k3))
    slope = 2 * torch.addcmul(k1, r2, torch.addcmul(2 * k2, r2, 3 * k3))  # derivative of `radial` by x over x
    p1x, p1y, p2x, p2y = 2 * p1 * x, 2 * p1 * y, 2 * p2 * x, 2 * p2 * y
    return (
        torch.addcmul(torch.addcmul(p1y * x, x, radial), p2, r2 + 2 * xx),
        torch.addcmul(torch.addcmul(p2x * y, y, radial), p1, r2 + 2 * yy),
        torch.addcmul(radial, slope, xx) + p1y + 3 * p2x,
        torch.addcmul(p1x, slope, xy) + p2y,
        torch.addcmul(radial, slope, yy) + 3 * p1y + p2x,
    )


def _squared_radius_of_fold(distortion: Tensor) -> Tensor:
    """Give the squared radius (view,) where the radial polynomial stops to grow; infinite where it never does."""
    k1, k2, _, _, k3 = distortion.detach().unbind(-1)
    # With u = r^2 the slope is 1 + 3 k1 u + 5 k2 u^2 + 7 k3 u^3; this matrix has the eigenvalues 1 / u of its zeros.
    companion = torch.diag_embed(torch.ones_like(distortion[:, :2]), -1)
    companion[:, 0] = -torch.stack([3 * k1, 5 * k2, 7 * k3], -1)
    inverse = torch.linalg.eigvals(companion)
    return 1 / torch.where(inverse.imag.abs() < 1e-6, inverse.real, 0.0).amax(-1).clamp(min=0)


class Lens:
    """Distortion of the cameras of a rig, with its inverse, on coordinates of one precision and device.

    Parameters
    ----------
    distortion
        (view, 5): k1 k2 p1 p2 k3.
    dtype, device
        Of the coordinates.

    Notes
    -----
    The inverse starts from a polynomial in the squared radius, fitted to the lens, so close that one step of Newton's
    method suffices nearly everywhere. The size of that step tells where it did not (its error is about the square of
    the step); only these points take more.
    """

    def __init__(self, distortion: Tensor, dtype: torch.dtype, device: torch.device):
        distortion = distortion.detach().double().cpu()
        fold = _squared_radius_of_fold(distortion)
        k1, k2, _, _, k3 = distortion[:, None].unbind(-1)
        # The fit reaches to an undistorted radius of 1 (45 degrees off the axis), or to just before the fold.
        radius = (0.97 * fold.sqrt()).clamp(max=1.0)
        r2 = (radius[:, None] * torch.linspace(0, 1, 101, dtype=torch.float64)).square()
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        q = r2 * radial.square()
        powers = (q / q[:, -1:]).unsqueeze(-1) ** torch.arange(1, 10)
        inverse = torch.linalg.pinv(powers) @ (1 / radial - 1).unsqueeze(-1)  # (V, 9, 1)
        self.inverse = inverse[..., 0].to(device, dtype)
        self.largest = q[:, -1:].to(device, dtype)
        self.fold = fold[:, None].to(device, dtype)
        self.coefficients = tuple(distortion.to(device, dtype)[:, None].unbind(-1))
        self._one = torch.ones((), dtype=dtype, device=device)
        self._close_enough = 1e-4 if dtype == torch.float32 else 1e-7

    def undistort(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Undistort coordinates (..., view, point) at depth 1; NaN where there is no undistorted point."""
        q = ((x * x + y * y) / self.largest).clamp_(max=1)
        *lower, factor = self.inverse.T[..., None].unbind(0)
        for coefficient in (*lower[::-1], self._one):
            factor = torch.addcmul(coefficient, factor, q)
        _, _, p1, p2, _ = self.coefficients
        ux, uy = x * factor, y * factor
        xx, yy, xy = ux * ux, uy * uy, 2 * ux * uy
        ux, uy = (  # without the tangential part
            torch.addcmul(ux, factor, p1 * xy + p2 * (3 * xx + yy), value=-1),
            torch.addcmul(uy, factor, p2 * xy + p1 * (3 * yy + xx), value=-1),
        )
        step_x, step_y = _newton_step(ux, uy, x, y, self.coefficients)
        ux, uy = ux + step_x, uy + step_y
        missed = torch.maximum(step_x.abs_(), step_y.abs_())
        far = missed >= self._close_enough
        if far.any():
            self._take_more_steps(far, ux, uy, x, y, missed)
        # Roots on the far side of the fold fulfil the equation too.
        found = (missed < self._close_enough) & (torch.addcmul(ux * ux, uy, uy) < self.fold)
        return torch.where(found, ux, torch.nan), torch.where(found, uy, torch.nan)

    def _take_more_steps(self, far: Tensor, ux: Tensor, uy: Tensor, x: Tensor, y: Tensor, missed: Tensor) -> None:
        """Improve the points that `far` names; ux, uy and missed change in place."""
        todo = far.nonzero(as_tuple=True)
        for _ in range(8):
            coefficients = tuple(c[todo[-2], 0] for c in self.coefficients)
            step_x, step_y = _newton_step(ux[todo], uy[todo], x[todo], y[todo], coefficients)
            ux[todo], uy[todo] = ux[todo] + step_x, uy[todo] + step_y
            missed[todo] = torch.maximum(step_x.abs(), step_y.abs())
            again = missed[todo] >= self._close_enough
            todo = tuple(index[again] for index in todo)
            if not len(todo[0]):
                break


def _newton_step(
    ux: Tensor, uy: Tensor, x: Tensor, y: Tensor, coefficients: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """Give Newton's step from (ux, uy) towards the point that is distorted to (x, y)."""
    distorted_x, distorted_y, dxdx, dxdy, dydy = distort_with_slopes(ux, uy, coefficients)
    error_x, error_y = x - distorted_x, y - distorted_y
    determinant = torch.addcmul(dxdx * dydy, dxdy, dxdy, value=-1)
    return (
        torch.addcmul(dydy * error_x, dxdy, error_y, value=-1).div_(determinant),
        torch.addcmul(dxdx * error_y, dxdy, error_x, value=-1).div_(determinant),
    )


def undistort(rays: Tensor, distortion: Tensor) -> Tensor:
    """Invert `distort`.

    Parameters
    ----------
    rays
        (..., view, keypoint, 2), distorted, at depth 1. Single precision gives single precision.
    distortion
        (view, 5): k1 k2 p1 p2 k3.

    Returns
    -------
    Tensor
        Same shape as `rays`. NaN where no undistorted point was found: polynomials of real lenses fold over
        far outside the image, and a point beyond the fold has no inverse.
    """
    lens = _lens(tuple(map(tuple, distortion.tolist())), rays.dtype, rays.device)
    return torch.stack(lens.undistort(*rays.unbind(-1)), -1)


@lru_cache(maxsize=64)
def _lens(distortion: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Lens:
    """Fitting an inverse takes longer than undistorting a frame."""
    return Lens(torch.tensor(distortion, dtype=torch.float64), dtype, device)


def to_rays(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Undo intrinsics and distortion: from pixels to rays.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (..., view, keypoint, 2).

    Returns
    -------
    Tensor
        Rays: undistorted, at depth 1; same shape.
    """
    centre, focal = (values.to(pixels.dtype)[:, None] for values in (cameras.centre, cameras.focal))
    return undistort((pixels - centre) / focal, cameras.distortion)


def project_camera_points(cameras: Cameras, points: Tensor) -> Tensor:
    """Project points given in the cameras' own frames.

    Parameters
    ----------
    cameras
        The cameras.
    points
        (..., view, keypoint, 3), metres.

    Returns
    -------
    Tensor
        (..., view, keypoint, 2), pixels, distorted; NaN for points that are not in front of the camera.
    """
    depth = points[..., 2:]
    rays = points[..., :2] / torch.where(depth > 0, depth, torch.nan)
    return distort(rays, cameras.distortion) * cameras.focal[:, None] + cameras.centre[:, None]


def project(cameras: Cameras, points: Tensor) -> Tensor:
    """Project world points (..., keypoint, 3) into every view: (..., view, keypoint, 2) pixels, distorted."""
    return project_camera_points(cameras, world_to_camera(cameras, points))

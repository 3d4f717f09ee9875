"""Pinhole cameras with Brown-Conrady distortion, in OpenCV's conventions.

Axes are x right, y down, z forward; ``x_camera = R x_world + t``; metres; distortion k1 k2 p1 p2 k3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
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

    def __len__(self) -> int:
        return len(self.K)

    def to(self, *args: Any) -> "Cameras":
        """Move to a device or data type, as `torch.Tensor.to` does."""
        return Cameras(*(getattr(self, field.name).to(*args) for field in fields(self)))

    @property
    def focal(self) -> Tensor:
        """Focal lengths (view, 2) in pixels."""
        return torch.stack([self.K[:, 0, 0], self.K[:, 1, 1]], -1)

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


def distort(points: Tensor, distortion: Tensor) -> Tensor:
    """Apply lens distortion to normalised image points.

    Parameters
    ----------
    points
        (..., view, keypoint, 2), at depth 1.
    distortion
        (view, 5): k1 k2 p1 p2 k3.

    Notes
    -----
    The model is OpenCV's (documentation of ``calib3d``, "Detailed Description").
    """
    k1, k2, p1, p2, k3 = distortion[:, None].unbind(-1)
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        -1,
    )


def _squared_radius_of_fold(distortion: Tensor) -> Tensor:
    """Give the squared radius (view,) where the radial polynomial stops to grow; infinite where it never does."""
    k1, k2, _, _, k3 = distortion.detach().unbind(-1)
    # With u = r^2 the slope is 1 + 3 k1 u + 5 k2 u^2 + 7 k3 u^3; this matrix has the eigenvalues 1 / u of its zeros.
    companion = torch.diag_embed(torch.ones_like(distortion[:, :2]), -1)
    companion[:, 0] = -torch.stack([3 * k1, 5 * k2, 7 * k3], -1)
    inverse = torch.linalg.eigvals(companion)
    return 1 / torch.where(inverse.imag.abs() < 1e-6, inverse.real, 0.0).amax(-1).clamp(min=0)


def undistort(points: Tensor, distortion: Tensor, steps: int = 5) -> Tensor:
    """Invert `distort` by Newton's method.

    Returns
    -------
    Tensor
        Same shape as `points`. NaN where no undistorted point was found: polynomials of real lenses fold over
        far outside the image, and a point beyond the fold has no inverse.
    """
    k1, k2, p1, p2, k3 = distortion[:, None].unbind(-1)
    undistorted = points
    for _ in range(steps):
        x, y = undistorted.unbind(-1)
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))  # derivative of `radial` by x is slope * x
        dxdx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        dydy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        dxdy = slope * x * y + 2 * p1 * x + 2 * p2 * y
        error_x, error_y = (distort(undistorted, distortion) - points).unbind(-1)
        determinant = dxdx * dydy - dxdy * dxdy
        undistorted = undistorted - torch.stack(
            [
                (dydy * error_x - dxdy * error_y) / determinant,
                (dxdx * error_y - dxdy * error_x) / determinant,
            ],
            -1,
        )
    missed = (distort(undistorted, distortion) - points).norm(dim=-1, keepdim=True)
    # Roots on the far side of the fold fulfil the equation too.
    radius = undistorted.square().sum(-1, keepdim=True)
    inside = radius < _squared_radius_of_fold(distortion)[:, None, None]
    return torch.where((missed < 1e-6) & inside, undistorted, torch.nan)


def to_normalised(cameras: Cameras, pixels: Tensor) -> Tensor:
    """Undo intrinsics and distortion.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (..., view, keypoint, 2).

    Returns
    -------
    Tensor
        Undistorted points at depth 1, same shape.
    """
    return undistort((pixels - cameras.centre[:, None]) / cameras.focal[:, None], cameras.distortion)


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
    normalised = points[..., :2] / torch.where(depth > 0, depth, torch.nan)
    return distort(normalised, cameras.distortion) * cameras.focal[:, None] + cameras.centre[:, None]


def project(cameras: Cameras, points: Tensor) -> Tensor:
    """Project world points (..., keypoint, 3) into every view: (..., view, keypoint, 2) pixels, distorted."""
    return project_camera_points(cameras, world_to_camera(cameras, points))

"""How pixels change with cameras and points.

The seven parameters of a camera are the rotation vector (rad) and the displacement of the centre (m), both in its own
axes, and the logarithm of the factor on the focal length.
"""

from dataclasses import replace

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras, distort_with_slopes

FOCAL = 6
"""Index of the parameter."""


def linearise(cameras: Cameras, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Project points into all views, with derivatives.

    Parameters
    ----------
    cameras
        The cameras.
    points
        (frame, keypoint, 3), m.

    Returns
    -------
    pixels : Tensor
        (frame, view, keypoint, 2), px, distorted.
    by_camera : Tensor
        (frame, view, keypoint, 2, 7): by rotation, displacement and the logarithm of the focal length.
    by_point : Tensor
        (frame, view, keypoint, 2, 3), px/m.
    depth : Tensor
        (frame, view, keypoint), m.
    """
    seen = points[:, None] @ cameras.R.mT + cameras.t[:, None]
    x, y, z = seen.unbind(-1)
    u, v = x / z, y / z
    du, dv, uu, uv, vv = distort_with_slopes(u, v, cameras.distortion[:, None].unbind(-1))
    focal = cameras.focal[:, None]  # (V, 1, 2)
    centred = torch.stack([du, dv], -1) * focal
    by_x = torch.stack([uu, uv], -1) * focal / z[..., None]
    by_y = torch.stack([uv, vv], -1) * focal / z[..., None]
    by_seen = torch.stack([by_x, by_y, -u[..., None] * by_x - v[..., None] * by_y], -1)
    # R' = exp(w) R: the point turns by w x seen.
    by_rotation = torch.linalg.cross(seen[..., None, :].expand_as(by_seen), by_seen, dim=-1)
    by_camera = torch.cat([by_rotation, -by_seen, centred[..., None]], -1)
    views = len(cameras)
    by_point = (by_seen.transpose(0, 1).reshape(views, -1, 3) @ cameras.R).reshape(views, len(points), -1, 2, 3)
    return centred + cameras.centre[:, None], by_camera, by_point.transpose(0, 1), z


def changed(cameras: Cameras, parameters: Tensor) -> Cameras:
    """Change poses and focal lengths by parameters (view, 7 or more)."""
    rotation = torch.linalg.matrix_exp(cross(parameters[:, :3]))
    K = cameras.K.clone()
    K[:, 0, 0] *= parameters[:, FOCAL].exp()
    K[:, 1, 1] *= parameters[:, FOCAL].exp()
    t = (rotation @ (cameras.t - parameters[:, 3:6])[..., None])[..., 0]
    return replace(cameras, K=K, R=rotation @ cameras.R, t=t)


def cross(vectors: Tensor) -> Tensor:
    """Matrices (..., 3, 3) that take the cross product with vectors (..., 3) from the left."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)

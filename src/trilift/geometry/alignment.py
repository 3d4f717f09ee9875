"""Rigid and similarity alignment of point sets."""

import torch
from torch import Tensor


def align(points: Tensor, onto: Tensor) -> Tensor:
    """Align point sets onto others by the best similarity: scale, rotation (no reflection) and translation.

    Parameters
    ----------
    points
        (..., keypoint, 3).
    onto
        (..., keypoint, 3). A keypoint that is NaN in either set does not count.

    Returns
    -------
    Tensor
        `points`, aligned; same shape.

    Notes
    -----
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    counts = (points + onto).sum(-1, keepdim=True).isfinite()
    number = counts.sum(-2, keepdim=True).clamp(min=1)
    a, b = torch.where(counts, points, 0.0), torch.where(counts, onto, 0.0)
    mean_a, mean_b = a.sum(-2, keepdim=True) / number, b.sum(-2, keepdim=True) / number
    a, b = (a - mean_a) * counts, (b - mean_b) * counts
    u, s, vt = torch.linalg.svd(a.mT @ b)
    sign = torch.linalg.det(u @ vt).sign()
    flip = torch.ones_like(s)
    flip[..., 2] = torch.where(sign < 0, -1.0, 1.0)
    rotation = (u * flip.unsqueeze(-2)) @ vt
    scale = (s * flip).sum(-1) / a.square().sum((-1, -2)).clamp(min=torch.finfo(a.dtype).tiny)
    return scale[..., None, None] * ((points - mean_a) @ rotation) + mean_b

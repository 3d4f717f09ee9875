"""The similarity that lays points onto others."""

from typing import NamedTuple

import torch
from torch import Tensor


class Similarity(NamedTuple):
    """Points p go to ``scale * rotation @ p + shift``.

    Attributes
    ----------
    scale, rotation, shift
        (...), (..., 3, 3) and (..., 3).
    """

    scale: Tensor
    rotation: Tensor
    shift: Tensor

    def place(self, points: Tensor) -> Tensor:
        """Move points (..., N, 3)."""
        return self.scale[..., None, None] * (points @ self.rotation.mT) + self.shift[..., None, :]


def similarity(points: Tensor, onto: Tensor, weight: Tensor | None = None) -> Similarity:
    """Find scale, rotation (no reflection) and shift that take points as near to others as can be.

    Parameters
    ----------
    points, onto
        (..., N, 3). A point that is NaN in either does not count.
    weight
        (..., N): how much the squared distance of each counts; by default all the same.

    Notes
    -----
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    counts = (points + onto).sum(-1, keepdim=True).isfinite()
    a, b = torch.where(counts, points, 0.0), torch.where(counts, onto, 0.0)
    share = counts.to(a.dtype) if weight is None else counts * weight[..., None]
    total = share.sum(-2, keepdim=True).clamp(min=torch.finfo(a.dtype).tiny)
    middle, goal = (share * a).sum(-2, keepdim=True) / total, (share * b).sum(-2, keepdim=True) / total
    a, b = (a - middle) * counts, (b - goal) * counts
    u, values, vt = torch.linalg.svd(b.mT @ (share * a))
    signs = torch.ones_like(values)
    signs[..., 2] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * signs.unsqueeze(-2)) @ vt
    size = (values * signs).sum(-1) / (share * a.square()).sum((-1, -2)).clamp(min=torch.finfo(a.dtype).tiny)
    return Similarity(size, rotation, (goal - size[..., None, None] * middle @ rotation.mT).squeeze(-2))

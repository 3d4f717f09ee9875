"""The essential matrix of two views, and the median that pairs of views are judged by."""

import numpy as np

Array = np.ndarray


def essential(R_one: Array, t_one: Array, R_other: Array, t_other: Array) -> Array:
    """Give E (..., 3, 3) with ``x_otherᵀ E x_one = 0`` for two views of one point (Hartley and Zisserman, 9.6)."""
    R = R_other @ R_one.swapaxes(-1, -2)
    t = t_other - (R @ t_one[..., None])[..., 0]
    return np.cross(t[..., None, :], R, axisb=-2, axisc=-2)  # of the columns


def lower_median(values: Array, fewest: int = 1) -> Array:
    """Take the lower median over the last axis; infinite where fewer numbers are known."""
    known = np.isfinite(values).sum(-1)
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), -1)
    middle = np.take_along_axis(ordered, np.maximum(known - 1, 0)[..., None] // 2, -1)[..., 0]
    return np.where(known >= fewest, middle, np.inf)

"""Compiled code for one detection in one view: lens, projection, ray."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


CX, CY, FX, FY, K1, K2, P1, P2, K3, LARGEST, FOLD, INVERSE = range(12)


NEAR = 0.05  # metres: nearer to a camera, and behind it, projections say nothing


# Not `nnan` and `ninf`: missing is NaN here, and what does not count has an infinite scale.
_LIBERTIES = {"reassoc", "contract", "arcp", "nsz", "afn"}


def compiled(function: Callable[..., Any]) -> Any:
    return njit(nogil=True, cache=True, error_model="numpy", fastmath=_LIBERTIES)(function)


def _inlined(function: Callable[..., Any]) -> Any:
    return njit(inline="always", error_model="numpy", fastmath=_LIBERTIES)(function)


@_inlined
def distortion_of(lens, view):
    return lens[view, K1], lens[view, K2], lens[view, P1], lens[view, P2], lens[view, K3]


@_inlined
def pose_of(projection, view):
    p = projection[view]
    first, second = (p[0, 0], p[0, 1], p[0, 2], p[0, 3]), (p[1, 0], p[1, 1], p[1, 2], p[1, 3])
    return first, second, (p[2, 0], p[2, 1], p[2, 2], p[2, 3])


@_inlined
def distort(u, v, coefficients, one):
    """Distort a point and give the slopes; what the caller does not use is not computed. `one` has the precision."""
    k1, k2, p1, p2, k3 = coefficients
    two, three = one + one, one + one + one
    xx, xy, yy = u * u, u * v, v * v
    r2 = xx + yy
    radial = one + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = two * (k1 + r2 * (two * k2 + three * k3 * r2))
    x = u * radial + two * p1 * xy + p2 * (r2 + two * xx)
    y = v * radial + p1 * (r2 + two * yy) + two * p2 * xy
    dxdx = radial + slope * xx + two * (p1 * v + three * p2 * u)
    dxdy = slope * xy + two * (p1 * u + p2 * v)
    dydy = radial + slope * yy + two * (three * p1 * v + p2 * u)
    return x, y, dxdx, dxdy, dydy


@_inlined
def _undistort_further(u, v, x, y, coefficients, one):
    """Take a step of Newton's method from (u, v) towards the point that is distorted to (x, y)."""
    at_x, at_y, dxdx, dxdy, dydy = distort(u, v, coefficients, one)
    per = one / (dxdx * dydy - dxdy * dxdy)
    return (dydy * (x - at_x) - dxdy * (y - at_y)) * per, (dxdx * (y - at_y) - dxdy * (x - at_x)) * per


@_inlined
def project(a, b, c, pose, one):
    """Give the coordinates at depth 1, and the depth, of a point in a view."""
    p, q, r = pose
    depth = r[0] * a + r[1] * b + r[2] * c + r[3]
    per = one / depth
    return (p[0] * a + p[1] * b + p[2] * c + p[3]) * per, (q[0] * a + q[1] * b + q[2] * c + q[3]) * per, depth


@compiled
def take_rays(pixels, weights, lens, x, y, px, py, information):
    """Undistort detections (frame, view, keypoint, 2) with weights (frame, view, keypoint).

    Fills x and y (undistorted, at depth 1), px and py (pixels) and information: the squared weight, or 0 where the
    detection is missing, has no undistorted point or no finite weight above 0.
    """
    frames, views, keypoints, _ = pixels.shape
    number = lens.dtype.type
    zero, one = number(0), number(1)
    two, three = number(2), number(3)
    close_enough = number(1e-4) if lens.itemsize == 4 else number(1e-7)
    for view in range(views):
        cx, cy, per_fx, per_fy = lens[view, CX], lens[view, CY], one / lens[view, FX], one / lens[view, FY]
        coefficients, per_largest, fold = distortion_of(lens, view), one / lens[view, LARGEST], lens[view, FOLD]
        p1, p2 = coefficients[2], coefficients[3]
        c1, c2, c3 = lens[view, INVERSE], lens[view, INVERSE + 1], lens[view, INVERSE + 2]
        c4, c5, c6 = lens[view, INVERSE + 3], lens[view, INVERSE + 4], lens[view, INVERSE + 5]
        c7, c8, c9 = lens[view, INVERSE + 6], lens[view, INVERSE + 7], lens[view, INVERSE + 8]
        of_x, of_y, of_px, of_py, of_information = x[view], y[view], px[view], py[view], information[view]
        i = 0
        for frame in range(frames):
            for keypoint in range(keypoints):
                of_px[i], of_py[i] = pixels[frame, view, keypoint, 0], pixels[frame, view, keypoint, 1]
                of_information[i] = weights[frame, view, keypoint]
                i += 1
        of_px[i:], of_py[i:], of_information[i:] = 0, 0, 0
        for i in range(len(of_x)):
            sx, sy = (of_px[i] - cx) * per_fx, (of_py[i] - cy) * per_fy
            q = (sx * sx + sy * sy) * per_largest
            q = q if q < one else one
            g = one + q * (c1 + q * (c2 + q * (c3 + q * (c4 + q * (c5 + q * (c6 + q * (c7 + q * (c8 + q * c9))))))))
            u, v = sx * g, sy * g
            xx, xy, yy = u * u, two * u * v, v * v  # now without the tangential part
            u, v = u - g * (p1 * xy + p2 * (three * xx + yy)), v - g * (p2 * xy + p1 * (three * yy + xx))
            step_x, step_y = _undistort_further(u, v, sx, sy, coefficients, one)
            u, v = u + step_x, v + step_y
            close = abs(step_x) + abs(step_y) < close_enough
            found = close & (u * u + v * v < fold)
            weight = of_information[i]
            counts = (weight > zero) & (weight < np.inf) & (sx == sx) & (sy == sy) & (found | (not close))
            of_x[i], of_y[i] = u if counts else zero, v if counts else zero
            squared = weight * weight if found else -weight * weight  # minus: one step was not enough
            of_information[i] = squared if counts else zero
        for i in range(len(of_x)):
            if of_information[i] < zero:
                sx, sy, u, v = (of_px[i] - cx) * per_fx, (of_py[i] - cy) * per_fy, of_x[i], of_y[i]
                found = False
                for _ in range(8):
                    step_x, step_y = _undistort_further(u, v, sx, sy, coefficients, one)
                    u, v = u + step_x, v + step_y
                    if abs(step_x) + abs(step_y) < close_enough:
                        found = u * u + v * v < fold
                        break
                of_x[i], of_y[i] = u if found else zero, v if found else zero
                of_information[i] = -of_information[i] if found else zero

"""Where a predicted pose stands: its size in metres and in the image tell how far away it is."""

import torch
from torch import Tensor


def place(poses: Tensor, rays: Tensor, confidence: Tensor) -> Tensor:
    """Find the root's position from which a pose of known size is seen as detected.

    Parameters
    ----------
    poses
        (..., joint, 3): metres, camera frame, root at 0.
    rays
        (..., joint, 2): detections, undistorted, at depth 1; NaN where missing.
    confidence
        (..., joint): their weights; 0 where missing.

    Returns
    -------
    Tensor
        (..., 3): position of the root in the camera's frame, metres. NaN with fewer than two detections, and where
        the best position is not in front of the camera.

    Notes
    -----
    A joint X of the pose, moved by T, is seen at ``x = (X_x + T_x) / (X_z + T_z)``, and so for y: two equations
    linear in T. They are solved in the least-squares sense, weighted by confidence, and a few times again with the
    weights of a Cauchy distribution of the joints' median error, so that a joint found elsewhere does not count. How
    large a person is cannot be seen from one view: who is 5 % taller than the pose stands 5 % farther away.

    Examples
    --------
    >>> root = place(lifter.predict(points, confidence), points, confidence)    # doctest: +SKIP
    """
    # One array for each coordinate: joints lie beside each other in memory.
    x, y = (c.contiguous() for c in rays.double().unbind(-1))
    pose = [c.contiguous() for c in poses.double().unbind(-1)]
    known = (x + y + sum(pose)).isfinite() & (confidence > 0)
    x, y, *pose = (torch.where(known, c, 0.0) for c in (x, y, *pose))
    weight = confidence = torch.where(known, confidence.double(), 0.0)
    for turn in range(_REWEIGHTINGS + 1):
        root = _least_squares(pose, x, y, weight)
        if turn < _REWEIGHTINGS:
            depth = pose[2] + root[2]
            off_x, off_y = (pose[0] + root[0]) / depth - x, (pose[1] + root[1]) / depth - y
            squared = torch.where(known, off_x * off_x + off_y * off_y, torch.nan)
            scale = squared.nanmedian(-1, keepdim=True).values.clamp(min=1e-18)
            weight = (confidence / (1 + squared / scale)).nan_to_num(0.0)
    found = (known.sum(-1) >= 2) & (root[2].squeeze(-1) > 0)
    return torch.where(found[..., None], torch.cat(root, -1), torch.nan)


_REWEIGHTINGS = 3


def _least_squares(pose: list[Tensor], x: Tensor, y: Tensor, weight: Tensor) -> list[Tensor]:
    # Rows (1, 0, -x) and (0, 1, -y), right sides x Z - X and y Z - Y.
    right_x, right_y = x * pose[2] - pose[0], y * pose[2] - pose[1]
    weighted_x, weighted_y = weight * x, weight * y
    total, of_x, of_y, a, b, c, squares = (
        terms.sum(-1, keepdim=True)
        for terms in (
            weight,
            weighted_x,
            weighted_y,
            weight * right_x,
            weight * right_y,
            -(weighted_x * right_x + weighted_y * right_y),
            weighted_x * x + weighted_y * y,
        )
    )
    # Eliminate T_x and T_y: what remains is the spread of the detections.
    spread = squares - (of_x * of_x + of_y * of_y) / total
    depth = (c + (of_x * a + of_y * b) / total) / spread
    return [(a + of_x * depth) / total, (b + of_y * depth) / total, depth]

"""Which axis of a calibration's world is up: calibrations leave that to whoever made them."""

import numpy as np

from trilift.skeletons import Skeleton


def upright(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Give the rotation that turns the axis along which people are upright to z.

    Parameters
    ----------
    poses
        (..., joint, 3), along the world's axes; NaN where missing.
    skeleton
        Has a thorax and a root.

    Returns
    -------
    numpy.ndarray
        (3, 3), of zeros and ones with signs: where z is up already, or nobody is seen, the identity.
    """
    trunks = poses[..., skeleton.index("thorax"), :] - poses[..., skeleton.root_index, :]
    known = trunks[np.isfinite(trunks).all(-1)]
    rotation = np.eye(3)
    if not len(known):
        return rotation
    mean = known.mean(0)
    axis = int(np.abs(mean).argmax())
    up = rotation[axis] * np.sign(mean[axis])
    right = rotation[0] if axis != 0 else rotation[1]
    return np.stack([right, np.cross(up, right), up])

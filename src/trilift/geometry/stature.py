"""How tall somebody is, told from poses."""

import numpy as np

from trilift.skeletons import H36M17, Skeleton, mapping

ANKLE_SHARE, SHOULDER_SHARE = 0.039, 0.818
"""How high ankles and shoulders are, in statures (Winter, "Biomechanics and Motor Control of Human Movement", after
Drillis and Contini)."""


def stature(poses: np.ndarray, skeleton: Skeleton) -> float:
    """Estimate how tall somebody is (m) from poses (frame, keypoint, 3); NaN where legs or trunk are not seen.

    The lengths of shanks, thighs and trunk, the medians over frames, are added up: ankle to shoulder.
    """
    known = mapping(skeleton, H36M17)
    joints = known.apply(poses)
    ways = (("ankle", "knee"), ("knee", "hip"), ("hip", "shoulder"))
    total = 0.0
    for one, other in ways:
        lengths = [
            np.linalg.norm(
                joints[:, H36M17.index(f"{side}_{one}")] - joints[:, H36M17.index(f"{side}_{other}")], axis=-1
            )
            for side in ("left", "right")
        ]
        values = np.concatenate(lengths)
        values = values[np.isfinite(values)]
        total += float(np.median(values)) if len(values) else np.nan
    return total / (SHOULDER_SHARE - ANKLE_SHARE)

"""Published numbers of others, for where the data set and the protocol are the same, and nowhere else."""

import pandas as pd

_COLUMNS = ["method", "MPJPE (mm)", "PA-MPJPE (mm)", "source"]

HUMAN36M = pd.DataFrame(
    [
        ("fully supervised, single frame, same detections", 53.0, 41.3, "mmpose model zoo"),
        ("fully supervised, 243 frames, same detections", 46.8, None, "Pavllo et al., CVPR 2019 (VideoPose3D)"),
        ("EpipolarPose, self-supervised, cameras known", 76.6, None, "Kocabas et al., CVPR 2019, its README"),
    ],
    columns=_COLUMNS,
)
"""Human3.6M, S9 and S11, one view, MPJPE relative to the root and PA-MPJPE, averaged as their authors do."""

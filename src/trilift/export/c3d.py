"""C3D: the binary format of motion capture systems, through ezc3d."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trilift.errors import InputError
from trilift.export.motion import Motion, gather
from trilift.project.files import replacing

_LAST_FRAME = 65535  # the header counts frames in 16 bits


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray]) -> None:
    """Write a motion as points in millimetres; all of it is in memory at a time.

    Missing points have the residual -1. The group TRILIFT says what the points are.

    Raises
    ------
    InputError
        If ezc3d is not installed, or the frames are too many for the format.
    """
    try:
        import ezc3d
    except ImportError:
        raise InputError(
            f'{path}: needs the package ezc3d; install it: pip install -c constraints.txt -e ".[export]"'
        ) from None
    if motion.first_frame + motion.length > _LAST_FRAME:
        raise InputError(
            f"{path}: recording {motion.name!a} ends at frame {motion.first_frame + motion.length} and C3D can count "
            f"{_LAST_FRAME}; export to trc, csv, npz or nc"
        )
    points = 1e3 * gather(motion, blocks).transpose(2, 1, 0)  # (3, keypoint, frame), mm
    file = ezc3d.c3d()
    file["header"]["points"]["first_frame"] = motion.first_frame
    file["parameters"]["POINT"]["RATE"]["value"] = [motion.fps]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(motion.keypoints)
    for name, text in (
        ("RECORDING", motion.name),
        ("SOURCE", motion.source),
        ("FRAME_OF_REFERENCE", motion.frame_of_reference),
        ("SIMULATED", motion.simulated_text),
    ):
        file.add_parameter("TRILIFT", name, [text])
    file["data"]["points"] = points.astype(np.float64)
    file["data"]["meta_points"]["residuals"] = np.where(np.isnan(points[:1]), -1.0, 0.0)
    # Without them ezc3d can write a motion that has no frames.
    del file["data"]["rotations"]
    # ezc3d appends its suffix to other names, so that the temporary one has to be in a folder of its own.
    with replacing(path) as temporary, TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        written = Path(folder) / "motion.c3d"
        file.write(str(written))
        written.replace(temporary)

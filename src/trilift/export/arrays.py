"""NPZ: arrays for NumPy, without pickles."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from trilift.export.motion import Motion, gather
from trilift.project.files import replacing


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray]) -> None:
    """Write a motion as arrays; all of it is in memory at a time.

    ``poses`` (frame, keypoint, 3) float32, metres, NaN where missing; ``filled`` (frame,), true where these follow
    from other frames; ``keypoints``, their names; ``bones`` (bone, 2), indices of the keypoints at their ends;
    ``fps``; ``first_frame``, its number in the video; ``recording``, ``units``, ``frame_of_reference``, ``source``
    and ``simulated`` (yes, no or unknown), texts.
    """
    bones = [[motion.keypoints.index(end) for end in bone] for bone in motion.bones]
    arrays: dict[str, Any] = {
        "poses": gather(motion, blocks),
        "filled": motion.flags(slice(0, motion.length)),
        "keypoints": np.array(motion.keypoints, np.str_),
        "bones": np.array(bones, np.int32).reshape(-1, 2),
        "fps": np.float64(motion.fps),
        "first_frame": np.int64(motion.first_frame),
        "recording": np.str_(motion.name),
        "units": np.str_("m"),
        "frame_of_reference": np.str_(motion.frame_of_reference),
        "source": np.str_(motion.source),
        "simulated": np.str_(motion.simulated_text),
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)

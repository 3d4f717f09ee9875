"""netCDF in the project's own layout: the kind ``poses`` of `trilift.captures.schema`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.export.motion import Motion
from trilift.formats.names import name_for_files
from trilift.skeletons import SKELETONS, Skeleton


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray]) -> None:
    """Write a motion as one capture with one recording, block by block."""
    known = [skeleton.name for skeleton in SKELETONS.values() if skeleton.keypoints == motion.keypoints]
    skeleton = Skeleton(known[0] if known else "custom", motion.keypoints, motion.bones)
    with writing.create(path, "poses") as file:
        capture = file.add_capture(
            name_for_files(motion.name, str(path)),
            recordings=[Recording(motion.name, "", "", motion.fps, 0, motion.length, motion.first_frame)],
            skeleton=skeleton,
            attributes={
                "frame_of_reference": motion.frame_of_reference,
                "source": motion.source,
                "simulated": motion.simulated_text,
            },
        )
        done = 0
        for block in blocks:
            rows = slice(done, done + len(block))
            capture.write_block(rows, poses=block, filled=motion.flags(rows))
            done += len(block)

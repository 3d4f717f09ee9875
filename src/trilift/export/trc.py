"""TRC (Track Row Column): the marker files of OpenSim and Pose2Sim.

The format is described in OpenSim's documentation, "Marker (.trc) Files".
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trilift.export.motion import Motion
from trilift.project.files import replacing


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray]) -> None:
    """Write a motion as markers in metres, block by block.

    Times are those of the video, and its frame 0 is frame 1, as is the custom there. Spaces in names become ``_``,
    and missing coordinates are ``nan``, as OpenSim writes them itself: readers that split lines at white space would
    take a name with a space for two, and move what follows an empty cell into its place.
    """
    markers = [keypoint.replace(" ", "_") for keypoint in motion.keypoints]
    axes = [f"{axis}{number}" for number in range(1, len(markers) + 1) for axis in "XYZ"]
    facts = {
        "DataRate": motion.fps,
        "CameraRate": motion.fps,
        "NumFrames": motion.length,
        "NumMarkers": len(markers),
        "Units": "m",
        "OrigDataRate": motion.fps,
        "OrigDataStartFrame": motion.first_frame + 1,
        "OrigNumFrames": motion.length,
    }
    header = (
        ("PathFileType", "4", "(X/Y/Z)", path.name),
        facts,
        map(str, facts.values()),
        ("Frame#", "Time", *(cell for marker in markers for cell in (marker, "", ""))),
        ("", "", *axes),
        (),
    )
    row_format = "%d\t%.6f" + "\t%.6f" * len(axes) + "\n"
    number = motion.first_frame
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for cells in header:
            file.write("\t".join(cells) + "\n")
        for block in blocks:
            for row in block.reshape(len(block), len(axes)).tolist():
                file.write(row_format % (number + 1, number / motion.fps, *row))
                number += 1

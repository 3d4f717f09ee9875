"""CSV: a row per frame, for spreadsheets and scripts."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trilift.export.motion import Motion
from trilift.project.files import replacing


def write(path: Path, motion: Motion, blocks: Iterable[np.ndarray]) -> None:
    """Write a motion as a table, block by block.

    A first line, which begins with ``#``, says what it is. Then come the columns ``frame`` (as the video
    counts), ``time_s``, and ``<keypoint>_x_m``, ``_y_m``, ``_z_m`` for each keypoint. Cells are empty where a
    point is missing. Read it with ``pandas.read_csv(path, comment="#")``.
    """
    simulated = " (SIMULATED)" if motion.simulated else ""
    about = f"# {motion.source}{simulated}, recording {motion.name}, frame of reference: {motion.frame_of_reference}"
    columns = [f"{keypoint}_{axis}_m" for keypoint in motion.keypoints for axis in "xyz"]
    row_format = "%d,%.6f" + ",%.6f" * len(columns) + "\n"
    number = motion.first_frame
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(about + "\n")
        csv.writer(file, lineterminator="\n").writerow(["frame", "time_s", *columns])
        for block in blocks:
            for row in block.reshape(len(block), len(columns)).tolist():
                file.write((row_format % (number, number / motion.fps, *row)).replace("nan", ""))
                number += 1

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
    counts), ``time_s``, and ``<keypoint>_x_m``, ``_y_m``, ``_z_m`` for each keypoint, and where frames are filled
    ``filled``, 1 in these. Cells are empty where a point is missing. Read it with
    ``pandas.read_csv(path, comment="#")``.
    """
    simulated = " (SIMULATED)" if motion.simulated else ""
    about = f"# {motion.source}{simulated}, recording {motion.name}, frame of reference: {motion.frame_of_reference}"
    columns = [f"{keypoint}_{axis}_m" for keypoint in motion.keypoints for axis in "xyz"]
    row_format = "%d,%.6f" + ",%.6f" * len(columns) + "\n"
    if motion.filled is not None:
        columns, row_format = [*columns, "filled"], row_format.replace("\n", ",%d\n")
    done = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(about + "\n")
        csv.writer(file, lineterminator="\n").writerow(["frame", "time_s", *columns])
        for block in blocks:
            rows = block.reshape(len(block), 3 * len(motion.keypoints))
            if motion.filled is not None:
                rows = np.column_stack([rows, motion.filled[done : done + len(block)]])
            for number, row in enumerate(rows.tolist(), motion.first_frame + done):
                file.write((row_format % (number, number / motion.fps, *row)).replace("nan", ""))
            done += len(block)

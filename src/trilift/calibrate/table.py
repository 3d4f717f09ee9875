"""How sure the cameras' places are, as a table."""

from collections.abc import Sequence

import pandas as pd

from trilift.geometry.calibration.findings import Rig


def table_of(names: Sequence[str], rig: Rig, refined: bool) -> pd.DataFrame:
    """Tell of each camera how well it is determined, and why not better.

    Parameters
    ----------
    names
        Of the cameras.
    rig
        What was found.
    refined
        Whether there were poses before, from which the cameras have moved.
    """
    rows = []
    for name, found, focal in zip(names, rig.found, rig.cameras.focal.mean(-1).tolist(), strict=True):
        row = {
            "camera": name,
            "verdict": found.verdict,
            "rotation_error_deg": found.rotation_deg,
            "position_error_mm": 1e3 * found.position_m,
            "focal_px": focal,
            "focal_error_percent": 100 * found.focal_error,
            "late_frames": found.late_frames,
            "late_error_frames": found.late_error,
            "median_error_px": found.error_px,
            "outliers_percent": 100 * found.outliers,
        }
        if refined:
            row |= {"moved_deg": found.moved_deg, "moved_mm": 1e3 * found.moved_m}
        rows.append(row | {"why": found.reason})
    return pd.DataFrame(rows)

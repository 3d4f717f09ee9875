"""What people tell of the cameras that they calibrate, beside where these are: how sure that is, and who is late."""

import tomllib
from pathlib import Path

from pydantic import Field, model_validator

from trilift.errors import InputError
from trilift.formats.source import Source
from trilift.project.layout import CAMERAS_OF_PEOPLE, within_project
from trilift.project.params import StrictModel, parse

NOT_PLACED = "not placed"
SECTION = "metadata"
"""Of the calibration's file."""


class About(StrictModel):
    """What was found out about the cameras, a value for each; NaN where a camera was not placed.

    Attributes
    ----------
    made_by
        The program.
    cameras
        Their names.
    verdicts
        How well each is determined.
    late_frames
        By how many frames each is late.
    rotation_error_deg, position_error_mm
        Standard errors of its pose.
    points_error_mm
        By how much points are off by what is not known of the cameras.
    problems
        What speaks against the rig as a whole.
    """

    made_by: str = "trilift calibrate"
    cameras: list[str] = Field(min_length=2)
    verdicts: list[str]
    late_frames: list[float]
    rotation_error_deg: list[float]
    position_error_mm: list[float]
    points_error_mm: float
    problems: list[str] = []

    @model_validator(mode="after")
    def _of_one_length(self) -> "About":
        lists = (self.verdicts, self.late_frames, self.rotation_error_deg, self.position_error_mm)
        if any(len(values) != len(self.cameras) for values in lists):
            raise ValueError("the lists are not of one length")
        return self

    @property
    def offsets(self) -> dict[str, int]:
        """By how many whole frames cameras are late, of those that are by more than half of one."""
        late = zip(self.cameras, self.late_frames, strict=True)
        return {name: round(frames) for name, frames in late if abs(frames) > 0.5}

    @property
    def in_words(self) -> str:
        """That people calibrated the cameras, and how sure the pose is of the one whose place is the least sure."""
        rows = zip(self.position_error_mm, self.rotation_error_deg, self.cameras, self.verdicts, strict=True)
        place, rotation, name, verdict = max(row for row in rows if row[-1] != NOT_PLACED)
        least = f"least sure: {name}, {verdict}, {rotation:.2g} degrees, {place:.0f} mm"
        return f"people (by which points are off by about {self.points_error_mm:.0f} mm; {least})"


def read_about(path: Path) -> About:
    """Read what was found out about the cameras.

    Raises
    ------
    InputError
        If the file is not there, damaged, or another calibration.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; make it first (snakemake --cores all {within_project(path)})")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid TOML ({error}); make it again") from None
    return parse(About, content.get(SECTION), f"{path}, [{SECTION}], which `trilift calibrate` writes; make it again")


def in_time(source: Source, raw: Path) -> Source:
    """State by how many frames cameras are late, as was found out, where the data set's file does not."""
    if not source.cameras.by_people:
        return source
    found = read_about(raw / CAMERAS_OF_PEOPLE).offsets
    taken = {name: late for name, late in found.items() if name not in source.offsets}
    return source.model_copy(update={"offsets": taken | source.offsets})

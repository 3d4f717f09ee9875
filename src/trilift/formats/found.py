"""What was found in a folder of recordings."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trilift.formats import Camera
from trilift.formats.calibration import Calibration
from trilift.formats.source import Detections

MOST_TRIED = 100  # files of a folder, to tell what they are


MOST_FOR_CALIBRATIONS = 5000  # among which calibrations may lie


MOST_ASKED = 40  # views, to tell the layout of the keypoints


Folders = dict[PurePosixPath, list[str]]
"""Names of the files in each folder, by its place."""


Rigs = dict[tuple[str, PurePosixPath], list[Camera]]
"""The cameras of each calibration, by its format and place."""


@dataclass(frozen=True)
class Place:
    """Something that was recognised, as a data set's file states it: a format, and a path, maybe with stars."""

    format: str
    path: str

    def __str__(self) -> str:
        return f"{self.path} ({self.format})"


@dataclass
class Found:
    """What was recognised.

    Attributes
    ----------
    detections, cameras
        As a data set's file states them; None where there are none.
    videos
        Of which detections are to be made.
    recordings
        How many.
    fps
        Frames per second, where a file tells.
    image_size
        Width and height in px of all videos, if these are the same and the calibration holds none.
    described
        What was seen, in words for the user.
    doubts
        What the user should look at: where one of several was taken, or names do not fit.
    other_detections, other_cameras
        What could have been taken instead.
    unused
        Files that belong to none of what was taken, those of one kind in one folder as one.
    """

    detections: Detections | None = None
    cameras: Calibration | None = None
    videos: list[Path] = field(default_factory=list)
    recordings: int = 0
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    described: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    other_detections: list[Place] = field(default_factory=list)
    other_cameras: list[Place] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

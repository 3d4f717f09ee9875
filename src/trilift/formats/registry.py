"""Which formats there are, and what the section ``ingest`` of a data set's file may say about them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from trilift import skeletons
from trilift.formats import (
    Camera,
    DetectedRecording,
    ReferenceRecording,
    human36m,
    openpose,
    pose2sim,
    videopose3d,
)
from trilift.params import StrictModel


class Detections(StrictModel):
    """Where the 2D detections are, relative to the raw folder.

    Attributes
    ----------
    format
        ``videopose3d`` (one file) or ``openpose`` (a folder with a folder per camera).
    path
        The file or folder.
    detector
        What made them, for tables and figures, for example ``OpenPose BODY_25B``.
    skeleton
        The layout of the keypoints, where the format does not fix it.
    """

    format: Literal["videopose3d", "openpose"]
    path: str
    detector: str
    skeleton: str | None = None

    @field_validator("skeleton")
    @classmethod
    def _skeleton_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in skeletons.SKELETONS:
            raise ValueError(f"unknown skeleton; known are {', '.join(sorted(skeletons.SKELETONS))}")
        return name

    @model_validator(mode="after")
    def _skeleton_fits(self) -> "Detections":
        if (self.format == "openpose") != (self.skeleton is not None):
            raise ValueError("`skeleton` is needed with the format openpose, and only there")
        return self


class Calibration(StrictModel):
    """Where the cameras are: ``pose2sim`` (a file) or ``human36m`` (built in, no file)."""

    format: Literal["pose2sim", "human36m"]
    path: str | None = None

    @model_validator(mode="after")
    def _path_fits(self) -> "Calibration":
        if (self.format == "human36m") != (self.path is None):
            raise ValueError("`path` is needed with every format but human36m, which is built in")
        return self


class Reference(StrictModel):
    """Where reference poses are, for evaluation only."""

    format: Literal["videopose3d"]
    path: str


class Source(StrictModel):
    """The section ``ingest`` of a data set's file.

    Attributes
    ----------
    views
        Camera of each view of the detections, where the names do not tell: ``{detections' name: camera's name}``.
    exclude_cameras
        Names of cameras to leave out.
    fps
        Frames per second.
    simulated
        Whether the raw files come from the simulated studio; tables and figures then say so.
    """

    detections: Detections
    cameras: Calibration
    reference: Reference | None = None
    views: dict[str, str] = {}
    exclude_cameras: list[str] = []
    fps: float = Field(gt=0, allow_inf_nan=False)
    simulated: bool = False

    def files(self, raw: Path) -> list[Path]:
        """List the files that ingest reads, without those of folders."""
        parts = (self.detections, self.cameras, self.reference)
        paths = [raw / part.path for part in parts if part is not None and part.path is not None]
        return [path for path in paths if not self._is_folder(path, raw)]

    def digest(self, raw: Path) -> str:
        """Hash what ingest reads of folders: names, sizes and contents; empty where there are none."""
        folder = raw / self.detections.path
        if not self._is_folder(folder, raw):
            return ""
        digest = hashlib.sha256()
        for file in sorted(folder.glob(openpose.PATTERN)):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
        return digest.hexdigest()

    def _is_folder(self, path: Path, raw: Path) -> bool:
        return self.detections.format == "openpose" and path == raw / self.detections.path


def read_detections(source: Detections, raw: Path) -> Iterator[DetectedRecording]:
    """Read the detections of a data set, captures one after the other."""
    path = raw / source.path
    if source.format == "openpose":
        assert source.skeleton is not None
        return openpose.read_detections(path, skeletons.get(source.skeleton))
    return videopose3d.read_detections(path)


def read_cameras(source: Calibration, raw: Path) -> dict[str, list[Camera]]:
    """Read the cameras of every capture; the key ``*`` holds those of all others."""
    if source.format == "human36m":
        return human36m.read_cameras()
    assert source.path is not None
    return pose2sim.read_cameras(raw / source.path)


def read_reference(source: Reference, raw: Path) -> Iterator[ReferenceRecording]:
    """Read the reference poses of a data set."""
    return videopose3d.read_reference(raw / source.path)

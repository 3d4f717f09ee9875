"""What the file of a data set says of its raw files: where they lie, in which format."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trilift import skeletons
from trilift.errors import InputError
from trilift.formats.calibration import Calibration, Inside, inside, one_of
from trilift.formats.images import ImageChange
from trilift.formats.names import plain
from trilift.formats.paths import VIEW, has_stars, matches, without_stars
from trilift.formats.registry import CAMERAS, DETECTIONS, VIDEOS, ArchiveFormat, View, ViewFormat
from trilift.project import layout
from trilift.project.params import StrictModel, refuse
from trilift.project.yaml_text import Name, in_yaml


def _layout(stated: str) -> str:
    if skeletons.is_file(stated):
        return inside(stated)
    if stated not in skeletons.SKELETONS:
        raise ValueError(f"must be one of {', '.join(skeletons.SKELETONS)}, or a file of one's own, my_layout.yaml")
    return stated


class Detections(StrictModel):
    """Where the 2D detections are, relative to the raw folder.

    Attributes
    ----------
    format
        A key of `DETECTIONS`, or of `VIDEOS`: the stage ``detect`` then makes the detections.
    path
        A file, or for formats with a file or folder per view the folder that holds these. With ``*`` in it, every
        match is a recording, named by what the stars stand for: ``*/pose``, ``S*/Seq*/annot.mat``. A star that is
        part of a name is written ``[*]``. Where the views of a recording do not lie in one folder, ``{view}`` stands
        for their names: ``Videos/{view}/*`` where every camera's folder has one for each recording.
    detector
        What made them, for tables and figures, for example ``OpenPose BODY_25B``. Of videos, ``detect`` knows it.
    skeleton
        The layout of the keypoints, where the format does not fix it or, for ``videopose3d``, the file tells another:
        a name, or the path of a file with one's own, ``my_layout.yaml``.
    undistorted
        Whether the coordinates are of undistorted images: the calibration's lens distortion is then not applied.
    ground_truth
        Whether these are no detections but the projected truth. Tables and figures then say so.
    """

    format: Annotated[str, one_of((*DETECTIONS, *VIDEOS))]
    path: Inside
    detector: Name | None = None
    skeleton: Annotated[str, AfterValidator(_layout)] | None = None
    undistorted: bool = False
    ground_truth: bool = False

    @property
    def of_videos(self) -> bool:
        """Whether the stage ``detect`` makes them."""
        return self.format in VIDEOS

    @property
    def kind(self) -> ViewFormat | ArchiveFormat:
        """The format that ingest reads."""
        return DETECTIONS["detect" if self.of_videos else self.format]

    @property
    def place(self) -> str:
        """The path that ingest reads."""
        return layout.DETECTIONS_OF_VIDEOS if self.of_videos else self.path

    @model_validator(mode="after")
    def _fits_its_format(self) -> "Detections":
        problems = []
        if self.of_videos:
            stated = [name for name in ("detector", "skeleton", "ground_truth") if getattr(self, name)]
            problems += [f"`{name}` is known to the stage detect: leave it out" for name in stated]
            if Path(self.path).parts[:1] != (layout.VIDEOS,):
                problems.append(
                    f"the videos must lie in the folder {layout.VIDEOS} of the raw folder: {layout.VIDEOS}/*.mp4"
                )
            refuse(problems)
            return self
        kind = DETECTIONS[self.format]
        if self.detector is None:
            problems.append("`detector` is needed, what made the detections")
        if self.path.count(VIEW) > (1 if isinstance(kind, ViewFormat) else 0):
            problems.append(f"{VIEW} can stand in `path` once, with a format that has a file or folder per view")
        if isinstance(kind, ViewFormat) and self.skeleton is None:
            problems.append(f"`skeleton` is needed with the format {self.format}: {', '.join(skeletons.SKELETONS)}")
        if isinstance(kind, ArchiveFormat) and not kind.has_layouts and self.skeleton is not None:
            problems.append(f"the format {self.format} fixes the layout of the keypoints: leave `skeleton` out")
        if holds_truth(self.format, self.path) and not self.ground_truth:
            problems.append(
                "these are no detections but projected ground truth: results on them say nothing about real use. "
                "State `ground_truth: true` if you want them; every table and figure will say so"
            )
        refuse(problems)
        return self


def holds_truth(name: str, path: str) -> bool:
    """Tell whether a file of a format holds no detections but projected ground truth."""
    kind = DETECTIONS[name]
    is_named_so = name == "videopose3d" and re.search(r"(^|_)gt(_|\.)", Path(path).name) is not None
    return (isinstance(kind, ArchiveFormat) and kind.ground_truth) or is_named_so


class Reference(StrictModel):
    """Where reference poses are, for evaluation only.

    Attributes
    ----------
    format
        Of the file.
    path
        As for detections.
    first_frame
        To which frame of the video the first pose belongs, where the number of poses does not tell: ``{recording:
        number}``, as the detections count.
    """

    format: Literal["videopose3d", "mpi_inf_3dhp", "trilift"]
    path: Inside
    first_frame: dict[str, int] = {}


class Person(StrictModel):
    """What is known of somebody.

    Attributes
    ----------
    stature_m
        How tall they are, by which they are told from others.
    """

    stature_m: float | None = Field(None, gt=0, lt=3)


class Source(StrictModel):
    """The section ``ingest`` of a data set's file.

    Attributes
    ----------
    views
        Camera of each view of the detections, where the names do not tell: ``{detections' name: camera's name}``.
    exclude_cameras
        Names of cameras to leave out, or of views that have none; their files are not read.
    offsets
        By how many frames a camera is late: ``{camera's name: frames}``.
    images
        What was done to the images between calibration and detection: ``{camera's name: change}``; ``*`` stands for
        the cameras that are not named.
    max_length_difference
        By how many frames the views of a recording (and its reference) may differ in length. They are cut to the
        shortest; a larger difference means that they are not the same clip. Detections that end earlier because
        nobody is seen any more are not meant, where the format leaves such frames out.
    people
        Who is followed where several people are seen: ``all``, each of whom becomes a recording of their own, or
        ``one``, the `subject`. Or everybody, by name: ``{Ann: {stature_m: 1.7}, Bob: {}}``. Names go by stature, or
        without one by who appears first.
    subject
        Who is taken where one person is followed of several: the one whose detections add up to the most
        ``confidence``, or to the largest ``size`` in the images.
    subjects
        Who is in a recording, where that is not always the same person: ``{recording: person}``; of several people in
        a clip, ``{clip/person_1: person}``.
    fps
        Frames per second.
    simulated
        Whether the raw files come from the simulated studio; tables and figures then say so.
    """

    detections: Detections
    cameras: Calibration
    reference: Reference | None = None
    views: dict[Name, Name] = {}
    exclude_cameras: list[Name] = []
    offsets: dict[Name, int] = {}
    images: dict[Name, ImageChange] = {}
    max_length_difference: int = Field(10, ge=0)
    people: Literal["all", "one"] | dict[Name, Person] = "all"
    subject: Literal["confidence", "size"] = "confidence"
    subjects: dict[Name, Name] = {}
    fps: float = Field(gt=0, allow_inf_nan=False)
    simulated: bool = False

    def camera_of(self, view: str) -> str:
        """Name the camera of a view; names agree where their letters and digits do."""
        return self.views.get(view, view)

    def is_excluded(self, camera: str) -> bool:
        """Tell whether a camera is to be left out."""
        return plain(camera) in map(plain, self.exclude_cameras)

    @model_validator(mode="after")
    def _people_calibrate_by_what_was_recorded(self) -> "Source":
        folder = layout.VIDEOS if self.detections.of_videos else layout.RECORDED
        path, intrinsics = self.detections.path, self.cameras.intrinsics
        problems = []
        if self.cameras.by_people and Path(path).parts[:1] != (folder,):
            problems.append(
                f"where people calibrate the cameras, the detections must lie in the folder {folder} of the raw "
                f"folder, beside which the calibration is made: {folder}/{path}"
            )
        if intrinsics is not None and Path(intrinsics.path).parts[:1] != (folder,):
            problems.append(f"`intrinsics` must lie in the folder {folder} of the raw folder: {folder}/Calib.toml")
        refuse(problems)
        return self

    def stated_change_of(self, camera: str) -> ImageChange:
        """Give what is stated of the images of a camera."""
        return self.images.get(camera, self.images.get("*", ImageChange()))

    def change_of(self, camera: str) -> ImageChange:
        """Give what was done to the images of a camera since it was calibrated.

        People calibrate cameras as their images are now, or as these were before they were mirrored.
        """
        change = self.stated_change_of(camera)
        return ImageChange(mirrored=change.mirrored) if self.cameras.by_people else change

    def excluding(self, names: list[str]) -> str:
        """Write the line that leaves these out too."""
        return f"exclude_cameras: {in_yaml([*self.exclude_cameras, *names])}"

    def videos(self, raw: Path) -> dict[str, View]:
        """List the videos that detections are made of, but for those of excluded cameras, by recording and view."""
        if not self.detections.of_videos:
            return {}
        return {
            f"{recording}/{view.name}" if recording else view.name: view
            for recording, views in VIDEOS[self.detections.format].recordings(raw, self.detections.path).items()
            for view in views
            if not self.is_excluded(self.camera_of(view.name))
        }

    def files_of_videos(self, raw: Path, *names: str) -> list[Path]:
        """List the files of some videos; of all, without names."""
        videos = self.videos(raw)
        return [file for name in names or videos for file in VIDEOS[self.detections.format].files(videos[name].path)]

    def files(self, raw: Path) -> list[Path]:
        """List the files that ingest reads, without those of folders with a file per frame."""
        made = [raw / layout.CAMERAS_OF_PEOPLE] if self.cameras.by_people else []
        found = [*self._files_of_detections(raw), *made, *_files_of_cameras(raw, self.cameras)]
        return found + (_expected(raw, self.reference.path) if self.reference else [])

    def files_to_calibrate(self, raw: Path) -> list[Path]:
        """List the files that calibrate reads, without those of folders with a file per frame."""
        lenses = self.cameras.intrinsics
        return [
            *self._files_of_detections(raw),
            *_files_of_cameras(raw, lenses.calibration if lenses else self.cameras),
        ]

    def _files_of_detections(self, raw: Path) -> list[Path]:
        kind = self.detections.kind
        found = [] if _in_folders(kind) else list(_view_files(kind, raw, self.detections.place))
        if self.detections.skeleton and skeletons.is_file(self.detections.skeleton):
            found.append(raw / self.detections.skeleton)
        return found

    def digest(self, raw: Path) -> str:
        """Hash what ingest reads of folders with a file per frame: names and contents; empty where there are none."""
        kind = self.detections.kind
        if not _in_folders(kind):
            return ""
        digest = hashlib.sha256()
        for file in _view_files(kind, raw, self.detections.place):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(raw).as_posix()} {content}\n".encode())
        return digest.hexdigest()


def _files_of_cameras(raw: Path, source: Calibration) -> list[Path]:
    found = []
    for match in _expected(raw, source.path) if source.path else ():
        found += CAMERAS[source.format].files(match) if source.format in CAMERAS else [match]
    return found


def existing(raw: Path, path: str) -> dict[str, Path]:
    found = matches(raw, path)
    if not found:
        raise InputError(f"{raw / path}: not there")
    return found


def _expected(raw: Path, path: str) -> list[Path]:
    """Give the matches of a path; without stars the path itself, which another stage may yet have to make."""
    return list(matches(raw, path).values()) if has_stars(path) else [raw / without_stars(path)]


def _in_folders(kind: ViewFormat | ArchiveFormat) -> bool:
    return isinstance(kind, ViewFormat) and kind.in_folders


def _view_files(kind: ViewFormat | ArchiveFormat, raw: Path, path: str) -> Iterator[Path]:
    if isinstance(kind, ArchiveFormat):
        yield from kind.recordings(raw, path).values() if has_stars(path) else _expected(raw, path)
    else:
        for views in kind.recordings(raw, path).values():
            for view in views:
                yield from kind.files(view.path)

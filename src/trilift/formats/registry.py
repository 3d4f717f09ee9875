"""Which formats there are, and what the section ``ingest`` of a data set's file may say about them.

A format is a module in `trilift.formats` with a reader, and one entry here. Detections come in two kinds: a *view*
format has a file or folder for each view of each recording, and its module a ``read_view``; an *archive* format has
all views in one file, and its module a ``read_detections``. Modules are loaded when a file is read: the rules of the
workflow ask for paths only, and should not wait for libraries of arrays.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from trilift import skeletons
from trilift.errors import InputError, listed
from trilift.formats import (
    Camera,
    CameraEntry,
    DetectedRecording,
    DetectedView,
    LeftOut,
    ReferenceRecording,
    Stated,
)
from trilift.formats.folders import ends_with, files_in, folders_in, has_files
from trilift.formats.images import ImageChange
from trilift.formats.layouts import Told
from trilift.formats.names import before_processing, name_of_view, plain
from trilift.formats.paths import VIEW, find, has_stars, matches, without_stars
from trilift.project.params import StrictModel, refuse
from trilift.project.yaml_text import Name, in_yaml
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")


class View(NamedTuple):
    """One view of a recording: its name, and the file or folder that holds it."""

    name: str
    path: Path


@dataclass(frozen=True)
class _Format:
    """A module of `trilift.formats`, and the endings of its files, in small letters."""

    module: str
    suffixes: tuple[str, ...]

    def _function(self, name: str) -> Any:
        return getattr(import_module(f"trilift.formats.{self.module}"), name)


@dataclass(frozen=True)
class ViewFormat(_Format):
    """One view of one recording in each file or folder.

    Attributes
    ----------
    module
        Has ``read_view(path, skeleton)``, ``tell_layout(paths)``, which says what layout the keypoints of views have,
        and ``recognises(path)``, which tells whether a file is of the format.
    in_folders
        Whether a view is a folder of files and not a file.
    """

    in_folders: bool = False

    def views(self, folder: Path) -> list[Path]:
        """List the views of a recording, the files in its folder or the folders that hold such files.

        A calibration among them is no view. Of a view that is there more and less processed, the most processed is
        taken.
        """
        taken: dict[tuple[str, str], tuple[int, Path]] = {}
        for view in self._all_views(folder):
            name, words = before_processing(name_of_view(view))
            kind = name, view.suffix
            taken[kind] = max(taken.get(kind, (0, view)), (len(words), view))
        return sorted(view for _, view in taken.values())

    def less_processed(self, folder: Path) -> list[Path]:
        """List what is not taken for a view, because the same was processed further."""
        taken = self.views(folder)
        return [view for view in self._all_views(folder) if view not in taken]

    def _all_views(self, folder: Path) -> list[Path]:
        if not self.in_folders:
            return [file for file in files_in(folder, *self.suffixes) if not _is_calibration(file)]
        return [view for view in folders_in(folder) if has_files(view, *self.suffixes)]

    def folders(self, raw: Path, path: str) -> dict[str, Path]:
        """Give recordings' folders by name, where each has one: of what stars stand for, those that have views."""
        found = _without_second_times(raw, matches(raw, path))
        return {name: place for name, place in found.items() if not has_stars(path) or self.views(place)}

    def recordings(self, raw: Path, path: str) -> dict[str, list[View]]:
        """Give the views of the recordings that a path stands for, by the recordings' names."""
        if VIEW not in path:
            found = self.folders(raw, path).items()
            return {name: [View(name_of_view(view), view) for view in self.views(folder)] for name, folder in found}
        recordings: dict[str, list[View]] = {}
        for match in find(raw, path):
            if self._is_view(match.place):
                recordings.setdefault(match.name, []).append(View(match.view, match.place))
        return recordings

    def _is_view(self, place: Path) -> bool:
        if self.in_folders:
            return place.is_dir() and has_files(place, *self.suffixes)
        return ends_with(place.name, self.suffixes) and place.is_file()

    def files(self, view: Path) -> list[Path]:
        """List the files of a view."""
        return files_in(view, *self.suffixes) if self.in_folders else [view]

    def recognises(self, file: Path) -> bool:
        """Tell whether a file of a view is of this format."""
        return self._function("recognises")(file)

    def read_view(self, path: Path, skeleton: Skeleton) -> DetectedView:
        return self._function("read_view")(path, skeleton)

    def tell_layout(self, paths: Sequence[Path]) -> Told:
        return self._function("tell_layout")(paths)


@dataclass(frozen=True)
class ArchiveFormat(_Format):
    """All views of one or more recordings in one file; a recording without a name of its own gets that given.

    Attributes
    ----------
    module
        Has ``read_detections(path, name)`` and ``recognises(path)``.
    ground_truth
        Whether such files hold projected truth, no detections.
    has_rate
        Whether such files may hold the frames per second; the module then has ``frame_rate(path)``.
    has_layouts
        Whether the layout of the keypoints may be stated; ``read_detections(path, name, skeleton)`` then takes it.
    """

    ground_truth: bool = False
    has_rate: bool = False
    has_layouts: bool = False

    def recordings(self, raw: Path, path: str) -> dict[str, Path]:
        """Give the files of recordings by name."""
        return _without_second_times(raw, matches(raw, path))

    def recognises(self, path: Path) -> bool:
        """Tell whether a file is of this format."""
        return self._function("recognises")(path)

    def frame_rate(self, path: Path) -> float | None:
        """Give the frames per second, where a file tells."""
        return self._function("frame_rate")(path) if self.has_rate else None

    def read_detections(self, path: Path, name: str, skeleton: Skeleton | None = None) -> Iterator[DetectedRecording]:
        stated = {} if skeleton is None else {"skeleton": skeleton}
        return self._function("read_detections")(path, name, **stated)


@dataclass(frozen=True)
class CameraFormat(_Format):
    """A calibration; the module has ``list_cameras(path)`` and ``recognises(path)``.

    Attributes
    ----------
    unit
        Of lengths in the files, if the data set's file states no other.
    in_folders
        Whether every camera has a folder of its own, in the one that is read.
    """

    unit: str = "m"
    in_folders: bool = False

    def files(self, path: Path) -> list[Path]:
        """List the files that `list_cameras` may read, of those that are there."""
        if not path.is_dir():
            return [path]
        folders = folders_in(path) if self.in_folders else [path]
        return [file for folder in folders for file in files_in(folder, *self.suffixes)]

    def recognises(self, path: Path) -> Path | None:
        """Give what `list_cameras` takes, the file or its folder, if a file is of this format."""
        return self._function("recognises")(path)

    def list_cameras(self, path: Path) -> list[CameraEntry]:
        return self._function("list_cameras")(path)


DETECTIONS: dict[str, ViewFormat | ArchiveFormat] = {
    "coco": ViewFormat("coco_results", (".json",)),
    "deeplabcut": ViewFormat("deeplabcut", (".csv",)),
    "easymocap": ViewFormat("easymocap", (".json",), in_folders=True),
    "freemocap": ArchiveFormat("freemocap", ("_numcams_numframes_numtrackedpoints_pixelxy.npy",)),
    "mediapipe": ArchiveFormat("mediapipe", (".csv",), has_rate=True),
    "mmpose": ViewFormat("mmpose", (".json",)),
    "mpi_inf_3dhp": ArchiveFormat("mpi_inf_3dhp", (".mat",), ground_truth=True),
    "openpose": ViewFormat("openpose", (".json",), in_folders=True),
    "sleap": ViewFormat("sleap", (".h5", ".hdf5")),
    "trilift": ArchiveFormat("trilift_nc", (".nc",), has_rate=True),
    "videopose3d": ArchiveFormat("videopose3d", (".npz",), has_layouts=True),
}
CAMERAS = {
    "humaneva": CameraFormat("humaneva_cameras", (".cal",), "mm"),
    "mpi_inf_3dhp": CameraFormat("mpi_inf_3dhp_cameras", (".calibration", ".calib", ".txt"), "mm"),
    "opencap": CameraFormat("opencap", ("cameraintrinsicsextrinsics.pickle",), "mm", in_folders=True),
    "opencv": CameraFormat("opencv_yaml", (".yml", ".yaml")),
    "panoptic": CameraFormat("panoptic", (".json",), "cm"),
    "toml": CameraFormat("toml_cameras", (".toml",)),
}


def _is_calibration(file: Path) -> bool:
    return any(ends_with(file.name, kind.suffixes) and kind.recognises(file) for kind in CAMERAS.values())


METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "foot": 0.3048}
"""Units of length that a calibration may be in."""


class Detections(StrictModel):
    """Where the 2D detections are, relative to the raw folder.

    Attributes
    ----------
    format
        A key of `DETECTIONS`.
    path
        A file, or for formats with a file or folder per view the folder that holds these. With ``*`` in it, every
        match is a recording, named by what the stars stand for: ``*/pose``, ``S*/Seq*/annot.mat``. A star that is
        part of a name is written ``[*]``. Where the views of a recording do not lie in one folder, ``{view}`` stands
        for their names: ``Videos/{view}/*`` where every camera's folder has one for each recording.
    detector
        What made them, for tables and figures, for example ``OpenPose BODY_25B``.
    skeleton
        The layout of the keypoints, where the format does not fix it or, for ``videopose3d``, the file tells another.
    undistorted
        Whether the coordinates are of undistorted images: the calibration's lens distortion is then not applied.
    ground_truth
        Whether these are no detections but the projected truth. Tables and figures then say so.
    """

    format: Literal[
        "coco",
        "deeplabcut",
        "easymocap",
        "freemocap",
        "mediapipe",
        "mmpose",
        "mpi_inf_3dhp",
        "openpose",
        "sleap",
        "trilift",
        "videopose3d",
    ]
    path: Name
    detector: Name
    skeleton: str | None = None
    undistorted: bool = False
    ground_truth: bool = False

    @field_validator("skeleton")
    @classmethod
    def _skeleton_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in skeletons.SKELETONS:
            raise ValueError(f"unknown skeleton; known are {', '.join(sorted(skeletons.SKELETONS))}")
        return name

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, path: str) -> str:
        return _inside(path)

    @model_validator(mode="after")
    def _fits_its_format(self) -> "Detections":
        problems = []
        kind = DETECTIONS[self.format]
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


class Calibration(StrictModel):
    """Where the cameras are.

    Attributes
    ----------
    format
        A key of `CAMERAS`, ``trilift`` (the captures file of another data set) or ``human36m`` (built in).
    path
        A file or folder, relative to the raw folder. With ``*``, every match is the calibration of the recording
        whose path matches alike; without, one calibration serves all.
    unit
        Of lengths in the file, where it is not that of the format.
    image_size
        Width and height in pixels, in place of those in the file or where it holds none.
    names
        Of the cameras to use, where the file holds more.
    """

    format: Literal["human36m", "humaneva", "mpi_inf_3dhp", "opencap", "opencv", "panoptic", "toml", "trilift"]
    path: Name | None = None
    unit: Literal["m", "dm", "cm", "mm", "inch", "foot"] | None = None
    image_size: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = None
    names: list[Name] | None = None

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, path: str | None) -> str | None:
        return path if path is None else _inside(path)

    @model_validator(mode="after")
    def _path_fits(self) -> "Calibration":
        problems = []
        if (self.format == "human36m") != (self.path is None):
            problems.append("`path` is needed with every format but human36m, which is built in")
        if self.unit is not None and self.format not in CAMERAS:
            problems.append(f"the format {self.format} is in metres: leave `unit` out")
        refuse(problems)
        return self


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

    format: Literal["videopose3d", "mpi_inf_3dhp"]
    path: Name
    first_frame: dict[str, int] = {}

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, path: str) -> str:
        return _inside(path)


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
    subject
        Who is taken where several people are seen: the one whose detections add up to the most ``confidence``, or to
        the largest ``size`` in the images. People are followed over time and through the views.
    subjects
        Who is in a recording, where that is not always the same person: ``{recording: person}``.
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

    def change_of(self, camera: str) -> ImageChange:
        """Give what was done to the images of a camera."""
        return self.images.get(camera, self.images.get("*", ImageChange()))

    def excluding(self, names: list[str]) -> str:
        """Write the line that leaves these out too."""
        return f"exclude_cameras: {in_yaml([*self.exclude_cameras, *names])}"

    def files(self, raw: Path) -> list[Path]:
        """List the files that ingest reads, without those of folders with a file per frame."""
        kind = DETECTIONS[self.detections.format]
        found = [] if _in_folders(kind) else list(_view_files(kind, raw, self.detections.path))
        for match in _expected(raw, self.cameras.path) if self.cameras.path else ():
            found += CAMERAS[self.cameras.format].files(match) if self.cameras.format in CAMERAS else [match]
        return found + (_expected(raw, self.reference.path) if self.reference else [])

    def digest(self, raw: Path) -> str:
        """Hash what ingest reads of folders with a file per frame: names and contents; empty where there are none."""
        kind = DETECTIONS[self.detections.format]
        if not _in_folders(kind):
            return ""
        digest = hashlib.sha256()
        for file in _view_files(kind, raw, self.detections.path):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(raw).as_posix()} {content}\n".encode())
        return digest.hexdigest()


def read_detections(source: Source, raw: Path, dataset: str) -> Iterator[DetectedRecording]:
    """Read the detections of a data set, captures one after the other, without excluded views if they have files."""
    kind, path = DETECTIONS[source.detections.format], source.detections.path
    if not kind.recordings(raw, path):
        raise InputError(f"{raw / path}: not there, or no detections in it")
    if isinstance(kind, ArchiveFormat):
        stated = skeletons.get(source.detections.skeleton) if source.detections.skeleton else None
        for name, file in kind.recordings(raw, path).items():
            yield from kind.read_detections(file, name or dataset, stated)
        return
    recordings = kind.recordings(raw, path)
    passed_over = [] if VIEW in path else [place for n, place in matches(raw, path).items() if n not in recordings]
    if passed_over:
        log.warning("no views of their own, passed over: %s", listed(passed_over))
    for name, views in recordings.items():
        if not views:
            wanted = "a folder with files" if kind.in_folders else "a file"
            raise InputError(f"{raw / path}: no {wanted} {' or '.join(kind.suffixes)} per camera in it")
        yield _read_views(kind, views, name or dataset, source)


def _read_views(kind: ViewFormat, views: list[View], name: str, source: Source) -> DetectedRecording:
    skeleton = skeletons.get(str(source.detections.skeleton))
    read = [
        replace(
            _or_leave_it_out(source.camera_of(view.name), source, kind.read_view, view.path, skeleton), name=view.name
        )
        for view in views
        if not source.is_excluded(source.camera_of(view.name))
    ]
    return DetectedRecording.of_its_own(name, skeleton, read)


def _or_leave_it_out(camera: str, source: Source, read: Callable[..., Thing], *arguments: object) -> Thing:
    """Read a camera or its view; what is wrong with it can also be mended by doing without it."""
    try:
        return read(*arguments)
    except InputError as error:
        raise InputError(f"{error}; or leave the camera out (ingest: {source.excluding([camera])})") from None


def names_of_views(source: Detections, raw: Path) -> set[str] | None:
    """Name the views of all recordings; None where only reading them tells."""
    kind = DETECTIONS[source.format]
    if isinstance(kind, ArchiveFormat):
        return None
    return {view.name for views in kind.recordings(raw, source.path).values() for view in views}


def list_cameras(source: Calibration, raw: Path) -> dict[str, list[CameraEntry]]:
    """List the cameras of every capture; the key ``*`` holds those of all others."""
    path = raw / (source.path or "")
    if source.format == "human36m":
        from trilift.formats import human36m

        rigs = {
            subject: [CameraEntry(camera.name, "the published table", partial(_known, camera)) for camera in rig]
            for subject, rig in human36m.read_cameras().items()
        }
    elif source.format == "trilift":
        from trilift.formats import trilift_nc

        rigs = {
            name: rig
            for match in _existing(raw, str(source.path)).values()
            for name, rig in trilift_nc.list_cameras(match).items()
        }
    else:
        matching = _existing(raw, str(source.path))
        rigs = {name or "*": CAMERAS[source.format].list_cameras(match) for name, match in matching.items()}
    return {name: _chosen(rig, source, path) for name, rig in rigs.items()}


def _known(camera: Camera, stated: Stated) -> Camera:
    return camera if stated.image_size is None else replace(camera, image_size=np.array(stated.image_size))


def _chosen(rig: list[CameraEntry], source: Calibration, path: Path) -> list[CameraEntry]:
    if source.names is None:
        return rig
    by_name = {camera.name: camera for camera in rig}
    unknown = [name for name in source.names if name not in by_name]
    if unknown:
        raise InputError(f"{path}: no camera {listed(unknown)} (there are {listed(by_name)})")
    return [by_name[name] for name in source.names]


def read_camera(entry: CameraEntry, source: Calibration, undistorted: bool) -> Camera | LeftOut:
    """Read a camera, and apply what the data set's file says about cameras."""
    from trilift.formats.camera_fields import IMAGE_SIZE

    size = None if source.image_size is None else (source.image_size[0], source.image_size[1])
    camera = entry.read(Stated(undistorted, size))
    if isinstance(camera, LeftOut):
        return camera
    if not (camera.image_size > 0).all():
        raise InputError(f"{entry.where}: holds no size of the images; {IMAGE_SIZE}")
    if source.unit is None:
        return camera
    return replace(camera, t=camera.t * (METRES[source.unit] / METRES[CAMERAS[source.format].unit]))


def metres_of(source: Calibration) -> float:
    """Give the unit, in metres, in which a calibration is read."""
    return METRES[source.unit or (CAMERAS[source.format].unit if source.format in CAMERAS else "m")]


def read_cameras(source: Source, raw: Path) -> dict[str, list[Camera | LeftOut]]:
    """Read the cameras of every capture, but for the excluded ones; the key ``*`` holds those of all others."""
    rigs = {}
    for name, entries in list_cameras(source.cameras, raw).items():
        rig = [_read_unless_excluded(entry, source) for entry in entries]
        left_out = [camera for camera in rig if isinstance(camera, LeftOut)]
        where = raw / (source.cameras.path or "")
        if len(left_out) == len(rig):
            raise InputError(f"{where}: none of its cameras can be used: {_reasons(left_out)}; calibrate them")
        if unintended := [camera for camera in left_out if not camera.intended]:
            log.warning("%s: left out, with their views if there are any: %s", where, _reasons(unintended))
        rigs[name] = rig
    return rigs


def _read_unless_excluded(entry: CameraEntry, source: Source) -> Camera | LeftOut:
    if source.is_excluded(entry.name):
        return LeftOut(entry.name, "is excluded", intended=True)
    return _or_leave_it_out(entry.name, source, read_camera, entry, source.cameras, source.detections.undistorted)


def _reasons(cameras: list[LeftOut]) -> str:
    return listed(f"{camera.name} {camera.reason}" for camera in cameras)


def read_reference(
    source: Reference, raw: Path, rigs: dict[str, list[Camera | LeftOut]], dataset: str
) -> Iterator[ReferenceRecording]:
    """Read the reference poses of a data set."""
    from trilift.formats import mpi_inf_3dhp, videopose3d

    for name, path in _existing(raw, source.path).items():
        if source.format == "mpi_inf_3dhp":
            rig = rigs.get(name, rigs.get("*", []))
            cameras = [camera for camera in rig if isinstance(camera, Camera)]
            yield from mpi_inf_3dhp.read_reference(path, name or dataset, cameras)
        else:
            yield from videopose3d.read_reference(path)


def _inside(path: str) -> str:
    if Path(path).is_absolute() or ".." in Path(path).parts or "**" in path:
        raise ValueError("must be relative to the raw folder, without `..` or `**`")
    return path


def _without_second_times(raw: Path, found: dict[str, Path]) -> dict[str, Path]:
    """Leave out what a link shows that also lies there itself."""
    root = raw.resolve()
    names: dict[Path, str] = {}
    for name in sorted(found, key=lambda name: found[name].resolve() != root / found[name].relative_to(raw)):
        names.setdefault(found[name].resolve(), name)
    kept = set(names.values())
    return {name: place for name, place in found.items() if name in kept}


def _existing(raw: Path, path: str) -> dict[str, Path]:
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

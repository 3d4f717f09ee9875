"""Which formats there are, and what the section ``ingest`` of a data set's file may say about them.

A format is a module in `trilift.formats` with a reader, and one entry here. Detections come in two kinds: a *view*
format has a file or folder for each view of each recording, and its module a ``read_view``; an *archive* format has
all views in one file, and its module a ``read_detections``. Modules are loaded when a file is read: the rules of the
workflow ask for paths only, and should not wait for libraries of arrays.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trilift.formats import (
    CameraEntry,
    DetectedRecording,
    DetectedView,
)
from trilift.formats.folders import ends_with, files_in, folders_in, has_files
from trilift.formats.layouts import Told
from trilift.formats.names import before_processing, name_of_view
from trilift.formats.paths import VIEW, find, has_stars, matches
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
    detector
        What usually makes such files.
    in_folders
        Whether a view is a folder of files and not a file.
    """

    detector: str = "UNKNOWN"
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
class VideoFormat(ViewFormat):
    """A video, or a folder of images, of each view of each recording: the stage ``detect`` makes detections of it."""


@dataclass(frozen=True)
class ArchiveFormat(_Format):
    """All views of one or more recordings in one file; a recording without a name of its own gets that given.

    Attributes
    ----------
    module
        Has ``read_detections(path, name)`` and ``recognises(path)``.
    detector
        What usually makes such files.
    ground_truth
        Whether such files hold projected truth, no detections.
    has_rate
        Whether such files may hold the frames per second; the module then has ``frame_rate(path)``.
    has_layouts
        Whether the layout of the keypoints may be stated; ``read_detections(path, name, skeleton)`` then takes it.
    """

    detector: str = "UNKNOWN"
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
    "deeplabcut": ViewFormat("deeplabcut", (".csv",), "DeepLabCut"),
    "detect": ArchiveFormat("detected", (".nc",), has_rate=True),
    "easymocap": ViewFormat("easymocap", (".json",), "OpenPose", in_folders=True),
    "freemocap": ArchiveFormat("freemocap", ("_numcams_numframes_numtrackedpoints_pixelxy.npy",), "FreeMoCap"),
    "mediapipe": ArchiveFormat("mediapipe", (".csv",), "MediaPipe", has_rate=True),
    "mmpose": ViewFormat("mmpose", (".json",), "MMPose"),
    "mpi_inf_3dhp": ArchiveFormat("mpi_inf_3dhp", (".mat",), "projected truth of MPI-INF-3DHP", ground_truth=True),
    "openpose": ViewFormat("openpose", (".json",), "OpenPose", in_folders=True),
    "sleap": ViewFormat("sleap", (".h5", ".hdf5"), "SLEAP"),
    "trilift": ArchiveFormat("trilift_nc", (".nc",), has_rate=True),
    "videopose3d": ArchiveFormat("videopose3d", (".npz",), has_layouts=True),
}
VIDEOS = {
    "video": VideoFormat("video", (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".mpg")),
    "images": VideoFormat("video", (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"), in_folders=True),
}
CAMERAS = {
    "humaneva": CameraFormat("humaneva_cameras", (".cal",), "mm"),
    "mpi_inf_3dhp": CameraFormat("mpi_inf_3dhp_cameras", (".calibration", ".calib", ".txt"), "mm"),
    "opencap": CameraFormat("opencap", ("cameraintrinsicsextrinsics.pickle",), "mm", in_folders=True),
    "opencv": CameraFormat("opencv_yaml", (".yml", ".yaml")),
    "panoptic": CameraFormat("panoptic", (".json",), "cm"),
    "qualisys": CameraFormat("qualisys", (".qca.txt",), "mm"),
    "toml": CameraFormat("toml_cameras", (".toml",)),
}


def _is_calibration(file: Path) -> bool:
    return any(ends_with(file.name, kind.suffixes) and kind.recognises(file) for kind in CAMERAS.values())


def _without_second_times(raw: Path, found: dict[str, Path]) -> dict[str, Path]:
    """Leave out what a link shows that also lies there itself."""
    root = raw.resolve()
    names: dict[Path, str] = {}
    for name in sorted(found, key=lambda name: found[name].resolve() != root / found[name].relative_to(raw)):
        names.setdefault(found[name].resolve(), name)
    kept = set(names.values())
    return {name: place for name, place in found.items() if name in kept}

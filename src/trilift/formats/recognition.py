"""What a folder of recordings holds: formats of detections and calibration, told from names and first bytes."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trilift.errors import InputError
from trilift.formats.hdf5 import check_strings
from trilift.formats.registry import CAMERAS, DETECTIONS, Calibration, Detections, ViewFormat

_MOST_FILES = 200_000
_HEAD = 1 << 16  # bytes


@dataclass
class Found:
    """What was recognised.

    Attributes
    ----------
    detections, cameras
        As a data set's file states them; None where there are none.
    recordings
        How many.
    fps
        Frames per second, where a file tells.
    described
        What was seen, in words for the user.
    """

    detections: Detections | None = None
    cameras: Calibration | None = None
    recordings: int = 0
    fps: float | None = None
    described: list[str] = field(default_factory=list)


def look_at(folder: Path, skeleton: str | None = None) -> Found:
    """Recognise the detections and the calibration in a folder.

    Parameters
    ----------
    folder
        Holds them.
    skeleton
        The layout of the keypoints, where the user states it.

    Raises
    ------
    InputError
        If there are detections whose layout cannot be told.
    """
    found = Found()
    files = list(_files(folder))
    recordings: dict[str, list[PurePosixPath]] = {}
    for name, recognise in _RECORDINGS.items():
        places = sorted({place for file in files if (place := recognise(folder, file)) is not None})
        views = {place: [file for file in files if place in (file, *file.parents)] for place in places}
        kind = DETECTIONS[name]
        if isinstance(kind, ViewFormat):  # one view is no recording
            places = [
                place for place in places if len(list((folder / place).glob(kind.pattern))) >= 2 and views[place]
            ]
        if places:
            recordings[name] = places
    for name, places in recordings.items():
        found.described.append(f"{folder}: {len(places)} recording(s) in the format {name}: {_listed(places)}")
    if recordings:
        name = max(recordings, key=lambda name: len(recordings[name]))
        path = _pattern(recordings[name])
        found.recordings = len(recordings[name])
        kind = DETECTIONS[name]
        if isinstance(kind, ViewFormat) and skeleton is None:
            told = kind.tell_layout(
                [view for place in recordings[name] for view in sorted((folder / place).glob(kind.pattern))]
            )
            skeleton = told.skeleton.name
            found.described.append(f"the keypoints are those of {skeleton}: {told.reason}")
        found.detections = Detections(
            format=name,  # type: ignore[arg-type]
            path=path,
            detector=_DETECTORS[name] + (f" ({skeleton})" if skeleton else ""),
            skeleton=skeleton,
            ground_truth=name == "mpi_inf_3dhp",
        )
        found.fps = _fps(name, folder / recordings[name][0])
    _find_cameras(folder, files, found)
    return found


def look_at_view(path: Path) -> str:
    """Recognise detections of one view, or of several in one file.

    Returns
    -------
    str
        A key of `DETECTIONS`.

    Raises
    ------
    InputError
        If it is not there or nothing that is known.
    """
    if not path.exists():
        raise InputError(f"{path}: not there")
    resolved = path.resolve()
    first = min(resolved.iterdir(), default=resolved) if resolved.is_dir() else resolved
    file = PurePosixPath(first.relative_to(resolved.parent).as_posix())
    for name, recognise in _RECORDINGS.items():
        kind = DETECTIONS[name]
        is_folder = isinstance(kind, ViewFormat) and kind.files is not None
        if is_folder == resolved.is_dir() and recognise(resolved.parent, file) is not None:
            return name
    raise InputError(
        f"{path}: no detections of a known format (a folder must hold OpenPose's files, one per frame; of other "
        f"formats name the file of one camera). --format states it: {', '.join(DETECTIONS)}"
    )


def look_at_calibration(path: Path) -> tuple[Path, Calibration]:
    """Recognise a calibration, a file or a folder.

    Returns
    -------
    folder : Path
        What the calibration's own path is relative to.
    calibration : Calibration
        As a data set's file states it.

    Raises
    ------
    InputError
        If it is not there or nothing that is known.
    """
    if not path.exists():
        raise InputError(f"{path}: not there")
    folder = path if path.is_dir() else path.parent
    if path.suffix == ".nc":
        return folder, Calibration(format="trilift", path=path.name)
    found = Found()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    _find_cameras(folder, [PurePosixPath(file.name) for file in files], found)
    if found.cameras is None:
        raise InputError("\n".join([f"{path}: no calibration of a known format", *found.described]))
    return folder, found.cameras


def _files(folder: Path) -> Iterator[PurePosixPath]:
    number = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            number += 1
            if number > _MOST_FILES:
                raise InputError(f"{folder}: more than {_MOST_FILES} files; name a folder that holds one data set")
            yield PurePosixPath((Path(root) / name).relative_to(folder).as_posix())


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _json_with(*words: bytes, levels: int) -> Callable[[Path, PurePosixPath], PurePosixPath | None]:
    """Recognise JSON files by words in them; the recording is so many folders above."""

    def recognise(folder: Path, file: PurePosixPath) -> PurePosixPath | None:
        if file.suffix != ".json" or len(file.parts) <= levels - 1:
            return None
        head = _head(folder / file)
        return file.parents[levels - 1] if all(word in head for word in words) else None

    return recognise


def _csv_with(word: bytes, levels: int) -> Callable[[Path, PurePosixPath], PurePosixPath | None]:
    def recognise(folder: Path, file: PurePosixPath) -> PurePosixPath | None:
        if file.suffix != ".csv" or not _head(folder / file).split(b"\n")[0].startswith(word):
            return None
        return file.parents[0] if levels else file

    return recognise


def _named(name: str) -> Callable[[Path, PurePosixPath], PurePosixPath | None]:
    return lambda folder, file: file if file.name == name else None


def _npz_with(entry: str) -> Callable[[Path, PurePosixPath], PurePosixPath | None]:
    def recognise(folder: Path, file: PurePosixPath) -> PurePosixPath | None:
        if file.suffix != ".npz":
            return None
        try:
            with zipfile.ZipFile(folder / file) as archive:
                return file if f"{entry}.npy" in archive.namelist() else None
        except (OSError, zipfile.BadZipFile):
            return None

    return recognise


def _hdf5_with(*names: str, suffix: str, levels: int) -> Callable[[Path, PurePosixPath], PurePosixPath | None]:
    def recognise(folder: Path, file: PurePosixPath) -> PurePosixPath | None:
        if file.suffix not in suffix.split():
            return None
        import h5py

        try:
            check_strings(folder / file)
            with h5py.File(folder / file) as content:
                has_all = all(name in content or content.attrs.get("kind") == name for name in names)
        except (OSError, ValueError, RuntimeError, KeyError, InputError):
            return None
        return (file.parents[0] if levels else file) if has_all else None

    return recognise


_RECORDINGS: dict[str, Callable[[Path, PurePosixPath], PurePosixPath | None]] = {
    "openpose": _json_with(b'"people"', b'"pose_keypoints_2d"', levels=2),
    "mmpose": _json_with(b'"instances"', b'"keypoint_scores"', levels=1),
    "coco": _json_with(b'"image_id"', b'"keypoints"', levels=1),
    "mediapipe": _csv_with(b"sync_index,port", levels=0),
    "deeplabcut": _csv_with(b"scorer", levels=1),
    "sleap": _hdf5_with("tracks", "node_names", suffix=".h5 .hdf5", levels=1),
    "videopose3d": _npz_with("positions_2d"),
    "mpi_inf_3dhp": _named("annot.mat"),
    "trilift": _hdf5_with("captures", suffix=".nc", levels=0),
}
_DETECTORS = {
    "openpose": "OpenPose",
    "mmpose": "MMPose",
    "coco": "UNKNOWN",
    "mediapipe": "MediaPipe",
    "deeplabcut": "DeepLabCut",
    "sleap": "SLEAP",
    "videopose3d": "UNKNOWN",
    "mpi_inf_3dhp": "projected truth of MPI-INF-3DHP",
    "trilift": "UNKNOWN",
}


def _listed(places: list[PurePosixPath]) -> str:
    return ", ".join(str(place) for place in places[:4]) + (", ..." if len(places) > 4 else "")


def _pattern(places: list[PurePosixPath]) -> str:
    """Write one path with stars for several of the same depth; of others, those as deep as the first count."""
    alike = [place.parts for place in places if len(place.parts) == len(places[0].parts)]
    parts = [names[0] if len(set(names)) == 1 else "*" for names in zip(*alike, strict=True)]
    return "/".join(parts) or "."


def _fps(name: str, path: Path) -> float | None:
    if name != "mediapipe":
        return None
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["sync_index", "port", "frame_time"], dtype=float)
    except ValueError:  # the reader needs no times, and tells what else is wrong
        return None
    table = table.drop_duplicates(["sync_index", "port"]).sort_values(["port", "sync_index"])
    steps = table["frame_time"].groupby(table["port"]).diff().dropna()
    return round(float(1 / steps.median()), 1) if len(steps) and steps.median() > 0 else None


def _find_cameras(folder: Path, files: list[PurePosixPath], found: Found) -> None:
    candidates: dict[str, list[PurePosixPath]] = {}
    for file in files:
        for name, recognise in _CALIBRATIONS.items():
            if recognise(folder, file):
                candidates.setdefault(name, []).append(file.parent if name in _FOLDERS else file)
    for name, places in candidates.items():
        places = sorted(set(places), key=lambda place: (len(place.parts), place))
        # One for all recordings, or one beside each.
        several = len(places) > 1 and len(places) == found.recordings
        try:
            cameras = CAMERAS[name].read_cameras(folder / places[0])
        except InputError as error:
            found.described.append(f"looks like a calibration in the format {name}, but: {error}")
            continue
        path = _pattern(places) if several else str(places[0])
        listed = ", ".join(camera.name for camera in cameras[:8]) + (", ..." if len(cameras) > 8 else "")
        found.described.append(f"{folder / places[0]}: {len(cameras)} cameras in the format {name}: {listed}")
        if found.cameras is None:
            found.cameras = Calibration(format=name, path=path)  # type: ignore[arg-type]
    if found.cameras is None and found.detections is not None and found.detections.format == "trilift":
        found.cameras = Calibration(format="trilift", path=found.detections.path)


_FOLDERS = ("humaneva", "opencv")  # a file per camera
_CALIBRATIONS: dict[str, Callable[[Path, PurePosixPath], bool]] = {
    "toml": lambda folder, file: file.suffix == ".toml" and b"matrix" in _head(folder / file),
    "opencv": lambda folder, file: file.suffix in (".yml", ".yaml") and b"opencv-matrix" in _head(folder / file),
    "panoptic": lambda folder, file: file.suffix == ".json" and b'"distCoef"' in _head(folder / file),
    "mpi_inf_3dhp": lambda folder, file: file.name == "camera.calibration",
    "humaneva": lambda folder, file: file.suffix == ".cal",
}

"""What a folder of recordings holds: formats of detections and calibration, told by the code that reads them."""

from pathlib import Path, PurePosixPath

from trilift.errors import InputError, listed
from trilift.formats.calibration import Calibration
from trilift.formats.choices import (
    Kinds,
    any_of,
    calibrations,
    choose_cameras,
    choose_detections,
    find_unused,
    sort_recordings,
    usable_cameras,
)
from trilift.formats.folders import ends_with, walk
from trilift.formats.found import Folders, Found, Place, Rigs
from trilift.formats.grouping import most_processed, path_with_cameras_first, paths
from trilift.formats.names import plain
from trilift.formats.paths import as_written
from trilift.formats.registry import CAMERAS, DETECTIONS, VIDEOS, ViewFormat


def look_at(folder: Path, skeleton: str | None = None) -> Found:
    """Recognise the detections, or else videos, and the calibration in a folder, and in those behind its links.

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
    folders = dict(sorted(walk(folder)))
    recordings, of_views, rest = sort_recordings(folder, folders, DETECTIONS)
    rigs = _rigs(folder, rest, found)
    places = _places(folder, recordings, of_views, DETECTIONS, rigs, found)
    if not places:
        recordings, of_views, _ = sort_recordings(folder, folders, VIDEOS)
        places = _places(folder, recordings, of_views, VIDEOS, rigs, found)
    views = choose_detections(folder, places, skeleton, found)
    choose_cameras(folder, rigs, views, found)
    find_unused(folder, folders, found)
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
    for name, kind in DETECTIONS.items():
        in_folders = isinstance(kind, ViewFormat) and kind.in_folders
        if in_folders != path.is_dir():
            continue
        files = kind.files(path) if isinstance(kind, ViewFormat) else [path]
        if any_of(kind, (file for file in files if ends_with(file.name, kind.suffixes))):
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
        If it is not there, nothing that is known, or a folder with several.
    """
    if not path.exists():
        raise InputError(f"{path}: not there")
    if ends_with(path.name, DETECTIONS["trilift"].suffixes):
        return path.parent, Calibration(format="trilift", path=as_written(path.name))
    if path.is_dir():
        folder = path
        folders = {place: names for place, names in walk(folder) if len(place.parts) <= 1}
    else:
        beside = any(kind.in_folders and ends_with(path.name, kind.suffixes) for kind in CAMERAS.values())
        folder = path.parent.parent if beside else path.parent
        folders = {PurePosixPath(path.parent.relative_to(folder).as_posix()): [path.name]}
    found = Found()
    choose_cameras(folder, _rigs(folder, folders, found), None, found)
    if found.cameras is None:
        raise InputError("\n".join([f"{path}: no calibration of a known format", *found.described]))
    if found.other_cameras:
        several = [Place(found.cameras.format, str(found.cameras.path)), *found.other_cameras]
        raise InputError(f"{path}: several calibrations; name one of {listed(several)}")
    return folder, found.cameras


# Detections


def _places(
    folder: Path,
    recordings: dict[str, list[PurePosixPath]],
    of_views: dict[str, list[PurePosixPath]],
    kinds: Kinds,
    rigs: Rigs,
    found: Found,
) -> list[Place]:
    """Give the paths that stand for recordings, that for the most first."""
    places: list[tuple[int, Place]] = []
    cameras = {plain(camera.name) for rig in rigs.values() for camera in rig}
    for name, kind in kinds.items():
        if isinstance(kind, ViewFormat):
            path = path_with_cameras_first(folder, of_views.get(name, []), cameras, kind.recordings)
            if path is not None:
                number = len(kind.recordings(folder, path))
                found.described.append(f"{folder / path}: {number} recording(s) in the format {name}")
                places.append((number, Place(name, path)))
                continue
        if alike := recordings.get(name):
            found.described.append(f"{folder}: {len(alike)} recording(s) in the format {name}: {listed(alike)}")
            kept = most_processed(alike)
            find = kind.folders if isinstance(kind, ViewFormat) else kind.recordings
            for part in (kept, sorted(set(alike) - set(kept))):
                places += [(len(those), Place(name, path)) for path, those in paths(folder, part, find)]
    return [place for _, place in sorted(places, key=lambda pair: -pair[0])]


# Calibrations


def _rigs(folder: Path, folders: Folders, found: Found) -> Rigs:
    """Read the calibrations."""
    rigs: Rigs = {}
    for name, place in calibrations(folder, folders):
        try:
            rigs[name, place] = usable_cameras(CAMERAS[name].list_cameras(folder / place))
        except InputError as error:
            found.described.append(f"looks like a calibration in the format {name}, but: {error}")
            continue
        cameras = listed(camera.name for camera in rigs[name, place])
        found.described.append(f"{folder / place}: {len(rigs[name, place])} cameras in the format {name}: {cameras}")
    return rigs

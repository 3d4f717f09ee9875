"""What a folder of recordings holds: formats of detections and calibration, told by the code that reads them."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from trilift.errors import InputError, listed
from trilift.formats import Camera, CameraEntry, Stated
from trilift.formats.folders import ends_with, walk
from trilift.formats.grouping import most_processed, path_with_cameras_first, paths
from trilift.formats.names import plain
from trilift.formats.paths import VIEW, as_written, matches
from trilift.formats.registry import (
    CAMERAS,
    DETECTIONS,
    ArchiveFormat,
    Calibration,
    Detections,
    ViewFormat,
    holds_truth,
)

_MOST_TRIED = 100  # files of a folder, to tell what they are
_MOST_FOR_CALIBRATIONS = 5000  # among which calibrations may lie
_MOST_ASKED = 40  # views, to tell the layout of the keypoints

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
    recordings
        How many.
    fps
        Frames per second, where a file tells.
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
    recordings: int = 0
    fps: float | None = None
    described: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    other_detections: list[Place] = field(default_factory=list)
    other_cameras: list[Place] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def look_at(folder: Path, skeleton: str | None = None) -> Found:
    """Recognise the detections and the calibration in a folder, and in those behind its links.

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
    recordings, of_views, rest = _recordings(folder, folders)
    rigs = _rigs(folder, rest, found)
    places = _places(folder, recordings, of_views, rigs, found)
    views = _choose_detections(folder, places, skeleton, found)
    _choose_cameras(folder, rigs, views, found)
    _find_unused(folder, folders, found)
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
        if _any_of(kind, (file for file in files if ends_with(file.name, kind.suffixes))):
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
    _choose_cameras(folder, _rigs(folder, folders, found), None, found)
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
    rigs: Rigs,
    found: Found,
) -> list[Place]:
    """Give the paths that stand for recordings, that for the most first."""
    places: list[tuple[int, Place]] = []
    cameras = {plain(camera.name) for rig in rigs.values() for camera in rig}
    for name, kind in DETECTIONS.items():
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


def _choose_detections(
    folder: Path, places: list[Place], skeleton: str | None, found: Found
) -> list[str | None] | None:
    """Choose the detections, and name the views of the first recording; None stands for views without names."""
    if not places:
        return None
    taken, *found.other_detections = places
    if found.other_detections:
        found.doubts.append(
            f"taken are the detections {taken}, and not {listed(found.other_detections)}; to take others, state "
            "their format and path under detections: in the data set's file"
        )
    kind = DETECTIONS[taken.format]
    found.recordings = len(kind.recordings(folder, taken.path))
    if isinstance(kind, ViewFormat):
        recordings = kind.recordings(folder, taken.path)
        views = [view.path for those in recordings.values() for view in those]
        _tell_of_less_processed(folder, kind, taken.path, found)
        skeleton = skeleton or _tell_layout(folder, kind, views, found)
        names: list[str | None] = [view.name for view in next(iter(recordings.values()))]
    elif skeleton is None:
        first = next(iter(kind.recordings(folder, taken.path).values()))
        names = [view.name for view in next(iter(kind.read_detections(first, ""))).views]
        found.fps = kind.frame_rate(first)
    else:
        raise InputError(f"{folder}: the format {taken.format} fixes the layout of keypoints; leave --skeleton out")
    found.detections = Detections(
        format=taken.format,  # type: ignore[arg-type]
        path=taken.path,
        detector=_DETECTORS[taken.format] + (f" ({skeleton})" if skeleton else ""),
        skeleton=skeleton,
        ground_truth=holds_truth(taken.format, taken.path),
    )
    return names


def _tell_of_less_processed(folder: Path, kind: ViewFormat, path: str, found: Found) -> None:
    places = () if VIEW in path else kind.folders(folder, path).values()
    if passed_over := [str(view.relative_to(folder)) for place in places for view in kind.less_processed(place)]:
        found.doubts.append(
            f"not taken is {listed(passed_over)}, because the same was processed further; to take it, move what was "
            "made of it elsewhere"
        )


def _tell_layout(folder: Path, kind: ViewFormat, views: list[Path], found: Found) -> str:
    """Ask views that are spread over all recordings."""
    fits = {view: _any_of(kind, kind.files(view)) for view in views}
    fitting = [view for view in views if fits[view]]
    strange = [str(view.relative_to(folder)) for view in views if not fits[view]]
    if strange:
        found.doubts.append(
            f"{listed(strange)}: among the views, but without detections; if they are no views, move them elsewhere"
        )
    told = kind.tell_layout(fitting[:: -(-len(fitting) // _MOST_ASKED)])
    found.described.append(f"the keypoints are those of {told.skeleton.name}: {told.reason}")
    return told.skeleton.name


def _recordings(
    folder: Path, folders: Folders
) -> tuple[dict[str, list[PurePosixPath]], dict[str, list[PurePosixPath]], Folders]:
    """Find recordings of every format, files or folders with at least two views; all views; and the other folders."""
    rest = dict(folders)
    of_views: dict[str, list[PurePosixPath]] = {name: [] for name in _DETECTORS}
    found: dict[str, list[PurePosixPath]] = {name: [] for name in _DETECTORS}
    number: dict[str, Counter[PurePosixPath]] = {name: Counter() for name in _DETECTORS}
    for place, names in folders.items():
        views: set[str] = set()
        for name in _DETECTORS:
            kind = DETECTIONS[name]
            files = [file for file in names if ends_with(file, kind.suffixes) and file not in views]
            if isinstance(kind, ArchiveFormat):
                found[name] += [place / file for file in files if kind.recognises(folder / place / file)]
            elif _any_of(kind, (folder / place / file for file in files)):
                views.update(files)
                of_views[name] += [place] if kind.in_folders else [place / file for file in files]
                if kind.in_folders:
                    rest.pop(place)
                number[name][place.parent if kind.in_folders else place] += 1 if kind.in_folders else len(files)
    for name, views_in in number.items():
        found[name] += [place for place, views in views_in.items() if views >= 2]  # one view is no recording
    return {name: sorted(places) for name, places in found.items() if places}, of_views, rest


def _any_of(kind: ViewFormat | ArchiveFormat, files: Iterable[Path]) -> bool:
    return any(map(kind.recognises, islice(files, _MOST_TRIED)))


_DETECTORS = {
    "openpose": "OpenPose",
    "mmpose": "MMPose",
    "coco": "UNKNOWN",
    "mediapipe": "MediaPipe",
    "deeplabcut": "DeepLabCut",
    "sleap": "SLEAP",
    "easymocap": "OpenPose",
    "freemocap": "FreeMoCap",
    "videopose3d": "UNKNOWN",
    "mpi_inf_3dhp": "projected truth of MPI-INF-3DHP",
    "trilift": "UNKNOWN",
}


# Calibrations


def _rigs(folder: Path, folders: Folders, found: Found) -> Rigs:
    """Read the calibrations."""
    rigs: Rigs = {}
    for name, place in _calibrations(folder, folders):
        try:
            rigs[name, place] = _usable(CAMERAS[name].list_cameras(folder / place))
        except InputError as error:
            found.described.append(f"looks like a calibration in the format {name}, but: {error}")
            continue
        cameras = listed(camera.name for camera in rigs[name, place])
        found.described.append(f"{folder / place}: {len(rigs[name, place])} cameras in the format {name}: {cameras}")
    return rigs


def _choose_cameras(folder: Path, rigs: Rigs, views: list[str | None] | None, found: Found) -> None:
    """Choose the calibration: one beside each recording, or that which has the views' cameras and is nearest."""
    recordings = _names_of_recordings(folder, found.detections)
    taken = _one_for_each(folder, rigs, recordings)
    if taken is not None:
        path, places = taken
        name = places[0][0]
    elif rigs:
        name, place = min(rigs, key=lambda key: (_lacking(views, rigs[key]), len(key[1].parts), key))
        path, places = as_written(str(place)), [(name, place)]
    else:
        if found.detections is not None and found.detections.format == "trilift":
            found.cameras = Calibration(format="trilift", path=found.detections.path)
        return
    names = _names_to_use(views, rigs[places[0]], found)
    found.cameras = Calibration(format=name, path=path, names=names)  # type: ignore[arg-type]
    chosen = set(places)
    others = (rig for rig in rigs if rig not in chosen)
    found.other_cameras = [Place(name, as_written(str(place))) for name, place in others]
    if found.other_cameras:
        found.doubts.append(
            f"taken is the calibration {Place(name, path)}, and not {listed(found.other_cameras)}; to take another, "
            "state its format and path under cameras: in the data set's file"
        )


def _usable(entries: list[CameraEntry]) -> list[Camera]:
    """Read the cameras that could be used if the data set's file said so; of none, tell what is wrong with it."""
    cameras, problems = [], []
    for entry in entries:
        try:
            cameras.append(entry.read(Stated(undistorted=True, image_size=(1, 1))))
        except InputError as error:
            problems.append(error)
    usable = [camera for camera in cameras if isinstance(camera, Camera)]
    if not usable:
        raise problems[0] if problems else InputError(f"{entries[0].where}: none of the cameras has a pose")
    return usable


def _calibrations(folder: Path, folders: Folders) -> list[tuple[str, PurePosixPath]]:
    found: dict[tuple[str, PurePosixPath], None] = {}
    for place, names in folders.items():
        for name, kind in CAMERAS.items():
            files = (file for file in names if ends_with(file, kind.suffixes))
            for file in islice(files, _MOST_FOR_CALIBRATIONS):
                path = kind.recognises(folder / place / file)
                if path is not None:
                    found[name, PurePosixPath(path.relative_to(folder).as_posix())] = None
    return list(found)


def _one_for_each(
    folder: Path, rigs: Collection[tuple[str, PurePosixPath]], recordings: set[str]
) -> tuple[str, list[tuple[str, PurePosixPath]]] | None:
    """Find calibrations whose path with stars stands for the recordings."""
    if len(recordings) < 2:
        return None
    for name in CAMERAS:
        for path, places in paths(folder, [place for kind, place in rigs if kind == name], matches):
            if recordings <= set(matches(folder, path)):
                return path, [(name, place) for place in places]
    return None


def _names_of_recordings(folder: Path, detections: Detections | None) -> set[str]:
    return set(DETECTIONS[detections.format].recordings(folder, detections.path)) if detections else set()


def _lacking(views: list[str | None] | None, cameras: list[Camera]) -> int:
    """Count the views that have no camera."""
    known = {plain(camera.name) for camera in cameras}
    return sum(view is not None and plain(view) not in known for view in views or ())


def _names_to_use(views: list[str | None] | None, cameras: list[Camera], found: Found) -> list[str] | None:
    """Name the cameras that have views, if these are not all."""
    if views is None:
        return None
    names = listed(camera.name for camera in cameras)
    of_views, of_cameras = {plain(view) for view in views if view}, {plain(camera.name) for camera in cameras}
    seen = [camera.name for camera in cameras if plain(camera.name) in of_views]
    if None in views:
        if len(views) != len(cameras):
            found.doubts.append(
                f"there are {len(views)} views, which have no names, but {len(cameras)} cameras ({names}): state "
                "those of the views, in their order, under cameras: names: in the data set's file"
            )
        return None
    if len(seen) < len(views):
        without = [view for view in views if view and plain(view) not in of_cameras]
        found.doubts.append(
            f"no camera for the views {listed(without)} (there are {names}): state it under views: in the data set's "
            "file"
        )
        return None
    if len(seen) == len(cameras):
        return None
    unseen = [camera.name for camera in cameras if camera.name not in seen]
    found.doubts.append(f"no view for the cameras {listed(unseen)}: they are left out (cameras: names:)")
    return seen


# The rest


def _find_unused(folder: Path, folders: Folders, found: Found) -> None:
    files, of_folders = set[PurePosixPath](), dict[PurePosixPath, tuple[str, ...]]()
    if found.detections is not None:
        kind = DETECTIONS[found.detections.format]
        for recording in kind.recordings(folder, found.detections.path).values():
            for path in [recording] if isinstance(recording, Path) else [view.path for view in recording]:
                _note_used(folder, path, kind.suffixes, files, of_folders)
    if found.cameras is not None and found.cameras.format in CAMERAS:
        for path in matches(folder, str(found.cameras.path)).values():
            read = CAMERAS[found.cameras.format].files(path)
            files.update(PurePosixPath(file.relative_to(folder).as_posix()) for file in read)
    unused: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = {}
    for place, names in folders.items():
        for name in names:
            if not ends_with(name, of_folders.get(place, ())) and place / name not in files:
                unused.setdefault((place, PurePosixPath(name).suffix), []).append(place / name)
    found.unused = [
        str(alike[0]) if len(alike) == 1 else f"{place / '*'}{suffix} ({len(alike)} files)"
        for (place, suffix), alike in unused.items()
    ]


def _note_used(
    folder: Path,
    path: Path,
    suffixes: tuple[str, ...],
    files: set[PurePosixPath],
    of_folders: dict[PurePosixPath, tuple[str, ...]],
) -> None:
    place = PurePosixPath(path.relative_to(folder).as_posix())
    if path.is_dir():
        of_folders[place] = (*of_folders.get(place, ()), *suffixes)
    else:
        files.add(place)

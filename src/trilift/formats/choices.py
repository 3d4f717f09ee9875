"""Which of the files that were recognised a data set is made of, and what is said of the others."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from trilift.errors import InputError, listed
from trilift.formats import Camera, CameraEntry, Stated
from trilift.formats.calibration import Calibration
from trilift.formats.folders import ends_with
from trilift.formats.found import MOST_ASKED, MOST_FOR_CALIBRATIONS, MOST_TRIED, Folders, Found, Place, Rigs
from trilift.formats.grouping import paths
from trilift.formats.names import plain
from trilift.formats.paths import VIEW, as_written, matches
from trilift.formats.registry import CAMERAS, DETECTIONS, VIDEOS, ArchiveFormat, VideoFormat, View, ViewFormat
from trilift.formats.source import Detections, holds_truth
from trilift.project import layout

Kinds = Mapping[str, ViewFormat | ArchiveFormat]


def choose_detections(
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
    kind = (DETECTIONS | VIDEOS)[taken.format]
    found.recordings = len(kind.recordings(folder, taken.path))
    if isinstance(kind, VideoFormat):
        return _choose_videos(taken, kind.recordings(folder, taken.path), skeleton, found)
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
        format=taken.format,
        path=taken.path,
        detector=kind.detector + (f" ({Path(skeleton).stem})" if skeleton else ""),
        skeleton=skeleton,
        ground_truth=holds_truth(taken.format, taken.path),
    )
    return names


def _choose_videos(
    taken: Place, recordings: dict[str, list[View]], skeleton: str | None, found: Found
) -> list[str | None]:
    if skeleton is not None:
        raise InputError("the stage detect knows the layout of its keypoints; leave --skeleton out")
    found.videos = [view.path for views in recordings.values() for view in views]
    found.detections = Detections(format=taken.format, path=str(PurePosixPath(layout.VIDEOS, taken.path)))
    return [view.name for view in next(iter(recordings.values()))]


def _tell_of_less_processed(folder: Path, kind: ViewFormat, path: str, found: Found) -> None:
    places = () if VIEW in path else kind.folders(folder, path).values()
    if passed_over := [str(view.relative_to(folder)) for place in places for view in kind.less_processed(place)]:
        found.doubts.append(
            f"not taken is {listed(passed_over)}, because the same was processed further; to take it, move what was "
            "made of it elsewhere"
        )


def _tell_layout(folder: Path, kind: ViewFormat, views: list[Path], found: Found) -> str:
    """Ask views that are spread over all recordings."""
    fits = {view: any_of(kind, kind.files(view)) for view in views}
    fitting = [view for view in views if fits[view]]
    strange = [str(view.relative_to(folder)) for view in views if not fits[view]]
    if strange:
        found.doubts.append(
            f"{listed(strange)}: among the views, but without detections; if they are no views, move them elsewhere"
        )
    told = kind.tell_layout(fitting[:: -(-len(fitting) // MOST_ASKED)])
    found.described.append(f"the keypoints are those of {told.skeleton.name}: {told.reason}")
    return told.skeleton.name


def sort_recordings(
    folder: Path, folders: Folders, kinds: Kinds
) -> tuple[dict[str, list[PurePosixPath]], dict[str, list[PurePosixPath]], Folders]:
    """Find recordings of every format, files or folders with at least two views; all views; and the other folders."""
    rest = dict(folders)
    of_views: dict[str, list[PurePosixPath]] = {name: [] for name in kinds}
    found: dict[str, list[PurePosixPath]] = {name: [] for name in kinds}
    number: dict[str, Counter[PurePosixPath]] = {name: Counter() for name in kinds}
    for place, names in folders.items():
        views: set[str] = set()
        for name, kind in kinds.items():
            files = [file for file in names if ends_with(file, kind.suffixes) and file not in views]
            if isinstance(kind, ArchiveFormat):
                found[name] += [place / file for file in files if kind.recognises(folder / place / file)]
            elif any_of(kind, (folder / place / file for file in files)):
                views.update(files)
                of_views[name] += [place] if kind.in_folders else [place / file for file in files]
                if kind.in_folders:
                    rest.pop(place)
                number[name][place.parent if kind.in_folders else place] += 1 if kind.in_folders else len(files)
    for name, views_in in number.items():
        found[name] += [place for place, views in views_in.items() if views >= 2]  # one view is no recording
    return {name: sorted(places) for name, places in found.items() if places}, of_views, rest


def any_of(kind: ViewFormat | ArchiveFormat, files: Iterable[Path]) -> bool:
    return any(map(kind.recognises, islice(files, MOST_TRIED)))


def choose_cameras(folder: Path, rigs: Rigs, views: list[str | None] | None, found: Found) -> None:
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
    found.cameras = Calibration(format=name, path=path, names=names)
    chosen = set(places)
    others = (rig for rig in rigs if rig not in chosen)
    found.other_cameras = [Place(name, as_written(str(place))) for name, place in others]
    if found.other_cameras:
        found.doubts.append(
            f"taken is the calibration {Place(name, path)}, and not {listed(found.other_cameras)}; to take another, "
            "state its format and path under cameras: in the data set's file"
        )


def usable_cameras(entries: list[CameraEntry]) -> list[Camera]:
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


def calibrations(folder: Path, folders: Folders) -> list[tuple[str, PurePosixPath]]:
    found: dict[tuple[str, PurePosixPath], None] = {}
    for place, names in folders.items():
        for name, kind in CAMERAS.items():
            files = (file for file in names if ends_with(file, kind.suffixes))
            for file in islice(files, MOST_FOR_CALIBRATIONS):
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
    return set(_chosen(detections)[0].recordings(folder, _chosen(detections)[1])) if detections else set()


def _chosen(detections: Detections) -> tuple[ViewFormat | ArchiveFormat, str]:
    """Give the format of what is in the folder, and its path there: videos lie a folder deeper in the raw folder."""
    if detections.of_videos:
        return VIDEOS[detections.format], str(PurePosixPath(detections.path).relative_to(layout.VIDEOS))
    return DETECTIONS[detections.format], detections.path


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


def find_unused(folder: Path, folders: Folders, found: Found) -> None:
    files, of_folders = set[PurePosixPath](), dict[PurePosixPath, tuple[str, ...]]()
    if found.detections is not None:
        kind, chosen = _chosen(found.detections)
        for recording in kind.recordings(folder, chosen).values():
            for path in [recording] if isinstance(recording, Path) else [view.path for view in recording]:
                _note_used(folder, path, kind.suffixes, files, of_folders)
        if found.detections.skeleton:
            files.add(PurePosixPath(found.detections.skeleton))
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

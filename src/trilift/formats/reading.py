"""Reading of raw files as the file of a data set describes them."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from trilift import skeletons
from trilift.errors import InputError, listed
from trilift.formats import Camera, CameraEntry, DetectedRecording, LeftOut, ReferenceRecording, Stated, detected
from trilift.formats.calibration import METRES, Calibration
from trilift.formats.paths import VIEW, matches
from trilift.formats.registry import CAMERAS, ArchiveFormat, Thing, View, ViewFormat
from trilift.formats.source import Detections, Reference, Source, existing
from trilift.project.layout import CAMERAS_OF_PEOPLE, within_project
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)


def made_by(source: Source, detections: Path) -> str:
    """Say what made the detections, for tables and figures; those of videos lie in the file given."""
    name = source.detections.detector or detected.detector_of(detections)
    return f"GROUND-TRUTH 2D ({name})" if source.detections.ground_truth else name


def read_detections(source: Source, raw: Path, dataset: str) -> Iterator[DetectedRecording]:
    """Read the detections of a data set, captures one after the other, without excluded views if they have files."""
    kind, path = source.detections.kind, source.detections.place
    if not kind.recordings(raw, path):
        if source.detections.of_videos:
            made = within_project(raw / path)
            raise InputError(f"{raw / path}: not there; make it first (snakemake --cores all {made})")
        raise InputError(f"{raw / path}: not there, or no detections in it")
    if isinstance(kind, ArchiveFormat):
        stated = skeletons.get(source.detections.skeleton, raw) if source.detections.skeleton else None
        for name, file in kind.recordings(raw, path).items():
            yield from kind.read_detections(file, name or dataset, stated)
        return
    skeleton = skeletons.get(str(source.detections.skeleton), raw)
    recordings = kind.recordings(raw, path)
    passed_over = [] if VIEW in path else [place for n, place in matches(raw, path).items() if n not in recordings]
    if passed_over:
        log.warning("no views of their own, passed over: %s", listed(passed_over))
    for name, views in recordings.items():
        if not views:
            wanted = "a folder with files" if kind.in_folders else "a file"
            raise InputError(f"{raw / path}: no {wanted} {' or '.join(kind.suffixes)} per camera in it")
        yield _read_views(kind, views, name or dataset, skeleton, source)


def _read_views(
    kind: ViewFormat, views: list[View], name: str, skeleton: Skeleton, source: Source
) -> DetectedRecording:
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
    kind = source.kind
    if isinstance(kind, ArchiveFormat):
        return None
    return {view.name for views in kind.recordings(raw, source.place).values() for view in views}


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
            for match in existing(raw, str(source.path)).values()
            for name, rig in trilift_nc.list_cameras(match).items()
        }
    elif source.by_people:
        from trilift.formats import people_cameras

        path = raw / CAMERAS_OF_PEOPLE
        rigs = {"*": people_cameras.list_cameras(path)}
    else:
        matching = existing(raw, str(source.path))
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


def read_camera(
    entry: CameraEntry, source: Calibration, undistorted: bool, lens_only: bool = False
) -> Camera | LeftOut:
    """Read a camera, or its lens alone, and apply what the data set's file says about cameras."""
    from trilift.formats.camera_fields import IMAGE_SIZE

    size = None if source.image_size is None else (source.image_size[0], source.image_size[1])
    camera = entry.read(Stated(undistorted, size, lens_only))
    if isinstance(camera, LeftOut):
        return camera
    if not (camera.image_size > 0).all():
        raise InputError(f"{entry.where}: holds no size of the images; {IMAGE_SIZE}")
    if source.unit is None:
        return camera
    return replace(camera, t=camera.t * (METRES[source.unit] / METRES[CAMERAS[source.format].unit]))


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
    from trilift.formats import mpi_inf_3dhp, trilift_nc, videopose3d

    for name, path in existing(raw, source.path).items():
        if source.format == "mpi_inf_3dhp":
            rig = rigs.get(name, rigs.get("*", []))
            cameras = [camera for camera in rig if isinstance(camera, Camera)]
            yield from mpi_inf_3dhp.read_reference(path, name or dataset, cameras)
        elif source.format == "trilift":
            yield from trilift_nc.read_reference(path)
        else:
            yield from videopose3d.read_reference(path)

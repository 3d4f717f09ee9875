"""From what the formats read to captures: views matched with cameras, brought into time, people told apart."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from trilift.errors import InputError, listed
from trilift.formats import Camera, DetectedRecording, DetectedView, ReferenceRecording, reading
from trilift.formats.by_people import in_time
from trilift.formats.clock import Clock, set_clock
from trilift.formats.images import mirror
from trilift.formats.names import plain
from trilift.formats.source import Source
from trilift.geometry.cameras import Cameras
from trilift.geometry.tracks import prominence
from trilift.ingest.assembled import AssembledCapture, AssembledRecording, Crowd
from trilift.ingest.match import Rig, match_views, names_unknown, refuse_names
from trilift.ingest.people.apart import Clip, Someone, tell_apart
from trilift.project.layout import Layout
from trilift.project.yaml_text import in_yaml

log = logging.getLogger(__name__)


_CROWDED_FRAMES = 128  # of which everybody is kept, to see who would be chosen by another calibration


def assemble(layout: Layout, source: Source) -> Iterator[AssembledCapture]:
    """Read the raw files of a data set, capture by capture.

    Raises
    ------
    InputError
        If a file is missing or damaged, or files contradict each other.
    """
    if not layout.raw.exists():
        raise InputError(f"{layout.raw}: not there; put or link the raw files of the data set there")
    rigs = reading.read_cameras(source, layout.raw)
    stated, source = source.offsets, in_time(source, layout.raw)
    if source.offsets != stated:
        log.info("%s: late by (frames) %s, as calibrate found", layout.cameras, in_yaml(source.offsets))
    references = _References(
        reading.read_reference(source.reference, layout.raw, rigs, layout.dataset) if source.reference else iter(())
    )
    detected = reading.read_detections(source, layout.raw, layout.dataset)
    views = reading.names_of_views(source.detections, layout.raw)
    if views is not None:
        _check_names(source, rigs, views, layout)
    names: list[str] = []
    seen: set[str] = set()
    placed = ((_capture_of(recording, rigs, layout), recording) for recording in detected)
    for capture, group in groupby(placed, key=lambda pair: pair[0]):
        rig = rigs.get(capture, rigs.get("*", []))
        recordings = [recording for _, recording in group]
        names += [recording.name for recording in recordings]
        seen |= {view.name for recording in recordings for view in recording.views if view.name is not None}
        assembled = _assemble(capture, recordings, rig, references, source, layout)
        names += [recording.name for recording in assembled.recordings if recording.person]
        yield assembled
    if views is None:
        _check_names(source, rigs, seen, layout)
    first_frames = source.reference.first_frame if source.reference else {}
    refuse_names(
        layout,
        names_unknown("subjects", source.subjects, "recordings", names),
        names_unknown("reference: first_frame", first_frames, "recordings", names),
    )
    unused = references.names_of_rest()
    if unused:
        log.warning("references without detections, not used: %s", listed(unused))


def _check_names(source: Source, rigs: dict[str, Rig], views: set[str], layout: Layout) -> None:
    """Refuse names that no recording's views or cameras have."""
    cameras = {camera.name for rig in rigs.values() for camera in rig}
    known = set(map(plain, cameras | views))
    excluded = [name for name in source.exclude_cameras if plain(name) not in known]
    refuse_names(
        layout,
        names_unknown("views", source.views, "views", views),
        names_unknown("offsets", source.offsets, "cameras", cameras),
        names_unknown("images", set(source.images) - {"*"}, "cameras", cameras),
        names_unknown("exclude_cameras", excluded, "cameras", cameras),
    )


class _References:
    """Reference poses by recording, read as they are asked for: where the orders agree, one is held at a time."""

    def __init__(self, read: Iterator[ReferenceRecording]):
        self._read = read
        self._held: dict[str, ReferenceRecording] = {}

    def take(self, name: str) -> ReferenceRecording | None:
        while name not in self._held:
            reference = next(self._read, None)
            if reference is None:
                return None
            self._held[reference.name] = reference
        return self._held.pop(name)

    def names_of_rest(self) -> list[str]:
        return sorted([*self._held, *(reference.name for reference in self._read)])


def _capture_of(recording: DetectedRecording, rigs: dict[str, Rig], layout: Layout) -> str:
    """Name the capture: recordings made with the one rig that there is are of one capture."""
    if recording.capture in rigs or "*" not in rigs:
        if recording.capture not in rigs:
            raise InputError(
                f"{layout.dataset_file}: no cameras for '{recording.capture}' (there are cameras for: "
                f"{listed(rigs)}); a calibration whose path has no stars serves all"
            )
        return recording.capture
    return layout.dataset


def _assemble(
    capture: str,
    detected: list[DetectedRecording],
    rig: Rig,
    references: _References,
    source: Source,
    layout: Layout,
) -> AssembledCapture:
    cameras: list[Camera] = []
    recordings: list[AssembledRecording] = []
    named: list[tuple[str | None, str]] = []
    skeleton, has_confidence = detected[0].skeleton, True
    first = detected[0].name
    changes = {camera.name: source.change_of(camera.name) for camera in rig}
    usable = [changes[camera.name].camera(camera) for camera in rig if isinstance(camera, Camera)]
    lenses = {camera.name: camera.distortion for camera in usable}
    if source.detections.undistorted:
        usable = [replace(camera, distortion=np.zeros(5)) for camera in usable]
    ready = {camera.name: camera for camera in usable}
    rig = [ready.get(camera.name, camera) for camera in rig]
    while detected:
        recording = detected.pop(0)  # so that what was read is not kept beside what is made of it
        matched = match_views(recording, rig, source, layout)
        named += [pair for camera, view in matched if (pair := (view.name, camera.name)) not in named]
        pairs = [(camera, view) for camera, view in matched if isinstance(camera, Camera)]
        where = f"{layout.raw}, '{recording.name}'"
        if recording.skeleton != skeleton:
            raise InputError(
                f"{where}: has keypoints of {recording.skeleton.name}, but '{first}' of the same capture of "
                f"{skeleton.name}; make a data set of each"
            )
        cameras = [camera for camera, _ in pairs]
        if not recordings:
            _warn_of_other_images(pairs, layout)
        views = {camera.name: view for camera, view in pairs}
        has_confidence &= all(view.confidence is not None for view in views.values())
        reference = references.take(recording.name)
        mirrored = {name for name, change in changes.items() if change.mirrored}
        recordings += _align(recording, views, cameras, mirrored, reference, source, where)
    return AssembledCapture(
        name=capture,
        cameras=cameras,
        lenses=[lenses[camera.name] for camera in cameras],
        source=source,
        skeleton=skeleton,
        recordings=recordings,
        has_confidence=has_confidence,
        views=named,
    )


def _warn_of_other_images(pairs: list[tuple[Camera, DetectedView]], layout: Layout) -> None:
    for camera, view in pairs:
        if view.image_size not in (None, tuple(camera.image_size)):
            log.warning(
                "%s: the images of %s are %d x %d pixels, but its calibration is of %d x %d; state how they "
                "were scaled or turned (images: in the data set's file). If they were cut or padded, detections "
                "lie beside their places by up to the difference",
                layout.dataset_file,
                camera.name,
                *view.image_size,
                *camera.image_size,
            )


def _align(
    recording: DetectedRecording,
    views: dict[str, DetectedView],
    cameras: list[Camera],
    mirrored: set[str],
    reference: ReferenceRecording | None,
    source: Source,
    where: str,
) -> list[AssembledRecording]:
    """Bring views to one clock and one length, and tell people apart."""
    clock = set_clock(views, reference, source, where)
    if reference is not None:
        start = clock.first - clock.first_pose
        reference = replace(reference, poses=reference.poses[start : start + clock.length])
    people = max(view.pixels.shape[1] for view in views.values())
    shape = (clock.length, len(views), people, len(recording.skeleton))
    pixels, confidence = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.float32)
    for index, (name, view) in enumerate(views.items()):
        begin = clock.begins[name] - clock.first
        own = slice(*np.clip([begin, begin + len(view.pixels)], 0, clock.length))
        frames = slice(own.start - begin, own.stop - begin)
        found = view.pixels[frames]
        pixels[own, index, : found.shape[1]] = found
        confidence[own, index, : found.shape[1]] = 1 if view.confidence is None else view.confidence[frames]
        if name in mirrored:
            other_side = recording.skeleton.mirrored
            pixels[:, index] = mirror(pixels[:, index], cameras[index].image_size[0], other_side)
            confidence[:, index] = confidence[:, index][..., list(other_side)]
    if np.isinf(pixels).any():
        raise InputError(f"{where}: infinite coordinates; write NaN for missing keypoints")
    highest = np.nanmax(confidence, initial=0)
    if highest > 1.2:  # some detectors exceed 1 a little
        raise InputError(f"{where}: confidences up to {highest:g}; they must lie between 0 and 1")
    missing = np.isnan(pixels).any(-1) | ~(confidence > 0)
    pixels[missing] = np.nan
    confidence = np.where(missing, 0, confidence.clip(max=1)).astype(np.float32)
    crowded = ((~missing).any(-1).sum(2) > 1).mean(0)
    crowd = None
    if people == 1:
        pixels, confidence = pixels[:, :, 0], confidence[:, :, 0]
        seen = np.asarray((confidence > 0).any(-1), np.int16)
        everybody = [Someone("", 0, pixels, confidence, seen, *np.empty((2, 0)))]
    else:
        score = prominence(pixels, confidence, source.subject)
        crowd = _crowd(pixels, score) if crowded.any() else None
        stacked = Cameras.stack(cameras)
        clip = Clip(stacked, list(views), pixels, confidence, score, recording.skeleton, source.fps, where)
        everybody = tell_apart(clip, source.people)
    of_whom = None if reference is None else _nearest(everybody, reference)
    return [
        _recording_of(someone, recording, source, clock, reference if index == of_whom else None, crowded, crowd)
        for index, someone in enumerate(everybody)
    ]


def _nearest(found: list[Someone], reference: ReferenceRecording) -> int:
    """Tell whose poses a reference holds."""
    if len(found) == 1:
        return 0
    middle = np.nanmean(reference.poses, 1)
    away = []
    for someone in found:
        there = someone.frames + someone.first
        known = there < len(middle)
        distance = np.linalg.norm(np.nanmean(someone.poses[known], 1) - middle[there[known]], axis=-1)
        away.append(np.nanmedian(distance) if np.isfinite(distance).any() else np.inf)
    return int(np.argmin(away))


def _recording_of(
    someone: Someone,
    recording: DetectedRecording,
    source: Source,
    clock: Clock,
    reference: ReferenceRecording | None,
    crowded: np.ndarray,
    crowd: Crowd | None,
) -> AssembledRecording:
    name, subject = recording.name, recording.subject
    if someone.name:
        name = f"{recording.name}/{someone.name}"
        subject = name if isinstance(source.people, str) or someone.name not in source.people else someone.name
    if reference is not None:
        reference = replace(reference, poses=reference.poses[someone.first :][: len(someone.pixels)])
    return AssembledRecording(
        name=name,
        subject=source.subjects.get(name, subject),
        action=recording.action,
        first_frame=clock.first + someone.first,
        pixels=someone.pixels,
        confidence=someone.confidence,
        detection=someone.detection,
        reference=reference,
        cut=clock.cut,
        crowded=crowded,
        crowd=crowd,
        person=someone.name,
    )


def _crowd(pixels: np.ndarray, score: np.ndarray) -> Crowd:
    """Keep the consecutive frames in which most is seen."""
    seen = np.cumsum([0, *(score > 0).sum((1, 2))])
    length = min(_CROWDED_FRAMES, len(score))
    first = int((seen[length:] - seen[:-length]).argmax())
    frames = slice(first, first + length)
    return Crowd(pixels[frames].copy(), score[frames].copy())  # a view would keep everything

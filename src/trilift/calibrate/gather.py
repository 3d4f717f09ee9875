"""From what the formats read to what is calibrated from: one person in each view and frame, on one clock."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trilift.errors import InputError, listed
from trilift.formats import Camera, DetectedRecording, DetectedView, LeftOut, reading
from trilift.formats.clock import set_clock
from trilift.formats.images import mirror
from trilift.formats.names import plain
from trilift.formats.source import Source
from trilift.geometry.calibration.calibrate import MAX_OFFSET_S
from trilift.geometry.calibration.findings import Scale
from trilift.geometry.cameras import Cameras
from trilift.geometry.tracks import choose_prominent, prominence
from trilift.project.layout import Layout
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

Array = np.ndarray


@dataclass(frozen=True)
class Gathered:
    """What cameras are calibrated from.

    Attributes
    ----------
    names
        Of the cameras.
    cameras
        What is known of them; else guesses.
    image_size
        (view, 2): width and height, px.
    focal_groups
        Per view: -1 where the focal length is known, else the number of those that share it.
    pixels, confidence
        (frame, view, keypoint, 2) and without its last axis: the most prominent person of each view, as detected.
        Of faces and hands there is no more than bones join.
    segments
        (frame,): number of the recording.
    skeleton
        Layout of the keypoints.
    scale
        What gives the size; None where a calibration does.
    """

    names: list[str]
    cameras: Cameras
    image_size: Tensor
    focal_groups: list[int]
    pixels: Tensor
    confidence: Tensor
    segments: Tensor
    skeleton: Skeleton
    scale: Scale | None


_Seen = dict[str, DetectedView]
"""Views of one person, by the names of their cameras."""


def gather(layout: Layout, source: Source) -> Gathered:
    """Read the raw files of a data set.

    Raises
    ------
    InputError
        If a file is missing or damaged, files contradict each other, or something must be stated.
    """
    if not layout.raw.exists():
        raise InputError(f"{layout.raw}: not there; put or link the raw files of the data set there")
    known, left_out = _known_cameras(layout, source)
    recordings: list[tuple[str, _Seen]] = []
    skeleton: Skeleton | None = None
    for recording in reading.read_detections(source, layout.raw, layout.dataset):
        if skeleton is not None and recording.skeleton != skeleton:
            raise InputError(
                f"{layout.raw}, '{recording.name}': has keypoints of {recording.skeleton.name}, others of "
                f"{skeleton.name}; make a data set of each"
            )
        skeleton = recording.skeleton
        where = f"{layout.raw}, '{recording.name}'"
        recordings.append((where, _one_person(recording, known, left_out, source, where)))
    names = list(dict.fromkeys(name for _, seen in recordings for name in seen))
    if skeleton is None or len(names) < 2:
        raise InputError(f"{layout.raw}: views of {listed(names) or 'no camera'}; to calibrate takes two at least")
    _check_names(names, source, layout)
    cameras = [_camera(name, known, recordings, source, layout) for name in names]
    parts = [_on_one_clock(seen, names, len(skeleton), source, where) for where, seen in recordings]
    segments = np.repeat(np.arange(len(parts)), [len(pixels) for pixels, _ in parts])
    sizes = np.stack([camera.image_size for camera in cameras])
    pixels, confidence = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    for view, name in enumerate(names):
        if source.change_of(name).mirrored:
            pixels[:, view] = mirror(pixels[:, view], sizes[view, 0], skeleton.mirrored)
            confidence[:, view] = confidence[:, view][..., list(skeleton.mirrored)]
    # Points of a face and fingers lie side by side, and a detector puts them all beside their places at once.
    kept = [skeleton.index(name) for name in skeleton.body.keypoints]
    return Gathered(
        names,
        Cameras.stack(cameras),
        torch.from_numpy(sizes).double(),
        _focal_groups(names, known, sizes, source),
        torch.from_numpy(pixels[:, :, kept]),
        torch.from_numpy(confidence[:, :, kept]),
        torch.from_numpy(segments),
        skeleton.body,
        _scale(names, skeleton.body, source, layout),
    )


def _known_cameras(layout: Layout, source: Source) -> tuple[list[Camera], set[str]]:
    """Read the calibration, or the lenses that are stated; with the plain names of cameras that are left out."""
    if not source.cameras.by_people:
        rigs = reading.read_cameras(source, layout.raw)
        where = layout.raw / (source.cameras.path or "")
    elif source.cameras.intrinsics is None:
        return [], set()
    else:
        intrinsics = source.cameras.intrinsics.calibration
        where = layout.raw / source.cameras.intrinsics.path
        rigs = {
            name: [
                reading.read_camera(entry, intrinsics, source.detections.undistorted, lens_only=True)
                for entry in entries
                if not source.is_excluded(entry.name)
            ]
            for name, entries in reading.list_cameras(intrinsics, layout.raw).items()
        }
    if len(rigs) > 1:
        raise InputError(f"{where}: cameras of {listed(rigs)}; make a data set of those with one calibration")
    (rig,) = rigs.values()
    cameras = [source.stated_change_of(camera.name).camera(camera) for camera in rig if isinstance(camera, Camera)]
    if source.detections.undistorted:
        cameras = [replace(camera, distortion=np.zeros(5)) for camera in cameras]
    return cameras, {plain(camera.name) for camera in rig if isinstance(camera, LeftOut)}


def _one_person(
    recording: DetectedRecording, known: list[Camera], left_out: set[str], source: Source, where: str
) -> _Seen:
    """Take from each view the person who is the most prominent there, by the name of its camera."""
    names = {plain(camera.name): camera.name for camera in known}
    seen: _Seen = {}
    for name, view in _named(recording, known, source, where):
        if source.is_excluded(name) or plain(name) in left_out:
            continue
        if not source.cameras.by_people and plain(name) not in names:
            raise InputError(f"{where}: no camera for the view '{name}'; {source.excluding([name])} leaves it out")
        name = names.setdefault(plain(name), name)
        if name in seen:
            raise InputError(f"{where}: two views for the camera {name}; remove one, or state the camera of each")
        seen[name] = _most_prominent(view, source, f"{where}, {name}")
    return seen


def _named(
    recording: DetectedRecording, known: list[Camera], source: Source, where: str
) -> Iterator[tuple[str, DetectedView]]:
    """Name the cameras of the views, by their order where the format gives no names."""
    names = [camera.name for camera in known] or [f"cam{number}" for number in range(1, len(recording.views) + 1)]
    for number, view in enumerate(recording.views):
        if view.name is None and len(names) != len(recording.views):
            raise InputError(
                f"{where}: {len(recording.views)} views without names, but {len(names)} cameras ({listed(names)}); "
                "list those of the views, in their order, under names: [...] beside their format"
            )
        yield names[number] if view.name is None else source.camera_of(view.name), view


def _most_prominent(view: DetectedView, source: Source, where: str) -> DetectedView:
    confidence = np.ones(view.pixels.shape[:-1], np.float32) if view.confidence is None else view.confidence
    if np.isinf(view.pixels).any():
        raise InputError(f"{where}: infinite coordinates; write NaN for missing keypoints")
    missing = np.isnan(view.pixels).any(-1) | ~(confidence > 0)
    pixels = np.where(missing[..., None], np.nan, view.pixels).astype(np.float32)
    confidence = np.where(missing, 0, confidence.clip(max=1)).astype(np.float32)
    if pixels.shape[1] > 1:
        who = choose_prominent(pixels, prominence(pixels, confidence, source.subject))
        frames = np.arange(len(pixels))
        pixels, confidence = pixels[frames, who][:, None], confidence[frames, who][:, None]
        pixels[who < 0], confidence[who < 0] = np.nan, 0
    return replace(view, pixels=pixels, confidence=confidence)


def _on_one_clock(seen: _Seen, names: list[str], keypoints: int, source: Source, where: str) -> tuple[Array, Array]:
    """Give (frame, view, keypoint, 2) and without the last axis: frames that are of one time, as far as is known."""
    if source.cameras.offsets == "find":
        apart = max(source.max_length_difference, round(2 * MAX_OFFSET_S * source.fps))
        source = source.model_copy(update={"max_length_difference": apart})
    clock = set_clock(seen, None, source, where)
    shape = (clock.length, len(names), keypoints)
    pixels, confidence = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.float32)
    for name, view in seen.items():
        begin, number = clock.begins[name] - clock.first, names.index(name)
        own = slice(*np.clip([begin, begin + len(view.pixels)], 0, clock.length))
        frames = slice(own.start - begin, own.stop - begin)
        pixels[own, number] = view.pixels[frames, 0]
        if view.confidence is not None:
            confidence[own, number] = view.confidence[frames, 0]
    return pixels, confidence


def _check_names(names: Sequence[str], source: Source, layout: Layout) -> None:
    offsets = {camera for camera in source.offsets if not source.is_excluded(camera)}
    for setting, cameras in (("offsets", offsets), ("baseline", set((source.cameras.baseline or ())[:2]))):
        if unknown := sorted(cameras - set(names)):
            raise InputError(
                f"{layout.dataset_file}: {setting} names {listed(unknown)}, but the cameras are {listed(names)}"
            )


def _camera(
    name: str, known: list[Camera], recordings: list[tuple[str, _Seen]], source: Source, layout: Layout
) -> Camera:
    """Give what is known of a camera, or guess: a focal length as long as the image, and no distortion."""
    for camera in known:
        if camera.name == name:
            return camera
    sizes = {seen[name].image_size for _, seen in recordings if name in seen} - {None}
    size = source.cameras.image_size or next(iter(sizes), None)
    if size is None or (source.cameras.image_size is None and len(sizes) > 1):
        found = f" (they are {listed(f'{size[0]} x {size[1]}' for size in sizes if size)} px)" if sizes else ""
        raise InputError(
            f"{layout.dataset_file}: how large are the images of {name}{found}? State `image_size: [width, height]` "
            "under ingest: cameras, or `intrinsics` that have this camera"
        )
    width, height = size
    K = np.array([[max(size), 0, width / 2], [0, max(size), height / 2], [0, 0, 1.0]])
    return Camera(name, K, np.zeros(5), np.eye(3), np.zeros(3), np.array([width, height]))


def _focal_groups(names: list[str], known: list[Camera], sizes: Array, source: Source) -> list[int]:
    have = {camera.name for camera in known}
    by_size = [tuple(size) for size in sizes]
    groups = range(len(names)) if source.cameras.focal == "each" else [by_size.index(size) for size in by_size]
    return [-1 if name in have else group for name, group in zip(names, groups, strict=True)]


def _scale(names: list[str], skeleton: Skeleton, source: Source, layout: Layout) -> Scale | None:
    stated = source.cameras
    if not stated.by_people:
        return None
    if stated.bone is not None and (unknown := [name for name in stated.bone[:2] if name not in skeleton.keypoints]):
        raise InputError(
            f"{layout.dataset_file}: bone names {listed(unknown)}, but the keypoints are {listed(skeleton.keypoints)}"
        )
    if stated.baseline is None:
        return Scale(stated.stature_m, stated.bone)
    one, other, length = stated.baseline
    return Scale(baseline=(names.index(one), names.index(other), length))

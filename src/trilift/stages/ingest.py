"""ingest: raw files of any format -> captures (detections and cameras) and references."""

import logging
from itertools import groupby

import numpy as np
from pydantic import Field

from trilift import captures
from trilift.captures import Recording, Writer
from trilift.errors import InputError
from trilift.formats import Camera, DetectedRecording, DetectedView, registry
from trilift.layout import Layout
from trilift.params import StrictModel, load, load_dataset

log = logging.getLogger(__name__)


class Settings(StrictModel):
    """The section ``ingest`` of ``params.yaml``.

    Attributes
    ----------
    max_length_difference
        By how many frames the views of a recording (and its reference) may differ in length. They are cut to the
        shortest; a larger difference means that they are not the same clip.
    """

    max_length_difference: int = Field(10, ge=0)


def run(layout: Layout) -> None:
    """Read the raw files of a data set, check them, and write captures and references."""
    settings = load(layout.params, "ingest", Settings)
    source = load_dataset(layout.dataset_file, "ingest", registry.Source)
    if not layout.raw.exists():
        raise InputError(f"{layout.raw}: not there; put or link the raw files of the data set there")
    rigs = registry.read_cameras(source.cameras, layout.raw)
    references = {
        (reference.capture, reference.name): reference
        for reference in (registry.read_reference(source.reference, layout.raw) if source.reference else ())
    }
    facts = {
        "dataset": layout.dataset,
        "detections_from": source.detections.detector,
        "simulated": "yes" if source.simulated else "no",
    }
    with (
        captures.create(layout.captures, "captures", **facts) as captures_file,
        captures.create(layout.references, "references", **facts) as references_file,
    ):
        detected = registry.read_detections(source.detections, layout.raw)
        unused = set(references)
        for capture, group in groupby(detected, key=lambda recording: recording.capture):
            rig = rigs.get(capture, rigs.get("*"))
            if rig is None:
                raise InputError(
                    f"{layout.dataset_file}: no cameras for '{capture}' (there are cameras for: {', '.join(rigs)})"
                )
            recordings = list(group)
            unused -= {(capture, recording.name) for recording in recordings}
            _write_capture(recordings, rig, references, source, settings, captures_file, references_file, layout)
        if unused:
            names = ", ".join(sorted(name for _, name in unused))
            log.warning("references without detections, not used: %s", names)


def _write_capture(
    detected: list[DetectedRecording],
    rig: list[Camera],
    references: dict[tuple[str, str], registry.ReferenceRecording],
    source: registry.Source,
    settings: Settings,
    captures_file: Writer,
    references_file: Writer,
    layout: Layout,
) -> None:
    capture = detected[0].capture
    matched = [_match_views(recording, rig, source, layout) for recording in detected]
    cameras = [camera for camera, _ in matched[0]]
    for recording, views in zip(detected, matched, strict=True):
        if [camera.name for camera, _ in views] != [camera.name for camera in cameras]:
            raise InputError(
                f"{layout.raw}, '{recording.name}': has other views than '{detected[0].name}' of the same capture"
            )
    for camera in cameras:
        _check_camera(camera, f"{layout.raw}, cameras of '{capture}'")

    table: list[Recording] = []
    for recording, views in zip(detected, matched, strict=True):
        reference = references.get((capture, recording.name))
        lengths = {camera.name: len(view.keypoints) for camera, view in views}
        if reference is not None:
            lengths["reference"] = len(reference.keypoints)
        length = _common_length(lengths, settings, f"{layout.raw}, '{recording.name}'")
        first_frame = sum(entry.length for entry in table)
        table.append(Recording(recording.name, recording.subject, recording.action, source.fps, first_frame, length))

    skeleton = detected[0].skeleton
    has_confidence = all(view.confidence is not None for views in matched for _, view in views)
    written = captures_file.add_capture(
        capture,
        recordings=table,
        skeleton=skeleton,
        views=[camera.name for camera in cameras],
        attributes={"confidence_source": "detector" if has_confidence else "none"},
    )
    for name in ("K", "distortion", "R", "t", "image_size"):
        written.write(name, np.stack([getattr(camera, name) for camera in cameras]))
    for row, views in zip(table, matched, strict=True):
        keypoints, confidence = _stack_views([view for _, view in views], row.length, layout, row.name)
        written.write_block(row.frames, keypoints_2d=keypoints, confidence=confidence)
    log.info(
        "%s: %d recordings, %d frames, %d views, %d keypoints (%s)",
        capture,
        len(table),
        sum(row.length for row in table),
        len(cameras),
        len(skeleton),
        skeleton.name,
    )

    available = [references.get((capture, row.name)) for row in table]
    if any(available):
        target = next(reference for reference in available if reference is not None).skeleton
        poses = references_file.add_capture(capture, recordings=table, skeleton=target)
        lacking = [row.name for row, reference in zip(table, available, strict=True) if reference is None]
        if lacking:
            log.warning("recordings without a reference: %s", ", ".join(lacking))
        for row, reference in zip(table, available, strict=True):
            if reference is not None:
                poses.write_block(row.frames, keypoints_3d=reference.keypoints[: row.length])


def _match_views(
    recording: DetectedRecording, rig: list[Camera], source: registry.Source, layout: Layout
) -> list[tuple[Camera, DetectedView]]:
    """Pair views with cameras, in the order of the cameras, without the excluded ones."""
    where = f"{layout.raw}, '{recording.name}'"
    names = ", ".join(camera.name for camera in rig)
    unknown = set(source.exclude_cameras) - {camera.name for camera in rig}
    if unknown:
        raise InputError(
            f"{layout.dataset_file}: exclude_cameras names {', '.join(sorted(unknown))}, but the cameras are {names}"
        )
    if any(view.name is None for view in recording.views):
        if len(recording.views) != len(rig):
            raise InputError(
                f"{where}: {len(recording.views)} views, but the calibration has {len(rig)} cameras ({names})"
            )
        pairs = list(zip(rig, recording.views, strict=True))
    else:
        by_plain_name = {_plain(camera.name): camera for camera in rig}
        if len(by_plain_name) < len(rig):
            raise InputError(f"{where}: the names of the cameras ({names}) do not differ in letters and digits")
        strangers = set(source.views) - {str(view.name) for view in recording.views}
        if strangers:
            raise InputError(
                f"{layout.dataset_file}: ingest: views: names {', '.join(sorted(strangers))}, but the views are "
                f"{', '.join(str(view.name) for view in recording.views)}"
            )
        pairs = []
        for view in recording.views:
            camera = by_plain_name.get(_plain(source.views.get(str(view.name), str(view.name))))
            if camera is None:
                raise InputError(
                    f"{where}: no camera for the view '{view.name}' (the calibration has {names}); state it in "
                    f"{layout.dataset_file} under ingest: views: {{{view.name}: <camera>}}"
                )
            pairs.append((camera, view))
        twice = {camera.name for camera, _ in pairs if sum(c is camera for c, _ in pairs) > 1}
        if twice:
            raise InputError(f"{where}: two views for the camera {', '.join(sorted(twice))}")
        seen = {camera.name for camera, _ in pairs} | set(source.exclude_cameras)
        unseen = [camera.name for camera in rig if camera.name not in seen]
        if unseen:
            raise InputError(
                f"{where}: no view for the camera {', '.join(unseen)} of the calibration; add its detections, or "
                f"leave it out in {layout.dataset_file} (exclude_cameras)"
            )
        pairs.sort(key=lambda pair: [camera.name for camera in rig].index(pair[0].name))
    kept = [pair for pair in pairs if pair[0].name not in source.exclude_cameras]
    if len(kept) < 2:
        raise InputError(f"{where}: {len(kept)} views left, but triangulation needs at least 2")
    return kept


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _check_camera(camera: Camera, where: str) -> None:
    for field in ("K", "distortion", "R", "t", "image_size"):
        if not np.isfinite(getattr(camera, field)).all():
            raise InputError(
                f"{where}, camera {camera.name}: {field} holds NaN or infinity; calibrate it again or leave the "
                "camera out (exclude_cameras)"
            )
    if not np.allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-4) or np.linalg.det(camera.R) < 0:
        raise InputError(f"{where}, camera {camera.name}: R is no rotation matrix")
    if camera.K[0, 0] <= 0 or camera.K[1, 1] <= 0:
        raise InputError(f"{where}, camera {camera.name}: the focal lengths in K must be positive")
    if abs(camera.K[0, 1]) > 1e-6 * camera.K[0, 0]:
        raise InputError(f"{where}, camera {camera.name}: K has a skew of {camera.K[0, 1]:g}, which is not supported")


def _common_length(lengths: dict[str, int], settings: Settings, where: str) -> int:
    shortest, longest = min(lengths.values()), max(lengths.values())
    listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
    if shortest == 0:
        raise InputError(f"{where}: no frames in one of its views ({listed})")
    if longest - shortest > settings.max_length_difference:
        raise InputError(
            f"{where}: the views differ by {longest - shortest} frames ({listed}); at most "
            f"{settings.max_length_difference} are cut off (ingest.max_length_difference in params.yaml). "
            "Are these the same clip?"
        )
    if longest != shortest:
        log.warning("%s: cut to the shortest of %s frames", where, listed)
    return shortest


def _stack_views(views: list[DetectedView], length: int, layout: Layout, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Stack views to keypoints (frame, view, keypoint, 2) and confidence, missing as NaN and 0."""
    keypoints = np.stack([view.keypoints[:length] for view in views], 1).astype(np.float32)
    if np.isinf(keypoints).any():
        raise InputError(f"{layout.raw}, '{name}': infinite coordinates; write NaN for missing keypoints")
    confidence = np.stack(
        [
            np.ones(view.keypoints[:length].shape[:-1]) if view.confidence is None else view.confidence[:length]
            for view in views
        ],
        1,
    )
    if np.nanmax(confidence, initial=0) > 1.05:  # detectors exceed 1 a little
        raise InputError(
            f"{layout.raw}, '{name}': confidences up to {np.nanmax(confidence):g}; they must lie between 0 and 1"
        )
    missing = np.isnan(keypoints).any(-1) | ~(confidence > 0)
    keypoints[missing] = np.nan
    return keypoints, np.where(missing, 0, confidence.clip(max=1)).astype(np.float32)

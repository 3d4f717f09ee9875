"""Many people, each before a rig of their own: the raw files of a data set that its file describes."""

import logging
from collections.abc import Iterator
from dataclasses import fields
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.errors import InputError, listed
from trilift.formats import Camera
from trilift.formats.source import Source
from trilift.project import provenance
from trilift.project.layout import Layout
from trilift.project.params import load_dataset, load_seed
from trilift.simulate import captured
from trilift.simulate.body import Body, sample_body
from trilift.simulate.captured import Clip
from trilift.simulate.detector import Detections, DetectorModel, detect
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.simulate.retargeting import keypoints_of, retarget
from trilift.simulate.rigs import draw, draw_rig, look, magnification
from trilift.simulate.seated import balance, seat, seated
from trilift.simulate.settings import Detectors, Studio
from trilift.skeletons import H36M17, SKELETONS, Skeleton

log = logging.getLogger(__name__)

_SEATED_UP_CLOSE = 0.6
"""Share of the recordings of close rigs in which people sit, at least."""

PX_PER_METRE = 220.0
"""Of people in Human3.6M's images, where the detector's errors are those of its model. Elsewhere they are as many
times larger as people are."""

_HIDDEN = (
    ("left_ankle", "right_ankle"),
    ("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
)


class Detector(NamedTuple):
    """One drawn for a capture."""

    layout: Skeleton
    model: DetectorModel
    hidden: float
    gives_confidence: bool


def run(layout: Layout) -> None:
    """Film all captures of a data set; each draws its own numbers, whatever the others are."""
    studio = load_dataset(layout.dataset_file, "simulate", Studio)
    source = load_dataset(layout.dataset_file, "ingest", Source)
    fps = source.fps
    seed = load_seed(layout.params)
    files = studio.files(layout.raw)
    clips = [
        piece
        for path, file in zip(files, studio.motion, strict=True)
        for clip in captured.read(path, file)
        for piece in captured.pieces(clip, fps, studio.seconds)
    ]
    if files and not clips:
        raise InputError(
            f"{listed(files)}: no {captured.SHORTEST_S:g} s of motion with all joints and none of them faster than "
            f"{captured.FASTEST:g} m/s; is the unit wrong? (simulate: motion: unit)"
        )
    if files:
        seconds = sum(len(clip.poses) for clip in clips) / fps
        log.info("%d pieces of captured motion, %.0f s in all", len(clips), seconds)
    dealing, *seeds = np.random.SeedSequence(seed).spawn(1 + studio.captures)
    deck = _deal(clips, np.random.default_rng(dealing))
    detections, poses = layout.raw / "simulated_detections.nc", layout.raw / "simulated_poses.nc"
    facts = {"dataset": layout.dataset, "detections_from": "simulated detector", "simulated": "yes"}
    frames = 0
    with (
        writing.create(detections, "captures", **facts) as captures_file,
        writing.create(poses, "references", **facts) as references_file,
        tqdm(total=studio.captures, unit="capture", desc="simulate", disable=None) as progress,
    ):
        for number, own in enumerate(seeds, 1):
            rng = np.random.default_rng(own)
            frames += _film(f"P{number:03}", studio, deck, fps, rng, captures_file, references_file)
            progress.update()
    log.info("SIMULATED: %d people before a rig each, %d frames at %g a second", studio.captures, frames, fps)
    provenance.write(
        layout,
        "simulate",
        params={"seed": seed},
        dataset={"simulate": studio, "ingest": source},
        inputs=files,
        outputs=[detections, poses],
    )


def _deal(clips: list[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Give all clips in a random order, and again in another, without an end."""
    while clips:
        for index in rng.permutation(len(clips)):
            yield clips[index]


def _film(
    person: str,
    studio: Studio,
    deck: Iterator[Clip],
    fps: float,
    rng: np.random.Generator,
    captures_file: writing.Writer,
    references_file: writing.Writer,
) -> int:
    """Film one person; returns the number of frames."""
    close = rng.random() < studio.close
    body, rig = sample_body(rng), draw_rig(studio.close_rigs if close else studio.rigs, rng)
    detector = draw_detector(studio.detectors, rng)
    doing = _choose(studio, close, deck, rng)
    actions = [action if clip is None else f"{action} {clip.name}".strip() for action, clip in doing]
    lengths = [round(studio.seconds * fps) if clip is None else len(clip.poses) for _, clip in doing]
    table = [
        Recording(f"{person} {number} {action}", person, action, fps, start, length)
        for number, (action, start, length) in enumerate(
            zip(actions, accumulate([0, *lengths]), lengths, strict=False), 1
        )
    ]
    written = captures_file.add_capture(
        person,
        recordings=table,
        skeleton=detector.layout,
        views=[camera.name for camera in rig],
        attributes={"confidence_source": "detector" if detector.gives_confidence else "none"},
    )
    for name in ("K", "distortion", "R", "t", "image_size"):
        written.write(name, np.stack([getattr(camera, name) for camera in rig]))
    true = references_file.add_capture(person, recordings=table, skeleton=H36M17)
    for recording, (action, clip) in zip(table, doing, strict=True):
        poses = _perform(action, clip, recording.length, body, fps, rng)
        if close:
            poses = _kept_in_the_middle(poses, rng)
        found = film(rig, poses, detector, fps, rng)
        written.write_block(recording.frames, pixels=found.pixels, confidence=found.confidence)
        true.write_block(recording.frames, poses=poses)
    return sum(lengths)


def _choose(
    studio: Studio, close: bool, deck: Iterator[Clip], rng: np.random.Generator
) -> list[tuple[str, Clip | None]]:
    """Choose what a person does in each recording: a captured clip, a motion by name, or the one with the other."""
    of_seats = max(studio.seated, _SEATED_UP_CLOSE) if close else studio.seated
    kinds, captured_too = rng.permutation(list(MOTIONS)), bool(studio.motion)
    doing: list[tuple[str, Clip | None]] = []
    for number, (kind, procedural) in enumerate(rng.random((studio.recordings, 2))):
        if kind < of_seats:
            doing.append(("seated", next(deck) if captured_too and procedural < 0.5 else None))
        elif kind < of_seats + studio.balancing:
            doing.append(("balancing", None))
        elif captured_too and procedural >= studio.procedural:
            doing.append(("", next(deck)))
        else:
            doing.append((str(kinds[number % len(kinds)]), None))
    return doing


def _perform(
    action: str, clip: Clip | None, frames: int, body: Body, fps: float, rng: np.random.Generator
) -> np.ndarray:
    if clip is not None:
        return (seat if action else retarget)(clip.poses, body, fps, rng)
    if action in MOTIONS:
        return simulate_motion(action, body, frames, fps, rng)
    return {"seated": seated, "balancing": balance}[action](body, np.arange(frames) / fps, rng)


def _kept_in_the_middle(poses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shrink the way of poses (frame, joint, 3) over the floor, so that nobody walks into a camera."""
    way = poses[:, H36M17.root_index, :2]
    moved = poses.copy()
    moved[..., :2] += (0.15 * (way - way.mean(0)) - way + rng.uniform(-0.15, 0.15, 2))[:, None]
    return moved


def draw_detector(limits: Detectors, rng: np.random.Generator) -> Detector:
    """Draw a detector: the layout of its keypoints, and how good it is."""
    layout = SKELETONS[limits.layouts[rng.integers(len(limits.layouts))]]
    drawn: dict[str, Any] = {
        field.name: float(draw(getattr(limits, field.name), rng))
        for field in fields(DetectorModel)
        if hasattr(limits, field.name)
    }
    return Detector(layout, DetectorModel(**drawn), limits.hidden, bool(rng.random() >= limits.without_confidence))


def film(
    rig: list[Camera], poses: np.ndarray, detector: Detector, fps: float, rng: np.random.Generator
) -> Detections:
    """Let a detector watch a person through the cameras of a rig.

    Parameters
    ----------
    rig
        The cameras.
    poses
        (frame, 17, 3), metres, world frame.
    detector
        What it finds, and how well.
    fps
        Frames per second.
    rng
        Source of all randomness.

    Returns
    -------
    Detections
        In the detector's layout. Its errors are those of its model times how much larger people are in a view than
        in Human3.6M's.
    """
    pixels = look(rig, keypoints_of(poses, detector.layout))
    for view in np.flatnonzero(rng.random(len(rig)) < detector.hidden):
        part = _HIDDEN[rng.integers(len(_HIDDEN))]
        pixels[:, view, [detector.layout.index(keypoint) for keypoint in part]] = np.nan
    enlarged = magnification(rig) / PX_PER_METRE
    size = np.stack([camera.image_size for camera in rig]) / enlarged[:, None]
    enlarged = enlarged[:, None, None]
    found = detect(pixels / enlarged, size, detector.layout, fps, detector.model, rng)
    confidence = found.confidence if detector.gives_confidence else (found.confidence > 0).astype(float)
    return found._replace(pixels=found.pixels * enlarged, confidence=confidence)

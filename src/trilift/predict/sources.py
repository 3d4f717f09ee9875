"""What ``trilift predict`` reads: one view of one recording, and its camera."""

import argparse
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from trilift import skeletons
from trilift.errors import InputError, listed
from trilift.export import NoPoints
from trilift.formats import Camera, CameraEntry, DetectedView, LeftOut, reading, recognise, registry
from trilift.formats.names import plain
from trilift.geometry.tracks import choose_prominent, prominence
from trilift.predict.following import follow
from trilift.predict.prediction import pinhole
from trilift.predict.predictor import Predictor
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class View:
    """Detections of everybody in one view.

    Attributes
    ----------
    name
        Of the recording and the view.
    camera_name
        What the format calls the view; None where it has no names.
    pixels
        (frame, person, keypoint, 2), pixels; NaN where missing. The order of people means nothing.
    confidence
        (frame, person, keypoint), or None where the format has none.
    skeleton
        Layout of the keypoints.
    first_frame
        Number of the first frame, as the video counts.
    """

    name: str
    camera_name: str | None
    pixels: np.ndarray
    confidence: np.ndarray | None
    skeleton: Skeleton
    first_frame: int

    def follow(self, subject: str | None, fps: float) -> np.ndarray:
        """Tell who is who: (person, frame), index on the axis of people, -1 where the person is not seen.

        Parameters
        ----------
        subject
            Take one person, by `trilift.geometry.tracks.prominence`; None for everybody.
        fps
            Frames per second.
        """
        if self.pixels.shape[1] == 1 or not np.isfinite(self.pixels).all(-1).any():
            return np.zeros((1, len(self.pixels)), int)
        if subject is None:
            return follow(self.pixels, self.confidence, fps)
        sure = np.isfinite(self.pixels).all(-1).astype(np.float32) if self.confidence is None else self.confidence
        return choose_prominent(self.pixels, prominence(self.pixels, sure, subject))[None]


def read_view(options: argparse.Namespace) -> View:
    """Read the detections that the command line names, recognising what it does not tell.

    Raises
    ------
    InputError
        If they cannot be read, or it is not clear which of several are meant.
    """
    path = Path(options.detections)
    name = options.format or recognise.look_at_view(path)
    if name not in registry.DETECTIONS:
        raise InputError(f"--format {name}: unknown; known are {', '.join(registry.DETECTIONS)}")
    kind = registry.DETECTIONS[name]
    if isinstance(kind, registry.ViewFormat):
        skeleton = skeletons.get(options.skeleton) if options.skeleton else _told(kind, path)
        detected = kind.read_view(path, skeleton)
        return _view(detected, path.stem, skeleton, options)
    if options.skeleton and not kind.has_layouts:
        raise InputError(f"--skeleton: the format {name} fixes the layout of the keypoints; leave it out")
    stated = skeletons.get(options.skeleton) if options.skeleton else None
    recordings = {recording.name: recording for recording in kind.read_detections(path, path.stem, stated)}
    recording = _choose(recordings, options.recording, f"{path}, --recording")
    views = {str(view.name or number): view for number, view in enumerate(recording.views, 1)}
    detected = _choose(views, options.view, f"{path}, --view")
    return _view(detected, f"{recording.name} {detected.name or ''}".strip(), recording.skeleton, options)


def _told(kind: registry.ViewFormat, path: Path) -> Skeleton:
    told = kind.tell_layout([path])
    log.info("%s: the keypoints are those of %s: %s", path, told.skeleton.name, told.reason)
    return told.skeleton


def _choose(things: dict[str, Thing], name: str | None, where: str) -> Thing:
    if name is None and len(things) == 1:
        return next(iter(things.values()))
    if name not in things:
        problem = "name one of" if name is None else f"no {name}; there are"
        raise InputError(f"{where}: {problem} {listed(things, 30)}")
    return things[name]


def _view(detected: DetectedView, name: str, skeleton: Skeleton, options: argparse.Namespace) -> View:
    if not len(detected.pixels):
        raise InputError(f"{options.detections}: nobody is seen in any frame, so there is nothing to predict")
    return View(name, detected.name, detected.pixels, detected.confidence, skeleton, detected.first_frame)


def focal_length(text: str) -> float | None:
    """Give the number, if it is one."""
    try:
        return float(text)
    except ValueError:
        return None


def is_in_world(options: argparse.Namespace) -> bool:
    """Tell whether poses are to be in the world frame of a calibration, and not in that of the camera."""
    is_posed = focal_length(options.camera) is None
    if options.frame == "world" and not is_posed:
        raise InputError("--frame world: a focal length does not say where the camera is; give a calibration")
    return is_posed if options.frame is None else options.frame == "world"


def open_camera(options: argparse.Namespace, view_name: str | None) -> Camera:
    """Give the camera that the command line names.

    Parameters
    ----------
    options
        Of the command line.
    view_name
        What the detections call their view; None if that is not known.

    Raises
    ------
    InputError
        If there is none, or it is not clear which of several is meant.
    """
    size = _image_size(options.image_size)
    focal = focal_length(options.camera)
    if focal is not None:
        if size is None or not 0 < focal < 1e6:
            raise InputError(f"--camera {options.camera}: a focal length in pixels needs --image-size, as 1920x1080")
        return pinhole(focal, size)
    folder, calibration = recognise.look_at_calibration(Path(options.camera))
    changes = {"image_size": None if size is None else list(size), "unit": options.unit}
    if options.unit and calibration.format not in registry.CAMERAS:
        raise InputError(f"--unit {options.unit}: {options.camera} is in metres; leave it out")
    calibration = calibration.model_copy(update=changes)
    rigs = reading.list_cameras(calibration, folder)
    cameras = {camera.name: camera for rig in rigs.values() for camera in rig}
    if sum(map(len, rigs.values())) != len(cameras):
        raise InputError(f"{options.camera}: holds several rigs ({listed(rigs)}); take a calibration of one")
    chosen = _matching(cameras, options.camera_name, view_name, options.camera)
    camera = reading.read_camera(chosen, calibration, options.undistorted)
    if isinstance(camera, LeftOut):
        raise InputError(
            f"{chosen.where}: the camera {camera.reason}; calibrate it, or give its focal length (--camera PIXELS)"
        )
    return replace(camera, distortion=np.zeros(5)) if options.undistorted else camera


def _matching(cameras: dict[str, CameraEntry], name: str | None, view_name: str | None, path: str) -> CameraEntry:
    if name is None and view_name is not None:
        alike = [camera for camera in cameras if plain(camera) == plain(view_name.lower().removesuffix("_json"))]
        name = alike[0] if len(alike) == 1 else None
    return _choose(cameras, name, f"{path}, --camera-name")


def _image_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)[x×,](\d+)", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise InputError(f"--image-size {text}: expected width and height, as 1920x1080")
    return int(found[1]), int(found[2])


def no_pose(detections: str, frames: int, skeleton: Skeleton, predictor: Predictor) -> NoPoints:
    """Explain why no frame has a pose."""
    root = str(predictor.skeleton.root)
    formed_of = skeletons.mapping(skeleton, predictor.skeleton).formed_of[root]
    return NoPoints(
        f"{'standard input' if detections == '-' else detections}: none of the {frames} frames has a pose: none has "
        f"the {root} (formed of {', '.join(formed_of)}) and another joint that tell how far away the person is"
        + ("" if detections == "-" else "; nothing is written")
    )

"""``trilift predict`` of a recording: a file of poses for everybody who is seen."""

import argparse
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trilift.errors import InputError
from trilift.export import Motion, NoPoints, write
from trilift.formats import Camera
from trilift.geometry.upright import upright
from trilift.lifter.smoothing import Smoothing
from trilift.predict.following import pick
from trilift.predict.predictor import Predictor
from trilift.predict.sources import View, is_in_world, no_pose, open_camera, read_view

log = logging.getLogger(__name__)


def run(options: argparse.Namespace, predictor: Predictor, smoothing: Smoothing | None, fps: float) -> None:
    """Predict everybody in the detections that the command line names, and write a file for each.

    Raises
    ------
    InputError
        If something cannot be read, or does not fit, or no frame has a pose.
    """
    view = read_view(options)
    camera = open_camera(options, view.camera_name)
    _tell_of_points_outside(view.pixels, camera, options)
    path = options.output or Path(re.sub(r"[^\w.-]+", "_", f"{Path(options.detections).resolve().stem}_3d.nc"))
    people = view.follow(options.subject, fps)
    one = _OnePerson(options, predictor, smoothing, fps, view, camera)
    if len(people) == 1:
        one.write(path, view.name, people[0])
        return
    if options.stature is not None:
        raise InputError(
            f"--stature {options.stature:g}: {len(people)} people are seen; take one of them (--subject), or leave "
            "the stature out"
        )
    without: list[NoPoints] = []
    for number, which in enumerate(people, 1):
        seen = view.first_frame + np.flatnonzero(which >= 0)
        log.info("person_%d is seen in %d of the frames %d to %d", number, len(seen), seen[0], seen[-1])
        file = path.with_name(f"{path.stem}_person_{number}{path.suffix}")
        try:
            one.write(file, f"{view.name}/person_{number}", which)
        except NoPoints as error:
            log.warning("person_%d: %s", number, error)
            without.append(error)
    if len(without) == len(people):
        raise without[0]


@dataclass(frozen=True)
class _OnePerson:
    options: argparse.Namespace
    predictor: Predictor
    smoothing: Smoothing | None
    fps: float
    view: View
    camera: Camera

    def write(self, path: Path, name: str, which: np.ndarray) -> None:
        """Write the poses of the person who is `which` (frame,) of those in the view.

        The file has as many frames as the view; those from the person's first to the last are predicted.
        """
        options, predictor, view, camera = self.options, self.predictor, self.view, self.camera
        in_world = is_in_world(options)
        camera_name = f"camera {camera.name}" if camera.name != "camera" else "camera"
        motion = Motion(
            name=name,
            keypoints=predictor.skeleton.keypoints,
            fps=self.fps,
            length=len(which),
            frame_of_reference="world" if in_world else camera_name,
            source=f"predicted from one view by {options.lifter.name} of {predictor.lifter.facts['dataset']}",
            simulated=None,
            bones=predictor.skeleton.bones,
            first_frame=view.first_frame,
            filled=np.zeros(len(which), bool) if options.fill_gaps else None,
        )
        seen = np.flatnonzero(which >= 0)
        start, stop = int(seen[0]), int(seen[-1]) + 1
        confidence = None if view.confidence is None else view.confidence[start:stop]
        pixels, confidence = pick(view.pixels[start:stop], confidence, which[start:stop])
        begin, found, axes = time.perf_counter(), 0, []

        def blocks() -> Iterator[np.ndarray]:
            nonlocal found
            done = start
            yield _nothing(start, predictor)
            with tqdm(total=len(pixels), unit="frame", unit_scale=True, desc="predict", disable=None) as progress:
                for block in predictor.blocks(pixels, camera, confidence, view.skeleton, self.smoothing, self.fps):
                    if motion.filled is not None:
                        motion.filled[done : done + len(block.root)] = block.filled
                    done += len(block.root)
                    found += int(np.isfinite(block.root).all(-1).sum())
                    poses = block.in_world if in_world else block.in_camera
                    if options.up is None and np.isfinite(poses).any():
                        axes.append(upright(poses, predictor.skeleton)[2])
                    yield poses
                    progress.update(len(block.root))
            if not found:
                raise no_pose(options.detections, motion.length, view.skeleton, predictor)
            yield _nothing(motion.length - stop, predictor)

        write(path, motion, blocks(), options.up)
        filled = 0 if motion.filled is None else int(motion.filled.sum())
        log.info(
            "Wrote %s: %d of %d frames have a pose%s (%s frame); %.0f frames/s",
            path,
            found,
            motion.length,
            f", {filled} of them filled" if filled else "",
            motion.frame_of_reference,
            len(pixels) / (time.perf_counter() - begin),
        )
        if axes:
            up = np.sum(axes, 0)
            axis = ("" if up[np.abs(up).argmax()] > 0 else "-") + "xyz"[int(np.abs(up).argmax())]
            log.info("People stand along %s (--up=%s turns that to y, as OpenSim has it)", axis, axis)


def _nothing(frames: int, predictor: Predictor) -> np.ndarray:
    return np.full((frames, len(predictor.skeleton), 3), np.nan, np.float32)


def _tell_of_points_outside(pixels: np.ndarray, camera: Camera, options: argparse.Namespace) -> None:
    size = camera.image_size
    known = np.isfinite(pixels).all(-1)
    if not known.any() or not (size > 0).all():
        return
    inside = ((pixels > -0.1 * size) & (pixels < 1.1 * size)).all(-1)
    outside = 1 - inside.sum() / known.sum()
    if outside > 0.2:
        log.warning(
            "%.0f %% of the keypoints of %s lie outside the camera's image of %d x %d pixels: is it the right one?",
            100 * outside,
            options.detections,
            *size,
        )

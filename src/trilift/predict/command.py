"""The command ``trilift predict``: detections of one camera in, poses out."""

import argparse
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trilift.errors import InputError
from trilift.export import FORMATS
from trilift.export.motion import UP_AXES

if TYPE_CHECKING:
    from trilift.formats import Camera
    from trilift.lifter.smoothing import Smoothing
    from trilift.predict.predictor import Predictor
    from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)

_ASSUMED_FPS = 30.0


def describe(command: argparse.ArgumentParser) -> None:
    """Add what the command line says of this command, and its arguments."""
    command.description = (
        "Turn the 2D detections of one camera into 3D poses in metres, with a trained lifter. The camera "
        "may be one that the lifter never saw."
    )
    command.epilog = (
        "Examples:\n"
        "  trilift predict --lifter pretrained --detections pose/cam1_json --camera Calib.toml walk.trc\n"
        "  trilift predict --lifter results/gait/main --detections cam1.json --camera 1150 --image-size 1920x1080 "
        "--fps 50 --stature 1.78 --fill-gaps 0.2 walk.csv\n"
        "Live, a line of JSON for each frame in, a line out (keypoints as x, y, confidence; null where missing):\n"
        "  echo '{\"keypoints\": [[812, 403, 0.9], null, ...]}' | \\\n"
        "    trilift predict --lifter pretrained --detections - --skeleton coco17 --camera 1150 "
        "--image-size 1920x1080"
    )
    add = command.add_argument
    formats = ", ".join(f".{name}" for name in FORMATS)
    add("output", nargs="?", type=Path, help=f"file to write: {formats} (default: the detections' name and _3d.nc)")
    add(
        "--lifter",
        type=Path,
        required=True,
        metavar="NAME|FOLDER",
        help="pretrained, pretrained-single (which sees a single frame), or the folder of a run: results/demo/main",
    )
    add("--detections", required=True, metavar="PATH", help="file or folder of one camera; - reads frames from stdin")
    add("--camera", required=True, metavar="PATH|PIXELS", help="a calibration, or the focal length in pixels")
    add(
        "--camera-name", metavar="NAME", help="which one of the calibration (default: that named like the detections)"
    )
    add("--image-size", metavar="WxH", help="in pixels, where the calibration does not tell")
    add("--unit", choices=("m", "dm", "cm", "mm", "inch", "foot"), help="of lengths in the calibration, if it is not "
        "the format's own")  # fmt: skip
    add("--undistorted", action="store_true", help="the detections are of undistorted images")
    add("--format", metavar="NAME", help="of the detections (default: recognised)")
    add(
        "--skeleton",
        metavar="NAME|PATH",
        help="layout of the keypoints, or a .yaml file with one's own (default: recognised; from stdin the lifter's)",
    )
    add("--recording", metavar="NAME", help="which one, where a file holds several")
    add("--view", metavar="NAME", help="which one, where a file holds several")
    add("--subject", choices=("confidence", "size"), default="confidence", help="of several people take the surest "
        "or the largest")  # fmt: skip
    add("--fps", type=float, help=f"frames per second (default: {_ASSUMED_FPS:g})")
    add("--stature", type=float, metavar="METRES", help="of the person: the size of poses, and so how far they are")
    add(
        "--fill-gaps",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="fill frames without a pose from those around, in gaps up to so long, and mark them (default: 0)",
    )
    add(
        "--acceleration",
        type=float,
        default=10.0,
        metavar="M/S2",
        help="typical one of a joint: the larger, the less poses are smoothed (default: 10)",
    )
    add("--no-smooth", action="store_true", help="every frame for itself, as `trilift evaluate` measures it")
    add("--frame", choices=("camera", "world"), help="of reference (default: world with a calibration, else camera)")
    add("--up", choices=UP_AXES, metavar="AXIS", help="axis that is up, which is turned to y: x, y, z, =-x, =-y, =-z")
    add("--no-flip", action="store_true", help="predict once, not also in a mirror: twice as fast, less accurate")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto: a GPU if there is one")


def run(options: argparse.Namespace) -> None:
    """Run ``trilift predict``.

    Raises
    ------
    InputError
        If something cannot be read, or does not fit, or no frame has a pose.
    """
    from trilift.predict.predictor import load
    from trilift.project.devices import choose

    if options.fps is None:
        log.info("%g frames per second are assumed (--fps)", _ASSUMED_FPS)
    fps = _ASSUMED_FPS if options.fps is None else options.fps
    smoothing = _smoothing(options, fps)
    predictor = load(options.lifter, choose(options.device), not options.no_flip)
    if options.detections == "-":
        _run_live(options, predictor, smoothing, fps)
        return
    from tqdm import tqdm

    from trilift.export import Motion, write
    from trilift.geometry.upright import upright
    from trilift.predict.sources import open_camera, read_view

    view = read_view(options)
    camera = open_camera(options, view.camera_name)
    _tell_of_points_outside(view.pixels, camera, options)
    path = options.output or Path(re.sub(r"[^\w.-]+", "_", f"{Path(options.detections).resolve().stem}_3d.nc"))
    in_world = _in_world(options)
    motion = Motion(
        name=view.name,
        keypoints=predictor.skeleton.keypoints,
        fps=fps,
        length=len(view.pixels),
        frame_of_reference="world" if in_world else f"camera {camera.name}" if camera.name != "camera" else "camera",
        source=f"predicted from one view by {options.lifter.name} of {predictor.lifter.facts['dataset']}",
        simulated=None,
        bones=predictor.skeleton.bones,
        first_frame=view.first_frame,
        filled=np.zeros(len(view.pixels), bool) if options.fill_gaps else None,
    )
    start, done, found, axes = time.perf_counter(), 0, 0, []

    def blocks() -> Iterator[np.ndarray]:
        nonlocal done, found
        with tqdm(total=motion.length, unit="frame", unit_scale=True, desc="predict", disable=None) as progress:
            for block in predictor.blocks(view.pixels, camera, view.confidence, view.skeleton, smoothing, fps):
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
            raise _no_pose(options.detections, motion.length, view.skeleton, predictor)

    write(path, motion, blocks(), options.up)
    seconds = time.perf_counter() - start
    filled = 0 if motion.filled is None else int(motion.filled.sum())
    log.info(
        "Wrote %s: %d of %d frames have a pose%s (%s frame); %.0f frames/s",
        path,
        found,
        motion.length,
        f", {filled} of them filled" if filled else "",
        motion.frame_of_reference,
        motion.length / seconds,
    )
    if axes:
        up = np.sum(axes, 0)
        axis = ("" if up[np.abs(up).argmax()] > 0 else "-") + "xyz"[int(np.abs(up).argmax())]
        log.info("People stand along %s (--up=%s turns that to y, as OpenSim has it)", axis, axis)


def _no_pose(detections: str, frames: int, skeleton: "Skeleton", predictor: "Predictor") -> InputError:
    """Explain why no frame has a pose."""
    from trilift import skeletons

    root = str(predictor.skeleton.root)
    formed_of = skeletons.mapping(skeleton, predictor.skeleton).formed_of[root]
    return InputError(
        f"{'standard input' if detections == '-' else detections}: none of the {frames} frames has a pose: none has "
        f"the {root} (formed of {', '.join(formed_of)}) and another joint that tell how far away the person is"
        + ("" if detections == "-" else "; nothing is written")
    )


def _in_world(options: argparse.Namespace) -> bool:
    from trilift.predict.sources import focal_length

    is_posed = focal_length(options.camera) is None
    if options.frame == "world" and not is_posed:
        raise InputError("--frame world: a focal length does not say where the camera is; give a calibration")
    return is_posed if options.frame is None else options.frame == "world"


def _tell_of_points_outside(pixels: np.ndarray, camera: "Camera", options: argparse.Namespace) -> None:
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


def _smoothing(options: argparse.Namespace, fps: float) -> "Smoothing | None":
    from trilift.lifter.smoothing import Smoothing

    if options.no_smooth:
        if options.stature is not None or options.fill_gaps:
            raise InputError("--no-smooth: the stature and gaps need more than one frame; leave one or the other out")
        return None
    return Smoothing(fps, options.acceleration, options.fill_gaps, options.stature)


def _run_live(options: argparse.Namespace, predictor: "Predictor", smoothing: "Smoothing | None", fps: float) -> None:
    """Read a line for each frame, and write one as soon as it is predicted."""
    from trilift import skeletons
    from trilift.predict.sources import open_camera

    camera = open_camera(options, None)
    in_world = _in_world(options)
    skeleton = skeletons.get(options.skeleton) if options.skeleton else predictor.skeleton
    frames = (_parse(line, number, len(skeleton)) for number, line in enumerate(sys.stdin, 1) if line.strip())
    number = found = 0
    for prediction in predictor.live(frames, camera, skeleton, smoothing, fps):
        poses = (prediction.in_world if in_world else prediction.in_camera)[0]
        known = np.isfinite(poses).all(-1)
        rounded = poses.astype(float).round(5).tolist()
        pose = [place if its else None for place, its in zip(rounded, known, strict=True)] if known.any() else None
        filled = {"filled": True} if prediction.filled[0] else {}
        print(json.dumps({"frame": number, "joints": pose} | filled), flush=True)
        number += 1
        found += pose is not None
    if not found:
        raise _no_pose(options.detections, number, skeleton, predictor)


def _parse(line: str, number: int, keypoints: int) -> tuple[np.ndarray, np.ndarray]:
    where = f"standard input, line {number}"
    try:
        points = [[np.nan] * 3 if point is None else [*point, 1.0][:3] for point in json.loads(line)["keypoints"]]
        values = np.array(points, np.float64)
        if values.shape != (keypoints, 3):
            raise ValueError(f"{len(points)} keypoints instead of {keypoints}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{where}: expected {{"keypoints": [[x, y, confidence], ...]}}, null for a missing one '
            f"({type(error).__name__}: {error!s:.200})"
        ) from None
    return values[:, :2], np.nan_to_num(values[:, 2])

"""The command ``trilift predict``: detections of one camera in, poses out."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from trilift.errors import InputError
from trilift.export import FORMATS
from trilift.export.motion import UP_AXES

if TYPE_CHECKING:
    from trilift.lifter.smoothing import Smoothing

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
        "--image-size 1920x1080\n"
        "If several people are seen, each gets a file: walk_person_1.trc and so on. Live a line may hold them all:\n"
        '  {"people": [{"keypoints": [...]}, {"keypoints": [...]}]}'
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
    add("--subject", choices=("confidence", "size"), help="of several people take one, the surest or the largest "
        "(default: everybody, a file each)")  # fmt: skip
    add("--fps", type=float, help=f"frames per second (default: {_ASSUMED_FPS:g})")
    add(
        "--stature",
        type=float,
        metavar="METRES",
        help="of the one person: the size of poses, and so how far they are",
    )
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
    from trilift.predict import live, recorded
    from trilift.predict.predictor import load
    from trilift.project import threads
    from trilift.project.devices import choose

    if options.fps is None:
        log.info("%g frames per second are assumed (--fps)", _ASSUMED_FPS)
    fps = _ASSUMED_FPS if options.fps is None else options.fps
    smoothing = _smoothing(options, fps)
    predictor = load(options.lifter, choose(options.device), not options.no_flip)
    lift = live.run if options.detections == "-" else recorded.run
    with threads.apart():  # small networks: more threads gain nothing, and beside other work they wait for each other
        lift(options, predictor, smoothing, fps)


def _smoothing(options: argparse.Namespace, fps: float) -> "Smoothing | None":
    from trilift.lifter.smoothing import Smoothing

    if options.no_smooth:
        if options.stature is not None or options.fill_gaps:
            raise InputError("--no-smooth: the stature and gaps need more than one frame; leave one or the other out")
        return None
    return Smoothing(fps, options.acceleration, options.fill_gaps, options.stature)

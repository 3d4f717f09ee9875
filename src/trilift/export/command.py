"""The command ``trilift export``: files of the flow and lifters -> files that other programs read."""

import argparse
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trilift.errors import InputError, listed
from trilift.export import FORMATS, NoPoints, write
from trilift.export.motion import UP_AXES

if TYPE_CHECKING:
    from tqdm import tqdm

    from trilift.export.sources import Clip

log = logging.getLogger(__name__)


def describe(command: argparse.ArgumentParser) -> None:
    """Add what the command line says of this command, and its arguments."""
    command.description = (
        "Write the 3D points of recordings, a file for each (of predictions for each view), or a lifter "
        "as an ONNX model. Positions are in metres, in C3D in millimetres. Pseudo-labels and references are in the "
        "world frame, predictions in the frame of their camera (x right, y down, z forward)."
    )
    command.epilog = (
        "Examples:\n"
        "  trilift export data/pseudo_labels/demo.nc --to trc --up z\n"
        '  trilift export data/pseudo_labels/demo.nc --to c3d --recording "S1 Walking" --output ~/gait\n'
        "  trilift export results/demo/main/predictions.nc --to csv --view view1 --up=-y\n"
        "  trilift export results/demo/main --to onnx"
    )
    command.add_argument(
        "source", type=Path, help="pseudo-labels, reference, predictions or poses (.nc); for onnx a lifter's folder"
    )
    command.add_argument("--to", required=True, choices=(*FORMATS, "onnx"), help="what to write")
    command.add_argument("--output", type=Path, metavar="FOLDER", help="default: export, in the source's folder")
    command.add_argument(
        "--recording", nargs="+", metavar="NAME", help="only these; names with spaces in quotes (default: all)"
    )
    command.add_argument("--view", metavar="NAME", help="of predictions only those of this view (default: all)")
    command.add_argument(
        "--up",
        choices=UP_AXES,
        metavar="AXIS",
        help="which axis of the source points up: x, y or z, or its opposite, as in --up=-y; the points are then "
        "turned so that y does, as OpenSim has it (default: axes stay)",
    )


def run(options: argparse.Namespace) -> None:
    """Run ``trilift export``.

    Raises
    ------
    InputError
        If the source cannot be exported, lacks what was asked for, or has no point in it.
    """
    source: Path = options.source
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise InputError(f"{options.output}: no folder; --output names the folder to write to")
    if options.to == "onnx":
        _export_lifter(options)
        return
    if source.is_dir():
        raise InputError(f"{source}: a folder; expected a file, such as {source / 'predictions.nc'}, or --to onnx")
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from trilift.export.sources import open_clips

    folder = options.output or source.parent / "export"
    with open_clips(source) as clips:
        chosen = _choose(clips, options)
        paths = _paths(clips, chosen, folder, source.stem, options.to)
        empty = []
        total = sum(clip.motion.length for clip in chosen)
        with (
            tqdm(total=total, unit="frame", unit_scale=True, desc="export", disable=None) as progress,
            logging_redirect_tqdm(),
        ):
            for clip, path in zip(chosen, paths, strict=True):
                try:
                    write(path, clip.motion, _counted(clip, progress), options.up)
                except NoPoints as error:
                    empty.append(str(error))
                else:
                    log.info("Wrote %s: %s", path, _described(clip))
    if len(empty) == len(chosen):
        raise InputError(f"{source}: nothing to write: {'; '.join(empty)}")
    for reason in empty:
        log.warning("Not written: %s", reason)


def _export_lifter(options: argparse.Namespace) -> None:
    unused = [name for name in ("recording", "view", "up") if getattr(options, name) is not None]
    if unused:
        named = ", ".join(f"--{name}" for name in unused)
        raise InputError(f"{named}: for recordings, not for a lifter; leave out")
    if not (options.source / "lifter.json").is_file():
        raise InputError(f"{options.source}: holds no lifter.json; expected a lifter's folder: results/<name>/main")
    from trilift.export.onnx import export_onnx
    from trilift.lifter.lifter import Lifter

    path = (options.output or options.source / "export") / "lifter.onnx"
    export_onnx(Lifter.load(options.source), path)
    log.info("Wrote %s", path)


def _choose(clips: "list[Clip]", options: argparse.Namespace) -> "list[Clip]":
    views = list(dict.fromkeys(clip.view for clip in clips if clip.view is not None))
    if options.view is not None and options.view not in views:
        there = f"there are {listed(views)}" if views else "only predictions have views; leave out --view"
        raise InputError(f"{options.source}: no view '{options.view}'; {there}")
    names = list(dict.fromkeys(clip.motion.name for clip in clips))
    if unknown := [name for name in options.recording or () if name not in names]:
        raise InputError(f"{options.source}: no recording {listed(unknown)}; there are {listed(names)}")
    return [
        clip
        for clip in clips
        if (options.recording is None or clip.motion.name in options.recording)
        and (options.view is None or clip.view == options.view)
    ]


def _paths(clips: "list[Clip]", chosen: "list[Clip]", folder: Path, source: str, suffix: str) -> list[Path]:
    """Name the files after source, recording and view, and where recordings share a name also after the capture."""
    plain = [_file_name(source, clip.motion.name, clip.view) for clip in clips]
    with_capture = len({name.casefold() for name in plain}) < len(plain)
    paths: dict[str, Path] = {}
    for clip in chosen:
        capture = clip.capture if with_capture else None
        path = folder / f"{_file_name(source, capture, clip.motion.name, clip.view)}.{suffix}"
        if path.name.casefold() in paths:
            raise InputError(
                f"two recordings would be written to {path}; export them one after the other, with --recording "
                "and another --output for each"
            )
        paths[path.name.casefold()] = path
    return list(paths.values())


def _file_name(*parts: str | None) -> str:
    """Join parts with what every file system takes: letters, digits, ``_``, ``-`` and ``.``.

    A recording that is called as its data set, or begins with its name, is not named after it once more.
    """
    names = [re.sub(r"[^\w.-]+", "_", part).strip("._") for part in parts if part]
    repeats = len(names) > 1 and f"{names[1]}_".startswith(f"{names[0]}_")
    return "_".join(names[repeats:])


def _counted(clip: "Clip", progress: "tqdm[Any]") -> Iterator[np.ndarray]:
    for block in clip.load():
        yield block
        progress.update(len(block))


def _described(clip: "Clip") -> str:
    motion = clip.motion
    simulated = " (SIMULATED)" if motion.simulated else ""
    last = motion.first_frame + motion.length - 1
    frames = f"{motion.length} frames, {motion.first_frame} to {last}"
    return f"{motion.source}{simulated}, {motion.frame_of_reference}, {frames}"

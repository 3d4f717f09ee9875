"""The command line: one command per stage, each usable without Snakemake, and those around them."""

import argparse
import importlib
import logging
import sys
from contextlib import ExitStack
from pathlib import Path

from trilift import __version__
from trilift.errors import InputError
from trilift.project import messages
from trilift.project.files import DISK_FULL
from trilift.project.layout import Layout
from trilift.project.locks import alone
from trilift.project.stages import STAGES, Stage

log = logging.getLogger(__name__)

_OTHERS = {
    "new": ("trilift.ingest.new", "start a data set from a folder of recordings"),
    "predict": (
        "trilift.predict.command",
        "turn the detections of one camera into 3D poses, with a trained lifter",
    ),
    "export": (
        "trilift.export.command",
        "write poses or a lifter for other programs: TRC, C3D, CSV, NPZ, netCDF, ONNX",
    ),
    "render": (
        "trilift.render.command",
        "write the videos of a data set with detections, pseudo-labels and predictions drawn over them",
    ),
    "report": ("trilift.plot.comparison", "put the results of all data sets and runs side by side on one page"),
    "info": ("trilift.project.info", "show what made a file: stage, settings, inputs, code, libraries"),
}
_EXIT_CODES = {
    "check": "\nExit code: 0 where nothing looks wrong, 1 where something does, 2 where input cannot be read."
}


def _parser(arguments: list[str] | None = None) -> argparse.ArgumentParser:
    """Make the parser; with the arguments, only what they need."""
    parser = argparse.ArgumentParser(
        prog="trilift",
        description="Train a single-camera 3D human pose estimator from multi-camera recordings, without 3D labels.",
        epilog="The stages in their order, on the simulated data set 'demo':\n"
        "  trilift simulate demo && trilift ingest demo && trilift triangulate demo\n"
        "  trilift train demo && trilift evaluate demo && trilift plot demo\n"
        "The same with nothing done twice:\n"
        "  snakemake --cores all\n"
        "Your own recordings:\n"
        "  trilift new ~/recordings/gait && trilift check gait\n"
        "  snakemake --cores all results/gait/main/report.html\n"
        "One camera, with what was trained:\n"
        "  trilift predict --lifter results/gait/main --detections cam1_json --camera Calib.toml walk.trc",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trilift {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, stage in STAGES.items():
        command = commands.add_parser(
            name,
            help=stage.about,
            description=stage.about[0].upper() + stage.about[1:] + ".",
            epilog=_examples(name, stage) + _EXIT_CODES.get(name, ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("dataset", help="name of a data set: a file in workflow/datasets/")
        command.add_argument("--project", type=Path, default=Path(), help="folder of params.yaml (default: this one)")
        command.add_argument("--log", type=Path, help="also write the messages to this file")
        if stage.of_run:
            command.add_argument(
                "--run",
                default="main",
                help="a run of the section sweep of params.yaml, such as all-s0 (default: main)",
            )
        if stage.of_videos:
            command.add_argument(
                "--video", help="only look at this one; what all have in common is put together later"
            )
        if stage.refines:
            command.add_argument(
                "--refine",
                action="store_true",
                help="begin with the calibration that there is, and say which cameras have moved; it stays as it is",
            )
        if stage.on_device:
            command.add_argument(
                "--device", default="auto", help="cpu, cuda, cuda:1 or auto: a GPU if there is one (default)"
            )
    for name, (module, about) in _OTHERS.items():
        command = commands.add_parser(name, help=about, formatter_class=argparse.RawDescriptionHelpFormatter)
        if arguments is None or name in arguments:  # the others' modules need not be loaded
            importlib.import_module(module).describe(command)
    return parser


def _examples(name: str, stage: Stage) -> str:
    examples = stage.examples or (f"trilift {name} demo",)
    return "\n  ".join(["Examples:" if len(examples) > 1 else "Example:", *examples])


def _describe(error: OSError) -> str:
    """Say which file cannot be read or written, and why."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}" + ("; free some and run again" if error.errno in DISK_FULL else "")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 where `check` found something, 2 after a message about input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(arguments).parse_args(arguments)
    with ExitStack() as until:
        return _run(options, until)


def _run(options: argparse.Namespace, until: ExitStack) -> int:
    try:
        until.enter_context(messages.shown(getattr(options, "log", None)))
        with messages.warnings_again():
            return _call(options)
    except InputError as error:
        log.error("trilift %s: %s", options.command, error)
        return 2
    except OSError as error:
        log.error("trilift %s: %s", options.command, _describe(error))
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _call(options: argparse.Namespace) -> int:
    if options.command in _OTHERS:
        importlib.import_module(_OTHERS[options.command][0]).run(options)
        return 0
    layout = Layout(options.dataset, options.project, getattr(options, "run", "main"))
    stage, video = STAGES[options.command], getattr(options, "video", None)
    with alone(layout.lock(options.command, video), f"trilift {options.command} {options.dataset}"):
        run = stage.load().run
        if stage.refines:
            run(layout, options.refine)
            return 0
        if not stage.on_device:
            return run(layout) or 0
        if stage.of_videos:  # it chooses by itself, if there is something to choose
            run(layout, options.device, video)
            return 0
        from trilift.project.devices import choose

        run(layout, choose(options.device))
    return 0

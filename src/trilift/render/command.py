"""The command ``trilift render``: videos and what was made of them -> videos to look at."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trilift.errors import InputError, listed
from trilift.project.layout import Layout

if TYPE_CHECKING:
    from trilift.render.overlay import Shown

log = logging.getLogger(__name__)


def describe(command: argparse.ArgumentParser) -> None:
    """Add what the command line says of this command, and its arguments."""
    command.description = (
        "Write a video (MP4) for each recording and view of a data set that begins with videos. Drawn over it are "
        "detections, reprojected pseudo-labels and, in test frames, the lifter's predictions from this view alone. "
        "Several people have their names."
    )
    command.epilog = (
        'Examples:\n  trilift render gait\n  trilift render gait --recording "walk 1" --view cam01 --output ~/gait'
    )
    command.add_argument("dataset", help="name of a data set: a file in workflow/datasets/")
    command.add_argument("--project", type=Path, default=Path(), help="folder of params.yaml (default: this one)")
    command.add_argument("--run", default="main", help="of which the lifter is (default: main)")
    command.add_argument(
        "--recording", nargs="+", metavar="NAME", help="only these; names with spaces in quotes (default: all)"
    )
    command.add_argument("--view", nargs="+", metavar="NAME", help="only these (default: all)")
    command.add_argument("--output", type=Path, metavar="FOLDER", help="default: render, in results/<data set>/<run>")


def run(options: argparse.Namespace) -> None:
    """Run ``trilift render``.

    Raises
    ------
    InputError
        If the data set has no videos, or what was made of them is missing or older, or lacks what was asked for.
    """
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from trilift.formats.films import Films
    from trilift.formats.source import Source
    from trilift.project.params import load_dataset
    from trilift.render.overlay import open_shown, render

    layout = Layout(options.dataset, options.project, options.run)
    films = Films(load_dataset(layout.dataset_file, "ingest", Source), layout.raw, layout.dataset)
    if not films:
        raise InputError(
            f"{layout.dataset_file}: no videos are known; render draws over those that detections are made of "
            "(ingest: detections: format: video)"
        )
    folder = options.output or layout.results / "render"
    with open_shown(layout) as shown:
        chosen = list(_chosen(shown, options))
        total = sum(one.length for one in chosen)
        with (
            tqdm(total=total, unit="frame", desc="render", disable=None) as progress,
            logging_redirect_tqdm(),
        ):
            for one in chosen:
                film = films.open(one.recordings[0], one.view)
                if film is None:
                    log.warning("%s, view %s: its video is not there any more", one.clip, one.view)
                    continue
                path = folder / f"{one.file_name}.mp4"
                render(one, film, path, progress.update)
                log.info("Wrote %s", path)


def _chosen(shown: "Sequence[Shown]", options: argparse.Namespace) -> "Iterator[Shown]":
    for what, named in (("recording", options.recording), ("view", options.view)):
        there = list(dict.fromkeys(one.clip if what == "recording" else one.view for one in shown))
        if unknown := [name for name in named or () if name not in there]:
            raise InputError(f"{options.dataset}: no {what} {listed(unknown)}; there are {listed(there)}")
    for one in shown:
        in_recordings = options.recording is None or one.clip in options.recording
        if in_recordings and (options.view is None or one.view in options.view):
            yield one

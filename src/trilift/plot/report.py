"""The page of a run: what was trained on what, its numbers, tables and figures, its cameras, what made it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from trilift.captures import reading
from trilift.errors import listed
from trilift.formats.source import Source
from trilift.plot.pages import CAPTIONS, caption, embedded, number, render
from trilift.plot.series import ALL_SERIES, measure_of
from trilift.project import info
from trilift.project.layout import Layout
from trilift.project.stages import stages_of_data

TABLES = ("per_recording", "per_action", "per_joint", "per_view")
"""The tables that the page shows, beside ``table.md``."""

_COLUMNS = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "n_mpjpe_mm": "N-MPJPE (mm)",
    "pck_150mm_percent": "PCK (%)",
    "other_views_reprojection_px": "other views (px)",
    "mean_pose_mpjpe_mm": "mean pose, MPJPE (mm)",
    "mean_pose_other_views_reprojection_px": "mean pose, other views (px)",
    "pseudo_label_mpjpe_mm": "pseudo-label, MPJPE (mm)",
    "pseudo_label_other_views_reprojection_px": "pseudo-label, other views (px)",
    "poses": "poses",
    "joints": "joints",
}
_OF_VIEWS = {
    "median_px": "median (px)",
    "p90_px": "90th percentile (px)",
    "median_mm": "median (mm)",
    "missing": "missing (%)",
    "rejected": "rejected (%)",
    "swapped": "swapped (%)",
    "information": "information (%)",
}
_NAMES = ("capture", "recording", "action", "view", "joint")
_SHARES = ("missing", "rejected", "swapped", "information")
_COUNTS = ("poses", "joints")
_FIGURES = tuple(PurePath(path).stem for path in CAPTIONS[:-3])


class Bar(NamedTuple):
    """A mean error, of the lifter or of what it is compared with, with its interval if there is one."""

    name: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


class Part(NamedTuple):
    """Frames of a data set: whose they are, of how many recordings and cameras, and how long they last."""

    people: list[str]
    recordings: int
    cameras: list[int]
    frames: int
    seconds: float

    def __str__(self) -> str:
        fewest, most = min(self.cameras), max(self.cameras)
        time = f"{self.seconds:.0f} s" if self.seconds < 100 else f"{self.seconds / 60:.1f} min"
        return (
            f"{_several(len(self.people), 'person', 'people')} ({listed(self.people)}), "
            f"{_several(self.recordings, 'recording')}, "
            f"{f'{fewest} to {most} cameras' if fewest < most else _several(most, 'camera')}, "
            f"{_several(self.frames, 'frame')} ({time})"
        )


def part_of(captures: Mapping[str, xr.Dataset], chosen: Mapping[str, np.ndarray]) -> Part:
    """Describe the frames that are chosen of captures: of each their indices (frame,)."""
    people, cameras, recordings, frames, seconds = dict[str, None](), [], 0, 0, 0.0
    for name, index in chosen.items():
        for recording in reading.recordings(captures[name]):
            own = int(((index >= recording.start) & (index < recording.frames.stop)).sum())
            if own:
                people[recording.subject] = None
                cameras.append(captures[name].sizes["view"])
                recordings += 1
                frames += own
                seconds += own / recording.fps
    return Part(list(people), recordings, cameras, frames, seconds)


def _several(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def bars(facts: Mapping[str, Any], measure: str) -> list[Bar]:
    """Give the lifter's error beside the mean pose's and the pseudo-label's."""
    found = []
    for series in ALL_SERIES:
        column = series.column(measure)
        low, high = (facts.get(f"{column}_ci95_{end}") for end in ("low", "high"))
        found.append(Bar(series.name, series.label, facts.get(column), low, high))
    return found


def records(layout: Layout, source: Source) -> list[Path]:
    """Name the records of the stages before `plot`, in their order."""
    of_data = stages_of_data(layout.dataset, source.detections.of_videos, source.cameras.by_people)
    stages = [*of_data, "train", "evaluate"]
    return [layout.provenance(stage) for stage in stages]


def report_page(
    layout: Layout,
    source: Source,
    facts: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    trained: Part,
    tested: Part,
) -> str:
    """Make the page; it holds the figures, which are there already.

    Parameters
    ----------
    layout
        Where the files of the run are.
    source
        The section ``ingest`` of the data set's file.
    facts
        What ``metrics.json`` holds.
    tables
        `TABLES`, ``history`` and ``views``.
    trained, tested
        On what the lifter was trained and tested.
    """
    main = measure_of(facts)
    made = {path: info.read(path, layout.project).content for path in records(layout, source)}
    of_stage = {content["stage"]: content for content in made.values()}
    table, note = _of_markdown((layout.results / "table.md").read_text("utf-8"))
    return render(
        "report.html",
        dataset=layout.dataset,
        run=layout.run,
        folder=layout.results.relative_to(layout.project).as_posix(),
        facts=facts,
        main=main,
        bars={measure: bars(facts, measure) for measure in (main, "pa_mpjpe_mm") if measure in facts},
        trained=trained,
        tested=tested,
        training=of_stage["train"]["settings"]["params.yaml"]["train"],
        steps=int(tables["history"]["step"].iloc[-1]),
        table=table,
        note=note,
        tables={name: _cells(tables[name], _COLUMNS) for name in TABLES},
        about_tables=caption("tables"),
        views=_cells(tables["views"], _OF_VIEWS),
        warnings=[warning for content in made.values() for warning in content.get("warnings", [])],
        about_viewer=caption("viewer"),
        figures=[(name, caption(name), embedded(_image(layout, name))) for name in _FIGURES],
        made=[
            (content["stage"], Path(os.path.relpath(path, layout.results)).as_posix(), _described(content))
            for path, content in made.items()
        ],
    )


def _image(layout: Layout, name: str) -> Path:
    folder = layout.results / "figures"
    return folder / ("animation.gif" if name == "animation" else f"{name}.png")


def _described(content: dict[str, Any]) -> str:
    """Write a record as `trilift info` does, without its code: an edited comment changes no page."""
    shown = info.parts(content)
    return info.as_yaml({name: shown[name] for name in shown if name not in ("code", "warnings")})


def _of_markdown(text: str) -> tuple[list[list[str]], str]:
    """Give the cells of a table, the first row its head, and what is said below it."""
    table, _, note = text.partition("\n\n")
    head, _, *rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines())
    return [[cell.replace("\\|", "|").strip() for cell in row] for row in (head, *rows)], note.strip()


def _cells(table: pd.DataFrame, columns: Mapping[str, str]) -> list[list[str]]:
    """Write the columns of a table that are shown, the first row its head."""
    names = [name for name in _NAMES if name in table]
    texts = [table[name].tolist() for name in names]
    shown = [name for name in columns if name in table]
    for name in shown:
        values = table[name] * (100 if name in _SHARES else 1)
        texts.append([number(value, 0 if name in _COUNTS else 1) for value in values.tolist()])
    head = [*("camera" if name == "view" else name for name in names), *(columns[name] for name in shown)]
    return [head, *map(list, zip(*texts, strict=True))]

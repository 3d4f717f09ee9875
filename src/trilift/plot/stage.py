"""plot: tables and predictions -> figures, an animation, and a page to look at poses from all sides."""

import json
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from trilift import skeletons, style
from trilift.captures import reading
from trilift.captures.schema import Recording
from trilift.captures.splits import Split, frames_of
from trilift.errors import InputError
from trilift.formats.films import READER, Film, Films
from trilift.formats.source import Source
from trilift.geometry.upright import upright
from trilift.plot import report
from trilift.plot.animation import animate
from trilift.plot.conditions import error_by_condition
from trilift.plot.distribution import error_distribution
from trilift.plot.frames import every_that_fits, small_jpeg
from trilift.plot.per_action import error_per_action
from trilift.plot.per_joint import error_per_joint
from trilift.plot.per_view import error_per_view
from trilift.plot.poses import Example, predicted_poses
from trilift.plot.pseudo_labels import pseudo_label_quality
from trilift.plot.series import Overall, unit_of
from trilift.plot.settings import Settings
from trilift.plot.training import training_curve
from trilift.plot.viewer import Clip, viewer_page
from trilift.project import provenance
from trilift.project.files import replacing, write_text
from trilift.project.layout import Layout
from trilift.project.params import load, load_dataset
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)

_NAMES = dict.fromkeys(
    ("capture", "recording", "view", "keypoint", "subject", "parent", "child", "action", "joint"), str
)
_TABLES = ("history", *report.TABLES, "by_confidence", "by_angle", "distribution")
_OF_TRIANGULATION = ("views", "keypoints", "bones")
_FIGURES = (
    *("pseudo_labels", "training", "error_per_joint", "error_per_action", "error_per_view"),
    *("error_distribution", "error_by_condition", "poses"),
)
_RANKS = {0.0: "best", 0.5: "median", 1.0: "worst"}


def run(layout: Layout) -> None:
    """Draw the figures of a run, and make its page and its viewer."""
    settings = load(layout.params, "plot", Settings)
    source = load_dataset(layout.dataset_file, "ingest", Source)
    split = load_dataset(layout.dataset_file, "split", Split)
    films = Films(source, layout.raw, layout.dataset) if settings.video_frames else None
    style.use()
    try:
        facts = json.loads((layout.results / "metrics.json").read_text("utf-8"))
        tables = {name: _read(layout.results / f"{name}.csv") for name in _TABLES}
        views, keypoints, bones = (_read(layout.recap / f"{name}.csv") for name in _OF_TRIANGULATION)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: not there; triangulate, train and evaluate first") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{layout.results}: no readable results ({error}); triangulate, train and evaluate again"
        ) from None
    note = f"data set {layout.dataset}" + (" (SIMULATED)" if facts["simulated"] else "")
    note += f" · detections: {facts['detections_from']}"
    note += f" · cameras: {facts['cameras_from']}" if "cameras_from" in facts else ""
    if facts["seen_in_training"]:
        note += " · the person was seen in training"
    overall = Overall.of(facts)
    unit = unit_of(overall.measure)
    per_joint, per_action = tables["per_joint"].set_index("joint"), tables["per_action"].set_index("action")
    _save(layout, "pseudo_labels", pseudo_label_quality(views, keypoints, bones, note))
    _save(layout, "training", training_curve(tables["history"], note))
    _save(layout, "error_per_joint", error_per_joint(per_joint, overall, note))
    _save(layout, "error_per_action", error_per_action(per_action, overall, note))
    _save(layout, "error_per_view", error_per_view(tables["per_view"], overall, note))
    _save(layout, "error_distribution", error_distribution(tables["distribution"], note, unit))
    by_condition = error_by_condition(tables["by_confidence"], tables["by_angle"], overall, note)
    _save(layout, "error_by_condition", by_condition)
    with (
        reading.read(layout.captures, "captures") as detections,
        reading.read(layout.pseudo_labels, "pseudo_labels") as labels,
        reading.read(layout.references, "references") as references,
        reading.read(layout.results / "predictions.nc", "predictions") as predictions,
    ):
        compared_with, target = ("reference", references) if unit == "mm" else ("pseudo-label", labels)
        for present in (detections, target):
            reading.check_same_recordings(layout.results / "predictions.nc", predictions, present)
        shown = [_Shown(detections[name], target[name], capture) for name, capture in predictions.items()]
        _save(
            layout,
            "poses",
            predicted_poses(list(_examples(shown, films, settings.examples, unit)), compared_with, note),
        )
        clips = list(_clips(shown, films, settings))
        trained, tested = (
            report.part_of(detections, frames)
            for frames in (
                {name: np.flatnonzero(frames_of(one, split, "train")) for name, one in detections.items()},
                {name: one["frame_of_capture"].values for name, one in predictions.items()},
            )
        )
    _animate(clips[0], layout, compared_with, note)
    _write(layout.results / "viewer.html", viewer_page(clips, compared_with, note, facts["simulated"]))
    _write(
        layout.results / "report.html",
        report.report_page(layout, source, facts, tables | {"views": views}, trained, tested),
    )
    if films:
        log.info(
            "figures/poses, report.html and viewer.html show frames of the videos, in which people can be "
            "recognised; `video_frames: false` in params.yaml, section plot, leaves them out"
        )
    _record(layout, settings, source, split, films)


def _record(layout: Layout, settings: Settings, source: Source, split: Split, films: Films | None) -> None:
    figures = layout.results / "figures"
    provenance.write(
        layout,
        "plot",
        params={"plot": settings},
        dataset={"ingest": source, "split": split},
        digests=films.digests() if films else None,
        loads=[READER] if films else [],
        inputs=[
            *(layout.captures, layout.references, layout.pseudo_labels),
            *(layout.recap / f"{name}.csv" for name in _OF_TRIANGULATION),
            *(layout.results / f"{name}.csv" for name in _TABLES),
            *(layout.results / name for name in ("metrics.json", "table.md", "predictions.nc")),
            *report.records(layout, source),
        ],
        outputs=[
            *(figures / f"{name}.{ending}" for name in _FIGURES for ending in ("png", "pdf")),
            *(figures / "animation.gif", layout.results / "viewer.html", layout.results / "report.html"),
        ],
    )


def _read(path: Path) -> pd.DataFrame:
    """Read a table; a camera called NA or null is one."""
    return pd.read_csv(path, dtype=_NAMES, keep_default_na=False, na_values=[""])


def _write(path: Path, page: str) -> None:
    write_text(path, page)
    log.info("%s", path)


def _save(layout: Layout, name: str, figure: Figure) -> None:
    for ending, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        path = layout.results / "figures" / f"{name}.{ending}"
        with replacing(path) as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata)
        figure.set_layout_engine("none")  # laid out once
        log.info("%s", path)
    plt.close(figure)


class _Shown:
    """The test frames of one capture: detections, predictions, and what they are compared with."""

    def __init__(self, detections: xr.Dataset, target: xr.Dataset, predictions: xr.Dataset):
        self.detections, self.target, self.predictions = detections, target, predictions
        self.R = detections["R"].values
        self.views = detections["view"].values.tolist()
        self.skeleton = reading.skeleton_of(detections)
        self.frame_of_capture = predictions["frame_of_capture"].values
        self.error = predictions["pose_error"].values
        some = np.array(_even(len(self.frame_of_capture), 200))
        self.upright = upright(self.compare(self.frame_of_capture[some]), TRAINING_SKELETON)

    def compare(self, frames: np.ndarray) -> np.ndarray:
        """Give what predictions of these frames of the capture are compared with: (frame, joint, 3), root at 0."""
        world = self._in_world(frames)
        return world - world[:, TRAINING_SKELETON.root_index, None]

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give where people are in rows of the predictions: the world's axes, 0 in the middle of all.

        Returns
        -------
        predicted, target
            (frame, view, 3) and (frame, 3). Predicted poses are where the target is, else where their view has them.
        """
        target = self._in_world(self.frame_of_capture[rows])[:, TRAINING_SKELETON.root_index]
        in_camera = self.predictions["root"].isel(frame=rows).values - self.detections["t"].values
        alone = np.einsum("vji,fvj->fvi", self.R, in_camera)
        predicted = np.where(np.isfinite(target)[:, None], target[:, None], alone)
        return predicted - self._middle, target - self._middle

    @cached_property
    def _middle(self) -> np.ndarray:
        some = self.frame_of_capture[_even(len(self.frame_of_capture), 200)]
        roots = self._in_world(some)[:, TRAINING_SKELETON.root_index]
        known = roots[np.isfinite(roots).all(1)]
        return np.median(known, 0) if len(known) else np.zeros(3)

    def _in_world(self, frames: np.ndarray) -> np.ndarray:
        if "training_poses" in self.target:
            return self.target["training_poses"].isel(frame=frames).values
        mapping = skeletons.mapping(reading.skeleton_of(self.target), TRAINING_SKELETON)
        return mapping.apply(self.target["poses"].isel(frame=frames).values)


def _even(length: int, number: int) -> list[int]:
    return np.unique(((np.arange(number) + 0.5) * length / number).astype(int)).tolist()


def _examples(shown: list[_Shown], films: Films | None, number: int, unit: str) -> Iterator[Example]:
    """Take poses from the best to the worst at even ranks."""
    errors = np.concatenate([one.error.ravel() for one in shown])
    owner = np.repeat(np.arange(len(shown)), [one.error.size for one in shown])
    place = np.concatenate([np.arange(one.error.size) for one in shown])
    order = np.argsort(errors, kind="stable")[: np.isfinite(errors).sum()]
    shares = np.linspace(0, 1, number) if number > 1 else [0.5]
    for share in shares if len(order) else ():
        index = order[round(share * (len(order) - 1))]
        one = shown[owner[index]]
        frame, view = divmod(int(place[index]), len(one.views))
        in_capture = int(one.frame_of_capture[frame])
        recording = next(
            recording
            for recording in reading.recordings(one.detections)
            if recording.start <= in_capture < recording.frames.stop
        )
        film = films.open(recording, one.views[view]) if films else None
        yield Example(
            title=f"{recording.name}, frame {recording.number_of(in_capture)}, camera {one.views[view]}",
            pixels=one.detections["pixels"][in_capture, view].values,
            skeleton_2d=one.skeleton,
            predicted=one.predictions["poses"][frame, view].values,
            target=one.compare(np.array([in_capture]))[0] @ one.R[view].T,
            skeleton_3d=TRAINING_SKELETON,
            rank=f"{_RANKS.get(share, f'{share:.0%} rank')}, {errors[index]:.0f} {unit}",
            image=next(film.images([in_capture])) if film else None,
        )


def _clips(shown: list[_Shown], films: Films | None, settings: Settings) -> Iterator[Clip]:
    """Take the beginnings of test clips at even distances, with everybody who is there."""
    rooms: dict[tuple[int, str], list[tuple[_Shown, Recording, np.ndarray]]] = {}
    for number, one in enumerate(shown):
        for recording in reading.recordings(one.detections):
            own = (one.frame_of_capture >= recording.start) & (one.frame_of_capture < recording.frames.stop)
            if own.any():
                rooms.setdefault((number, recording.clip), []).append((one, recording, np.flatnonzero(own)))
    of_rooms = list(rooms.values())
    chosen: list[tuple[_Shown, Recording, np.ndarray, int | None]] = []
    for number in _even(len(of_rooms), settings.viewer_recordings):
        people = of_rooms[number]
        numbers = [one.frame_of_capture[frames] + recording.number_of(0) for one, recording, frames in people]
        begin, fps = min(its[0] for its in numbers), people[0][1].fps
        step = max(1, round(fps / 30))  # as smooth as films are
        for (one, recording, frames), its in zip(people, numbers, strict=True):
            late = its - begin
            kept = frames[(late < max(1, round(settings.viewer_seconds * fps))) & (late % step == 0)]
            if len(kept):
                chosen.append((one, recording, kept, number if recording.person else None))
    every = every_that_fits(
        sum(len(frames) * len(one.views) for one, _, frames, _ in chosen), settings.viewer_frames_mb
    )
    for one, recording, frames, room in chosen:
        in_capture = one.frame_of_capture[frames]
        opened = [films.open(recording, view) if films else None for view in one.views]
        sizes = one.detections["image_size"].values
        predicted = np.einsum("vji,fvkj->fvki", one.R, one.predictions["poses"].isel(frame=frames).values)
        target = one.compare(in_capture)
        if room is not None:
            of_predicted, of_target = one.places(frames)
            predicted, target = predicted + of_predicted[:, :, None], target + of_target[:, None]
        yield Clip(
            title=recording.name,
            subject=recording.subject,
            action=recording.action,
            fps=recording.fps / max(1, round(recording.fps / 30)),
            begin=recording.number_of(int(in_capture[0])) / recording.fps,
            views=one.views,
            image_sizes=np.array(
                [size if film is None else film.size for film, size in zip(opened, sizes, strict=True)]
            ),
            pixels=one.detections["pixels"].isel(frame=in_capture).values,
            predicted=predicted @ one.upright.T,
            target=target @ one.upright.T,
            skeleton_2d=one.skeleton,
            skeleton_3d=TRAINING_SKELETON,
            images=[_small_images(film, in_capture[::every].tolist()) for film in opened],
            image_every=every,
            person=recording.person,
            room=room,
        )


def _small_images(film: Film | None, frames: list[int]) -> list[bytes | None]:
    images = film.images(frames) if film else ()
    return [None if image is None else small_jpeg(image) for image in images]


def _animate(clip: Clip, layout: Layout, compared_with: str, note: str) -> None:
    """Animate a clip in the view of which most is predicted."""
    view = int(np.isfinite(clip.predicted).sum((0, 2, 3)).argmax())
    predicted, target = (
        poses - poses[:, [clip.skeleton_3d.root_index]] for poses in (clip.predicted[:, view], clip.target)
    )
    path = layout.results / "figures" / "animation.gif"
    with replacing(path) as temporary:
        animate(
            clip.pixels[:, view],
            clip.skeleton_2d,
            clip.image_sizes[view],
            predicted,
            target,
            clip.skeleton_3d,
            clip.fps,
            clip.begin,
            f"{clip.title}, camera {clip.views[view]}",
            note,
            temporary,
            compared_with,
        )
    log.info("%s", path)

"""ingest: raw files of any format -> captures (detections and cameras) and references."""

import logging
import math
from itertools import accumulate, groupby

import matplotlib.pyplot as plt
import numpy as np

from trilift import style
from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.captures.writing import Writer
from trilift.errors import InputError, listed
from trilift.formats import reading, registry
from trilift.formats.by_people import read_about
from trilift.formats.source import Source
from trilift.ingest import examine
from trilift.ingest.assemble import assemble
from trilift.ingest.assembled import AssembledCapture
from trilift.ingest.people.seen import Seen
from trilift.ingest.people.seen_figure import who_is_seen
from trilift.ingest.settings import Settings
from trilift.project import provenance, threads
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load, load_dataset

log = logging.getLogger(__name__)

_READERS = [f"trilift.formats.{kind.module}" for kind in (*registry.DETECTIONS.values(), *registry.CAMERAS.values())]


@threads.apart()
def run(layout: Layout) -> None:
    """Read the raw files of a data set, check them, and write captures, references and who is seen."""
    settings = load(layout.params, "ingest", Settings)
    source = load_dataset(layout.dataset_file, "ingest", Source)
    facts = {
        "dataset": layout.dataset,
        "detections_from": reading.made_by(source, layout.detections),
        "simulated": "yes" if source.simulated else "no",
    } | ({"cameras_from": read_about(layout.cameras).in_words} if source.cameras.by_people else {})
    if "cameras_from" in facts:
        log.info("the cameras are calibrated by %s", facts["cameras_from"])
    seen = Seen()
    with (
        writing.create(layout.captures, "captures", **facts) as captures_file,
        writing.create(layout.references, "references", **facts) as references_file,
    ):
        for capture in assemble(layout, source):
            _describe(capture)
            if settings.check != "skip":
                _check(capture, settings, layout)
            _write(capture, source.fps, captures_file, references_file, layout)
            seen.add(capture)
    _write_seen(seen, note_of(source, layout), layout)
    many_files = source.digest(layout.raw)
    provenance.write(
        layout,
        "ingest",
        params={"ingest": settings},
        dataset={"ingest": source},
        inputs=[path for path in source.files(layout.raw) if path.is_file()],
        digests={layout.raw / source.detections.place: many_files} if many_files else None,
        outputs=[layout.captures, layout.references, layout.people / "people.csv", layout.people / "seen.png"],
        loads=_READERS,
    )


def note_of(source: Source, layout: Layout) -> str:
    """Say at the foot of figures where the data come from."""
    simulated = " (SIMULATED)" if source.simulated else ""
    by_people = f" · cameras: {read_about(layout.cameras).in_words}" if source.cameras.by_people else ""
    return (
        f"data set {layout.dataset}{simulated} · detections: {reading.made_by(source, layout.detections)}{by_people}"
    )


def _describe(capture: AssembledCapture) -> None:
    log.info(
        "%s: %d recordings, %d frames, %d views, %d keypoints (%s)",
        capture.name,
        len(capture.recordings),
        sum(len(recording.pixels) for recording in capture.recordings),
        len(capture.cameras),
        len(capture.skeleton),
        capture.skeleton.name,
    )
    cut = [recording for recording in capture.recordings if recording.cut]
    if cut:
        longest = max(cut, key=lambda recording: recording.cut)
        log.warning(
            "%s: views of %d recordings differ in length and were cut to the shortest, most in '%s' (by %d frames)",
            capture.name,
            len(cut),
            longest.name,
            longest.cut,
        )
    lengths = [len(recording.pixels) for recording in capture.recordings]
    crowded = np.average([recording.crowded for recording in capture.recordings], 0, lengths)
    if crowded.any():
        shares = listed(f"{name} {share:.0%}" for name, share in zip(capture.names_of_views, crowded, strict=True))
        log.info("%s: several people in a frame (%s)", capture.name, shares)
    for clip, group in groupby(capture.recordings, key=lambda recording: recording.clip):
        people = [recording for recording in group if recording.person]
        if people:
            spans = listed(f"{one.person} frames {one.first_frame}-{one.last_frame}" for one in people)
            log.info("%s: %d people: %s", clip, len(people), spans)
    numbered = {one.clip for one in capture.recordings if one.person and one.subject == one.name}
    if numbered and len({recording.clip for recording in capture.recordings}) > 1:
        log.warning(
            "%s: people are numbered anew in each clip (%s), so that a split by subject may put somebody into both "
            "training and test; name them in the data set's file (people: {Ann: {stature_m: 1.7}, ...} or subjects:)",
            capture.name,
            listed(sorted(numbered)),
        )


def _check(capture: AssembledCapture, settings: Settings, layout: Layout) -> None:
    findings = examine.examine(capture)
    if findings.verdict.sound and math.isfinite(findings.verdict.error_px):
        log.info("%s: views agree within %.1f px (median)", capture.name, findings.verdict.error_px)
    where = f"{layout.raw}, capture {capture.name}"
    stops = [problem for problem in findings.problems if problem.certain and settings.check == "stop"]
    for problem in findings.problems:
        if problem not in stops:
            log.warning("%s: %s", where, problem.text)
    if stops:
        texts = ". Besides, ".join(problem.text for problem in stops)
        raise InputError(
            f"{where}: {texts}. If that is not so: ingest.check: warn in params.yaml. "
            f"`trilift check {layout.dataset}` shows more"
        )


def _write(
    capture: AssembledCapture, fps: float, captures_file: Writer, references_file: Writer, layout: Layout
) -> None:
    lengths = [len(recording.pixels) for recording in capture.recordings]
    table = [
        Recording(
            recording.name,
            recording.subject,
            recording.action,
            fps,
            start,
            length,
            recording.first_frame,
            recording.person,
        )
        for recording, start, length in zip(capture.recordings, accumulate([0, *lengths]), lengths, strict=False)
    ]
    written = captures_file.add_capture(
        capture.name,
        recordings=table,
        skeleton=capture.skeleton,
        views=capture.names_of_views,
        attributes={"confidence_source": "detector" if capture.has_confidence else "none"},
    )
    for name in ("K", "distortion", "R", "t", "image_size"):
        written.write(name, np.stack([getattr(camera, name) for camera in capture.cameras]))
    for row, recording in zip(table, capture.recordings, strict=True):
        written.write_block(
            row.frames,
            pixels=recording.pixels,
            confidence=recording.confidence,
            detection=recording.detection,
        )

    known = [recording.reference for recording in capture.recordings if recording.reference]
    skeletons = {reference.skeleton.name: reference.name for reference in known}
    if len(skeletons) > 1:
        texts = listed(f"{name} ('{one}')" for name, one in skeletons.items())
        raise InputError(
            f"{layout.raw}: the references of the capture {capture.name} have the joints of several skeletons: "
            f"{texts}; give them the same"
        )
    if known:
        poses = references_file.add_capture(capture.name, recordings=table, skeleton=known[0].skeleton)
        lacking = [recording.name for recording in capture.recordings if recording.reference is None]
        if lacking:
            log.warning("recordings without a reference: %s", listed(lacking))
        for row, recording in zip(table, capture.recordings, strict=True):
            if recording.reference is not None:
                poses.write_block(row.frames, poses=recording.reference.poses)


def _write_seen(seen: Seen, note: str, layout: Layout) -> None:
    with replacing(layout.people / "people.csv") as temporary:
        seen.table().to_csv(temporary, index=False, float_format="%.3f")
    style.use()
    figure = who_is_seen(seen.clips, seen.left_out, note)
    with replacing(layout.people / "seen.png") as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)

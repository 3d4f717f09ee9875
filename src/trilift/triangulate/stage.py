"""triangulate: detections of several views -> 3D pseudo-labels."""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from trilift import skeletons
from trilift.captures import reading, schema, writing
from trilift.captures.schema import Recording
from trilift.captures.writing import CaptureWriter
from trilift.errors import InputError, listed
from trilift.geometry import noise
from trilift.geometry.cameras import Cameras
from trilift.geometry.noise import DetectorNoise
from trilift.geometry.rig.blame import CameraFinding
from trilift.geometry.rig.diagnose import diagnose
from trilift.project import messages, provenance, threads
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load
from trilift.project.yaml_text import in_yaml
from trilift.skeletons import Skeleton
from trilift.triangulate import labels
from trilift.triangulate.bones import bone_lengths, sizes
from trilift.triangulate.labels import Sample
from trilift.triangulate.recap import Recap, worst_first
from trilift.triangulate.settings import Limits, Settings

log = logging.getLogger(__name__)

_ROWS_SHOWN = 12


@threads.apart()
def run(layout: Layout, device: torch.device) -> None:
    """Triangulate all captures of a data set and write a recap of the errors."""
    settings = load(layout.params, "triangulate", Settings)
    of_captures = []
    with (
        messages.warnings_kept() as warnings,
        reading.read(layout.captures, "captures") as opened,
        writing.create(layout.pseudo_labels, "pseudo_labels", dataset=layout.dataset) as file,
    ):
        total = sum(capture.sizes["frame"] for capture in opened.values())
        with tqdm(total=total, unit="frame", unit_scale=True, desc="triangulate", disable=None) as progress:
            for name, capture in opened.items():
                skeleton = reading.skeleton_of(capture)
                written = file.add_capture(
                    name,
                    recordings=reading.recordings(capture),
                    skeleton=skeleton,
                    views=capture["view"].values.tolist(),
                    attributes=_origin_of_joints(name, skeleton),
                )
                of_captures.append(_triangulate_capture(name, capture, written, settings, layout, device, progress))
        tables = worst_first(of_captures)
        for name, table in tables.items():
            shown = table.head(_ROWS_SHOWN).to_string(index=False, float_format="%.3g")
            cut = f" ({_ROWS_SHOWN} of {len(table)})" if len(table) > _ROWS_SHOWN else ""
            log.info("%s, the worst first%s\n%s", name, cut, shown)
        tables["rig"] = pd.concat([tables["rig"] for tables in of_captures], ignore_index=True)
        _check_limits(tables["views"], settings.limits, layout)
    for name, table in tables.items():
        with replacing(layout.recap / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")
    provenance.write(
        layout,
        "triangulate",
        params={"triangulate": settings},
        inputs=[layout.captures],
        outputs=[layout.pseudo_labels, *(layout.recap / f"{name}.csv" for name in tables)],
        warnings=warnings,
    )


def _origin_of_joints(name: str, skeleton: Skeleton) -> dict[str, str]:
    """Record which joints of the training skeleton the detector has, which follow from others, which are absent."""
    mapping = skeletons.mapping(skeleton, skeletons.TRAINING_SKELETON)
    origin = {
        kind: ", ".join(
            joint for joint, its in zip(mapping.target.keypoints, mapping.kind, strict=True) if its == kind
        )
        for kind in ("exact", "derived", "absent")
    }
    log.info(
        "capture %s: of %s, joints formed from others: %s; absent: %s",
        name,
        skeleton.name,
        origin["derived"] or "none",
        origin["absent"] or "none",
    )
    return {f"joints_{kind}": joints for kind, joints in origin.items()}


def _triangulate_capture(
    name: str,
    capture: xr.Dataset,
    written: CaptureWriter,
    settings: Settings,
    layout: Layout,
    device: torch.device,
    progress: tqdm,
) -> dict[str, pd.DataFrame]:
    """Triangulate a capture; returns tables of what became of the detections and of findings about its cameras."""
    cameras = Cameras.from_arrays(capture).to(device)
    skeleton = reading.skeleton_of(capture)
    mapping = skeletons.mapping(skeleton, skeletons.TRAINING_SKELETON)
    recordings = reading.recordings(capture)
    people = list(dict.fromkeys(recording.subject for recording in recordings))
    recap = Recap(name, capture["view"].values.tolist(), skeleton, recordings)

    labeller, findings, shares = None, [], [math.nan] * len(recap.views)
    if settings.method == "robust" or settings.diagnose:
        sample = _sample(capture, recordings, people, settings, device)
        detector_noise = _learn_noise(name, recap.views, cameras, sample)
        shares = detector_noise.view_share.tolist()
        if settings.method == "robust":
            labeller = labels.learn(
                cameras, skeleton, detector_noise, sample, settings.smoothing, settings.repair_swaps
            )
        if settings.diagnose:
            findings = _diagnose(name, recap.views, cameras, sample, detector_noise)

    margin = labeller.margin if labeller else 0
    lengths = []
    for recording in recordings:
        of_blocks, frames = [], []
        for core in reading.blocks(recording.length):
            first, last = max(0, core.start - margin), min(recording.length, core.stop + margin)
            pixels, confidence = _load(capture, recording.part(first, last), settings, device)
            if labeller:
                wanted = slice(core.start - first, core.stop - first)
                made = labeller.label(pixels, confidence, people.index(recording.subject), recording.fps, wanted)
            else:
                made = labels.label_plainly(cameras, pixels, confidence)
            if labeller:
                of_blocks.append(bone_lengths(made.of_single_frames, made.covariance, skeleton.bone_indices).cpu())
                frames.append(core.stop - core.start)
            arrays = {field: values.cpu().numpy() for field, values in made._asdict().items()}
            written.write_block(
                recording.part(core.start, core.stop),
                poses=arrays["poses"],
                covariance=arrays["covariance"][..., *np.triu_indices(3)],
                training_poses=mapping.apply(arrays["poses"]),
                reprojection_error=arrays["error_px"],
                inlier=arrays["used"],
                views_used=arrays["used"].sum(1),
                swapped=arrays["swapped"],
                filled=arrays["filled"],
            )
            recap.add(recording, made)
            progress.update(core.stop - core.start)
        if of_blocks:
            known = torch.stack(of_blocks).isfinite() * torch.tensor(frames)[:, None]
            lengths.append((torch.stack(of_blocks).nan_to_num() * known).sum(0) / known.sum(0))
    if labeller and labeller.smoothing:
        _warn_of_other_people(name, recordings, torch.stack(lengths), layout)
        _warn_of_dropped(name, recap.keypoints_table())
    tables = recap.tables() | {"rig": _findings_table(name, recap.views, findings)}
    return tables | {"views": tables["views"].assign(information=shares)}


def _warn_of_other_people(name: str, recordings: list[Recording], lengths: Tensor, layout: Layout) -> None:
    """Compare the recordings of one person by the bone lengths (recording, bone) that each for itself tells."""
    for subject in dict.fromkeys(recording.subject for recording in recordings):
        own = [number for number, recording in enumerate(recordings) if recording.subject == subject]
        own.sort(key=lambda number: -recordings[number].length)
        factors = sizes(lengths[own]).tolist()
        others = {recordings[number].name: factor for number, factor in zip(own, factors, strict=True) if factor != 1}
        if others:
            log.warning(
                "capture %s: recordings of %s look like those of several people: beside '%s', bones are %s. All are "
                "given the same lengths; if they are several, say who is who in %s (ingest: subjects: {%s: <name>})",
                name,
                subject,
                recordings[own[0]].name,
                ", ".join(
                    f"{abs(factor - 1):.0%} {'longer' if factor > 1 else 'shorter'} in '{other}'"
                    for other, factor in others.items()
                ),
                layout.dataset_file.relative_to(layout.project),
                in_yaml(next(iter(others))),
            )


_MANY_DROPPED = 0.02


def _warn_of_dropped(name: str, keypoints: pd.DataFrame) -> None:
    many = keypoints[keypoints["dropped"] > _MANY_DROPPED].sort_values("dropped", ascending=False)
    if len(many):
        log.warning(
            "capture %s: points left out, because other frames and the bones contradict what the views tell of them: "
            "%s of the frames",
            name,
            ", ".join(f"{row.keypoint} {row.dropped:.0%}" for row in many.itertuples()),
        )


def _load(capture: xr.Dataset, frames: slice, settings: Settings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Load detections; the confidence of those that do not count is 0."""
    pixels, confidence = (
        torch.as_tensor(array, device=device)
        for array in reading.load_frames(capture, frames, "pixels", "confidence")
    )
    smallest = float(np.float32(settings.min_confidence))  # confidence is stored as float32
    return pixels, torch.where((confidence >= smallest) & pixels.isfinite().all(-1), confidence, 0.0)


_RUNS, _FRAMES_PER_RUN = 16, 128


def _runs(recordings: list[Recording], people: list[str]) -> Iterator[tuple[Recording, slice]]:
    """Pick runs of consecutive frames from all over a capture, some from every person."""
    total = sum(recording.length for recording in recordings)
    for subject in people:
        own = [recording for recording in recordings if recording.subject == subject]
        lengths = [recording.length for recording in own]
        most = max(1, round(_RUNS * sum(lengths) / total))
        for index, first, last in schema.spread_runs(lengths, most, _FRAMES_PER_RUN):
            yield own[index], own[index].part(first, last)


def _sample(
    capture: xr.Dataset, recordings: list[Recording], people: list[str], settings: Settings, device: torch.device
) -> Sample:
    runs = list(_runs(recordings, people))
    loaded = [_load(capture, frames, settings, device) for _, frames in runs]

    def per_frame(values: Iterable[int]) -> Tensor:
        return torch.cat([torch.full((len(one),), value) for value, (one, _) in zip(values, loaded, strict=True)])

    return Sample(
        torch.cat([pixels for pixels, _ in loaded]),
        torch.cat([confidence for _, confidence in loaded]),
        per_frame(range(len(runs))).to(device),
        per_frame(people.index(recording.subject) for recording, _ in runs).to(device),
    )


def _learn_noise(name: str, views: list[str], cameras: Cameras, sample: Sample) -> DetectorNoise:
    every = max(1, len(sample.pixels) // 512)
    learnt = noise.learn(cameras, sample.pixels[::every], sample.confidence[::every])
    log.info(
        "capture %s: detector's error learnt from %d frames: %s px at confidence %s, times %s in the views",
        name,
        len(sample.pixels[::every]),
        *(
            ", ".join(f"{value:.2g}" for value in values.tolist())
            for values in (learnt.scale_px, learnt.confidence, learnt.view_factor)
        ),
    )
    for view, share, held in zip(views, learnt.view_share.tolist(), learnt.view_held.tolist(), strict=True):
        if share > 0.5 or held:
            log.warning(
                "capture %s: %.0f %% of what is known about the points comes from %s%s. That its errors are small "
                "proves nothing: they go into the poses. Look with `trilift check` whether the other views agree",
                *(name, 100 * share, view, f", held at {noise.MOST_TRUST:g} times the middle view's" * held),
            )
    return learnt


def _diagnose(
    name: str, views: list[str], cameras: Cameras, sample: Sample, learnt: DetectorNoise
) -> list[CameraFinding]:
    """Look for faults of the rig; a warning for each."""
    if len(views) < 3:
        log.info("capture %s: two cameras cannot tell which of them is wrong; not diagnosed", name)
        return []
    findings = diagnose(cameras, sample.pixels, learnt.scale(sample.confidence), sample.run, names=views)
    for finding in findings:
        if finding.at_fault:
            log.warning("capture %s: %s", name, finding.message)
    return findings


def _findings_table(name: str, views: list[str], findings: list[CameraFinding]) -> pd.DataFrame:
    columns = ["capture", *(field.name for field in dataclasses.fields(CameraFinding))]
    rows = [{"capture": name} | dataclasses.asdict(one) | {"view": views[one.view]} for one in findings]
    return pd.DataFrame(rows, columns=columns)


_CAUSES = {
    "missing": "It is counted over the frames in which a view sees somebody. Usual causes: cameras that look "
    "elsewhere (ingest: exclude_cameras leaves them out), keypoints that nothing shows, min_confidence too high. "
    "Where few of the cameras see a person at a time by design, allow more",
    "rejected": "Usual causes: the calibration of another day, its cameras in another order, recordings that are not "
    "synchronised",
}
_CAUSES["median_mm"] = _CAUSES["rejected"]

_NOTHING = {
    "missing": "nobody is seen in any frame; look whether the detector ran on these videos, and at min_confidence",
    "rejected": "no two views see the same keypoint in the same frame, so that nothing can be triangulated",
}
_NOTHING["median_mm"] = _NOTHING["rejected"]


def _check_limits(views: pd.DataFrame, limits: Limits, layout: Layout) -> None:
    """Refuse captures beyond a limit; of each the first counts, since the next would follow from it."""
    beyond: dict[str, list[str]] = {}
    for capture, table in views.groupby("capture", sort=False):
        for column in ("missing", "rejected", "median_mm"):
            if table[column].isna().all():
                raise InputError(f"{layout.captures}, capture {capture}: {_NOTHING[column]}")
            middle = table[column].median()
            if middle > getattr(limits, column):
                worst = table.sort_values(column, ascending=False).iloc[0]
                beyond.setdefault(column, []).append(
                    f"capture {capture}: {column} is {middle:.3g} in the middle view and {worst[column]:.3g} in the "
                    f"worst, {worst['view']}"
                )
                break
    problems = [
        f"{layout.captures}, {listed(schema)}; {getattr(limits, column):g} is allowed (triangulate.limits in "
        f"params.yaml). {_CAUSES[column]}; the tables above and in the log show where"
        for column, schema in beyond.items()
    ]
    if problems:
        raise InputError("\n".join(problems))

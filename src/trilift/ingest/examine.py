"""Whether the detections and the calibration of a capture belong together, and what looks wrong where they do not."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trilift.captures import schema
from trilift.formats import layouts
from trilift.formats.calibration import metres_of
from trilift.formats.source import Source
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.rig.settings import Settings
from trilift.geometry.rig.timing import TimeOffset, changes_over_time, time_offsets, time_offsets_of_segments
from trilift.geometry.triangulation import triangulate_robust, triangulate_without
from trilift.ingest import conventions, mistakes
from trilift.ingest.assembled import AssembledCapture
from trilift.ingest.conventions import Verdict
from trilift.ingest.readings import Reading
from trilift.ingest.unit import wrong_unit
from trilift.project.yaml_text import in_yaml
from trilift.skeletons import H36M17, SKELETONS, Skeleton, mapping

_RUNS, _FRAMES_PER_RUN = 16, 128
_STOPS_FROM = 0.09  # of a person's size in the image: the views of no usable rig disagree by as much
_TIMING = Settings(max_points=512)  # of every run


class Problem(NamedTuple):
    """What looks wrong, in words for the user; certain where little else could explain it."""

    text: str
    certain: bool


class Run(NamedTuple):
    """Consecutive frames of a recording, the last one included."""

    recording: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.recording}, frames {self.first}-{self.last}"


class Sample(NamedTuple):
    """Runs from all over a capture: pixels (frame, view, keypoint, 2), the number of each frame's run, the runs."""

    pixels: Tensor
    run: Tensor
    runs: list[Run]


@dataclass(frozen=True)
class Findings:
    """What the check found.

    Attributes
    ----------
    verdict
        How well the views agree.
    problems
        What looks wrong.
    errors
        A row per camera and keypoint: how far (px) the median detection lies from what the other views see, and the
        share of frames in which it is missing.
    bones
        A row per bone: median length (m) and how far apart (m) the quartiles are.
    timing
        A row per run of frames and camera: by how many frames it is late; NaN where there is too little motion to
        tell. Empty where it was not asked for, or never told.
    sample, residuals
        The frames looked at, and (frame, view, keypoint, 2) the detections minus what the other views see, in pixels.
    """

    verdict: Verdict
    problems: list[Problem]
    errors: pd.DataFrame
    bones: pd.DataFrame
    timing: pd.DataFrame
    sample: Sample
    residuals: np.ndarray


def examine(capture: AssembledCapture, over_time: bool = False) -> Findings:
    """Check a capture on some of its frames.

    Parameters
    ----------
    capture
        What was read.
    over_time
        Whether to tell every camera's timing run by run. That is done in any case where one is out of time.
    """
    cameras, names, sample = capture.to_tensors(), capture.names_of_views, _sample(capture)
    verdict = _compare(capture, cameras, sample)
    scale = mistakes.typical_scale(cameras, sample.pixels).clone()
    scale[~sample.pixels.isfinite().all(-1)] = torch.inf
    poses = triangulate_robust(cameras, sample.pixels, scale).poses
    residuals = _residuals(cameras, sample.pixels, scale, poses)
    problems = _wrong_layout(sample, capture.skeleton)
    timing = _NO_TIMING
    if verdict.mistake is not None:
        text = (
            f"the views disagree by {verdict.error_px:.1f} px (median), but by {verdict.error_mended_px:.1f} px "
            f"without this mistake ({verdict.mistake.name}): {verdict.mistake.advice}"
        )
        problems.append(Problem(text, verdict.certain))
    elif math.isnan(verdict.error_px):
        text = (
            "in the frames looked at, no two views see the same keypoint at one time, so nothing is compared; see "
            "which views show the person, and whether they are synchronised"
        )
        problems.append(Problem(text, certain=False))
    else:
        timing, out_of_time = _timing(cameras, sample, scale, names, capture.source, over_time)
        problems += out_of_time or _unexplained(verdict, names, capture.source)
        unit = None
        if not verdict.share >= _STOPS_FROM:
            unit = wrong_unit(_limbs(poses, capture.skeleton), metres_of(capture.source.cameras))
        if unit is not None:
            problems.append(Problem(unit.advice, certain=True))
    return Findings(
        verdict,
        problems,
        _errors(residuals, sample, capture),
        _bones(poses.numpy(), capture.skeleton),
        timing,
        sample,
        residuals,
    )


def _sample(capture: AssembledCapture) -> Sample:
    """Take runs of frames from all over."""
    lengths = [len(recording.pixels) for recording in capture.recordings]
    chosen = [
        (capture.recordings[which], first, last)
        for which, first, last in schema.spread_runs(lengths, _RUNS, _FRAMES_PER_RUN)
    ]
    return Sample(
        torch.cat([torch.as_tensor(one.pixels[first:last]).double() for one, first, last in chosen]),
        torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([last - first for _, first, last in chosen])),
        [Run(one.name, one.first_frame + first, one.first_frame + last - 1) for one, first, last in chosen],
    )


def _compare(capture: AssembledCapture, cameras: Cameras, sample: Sample) -> Verdict:
    """Look for a usual mistake. The wrong calibration chooses the wrong person, so of several all are looked at."""
    pixels, score = sample.pixels.numpy()[:, :, None], None
    crowds = [recording.crowd for recording in capture.recordings if recording.crowd is not None]
    if crowds:
        crowd = crowds[len(crowds) // 2]
        pixels, score = crowd.pixels, crowd.score
    return conventions.examine(
        Reading(cameras, np.stack([camera.image_size for camera in capture.cameras]), pixels),
        capture.names_of_views,
        other_side=capture.skeleton.mirrored,
        score=score,
        lenses=np.stack(capture.lenses),
        images=[capture.source.change_of(name) for name in capture.names_of_views],
        views=capture.views,
    )


def _unexplained(verdict: Verdict, names: list[str], source: Source) -> list[Problem]:
    """Tell of a disagreement that no usual mistake explains, and whose it is."""
    if verdict.standing_out:
        out = [names[view] for view in verdict.standing_out]
        text = (
            f"{', '.join(out)} stands out: the views disagree by {verdict.error_px:.1f} px (median), and without it "
            f"by {verdict.error_without_px:.1f} px. It is badly calibrated, moved, or out of step by much: calibrate "
            f"it again, or leave it out in the data set's file (ingest: {source.excluding(out)})"
        )
    elif not verdict.sound:
        text = (
            f"the views disagree by {verdict.error_px:.1f} px (median), {verdict.share:.0%} of a person's size in "
            "the image, and none of the usual mistakes explains it; see whether this is the calibration of these "
            "recordings, and whether they are synchronised"
        )
    else:
        return []
    return [Problem(text, certain=verdict.share >= _STOPS_FROM)]


def _residuals(cameras: Cameras, pixels: Tensor, scale: Tensor, of_all: Tensor) -> np.ndarray:
    """Give what lies between detections and the points that the other views, or only two in all, make up."""
    residuals = []
    needed = mistakes.views_needed(pixels.isfinite().all(-1).transpose(1, 2).flatten(0, 1))
    for view in range(len(cameras)):
        poses = of_all if needed == 2 else triangulate_without(cameras, pixels, scale, view).poses
        residuals.append(pixels[:, view] - project(cameras, poses)[:, view])
    return torch.stack(residuals, 1).numpy()


def _errors(residuals: np.ndarray, sample: Sample, capture: AssembledCapture) -> pd.DataFrame:
    distance, missing = np.linalg.norm(residuals, axis=-1), ~np.isfinite(sample.pixels.numpy()).all(-1)
    rows = [
        {
            "capture": capture.name,
            "view": name,
            "keypoint": keypoint,
            "median_px": _median(distance[:, view, index]),
            "missing": float(missing[:, view, index].mean()),
        }
        for view, name in enumerate(capture.names_of_views)
        for index, keypoint in enumerate(capture.skeleton.keypoints)
    ]
    return pd.DataFrame(rows)


def _bones(poses: np.ndarray, skeleton: Skeleton) -> pd.DataFrame:
    rows = []
    for (parent, child), (one, other) in zip(skeleton.bones, skeleton.bone_indices, strict=True):
        length = np.linalg.norm(poses[:, one] - poses[:, other], axis=-1)
        known = length[np.isfinite(length)]
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else (np.nan,) * 3
        rows.append({"bone": f"{parent} - {child}", "median_m": middle, "quartiles_apart_m": high - low})
    return pd.DataFrame(rows)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _limbs(poses: Tensor, skeleton: Skeleton) -> dict[str, Tensor]:
    """Measure legs and arms of both sides in every frame."""
    joints = mapping(skeleton, H36M17).apply(poses.numpy())
    lengths = {}
    for limb, parts in (("legs", ("hip", "knee", "ankle")), ("arms", ("shoulder", "elbow", "wrist"))):
        sides = [[joints[:, H36M17.index(f"{side}_{part}")] for part in parts] for side in ("left", "right")]
        both = [np.linalg.norm(a - b, axis=-1) + np.linalg.norm(b - c, axis=-1) for a, b, c in sides]
        lengths[limb] = torch.as_tensor(np.concatenate(both))
    return lengths


def _wrong_layout(sample: Sample, skeleton: Skeleton) -> list[Problem]:
    """Name a skeleton of as many keypoints that the poses clearly look more like; one's own is taken at its word."""
    if skeleton.name not in SKELETONS:
        return []
    result = layouts.vote(sample.pixels.numpy(), [one for one in SKELETONS.values() if len(one) == len(skeleton)])
    if not result.is_clear or result.skeleton is skeleton:
        return []
    text = (
        f"the keypoints look like those of {result.skeleton.name}, not of {skeleton.name}; "
        "state it under `detections: skeleton:`"
    )
    return [Problem(text, certain=True)]


def _timing(
    cameras: Cameras, sample: Sample, scale: Tensor, names: list[str], source: Source, over_time: bool
) -> tuple[pd.DataFrame, list[Problem]]:
    """Tell which cameras are out of time, and whether always by as much."""
    overall = time_offsets(cameras, sample.pixels, scale, sample.run, Settings())
    if not over_time and all(found.verdict == "in time" for found in overall):
        return _NO_TIMING, []
    of_runs = time_offsets_of_segments(cameras, sample.pixels, scale, sample.run, _TIMING)
    texts = [
        _out_of_time(name, found, [offsets[view] for offsets in of_runs], sample.runs, source)
        for view, (name, found) in enumerate(zip(names, overall, strict=True))
    ]
    return _timing_table(sample, of_runs, names), [Problem(text, certain=False) for text in texts if text]


def _out_of_time(
    name: str, overall: TimeOffset, of_runs: list[TimeOffset], runs: list[Run], source: Source
) -> str | None:
    told = [(one.offset, run) for one, run in zip(of_runs, runs, strict=True) if one.verdict != "cannot tell"]
    if changes_over_time(of_runs, _TIMING):
        ends = sorted((min(told), max(told)), key=lambda one: runs.index(one[1]))
        texts = [f"{abs(offset):.1f} frames {'early' if offset < 0 else 'late'} in {run}" for offset, run in ends]
        return (
            f"{name} is {' and '.join(texts)}: no one offset does. It drops frames or has another rate; make a video "
            "of it that has the others' rate and every frame at its time, or leave it out in the data set's file "
            f"(ingest: {source.excluding([name])})"
        )
    offset = overall.offset
    if overall.verdict == "cannot tell" and len(told) > 1:  # farther off than is searched in all frames at once
        offset = float(np.median([offset for offset, _ in told]))
    if overall.verdict == "in time" or not abs(offset) >= _TIMING.min_offset_frames:
        return None
    stated = source.offsets | {name: source.offsets.get(name, 0) + round(offset)}
    return (
        f"{name} is {abs(offset):.1f} frames {'early' if offset < 0 else 'late'}; state it in the data set's file "
        f"(ingest: offsets: {in_yaml(stated)})"
    )


_NO_TIMING = pd.DataFrame()


def _timing_table(sample: Sample, of_runs: list[list[TimeOffset]], names: list[str]) -> pd.DataFrame:
    rows = [
        {
            **run._asdict(),
            "view": name,
            "late_by_frames": math.nan if one.verdict == "cannot tell" else one.offset,
            "standard_error_frames": math.nan if one.verdict == "cannot tell" else one.error,
        }
        for run, offsets in zip(sample.runs, of_runs, strict=True)
        for name, one in zip(names, offsets, strict=True)
    ]
    table = pd.DataFrame(rows)
    return table if table["late_by_frames"].notna().any() else _NO_TIMING

"""Whether the detections and the calibration of a capture belong together, and what looks wrong where they do not."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trilift.assembling import AssembledCapture
from trilift.formats import layouts
from trilift.geometry import conventions, rig
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.conventions import Verdict
from trilift.geometry.triangulation import triangulate_robust, triangulate_without
from trilift.skeletons import H36M17, SKELETONS, Skeleton, mapping

_RUNS, _FRAMES_PER_RUN = 16, 128
_LARGE_SHARE = 0.05  # of the focal length: views that disagree by more say nothing about anything else


class Problem(NamedTuple):
    """What looks wrong, in words for the user; certain where little else could explain it."""

    text: str
    certain: bool


class Sample(NamedTuple):
    """Runs of consecutive frames from all over a capture: pixels (frame, view, keypoint, 2) and each frame's run."""

    pixels: Tensor
    run: Tensor


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
    sample, residuals
        The frames looked at, and (frame, view, keypoint, 2) the detections minus what the other views see, in pixels.
    """

    verdict: Verdict
    problems: list[Problem]
    errors: pd.DataFrame
    bones: pd.DataFrame
    sample: Sample
    residuals: np.ndarray


def examine(capture: AssembledCapture) -> Findings:
    """Check a capture on some of its frames."""
    cameras, names = capture.to_tensors(), capture.names_of_views
    sample = _sample(capture)
    verdict = conventions.examine(cameras, sample.pixels, names, torch.as_tensor(np.stack(capture.lenses)))
    problems = []
    other = _other_skeleton(sample.pixels.numpy(), capture.skeleton)
    if other is not None:
        text = (
            f"the keypoints look like those of {other.name}, not of {capture.skeleton.name}; "
            "state it under `detections: skeleton:`"
        )
        problems.append(Problem(text, certain=True))
    if verdict.mistake is not None:
        text = (
            f"the views disagree by {verdict.error_px:.1f} px (median), but by {verdict.error_mended_px:.1f} px "
            f"without this mistake ({verdict.mistake.name}): {verdict.mistake.advice}"
        )
        problems.append(Problem(text, verdict.certain))
    scale = conventions.typical_scale(cameras, sample.pixels).clone()
    scale[~sample.pixels.isfinite().all(-1)] = torch.inf
    points = triangulate_robust(cameras, sample.pixels, scale).points
    if verdict.error_px > _LARGE_SHARE * float(cameras.focal.mean()):
        if verdict.mistake is None:
            text = (
                f"the views disagree by {verdict.error_px:.0f} px (median), and none of the usual mistakes explains "
                "it: is this the calibration of these recordings, and are they synchronised?"
            )
            problems.append(Problem(text, certain=False))
    elif verdict.mistake is None:
        unit = conventions.wrong_unit(_limbs(points, capture.skeleton))
        if unit is not None:
            problems.append(Problem(unit.advice, certain=True))
        problems += [Problem(text, certain=False) for text in _out_of_time(cameras, sample, scale, names)]
    residuals = _residuals(cameras, sample.pixels, scale)
    return Findings(
        verdict,
        problems,
        _errors(residuals, capture),
        _bones(points.numpy(), capture.skeleton),
        sample,
        residuals,
    )


def _sample(capture: AssembledCapture) -> Sample:
    lengths = np.array([len(recording.keypoints) for recording in capture.recordings])
    starts = np.cumsum([0, *lengths])
    number = min(_RUNS, -(-int(starts[-1]) // _FRAMES_PER_RUN))
    pixels, run = [], []
    for index, middle in enumerate((np.arange(number) + 0.5) / number * starts[-1]):
        which = int(np.searchsorted(starts, middle, side="right")) - 1
        first = max(0, min(int(middle - starts[which]) - _FRAMES_PER_RUN // 2, lengths[which] - _FRAMES_PER_RUN))
        taken = torch.as_tensor(capture.recordings[which].keypoints[first : first + _FRAMES_PER_RUN])
        pixels.append(taken.double())
        run.append(torch.full((len(taken),), index))
    return Sample(torch.cat(pixels), torch.cat(run))


def _residuals(cameras: Cameras, pixels: Tensor, scale: Tensor) -> np.ndarray:
    """Give what lies between detections and the points that the other views (of two: both) make up."""
    residuals = []
    for view in range(len(cameras)):
        if len(cameras) == 2:
            points = triangulate_robust(cameras, pixels, scale).points
        else:
            points = triangulate_without(cameras, pixels, scale, view).points
        residuals.append(pixels[:, view] - project(cameras, points)[:, view])
    return torch.stack(residuals, 1).numpy()


def _errors(residuals: np.ndarray, capture: AssembledCapture) -> pd.DataFrame:
    distance = np.linalg.norm(residuals, axis=-1)
    rows = [
        {
            "capture": capture.name,
            "view": name,
            "keypoint": keypoint,
            "median_px": _median(distance[:, view, index]),
            "missing": float(np.isnan(distance[:, view, index]).mean()),
        }
        for view, name in enumerate(capture.names_of_views)
        for index, keypoint in enumerate(capture.skeleton.keypoints)
    ]
    return pd.DataFrame(rows)


def _bones(points: np.ndarray, skeleton: Skeleton) -> pd.DataFrame:
    rows = []
    for (parent, child), (one, other) in zip(skeleton.bones, skeleton.bone_indices, strict=True):
        length = np.linalg.norm(points[:, one] - points[:, other], axis=-1)
        known = length[np.isfinite(length)]
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else (np.nan,) * 3
        rows.append({"bone": f"{parent} - {child}", "median_m": middle, "quartiles_apart_m": high - low})
    return pd.DataFrame(rows)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _limbs(points: Tensor, skeleton: Skeleton) -> dict[str, Tensor]:
    """Measure legs and arms of both sides in every frame."""
    joints = mapping(skeleton, H36M17).apply(points.numpy())
    lengths = {}
    for limb, parts in (("legs", ("hip", "knee", "ankle")), ("arms", ("shoulder", "elbow", "wrist"))):
        sides = [[joints[:, H36M17.index(f"{side}_{part}")] for part in parts] for side in ("left", "right")]
        both = [np.linalg.norm(a - b, axis=-1) + np.linalg.norm(b - c, axis=-1) for a, b, c in sides]
        lengths[limb] = torch.as_tensor(np.concatenate(both))
    return lengths


def _other_skeleton(pixels: np.ndarray, skeleton: Skeleton) -> Skeleton | None:
    """Name a skeleton of as many keypoints that the poses clearly look more like."""
    result = layouts.vote(pixels, [one for one in SKELETONS.values() if len(one) == len(skeleton)])
    return result.skeleton if result.is_clear and result.skeleton is not skeleton else None


def _out_of_time(cameras: Cameras, sample: Sample, scale: Tensor, names: list[str]) -> list[str]:
    settings = rig.Settings()
    offsets = rig.time_offsets(cameras, sample.pixels, scale, sample.run, settings)
    return [
        f"{names[view]} is {abs(found.offset):.1f} frames {found.verdict}; state it in the data set's file "
        f"(ingest: offsets: {{{names[view]}: {round(found.offset)}}})"
        for view, found in enumerate(offsets)
        if found.verdict in ("late", "early")
    ]

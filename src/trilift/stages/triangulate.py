"""triangulate: detections of several views -> 3D pseudo-labels."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from pydantic import Field, model_validator
from torch import Tensor
from tqdm import tqdm

from trilift import captures, skeletons
from trilift.captures import CaptureWriter, Recording
from trilift.errors import InputError
from trilift.evaluation.recap import Block, Recap
from trilift.files import replacing
from trilift.geometry import noise
from trilift.geometry.body import MARGIN, bone_lengths, exchange, find_swaps, smooth
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.geometry.noise import DetectorNoise
from trilift.geometry.triangulation import Solution, reprojection_error, triangulate, triangulate_robust
from trilift.layout import Layout
from trilift.params import StrictModel, load
from trilift.skeletons import Skeleton

log = logging.getLogger(__name__)


class Smoothing(StrictModel):
    """Poses solved over time and with constant bone lengths.

    Attributes
    ----------
    acceleration
        Typical acceleration of a keypoint (m/s^2): the larger, the less smoothing.
    bone_spread_mm
        How much the length of a bone varies from frame to frame.
    max_gap_s
        Gaps up to so many seconds (and `trilift.geometry.body.MARGIN` frames) are filled, and marked ``filled``.
    """

    acceleration: float = Field(10.0, gt=0)
    bone_spread_mm: float = Field(10.0, gt=0)
    max_gap_s: float = Field(0.0, ge=0)


class Limits(StrictModel):
    """What makes a capture unusable: the stage stops and says why.

    Attributes
    ----------
    median_mm
        Largest median reprojection error, at the depth of the points.
    missing
        Largest share of missing detections.
    rejected
        Largest share of detections that contradict the other views.
    """

    median_mm: float = Field(150.0, gt=0)
    missing: float = Field(0.8, gt=0, le=1)
    rejected: float = Field(0.5, gt=0, le=1)


class Settings(StrictModel):
    """The section ``triangulate`` of ``params.yaml``.

    Attributes
    ----------
    method
        ``robust``: weighted by the detector's error, which is learnt from the recordings, outliers rejected;
        ``dlt``: the plain direct linear transform, in which all detections count the same.
    min_confidence
        Detections with a lower confidence do not count.
    repair_swaps
        Exchange left and right in a view where the other views say so.
    smoothing
        Poses solved over time and with constant bone lengths, or ``null``: every frame on its own.
    limits
        What makes a capture unusable.
    """

    method: Literal["robust", "dlt"] = "robust"
    min_confidence: float = Field(0.0, ge=0, le=1)
    repair_swaps: bool = True
    smoothing: Smoothing | None = Smoothing()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _plain_is_plain(self) -> "Settings":
        if self.method == "dlt" and (self.smoothing or self.repair_swaps):
            raise ValueError("method dlt knows no errors to weigh by: set smoothing: null and repair_swaps: false")
        return self


@dataclass(frozen=True)
class _Learnt:
    """What the first pass over a capture finds out."""

    noise: DetectorNoise
    inflation: float
    bone_lengths: dict[str, Tensor]  # by subject


def run(layout: Layout, device: torch.device) -> None:
    """Triangulate all captures of a data set and write a recap of the errors."""
    settings = load(layout.params, "triangulate", Settings)
    with (
        captures.read(layout.captures, "captures") as opened,
        captures.create(layout.pseudo_labels, "pseudo_labels", dataset=layout.dataset) as file,
    ):
        total = sum(capture.sizes["frame"] for capture in opened.values())
        recaps = []
        with tqdm(total=total, unit="frame", unit_scale=True, desc="triangulate", disable=None) as progress:
            for name, capture in opened.items():
                written = file.add_capture(
                    name,
                    recordings=captures.recordings(capture),
                    skeleton=skeletons.get(capture.attrs["skeleton"]),
                    views=capture["view"].values.tolist(),
                )
                recaps.append(_triangulate_capture(name, capture, written, settings, device, progress))
        tables = {
            "views": pd.concat([recap.views_table() for recap in recaps]),
            "keypoints": pd.concat([recap.keypoints_table() for recap in recaps]),
            "bones": pd.concat([recap.bones_table() for recap in recaps]),
            "recordings": pd.concat([recap.recordings_table() for recap in recaps]),
        }
        for name, table in tables.items():
            log.info("%s, the worst first\n%s", name, table.head(12).to_string(index=False, float_format="%.3g"))
        _check_limits(tables["views"], settings.limits, layout)
    for name, table in tables.items():
        with replacing(layout.recap / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")


def _triangulate_capture(
    name: str, capture: xr.Dataset, written: CaptureWriter, settings: Settings, device: torch.device, progress: tqdm
) -> Recap:
    cameras = Cameras.from_arrays(capture).to(device)
    skeleton = skeletons.get(capture.attrs["skeleton"])
    mapping = skeletons.mapping(skeleton, skeletons.TRAINING_SKELETON)
    recordings = captures.recordings(capture)
    recap = Recap(name, capture["view"].values.tolist(), skeleton, recordings)
    learnt = _learn(name, capture, cameras, recordings, settings) if settings.method == "robust" else None
    for recording in recordings:
        for core in captures.blocks(recording.length):
            margin = MARGIN if settings.smoothing else 0
            first, last = max(0, core.start - margin), min(recording.length, core.stop + margin)
            wanted = slice(core.start - first, core.stop - first)
            pixels, confidence = _load(
                capture, slice(recording.first_frame + first, recording.first_frame + last), settings, device
            )
            if learnt:
                arrays, block = _solve_robust(
                    cameras, pixels, confidence, learnt, skeleton, recording, settings, wanted
                )
            else:
                arrays, block = _solve_plain(cameras, pixels, confidence)
            frames = slice(recording.first_frame + core.start, recording.first_frame + core.stop)
            written.write_block(
                frames,
                joints_3d=mapping.apply(block.keypoints_3d),
                keypoints_3d=block.keypoints_3d,
                reprojection_error=block.error_px,
                inlier=block.used,
                views_used=block.used.sum(1),
                swapped=block.swapped,
                filled=block.filled,
                **arrays,
            )
            recap.add(recording, block)
            progress.update(core.stop - core.start)
    return recap


def _load(capture: xr.Dataset, frames: slice, settings: Settings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Load detections; the confidence of those that do not count is 0."""
    pixels, confidence = (
        torch.as_tensor(array, device=device)
        for array in captures.load_frames(capture, frames, "keypoints_2d", "confidence")
    )
    counts = (confidence >= float(np.float32(settings.min_confidence))) & pixels.isfinite().all(
        -1
    )  # stored as float32
    return pixels, torch.where(counts, confidence, 0.0)


_RUNS, _FRAMES_PER_RUN = 16, 128


def _runs(recordings: list[Recording]) -> Iterator[tuple[Recording, slice]]:
    """Pick runs of consecutive frames from all over a capture, some from every person."""
    total = sum(recording.length for recording in recordings)
    for subject in dict.fromkeys(recording.subject for recording in recordings):
        own = [recording for recording in recordings if recording.subject == subject]
        length = sum(recording.length for recording in own)
        number = min(max(1, round(_RUNS * length / total)), -(-length // _FRAMES_PER_RUN))
        starts = np.cumsum([0, *(recording.length for recording in own)])
        for position in (np.arange(number) + 0.5) / number * length:
            index = int(np.searchsorted(starts, position, side="right")) - 1
            recording = own[index]
            last = min(int(position - starts[index]) + _FRAMES_PER_RUN // 2, recording.length)
            first = max(0, last - _FRAMES_PER_RUN)
            last = min(recording.length, first + _FRAMES_PER_RUN)
            yield recording, slice(recording.first_frame + first, recording.first_frame + last)


def _learn(
    name: str, capture: xr.Dataset, cameras: Cameras, recordings: list[Recording], settings: Settings
) -> _Learnt:
    """Learn the detector's error, its correlation in time and bone lengths from a part of the frames."""
    skeleton = skeletons.get(capture.attrs["skeleton"])
    loaded = [
        (recording, *_load(capture, frames, settings, cameras.K.device)) for recording, frames in _runs(recordings)
    ]
    pixels = torch.cat([pixels for _, pixels, _ in loaded])
    confidence = torch.cat([confidence for _, _, confidence in loaded])
    every = max(1, len(pixels) // 512)
    learnt = noise.learn(cameras, pixels[::every], confidence[::every])
    log.info(
        "capture %s: detector's error learnt from %d frames: %s px at confidence %s, times %s in the views",
        name,
        len(pixels[::every]),
        *(
            ", ".join(f"{value:.2g}" for value in values.tolist())
            for values in (learnt.scale_px, learnt.confidence, learnt.view_factor)
        ),
    )
    if settings.smoothing is None:
        return _Learnt(learnt, 1.0, {})
    scale = learnt.scale(confidence)
    solution = triangulate_robust(cameras, pixels, scale)
    follows = torch.cat([torch.arange(len(run)) > 0 for _, run, _ in loaded]).to(pixels.device)
    inflation = noise.inflation(cameras, pixels, scale, solution.points, follows)
    subject = np.repeat([recording.subject for recording, _, _ in loaded], [len(run) for _, run, _ in loaded])
    lengths = {}
    for person in dict.fromkeys(subject.tolist()):
        own = torch.as_tensor(subject == person, device=pixels.device)
        lengths[person] = bone_lengths(solution.points[own], solution.covariance[own], skeleton.bone_indices)
    return _Learnt(learnt, inflation, lengths)


def _solve_robust(
    cameras: Cameras,
    pixels: Tensor,
    confidence: Tensor,
    learnt: _Learnt,
    skeleton: Skeleton,
    recording: Recording,
    settings: Settings,
    wanted: slice,
) -> tuple[dict[str, np.ndarray], Block]:
    scale = learnt.noise.scale(confidence)
    solution = triangulate_robust(cameras, pixels, scale)
    swapped = torch.zeros(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
    if settings.repair_swaps:
        swapped = find_swaps(cameras, pixels, scale, solution, skeleton.mirrored)
        changed = swapped.any(1)
        if changed.any():
            pixels, scale = (exchange(values, swapped, skeleton.mirrored) for values in (pixels, scale))
            repaired = triangulate_robust(cameras, pixels[changed], scale[changed])
            for values, new in zip(solution, repaired, strict=True):
                values[changed] = new
    points = solution.points[wanted]
    filled = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    if settings.smoothing:
        points = smooth(
            cameras,
            pixels,
            scale,
            solution.points,
            bones=skeleton.bone_indices,
            lengths=learnt.bone_lengths[recording.subject],
            fps=recording.fps,
            acceleration=settings.smoothing.acceleration,
            bone_spread=settings.smoothing.bone_spread_mm / 1e3,
            inflation=learnt.inflation,
            frames=wanted,
        )
        seen = solution.points.isfinite().all(-1)
        gap = min(int(settings.smoothing.max_gap_s * recording.fps), MARGIN)
        filled = _short_gaps(seen, gap)[wanted]
        points = torch.where((seen[wanted] | filled)[..., None], points, torch.nan)
    pixels, scale = pixels[wanted], scale[wanted]
    solution = Solution(*(values[wanted] for values in solution))
    upper = solution.covariance.flatten(-2)[..., [0, 1, 2, 4, 5, 8]].cpu().numpy()
    error = reprojection_error(cameras, points, pixels)
    block = _block(cameras, points, solution.points, error, pixels, solution.inlier, swapped[wanted], filled)
    return {"covariance": upper}, block


def _solve_plain(cameras: Cameras, pixels: Tensor, confidence: Tensor) -> tuple[dict[str, np.ndarray], Block]:
    used = confidence > 0
    points, _ = triangulate(cameras, pixels, used.to(pixels.dtype))
    error = reprojection_error(cameras, points, pixels)
    no = torch.zeros_like(used)
    found = points.isfinite().all(-1)[:, None]
    return {}, _block(cameras, points, points, error, pixels, used & found, no[:, :, 0], no[:, 0])


def _block(
    cameras: Cameras,
    points: Tensor,
    of_single_frames: Tensor,
    error: Tensor,
    pixels: Tensor,
    used: Tensor,
    swapped: Tensor,
    filled: Tensor,
) -> Block:
    depth = world_to_camera(cameras, points)[..., 2]
    error_mm = 1e3 * error * depth / cameras.focal.mean(-1)[:, None]
    detected = pixels.isfinite().all(-1)
    arrays = (points, of_single_frames, error, error_mm, detected, used, swapped, filled)
    return Block(*(values.cpu().numpy() for values in arrays))


def _short_gaps(seen: Tensor, most: int) -> Tensor:
    """Mark the frames (frame, keypoint) of gaps of up to `most` frames that are seen on both sides."""
    if not most:
        return torch.zeros_like(seen)
    frame = torch.arange(len(seen), device=seen.device)[:, None].expand(seen.shape)
    before = torch.where(seen, frame, -len(seen) - most).cummax(0).values
    after = torch.where(seen, frame, 2 * len(seen) + most).flip(0).cummin(0).values.flip(0)
    return ~seen & (after - before - 1 <= most)


def _check_limits(views: pd.DataFrame, limits: Limits, layout: Layout) -> None:
    for capture, table in views.groupby("capture", sort=False):
        for column in ("missing", "rejected", "median_mm"):
            middle, limit = table[column].median(), getattr(limits, column)
            if not middle <= limit:
                worst = table.sort_values(column, ascending=False).iloc[0]
                raise InputError(
                    f"{layout.captures}, capture {capture}: {column} is {middle:.3g} in the middle view and "
                    f"{worst[column]:.3g} in the worst, {worst['view']}; {limit:g} is allowed (triangulate.limits in "
                    "params.yaml). Usual causes: the calibration of another day, its cameras in another order, "
                    "recordings that are not synchronised; the tables above and in the log show where"
                )

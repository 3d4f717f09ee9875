"""The evaluation of one capture, part by part."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from trilift import skeletons
from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.evaluate.measuring import FRAMES_OF_MOVEMENT, Conditions, Frames, Measuring
from trilift.evaluate.tables import Errors
from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.placement import place

_FRAMES_PER_PART = 512  # from every view


@dataclass(frozen=True)
class _Loaded:
    """Some frames of a recording as they are in the files; `first` is the first one's index in the capture."""

    first: int
    pixels: np.ndarray
    confidence: np.ndarray
    labels: np.ndarray
    reference: np.ndarray | None

    def at(self, frames: slice) -> "_Loaded":
        rows = slice(frames.start - self.first, frames.stop - self.first)
        reference = None if self.reference is None else self.reference[rows]
        return _Loaded(frames.start, self.pixels[rows], self.confidence[rows], self.labels[rows], reference)


class _Part(NamedTuple):
    """What came of some frames: poses (frame, view, joint, 3), root (frame, view, 3), pose_error (frame, view)."""

    poses: Tensor
    root: Tensor
    pose_error: Tensor
    errors: Errors
    conditions: Conditions


class CaptureEvaluation:
    """The evaluation of one capture, block by block, the parts of a block side by side."""

    def __init__(
        self,
        name: str,
        capture: xr.Dataset,
        labels: xr.Dataset,
        reference: xr.Dataset | None,
        chosen: np.ndarray,
        lifter: Lifter,
        device: torch.device,
        flip: bool,
    ):
        self._name, self._capture, self._labels, self._reference = name, capture, labels, reference
        self._lifter, self._device, self._flip = lifter, device, flip
        self._cameras = Cameras.from_arrays(capture).to(device)
        self._mapping = skeletons.mapping(reading.skeleton_of(capture), lifter.skeleton)
        self._measuring = Measuring(self._cameras, lifter.skeleton, lifter.mean_pose)
        self._has_confidence = capture.attrs["confidence_source"] != "none"
        self.views = capture["view"].values.tolist()
        self.poses = len(self.views) * int(chosen.sum())
        self._tested = {  # frames that follow each other
            recording: slice(recording.start + int(own[0]), recording.start + int(own[-1]) + 1)
            for recording in reading.recordings(capture)
            if len(own := np.flatnonzero(chosen[recording.frames]))
        }
        self.errors = self._no_errors(list(self._tested))

    def run(
        self, written: writing.CaptureWriter, conditions: Conditions, pool: ThreadPoolExecutor, progress: tqdm
    ) -> None:
        """Write the predictions, and collect their errors in `errors` and `conditions`."""
        done = 0
        for number, (recording, tested) in enumerate(self._tested.items()):
            for block in reading.blocks(tested.stop - tested.start):
                frames = slice(tested.start + block.start, tested.start + block.stop)
                loaded = self._load(self._around_of(frames, tested, recording))
                evaluate = partial(self._evaluate, loaded, tested, recording, conditions.unit)
                whole = block.stop - block.start
                # Parts that stay in the processor's cache; a temporal lifter sees many frames around each.
                size = max(_FRAMES_PER_PART, 8 * self._around(recording)) if self._device.type == "cpu" else whole
                parts = [
                    slice(frames.start + part.start, frames.start + part.stop) for part in reading.blocks(whole, size)
                ]
                for part, result in zip(parts, pool.map(evaluate, parts), strict=True):
                    length = part.stop - part.start
                    written.write_block(
                        slice(done, done + length),
                        poses=result.poses.cpu().numpy(),
                        root=result.root.cpu().numpy(),
                        pose_error=result.pose_error.cpu().numpy(),
                        frame_of_capture=np.arange(part.start, part.stop),
                    )
                    self.errors.merge(result.errors, number)
                    conditions.merge(result.conditions)
                    done += length
                    progress.update(length)

    def _no_errors(self, recordings: list[Recording]) -> Errors:
        return Errors(self._name, recordings, self.views, self._lifter.skeleton.keypoints)

    def _around(self, recording: Recording) -> int:
        return self._lifter.network_settings.reach(recording.fps)

    def _around_of(self, frames: slice, tested: slice, recording: Recording) -> slice:
        """Frames to which the movements into `frames` belong, and what a temporal lifter sees around these."""
        around = self._around(recording)
        first = frames.start - FRAMES_OF_MOVEMENT - around
        return slice(max(tested.start, first), min(tested.stop, frames.stop + around))

    def _load(self, frames: slice) -> _Loaded:
        pixels, confidence = reading.load_frames(self._capture, frames, "pixels", "confidence")
        (labels,) = reading.load_frames(self._labels, frames, "training_poses")
        reference = None
        if self._reference is not None:
            (reference,) = reading.load_frames(self._reference, frames, "poses")
            skeleton = reading.skeleton_of(self._reference)
            reference = skeletons.mapping(skeleton, self._lifter.skeleton).apply(reference)
        return _Loaded(frames.start, pixels, confidence, labels, reference)

    def _evaluate(self, loaded: _Loaded, tested: slice, recording: Recording, unit: str, frames: slice) -> _Part:
        seen = self._around_of(frames, tested, recording)
        lead = min(FRAMES_OF_MOVEMENT, frames.start - tested.start)
        core = slice(frames.start - lead - seen.start, frames.stop - seen.start)
        own = loaded.at(seen)
        rays, confidence = rays_of_joints(
            self._tensor(own.pixels), self._tensor(own.confidence), self._cameras, self._mapping
        )
        every = self._lifter.network_settings.every(recording.fps)
        predicted = self._lifter.predict(rays, confidence, self._flip, every)[core]
        root = place(predicted, rays[core], confidence[core])
        errors, conditions = self._no_errors([recording]), Conditions(unit)
        measured = Frames(
            predicted,
            root,
            confidence[core] if self._has_confidence else None,
            self._tensor(self._mapping.apply(own.pixels[core])),
            self._tensor(own.labels[core]),
            None if own.reference is None else self._tensor(own.reference[core]),
            lead,
            recording.fps,
        )
        pose_error = self._measuring.measure(measured, errors, conditions)
        return _Part(predicted[lead:], root[lead:], pose_error, errors, conditions)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, device=self._device)

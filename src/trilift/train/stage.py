"""train: detections and pseudo-labels -> a lifter."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from trilift import skeletons
from trilift.captures import reading, splits
from trilift.captures.splits import Split
from trilift.errors import InputError, listed
from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import insert_root, normalised_joints
from trilift.lifter.lifter import Lifter
from trilift.project import provenance
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load_dataset
from trilift.skeletons import SKELETONS, TRAINING_SKELETON, Mapping
from trilift.train.checkpoint import Checkpoint
from trilift.train.runs import of_run
from trilift.train.samples import Rigs, Samples, trust
from trilift.train.settings import Settings
from trilift.train.training import Scaling, fit

log = logging.getLogger(__name__)


def run(layout: Layout, device: torch.device) -> None:
    """Train the lifter of a data set; writes its weights, description and history."""
    settings, seed = of_run(layout.params, layout.run)
    split = load_dataset(layout.dataset_file, "split", Split)
    torch.set_num_threads(settings.threads)
    with (
        reading.read(layout.captures, "captures") as detections,
        reading.read(layout.pseudo_labels, "pseudo_labels") as labels,
    ):
        splits.check_names(detections, split, str(layout.dataset_file))
        reading.check_same_recordings(layout.pseudo_labels, detections, labels)
        layouts = [reading.skeleton_of(capture) for capture in detections.values()]
        own_layouts = {layout.name: layout.definition for layout in layouts if layout.name not in SKELETONS}
        samples, is_validation = _join(
            [_load_frames(detections[name], labels[name], split, settings.validation_share) for name in detections]
        )
    has_sample = samples.visible.any(1) & samples.joints[:, TRAINING_SKELETON.root_index].isfinite().all(-1)
    training = replace(samples, chosen=(has_sample & ~is_validation).nonzero()[:, 0])
    validation = (has_sample & is_validation).nonzero()[:, 0]
    if len(training) < 2:
        raise InputError(
            f"{layout.pseudo_labels}: fewer than 2 training frames have a pseudo-label of the "
            f"{TRAINING_SKELETON.root} that is also seen in a view; look at the log of triangulate, and at the split"
        )
    if settings.losses.trust_labels and not (training.trust[training.chosen] > 0).any():
        raise InputError(
            f"{layout.pseudo_labels}: no covariance to weight pseudo-labels by (train.losses.trust_labels in "
            "params.yaml); set trust_labels: false, or make them with triangulate.method: robust"
        )
    scaling = Scaling.of(training)
    log.info(
        "%d frames to train on, %d to validate on, up to %d views; on %s",
        len(training),
        len(validation),
        samples.visible.shape[1],
        device,
    )
    _warn_of_few_frames(len(training), settings)
    checkpoint = Checkpoint(layout.checkpoints / f"{_fingerprint(layout, settings, split, seed)}.pt")
    if checkpoint.path.exists():
        log.info("going on from %s", checkpoint.path)
    network, history = fit(training, validation, scaling, settings, seed, device, checkpoint)
    lifter = Lifter(
        network,
        settings.network,
        TRAINING_SKELETON,
        scaling.mean,
        scaling.spread,
        _mean_pose(training),
        facts={
            "dataset": layout.dataset,
            "seed": seed,
            "settings": settings.model_dump(),
            "layouts": sorted({layout.name for layout in layouts}),
        }
        | ({"own_layouts": own_layouts} if own_layouts else {}),
    )
    if lifter.unlearnt:
        log.warning(
            "no training frame has a pseudo-label of %s: the lifter never predicts it", listed(lifter.unlearnt)
        )
    lifter.save(layout.results)
    with replacing(layout.results / "history.csv") as temporary:
        pd.DataFrame(history).astype({"step": int}).to_csv(temporary, index=False)
    last = history[-1]
    log.info("end of training: %s", ", ".join(f"{name} {value:.4g}" for name, value in last.items()))
    if len(validation) and "validation_mpjpe_mm" not in last:
        log.warning(
            "none of the %d frames to validate on has a pseudo-label beside the %s's: the last weights are kept",
            len(validation),
            TRAINING_SKELETON.root,
        )
    provenance.write(
        layout,
        "train",
        params={"train": settings, "seed": seed},
        dataset={"split": split},
        inputs=[layout.captures, layout.pseudo_labels],
        outputs=[layout.results / name for name in ("lifter.safetensors", "lifter.json", "history.csv")],
    )
    checkpoint.path.unlink(missing_ok=True)


_FEW_FRAMES, _MANY_EPOCHS = 5000, 300


def _warn_of_few_frames(frames: int, settings: Settings) -> None:
    """Warn where a few frames are seen again and again, as where `steps` are meant for longer recordings."""
    epochs = settings.steps / -(-frames // settings.batch_frames)
    if frames < _FEW_FRAMES and epochs > _MANY_EPOCHS:
        log.warning(
            "%d frames to train on, each seen %.0f times: the lifter will know them by heart, and other people and "
            "motions hardly. More recordings help; else take fewer steps (train.steps in params.yaml) and watch the "
            "validation in figures/training.png",
            frames,
            epochs,
        )


def _fingerprint(layout: Layout, settings: Settings, split: Split, seed: int) -> str:
    """Name all that a training depends on: a checkpoint serves no other."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    code = sorted(file for ending in ("*.py", "*.yaml") for file in package.rglob(ending))
    for path in (layout.captures, layout.pseudo_labels, *code):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(json.dumps([layout.dataset, seed, settings.model_dump(), split.model_dump()]).encode())
    return digest.hexdigest()[:32]


def _load_frames(
    capture: xr.Dataset, pseudo_labels: xr.Dataset, split: Split, validation_share: float
) -> tuple[Samples, Tensor, list[str]]:
    """Load the training frames of one capture, which of them are for validation, and the names of their people.

    What belongs to the capture and to people is numbered from 0.
    """
    cameras = Cameras.from_arrays(capture)
    mapping = skeletons.mapping(reading.skeleton_of(capture), TRAINING_SKELETON)
    chosen = splits.frames_of(capture, split, "train")
    held_out = _ends_of_recordings(capture, chosen, validation_share)
    points, confidence, joints, weights = [], [], [], []
    for frames in reading.blocks(capture.sizes["frame"]):
        picked = chosen[frames]
        pixels, scores = reading.load_frames(capture, frames, "keypoints_2d", "confidence")
        joints_3d, covariance = reading.load_frames(pseudo_labels, frames, "joints_3d", "covariance")
        seen, sure = normalised_joints(
            torch.as_tensor(pixels[picked]).double(), torch.as_tensor(scores[picked]), cameras, mapping
        )
        points.append(seen.float())
        confidence.append(sure)
        joints.append(torch.as_tensor(joints_3d[picked]))
        weights.append(trust(_variance(covariance[picked], mapping)))
    names = list(dict.fromkeys(recording.subject for recording in reading.recordings(capture)))
    person = np.zeros(len(chosen), np.int64)
    run = np.zeros(len(chosen), np.int64)
    for number, recording in enumerate(reading.recordings(capture)):
        person[recording.frames] = names.index(recording.subject)
        run[recording.frames] = number
    # Frames that follow each other in one recording and are all for training, or all for validation.
    run = (2 * run + held_out)[chosen]
    gap = np.flatnonzero(np.diff(run, prepend=-1) | (np.diff(np.flatnonzero(chosen), prepend=-2) != 1))
    length = np.diff(gap, append=len(run))
    first = np.repeat(gap, length)
    rigs = Rigs(
        cameras.R.float()[None],
        cameras.t.float()[None],
        cameras.focal.float()[None],
        cameras.distortion.float()[None],
    )
    all_points = torch.cat(points)
    samples = Samples(
        all_points,
        torch.cat(confidence),
        torch.cat(joints).float(),
        torch.cat(weights).float(),
        all_points[..., TRAINING_SKELETON.root_index, :].isfinite().all(-1),
        torch.zeros(len(run), dtype=torch.int64),
        torch.as_tensor(person[chosen]),
        torch.as_tensor(first),
        torch.as_tensor(first + np.repeat(length, length) - 1),
        torch.empty(0, dtype=torch.int64),
        rigs,
        TRAINING_SKELETON,
    )
    return samples, torch.as_tensor(held_out[chosen]), names


def _variance(covariance: np.ndarray, mapping: Mapping) -> Tensor:
    """Give the variance of joints (frame, joint) from the covariances (frame, keypoint, 6) of keypoints.

    It is NaN where that of a keypoint which the joint is formed of is not known (it was filled in, not measured), and
    for all joints where that of the root is not: they are learnt relative to it.
    """
    variance = covariance[..., [0, 3, 5]].mean(-1)
    unknown = ~np.isfinite(variance)
    of_joints = np.where(unknown, 0, variance) @ (mapping.matrix.T**2)
    unknown = unknown @ (mapping.matrix.T != 0)
    unknown |= unknown[:, [TRAINING_SKELETON.root_index]]
    return torch.as_tensor(np.where(unknown, np.nan, of_joints))


def _ends_of_recordings(capture: xr.Dataset, chosen: np.ndarray, share: float) -> np.ndarray:
    """Mark the last `share` of each recording's chosen frames."""
    marked = np.zeros_like(chosen)
    for recording in reading.recordings(capture):
        frames = recording.start + np.flatnonzero(chosen[recording.frames])
        marked[frames[len(frames) - round(share * len(frames)) :]] = True
    return marked


def _join(parts: list[tuple[Samples, Tensor, list[str]]]) -> tuple[Samples, Tensor]:
    """Join the frames of captures; views that a capture does not have are not visible."""
    views = max(samples.visible.shape[1] for samples, _, _ in parts)

    def widen(values: Tensor, fill: float) -> Tensor:
        wide = values.new_full((len(values), views, *values.shape[2:]), fill)
        wide[:, : values.shape[1]] = values
        return wide

    def joined(name: str, fill: float | None = None) -> Tensor:
        values = [getattr(samples, name) for samples, _, _ in parts]
        return torch.cat(values if fill is None else [widen(value, fill) for value in values])

    people = list(dict.fromkeys(name for _, _, names in parts for name in names))
    starts = np.cumsum([0, *(len(samples.points) for samples, _, _ in parts)]).tolist()
    rigs = {
        name: torch.cat([widen(getattr(samples.rigs, name), 0.0) for samples, _, _ in parts])
        for name in ("rotations", "translations", "focal", "distortion")
    }
    samples = Samples(
        joined("points", torch.nan),
        joined("confidence", 0.0),
        joined("joints"),
        joined("trust"),
        joined("visible", False),
        torch.cat([torch.full((len(samples.points),), i) for i, (samples, _, _) in enumerate(parts)]),
        torch.cat(
            [torch.tensor([people.index(name) for name in names])[samples.person] for samples, _, names in parts]
        ),
        torch.cat([samples.first + start for start, (samples, _, _) in zip(starts, parts, strict=False)]),
        torch.cat([samples.last + start for start, (samples, _, _) in zip(starts, parts, strict=False)]),
        joined("chosen"),
        Rigs(**rigs),
        TRAINING_SKELETON,
    )
    return samples, torch.cat([validation for _, validation, _ in parts])


def _mean_pose(samples: Samples) -> Tensor:
    """Average the pseudo-labels as all visible views see them: (joint, 3); NaN where there are none."""
    total = torch.zeros(len(TRAINING_SKELETON) - 1, 3)
    number = torch.zeros_like(total)
    for which in torch.arange(len(samples)).split(reading.FRAMES_PER_BLOCK):
        batch = samples.batch(which, window=1)
        seen = (batch.labels.unsqueeze(1) @ batch.rotations.mT)[batch.visible]
        total += seen.nan_to_num().sum(0)
        number += seen.isfinite().sum(0)
    return insert_root(total / number, TRAINING_SKELETON)

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
from trilift.geometry.triangulation import triangulate
from trilift.lifter.inputs import insert_root, rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.project import messages, provenance
from trilift.project.files import replacing
from trilift.project.layout import LIFTER, Layout
from trilift.project.params import load_dataset
from trilift.skeletons import SKELETONS, TRAINING_SKELETON, Mapping
from trilift.train.checkpoint import Checkpoint
from trilift.train.runs import files_of_start, of_run, own_files_of_start
from trilift.train.samples import Rigs, Samples, Scaling, trust
from trilift.train.settings import Settings
from trilift.train.start import load_start
from trilift.train.training import fit

log = logging.getLogger(__name__)


def run(layout: Layout, device: torch.device) -> None:
    """Train the lifter of a data set; writes its weights, description and history."""
    settings, seed = of_run(layout.params, layout.run)
    with messages.warnings_kept() as warnings:
        _run(layout, device, settings, seed, warnings)


def _run(layout: Layout, device: torch.device, settings: Settings, seed: int, warnings: list[str]) -> None:
    split = load_dataset(layout.dataset_file, "split", Split)
    start = load_start(layout, settings)
    torch.set_num_threads(settings.threads)
    with (
        reading.read(layout.captures, "captures") as detections,
        reading.read(layout.pseudo_labels, "pseudo_labels") as labels,
    ):
        splits.check_names(detections, split, str(layout.dataset_file))
        reading.check_same_recordings(layout.pseudo_labels, detections, labels)
        layouts = [reading.skeleton_of(capture) for capture in detections.values()]
        own_layouts = {layout.name: layout.definition for layout in layouts if layout.name not in SKELETONS}
        training, validation = _load_samples(detections, labels, split, settings)
    if len(training) < 2:
        raise InputError(
            f"{layout.pseudo_labels}: fewer than 2 training frames have a pseudo-label of the "
            f"{TRAINING_SKELETON.root} that is also seen in a view; look at the log of triangulate, and at the split "
            "(train.without_root: true in params.yaml takes labels without it, where two views see it)"
        )
    if settings.losses.trust_labels and not (training.trust[training.chosen] > 0).any():
        raise InputError(
            f"{layout.pseudo_labels}: no covariance to weight pseudo-labels by (train.losses.trust_labels in "
            "params.yaml); set trust_labels: false, or make them with triangulate.method: robust"
        )
    scaling = Scaling(start.mean, start.spread) if start else Scaling.of(training)
    log.info(
        "%d frames to train on, %d to validate on, up to %d views; on %s",
        len(training),
        len(validation),
        training.visible.shape[1],
        device,
    )
    _warn_of_few_frames(len(training), len(validation), settings)
    checkpoint = Checkpoint(layout.checkpoints / f"{_fingerprint(layout, settings, split, seed)}.pt")
    if checkpoint.path.exists():
        log.info("going on from %s", checkpoint.path)
    if start:
        log.info("beginning with the weights of %s, trained on %s", settings.start_from, start.facts["dataset"])
    weights = start.network.state_dict() if start else None
    network, history = fit(training, validation, scaling, settings, seed, device, checkpoint, weights)
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
            "frames": len(training),
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
        inputs=[layout.captures, layout.pseudo_labels, *own_files_of_start(layout, settings)],
        outputs=[layout.results / name for name in (*LIFTER, "history.csv")],
        weights=_shipped_weights(settings),
        warnings=warnings,
    )
    checkpoint.path.unlink(missing_ok=True)


def _shipped_weights(settings: Settings) -> dict[str, str]:
    """Hash the package's lifter that the training begins with, if it is one."""
    if settings.start_from not in SHIPPED:
        return {}
    return {settings.start_from: provenance.sha256(folder_of(settings.start_from) / LIFTER[0])}


_FEW_FRAMES, _MANY_EPOCHS = 5000, 300


def _warn_of_few_frames(frames: int, of_validation: int, settings: Settings) -> None:
    """Warn where a few frames are seen again and again, as where `steps` are meant for longer recordings."""
    epochs = settings.steps / -(-frames // settings.batch_frames)
    if frames < _FEW_FRAMES and epochs > _MANY_EPOCHS:
        log.warning(
            "%d frames to train on, each seen %.0f times: the lifter will know them by heart, and other people and "
            "motions hardly. More recordings help; else take fewer steps (train.steps in params.yaml)%s",
            frames,
            epochs,
            " and watch the validation in figures/training.png" if of_validation else "",
        )


def _fingerprint(layout: Layout, settings: Settings, split: Split, seed: int) -> str:
    """Name all that a training depends on: a checkpoint serves no other."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    code = sorted(file for ending in ("*.py", "*.yaml") for file in package.rglob(ending))
    for path in (layout.captures, layout.pseudo_labels, *files_of_start(layout, settings), *code):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(json.dumps([layout.dataset, seed, settings.model_dump(), split.model_dump()]).encode())
    return digest.hexdigest()[:32]


def _load_samples(
    detections: dict[str, xr.Dataset], pseudo_labels: dict[str, xr.Dataset], split: Split, settings: Settings
) -> tuple[Samples, Tensor]:
    """Load the training frames of all captures, and which of them (frame,) are to be watched and not trained on."""
    views = max(capture.sizes["view"] for capture in detections.values())
    people = list(
        dict.fromkeys(
            recording.subject for capture in detections.values() for recording in reading.recordings(capture)
        )
    )
    parts: list[Samples] = []
    held_out, start = [], 0
    for number, (name, capture) in enumerate(detections.items()):
        part, ends = _load_capture(capture, pseudo_labels[name], split, settings, people, views)
        first, last = part.first + start, part.last + start
        parts.append(replace(part, capture=part.capture + number, first=first, last=last))
        held_out.append(ends)
        start += len(part.rays)
    samples, is_validation = Samples.cat(parts), torch.cat(held_out)
    labelled = samples.poses.isfinite().all(-1)
    has_sample = samples.visible.any(1) & labelled[:, TRAINING_SKELETON.root_index]
    if left_out := int((samples.visible.any(1) & labelled.any(1) & ~has_sample).sum()):
        log.log(
            logging.WARNING if left_out > has_sample.sum() else logging.INFO,
            "%d frames are left out because their pseudo-label has no %s, beside %d that have one%s",
            left_out,
            TRAINING_SKELETON.root,
            has_sample.sum(),
            "" if settings.without_root else "; train.without_root: true in params.yaml takes them too",
        )
    training = replace(samples, chosen=(has_sample & ~is_validation).nonzero()[:, 0])
    return training, (has_sample & is_validation).nonzero()[:, 0]


def _load_capture(
    capture: xr.Dataset,
    pseudo_labels: xr.Dataset,
    split: Split,
    settings: Settings,
    people: list[str],
    views: int,
) -> tuple[Samples, Tensor]:
    """Load the training frames of one capture, none chosen yet, and which of them are for validation.

    Captures and frames are numbered from 0. Views that the capture does not have are not visible.
    """
    cameras = Cameras.from_arrays(capture)
    mapping = skeletons.mapping(reading.skeleton_of(capture), TRAINING_SKELETON)
    chosen = splits.frames_of(capture, split, "train")
    held_out = _ends_of_recordings(capture, chosen, settings.validation_share)
    rays, confidence, poses, weights, rooted = [], [], [], [], []
    for frames in reading.blocks(capture.sizes["frame"]):
        picked = chosen[frames]
        pixels, raw_confidence = reading.load_frames(capture, frames, "pixels", "confidence")
        labels, covariance = reading.load_frames(pseudo_labels, frames, "training_poses", "covariance")
        of_views = rays_of_joints(
            torch.as_tensor(pixels[picked]), torch.as_tensor(raw_confidence[picked]), cameras, mapping
        )
        rays.append(_widen(of_views[0].float(), views, torch.nan))
        confidence.append(_widen(of_views[1], views, 0.0))
        poses.append(torch.as_tensor(labels[picked]))
        rooted.append(poses[-1][:, TRAINING_SKELETON.root_index].isfinite().all(-1))
        weights.append(trust(_variance(covariance[picked], mapping, rooted[-1].numpy())))
        if settings.without_root:
            _put_in_roots(poses[-1], cameras, torch.as_tensor(mapping.apply(pixels[picked])))
    person = np.zeros(len(chosen), np.int64)
    run = np.zeros(len(chosen), np.int64)
    every = np.ones(len(chosen), np.int64)
    for number, recording in enumerate(reading.recordings(capture)):
        person[recording.frames] = people.index(recording.subject)
        run[recording.frames] = number
        every[recording.frames] = settings.network.every(recording.fps)
    # Frames that follow each other in one recording and are all for training, or all for validation.
    run = (2 * run + held_out)[chosen]
    gap = np.flatnonzero(np.diff(run, prepend=-1) | (np.diff(np.flatnonzero(chosen), prepend=-2) != 1))
    length = np.diff(gap, append=len(run))
    first = np.repeat(gap, length)
    all_rays = torch.cat(rays)
    samples = Samples(
        rays=all_rays,
        confidence=torch.cat(confidence),
        poses=torch.cat(poses).float(),
        trust=torch.cat(weights).float(),
        rooted=torch.cat(rooted),
        visible=all_rays[..., TRAINING_SKELETON.root_index, :].isfinite().all(-1),
        person=torch.as_tensor(person[chosen]),
        capture=torch.zeros(len(run), dtype=torch.int64),
        first=torch.as_tensor(first),
        last=torch.as_tensor(first + np.repeat(length, length) - 1),
        every=torch.as_tensor(every[chosen]),
        chosen=torch.empty(0, dtype=torch.int64),
        rigs=Rigs.of(cameras).map(lambda values: _widen(values, views, 0.0)),
        skeleton=TRAINING_SKELETON,
    )
    return samples, torch.as_tensor(held_out[chosen])


def _widen(values: Tensor, views: int, fill: float) -> Tensor:
    """Add views to an axis of them: (..., view, ...) after the first."""
    wide = values.new_full((len(values), views, *values.shape[2:]), fill)
    wide[:, : values.shape[1]] = values
    return wide


def _put_in_roots(poses: Tensor, cameras: Cameras, pixels: Tensor) -> None:
    """Say about where the root is, as all views see it, in poses (frame, joint, 3) that have other joints."""
    root = TRAINING_SKELETON.root_index
    lacking = poses.isfinite().all(-1).any(1) & ~poses[:, root].isfinite().all(-1)
    triangulated, _ = triangulate(cameras, pixels[lacking, :, root : root + 1])
    poses[lacking, root] = triangulated[:, 0].to(poses.dtype)


def _variance(covariance: np.ndarray, mapping: Mapping, rooted: np.ndarray) -> Tensor:
    """Give the variance of joints (frame, joint) from the covariances (frame, keypoint, 6) of keypoints.

    It is NaN where that of a keypoint which the joint is formed of is not known (it was filled in, not measured), and
    for all joints where that of the root is not: they are learnt relative to it, where it is known (frame,).
    """
    variance = covariance[..., [0, 3, 5]].mean(-1)
    unknown = ~np.isfinite(variance)
    of_joints = np.where(unknown, 0, variance) @ (mapping.matrix.T**2)
    unknown = unknown @ (mapping.matrix.T != 0)
    unknown |= unknown[:, [TRAINING_SKELETON.root_index]] & rooted[:, None]
    return torch.as_tensor(np.where(unknown, np.nan, of_joints))


def _ends_of_recordings(capture: xr.Dataset, chosen: np.ndarray, share: float) -> np.ndarray:
    """Mark the last `share` of each recording's chosen frames."""
    marked = np.zeros_like(chosen)
    for recording in reading.recordings(capture):
        frames = recording.start + np.flatnonzero(chosen[recording.frames])
        marked[frames[len(frames) - round(share * len(frames)) :]] = True
    return marked


def _mean_pose(samples: Samples) -> Tensor:
    """Average the pseudo-labels as all visible views see them: (joint, 3); NaN where there are none.

    Those whose root is only about where it is count where there are no others.
    """
    total = torch.zeros(len(samples.skeleton) - 1, 3)
    number = torch.zeros_like(total)
    for which in torch.arange(len(samples)).split(reading.FRAMES_PER_BLOCK):
        batch = samples.batch(which, window=1)
        seen = batch.labels_in_views[batch.visible]
        weight = torch.where(batch.rooted, 1.0, 1e-6)[:, None].expand_as(batch.visible)[batch.visible]
        total += (weight[:, None, None] * seen.nan_to_num()).sum(0)
        number += (weight[:, None, None] * seen.isfinite()).sum(0)
    return insert_root(total / number, samples.skeleton)

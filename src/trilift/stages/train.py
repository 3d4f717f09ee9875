"""train: detections and pseudo-labels -> a lifter."""

import logging

import numpy as np
import pandas as pd
import torch
import xarray as xr

from trilift import captures, skeletons, splits
from trilift.errors import InputError
from trilift.files import replacing
from trilift.geometry.cameras import Cameras
from trilift.layout import Layout
from trilift.lifting.inputs import feature_scaling, features, insert_root, root_relative, scale
from trilift.lifting.lifter import Lifter
from trilift.lifting.training import Samples, TrainingSettings, fit
from trilift.lifting.views import normalised_joints
from trilift.params import load, load_dataset, load_seed
from trilift.skeletons import TRAINING_SKELETON
from trilift.splits import Split

log = logging.getLogger(__name__)

Settings = TrainingSettings


def run(layout: Layout, device: torch.device) -> None:
    """Train the lifter of a data set; writes its weights, description and history."""
    settings = load(layout.params, "train", Settings)
    split = load_dataset(layout.dataset_file, "split", Split)
    seed = load_seed(layout.params)
    torch.set_num_threads(settings.threads)
    with (
        captures.read(layout.captures, "captures") as detections,
        captures.read(layout.pseudo_labels, "pseudo_labels") as labels,
    ):
        splits.check_names(detections, split, str(layout.dataset_file))
        captures.check_same_recordings(layout.pseudo_labels, detections, labels)
        parts = [
            _load_samples(detections[name], labels[name], split, settings.validation_share) for name in detections
        ]
    raw, is_validation = _join(parts)
    if (~is_validation).sum() < 2:
        raise InputError(
            f"{layout.pseudo_labels}: fewer than 2 training frames have a pseudo-label of the "
            f"{TRAINING_SKELETON.root} that is also seen in a view; look at the log of triangulate, and at the split"
        )
    training_rows = raw.features[~is_validation][raw.visible[~is_validation]]
    mean, spread = feature_scaling(training_rows, coordinates=2 * len(TRAINING_SKELETON))
    samples = Samples(scale(raw.features, mean, spread), raw.visible, raw.labels, raw.rotations, raw.capture)
    training, validation = samples.select(~is_validation), samples.select(is_validation)
    log.info(
        "%d frames to train on, %d to validate on, up to %d views; on %s",
        len(training),
        len(validation),
        samples.visible.shape[1],
        device,
    )
    network, history = fit(training, validation, settings, seed, device)
    lifter = Lifter(
        network,
        settings.network,
        TRAINING_SKELETON,
        mean,
        spread,
        _mean_pose(training),
        facts={"dataset": layout.dataset, "seed": seed, "settings": settings.model_dump()},
    )
    lifter.save(layout.results)
    with replacing(layout.results / "history.csv") as temporary:
        pd.DataFrame(history).astype({"step": int}).to_csv(temporary, index=False)
    last = history[-1]
    log.info("end of training: %s", ", ".join(f"{name} {value:.4g}" for name, value in last.items()))


def _load_samples(
    capture: xr.Dataset, pseudo_labels: xr.Dataset, split: Split, validation_share: float
) -> tuple[Samples, torch.Tensor]:
    """Load the training frames of one capture whose root is labelled and seen, and which are for validation."""
    cameras = Cameras.from_arrays(capture)
    mapping = skeletons.mapping(skeletons.get(capture.attrs["skeleton"]), TRAINING_SKELETON)
    chosen = splits.frames_of(capture, split, "train")
    held_out = _ends_of_recordings(capture, chosen, validation_share)
    rows, visible, labels, validation = [], [], [], []
    for frames in captures.blocks(capture.sizes["frame"]):
        pixels, confidence = captures.load_frames(capture, frames, "keypoints_2d", "confidence")
        (joints_3d,) = captures.load_frames(pseudo_labels, frames, "joints_3d")
        picked = chosen[frames] & np.isfinite(joints_3d[:, TRAINING_SKELETON.root_index]).all(-1)
        points, scores = normalised_joints(
            torch.as_tensor(pixels[picked]).double(), torch.as_tensor(confidence[picked]), cameras, mapping
        )
        seen = points[..., TRAINING_SKELETON.root_index, :].isfinite().all(-1)  # (F, V)
        kept = seen.any(1)
        rows.append(features(points[kept], scores[kept], TRAINING_SKELETON).float())
        visible.append(seen[kept])
        labels.append(root_relative(torch.as_tensor(joints_3d[picked])[kept], TRAINING_SKELETON))
        validation.append(torch.as_tensor(held_out[frames][picked])[kept])
    only_capture = torch.zeros(sum(len(part) for part in rows), dtype=torch.int64)
    samples = Samples(torch.cat(rows), torch.cat(visible), torch.cat(labels), cameras.R.float()[None], only_capture)
    return samples, torch.cat(validation)


def _ends_of_recordings(capture: xr.Dataset, chosen: np.ndarray, share: float) -> np.ndarray:
    """Mark the last `share` of each recording's chosen frames."""
    marked = np.zeros_like(chosen)
    for recording in captures.recordings(capture):
        frames = recording.first_frame + np.flatnonzero(chosen[recording.frames])
        marked[frames[len(frames) - round(share * len(frames)) :]] = True
    return marked


def _join(parts: list[tuple[Samples, torch.Tensor]]) -> tuple[Samples, torch.Tensor]:
    """Join the samples of captures; views that a capture does not have are not visible."""
    views = max(samples.visible.shape[1] for samples, _ in parts)

    def widen(values: torch.Tensor, fill: float) -> torch.Tensor:
        wide = values.new_full((len(values), views, *values.shape[2:]), fill)
        wide[:, : values.shape[1]] = values
        return wide

    joined = Samples(
        features=torch.cat([widen(samples.features, torch.nan) for samples, _ in parts]),
        visible=torch.cat([widen(samples.visible, False) for samples, _ in parts]),
        labels=torch.cat([samples.labels for samples, _ in parts]),
        rotations=torch.cat([widen(samples.rotations, 0.0) for samples, _ in parts]),
        capture=torch.cat([torch.full((len(samples),), i) for i, (samples, _) in enumerate(parts)]),
    )
    return joined, torch.cat([validation for _, validation in parts])


def _mean_pose(samples: Samples) -> torch.Tensor:
    """Average the pseudo-labels as all visible views see them: (joint, 3)."""
    total = torch.zeros_like(samples.labels[0])
    number = torch.zeros_like(total)
    for frames in torch.arange(len(samples)).split(captures.FRAMES_PER_BLOCK):
        batch = samples.select(frames)
        seen = (batch.labels.unsqueeze(1) @ batch.rotations[batch.capture].mT)[batch.visible]
        total += seen.nan_to_num().sum(0)
        number += seen.isfinite().sum(0)
    return insert_root(total / number.clamp(min=1), TRAINING_SKELETON)

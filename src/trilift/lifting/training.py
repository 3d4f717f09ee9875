"""The training loop: all samples on the device, batches by permutation, one optimiser for the whole run."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from trilift.lifting.losses import LossSettings, losses, mean_difference, weighted_sum
from trilift.lifting.networks import EncoderDecoder, NetworkSettings
from trilift.params import StrictModel


class TrainingSettings(StrictModel):
    """The section ``train`` of ``params.yaml``.

    Attributes
    ----------
    network, losses
        See there.
    steps
        Optimiser steps in all. Counted in steps and not in epochs, so that one setting serves recordings of very
        different length.
    batch_frames
        Frames per step, at most; each brings all its views.
    learning_rate
        Of Adam at the start; it falls to 0 along a cosine.
    validation_share
        Share at the end of each training recording that is kept out of training, to watch the loss on
        *pseudo-labels* that were not trained on.
    threads
        CPU threads. A setting, because the number of threads changes the last bits of the result.
    """

    network: NetworkSettings = NetworkSettings()
    losses: LossSettings = LossSettings()
    steps: int = Field(3000, gt=0)
    batch_frames: int = Field(2048, ge=4)
    learning_rate: float = Field(1e-3, gt=0)
    validation_share: float = Field(0.1, ge=0, lt=1)
    threads: int = Field(2, gt=0)


@dataclass(frozen=True)
class Samples:
    """Frames to train on.

    Attributes
    ----------
    features
        (frame, view, feature) float32, scaled.
    visible
        (frame, view) bool: whether the view has its root. Captures with fewer views fill up with False.
    labels
        (frame, joint - 1, 3) float32: root-relative pseudo-labels, metres, world frame; NaN where missing.
    rotations
        (capture, view, 3, 3) float32, world to camera.
    capture
        (frame,) int64: which row of `rotations`.
    """

    features: Tensor
    visible: Tensor
    labels: Tensor
    rotations: Tensor
    capture: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def to(self, device: torch.device) -> "Samples":
        return Samples(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def select(self, frames: Tensor) -> "Samples":
        """Take some frames, by index or mask."""
        return Samples(
            self.features[frames],
            self.visible[frames],
            self.labels[frames],
            self.rotations,
            self.capture[frames],
        )


def predict_visible(network: torch.nn.Module, batch: Samples) -> Tensor:
    """Predict (frame, view, joint - 1, 3) where a view is visible, 0 elsewhere; batch statistics see only these."""
    rows = network(batch.features[batch.visible])
    joints = rows.shape[1] // 3
    predicted = rows.new_zeros(*batch.visible.shape, joints, 3)
    predicted[batch.visible] = rows.reshape(-1, joints, 3)
    return predicted


def training_step(
    network: torch.nn.Module, optimiser: torch.optim.Optimizer, batch: Samples, settings: LossSettings
) -> dict[str, Tensor]:
    """Take one step on a batch; returns the losses, detached."""
    predicted = predict_visible(network, batch)
    computed = losses(predicted, batch.labels, batch.rotations[batch.capture], batch.visible, settings)
    total = weighted_sum(computed, settings)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    optimiser.step()
    return {"loss": total.detach(), **{name: value.detach() for name, value in computed.items()}}


def fit(
    training: Samples, validation: Samples, settings: TrainingSettings, seed: int, device: torch.device
) -> tuple[EncoderDecoder, list[dict[str, float]]]:
    """Train a network.

    Parameters
    ----------
    training, validation
        Frames to learn from, and frames to watch; the latter may be none.
    settings
        The section ``train``.
    seed
        Decides the initial weights, the order of the frames and the dropout.
    device
        Where to compute.

    Returns
    -------
    network
        In evaluation mode, on the CPU.
    history
        Up to a hundred rows, the last one after the last step: step, epoch, learning rate, losses in metres (means
        since the row before), and in mm the mean absolute difference of validation predictions from their
        pseudo-labels (``validation_l1_mm``).
    """
    torch.manual_seed(seed)
    training, validation = training.to(device), validation.to(device)
    network = EncoderDecoder(training.features.shape[-1], training.labels.shape[1] * 3, settings.network).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    batches = _batches(len(training), settings.batch_frames, torch.Generator(device).manual_seed(seed))
    interval = -(-settings.steps // _ROWS_OF_HISTORY)
    frames_seen = since_row = 0
    sums: dict[str, Tensor] = {}
    history: list[dict[str, float]] = []
    with tqdm(total=settings.steps, unit="step", desc="train", disable=None) as bar:
        for step in range(1, settings.steps + 1):
            network.train()
            frames = next(batches)
            batch = training.select(frames)
            for name, value in training_step(network, optimiser, batch, settings.losses).items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value
            learning_rate = float(schedule.get_last_lr()[0])
            schedule.step()
            frames_seen += len(frames)
            since_row += 1
            bar.update()
            if step % interval == 0 or step == settings.steps:
                row = {
                    "step": float(step),
                    "epoch": frames_seen / len(training),
                    "learning_rate": learning_rate,
                }
                row |= {f"{name}_m": float(value / since_row) for name, value in sums.items()}
                if len(validation):
                    row["validation_l1_mm"] = 1000 * _validate(network, validation, settings.batch_frames)
                history.append(row)
                sums.clear()
                since_row = 0
                bar.set_postfix(loss=f"{row['loss_m']:.4f} m", refresh=False)
    return network.cpu().eval(), history


_ROWS_OF_HISTORY = 100


def _batches(frames: int, batch_frames: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of indices without end, each frame once per epoch in a new order.

    The batches of an epoch are of nearly equal size: a last one of a single row would have no statistics.
    """
    while True:
        permutation = torch.randperm(frames, generator=generator, device=generator.device)
        yield from permutation.tensor_split(-(-frames // batch_frames))


@torch.no_grad()
def _validate(network: torch.nn.Module, samples: Samples, batch_frames: int) -> float:
    network.eval()
    total, number = 0.0, 0
    for frames in torch.arange(len(samples), device=samples.features.device).split(batch_frames):
        batch = samples.select(frames)
        labels = batch.labels.unsqueeze(1) @ batch.rotations[batch.capture].mT
        exists = labels.isfinite().all(-1) & batch.visible.unsqueeze(-1)
        difference = mean_difference(predict_visible(network, batch), labels.nan_to_num(), exists)
        total, number = total + difference.item() * int(exists.sum()), number + int(exists.sum())
    return total / max(number, 1)

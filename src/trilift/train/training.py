"""The training loop: all samples on the device, batches by permutation, one optimiser for the whole run.

Nothing random is drawn from a state that grows: the order of an epoch, and dropout and augmentation of a step, are
seeded by their number. A training that goes on from a checkpoint therefore ends with the same bits.
"""

import copy
import logging
import math
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from trilift.errors import InputError
from trilift.lifter.inputs import feature_scaling, features, root_relative
from trilift.lifter.networks import build
from trilift.train.augmentation import augment
from trilift.train.checkpoint import Checkpoint
from trilift.train.losses import losses, weighted_sum
from trilift.train.samples import Batch, Samples
from trilift.train.settings import TrainingSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scaling:
    """Mean and spread of the inputs, (feature,) each."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, samples: Samples) -> "Scaling":
        """Measure the inputs of the chosen frames, in the views that are visible."""
        frames = samples.chosen
        raw = features(samples.points[frames], samples.confidence[frames], samples.skeleton)
        return cls(*feature_scaling(raw[samples.visible[frames]], coordinates=2 * len(samples.skeleton)))


def predict_visible(network: nn.Module, batch: Batch, scaling: Scaling, precision: str = "float32") -> Tensor:
    """Predict (frame, view, joint - 1, 3) where a view is visible, 0 elsewhere; batch statistics see only these."""
    inputs = batch.rows(scaling.mean, scaling.spread)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        rows = network(inputs)
    joints = len(batch.skeleton) - 1
    if bool(batch.visible.all()):
        return rows.float().reshape(*batch.visible.shape, joints, 3)
    predicted = torch.zeros(*batch.visible.shape, joints, 3, device=rows.device)
    predicted[batch.visible] = rows.float().reshape(-1, joints, 3)
    return predicted


def training_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    scaling: Scaling,
    settings: TrainingSettings,
    progress: float = 1.0,
) -> dict[str, Tensor]:
    """Take one step on a batch; returns the losses, detached."""
    if settings.augmentation.changes_anything:
        batch = augment(batch, settings.augmentation)
    predicted = predict_visible(network, batch, scaling, settings.precision)
    computed = losses(predicted, batch, settings.losses, progress)
    total = weighted_sum(computed, settings.losses)
    optimiser.zero_grad(set_to_none=True)
    if computed:
        total.backward()
        if settings.largest_gradient:
            nn.utils.clip_grad_norm_(network.parameters(), settings.largest_gradient)
        optimiser.step()
    return {"loss": total.detach(), **{name: value.detach() for name, value in computed.items()}}


def fit(
    training: Samples,
    validation: Tensor,
    scaling: Scaling,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train a network.

    Parameters
    ----------
    training
        Frames to learn from.
    validation
        (frame,) int64: others of its frames, to watch, as `Samples.chosen` names them; may be none.
    scaling
        Of the inputs.
    settings
        The section ``train``.
    seed
        Decides the initial weights, the order of the frames, augmentation and dropout.
    device
        Where to compute.
    checkpoint
        If its file is there, go on from it. It is for the same samples, settings and seed. At the end it stays: who
        has saved what is returned removes it.

    Returns
    -------
    network
        In evaluation mode, on the CPU.
    history
        Up to a hundred rows, the last one after the last step: step, epoch, learning rate, the weighted sum of the
        losses and each of them without its weight (means since the row before, over the steps that it was computed
        in), and in mm the mean distance of validation predictions from their pseudo-labels
        (``validation_mpjpe_mm``), if any can be compared.

    Raises
    ------
    InputError
        If the weights are no numbers in the end.
    """
    training = training.to(device)  # once: the frames to watch are among the same
    run = _Run(training, replace(training, chosen=validation.to(device)), scaling, settings, seed, device)
    if checkpoint and (state := checkpoint.read(device)):
        run.load(state)
    written = monotonic()
    with tqdm(total=settings.steps, initial=run.step, unit="step", desc="train", disable=None) as bar:
        while not run.finished:
            run.take_step()
            bar.update()
            if run.row_is_due:
                row = run.end_row()
                bar.set_postfix(
                    loss=f"{row['loss']:.4f}", samples_per_s=f"{_speed(bar, settings):.0f}", refresh=False
                )
            if checkpoint and monotonic() - written >= checkpoint.every_s:
                checkpoint.write(run.state())
                written = monotonic()
    return run.result(), run.history


def _speed(bar: tqdm, settings: TrainingSettings) -> float:
    return (bar.format_dict["rate"] or 0.0) * settings.batch_frames


_ROWS_OF_HISTORY = 100
_MOST_VALIDATION_FRAMES, _VALIDATION_BATCH = 1024, 256  # evenly spread, where there are more


class _Run:
    """A training between two steps."""

    def __init__(
        self,
        training: Samples,
        validation: Samples,
        scaling: Scaling,
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
    ):
        self.training, self.validation, self.settings, self.seed = training, validation, settings, seed
        self.scaling = Scaling(scaling.mean.to(device), scaling.spread.to(device))
        self.device = device
        torch.manual_seed(seed)
        joints = len(training.skeleton)
        self.network = build(3 * joints, 3 * (joints - 1), settings.network).to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, fused=True)
        self.averaged = copy.deepcopy(self.network) if settings.averaging else None
        self.interval = -(-settings.steps // _ROWS_OF_HISTORY)
        self.batches = _Batches(len(training), settings.batch_frames, seed, device)
        self.step = self.frames_seen = 0
        self.watched = _comparable(validation)
        self.sums: dict[str, Tensor] = {}
        self.numbers: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_error, self.rows_since_best = math.inf, 0

    @property
    def finished(self) -> bool:
        patience = self.settings.patience
        return self.step >= self.settings.steps or (patience > 0 and self.rows_since_best >= patience)

    @property
    def row_is_due(self) -> bool:
        return self.step % self.interval == 0 or self.step == self.settings.steps

    @property
    def trained(self) -> nn.Module:
        """The network whose weights count."""
        return self.network if self.averaged is None else self.averaged

    def learning_rate(self) -> float:
        if self.settings.schedule == "constant":
            return self.settings.learning_rate
        return self.settings.learning_rate * (1 + math.cos(math.pi * self.step / self.settings.steps)) / 2

    def take_step(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        torch.manual_seed(_mix(self.seed, 2 * self.step))
        which = self.batches.of_step(self.step)
        self.network.train()
        batch = self.training.batch(which, self.settings.network.frames)
        progress = self.step / self.settings.steps
        taken = training_step(self.network, self.optimiser, batch, self.scaling, self.settings, progress)
        if self.averaged is not None:
            _average(self.averaged, self.network, self.settings.averaging, self.step)
        for name, value in taken.items():
            known = ~value.isnan()
            self.sums[name] = self.sums.get(name, 0.0) + torch.where(known, value, 0.0)
            self.numbers[name] = self.numbers.get(name, 0) + known
        self.frames_seen += len(which)
        self.step += 1

    def end_row(self) -> dict[str, float]:
        row = {
            "step": float(self.step),
            "epoch": self.frames_seen / len(self.training),
            "learning_rate": float(self.optimiser.param_groups[0]["lr"]),
        }
        pixels = self.settings.losses.reprojection_unit == "pixels"
        for name, value in self.sums.items():
            unit = "" if name == "loss" else "_px" if name == "reprojection" and pixels else "_m"
            row[name + unit] = float(value / self.numbers[name])
        if len(self.watched):
            error = self._validate()
            row["validation_mpjpe_mm"] = 1000 * error
            self.rows_since_best += 1
            if error < self.best_error:
                self.best_error, self.rows_since_best = error, 0
                if self.settings.keep == "best":
                    self.best = {name: value.detach().clone() for name, value in self.trained.state_dict().items()}
        self.history.append(row)
        self.sums, self.numbers = {}, {}
        return row

    @torch.no_grad()
    def _validate(self) -> float:
        """Give the mean distance (metres) of predictions from pseudo-labels in the frames that are watched."""
        self.trained.eval()
        total, number = 0.0, 0
        for which in self.watched.split(_VALIDATION_BATCH):
            batch = self.validation.batch(which, self.settings.network.frames)
            labels = batch.labels.unsqueeze(1) @ batch.rotations.mT
            exists = labels.isfinite().all(-1) & batch.visible.unsqueeze(-1)
            predicted = predict_visible(self.trained, batch, self.scaling, self.settings.precision)
            total += (predicted - labels).norm(dim=-1)[exists].double().sum().item()
            number += int(exists.sum())
        return total / number

    def result(self) -> nn.Module:
        network = copy.deepcopy(self.trained)
        if self.best:
            network.load_state_dict(self.best)
        if not all(value.isfinite().all() for value in network.state_dict().values()):
            raise InputError(
                "the training diverged: the weights of the network are no numbers any more; lower "
                "train.learning_rate in params.yaml"
            )
        return network.cpu().eval()

    def state(self) -> dict[str, Any]:
        names = ("step", "frames_seen", "sums", "numbers", "history", "best", "best_error", "rows_since_best")
        state = {name: getattr(self, name) for name in names}
        state |= {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        return state | ({} if self.averaged is None else {"averaged": self.averaged.state_dict()})

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name in ("network", "optimiser", "averaged"):
                getattr(self, name).load_state_dict(value)
            else:
                setattr(self, name, value)


def _comparable(samples: Samples) -> Tensor:
    """Choose samples to watch, evenly spread: those with a label beside the root's, and a view to predict it from."""
    labelled = root_relative(samples.joints[samples.chosen], samples.skeleton).isfinite().all(-1).any(-1)
    (which,) = (labelled & samples.visible[samples.chosen].any(-1)).nonzero(as_tuple=True)
    return which[:: max(1, -(-len(which) // _MOST_VALIDATION_FRAMES))]


class _Batches:
    """Batches of indices without end, each frame once per epoch in a new order.

    The batches of an epoch are of nearly equal size: a last one of a single row would have no statistics.
    """

    def __init__(self, frames: int, batch_frames: int, seed: int, device: torch.device):
        self.frames, self.seed, self.device = frames, seed, device
        self.per_epoch = -(-frames // batch_frames)
        self.epoch = -1
        self.parts: tuple[Tensor, ...] = ()

    def of_step(self, step: int) -> Tensor:
        epoch, part = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            generator = torch.Generator(self.device).manual_seed(_mix(self.seed, 2 * epoch + 1))
            permutation = torch.randperm(self.frames, generator=generator, device=self.device)
            self.epoch, self.parts = epoch, permutation.tensor_split(self.per_epoch)
        return self.parts[part]


def _mix(seed: int, number: int) -> int:
    """Make one seed of two numbers; close ones give unrelated seeds (the finaliser of SplitMix64)."""
    mask = (1 << 64) - 1
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return (mixed ^ (mixed >> 31)) >> 1


@torch.no_grad()
def _average(averaged: nn.Module, current: nn.Module, factor: float, step: int) -> None:
    """Average exponentially; over fewer steps in the beginning, so that the random start is soon forgotten."""
    share = 1 - min(factor, (1 + step) / (10 + step))
    for mean, value in zip(averaged.parameters(), current.parameters(), strict=True):
        mean.lerp_(value, share)
    for kept, newest in zip(averaged.buffers(), current.buffers(), strict=True):
        kept.copy_(newest)

"""The training loop: all samples on the device, batches by permutation, one optimiser for the whole run.

Nothing random is drawn from a state that grows: the order of an epoch, and dropout and augmentation of a step, are
seeded by their number. A training that goes on from a checkpoint therefore ends with the same bits.

A step has a fixed shape and waits for nothing: on a GPU it is captured once and replayed.
"""

import copy
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from trilift.errors import InputError
from trilift.lifter.inputs import number_of_features, root_relative
from trilift.lifter.networks import build
from trilift.train.augmentation import augment
from trilift.train.checkpoint import Checkpoint
from trilift.train.graphs import graphed
from trilift.train.losses import losses, placed, switched_on, weighted_sum
from trilift.train.samples import Batch, Samples, Scaling
from trilift.train.settings import LossSettings, TrainingSettings

_ROWS_OF_HISTORY = 100
_MOST_VALIDATION_FRAMES, _VALIDATION_BATCH = 1024, 256  # evenly spread, where there are more


@dataclass
class _Progress:
    """What a training remembers from step to step, beside its weights and the moments of the optimiser.

    `sums` (2, loss) has the sums of the losses since the last row of the history, and over how many steps.
    """

    sums: Tensor
    steps: int = 0
    frames: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_error: float = math.inf
    rows_since_best: int = 0


def fit(
    training: Samples,
    validation: Tensor,
    scaling: Scaling,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    start: Mapping[str, Tensor] | None = None,
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
    start
        Weights to begin with; by default random ones.

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
    torch.manual_seed(seed)
    training, scaling = training.to(device), scaling.to(device)  # once: the frames to watch are among the same
    watched = _comparable(replace(training, chosen=validation.to(device)))
    joints = len(training.skeleton)
    network = build(number_of_features(training.skeleton), 3 * (joints - 1), settings.network).to(device)
    if start is not None:
        network.load_state_dict(start)
    # What changes from step to step is a tensor on the device, which a captured step reads.
    rate, share = torch.full((2,), settings.learning_rate, device=device)
    optimiser = torch.optim.Adam(network.parameters(), rate, fused=True, capturable=device.type == "cuda")
    trained = copy.deepcopy(network) if settings.averaging else network  # the one whose weights count
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "trained": trained}
    names = ("loss", *switched_on(settings.losses))
    done = _Progress(torch.zeros(2, len(names), device=device))
    if checkpoint and (state := checkpoint.read(device)):
        done = _Progress(**state["done"])
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rate = optimiser.param_groups[0]["lr"]

    def advance(which: Tensor, on: tuple[str, ...]) -> None:
        batch = training.batch(which, settings.network.frames)  # B frames, with T around each
        computed = training_step(network, optimiser, batch, scaling, settings, on)
        if settings.averaging:
            _average(trained, network, share)
        unknown = torch.full_like(rate, torch.nan)
        values = torch.stack([computed.get(name, unknown) for name in names])
        known = ~values.isnan()
        done.sums += torch.stack([torch.where(known, values, 0.0), known])

    take = graphed(advance, device)
    written, row_every = monotonic(), -(-settings.steps // _ROWS_OF_HISTORY)
    steps = range(done.steps, settings.steps)
    batches = batches_from(done.steps, len(training), settings.batch_frames, seed, device)
    with tqdm(steps, "train", settings.steps, initial=done.steps, unit="step", disable=None) as bar:
        for step, which in zip(bar, batches, strict=False):
            if 0 < settings.patience <= done.rows_since_best:
                break
            now = learning_rate(settings, step)
            rate.fill_(now)
            share.fill_(1 - min(settings.averaging, (1 + step) / (10 + step)))
            on = switched_on(settings.losses, step / settings.steps)
            torch.manual_seed(mix(seed, 2 * step))
            take(which, on)
            done.steps, done.frames = step + 1, done.frames + len(which)

            if done.steps % row_every == 0 or done.steps == settings.steps:
                row = {"step": float(done.steps), "epoch": done.frames / len(training), "learning_rate": now}
                row |= _means(done.sums, names, on, settings.losses)
                if len(watched):
                    error = validation_error(trained, watched, scaling, settings)
                    row["validation_mpjpe_mm"] = 1000 * error
                    done.rows_since_best += 1
                    if error < done.best_error:
                        done.best_error, done.rows_since_best = error, 0
                        if settings.keep == "best":
                            done.best = copy.deepcopy(trained.state_dict())
                done.history.append(row)
                done.sums.zero_()
                speed = (bar.format_dict["rate"] or 0.0) * settings.batch_frames
                bar.set_postfix(loss=f"{row['loss']:.4f}", samples_per_s=f"{speed:.0f}", refresh=False)

            if checkpoint and monotonic() - written >= checkpoint.every_s:
                checkpoint.write({name: part.state_dict() for name, part in parts.items()} | {"done": vars(done)})
                written = monotonic()

    if done.best:
        trained.load_state_dict(done.best)
    if not all(value.isfinite().all() for value in trained.state_dict().values()):
        raise InputError(
            "the training diverged: the weights of the network are no numbers any more; lower "
            "train.learning_rate in params.yaml"
        )
    return trained.cpu().eval(), done.history


def training_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    scaling: Scaling,
    settings: TrainingSettings,
    on: Collection[str],
) -> dict[str, Tensor]:
    """Take one step on a batch, with the losses that are switched on; returns them, detached.

    Whatever the batch holds, the same is done: views that are not visible go through the network too, and count
    neither in its statistics nor in a loss. Nothing here waits for the device or is made on the host.
    """
    network.train()
    if settings.augmentation.changes_anything:
        batch = augment(batch, settings.augmentation)
    predicted = predict_views(network, batch, scaling, settings.precision)  # (B, V, J, 3)
    if not on:
        return {}
    computed = losses(predicted, batch, settings.losses, on)
    total = weighted_sum(computed, settings.losses)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    if settings.largest_gradient:
        nn.utils.clip_grad_norm_(network.parameters(), settings.largest_gradient)
    optimiser.step()
    return {"loss": total.detach(), **{name: value.detach() for name, value in computed.items()}}


def predict_views(network: nn.Module, batch: Batch, scaling: Scaling, precision: str = "float32") -> Tensor:
    """Predict (frame, view, joint - 1, 3); anything where a view is not visible, which no batch statistics see."""
    inputs = batch.rows(scaling)  # (row, feature), a row for each view; (row, T, feature) if T is not 1
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        rows = network(inputs, batch.counts)
    return rows.to(inputs.dtype).reshape(*batch.visible.shape, len(batch.skeleton) - 1, 3)


@torch.no_grad()
def validation_error(network: nn.Module, samples: Samples, scaling: Scaling, settings: TrainingSettings) -> float:
    """Give the mean distance (metres) of predictions from pseudo-labels over all that a sample has of both."""
    network.eval()
    sums = []
    for which in torch.arange(len(samples), device=samples.chosen.device).split(_VALIDATION_BATCH):
        batch = samples.batch(which, settings.network.frames)
        labels = batch.labels_in_views
        exists = labels.isfinite().all(-1) & batch.visible.unsqueeze(-1)
        predicted = placed(predict_views(network, batch, scaling, settings.precision), batch)
        distance = (predicted - labels).norm(dim=-1)
        sums.append(torch.stack([torch.where(exists, distance, 0.0), exists]).sum((1, 2, 3), dtype=torch.float64))
    total, number = torch.stack(sums).sum(0).tolist()  # waits once
    return total / number


def _comparable(samples: Samples) -> Samples:
    """Choose samples to watch, evenly spread: those with a label beside the root's, and a view to predict it from."""
    labelled = root_relative(samples.poses[samples.chosen], samples.skeleton).isfinite().all(-1).any(-1)
    chosen = samples.chosen[labelled & samples.visible[samples.chosen].any(-1)]
    return replace(samples, chosen=chosen[:: max(1, -(-len(chosen) // _MOST_VALIDATION_FRAMES))])


def batches_from(step: int, frames: int, batch_frames: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    """Give the frames (B,) of this step and of all after it; each comes once per epoch, in a new order.

    The batches of an epoch are of nearly equal size: a last one of a single row would have no statistics.
    """
    per_epoch = -(-frames // batch_frames)
    first, part = divmod(step, per_epoch)
    for epoch in itertools.count(first):
        generator = torch.Generator(device).manual_seed(mix(seed, 2 * epoch + 1))
        order = torch.randperm(frames, generator=generator, device=device)
        yield from order.tensor_split(per_epoch)[part if epoch == first else 0 :]


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Follow the schedule."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1 + math.cos(math.pi * step / settings.steps)) / 2


def _means(sums: Tensor, names: Sequence[str], on: Collection[str], settings: LossSettings) -> dict[str, float]:
    """Give the means of the losses that are on by the name of their column, which ends with the unit."""
    units = {"loss": "", "reprojection": "_px" if settings.reprojection_unit == "pixels" else "_m"}
    means = dict(zip(names, (sums[0] / sums[1]).tolist(), strict=True))
    return {name + units.get(name, "_m"): means[name] for name in ("loss", *on)}


def mix(seed: int, number: int) -> int:
    """Make one seed of two numbers; close ones give unrelated seeds."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


@torch.no_grad()
def _average(averaged: nn.Module, current: nn.Module, share: Tensor) -> None:
    """Bring the average nearer to the current weights by a share of the way."""
    for mean, value in zip(averaged.parameters(), current.parameters(), strict=True):
        mean.lerp_(value, share)
    for kept, newest in zip(averaged.buffers(), current.buffers(), strict=True):
        kept.copy_(newest)

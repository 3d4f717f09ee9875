"""The training step: of a fixed shape, exact where views are missing, and never waiting for the device."""

import copy
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train.batches import JOINTS, STICK, make_samples
from train.emulated import Graph, NoWaiting, WaitsForTheDevice, emulate
from trilift.lifter.inputs import number_of_features
from trilift.lifter.networks import BatchNorm, build
from trilift.lifter.settings import NetworkSettings
from trilift.train import training as module
from trilift.train.augmentation import augment
from trilift.train.checkpoint import Checkpoint
from trilift.train.losses import LOSSES, losses, weighted_sum
from trilift.train.samples import Batch, Samples, Scaling
from trilift.train.settings import GEOMETRIC, AugmentationSettings, LossSettings, TrainingSettings
from trilift.train.training import fit, training_step

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
INPUTS, OUTPUTS = number_of_features(STICK), 3 * (JOINTS - 1)
KINDS = [{"kind": "residual", "width": 12}, {"kind": "encoder_decoder", "width": 8, "blocks": 1}]
KINDS += [{"kind": "temporal", "width": 8, "frames": 9}]
COMBINATIONS = [names for number in range(1, 5) for names in combinations(GEOMETRIC, number)]


def seen_by_all(samples: Samples) -> Samples:
    """The samples with every root detected in every view."""
    rays = samples.rays.clone()
    rays[..., 0, :] = rays[..., 0, :].nan_to_num(0.01)
    return replace(samples, rays=rays, visible=torch.ones_like(samples.visible))


def take_by_rows(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    scaling: Scaling,
    settings: TrainingSettings,
    on: tuple[str, ...],
) -> dict[str, Tensor]:
    """The step as its formula says: visible views are picked, and nothing else goes through the network."""
    network.train()
    batch = augment(batch, settings.augmentation)
    rows = batch.rows(scaling)[batch.visible.flatten()]
    numbers = network(rows)
    predicted = numbers.new_zeros(*batch.visible.shape, JOINTS - 1, 3)
    predicted[batch.visible] = numbers.reshape(-1, JOINTS - 1, 3)
    computed = losses(predicted, batch, settings.losses, on)
    optimiser.zero_grad()
    weighted_sum(computed, settings.losses).backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.largest_gradient)
    optimiser.step()
    return computed


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("all_visible", [False, True], ids=["missing", "complete"])
def test_a_step_is_that_of_the_visible_views_alone(names: tuple[str, ...], all_visible: bool) -> None:
    samples = make_samples(60, noise=0.01, dtype=torch.float64)
    samples = seen_by_all(samples) if all_visible else samples
    assert samples.complete == all_visible
    scaling = Scaling.of(samples)
    for kind in KINDS:
        network = NetworkSettings.model_validate(kind | {"dropout": 0.0})
        weights = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 0.0) | dict.fromkeys(names, 1.0))
        settings = TrainingSettings(network=network, losses=weights)
        ours = build(INPUTS, OUTPUTS, network).double()
        expected = copy.deepcopy(ours)
        optimisers = [torch.optim.Adam(one.parameters(), 1e-3) for one in (ours, expected)]
        for step in range(3):
            batch = samples.batch(torch.arange(20 * step, 20 * step + 20), network.frames)
            torch.manual_seed(step)
            found = training_step(ours, optimisers[0], batch, scaling, settings, names)
            torch.manual_seed(step)
            wanted = take_by_rows(expected, optimisers[1], batch, scaling, settings, names)
            for name in names:
                torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=0)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-8, atol=1e-9, msg=f"{kind} {name}")


@pytest.mark.parametrize("shape", [(9, 4), (9, 4, 3)])
def test_statistics_and_slopes_are_those_of_the_rows_that_count(shape: tuple[int, ...]) -> None:
    x, counts = torch.randn(shape, dtype=torch.float64), (torch.arange(9) % 4 != 1).double()
    ours, expected = BatchNorm(4).double(), nn.BatchNorm1d(4).double()
    for norm in (ours, expected):
        norm.load_state_dict({**norm.state_dict(), "weight": torch.tensor([1.0, -2, 0.5, 3]), "bias": torch.ones(4)})
    x.requires_grad_()
    picked = ours(x, counts)[counts > 0]
    wanted = expected(x[counts > 0])
    torch.testing.assert_close(picked, wanted)
    parameters = [(x, norm.weight, norm.bias) for norm in (ours, expected)]
    slopes = [torch.autograd.grad(y.sin().sum(), of) for y, of in zip((picked, wanted), parameters, strict=True)]
    torch.testing.assert_close(*slopes)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(expected.named_buffers()))
    assert torch.autograd.gradcheck(lambda x: ours(x, counts) * counts.reshape(-1, *[1] * (x.dim() - 1)), (x,))


def test_in_half_precision_statistics_are_exact() -> None:
    """The mean of a thousand numbers near 1000 is no number of bfloat16."""
    x, counts = (1000 + torch.randn(1000, 2)).bfloat16(), torch.ones(1000)
    norm = BatchNorm(2, momentum=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x, counts).dtype == torch.bfloat16
    torch.testing.assert_close(norm.running_mean, x.float().mean(0))
    torch.testing.assert_close(norm.running_var, x.float().var(0))


ALL = LossSettings.model_validate(
    dict.fromkeys(LOSSES, 1.0)
    | {"output_triangulation_from": 0.5, "trust_labels": True, "reprojection_unit": "pixels", "norm": "huber"}
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["kind"])
@pytest.mark.parametrize("all_visible", [False, True], ids=["missing", "complete"])
def test_a_step_waits_for_no_device(kind: dict[str, Any], all_visible: bool) -> None:
    """Where there is a GPU, torch itself tells; elsewhere, what would wait is known by its name."""
    device = CUDA if torch.cuda.is_available() else CPU
    samples = make_samples(40)
    samples = (seen_by_all(samples) if all_visible else samples).to(device)
    scaling = Scaling.of(samples).to(device)
    settings = TrainingSettings(network=NetworkSettings.model_validate(kind), losses=ALL)
    network = build(INPUTS, OUTPUTS, settings.network).to(device)
    optimiser = torch.optim.Adam(network.parameters(), torch.tensor(1e-3, device=device), fused=True)
    which = torch.arange(20, device=device)

    def take() -> None:
        batch = samples.batch(which, settings.network.frames)
        training_step(network, optimiser, batch, scaling, settings, tuple(LOSSES))

    take()  # makes the constants
    if device == CUDA:
        torch.cuda.set_sync_debug_mode("error")
    try:
        with NoWaiting():
            take()
    finally:
        if device == CUDA:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x[:, [0, 1]],
        lambda x: x.nonzero(),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.tensor(1.0),
        lambda x: torch.where(x > 0),
    ],
)
def test_what_waits_is_noticed(wait: Any) -> None:
    with NoWaiting(), pytest.raises(WaitsForTheDevice):
        wait(torch.ones(3, 3))


SETTINGS = TrainingSettings(
    network=NetworkSettings(width=16, blocks=1, dropout=0.3),
    losses=ALL,
    augmentation=AugmentationSettings(flips=0.5, virtual_cameras=0.5),
    steps=12,
    batch_frames=16,  # batches of 14 and of 13 of the 40 frames
    learning_rate=3e-3,
    averaging=0.9,
)


def trained(checkpoint: Checkpoint | None = None) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    samples = make_samples(60)
    training = replace(samples, chosen=samples.chosen[:40])
    network, history = fit(training, samples.chosen[40:], Scaling.of(training), SETTINGS, 3, CPU, checkpoint)
    return network.state_dict(), history


def test_captured_steps_train_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning rate, averaging, random numbers, batches of two sizes and a loss that begins late are all in it."""
    weights, history = trained()
    emulate(monkeypatch)
    again, history_again = trained()
    assert Graph.captured == 4
    assert history_again == history
    for name, value in weights.items():
        assert torch.equal(again[name], value), name


@pytest.mark.parametrize("stop_after", [4, 10])
def test_captured_steps_go_on_with_the_same_bits(
    stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulate(monkeypatch)
    weights, history = trained()
    checkpoint, learning_rate = Checkpoint(tmp_path / "state.pt", every_s=0.0), module.learning_rate

    def stop(settings: TrainingSettings, step: int) -> float:
        if step == stop_after:
            raise KeyboardInterrupt
        return learning_rate(settings, step)

    with monkeypatch.context() as patch:
        patch.setattr(module, "learning_rate", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint)
    again, history_again = trained(checkpoint)
    assert history_again == history
    for name, value in weights.items():
        assert torch.equal(again[name], value), name

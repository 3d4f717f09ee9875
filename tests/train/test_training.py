import itertools
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from train.batches import JOINTS, STICK, make_samples
from trilift.errors import InputError
from trilift.lifter.inputs import number_of_features
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.train import training as module
from trilift.train.checkpoint import Checkpoint
from trilift.train.samples import Samples, Scaling
from trilift.train.settings import AugmentationSettings, LossSettings, TrainingSettings
from trilift.train.training import batches_from, fit, predict_views, training_step

CPU = torch.device("cpu")
TINY = TrainingSettings(
    network=NetworkSettings(width=16, blocks=1, dropout=0.1),
    steps=12,
    batch_frames=16,
    learning_rate=3e-3,
    threads=1,
)
PLAIN = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0)
TWO = ("input_triangulation", "multi_view_consistency")
INPUTS, OUTPUTS = number_of_features(STICK), 3 * (JOINTS - 1)


NONE = torch.empty(0, dtype=torch.int64)


def parts(samples: Samples, training: int) -> tuple[Samples, Tensor]:
    """The first frames to train on, and the others to watch."""
    return replace(samples, chosen=samples.chosen[:training]), samples.chosen[training:]


def run(
    training: Samples | None = None, validation: Tensor = NONE, seed: int = 0, **changed: Any
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    training = make_samples() if training is None else training
    network, history = fit(training, validation, Scaling.of(training), TINY.model_copy(update=changed), seed, CPU)
    return network.state_dict(), history


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_decides_every_bit() -> None:
    weights, history = run(seed=3)
    torch.rand(7)
    again, history_again = run(seed=3)
    assert same_bits(weights, again)
    assert history == history_again
    other, other_history = run(seed=4)
    assert not same_bits(weights, other)
    assert history != other_history


def after_each_step(monkeypatch: pytest.MonkeyPatch, look: Callable[..., None]) -> None:
    """Let a test see the network, the optimiser and the losses of every step that `fit` takes."""
    take = module.training_step

    def step(network: nn.Module, optimiser: torch.optim.Optimizer, *others: Any) -> dict[str, Tensor]:
        taken = take(network, optimiser, *others)
        look(network, optimiser, taken)
        return taken

    monkeypatch.setattr(module, "training_step", step)


def test_one_optimiser_serves_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published code makes a new Adam for every batch, so that its moments never accumulate."""
    seen = []
    after_each_step(monkeypatch, lambda _, optimiser, __: seen.append(optimiser))
    run()
    assert len(seen) == 12
    assert len(set(map(id, seen))) == 1
    assert {float(moments["step"]) for moments in seen[0].state.values()} == {12}


def first(number: int, step: int, frames: int, batch_frames: int, seed: int) -> list[Tensor]:
    """The batches of so many steps, from one on."""
    return list(islice(batches_from(step, frames, batch_frames, seed, CPU), number))


@given(st.integers(1, 300), st.integers(1, 64))
@settings(max_examples=60)
def test_an_epoch_visits_every_frame_once(frames: int, batch_frames: int) -> None:
    per_epoch = -(-frames // batch_frames)
    for epoch in range(2):
        parts = first(per_epoch, epoch * per_epoch, frames, batch_frames, seed=0)
        assert sorted(torch.cat(parts).tolist()) == list(range(frames))
        assert max(map(len, parts)) <= batch_frames
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_samples_are_shuffled_anew_in_every_epoch() -> None:
    """The published code never shuffles."""
    orders = [batch.tolist() for batch in first(3, 0, 50, 50, seed=0)]
    assert list(range(50)) not in orders
    assert len({tuple(order) for order in orders}) == 3


def test_batches_are_the_same_from_whichever_step_on() -> None:
    expected = [batch.tolist() for batch in first(9, 0, 50, 20, seed=1)]
    for step in range(9):
        assert [batch.tolist() for batch in first(9 - step, step, 50, 20, seed=1)] == expected[step:]


def test_captures_with_fewer_views_train_and_their_filling_does_not_matter() -> None:
    def without_a_view(fill: float) -> Samples:
        samples = make_samples()
        lost = samples.capture == 1
        rays, confidence, visible = samples.rays.clone(), samples.confidence.clone(), samples.visible.clone()
        rays[lost, 2], confidence[lost, 2], visible[lost, 2] = torch.nan, 0.0, False
        rotations, translations = samples.rigs.rotations.clone(), samples.rigs.translations.clone()
        rotations[1, 2], translations[1, 2] = fill, fill
        rigs = replace(samples.rigs, rotations=rotations, translations=translations)
        return replace(samples, rays=rays, confidence=confidence, visible=visible, rigs=rigs)

    losses = LossSettings(reprojection=1.0, output_triangulation=1.0, output_triangulation_from=0.0)
    weights, _ = run(without_a_view(0.0), losses=losses)
    garbage, _ = run(without_a_view(1e3), losses=losses)
    assert all(value.isfinite().all() for value in weights.values())
    assert same_bits(weights, garbage)


def test_views_that_are_not_visible_are_fed_as_0_and_do_not_count() -> None:
    samples = make_samples()
    samples.rays[0, 0], samples.visible[0, 0] = torch.inf, False
    network = build(INPUTS, OUTPUTS, TINY.network).train()
    fed: list[Tensor] = []
    network.register_forward_hook(lambda _, inputs, __: fed.extend(inputs))
    predicted = predict_views(network, samples.batch(torch.arange(40), 1), Scaling.of(samples))
    rows, counts = fed
    assert predicted.shape == (40, 3, JOINTS - 1, 3)
    assert torch.equal(counts, samples.visible.flatten().float())
    assert torch.equal((rows != 0).any(-1), samples.visible.flatten())


@pytest.mark.parametrize("kind", [{"kind": "residual"}, {"kind": "temporal", "frames": 9}])
def test_a_view_is_predicted_from_its_own_features(kind: dict[str, Any]) -> None:
    samples = make_samples()
    settings = NetworkSettings.model_validate({"width": 8} | kind)
    network = build(INPUTS, OUTPUTS, settings).eval()
    samples.visible[6, 1] = True
    predicted = predict_views(network, samples.batch(torch.arange(40), settings.frames), Scaling.of(samples))
    spoilt = replace(samples, rays=samples.rays.clone())
    spoilt.rays[:, [0, 2]] = 5.0
    spoilt.rays[20:] = 5.0  # of another recording: a window does not look into it
    again = predict_views(network, spoilt.batch(torch.arange(40), settings.frames), Scaling.of(samples))
    torch.testing.assert_close(again[6, 1], predicted[6, 1])
    torch.testing.assert_close(again[19, 1], predicted[19, 1])


def test_windows_repeat_the_ends_of_a_recording() -> None:
    samples = make_samples()
    batch = samples.batch(torch.tensor([0, 18, 21]), 5)
    frames = torch.tensor([[0, 0, 0, 1, 2], [16, 17, 18, 19, 19], [20, 20, 21, 22, 23]])
    torch.testing.assert_close(batch.rays, samples.rays[frames], equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(batch.root, samples.poses[[0, 18, 21], 0])


def test_windows_are_of_frames_that_lie_apart_as_each_recording_says() -> None:
    samples = make_samples(every=3)
    samples.every[20:] = 1
    batch = samples.batch(torch.tensor([4, 18, 21]), 5)
    frames = torch.tensor([[0, 1, 4, 7, 10], [12, 15, 18, 19, 19], [20, 20, 21, 22, 23]])
    torch.testing.assert_close(batch.rays, samples.rays[frames], equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [{"kind": "residual"}, {"kind": "temporal", "frames": 9}])
def test_a_small_problem_is_learnt(kind: dict[str, Any]) -> None:
    training, validation = parts(make_samples(460), 400)
    network = NetworkSettings.model_validate({"width": 64, "dropout": 0.0} | kind)
    _, history = run(training, validation, network=network, steps=400, batch_frames=100)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["validation_mpjpe_mm"] < 0.8 * history[0]["validation_mpjpe_mm"]


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("constant", 0.01)])
def test_the_learning_rate_follows_its_schedule(schedule: str, end: float) -> None:
    _, history = run(steps=50, learning_rate=0.01, schedule=schedule)
    share = 0.5 * (1 + np.cos(np.pi * np.arange(50) / 50))
    assert [row["learning_rate"] for row in history] == pytest.approx(0.01 * share + end * (1 - share))


def test_a_step_moves_the_weights_by_the_learning_rate() -> None:
    samples = make_samples()
    network = build(INPUTS, OUTPUTS, TINY.network)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    before = network[-1].bias.detach().clone()
    training_step(network, optimiser, samples.batch(torch.arange(40), 1), Scaling.of(samples), TINY, TWO)
    torch.testing.assert_close((network[-1].bias - before).abs(), torch.full((OUTPUTS,), 0.01), rtol=1e-2, atol=0)


def test_gradients_are_cut_to_a_length() -> None:
    samples = make_samples()
    network = build(INPUTS, OUTPUTS, TINY.network)
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    before = torch.cat([value.detach().clone().ravel() for value in network.parameters()])
    settings = TINY.model_copy(update={"largest_gradient": 0.01})
    training_step(network, optimiser, samples.batch(torch.arange(40), 1), Scaling.of(samples), settings, TWO)
    after = torch.cat([value.detach().ravel() for value in network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.01, rel=1e-3)


def test_weights_are_averaged_over_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    factor, biases = 0.6, []
    after_each_step(monkeypatch, lambda network, *_: biases.append(network[-1].bias.detach().clone()))
    torch.manual_seed(0)
    expected = build(INPUTS, OUTPUTS, TINY.network)[-1].bias.detach().clone()
    weights, _ = run(averaging=factor)
    for step, bias in enumerate(biases):
        expected += (1 - min(factor, (1 + step) / (10 + step))) * (bias - expected)
    averaged = list(weights.values())[-1]
    torch.testing.assert_close(averaged, expected)
    assert not torch.equal(averaged, biases[-1])


def test_validation_frames_are_not_trained_on() -> None:
    samples = make_samples(60)
    training, _ = parts(samples, 40)
    weights, _ = run(training, keep="last")
    for validation in (torch.arange(40, 60), torch.arange(45, 50)):
        assert same_bits(run(training, validation, keep="last")[0], weights)


class Watched(nn.Module):
    """Predicts wrongly by a number that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(OUTPUTS))

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        return self.weight.expand(len(x), -1) + 0 * x[:, :1]


def test_the_weights_of_the_lowest_validation_error_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.count()
    errors = iter([0.5, 0.2, 0.3, 0.25, 0.4])
    monkeypatch.setattr(module, "build", lambda *_: Watched())
    monkeypatch.setattr(module, "validation_error", lambda *_: next(errors))
    after_each_step(monkeypatch, lambda network, *_: nn.init.constant_(network.weight, next(steps)))
    samples = make_samples()
    weights, _ = run(samples, samples.chosen, steps=5)
    assert torch.equal(weights["weight"], torch.ones(OUTPUTS))


def test_training_stops_when_it_gets_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([0.5, 0.2, *[0.3] * 200])
    monkeypatch.setattr(module, "validation_error", lambda *_: next(errors))
    samples = make_samples()
    _, history = run(samples, samples.chosen, steps=200, patience=7)
    assert [row["step"] for row in history] == [*range(2, 20, 2)]


def test_the_history_tells_steps_epochs_and_losses() -> None:
    _, history = run(*parts(make_samples(60), 40), steps=250, batch_frames=20)
    assert [row["step"] for row in history] == [*range(3, 250, 3), 250]
    assert [row["epoch"] for row in history] == pytest.approx([row["step"] / 2 for row in history])
    for row in history:
        assert row["loss"] == pytest.approx(row["input_triangulation_m"] + row["multi_view_consistency_m"], rel=1e-5)


def test_without_validation_frames_the_history_has_no_validation() -> None:
    assert "validation_mpjpe_mm" not in run()[1][-1]


def test_validation_without_a_label_to_compare_with_is_no_validation() -> None:
    samples = make_samples(60)
    samples.poses[40:, 1:] = torch.nan
    training, validation = parts(samples, 40)
    weights, history = run(training, validation, patience=1)
    assert len(history) == 12
    assert "validation_mpjpe_mm" not in history[-1]
    assert same_bits(weights, run(training, keep="last")[0])


def test_the_frames_that_can_be_compared_are_watched_however_few_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_VALIDATION_FRAMES", 4)
    samples = make_samples(60)
    lacking = torch.ones(60, dtype=torch.bool)
    lacking[[41, 47, 53]] = False  # every fifth from the 40th on is not among them
    samples.poses[lacking, 1:] = torch.nan
    samples.visible[53] = False
    training, validation = parts(samples, 40)
    assert module._comparable(replace(training, chosen=validation)).chosen.tolist() == [41, 47]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The losses of every step that is taken."""
    taken: list[dict[str, Tensor]] = []
    after_each_step(monkeypatch, lambda _, __, losses: taken.append(losses))
    return taken


def test_a_loss_that_begins_within_a_row_is_a_mean_over_its_own_steps(steps: list[dict[str, Tensor]]) -> None:
    losses = LossSettings(output_triangulation=1.0, output_triangulation_from=0.515)
    _, history = run(steps=200, losses=losses, augmentation=PLAIN)
    assert ["output_triangulation" in taken for taken in steps] == [False] * 103 + [True] * 97
    assert "output_triangulation_m" not in history[50]
    assert history[51]["output_triangulation_m"] == pytest.approx(float(steps[103]["output_triangulation"]))
    expected = np.mean([float(taken["output_triangulation"]) for taken in steps[104:106]])
    assert history[52]["output_triangulation_m"] == pytest.approx(expected)


def test_steps_with_nothing_to_compare_are_no_losses_of_0(steps: list[dict[str, Tensor]]) -> None:
    samples = make_samples(64)
    samples.visible[:, 1:] = False  # one view alone has nothing to be consistent with
    samples.visible[32] = True
    _, history = run(samples, steps=200, augmentation=PLAIN)
    for row, *taken in zip(history, steps[::2], steps[1::2], strict=True):
        known = [float(one["multi_view_consistency"]) for one in taken if one["multi_view_consistency"].isfinite()]
        expected = np.mean(known) if known else np.nan
        assert row["multi_view_consistency_m"] == pytest.approx(expected, nan_ok=True)
    assert len({np.isnan(row["multi_view_consistency_m"]) for row in history}) == 2


def test_samples_are_on_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device `meta` keeps no numbers, but its tensors are made as those of a GPU are."""
    held: list[Samples] = []

    class Stopped(Exception):
        pass

    def move(samples: Samples, device: torch.device) -> Samples:
        held.append(samples.map(lambda tensor: tensor.to(device)))
        return held[-1]

    def stop(watched: Samples) -> None:
        held.append(watched)
        raise Stopped

    monkeypatch.setattr(Samples, "to", move)
    monkeypatch.setattr(module, "_comparable", stop)
    training, validation = parts(make_samples(60), 40)
    with pytest.raises(Stopped):
        fit(training, validation, Scaling.of(training), TINY, 0, torch.device("meta"))
    assert [len(samples) for samples in held] == [40, 20]
    for field in fields(Samples):
        values = [getattr(samples, field.name) for samples in held]
        if field.name != "chosen":
            assert values[0] is values[1], field.name
        for value in values:
            assert not isinstance(value, Tensor) or value.device.type == "meta"


def test_a_training_that_diverged_is_refused() -> None:
    with pytest.raises(InputError, match=r"diverged.*train\.learning_rate"):
        run(learning_rate=1e30, largest_gradient=0.0, schedule="constant", steps=30)


def test_the_validation_error_is_a_mean_over_all_visible_labelled_joints() -> None:
    training, validation = parts(make_samples(70), 40)
    settings = TINY.model_copy(update={"averaging": 0.0, "keep": "last"})
    network, history = fit(training, validation, Scaling.of(training), settings, 0, CPU)
    batch = replace(training, chosen=validation).batch(torch.arange(30), 1)
    with torch.no_grad():
        predicted = predict_views(network, batch, Scaling.of(training)).numpy()
    distances = [
        np.linalg.norm(predicted[f, v, j] - (batch.rotations[f, v] @ label).numpy())
        for f, v in batch.visible.nonzero().tolist()
        for j, label in enumerate(batch.labels[f])
        if label.isfinite().all()
    ]
    assert history[-1]["validation_mpjpe_mm"] == pytest.approx(1000 * np.mean(distances), rel=1e-5)


def test_the_network_comes_back_ready_to_predict() -> None:
    samples = make_samples()
    network, _ = fit(samples, NONE, Scaling.of(samples), TINY, 0, CPU)
    assert not any(part.training for part in network.modules())


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250])
def test_the_history_has_up_to_a_hundred_rows_and_ends_with_the_last_step(steps: int) -> None:
    _, history = run(steps=steps, network=NetworkSettings(width=2, blocks=0, dropout=0.0), augmentation=PLAIN)
    assert len(history) <= 100
    assert history[-1]["step"] == steps
    assert np.isfinite([row["loss"] for row in history]).all()


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("steps", [12, 250])  # a row of the history each, or each third
@pytest.mark.parametrize("stop_after", [1, 7, 11])
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, averaging: float, steps: int, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, validation = parts(make_samples(60), 40)
    settings = TINY.model_copy(update={"averaging": averaging, "steps": steps})
    more = (Scaling.of(training), settings, 5, CPU)
    network, history = fit(training, validation, *more)
    checkpoint = Checkpoint(tmp_path / "state.pt", every_s=0.0)
    taken = itertools.count()

    def stop(*_: object) -> None:
        if next(taken) == stop_after:
            raise KeyboardInterrupt

    after_each_step(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        fit(training, validation, *more, checkpoint)
    again, history_again = fit(training, validation, *more, checkpoint)
    assert next(taken) == steps + 1  # the step that was stopped is taken again
    assert same_bits(again.state_dict(), network.state_dict())
    assert history_again == history
    assert checkpoint.path.exists()  # until what came of it is saved


def test_a_training_that_had_ended_is_not_gone_on_with(
    tmp_path: Path, steps: list[dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = make_samples()
    for patience, length in ((0, 12), (3, 4)):
        monkeypatch.setattr(module, "validation_error", lambda *_: 0.5)
        settings = TINY.model_copy(update={"patience": patience})
        checkpoint = Checkpoint(tmp_path / f"{patience}.pt", every_s=0.0)
        for _ in range(2):  # the second one finds the state in which the first has ended
            _, history = fit(samples, samples.chosen, Scaling.of(samples), settings, 0, CPU, checkpoint)
            assert len(history) == length
            assert len(steps) == length
        steps.clear()


@pytest.mark.parametrize("damage", ["cut", "empty", "changed"])
def test_a_damaged_checkpoint_is_not_used(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt")
    checkpoint.write({"weights": torch.arange(1000.0)})
    content = bytearray(checkpoint.path.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.path.write_bytes({"cut": content[:-1], "empty": b"", "changed": content}[damage])
    with caplog.at_level(logging.INFO):
        assert checkpoint.read(CPU) is None
    assert "damaged, so the training begins anew" in caplog.text


SCRIPT = """
import sys, time
import torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from train import test_training as tests
from train.batches import make_samples
from trilift.train import training as module
torch.set_num_threads(1)
samples = make_samples(200)
settings = tests.TINY.model_copy(update={"steps": 400})
step = module.training_step
def slowly(*arguments):
    time.sleep(0.002)
    return step(*arguments)
module.training_step = slowly
checkpoint = tests.Checkpoint(Path(sys.argv[2]), every_s=0.02) if sys.argv[2] else None
network, _ = module.fit(samples, samples.chosen, tests.Scaling.of(samples), settings, 0, tests.CPU, checkpoint)
torch.save(network.state_dict(), sys.argv[3])
"""


def test_a_training_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Kill it at random moments until it has ended; tests/benchmarks/resume.py does so many times."""

    def start(checkpoint: str, output: str) -> subprocess.Popen[bytes]:
        arguments = [
            sys.executable,
            "-c",
            textwrap.dedent(SCRIPT),
            str(Path(__file__).parents[1]),
            checkpoint,
            output,
        ]
        return subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})

    assert start("", str(tmp_path / "whole")).wait() == 0
    checkpoint, rng, kills = tmp_path / "state.pt", np.random.default_rng(0), 0
    while not (tmp_path / "output").exists():
        process = start(str(checkpoint), str(tmp_path / "output"))
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while kills < 2 and process.poll() is None:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > seen:  # it has begun, or gone on
                time.sleep(rng.uniform(0, 0.2))
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills == 2
    whole, pieces = (torch.load(tmp_path / name, weights_only=True) for name in ("whole", "output"))
    assert same_bits(whole, pieces)

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from trilift.lifting import training as module
from trilift.lifting.losses import LossSettings
from trilift.lifting.networks import EncoderDecoder, NetworkSettings
from trilift.lifting.training import Samples, TrainingSettings, _batches, fit, predict_visible, training_step

CPU = torch.device("cpu")
JOINTS = 4
TINY = TrainingSettings(
    network=NetworkSettings(width=16, latent=8, blocks=1, dropout=0.1),
    steps=12,
    batch_frames=16,
    learning_rate=3e-3,
    threads=1,
)


def make_samples(frames: int = 40, views: int = 3, seed: int = 0) -> Samples:
    """Two captures; the features of a view are the pose that it sees, seen through a fixed matrix."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(2 * views, np.random.default_rng(99)).as_matrix().reshape(2, views, 3, 3)
    labels = 0.3 * rng.normal(size=(frames, JOINTS, 3))
    capture = np.arange(frames) % 2
    seen = np.einsum("fvxy,fjy->fvjx", rotations[capture], labels).reshape(frames, views, 3 * JOINTS)
    visible = rng.random((frames, views)) < 0.9
    return Samples(
        features=torch.tensor(3 * seen, dtype=torch.float32),
        visible=torch.tensor(visible),
        labels=torch.tensor(labels, dtype=torch.float32),
        rotations=torch.tensor(rotations, dtype=torch.float32),
        capture=torch.tensor(capture),
    )


def run(
    training: Samples | None = None, validation: Samples | None = None, seed: int = 0, **changed: object
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    training = make_samples() if training is None else training
    validation = training.select(torch.arange(0)) if validation is None else validation
    network, history = fit(training, validation, TINY.model_copy(update=changed), seed, CPU)
    return network.state_dict(), history


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_decides_every_bit() -> None:
    weights, history = run(seed=3)
    torch.rand(7)
    again, history_again = run(seed=3)
    assert same_bits(weights, again)
    assert history == history_again
    other, other_history = run(seed=4)
    assert not same_bits(weights, other)
    assert history != other_history


def test_one_optimiser_serves_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Recorded(torch.optim.Adam):
        def __init__(self, *args: object, **kwargs: object):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(module.torch.optim, "Adam", Recorded)
    run(steps=12)
    (optimiser,) = made
    assert {state["step"].item() for state in optimiser.state.values()} == {12}


@given(st.integers(1, 300), st.integers(1, 64))
@settings(max_examples=60)
def test_an_epoch_visits_every_frame_once(frames: int, batch_frames: int) -> None:
    number = -(-frames // batch_frames)
    batches = _batches(frames, batch_frames, torch.Generator().manual_seed(0))
    for _ in range(2):
        epoch = list(islice(batches, number))
        assert sorted(torch.cat(epoch).tolist()) == list(range(frames))
        assert max(map(len, epoch)) <= batch_frames
        assert max(map(len, epoch)) - min(map(len, epoch)) <= 1


@given(st.integers(2, 300), st.integers(3, 64))
@settings(max_examples=60)
def test_no_batch_is_a_single_frame(frames: int, batch_frames: int) -> None:
    epoch = islice(_batches(frames, batch_frames, torch.Generator().manual_seed(0)), -(-frames // batch_frames))
    assert min(map(len, epoch)) >= 2


def test_epochs_have_different_orders() -> None:
    batches = _batches(50, 50, torch.Generator().manual_seed(0))
    assert next(batches).tolist() != next(batches).tolist()


def with_a_missing_view(fill: float) -> Samples:
    """Samples whose second capture has one view less."""
    samples = make_samples()
    features, rotations, visible = samples.features.clone(), samples.rotations.clone(), samples.visible.clone()
    features[samples.capture == 1, 2], rotations[1, 2], visible[samples.capture == 1, 2] = fill, fill, False
    return replace(samples, features=features, rotations=rotations, visible=visible)


@pytest.mark.parametrize("target", ["pseudo_label", "prediction"])
def test_captures_with_fewer_views_train_and_their_filling_does_not_matter(target: str) -> None:
    losses = LossSettings.model_validate({"consistency_target": target})
    weights, _ = run(with_a_missing_view(0.0), losses=losses)
    garbage, _ = run(with_a_missing_view(1e3), losses=losses)
    assert all(value.isfinite().all() for value in weights.values())
    assert same_bits(weights, garbage)


def test_views_that_are_not_visible_are_predicted_as_0_and_not_fed() -> None:
    samples = make_samples()
    network = EncoderDecoder(12, 12, TINY.network).train()
    fed = []
    network.register_forward_hook(lambda _, inputs, __: fed.append(len(inputs[0])))
    predicted = predict_visible(network, samples)
    assert fed == [int(samples.visible.sum())]
    assert predicted.shape == (40, 3, JOINTS, 3)
    assert torch.equal((predicted != 0).any((-1, -2)), samples.visible)


def test_a_view_is_predicted_from_its_own_features() -> None:
    samples = make_samples()
    network = EncoderDecoder(12, 12, TINY.network).eval()
    expected = network(samples.features[5, 1][None]).reshape(JOINTS, 3)
    samples.visible[5, 1] = True
    torch.testing.assert_close(predict_visible(network, samples)[5, 1], expected)


def test_a_small_problem_is_learnt() -> None:
    training, validation = make_samples(400), make_samples(60, seed=1)
    network = NetworkSettings(width=64, latent=32, blocks=1, dropout=0.0)
    _, history = run(training, validation, network=network, steps=300, batch_frames=100)
    assert history[-1]["loss_m"] < 0.2 * history[0]["loss_m"]
    assert history[-1]["validation_l1_mm"] < 0.4 * history[0]["validation_l1_mm"]


def test_the_learning_rate_falls_along_a_cosine() -> None:
    _, history = run(steps=50, learning_rate=0.01)
    expected = [0.005 * (1 + np.cos(np.pi * step / 50)) for step in range(50)]
    assert [row["learning_rate"] for row in history] == pytest.approx(expected)


def test_a_step_moves_the_weights_by_the_learning_rate() -> None:
    samples = make_samples()
    network = EncoderDecoder(12, 12, TINY.network)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    before = network.decoder[-1].bias.detach().clone()
    training_step(network, optimiser, samples, LossSettings())
    torch.testing.assert_close((network.decoder[-1].bias - before).abs(), torch.full((12,), 0.01), rtol=1e-2, atol=0)


def test_validation_frames_are_not_trained_on() -> None:
    training = make_samples()
    weights, _ = run(training)
    for validation in (make_samples(20, seed=1), make_samples(30, seed=2)):
        assert same_bits(run(training, validation)[0], weights)


def test_the_history_tells_steps_epochs_and_losses() -> None:
    _, history = run(make_samples(40), make_samples(20, seed=1), steps=250, batch_frames=20)
    assert [row["step"] for row in history] == [*range(3, 250, 3), 250]
    assert [row["epoch"] for row in history] == pytest.approx([row["step"] / 2 for row in history])
    for row in history:
        assert row["loss_m"] == pytest.approx(
            row["input_triangulation_m"] + row["multi_view_consistency_m"], rel=1e-5
        )


def test_without_validation_frames_the_history_has_no_validation() -> None:
    assert "validation_l1_mm" not in run()[1][-1]


def test_the_validation_error_is_a_mean_over_all_visible_labelled_joints() -> None:
    validation = make_samples(30, seed=1)
    validation.labels[3, 1] = torch.nan
    network, history = fit(make_samples(), validation, TINY.model_copy(update={"batch_frames": 7}), 0, CPU)
    with torch.no_grad():
        predicted = predict_visible(network, validation).numpy()
    differences = [
        np.abs(predicted[f, v, j] - (validation.rotations[validation.capture[f], v] @ label).numpy())
        for f, v in validation.visible.nonzero().tolist()
        for j, label in enumerate(validation.labels[f])
        if label.isfinite().all()
    ]
    assert history[-1]["validation_l1_mm"] == pytest.approx(1000 * np.mean(differences), rel=1e-5)


def test_the_network_comes_back_ready_to_predict() -> None:
    network, _ = fit(make_samples(), make_samples(0), TINY, 0, CPU)
    assert not any(part.training for part in network.modules())


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250])
def test_the_history_has_up_to_a_hundred_rows_and_ends_with_the_last_step(steps: int) -> None:
    _, history = run(steps=steps, network=NetworkSettings(width=2, latent=2, blocks=0, dropout=0.0))
    assert len(history) <= 100
    assert history[-1]["step"] == steps
    assert np.isfinite([row["loss_m"] for row in history]).all()

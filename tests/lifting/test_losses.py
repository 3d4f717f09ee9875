from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation
from torch import Tensor

from trilift.errors import InputError
from trilift.lifting.losses import LossSettings, into_all_views, losses, weighted_sum
from trilift.params import parse

TARGETS = ("pseudo_label", "prediction")
NAMES = {"input_triangulation", "multi_view_consistency"}


def a_batch(seed: int = 0, frames: int = 3, views: int = 3, joints: int = 4) -> dict[str, Tensor]:
    """Random predictions and labels with some missing labels and views."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=(frames, joints, 3))
    labels[rng.random((frames, joints)) < 0.2] = np.nan
    return {
        "predicted": torch.tensor(rng.normal(size=(frames, views, joints, 3))),
        "labels": torch.tensor(labels),
        "rotations": torch.tensor(Rotation.random(frames * views, rng).as_matrix().reshape(frames, views, 3, 3)),
        "visible": torch.tensor(rng.random((frames, views)) < 0.8),
    }


def computed(batch: dict[str, Tensor], target: str = "pseudo_label") -> dict[str, float]:
    return {name: value.item() for name, value in losses(**batch, settings=with_target(target)).items()}


def with_target(target: str) -> LossSettings:
    return LossSettings.model_validate({"consistency_target": target})


def naive_input_triangulation(batch: dict[str, Tensor]) -> float:
    X, Y, R, visible = (values.numpy() for values in batch.values())
    differences = [
        np.abs(X[b, i, j] - R[b, i] @ Y[b, j])
        for b, i in np.argwhere(visible)
        for j in range(X.shape[2])
        if np.isfinite(Y[b, j]).all()
    ]
    return np.mean(differences) if differences else 0.0


def naive_consistency(batch: dict[str, Tensor], target: str) -> float:
    X, Y, R, visible = (values.numpy() for values in batch.values())
    differences = []
    for b in range(len(X)):
        for i, k in permutations(np.flatnonzero(visible[b]), 2):
            for j in range(X.shape[2]):
                expected = R[b, k] @ Y[b, j] if target == "pseudo_label" else X[b, k, j]
                if np.isfinite(expected).all():
                    differences.append(np.abs(R[b, k] @ R[b, i].T @ X[b, i, j] - expected))
    return np.mean(differences) if differences else 0.0


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 4), st.sampled_from(TARGETS))
@settings(max_examples=40)
def test_losses_are_what_their_formulas_say(seed: int, frames: int, views: int, target: str) -> None:
    batch = a_batch(seed, frames, views)
    found = computed(batch, target)
    assert found["input_triangulation"] == pytest.approx(naive_input_triangulation(batch), abs=1e-12)
    assert found["multi_view_consistency"] == pytest.approx(naive_consistency(batch, target), abs=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_truth_costs_nothing(target: str) -> None:
    batch = a_batch()
    truth = torch.randn(3, 4, 3, dtype=torch.float64)
    batch["labels"] = truth
    batch["predicted"] = torch.einsum("bvxy,bjy->bvjx", batch["rotations"], truth)
    assert computed(batch, target) == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-14)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_gradients_are_the_finite_differences(name: str, target: str) -> None:
    batch = a_batch(5)
    predicted = batch.pop("predicted").requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: losses(x, **batch, settings=with_target(target))[name], (predicted,), eps=1e-7, atol=1e-6
    )


def test_a_missing_label_says_nothing_about_its_joint() -> None:
    batch = a_batch(1)
    batch["visible"][:] = True
    missing = batch["labels"].isnan().all(-1)
    assert missing.any()
    before = computed(batch)
    batch["predicted"].movedim(1, 2)[missing] = 1e6
    assert computed(batch) == pytest.approx(before, rel=1e-12)


def test_a_label_with_one_missing_coordinate_is_missing() -> None:
    batch = a_batch(1)
    batch["labels"][0, 2] = torch.nan
    before = computed(batch)
    batch["labels"][0, 2] = torch.tensor([1e6, torch.nan, 1e6])
    assert computed(batch) == before


@pytest.mark.parametrize("target", TARGETS)
def test_what_stands_in_an_invisible_view_does_not_matter(target: str) -> None:
    batch = a_batch(2)
    unseen = ~batch["visible"]
    assert unseen.any()
    before = computed(batch, target)
    batch["predicted"][unseen] = 1e6
    batch["rotations"][unseen] = 0.0
    assert computed(batch, target) == before


@pytest.mark.parametrize("target", TARGETS)
def test_a_view_that_a_capture_does_not_have_dilutes_nothing(target: str) -> None:
    batch = a_batch(3)
    batch["visible"][:] = True
    wider = batch | {
        name: torch.cat([batch[name], torch.zeros_like(batch[name][:, :1])], 1)
        for name in ("predicted", "rotations", "visible")
    }
    assert computed(wider, target) == pytest.approx(computed(batch, target), rel=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_order_of_the_views_does_not_matter(target: str) -> None:
    batch = a_batch(4, views=4)
    order = [2, 0, 3, 1]
    shuffled = batch | {name: batch[name][:, order] for name in ("predicted", "rotations", "visible")}
    assert computed(shuffled, target) == pytest.approx(computed(batch, target), rel=1e-12)


def test_a_single_view_has_nothing_to_agree_with() -> None:
    batch = a_batch(views=1)
    assert computed(batch)["multi_view_consistency"] == 0.0


def test_nothing_visible_and_nothing_labelled_cost_nothing() -> None:
    batch = a_batch()
    batch["visible"][:] = False
    assert computed(batch) == dict.fromkeys(NAMES, 0.0)
    batch = a_batch()
    batch["labels"][:] = torch.nan
    assert computed(batch) == dict.fromkeys(NAMES, 0.0)


def test_poses_are_turned_into_every_view() -> None:
    batch = a_batch()
    X, R = batch["predicted"], batch["rotations"]
    turned = into_all_views(X, R)
    torch.testing.assert_close(turned[1, 0, 2, 3], R[1, 2] @ R[1, 0].T @ X[1, 0, 3])
    for view in range(3):
        torch.testing.assert_close(turned[:, view, view], X[:, view])


def test_weights_add_up() -> None:
    settings = LossSettings(input_triangulation=2.0, multi_view_consistency=0.5)
    values = losses(**a_batch(), settings=settings)
    total = 2 * values["input_triangulation"] + 0.5 * values["multi_view_consistency"]
    torch.testing.assert_close(weighted_sum(values, settings), total)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_loss_of_weight_0_is_not_computed(name: str) -> None:
    assert set(losses(**a_batch(), settings=LossSettings(**{name: 0.0}))) == NAMES - {name}


def test_all_losses_off_is_refused() -> None:
    with pytest.raises(ValidationError, match="all losses are switched off"):
        LossSettings(input_triangulation=0.0, multi_view_consistency=0.0)
    with pytest.raises(InputError, match="switched off"):
        parse(LossSettings, {"input_triangulation": 0.0, "multi_view_consistency": 0.0}, "params.yaml")


@pytest.mark.parametrize("values", [{"input_triangulation": -1.0}, {"consistency_target": "label"}])
def test_senseless_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        parse(LossSettings, values, "params.yaml")

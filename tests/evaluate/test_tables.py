import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trilift.captures.schema import Recording
from trilift.evaluate.protocols import PROTOCOLS
from trilift.evaluate.tables import (
    OF_POSE,
    Bins,
    Distribution,
    Errors,
    action_of_take,
    confidence_interval,
    means,
    of_protocol,
    overall,
    per_action,
)

RECORDINGS, JOINTS, VIEWS = ["walk", "sit", "never"], ["hip", "knee", "ankle"], ["a", "b"]


def recordings(names: list[str]) -> list[Recording]:
    return [Recording(name, "S1", name, 50.0, 0, 1) for name in names]


def empty(names: list[str] = RECORDINGS, views: list[str] = VIEWS, joints: list[str] = JOINTS) -> Errors:
    return Errors("S1", recordings(names), views, joints)


def make_errors(seed: int, frames: int = 20, missing: float = 0.3) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    errors = rng.gamma(2, 10, size=(frames, len(VIEWS), len(JOINTS)))
    errors[rng.random(errors.shape) < missing] = np.nan
    return rng.integers(0, 2, frames), errors


def filled(recording: NDArray[np.int64], errors: NDArray[np.float64], blocks: int = 1) -> pd.DataFrame:
    collected = empty()
    parts = (np.array_split(values, blocks) for values in (recording, errors))
    for some, values in zip(*parts, strict=True):
        for number in np.unique(some):
            collected.add("mm", int(number), torch.tensor(values[some == number]))
    return collected.table()


def as_frame(recording: NDArray[np.int64], errors: NDArray[np.float64]) -> pd.DataFrame:
    """All raw errors, one per row; pandas leaves NaN out of means."""
    frame, view, joint = (index.ravel() for index in np.indices(errors.shape))
    columns = {"recording": np.array(RECORDINGS)[recording[frame]], "view": np.array(VIEWS)[view]}
    return pd.DataFrame(columns | {"joint": np.array(JOINTS)[joint], "mm": errors.ravel()})


@given(st.integers(0, 2**31), st.integers(1, 4), st.sampled_from([0.0, 0.3]))
@settings(max_examples=30)
def test_means_are_those_of_all_errors(seed: int, blocks: int, missing: float) -> None:
    recording, errors = make_errors(seed, missing=missing)
    table, raw = filled(recording, errors, blocks), as_frame(recording, errors)
    assert overall(table)["mm"] == pytest.approx(raw["mm"].mean())
    for by in ("recording", "joint", "view"):
        expected = raw.groupby(by)["mm"].mean().to_dict()
        assert means(table, by)["mm"].dropna().to_dict() == pytest.approx(expected)
    both = raw.groupby(["recording", "view"])["mm"].mean().to_dict()
    assert means(table, "recording", "view")["mm"].dropna().to_dict() == pytest.approx(both)


def test_missing_errors_are_not_zeros() -> None:
    collected = empty(["walk"], ["a"])
    collected.add("mm", 0, torch.tensor([[[10.0, torch.nan, torch.nan]], [[20.0, 60.0, torch.nan]]]))
    table = collected.table()
    assert overall(table) == {"mm": 30.0}
    assert means(table, "joint")["mm"].dropna().to_dict() == {"hip": 15, "knee": 60}


def test_what_has_no_error_keeps_its_row() -> None:
    collected = empty()
    assert collected.table().empty
    errors = torch.full((1, 2, 3), torch.nan)
    collected.add("mm", 0, errors)
    table = collected.table()
    assert len(table) == len(RECORDINGS) * len(VIEWS) * len(JOINTS)
    assert (table["number"] == 0).all()
    errors[0, 1, 2] = 7.0
    collected.add("mm", 0, errors)
    found = means(collected.table(), "recording", "view")["mm"]
    assert found.index.tolist() == [(recording, view) for recording in RECORDINGS for view in VIEWS]
    assert found.dropna().to_dict() == {("walk", "b"): 7}
    assert means(collected.table(), "joint")["mm"].dropna().to_dict() == {"ankle": 7}


def test_infinite_errors_count_no_more_in_sums_than_in_numbers() -> None:
    collected = empty(["walk"], ["a"])
    collected.add("mm", 0, torch.tensor([[[10.0, torch.inf, -torch.inf]], [[20.0, 60.0, torch.nan]]]))
    part = empty(["walk"], ["a"])
    part.add("mm", 0, torch.full((1, 1, 3), torch.inf))
    collected.merge(part, 0)
    assert overall(collected.table()) == {"mm": 30.0}
    assert means(collected.table(), "joint")["mm"].dropna().to_dict() == {"hip": 15, "knee": 60}


def test_measures_are_kept_apart_and_those_of_whole_poses_too() -> None:
    collected = empty(["walk"])
    collected.add("mm", 0, torch.full((1, 2, 3), 7.0))
    collected.add("percent", 0, torch.tensor([[100.0, 0.0]]))
    table = collected.table()
    assert overall(table) == {"mm": 7.0, "percent": 50.0}
    assert means(table, "view")["percent"].to_dict() == {"a": 100, "b": 0}
    assert set(table[table["measure"] == "percent"]["joint"]) == {OF_POSE}


def test_tables_of_several_captures_are_one_below_the_other() -> None:
    first, second = empty(["walk"], ["a"]), Errors("S2", recordings(["walk"]), ["b", "c"], JOINTS)
    first.add("mm", 0, torch.full((2, 1, 3), 3.0))
    second.add("mm", 0, torch.full((1, 2, 3), 6.0))
    table = pd.concat([first.table(), second.table()])
    assert overall(table)["mm"] == pytest.approx(4.5)
    assert means(table, "capture", "recording")["mm"].to_dict() == {("S1", "walk"): 3, ("S2", "walk"): 6}


# The order of the field's tables.
FIELD = [
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Photo",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Waiting",
    "WalkDog",
    "Walking",
    "WalkTogether",
]


@pytest.mark.parametrize(
    ("take", "action"),
    [
        ("Directions", "Directions"),
        ("Directions 1", "Directions"),
        ("Sitting 2", "Sitting"),
        ("SittingDown 1", "SittingDown"),
        ("Walking1", "Walking"),
        ("Walk 12", "Walk"),
        ("3 steps", "3 steps"),
        ("Phase 2b", "Phase 2b"),
        ("7", "7"),
        ("2 1", "2 1"),
        ("", ""),
    ],
)
def test_takes_are_told_by_the_number_at_the_end(take: str, action: str) -> None:
    assert action_of_take(take) == action


def test_in_the_average_every_action_counts_the_same() -> None:
    collected = empty(["Walking", "Sitting 1", "Sitting 2"], ["a"], ["hip"])
    for recording, poses, error in ((0, 1, 10.0), (1, 4, 20.0), (2, 1, 70.0)):
        collected.add("mm", recording, torch.full((poses, 1, 1), error))
    table = collected.table()
    found = per_action(table)
    assert found.index.name == "action"
    assert found["mm"].to_dict() == pytest.approx({"Sitting": 30, "Walking": 10, "average": 20})
    assert overall(table)["mm"] == pytest.approx(160 / 6)


def test_actions_are_in_the_order_of_the_field() -> None:
    takes = [f"{action} {take}" for take in (1, 2) for action in reversed(FIELD)]
    collected = empty(takes, ["a"], ["hip"])
    for recording in range(30):
        collected.add("mm", recording, torch.ones(1, 1, 1))
    assert list(per_action(collected.table()).index) == [*FIELD, "average"]


def test_actions_without_errors_are_in_the_table_but_not_in_the_average() -> None:
    collected = empty(["a", "b"], ["a"], ["hip"])
    collected.add("mm", 0, torch.tensor([[[10.0]]]))
    collected.add("px", 0, torch.tensor([[[2.0]]]))
    collected.add("px", 1, torch.tensor([[[4.0]]]))
    found = per_action(collected.table())
    assert list(found.index) == ["a", "b", "average"]
    assert np.isnan(found.loc["b", "mm"])
    assert found.loc["average", "mm"] == 10
    assert found.loc["average", "px"] == 3


def test_a_protocol_counts_its_joints() -> None:
    joints = list(PROTOCOLS["human36m"].aligned_joints)
    collected = empty(["walk"], ["a"], joints)
    errors = torch.arange(17.0)[None, None]
    for measure in ("mpjpe_mm", "pa_mpjpe_mm", "pseudo_label_pa_mpjpe_mm"):
        collected.add(measure, 0, errors)
    collected.add("correct_poses_150mm_percent", 0, torch.tensor([[100.0]]))
    table = collected.table()
    found = overall(of_protocol(table, PROTOCOLS["human36m"]))
    assert found["mpjpe_mm"] == pytest.approx(np.arange(1, 17).mean())
    assert found["pa_mpjpe_mm"] == found["pseudo_label_pa_mpjpe_mm"] == pytest.approx(np.arange(17).mean())
    assert found["correct_poses_150mm_percent"] == 100
    assert overall(of_protocol(table, PROTOCOLS["human36m_17"]))["mpjpe_mm"] == pytest.approx(np.arange(17).mean())
    assert overall(of_protocol(table, PROTOCOLS["mpi_inf_3dhp"]))["mpjpe_mm"] == pytest.approx(
        np.delete(np.arange(17.0), [0, 7, 9]).mean()
    )
    assert [len(PROTOCOLS[name].joints) for name in ("human36m", "human36m_17", "mpi_inf_3dhp", "humaneva")] == [
        16,
        17,
        14,
        14,
    ]


def test_the_interval_is_that_of_a_mean_of_recordings() -> None:
    rng = np.random.default_rng(0)
    names = [str(number) for number in range(40)]
    collected = empty(names, ["a"], ["hip"])
    of_recordings = rng.normal(100, 8, 40)
    for number, error in enumerate(of_recordings):
        collected.add("mm", number, torch.full((3, 1, 1), error))
    low, high = confidence_interval(collected.table(), "mm")
    expected = 1.96 * of_recordings.std() / np.sqrt(40)
    assert of_recordings.mean() - low == pytest.approx(expected, rel=0.15)
    assert high - of_recordings.mean() == pytest.approx(expected, rel=0.15)
    assert confidence_interval(collected.table(), "mm") == (low, high)


def test_one_recording_has_no_interval() -> None:
    collected = empty(["walk"], ["a"])
    collected.add("mm", 0, torch.ones(5, 1, 3))
    assert np.isnan(confidence_interval(collected.table(), "mm")).all()


def test_recordings_without_errors_do_not_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    measured, with_others = empty(["a", "b", "c"], ["a"]), empty(["a", "none", "b", "c", "nor here"], ["a"])
    for into, numbers in ((measured, range(3)), (with_others, (0, 2, 3))):
        rng = np.random.default_rng(0)
        for number in numbers:
            into.add("mm", number, torch.tensor(rng.gamma(2, 10, (5, 1, 3))))
    expected = confidence_interval(measured.table(), "mm")
    assert np.isfinite(expected).all()
    assert confidence_interval(with_others.table(), "mm") == expected


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_bins_hold_the_means_of_their_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    of, errors = rng.uniform(-0.1, 1.1, 200).round(2), rng.gamma(2, 10, 200)
    errors[rng.random(200) < 0.2] = np.nan
    bins = Bins(np.linspace(0, 1, 5))
    for part in np.array_split(np.arange(200), 3):
        bins.add(torch.tensor(of[part]), torch.tensor(errors[part]))
    edges = np.linspace(0, 1, 5)
    cut = pd.cut(np.where(of == 1, 0.999, of), edges, right=False)
    expected = pd.Series(errors).groupby(cut, observed=True).agg(["mean", "count"])
    expected = expected[expected["count"] > 0]
    table = bins.table("confidence_low", "confidence_high", "error", "joints")
    assert table["error"].tolist() == pytest.approx(expected["mean"].tolist())
    assert table["confidence_low"].tolist() == [interval.left for interval in expected.index]
    assert table["joints"].tolist() == expected["count"].tolist()


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_distribution_counts_errors_up_to_each_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.integers(0, 12, 100).astype(float)
    errors[rng.random(100) < 0.2] = np.nan
    distribution = Distribution(np.arange(0, 11, 2))
    for part in np.array_split(errors, 3):
        distribution.add("lifter", torch.tensor(part))
    known = errors[np.isfinite(errors)]
    expected = [(known <= threshold).mean() for threshold in range(0, 11, 2)]
    assert distribution.table()["lifter_percent"].tolist() == pytest.approx([100 * share for share in expected])


def test_a_distribution_of_no_errors_is_not_known() -> None:
    distribution = Distribution(np.arange(3))
    distribution.add("lifter", torch.tensor([torch.nan]))
    table = distribution.table()
    assert list(table) == ["threshold", "lifter_percent"]
    assert table["lifter_percent"].isna().all()

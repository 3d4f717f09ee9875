import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trilift.evaluation.tables import ErrorTable, action_of_take

RECORDINGS, JOINTS = ["walk", "sit", "never"], ["hip", "knee", "ankle"]


def make_errors(seed: int, frames: int = 20, missing: float = 0.3) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    errors = rng.gamma(2, 10, size=(frames, 4, len(JOINTS)))
    errors[rng.random(errors.shape) < missing] = np.nan
    return rng.integers(0, 2, frames), errors


def filled(recording: NDArray[np.int64], errors: NDArray[np.float64], blocks: int = 1) -> ErrorTable:
    table = ErrorTable(RECORDINGS, JOINTS)
    parts = (np.array_split(values, blocks) for values in (recording, errors))
    for some, values in zip(*parts, strict=True):
        table.add("mm", some, torch.tensor(values))
    return table


def as_frame(recording: NDArray[np.int64], errors: NDArray[np.float64]) -> pd.DataFrame:
    """All raw errors, one per row; pandas leaves NaN out of means."""
    frame, _, joint = np.indices(errors.shape)
    names = np.array(RECORDINGS)[recording[frame.ravel()]], np.array(JOINTS)[joint.ravel()]
    return pd.DataFrame({"recording": names[0], "joint": names[1], "mm": errors.ravel()})


@given(st.integers(0, 2**31), st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=30)
def test_means_are_those_of_all_errors(seed: int, blocks: int, missing: float) -> None:
    recording, errors = make_errors(seed, missing=missing)
    table, raw = filled(recording, errors, blocks), as_frame(recording, errors)
    assert table.overall()["mm"] == pytest.approx(raw["mm"].mean(), nan_ok=True)
    pd.testing.assert_series_equal(
        table.per_recording()["mm"], raw.groupby("recording")["mm"].mean().reindex(RECORDINGS), check_names=False
    )
    pd.testing.assert_series_equal(
        table.per_joint()["mm"], raw.groupby("joint")["mm"].mean().reindex(JOINTS), check_names=False
    )


def test_missing_errors_are_not_zeros() -> None:
    table = ErrorTable(["walk"], JOINTS)
    table.add("mm", np.array([0, 0]), torch.tensor([[[10.0, torch.nan, torch.nan]], [[20.0, 60.0, torch.nan]]]))
    assert table.overall() == {"mm": 30.0}
    assert table.per_joint()["mm"].tolist() == pytest.approx([15, 60, np.nan], nan_ok=True)


def test_no_errors_have_no_mean() -> None:
    table = ErrorTable(["walk"], JOINTS)
    table.add("mm", np.array([0]), torch.full((1, 4, 3), torch.nan))
    assert np.isnan(table.overall()["mm"])
    assert table.per_recording()["mm"].isna().all()


def test_joints_can_be_left_out() -> None:
    recording, errors = make_errors(0)
    table, raw = filled(recording, errors), as_frame(recording, errors).query("joint != 'hip'")
    assert table.overall(leave_out=[0])["mm"] == pytest.approx(raw["mm"].mean())
    found = table.per_recording(leave_out=[0])["mm"].dropna().to_dict()
    assert found == pytest.approx(raw.groupby("recording")["mm"].mean().to_dict())


def test_measures_are_kept_apart() -> None:
    table = ErrorTable(["walk"], JOINTS)
    table.add("mm", np.array([0]), torch.full((1, 4, 3), 7.0))
    table.add("px", np.array([0]), torch.full((1, 4, 3), 2.0))
    assert table.measures == ["mm", "px"]
    assert table.overall() == {"mm": 7.0, "px": 2.0}


def test_joined_tables_are_one_table_of_all_errors() -> None:
    parts = [make_errors(0), make_errors(1, frames=5)]
    joined = ErrorTable.join([filled(*part) for part in parts])
    raw = pd.concat([as_frame(*part) for part in parts])
    assert joined.recordings == RECORDINGS * 2
    assert joined.overall()["mm"] == pytest.approx(raw["mm"].mean())
    assert joined.per_joint()["mm"].to_dict() == pytest.approx(raw.groupby("joint")["mm"].mean().to_dict())
    apart = pd.concat([filled(*part).per_recording() for part in parts])
    pd.testing.assert_frame_equal(joined.per_recording(), apart)


def test_a_measure_that_one_table_lacks_is_missing_there() -> None:
    one, other = ErrorTable(["walk"], JOINTS), ErrorTable(["sit"], JOINTS)
    one.add("px", np.array([0]), torch.full((1, 1, 3), 2.0))
    other.add("mm", np.array([0]), torch.full((1, 1, 3), 7.0))
    joined = ErrorTable.join([one, other])
    assert joined.overall() == {"px": 2.0, "mm": 7.0}
    assert joined.per_recording()["mm"].tolist() == pytest.approx([np.nan, 7], nan_ok=True)


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


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.3]), st.sampled_from([[], [1]]))
@settings(max_examples=20)
def test_an_actions_mean_is_that_of_all_errors_of_its_takes(seed: int, missing: float, leave_out: list[int]) -> None:
    recording, errors = make_errors(seed, missing=missing)
    raw = as_frame(recording, errors)
    raw = raw[~raw["joint"].isin([JOINTS[joint] for joint in leave_out])]
    one = filled(recording, errors).per_action(["Walk", "Walk 1", "Walk 2"], leave_out)
    assert list(one.index) == ["Walk", "average"]
    assert one["mm"].tolist() == pytest.approx([raw["mm"].mean()] * 2)
    two = filled(recording, errors).per_action(["Walk 1", "Sit 1", "Walk 2"], leave_out)
    means = raw.groupby("recording")["mm"].mean()
    expected = {"Sit": means["sit"], "Walk": means["walk"], "average": (means["sit"] + means["walk"]) / 2}
    assert two["mm"].to_dict() == pytest.approx(expected)


def test_in_the_average_every_action_counts_the_same() -> None:
    table = ErrorTable(["S9 Walking", "S9 Sitting 1", "S11 Sitting 2"], ["hip"])
    for recording, poses, error in ((0, 1, 10.0), (1, 4, 20.0), (2, 1, 70.0)):
        table.add("mm", np.full(poses, recording), torch.full((poses, 1, 1), error))
    found = table.per_action(["Walking", "Sitting 1", "Sitting 2"])
    assert found.index.name == "action"
    assert found["mm"].to_dict() == pytest.approx({"Sitting": 30, "Walking": 10, "average": 20})
    assert table.overall()["mm"] == pytest.approx(160 / 6)


def test_actions_are_in_the_order_of_the_field() -> None:
    takes = [f"{action} {take}" for take in (1, 2) for action in reversed(FIELD)]
    table = ErrorTable(takes, ["hip"])
    table.add("mm", np.arange(30), torch.ones(30, 1, 1))
    assert list(table.per_action(takes).index) == [*FIELD, "average"]


def test_actions_without_errors_are_not_in_the_table_nor_in_the_average() -> None:
    table = ErrorTable(["a", "b", "c"], ["hip"])
    table.add("mm", np.array([0, 1]), torch.tensor([[[10.0]], [[torch.nan]]]))
    table.add("px", np.array([0, 1]), torch.tensor([[[2.0]], [[4.0]]]))
    found = table.per_action(["Walk", "Sit", "Train"])
    assert list(found.index) == ["Sit", "Walk", "average"]
    assert found["mm"].tolist() == pytest.approx([np.nan, 10, 10], nan_ok=True)
    assert found["px"].tolist() == pytest.approx([4, 2, 3])


def test_every_recording_needs_an_action() -> None:
    with pytest.raises(ValueError):
        filled(*make_errors(0)).per_action(["Walk", "Sit"])

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trilift.evaluation.tables import ErrorTable

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

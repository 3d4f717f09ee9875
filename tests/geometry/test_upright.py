import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from synthetic import waving_person
from trilift.geometry.upright import upright
from trilift.skeletons import BODY25B, H36M17, mapping

PERSON = mapping(BODY25B, H36M17).apply(waving_person(20))  # z is up


def test_where_z_is_up_nothing_is_turned() -> None:
    np.testing.assert_array_equal(upright(PERSON, H36M17), np.eye(3))


@pytest.mark.parametrize("turns", Rotation.create_group("O").as_matrix())
def test_whatever_axis_is_up_becomes_z_by_a_rotation(turns: np.ndarray) -> None:
    found = upright(PERSON @ turns.T, H36M17)
    np.testing.assert_allclose((found @ turns)[2], [0, 0, 1], atol=1e-12)
    assert np.linalg.det(found) == pytest.approx(1)


@given(st.integers(0, 2**31))
def test_a_floor_that_is_a_little_askew_stays_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    askew = Rotation.from_rotvec(rng.normal(0, 0.15, 3).clip(-0.3, 0.3)).as_matrix()
    np.testing.assert_array_equal(upright(PERSON @ askew.T, H36M17), np.eye(3))


def test_nobody_turns_nothing() -> None:
    np.testing.assert_array_equal(upright(np.full((3, 17, 3), np.nan), H36M17), np.eye(3))

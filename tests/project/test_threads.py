import threading
from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info

from trilift.project import threads


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_apart_torch_and_numpy_work_alone_and_parts_in_as_many_threads_as_torch_had() -> None:
    assert threads.number() == 3
    with threads.apart():
        assert threads.number() == 3
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
    assert threads.number() == torch.get_num_threads() == 3


def test_after_an_error_all_is_as_before() -> None:
    with pytest.raises(ValueError), threads.apart():
        raise ValueError
    assert threads.number() == torch.get_num_threads() == 3


def test_parts_may_be_apart_within_others() -> None:
    with threads.apart(), threads.apart():
        assert threads.number() == 3
        assert torch.get_num_threads() == 1
    assert threads.number() == torch.get_num_threads() == 3


def test_parts_are_worked_on_at_once_and_come_back_in_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def work(part: int) -> int:
        together.wait()
        return 2 * part

    with threads.apart():
        assert threads.each(work, [3, 1, 2]) == [6, 2, 4]


def test_an_error_in_a_part_is_that_of_all() -> None:
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda part: 1 / part, [1, 0])

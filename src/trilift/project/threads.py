"""Threads that each work on parts of their own, so that no result depends on their number."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")

_number: ContextVar[int] = ContextVar("number")


def number() -> int:
    """Tell how many threads may work at once: as many as torch uses, or did outside of `apart`."""
    return _number.get(torch.get_num_threads())


@contextmanager
def apart() -> Iterator[None]:
    """Let torch and the linear algebra of numpy use one thread, as long as parts are worked on in threads.

    With all threads on every small operation, they mostly wait for each other, and sums depend on how they are split.
    """
    before = torch.get_num_threads()
    token = _number.set(number())
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
        _number.reset(token)


def each(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Work on parts, as many at once as threads may; gives the results in the order of the parts."""
    with ThreadPoolExecutor(number()) as pool:
        return list(pool.map(work, parts))

"""Threads that each work on parts of their own, so that no result depends on their number."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from threadpoolctl import threadpool_limits

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
    token = _number.set(before)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
        _number.reset(token)

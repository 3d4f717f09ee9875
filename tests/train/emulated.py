"""CUDA graphs on the CPU: what a step does is written down once, and done again on the same memory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from trilift.train import graphs, training

_WAITS = {
    "aten::_local_scalar_dense",  # item(), tolist(), bool(), float(), int() of a tensor
    "aten::equal",
    "aten::is_nonzero",
    "aten::lift_fresh",  # a tensor made of numbers of the host, an index that is a list
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave",
    "aten::unique_consecutive",
    "aten::_unique2",
}
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class WaitsForTheDevice(Exception):
    """On a GPU the host would have to know numbers of the device here, or to send some."""


class _NoLists(TorchFunctionMode):
    """Refuses what reads the memory of a tensor on the CPU directly."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in (Tensor.tolist, Tensor.numpy, Tensor.cpu):
            raise WaitsForTheDevice(func.__name__)
        return func(*args, **(kwargs or {}))


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU, or what has a shape that depends on numbers."""

    def __enter__(self) -> Any:
        self.no_lists = _NoLists()
        self.no_lists.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.no_lists.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        by_mask = name in _INDEXED and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in _WAITS or by_mask:
            raise WaitsForTheDevice(func.name())
        return func(*args, **(kwargs or {}))


class Graph(NoWaiting):
    """Stands for `torch.cuda.CUDAGraph`. A capture leaves the memory as it was; a replay changes it."""

    captured = 0

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.memory: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage | None]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self.memory.setdefault(storage.data_ptr(), (storage, storage.clone()))
        given = _aliases((args, kwargs or {}))
        out = super().__torch_dispatch__(func, types, args, kwargs)
        for storage in _storages(out):
            self.memory.setdefault(storage.data_ptr(), (storage, None))
        self.calls.append((func, *given, _aliases(out)))
        return out

    @contextmanager
    def capture(self) -> Iterator[None]:
        with torch.random.fork_rng([]), self:
            yield
        for storage, before in self.memory.values():
            if before is not None:
                storage.copy_(before)
        Graph.captured += 1

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.calls:
            args, kwargs = _aliases((args, kwargs))
            for place, value in zip(_tensors(out), _tensors(func(*args, **kwargs)), strict=True):
                if place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class Stream:
    """Stands for `torch.cuda.Stream`: on the CPU everything is done in its order."""

    def __init__(self, *_: Any) -> None:
        pass

    def wait_stream(self, _: "Stream") -> None:
        pass


def _aliases(values: Any) -> Any:
    """The same memory under the shapes of now, which operations like `squeeze_` change."""
    return tree_map(lambda value: value.detach() if isinstance(value, Tensor) else value, values)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in _tensors(values) if value.numel()]


def emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `fit` take its steps as on a GPU."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: graph.capture())
    monkeypatch.setattr(training, "graphed", graphs.Replayed)
    monkeypatch.setattr(Graph, "captured", 0)

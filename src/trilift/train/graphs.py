"""Steps of a training as CUDA graphs, which nothing else knows about."""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, tuple[str, ...]], None]
"""Takes a step with samples (B,) int64 and names of losses; what it changes stays where it is in memory."""


def graphed(step: Step, device: torch.device) -> Step:
    """Let a GPU repeat a step that it knows at one word of the host; elsewhere the step stays as it is."""
    return Replayed(step, device) if device.type == "cuda" else step


class Replayed:
    """Takes a step as it is when another size of batch, or other losses, come for the first time, then by replaying.

    The first time makes what is made once (moments of the optimiser, constants, workspaces), so it is a step like
    others. The second time, what would be done is captured, without being done. A replay draws random numbers from
    where `torch.manual_seed` has set the generator, as the step itself does.
    """

    def __init__(self, step: Step, device: torch.device):
        self._step, self._stream = step, torch.cuda.Stream(device)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor] | None] = {}  # by the size of the batch
        self._names: tuple[str, ...] = ()

    def __call__(self, which: Tensor, names: tuple[str, ...]) -> None:
        if names != self._names:  # those before never come again: give their memory back
            self._graphs.clear()
            self._names = names
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            if len(which) not in self._graphs:
                self._step(which, names)
                self._graphs[len(which)] = None
            else:
                graph, samples = self._graphs[len(which)] or self._capture(which)
                samples.copy_(which)
                graph.replay()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self, like: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph, samples = torch.cuda.CUDAGraph(), like.clone()
        with torch.cuda.graph(graph, stream=self._stream):
            self._step(samples, self._names)
        self._graphs[len(like)] = graph, samples
        return graph, samples

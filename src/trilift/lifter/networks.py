"""Networks that lift one view's keypoints to a pose: numbers of one frame or of several in, a row of numbers out.

In training some rows may stand for nothing, so that a batch always has the same shape: `counts` says which are true.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trilift.lifter.settings import NetworkSettings


def build(inputs: int, outputs: int, settings: NetworkSettings) -> nn.Module:
    """Make a network with random weights.

    Parameters
    ----------
    inputs, outputs
        Numbers per frame and row. The published network has 32 (16 joints in 2D) and 48 (16 joints in 3D).
    settings
        Kind and size.

    Returns
    -------
    torch.nn.Module
        From (row, inputs), or (row, frame, inputs) if it is temporal, to (row, outputs). In training a second
        argument may tell which rows count: (row,), 1 or 0. Losses must leave the others out.
    """
    kinds = {"encoder_decoder": EncoderDecoder, "residual": Residual, "temporal": Temporal}
    return kinds[settings.kind](inputs, outputs, settings)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (row, channel) or (row, channel, frame) whose statistics are of the rows that count."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        if counts is None or not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            own = x.to(self.weight.dtype)
            number = counts.sum() * (own[0, 0].numel())
            y, mean, variance = _Normalise.apply(own, counts.to(own.dtype), number, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (number / (number - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        return y.to(x.dtype)


class _Normalise(torch.autograd.Function):
    """Normalise by mean and variance of the rows that count, which no gradient may reach through the others."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, counts: Tensor, number: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        def average(values: Tensor) -> Tensor:
            return counts @ (values.sum(-1) if values.dim() == 3 else values) / number

        mean = average(x)
        variance = average((x - _to_channels(mean, x)).square_())
        ctx.save_for_backward(x, counts, number, weight, mean, variance)
        ctx.eps = eps
        return nn.functional.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, counts, number, weight, mean, variance = ctx.saved_tensors
        # With the statistics given; every row that counts moves these, too.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            of_y, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        spread = (variance + ctx.eps).sqrt()
        slope = -weight * of_weight / (number * spread.square())
        offset = -weight * of_bias / (number * spread) - slope * mean
        of_x.addcmul_(x, _to_channels(slope, x)).add_(_to_channels(offset, x))  # in place: memory is what costs
        return of_x.mul_(counts.reshape(-1, *[1] * (x.dim() - 1))), None, None, of_weight, of_bias, None


def _to_channels(values: Tensor, x: Tensor) -> Tensor:
    """Let numbers of each channel stand beside (row, channel) or (row, channel, frame)."""
    return values.reshape(-1, *[1] * (x.dim() - 2))


class _Layer(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__(nn.Linear(inputs, outputs), BatchNorm(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout))

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        linear, norm, *others = self
        x = norm(linear(x), counts)
        for part in others:
            x = part(x)
        return x


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(_Layer(width, width, dropout), _Layer(width, width, dropout))

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        first, second = self.layers
        return x + second(first(x, counts), counts)


class Residual(nn.Sequential):
    """A layer, residual blocks, a linear output (Martinez et al., "A simple yet effective baseline", ICCV 2017)."""

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__(
            _Layer(inputs, settings.width, settings.dropout),
            *(_ResidualBlock(settings.width, settings.dropout) for _ in range(settings.blocks)),
            nn.Linear(settings.width, outputs),
        )

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        *layers, last = self
        for layer in layers:
            x = layer(x, counts)
        return last(x)


class EncoderDecoder(nn.Module):
    """The network of Bouazizi et al., FG 2021: two residual networks and a code between them."""

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__()
        self.encoder = Residual(inputs, settings.width, settings)
        self.decoder = Residual(settings.width, outputs, settings)

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:  # (row, inputs) -> (row, outputs)
        return self.decoder(self.encoder(x, counts), counts)


class Temporal(nn.Module):
    """Convolutions over time (Pavllo et al., "3D human pose estimation in video", CVPR 2019).

    Every block sees three times as many frames as the one before it; nothing is padded. Training needs one pose of
    a window: `forward` takes the few sums of each layer that this pose depends on, by strides. In a sequence,
    neighbouring poses share them: `slide` computes all poses, by dilation. The weights are the same.
    """

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__()
        width = settings.width
        self.frames = settings.frames
        self.first = nn.Conv1d(inputs, width, 3)
        self.first_norm = BatchNorm(width)
        depth = round(math.log(settings.frames, 3)) - 1
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(depth))
        self.wide_norm = nn.ModuleList(BatchNorm(width) for _ in range(depth))
        self.narrow = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.narrow_norm = nn.ModuleList(BatchNorm(width) for _ in range(depth))
        self.last = nn.Conv1d(width, outputs, 1)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """Give the pose in the middle of each window: (row, frame, inputs) to (row, outputs)."""
        return self._convolve(x, counts, strided=True)[..., 0]

    def slide(self, x: Tensor, every: int = 1) -> Tensor:
        """Give all poses of sequences: (row, n, inputs) to (row, n - every * (frames - 1), outputs).

        Each sees frames that lie `every` frames apart.
        """
        return self._convolve(x, None, strided=False, every=every).transpose(1, 2)

    def _convolve(self, x: Tensor, counts: Tensor | None, strided: bool, every: int = 1) -> Tensor:
        def over_time(convolution: nn.Module, x: Tensor, step: int) -> Tensor:
            weight, bias = convolution.parameters()
            stride, dilation = (3, 1) if strided else (1, step)
            return nn.functional.conv1d(x, weight, bias, stride=stride, dilation=dilation)

        def activate(norm: nn.Module, x: Tensor) -> Tensor:
            return self.dropout(norm(x, counts).relu())

        x = activate(self.first_norm, over_time(self.first, x.transpose(1, 2), every))
        step = 3 * every
        for wide, wide_norm, narrow, narrow_norm in zip(
            self.wide, self.wide_norm, self.narrow, self.narrow_norm, strict=True
        ):
            middle = x[..., 1::3] if strided else x[..., step:-step]
            x = middle + activate(narrow_norm, narrow(activate(wide_norm, over_time(wide, x, step))))
            step *= 3
        return self.last(x)

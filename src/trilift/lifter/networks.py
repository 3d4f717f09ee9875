"""Networks that lift one view's keypoints to a pose: numbers of one frame or of several in, a row of numbers out."""

import math

from torch import Tensor, nn

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
        From (row, inputs), or (row, frame, inputs) if it is temporal, to (row, outputs).
    """
    kinds = {"encoder_decoder": EncoderDecoder, "residual": Residual, "temporal": Temporal}
    return kinds[settings.kind](inputs, outputs, settings)


class _Layer(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__(
            nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)
        )


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(_Layer(width, width, dropout), _Layer(width, width, dropout))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Residual(nn.Sequential):
    """A layer, residual blocks, a linear output (Martinez et al., "A simple yet effective baseline", ICCV 2017)."""

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__(
            _Layer(inputs, settings.width, settings.dropout),
            *(_ResidualBlock(settings.width, settings.dropout) for _ in range(settings.blocks)),
            nn.Linear(settings.width, outputs),
        )


class EncoderDecoder(nn.Module):
    """The network of Bouazizi et al., FG 2021: two residual networks and a code between them."""

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__()
        self.encoder = Residual(inputs, settings.width, settings)
        self.decoder = Residual(settings.width, outputs, settings)

    def forward(self, x: Tensor) -> Tensor:  # (row, inputs) -> (row, outputs)
        return self.decoder(self.encoder(x))


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
        self.first_norm = nn.BatchNorm1d(width)
        depth = round(math.log(settings.frames, 3)) - 1
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(depth))
        self.wide_norm = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth))
        self.narrow = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.narrow_norm = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth))
        self.last = nn.Conv1d(width, outputs, 1)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Give the pose in the middle of each window: (row, frame, inputs) to (row, outputs)."""
        return self._convolve(x, strided=True)[..., 0]

    def slide(self, x: Tensor) -> Tensor:
        """Give all poses of sequences: (row, n, inputs) to (row, n - frames + 1, outputs)."""
        return self._convolve(x, strided=False).transpose(1, 2)

    def _convolve(self, x: Tensor, strided: bool) -> Tensor:
        def over_time(convolution: nn.Module, x: Tensor, step: int) -> Tensor:
            weight, bias = convolution.parameters()
            stride, dilation = (3, 1) if strided else (1, step)
            return nn.functional.conv1d(x, weight, bias, stride=stride, dilation=dilation)

        def activate(norm: nn.Module, x: Tensor) -> Tensor:
            return self.dropout(norm(x).relu())

        x = activate(self.first_norm, over_time(self.first, x.transpose(1, 2), 1))
        step = 3
        for wide, wide_norm, narrow, narrow_norm in zip(
            self.wide, self.wide_norm, self.narrow, self.narrow_norm, strict=True
        ):
            middle = x[..., 1::3] if strided else x[..., step:-step]
            x = middle + activate(narrow_norm, narrow(activate(wide_norm, over_time(wide, x, step))))
            step *= 3
        return self.last(x)

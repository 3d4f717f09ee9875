"""Networks that lift one view's keypoints to a pose: a row of numbers in, a row of numbers out."""

from pydantic import Field
from torch import Tensor, nn

from trilift.params import StrictModel


class NetworkSettings(StrictModel):
    """Size of `EncoderDecoder`. The published one has width and latent 1024, 2 blocks, dropout 0.5."""

    width: int = Field(1024, gt=0)
    latent: int = Field(1024, gt=0)
    blocks: int = Field(2, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1)


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


class EncoderDecoder(nn.Module):
    """The network of Bouazizi et al., FG 2021: an encoder and a decoder of residual blocks.

    Parameters
    ----------
    inputs, outputs
        Numbers per row. The published network has 32 (16 joints in 2D) and 48 (16 joints in 3D).
    settings
        Its size.
    """

    def __init__(self, inputs: int, outputs: int, settings: NetworkSettings):
        super().__init__()

        def half(into: int, out: int) -> nn.Sequential:
            return nn.Sequential(
                _Layer(into, settings.width, settings.dropout),
                *(_ResidualBlock(settings.width, settings.dropout) for _ in range(settings.blocks)),
                nn.Linear(settings.width, out),
            )

        self.encoder = half(inputs, settings.latent)
        self.decoder = half(settings.latent, outputs)

    def forward(self, x: Tensor) -> Tensor:  # (row, inputs) -> (row, outputs)
        return self.decoder(self.encoder(x))

"""The part ``network`` of the section ``train`` of ``params.yaml``."""

import math
from typing import Literal

from pydantic import Field, model_validator

from trilift.project.params import StrictModel, refuse


class NetworkSettings(StrictModel):
    """Kind and size of a network.

    Attributes
    ----------
    kind
        ``encoder_decoder`` (`EncoderDecoder`), ``residual`` (`Residual`) or ``temporal`` (`Temporal`); the section
        ``train`` has a temporal one if nothing is said of the network. The published
        one is an encoder_decoder of width 1024, 2 blocks and dropout 0.5.
    width
        Of all hidden layers.
    blocks
        Residual blocks, of an encoder_decoder in each half. Not for temporal, where it follows from `frames`.
    dropout
        Share of the hidden numbers that training leaves out at random.
    frames
        How many frames around the one to be lifted a temporal network sees: 9, 27, 81 (any power of 3 from 9 on).
    interval_s
        Seconds from each of these frames to the next, whatever the frame rate of a recording: `every` tells how many
        of its frames that is.
    """

    kind: Literal["encoder_decoder", "residual", "temporal"] = "residual"
    width: int = Field(256, gt=0)
    blocks: int = Field(2, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    frames: int = Field(1, ge=1)
    interval_s: float = Field(0.05, ge=0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "NetworkSettings":
        problems = []
        if self.kind == "temporal":
            if self.frames not in [3**power for power in range(2, 7)]:
                problems.append("a temporal network sees 9, 27, 81, 243 or 729 frames: set frames to one of these")
            if "blocks" in self.model_fields_set:
                problems.append("the blocks of a temporal network follow from frames: remove blocks")
        elif given := {"frames", "interval_s"} & self.model_fields_set - ({"frames"} if self.frames == 1 else set()):
            names = " and ".join(sorted(given))
            problems.append(f"{self.kind} networks see one frame; {names} is for temporal ones: remove {names}")
        refuse(problems)
        return self

    def every(self, fps: float) -> int:
        """Tell how many frames of a recording lie between two that the network sees; at least 1.

        Examples
        --------
        >>> [NetworkSettings(kind="temporal", frames=9).every(fps) for fps in (25, 30, 50, 60, 120)]
        [1, 2, 3, 3, 6]
        """
        return max(1, math.floor(self.interval_s * fps + 0.5))

    def reach(self, fps: float) -> int:
        """Tell how many frames of a recording before and after the one to be lifted matter."""
        return self.frames // 2 * self.every(fps)

"""The part ``network`` of the section ``train`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field, model_validator

from trilift.project.params import StrictModel, refuse


class NetworkSettings(StrictModel):
    """Kind and size of a network.

    Attributes
    ----------
    kind
        ``encoder_decoder`` (`EncoderDecoder`), ``residual`` (`Residual`) or ``temporal`` (`Temporal`). The published
        one is an encoder_decoder of width 1024, 2 blocks and dropout 0.5.
    width
        Of all hidden layers.
    blocks
        Residual blocks, of an encoder_decoder in each half. Not for temporal, where it follows from `frames`.
    dropout
        Share of the hidden numbers that training leaves out at random.
    frames
        How many frames around the one to be lifted a temporal network sees: 27, 81, 243 (any power of 3 from 9 on).
    """

    kind: Literal["encoder_decoder", "residual", "temporal"] = "residual"
    width: int = Field(256, gt=0)
    blocks: int = Field(2, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    frames: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "NetworkSettings":
        problems = []
        if self.kind == "temporal":
            if self.frames not in [3**power for power in range(2, 7)]:
                problems.append("a temporal network sees 9, 27, 81, 243 or 729 frames: set frames to one of these")
            if "blocks" in self.model_fields_set:
                problems.append("the blocks of a temporal network follow from frames: remove blocks")
        elif self.frames != 1:
            problems.append(f"{self.kind} networks see one frame; frames is for temporal ones: remove frames")
        refuse(problems)
        return self

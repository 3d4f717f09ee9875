"""The section ``simulate`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from trilift.project.params import StrictModel


class Settings(StrictModel):
    """The section ``simulate`` of ``params.yaml``.

    Attributes
    ----------
    seconds
        Length of each recording. There are seven people, each with one recording of every kind of motion.
    detector
        How good the simulated detector is: ``off-the-shelf`` or ``fine-tuned``.
    """

    seconds: float = Field(8.0, gt=0)
    detector: Literal["off-the-shelf", "fine-tuned"] = "off-the-shelf"

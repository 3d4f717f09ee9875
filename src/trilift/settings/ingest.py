"""The section ``ingest`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from trilift.params import StrictModel


class Settings(StrictModel):
    """The section ``ingest`` of ``params.yaml``.

    Attributes
    ----------
    max_length_difference
        By how many frames the views of a recording (and its reference) may differ in length. They are cut to the
        shortest; a larger difference means that they are not the same clip.
    check
        What to do where views contradict each other and a usual mistake explains it: ``stop`` (only where that leaves
        less than half of the error, else warn), ``warn``, or ``skip``: do not look.
    """

    max_length_difference: int = Field(10, ge=0)
    check: Literal["stop", "warn", "skip"] = "stop"

"""The section ``ingest`` of ``params.yaml``."""

from typing import Literal

from trilift.project.params import StrictModel


class Settings(StrictModel):
    """The section ``ingest`` of ``params.yaml``.

    Attributes
    ----------
    check
        What to do where views contradict each other and a usual mistake explains it: ``stop`` (only where that leaves
        less than half of the error, else warn), ``warn``, or ``skip``: do not look.
    """

    check: Literal["stop", "warn", "skip"] = "stop"

"""The section ``evaluate`` of ``params.yaml``."""

from typing import Literal

from trilift.project.params import StrictModel


class Settings(StrictModel):
    """The section ``evaluate`` of ``params.yaml``.

    Attributes
    ----------
    protocol
        Which joints count: a key of `trilift.evaluate.protocols.PROTOCOLS`.
    flip
        Predict the mirrored detections too, and take the mean of both poses. Its default is that of
        ``trilift predict`` and `trilift.load` too, so that what is measured is what is used.
    """

    protocol: Literal["human36m", "human36m_17", "mpi_inf_3dhp", "humaneva"] = "human36m"
    flip: bool = True

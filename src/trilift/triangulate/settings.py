"""The section ``triangulate`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field, model_validator

from trilift.project.params import StrictModel


class Smoothing(StrictModel):
    """Poses solved over time and with constant bone lengths.

    Attributes
    ----------
    acceleration
        Typical acceleration of a keypoint (m/s^2): the larger, the less smoothing.
    bone_spread_mm
        How much the length of a bone varies from frame to frame.
    max_gap_s
        Gaps up to so many seconds (and `trilift.triangulate.smoothing.MARGIN` frames) are filled, and marked
        ``filled``.
    """

    acceleration: float = Field(10.0, gt=0)
    bone_spread_mm: float = Field(10.0, gt=0)
    max_gap_s: float = Field(0.0, ge=0)


class Limits(StrictModel):
    """What makes a capture unusable: the stage stops and says why.

    Attributes
    ----------
    median_mm
        Largest median reprojection error, at the depth of the points.
    missing
        Largest share of missing detections, over the frames in which a view sees somebody.
    rejected
        Largest share of detections that contradict the other views, of those that could.
    """

    median_mm: float = Field(150.0, gt=0)
    missing: float = Field(0.8, gt=0, le=1)
    rejected: float = Field(0.5, gt=0, le=1)


class Settings(StrictModel):
    """The section ``triangulate`` of ``params.yaml``.

    Attributes
    ----------
    method
        ``robust``: weighted by the detector's error, which is learnt from the recordings, outliers rejected;
        ``dlt``: the plain direct linear transform, in which all detections count the same.
    min_confidence
        Detections with a lower confidence do not count.
    repair_swaps
        Exchange left and right in a view where the other views say so.
    smoothing
        Poses solved over time and with constant bone lengths, or ``null``: every frame on its own.
    diagnose
        Look for cameras that are out of time, moved or of another focal length. Changes no label, but says so.
    limits
        What makes a capture unusable.
    """

    method: Literal["robust", "dlt"] = "robust"
    min_confidence: float = Field(0.0, ge=0, le=1)
    repair_swaps: bool = True
    smoothing: Smoothing | None = Smoothing()
    diagnose: bool = True
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _plain_is_plain(self) -> "Settings":
        if self.method == "dlt" and (self.smoothing or self.repair_swaps):
            raise ValueError(
                "method dlt knows no errors to weigh by: set smoothing: null and repair_swaps: false "
                "(null stands in place of the settings below smoothing)"
            )
        return self

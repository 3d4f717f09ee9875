"""The frames of a recording that a rig is calibrated by, each view at its own clock."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trilift.geometry.calibration.equations import Observations

_STEP_S = 0.18
"""To either side, over which speeds are measured: over less, the errors of the detector pass for motion."""

_HARDLY = 1e-6  # of a frame


@dataclass(frozen=True)
class Recorded:
    """Detections of a whole recording.

    Attributes
    ----------
    pixels, confidence
        (frame, view, keypoint, 2) and (frame, view, keypoint); a detection that is none has the confidence 0.
    segments
        (frame,): frames of equal number are consecutive.
    fps
        Frames per second.
    """

    pixels: Tensor
    confidence: Tensor
    segments: Tensor
    fps: float

    def choose(self, late: Tensor, most: int, views: Sequence[int]) -> Tensor:
        """Choose frames (number,) from all over the recording: of those in which two of the views see somebody."""
        frames = torch.arange(len(self.pixels))
        seen = [(self._sure(view, frames + round(float(late[view])), frames) > 0).any(1) for view in views]
        useful = frames[torch.stack(seen).sum(0) >= 2]
        if len(useful) <= most:
            return useful
        return useful[torch.linspace(0, len(useful) - 1, most).round().long()]

    def take(self, frames: Tensor, late: Tensor) -> tuple[Tensor, Tensor]:
        """Take frames, of each view those `late` (view,) frames later, between two frames by linear interpolation.

        Returns
        -------
        tuple of Tensor
            Pixels (frame, view, keypoint, 2), NaN where missing; confidences (frame, view, keypoint).
        """
        pixels, confidence = [], []
        for view, of_view in enumerate(late.tolist()):
            below = int(of_view // 1)
            share = of_view - below
            at, sure = self._at(view, frames + below, frames)
            if share > _HARDLY:
                then, surely = self._at(view, frames + below + 1, frames)
                at, sure = (1 - share) * at + share * then, torch.minimum(sure, surely)
            pixels.append(torch.where((sure > 0)[..., None], at, torch.nan))
            confidence.append(sure)
        return torch.stack(pixels, 1), torch.stack(confidence, 1)

    def neighbours(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Give the frames a moment before and after, or the frame itself where there are none."""
        step = max(1, round(_STEP_S * self.fps))
        found = []
        for shifted in (frames - step, frames + step):
            inside = shifted.clamp(0, len(self.pixels) - 1)
            found.append(torch.where(self.segments[inside] == self.segments[frames], inside, frames))
        return found[0], found[1]

    def _sure(self, view: int, frames: Tensor, of: Tensor) -> Tensor:
        """Give confidences of a view: 0 where the frame does not belong to the segment of another."""
        inside = frames.clamp(0, len(self.pixels) - 1)
        belongs = (inside == frames) & (self.segments[inside] == self.segments[of])
        return torch.where(belongs[:, None], self.confidence[inside, view], 0.0)

    def _at(self, view: int, frames: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
        """Give pixels and confidences of a view, as `_sure`."""
        sure = self._sure(view, frames, of)
        pixels = self.pixels[frames.clamp(0, len(self.pixels) - 1), view].double()
        return torch.where((sure > 0)[..., None], pixels, 0.0), sure


def observations(pixels: Tensor, velocity: Tensor, scale: Tensor) -> Observations:
    """Put 0 where nothing was detected."""
    known = pixels.isfinite().all(-1) & scale.isfinite()
    return Observations(
        torch.where(known[..., None], pixels, 0.0), velocity, torch.where(known, scale.double(), torch.inf)
    )

"""Images that were turned, scaled or mirrored between calibration and detection.

A camera whose images are turned or scaled is another camera: its axes are turned, or its focal length is another. No
camera has mirrored images, so detections are mirrored back. (Settings are made of this: no torch here.)
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from trilift.formats import Camera
from trilift.project.params import StrictModel

_TURNS = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]])  # x right, y down


Size = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)]
"""Width and height in pixels."""


class ImageChange(StrictModel):
    """What was done to the images of a camera after it was calibrated: turned, then scaled, then mirrored.

    Attributes
    ----------
    turned
        Degrees clockwise.
    size
        Width and height in pixels to which the turned images were scaled.
    mirrored
        Whether left and right of the images were exchanged, so that the detector took left limbs for right ones.
    """

    turned: Literal[0, 90, 180, 270] = 0
    size: Size | None = None
    mirrored: bool = False

    def then(self, other: "ImageChange") -> "ImageChange":
        """Give both changes as one, the other being done to the images that this one leaves."""
        turned = (self.turned + (-other.turned if self.mirrored else other.turned)) % 360
        size = self.size[::-1] if self.size and other.turned in (90, 270) else self.size
        return ImageChange.model_validate(
            {"turned": turned, "size": other.size or size, "mirrored": self.mirrored != other.mirrored}
        )

    def camera(self, calibrated: Camera) -> Camera:
        """Give the camera whose images, before any mirroring, are the changed ones.

        Notes
        -----
        The tangential part of the lens distortion, ``r^2 v + 2 (v x) x`` with ``v = (p2, p1)``, turns as a vector.
        """
        size, turn = calibrated.image_size, _TURNS[self.turned // 90]
        turned = np.abs(turn) @ size
        final = turned if self.size is None else np.array(self.size)
        factor = final / turned
        K, distortion, about_axis = calibrated.K.copy(), calibrated.distortion.copy(), np.eye(3)
        K[:2, 2] = (turn @ (K[:2, 2] - size / 2) + turned / 2) * factor
        K[[0, 1], [0, 1]] = np.abs(turn) @ K[[0, 1], [0, 1]] * factor
        distortion[[3, 2]] = turn @ distortion[[3, 2]]
        about_axis[:2, :2] = turn
        R, t = about_axis @ calibrated.R, about_axis @ calibrated.t
        return Camera(calibrated.name, K, distortion, R, t, final)


def mirror(pixels: np.ndarray, width: float, other_side: Sequence[int]) -> np.ndarray:
    """Mirror keypoints (..., keypoint, 2) in images of that width; `other_side` exchanges left and right."""
    mirrored = pixels[..., list(other_side), :]
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored

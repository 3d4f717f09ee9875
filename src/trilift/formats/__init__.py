"""Outside file formats: one module each, which turns files into the classes below and knows nothing else.

To add one, write a module with a reader and enter it in `trilift.formats.registry`.
"""

from dataclasses import dataclass

import numpy as np

from trilift.skeletons import Skeleton


@dataclass(frozen=True)
class Camera:
    """One calibrated camera: OpenCV axes, ``x_camera = R x_world + t``, metres, distortion k1 k2 p1 p2 k3."""

    name: str
    K: np.ndarray  # (3, 3), px
    distortion: np.ndarray  # (5,)
    R: np.ndarray  # (3, 3)
    t: np.ndarray  # (3,), m
    image_size: np.ndarray  # (2,), width and height in px


@dataclass(frozen=True)
class DetectedView:
    """What a detector found in one view of a recording.

    Attributes
    ----------
    name
        The format's name of the view, or None where it only has an order, which is then that of the cameras.
    keypoints
        (frame, keypoint, 2) pixels; NaN where missing.
    confidence
        (frame, keypoint) or None where the format has none.
    """

    name: str | None
    keypoints: np.ndarray
    confidence: np.ndarray | None


@dataclass(frozen=True)
class DetectedRecording:
    """The detections of one recording, views not yet cut to one length."""

    capture: str
    name: str
    subject: str
    action: str
    skeleton: Skeleton
    views: list[DetectedView]


@dataclass(frozen=True)
class ReferenceRecording:
    """The reference poses of one recording: (frame, keypoint, 3), metres, world frame."""

    capture: str
    name: str
    skeleton: Skeleton
    keypoints: np.ndarray

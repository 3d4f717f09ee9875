"""Recordings and captures as they are put together from what the formats read."""

from dataclasses import dataclass, field

import numpy as np

from trilift.captures.schema import clip_of
from trilift.formats import Camera, ReferenceRecording
from trilift.formats.source import Source
from trilift.geometry.cameras import Cameras
from trilift.skeletons import Skeleton


@dataclass(frozen=True)
class Crowd:
    """Everybody who is seen in some consecutive frames of a recording.

    Attributes
    ----------
    pixels
        (frame, view, person, keypoint, 2), pixels; NaN is missing.
    score
        (frame, view, person): how much speaks for a detection to be the subject's.
    """

    pixels: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class AssembledRecording:
    """One recording, its views of one length and with one person.

    Attributes
    ----------
    pixels
        (frame, view, keypoint, 2), pixels; NaN is missing.
    confidence
        (frame, view, keypoint), 0 to 1; 0 where missing.
    detection
        (frame, view): which of the view's detections in the frame is the person, as the raw files count from 1; 0 for
        none.
    first_frame
        Number of the first frame, as the cameras count that have no offset.
    reference
        (frame, joint, 3), or None.
    cut
        By how many frames the longest view was longer than the shortest.
    crowded
        (view,): share of frames in which several people are seen.
    crowd
        Of whom the person was chosen; None where nobody else is seen.
    person
        Which of several people in the clip; empty where there is one.
    """

    name: str
    subject: str
    action: str
    first_frame: int
    pixels: np.ndarray
    confidence: np.ndarray
    detection: np.ndarray
    reference: ReferenceRecording | None
    cut: int
    crowded: np.ndarray
    crowd: Crowd | None = None
    person: str = ""

    @property
    def clip(self) -> str:
        """What the recordings of several people share."""
        return clip_of(self.name, self.person)

    @property
    def last_frame(self) -> int:
        """Number of the last frame."""
        return self.first_frame + len(self.pixels) - 1


@dataclass(frozen=True)
class AssembledCapture:
    """All recordings made with one rig.

    Attributes
    ----------
    lenses
        The cameras' distortion by the calibration; that of `cameras` is 0 where detections are undistorted.
    source
        What the data set's file says. Cameras and keypoints are of the images as it says that they were changed,
        mirrored back.
    has_confidence
        Whether the detector gave a confidence in all views.
    views
        The name of every view, if it has one, and of its camera, in the order of the views, also of those left out.
    """

    name: str
    cameras: list[Camera]
    lenses: list[np.ndarray]
    source: Source
    skeleton: Skeleton
    recordings: list[AssembledRecording]
    has_confidence: bool
    views: list[tuple[str | None, str]] = field(default_factory=list)

    @property
    def names_of_views(self) -> list[str]:
        return [camera.name for camera in self.cameras]

    def to_tensors(self) -> Cameras:
        return Cameras.stack(self.cameras)

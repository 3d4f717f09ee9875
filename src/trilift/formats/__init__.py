"""Outside file formats: one module each, which turns files into the classes below and knows nothing else.

To add one, write a module with a reader and enter it in `trilift.formats.registry`. Imports `captures`, `project` and
skeletons.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trilift.formats.checks import check_frames
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
class Stated:
    """What a data set's file says of its cameras that their reader must know.

    Attributes
    ----------
    undistorted
        Whether the detections are of undistorted images: a lens that our model does not fit is then no matter.
    image_size
        Width and height in px, in place of the calibration's own.
    lens_only
        Whether only matrix, lens and image size are wanted, so that a camera needs no pose.
    """

    undistorted: bool = False
    image_size: tuple[int, int] | None = None
    lens_only: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A camera that a calibration names but that is not used.

    Attributes
    ----------
    name
        Of the camera.
    reason
        Why, to follow the name: ``has no pose``.
    intended
        Whether somebody asked for it.
    """

    name: str
    reason: str
    intended: bool = False


@dataclass(frozen=True)
class CameraEntry:
    """A camera in a calibration, read only where it is needed: what nobody uses may be damaged.

    Attributes
    ----------
    name
        Of the camera.
    where
        File and place in it, for messages.
    read
        Gives the camera, or says why it is left out; raises `InputError` where it is damaged.
    """

    name: str
    where: str
    read: Callable[[Stated], Camera | LeftOut]


@dataclass(frozen=True)
class DetectedView:
    """What a detector found in one view of a recording.

    Attributes
    ----------
    name
        The format's name of the view, or None where it only has an order, which is then that of the cameras.
    pixels
        (frame, person, keypoint, 2); NaN where missing. The order of people means nothing: it may change from
        frame to frame. Where a frame has fewer people than others, the rest is missing.
    confidence
        (frame, person, keypoint), 0 where missing, or None where the format has none.
    first_frame
        Number of the first of these frames, as the video counts.
    lists_empty_frames
        Whether the file also lists frames in which nobody is seen. Where it does not, the video may have begun before
        the first frame and ended after the last.
    image_size
        Width and height of the images, where the file tells.
    """

    name: str | None
    pixels: np.ndarray
    confidence: np.ndarray | None
    first_frame: int = 0
    lists_empty_frames: bool = True
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class DetectedRecording:
    """The detections of one recording, views not yet cut to one length."""

    capture: str
    name: str
    subject: str
    action: str
    skeleton: Skeleton
    views: list[DetectedView]

    @classmethod
    def of_its_own(cls, name: str, skeleton: Skeleton, views: list[DetectedView]) -> "DetectedRecording":
        """Give a recording of which nothing but a name is known: its own capture, of some person."""
        return cls(name, name, "1", name, skeleton, views)


MOST_PEOPLE = 8
"""Of more people in one view and frame, those with the highest sum of confidences are kept."""


def view_of_people(
    name: str,
    frames: Mapping[int, np.ndarray],
    skeleton: Skeleton,
    where: str,
    *,
    lists_empty_frames: bool = True,
) -> DetectedView:
    """Make a view of what was found frame by frame.

    Parameters
    ----------
    name
        Of the view.
    frames
        For every frame, by its number in the video, (person, keypoint, 3: x, y, confidence); keypoints whose
        confidence is not above 0 are missing. Frames between these that are not given are missing.
    skeleton
        The layout of the keypoints.
    where
        The file, for messages.
    lists_empty_frames
        Whether the format also lists frames in which nobody is seen; a file whose numbers have gaps does not.

    Raises
    ------
    InputError
        If the numbers count far more frames than there are.
    """
    first, length = min(frames), max(frames) - min(frames) + 1
    check_frames(first, length, len(frames), where)
    most = max(map(len, frames.values()))
    found = np.full((length, min(max(most, 1), MOST_PEOPLE), len(skeleton), 3), np.nan, np.float32)
    for number, people in frames.items():
        if len(people) > MOST_PEOPLE:
            people = people[np.argsort(-np.nansum(people[..., 2], -1), kind="stable")[:MOST_PEOPLE]]
        found[number - first, : len(people)] = people
    found[~(found[..., 2] > 0)] = np.nan
    return DetectedView(
        name,
        found[..., :2],
        np.nan_to_num(found[..., 2]),
        first,
        lists_empty_frames and len(frames) == length,
    )


@dataclass(frozen=True)
class ReferenceRecording:
    """The reference poses of one recording: (frame, keypoint, 3), metres, world frame."""

    capture: str
    name: str
    skeleton: Skeleton
    poses: np.ndarray

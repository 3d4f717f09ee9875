"""The data that flows between stages: names, axes and units.

A file holds one data set with one netCDF group per capture. Axes are named and in the order frame, view,
keypoint, space. NaN means missing; zero never does. `SCHEMAS` states what each kind of file holds. Writers fill
a temporary file block by block and rename it when it is complete; readers load blocks of frames on demand, so
that memory does not grow with the length of a recording. A file is bit-identical when its content is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trilift.skeletons import TRAINING_SKELETON


class Variable(NamedTuple):
    dims: tuple[str, ...]
    dtype: str
    units: str
    meaning: str


_CAMERAS = {
    "K": Variable(("view", "row", "column"), "f8", "px", "intrinsic matrix"),
    "distortion": Variable(("view", "coefficient"), "f8", "1", "k1 k2 p1 p2 k3 (OpenCV)"),
    "R": Variable(("view", "row", "column"), "f8", "1", "rotation, x_camera = R x_world + t"),
    "t": Variable(("view", "row"), "f8", "m", "translation, x_camera = R x_world + t"),
    "image_size": Variable(("view", "side"), "i4", "px", "width and height"),
}

SCHEMAS: dict[str, dict[str, Variable]] = {
    "captures": {
        "pixels": Variable(
            ("frame", "view", "keypoint", "space"), "f4", "px", "detections, in the detector's own skeleton"
        ),
        "confidence": Variable(("frame", "view", "keypoint"), "f4", "1", "0 to 1; 0 where the keypoint is missing"),
        "detection": Variable(
            ("frame", "view"), "i2", "1", "which detection of the view's frame it is, from 1 as the raw files count"
        ),
        **_CAMERAS,
    },
    "references": {
        "poses": Variable(("frame", "keypoint", "space"), "f4", "m", "reference, world frame"),
    },
    "pseudo_labels": {
        "poses": Variable(
            ("frame", "keypoint", "space"), "f4", "m", "triangulated, world frame, the detector's skeleton"
        ),
        "training_poses": Variable(
            ("frame", "joint", "space"), "f4", "m", "the same in the training skeleton, derived in 3D"
        ),
        "covariance": Variable(
            ("frame", "keypoint", "entry"), "f4", "m2", "of poses, as far as their own frame tells"
        ),
        "reprojection_error": Variable(
            ("frame", "view", "keypoint"), "f4", "px", "distance of the reprojection from the detection"
        ),
        "inlier": Variable(("frame", "view", "keypoint"), "i1", "1", "1 where the detection was used"),
        "views_used": Variable(("frame", "keypoint"), "i1", "1", "number of detections used"),
        "swapped": Variable(("frame", "view"), "i1", "1", "1 where left and right were exchanged before use"),
        "filled": Variable(("frame", "keypoint"), "i1", "1", "1 where the keypoint follows from others, not views"),
    },
    "predictions": {
        "poses": Variable(
            ("frame", "view", "joint", "space"),
            "f4",
            "m",
            "predicted from this view alone, camera frame, root at 0",
        ),
        "root": Variable(
            ("frame", "view", "space"), "f4", "m", "where the root is, from this view alone, camera frame"
        ),
        "pose_error": Variable(
            ("frame", "view"), "f4", "mm or px", "mean error of the joints: from the reference, or in the other views"
        ),
        "frame_of_capture": Variable(("frame",), "i4", "1", "index of the frame in the capture"),
    },
    "poses": {
        "poses": Variable(("frame", "keypoint", "space"), "f4", "m", "in the frame that frame_of_reference names"),
        "filled": Variable(
            ("frame",), "i1", "1", "1 where the frame follows from others: nothing of its own is in it"
        ),
    },
}

LABELS = {
    "space": {2: ["x", "y"], 3: ["x", "y", "z"]},
    "side": {2: ["width", "height"]},
    "coefficient": {5: ["k1", "k2", "p1", "p2", "k3"]},
    "entry": {6: ["xx", "xy", "xz", "yy", "yz", "zz"]},
    "joint": {len(TRAINING_SKELETON): list(TRAINING_SKELETON.keypoints)},
}


@dataclass(frozen=True)
class Recording:
    """One synchronised clip of one person; of several people in it, each has a recording.

    Attributes
    ----------
    name, subject, action
        What it is called, and who does what.
    fps
        Frames per second.
    start
        Index of its first frame in the capture.
    length
        Number of frames.
    first_frame
        Number of its first frame, as the video counts.
    person
        Who of several people in the clip, which is the last part of the name; empty where one person is there.
    """

    name: str
    subject: str
    action: str
    fps: float
    start: int
    length: int
    first_frame: int = 0
    person: str = ""

    @property
    def clip(self) -> str:
        """Name the clip, which recordings of several people share.

        Examples
        --------
        >>> Recording("walk/person_2", "person_2", "walk", 50.0, 0, 100, person="person_2").clip
        'walk'
        """
        return clip_of(self.name, self.person)

    @property
    def frames(self) -> slice:
        return self.part(0, self.length)

    def number_of(self, in_capture: int) -> int:
        """Give the number of a frame, as the video counts, by its index in the capture."""
        return self.first_frame + in_capture - self.start

    def part(self, first: int, last: int) -> slice:
        """Give the frames of the capture that are frames `first` to `last` (exclusive) of the recording."""
        return slice(self.start + first, self.start + last)


def clip_of(name: str, person: str) -> str:
    """Name the clip of a recording, whose name ends in the person's where there are several."""
    return name.removesuffix(f"/{person}") if person else name


def spread_runs(lengths: Sequence[int], most: int, frames: int) -> Iterator[tuple[int, int, int]]:
    """Pick runs of consecutive frames from all over recordings, no frame twice.

    Parameters
    ----------
    lengths
        Frames of each recording.
    most
        How many runs, if none reaches into a further recording: there it goes on as another.
    frames
        How long a run is, at most.

    Yields
    ------
    recording, first, last
        Number of the recording, and which of its frames (`last` exclusive).
    """
    total = sum(lengths)
    number = min(most, -(-total // frames))
    for run in range(number):
        begin, end = run * total // number, (run + 1) * total // number
        begin += max(0, end - begin - frames) // 2
        end = min(end, begin + frames)
        start = 0
        for recording, length in enumerate(lengths):
            first, last = max(begin - start, 0), min(end - start, length)
            if first < last:
                yield recording, first, last
            start += length

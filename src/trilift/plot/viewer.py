"""A page to look at predicted poses from all sides: one HTML file that needs nothing else, not even a network."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from trilift.plot.pages import render
from trilift.skeletons import Skeleton
from trilift.style import LEFT, MIDDLE, PEOPLE, REFERENCE, RIGHT, side_colour

# Numbers travel as 16-bit integers of these units. Images too large for quarter pixels get a coarser unit.
MISSING = -(2**15)
LARGEST = 2**15 - 1
METRES = 0.001
MILLIMETRES = 0.1
PIXELS = 0.25


@dataclass(frozen=True)
class Clip:
    """Frames of one recording to show.

    Attributes
    ----------
    title
        Name of the recording.
    begin
        Time of the first frame, in seconds of the video.
    image_sizes
        (view, 2), width and height in pixels.
    pixels
        (frame, view, keypoint, 2), pixels, in `skeleton_2d`; NaN is missing.
    predicted
        (frame, view, joint, 3), metres, the world's axes turned so that z is up, in `skeleton_3d`; NaN is missing.
        The root is at 0, or, of several people in a room, where that of the target is, if it is known.
    target
        (frame, joint, 3), the reference or the pseudo-label, as `predicted`.
    images
        For every view JPEG files of the video's frames, of the first and of every `image_every`-th after it; None
        where the video lacks it. Empty, for a view or altogether, where there are no videos.
    image_every
        See `images`.
    person
        Who of several people; empty where one is there.
    room
        Clips of the same number show people who are in one room, with the same views, each at their own time.
    """

    title: str
    subject: str
    action: str
    fps: float
    begin: float
    views: list[str]
    image_sizes: np.ndarray
    pixels: np.ndarray
    predicted: np.ndarray
    target: np.ndarray
    skeleton_2d: Skeleton
    skeleton_3d: Skeleton
    images: list[list[bytes | None]] = field(default_factory=list)
    image_every: int = 1
    person: str = ""
    room: int | None = None

    def __post_init__(self) -> None:
        frames, views = len(self.target), len(self.views)
        shapes = {
            "image_sizes": (views, 2),
            "pixels": (frames, views, len(self.skeleton_2d), 2),
            "predicted": (frames, views, len(self.skeleton_3d), 3),
            "target": (frames, len(self.skeleton_3d), 3),
        }
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape or 0 in shape:
                raise ValueError(f"{self.title}: {name} has shape {np.shape(getattr(self, name))}, expected {shape}")

    def errors(self) -> np.ndarray:
        """Mean distance (frame, view) in mm of the predicted from the compared joints, the root left out.

        NaN where no joint can be compared.
        """
        distances = 1000 * np.linalg.norm(self.predicted - self.target[:, None], axis=-1)
        distances = np.delete(distances, self.skeleton_3d.root_index, axis=-1)
        known = np.isfinite(distances)
        number = known.sum(-1)
        total = np.where(known, distances, 0).sum(-1)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def viewer_page(clips: list[Clip], compared_with: str, note: str, simulated: bool) -> str:
    """Make the page.

    Parameters
    ----------
    clips
        The recordings to choose from, at least one. 400 frames of 4 views take about 0.5 MB.
    compared_with
        What the grey skeleton is: ``reference`` or ``pseudo-label``.
    note
        Where the data come from; the footer.
    simulated
        Whether to say on top that the data are simulated.
    """
    if not clips:
        raise ValueError("no clips to show")
    content = {
        "missing": MISSING,
        "comparedWith": compared_with,
        "colours": {"left": LEFT, "right": RIGHT, "middle": MIDDLE, "target": REFERENCE},
        "clips": [_packed(clip) | {"colour": PEOPLE[number % len(PEOPLE)]} for clip, number in _numbered(clips)],
    }
    return render(
        "viewer.html",
        simulated=simulated,
        note=note,
        compared_with=compared_with,
        left=LEFT,
        right=RIGHT,
        middle=MIDDLE,
        reference=REFERENCE,
        data=Markup(_script_safe_json(content)),
    )


def _numbered(clips: list[Clip]) -> Iterator[tuple[Clip, int]]:
    """Give clips and the number of each in its room."""
    before = Counter[int | None]()
    for clip in clips:
        yield clip, before[clip.room]
        before[clip.room] += 1


def _packed(clip: Clip) -> dict[str, Any]:
    # Detections may lie outside of the image.
    unit = max(PIXELS, 2 * float(np.max(clip.image_sizes)) / LARGEST)
    return {
        "title": clip.title,
        "subject": clip.subject,
        "action": clip.action,
        "fps": float(clip.fps),
        "begin": float(clip.begin),
        "frames": len(clip.target),
        "views": list(clip.views),
        "imageSizes": np.asarray(clip.image_sizes, float).tolist(),
        "skeleton2d": _packed_skeleton(clip.skeleton_2d),
        "skeleton3d": _packed_skeleton(clip.skeleton_3d),
        "pixels": _packed_numbers(clip.pixels, unit),
        "predicted": _packed_numbers(clip.predicted, METRES),
        "target": _packed_numbers(clip.target, METRES),
        "errors": _packed_numbers(clip.errors(), MILLIMETRES),
        "images": [[image and base64.b64encode(image).decode("ascii") for image in view] for view in clip.images],
        "imageEvery": clip.image_every,
        "person": clip.person,
        "room": clip.room,
    }


def _packed_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "keypoints": skeleton.keypoints,
        "colours": [side_colour(name) for name in skeleton.keypoints],
        "bones": [
            (one, other, side_colour(skeleton.keypoints[one], skeleton.keypoints[other]))
            for one, other in skeleton.drawn_indices
        ],
    }


def _packed_numbers(values: np.ndarray, unit: float) -> dict[str, Any]:
    """Give the numbers as base64 of little-endian integers; what is too large gets the largest value."""
    known = np.isfinite(values)
    integers = np.clip(np.rint(np.where(known, values, 0) / unit), -LARGEST, LARGEST)
    packed = np.where(known, integers, MISSING).astype("<i2")
    return {"unit": unit, "base64": base64.b64encode(packed.tobytes()).decode("ascii")}


def _script_safe_json(content: Any) -> str:
    """Write JSON that cannot end the script element that holds it."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

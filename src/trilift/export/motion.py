"""A motion on its way out: what its points are, and points as all formats take them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from trilift.errors import InputError

_ROTATIONS = {  # each row says which axis, with which sign, becomes x, y and z
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}

UP_AXES = tuple(_ROTATIONS)


class NoPoints(InputError):
    """A motion of which no frame has a point."""


@dataclass(frozen=True)
class Motion:
    """3D points over time of one recording: all but the points themselves.

    Attributes
    ----------
    name
        Of the recording.
    keypoints
        Names of the points, in the order of the arrays.
    fps
        Frames per second.
    length
        Number of frames.
    frame_of_reference
        What the coordinates refer to, such as ``world`` or ``camera view1``.
    source
        What the points are, such as ``pseudo-labels of gait``.
    simulated
        Whether the data are simulated; None where nothing says so.
    bones
        Pairs (parent, child) of keypoints.
    first_frame
        Number of the first frame, as the video counts: its time is that number divided by `fps`.
    filled
        (frame,) bool: the points of these frames follow from other frames. None if there are no such frames. It is
        read for a block once that has come.

    Raises
    ------
    InputError
        If a file could not hold it: without a frame rate, or with names that repeat or cannot be printed.
    """

    name: str
    keypoints: tuple[str, ...]
    fps: float
    length: int
    frame_of_reference: str
    source: str
    simulated: bool | None
    bones: tuple[tuple[str, str], ...] = ()
    first_frame: int = 0
    filled: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"recording {self.name!a}: {self.fps} frames per second; expected a number above 0")
        texts = (self.name, self.frame_of_reference, self.source, *self.keypoints)
        if not all(text.isprintable() for text in texts):
            raise InputError(f"recording {self.name!a}: a name holds tabs, line ends or other control characters")
        if len(set(self.keypoints)) != len(self.keypoints):
            raise InputError(f"recording {self.name!a}: two keypoints have the same name")

    def flags(self, frames: slice) -> np.ndarray:
        """Tell which of some frames are filled: (frame,) bool."""
        return np.zeros(frames.stop - frames.start, bool) if self.filled is None else self.filled[frames]

    @property
    def simulated_text(self) -> str:
        return {True: "yes", False: "no", None: "unknown"}[self.simulated]


def turn_up(poses: np.ndarray, up: str) -> np.ndarray:
    """Rotate points (..., 3) so that the axis that is up becomes y; rotations only, so left stays left."""
    return poses @ np.array(_ROTATIONS[up], poses.dtype).T


def prepare(motion: Motion, blocks: Iterable[np.ndarray], up: str | None) -> tuple[Motion, Iterator[np.ndarray]]:
    """Make blocks as the writers expect them: float32, of the promised length, points whole or missing, turned.

    Parameters
    ----------
    motion, blocks, up
        As `trilift.export.write` takes them.

    Returns
    -------
    motion : Motion
        Its frame of reference says if points were turned.
    blocks : iterator of numpy.ndarray
        (frame, keypoint, 3) float32, metres. At their end they raise `NoPoints` if nothing was in them.
    """
    if up is not None and up not in _ROTATIONS:
        raise InputError(f"no axis '{up}'; up can be {', '.join(UP_AXES)}")
    prepared = _prepare(motion, blocks, up)
    if up is not None:
        motion = replace(motion, frame_of_reference=f"{motion.frame_of_reference}, turned so that its {up} is y (up)")
    return motion, prepared


def _prepare(motion: Motion, blocks: Iterable[np.ndarray], up: str | None) -> Iterator[np.ndarray]:
    done, empty = 0, True
    for block in blocks:
        if block.ndim != 3 or block.shape[1:] != (len(motion.keypoints), 3):
            raise ValueError(f"{motion.name}: a block has the shape {block.shape}, not (frame, keypoint, 3)")
        done += len(block)
        if done > motion.length:
            raise ValueError(f"{motion.name}: more frames than the {motion.length} that were announced")
        block = np.asarray(block, np.float32)
        known = np.isfinite(block).all(-1, keepdims=True)
        block = np.where(known, block, np.float32(np.nan))
        empty = empty and not known.any()
        yield block if up is None else turn_up(block, up)
    if done != motion.length:
        raise ValueError(f"{motion.name}: {done} frames instead of the {motion.length} that were announced")
    if empty:
        raise NoPoints(f"{motion.name}, {motion.frame_of_reference}: none of its {done} frames has a point")


def gather(motion: Motion, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Put prepared blocks into one array (frame, keypoint, 3)."""
    poses = np.empty((motion.length, len(motion.keypoints), 3), np.float32)
    done = 0
    for block in blocks:
        poses[done : done + len(block)] = block
        done += len(block)
    return poses

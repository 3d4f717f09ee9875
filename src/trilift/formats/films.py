"""The images of a data set's videos, at the frames of its captures.

What reads videos is loaded by name: a stage that shows some needs PyAV only where there are any.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from trilift.captures.schema import Recording
from trilift.formats.by_people import in_time
from trilift.formats.names import name_for_files, plain
from trilift.formats.source import Source

READER = "trilift.formats.video"


class Film:
    """What one camera filmed of a recording.

    Attributes
    ----------
    size
        Width and height, px.
    """

    def __init__(self, path: Path, recording: Recording, source: Source, camera: str):
        self._video = import_module(READER).Video(path, source.fps)
        self.size = self._video.size
        self._recording = recording
        self._late = source.offsets.get(camera, 0)
        self._mirrored = source.change_of(camera).mirrored

    def images(self, frames: Sequence[int]) -> Iterator[np.ndarray | None]:
        """Give the images of some frames; can be asked for once.

        Parameters
        ----------
        frames
            Their indices in the capture, in ascending order, at least one.

        Yields
        ------
        np.ndarray or None
            (height, width, 3) bytes, as the camera saw it: mirrored back, like its detections. None where the video
            lacks the frame.
        """
        numbers = [self._recording.number_of(index) + self._late - self._video.first_number for index in frames]
        found = self._video.frames(max(0, numbers[0]))
        frame = next(found, None)
        for number in numbers:
            while frame is not None and frame.number < number:
                frame = next(found, None)
            if frame is None or frame.number != number:
                yield None
            else:
                yield frame.image[:, ::-1] if self._mirrored else frame.image


class Films:
    """The videos of a data set, by recording and camera; none where its detections are not made of videos.

    Parameters
    ----------
    source
        What the data set's file says.
    raw
        The folder of its raw files.
    dataset
        Its name, which a recording without one of its own has.
    """

    def __init__(self, source: Source, raw: Path, dataset: str):
        self._source, self._raw = source, raw
        self._paths: dict[tuple[str, str], Path] = {}
        for name, view in source.videos(raw).items():
            recording = name_for_files(name.rpartition("/")[0] or dataset, str(raw))
            self._paths[recording, plain(source.camera_of(view.name))] = view.path

    def __bool__(self) -> bool:
        return bool(self._paths)

    def digests(self) -> dict[Path, str]:
        """Hash the videos, by their paths."""
        return {path: import_module(READER).digest(path) for path in self._paths.values()}

    def open(self, recording: Recording, camera: str) -> Film | None:
        """Open what a camera filmed of a recording, if that is there."""
        path = self._paths.get((recording.clip, plain(camera)))
        return None if path is None else Film(path, recording, in_time(self._source, self._raw), camera)

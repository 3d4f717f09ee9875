"""Videos, and folders of images: what they are, and their frames on one clock.

A video's timestamps decide: a frame belongs to that tick of the clock, of so many per second since the video's first
frame, which it is nearest to. So views of other or varying rates fit together, and what a camera dropped is missing.
Images have no timestamps: the numbers in their names count the ticks. PyAV reads both; nothing else needs it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trilift.errors import InputError
from trilift.formats.folders import files_in
from trilift.formats.names import frame_numbers
from trilift.formats.registry import VIDEOS
from trilift.project import provenance

if TYPE_CHECKING:
    import av

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
_MIXED_UP = 1.5  # times the average rate: a rate that is guessed higher comes from odd timestamps
_CLOSEST = 1e-5  # frames per second: as close as rates are told


def recognises(path: Path) -> bool:
    """Tell whether a file is a video or an image, by how it begins."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False
    if path.suffix.lower() in VIDEOS["images"].suffixes:
        return head.startswith(_BEGINNINGS)
    is_mpeg = head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3")) or head[:1] == b"G" or head[4:5] == b"G"
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
        or head[8:12] == b"AVI "
        or (head.startswith(b"\x1aE\xdf\xa3") or is_mpeg)
    )


@dataclass(frozen=True)
class About:
    """What a video tells of itself.

    Attributes
    ----------
    size
        Width and height in px, upright.
    rate
        Frames per second; None for images.
    """

    size: tuple[int, int]
    rate: float | None


def about(path: Path) -> About:
    """Look at a video or a folder of images.

    Raises
    ------
    InputError
        If it is no video, is cut off, or has no frames.
    """
    if path.is_dir():
        numbered = _images(path)
        for _, file in numbered:
            if (image := _read_image(file)) is not None:
                return About((image.shape[1], image.shape[0]), None)
        raise InputError(f"{path}: none of its {len(numbered)} images can be read; copy them again")
    with _Opened(path) as opened:
        first = next(opened.decode(), None)
        if first is None:
            raise InputError(f"{path}: a video without a frame that can be read; record or copy it again")
        image = _upright(first, "gray")
        average, guessed = (float(rate or 0) for rate in (opened.stream.average_rate, opened.stream.guessed_rate))
        rate = guessed if guessed and (not average or guessed < _MIXED_UP * average) else average
        if not rate:
            raise InputError(f"{path}: tells no frames per second; write it again with another program")
        rate = round(rate, 5)
        return About((image.shape[1], image.shape[0]), round(rate) if abs(rate - round(rate)) < _CLOSEST else rate)


def digest(path: Path) -> str:
    """Hash a video; of a folder of images, names and contents."""
    return provenance.hash_of(file for _, file in _images(path)) if path.is_dir() else provenance.sha256(path)


class Frame(NamedTuple):
    """A frame: the tick of the clock that it belongs to, counted from 0, and (height, width, 3) bytes."""

    number: int
    image: np.ndarray


class Video:
    """A video or a folder of images, to be read once.

    Parameters
    ----------
    path
        The file or folder.
    fps
        Ticks of the clock per second; images count them.
    colours
        The order of the colours, ``rgb24`` or ``bgr24``.

    Attributes
    ----------
    size
        Width and height in px, upright.
    length
        Number of ticks from the first frame to the last; until all are read, what the file tells, 0 if nothing.
    first_number
        Number of the first frame: 0 but for images, which count from the number in the first one's name.
    problems
        What could not be read, in words; complete when all frames are read.
    """

    def __init__(self, path: Path, fps: float, colours: str = "rgb24"):
        self.path, self._fps, self._colours = path, fps, colours
        self.size = about(path).size
        self.problems: list[str] = []
        self.first_number = 0
        if path.is_dir():
            numbers = [number for number, _ in _images(path)]
            self.first_number, self.length = numbers[0], numbers[-1] - numbers[0] + 1
        else:
            with _Opened(path) as opened:
                self.length = self._ticks(opened.stream.frames, opened.stream)

    def _ticks(self, frames: int, stream: "av.VideoStream") -> int:
        return round(frames * self._fps / float(stream.average_rate)) if stream.average_rate else frames

    def frames(self, begin: int = 0) -> Iterator[Frame]:
        """Give the frames in the order of the clock, from a tick on; what is long before it is not decoded.

        Raises
        ------
        InputError
            If no frame can be read, or the images' size changes.
        """
        found = self._of_folder(begin) if self.path.is_dir() else self._of_file(begin)
        number = None
        for number, image in found:
            if image.shape[1::-1] != self.size:
                size, now = ("x".join(map(str, sides)) for sides in (self.size, image.shape[1::-1]))
                raise InputError(
                    f"{self.path}, frame {number}: is {now}, the first is {size}; cut it into two videos"
                )
            yield Frame(number, image)
        if number is None and not begin:
            raise InputError(f"{self.path}: no frame of it can be read; record or copy it again")

    def _of_folder(self, begin: int) -> Iterator[Frame]:
        broken = []
        for number, file in _images(self.path):
            if number - self.first_number < begin:
                continue
            image = _read_image(file, self._colours)
            if image is None:
                broken.append(file.name)
            else:
                yield Frame(number - self.first_number, image)
        if broken:
            self.problems.append(f"{len(broken)} images cannot be read and are missing, the first {broken[0]}")

    def _of_file(self, begin: int) -> Iterator[Frame]:
        with _Opened(self.path) as opened:
            last, frames = -1, opened.decode()
            if begin:
                frames = opened.decode_from((begin - 1) / self._fps, frames)
            for number, frame in on_clock(frames, self._fps, opened.stream):
                last = number
                if number >= begin:
                    yield Frame(number, _upright(frame, self._colours))
            if begin:
                return  # how many there are is not known
            cut_off = max(0, opened.stream.frames - opened.packets)
            self.length = max(last + 1, self.length if cut_off else 0)
            if opened.broken:
                self.problems.append(f"{opened.broken} damaged frames are missing")
            if cut_off:
                self.problems.append(
                    f"it is cut off: its last {cut_off} of {opened.stream.frames} frames are missing"
                )


def on_clock(frames: "Iterable[av.VideoFrame]", fps: float, stream: Any) -> "Iterator[tuple[int, av.VideoFrame]]":
    """Choose the frame that is nearest to each tick of a clock that starts with the first; ticks may have none."""
    first = kept = None
    tick, distance = -1, 0.0
    for count, frame in enumerate(frames):
        time = frame.time if frame.time is not None else count / float(stream.guessed_rate)
        first = time if first is None else first
        at = (time - first) * fps
        nearest = ceil(at - 0.5)  # of two the earlier, so that a clock of half the rate ends with the video
        away = abs(at - nearest)
        if nearest > tick:
            if kept is not None:
                yield tick, kept
            tick, distance, kept = nearest, away, frame
        elif nearest == tick and away < distance:
            distance, kept = away, frame
    if kept is not None:
        yield tick, kept


class _Opened:
    """A video file that is being read.

    Attributes
    ----------
    stream
        Its video.
    packets, broken
        How many frames were found in the file so far, and how many of them cannot be decoded.
    """

    def __init__(self, path: Path):
        try:
            import av
        except ImportError:
            raise InputError(
                f"{path}: reading videos needs PyAV; install it: pip install 'trilift[detect]'"
            ) from None
        self._errors = av.error.FFmpegError
        av.logging.set_libav_level(av.logging.PANIC)  # what is damaged is counted
        what = "no video that can be read, or one that was cut off; record or copy it again"
        try:
            self._container = av.open(str(path), metadata_errors="ignore")
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except self._errors:
            raise InputError(f"{path}: {what}") from None
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{path}: {what}")
        self.stream = self._container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.packets = self.broken = 0

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def decode(self) -> "Iterator[av.VideoFrame]":
        """Give the frames that are sound."""
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self.packets += packet.size > 0
                frames = packet.decode()
            except self._errors:
                self.broken += 1
                if self.broken > self.packets + 1:  # the file itself cannot be read on
                    return
                continue
            for frame in frames:
                self.broken += frame.is_corrupt
                if not frame.is_corrupt:
                    yield frame

    def decode_from(self, seconds: float, frames: "Iterator[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
        """Give the first of all frames, and then those from a time after it on, or from the last key frame before."""
        first = next(frames, None)
        if first is None:
            return
        yield first
        if first.time is not None and self.stream.time_base:
            try:
                self._container.seek(int((first.time + seconds) / self.stream.time_base), stream=self.stream)
                frames = self.decode()
            except self._errors:
                pass  # a container without an index
        yield from frames


def _upright(frame: "av.VideoFrame", colours: str) -> np.ndarray:
    """Give the image as players show it: phones store how it was held."""
    image = frame.to_ndarray(format=colours)
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns % 4 else image


def _images(folder: Path) -> list[tuple[int, Path]]:
    """List images by their numbers."""
    files = files_in(folder, *VIDEOS["images"].suffixes)
    numbered = dict(zip(frame_numbers([file.name for file in files]), files, strict=True))
    if None in numbered or len(numbered) < len(files) or not files:
        raise InputError(f"{folder}: expected images with a different number in each name, such as frame_000012.jpg")
    return sorted((number, file) for number, file in numbered.items() if number is not None)


def _read_image(file: Path, colours: str = "rgb24") -> np.ndarray | None:
    try:
        with _Opened(file) as opened:
            frame = next(opened.decode(), None)
    except InputError:
        return None
    return None if frame is None else _upright(frame, colours)

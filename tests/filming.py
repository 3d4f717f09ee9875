"""Small videos whose frames can be told apart by what they show."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_BITS = 8
DATA_SET = """
ingest:
  detections:
    format: video
    path: videos
  cameras:
    format: toml
    path: videos/calibration.toml
  fps: 30
split:
  by: time
"""
"""Of the videos in ``videos``, beside their calibration."""


def image_of(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Give an image (height, width, 3) whose stripes spell a number; its upper half is red, its lower one blue."""
    width, height = size
    bits = [number >> bit & 1 for bit in range(_BITS)]
    stripes = np.repeat(bits, -(-width // _BITS))[:width] * 200
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 1] = stripes
    image[: height // 2, :, 0], image[height // 2 :, :, 2] = 200, 200
    return image


def number_in(image: np.ndarray) -> int:
    """Read the number again, from an upright image."""
    middles = (np.arange(_BITS) + 0.5) * image.shape[1] / _BITS
    return sum(int(image[image.shape[0] // 4, int(x), 1] > 100) << bit for bit, x in enumerate(middles))


def film(
    path: Path,
    numbers: Sequence[int],
    rate: Fraction | int = 30,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write a video that shows the numbers, at so many frames per second or at these times (s)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        container.start_encoding()
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(image_of(number, size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[place] * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def held(path: Path, degrees: int, height: int = 48) -> Path:
    """Note in an MP4 file by how many degrees players turn it clockwise, as phones do (ISO 14496-12, tkhd)."""
    one = 1 << 16
    matrix = {
        90: (0, one, 0, -one, 0, 0, height << 16, 0, 1 << 30),
        180: (-one, 0, 0, 0, -one, 0, 0, 0, 1 << 30),
        270: (0, -one, 0, one, 0, 0, 0, 0, 1 << 30),
    }[degrees]
    content = bytearray(path.read_bytes())
    begin = content.index(b"tkhd") + 44
    content[begin : begin + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def with_index_first(path: Path, target: Path) -> Path:
    """Copy an MP4 file so that it can be read on as far as it goes when its end is missing."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as copied:
        stream = copied.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copied.mux(packet)
    return target

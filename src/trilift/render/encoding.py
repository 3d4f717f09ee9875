"""Writing of MP4 files, frame by frame."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from trilift.project.files import replacing

_QUALITY = {"crf": "20", "preset": "veryfast"}


@contextmanager
def mp4(path: Path, fps: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a video in H.264 that browsers and players show, as a file that appears when the block ends well.

    Memory does not grow with its length.

    Parameters
    ----------
    path
        Where to write.
    fps
        Frames per second.
    size
        Width and height of the frames, px; a last odd column or row is cut off, since the format has none.

    Yields
    ------
    callable
        Takes the frames, (height, width, 3) bytes: red, green and blue.
    """
    import av  # which is there where videos were read

    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(60_000), options=_QUALITY)
        stream.width, stream.height = (side - side % 2 for side in size)
        stream.pix_fmt = "yuv420p"

        def add(image: np.ndarray) -> None:
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())

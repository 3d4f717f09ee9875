"""Frames of the videos for the viewer: small, and not more than a page should hold."""

import io
import math

import numpy as np
from PIL import Image

_LONGER_SIDE = 320  # px
_MOST_BYTES = 6000  # of a JPEG file
_QUALITIES = (70, 50, 30, 15, 5)


def every_that_fits(frames: int, megabytes: float) -> int:
    """Say of every how many-th of so many frames a page may hold an image; base64 makes 4 bytes of 3.

    Examples
    --------
    >>> every_that_fits(2500, 20), every_that_fits(2501, 20)
    (1, 2)
    """
    return max(1, math.ceil(frames * _MOST_BYTES * 4 / 3 / (megabytes * 1e6)))


def small_jpeg(image: np.ndarray) -> bytes | None:
    """Give an image as a small JPEG file.

    Parameters
    ----------
    image
        (height, width, 3) bytes.

    Returns
    -------
    bytes or None
        As good a file as fits; None where not even a bad one does.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    for quality in _QUALITIES:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        if file.tell() <= _MOST_BYTES:
            return file.getvalue()
    return None

"""How a detector in its own environment talks with the stage: frames come in, people go out.

On its standard input come a line with width and height, and then the images, byte after byte. Each is answered with a
line of JSON, the `People` in it.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np


class Options(NamedTuple):
    """What a detector is told.

    Attributes
    ----------
    size
        Of its networks, the setting.
    device
        Where to compute: ``cpu``, ``cuda:0``.
    cache
        Folder for networks that it loads.
    """

    size: str
    device: str
    cache: str


class People(NamedTuple):
    """Who is seen in a frame.

    Attributes
    ----------
    keypoints
        (person, keypoint, 3): x and y in px, and confidence from 0 to 1.
    boxes
        (person, 4): left, top, right and bottom in px.
    """

    keypoints: np.ndarray
    boxes: np.ndarray


Detect = Callable[[np.ndarray], People]


def main(weights: Callable[[Options], dict[str, Path]], make: Callable[[Options], Detect]) -> None:
    """Do what the command line says: ``weights`` or ``detect``, and then the options as JSON."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    options = Options(*json.loads(sys.argv[2]))
    if sys.argv[1] == "weights":
        answers.write(json.dumps({name: str(file) for name, file in weights(options).items()}).encode())
        answers.close()
        return
    width, height = map(int, sys.stdin.buffer.readline().split())
    detect = make(options)
    images: queue.Queue[np.ndarray | None] = queue.Queue(1)
    threading.Thread(target=_read, args=(sys.stdin.buffer, (height, width, 3), images), daemon=True).start()
    while (image := images.get()) is not None:
        people = detect(image)
        answer = {name: np.asarray(values, np.float32).tolist() for name, values in people._asdict().items()}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _read(frames: BinaryIO, shape: tuple[int, int, int], images: "queue.Queue[np.ndarray | None]") -> None:
    """Read the next image while one is looked at."""
    while True:
        image = np.empty(shape, np.uint8)
        rest = image.reshape(-1).data
        while len(rest):
            read = frames.readinto(rest)  # type: ignore[attr-defined]
            if not read:
                images.put(None)
                return
            rest = rest[read:]
        images.put(image)

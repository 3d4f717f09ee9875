"""Detectors, a module each. In the project it says what the detector is, in the detector's environment it runs it.

A module has

- ``NAME``, for tables and figures, and ``SKELETON``, the layout of its keypoints;
- ``COLOURS``, the order of colours that it takes, ``rgb24`` or ``bgr24``;
- ``requirements(device)``, the packages of its environment, all with their versions;
- ``weights(options)``, the files of its networks by name, loading those that are not there;
- ``make(options)``, which gives a function of an image (height, width, 3) that returns `People`;

and it ends with ``serving.main(weights, make)`` where it is run. It imports what its environment has in the last two
of these only, and of this project nothing but `serving`, so that its environment needs nothing of ours.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from trilift.detect.detectors.serving import Detect, Options


class Detector(Protocol):
    """A module of this package."""

    NAME: str
    SKELETON: str
    COLOURS: str
    requirements: Callable[[str], list[str]]
    weights: Callable[[Options], dict[str, Path]]
    make: Callable[[Options], Detect]


def module_of(name: str) -> str:
    """Name the module of a detector.

    Examples
    --------
    >>> module_of("mediapipe")
    'trilift.detect.detectors.mediapipe'
    """
    return f"{__name__}.{name}"


def get(name: str) -> Detector:
    """Give a detector by its name in ``params.yaml``."""
    return cast(Detector, import_module(module_of(name)))

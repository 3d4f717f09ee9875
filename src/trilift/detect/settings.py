"""The section ``detect`` of ``params.yaml``."""

from typing import Literal

from trilift.project.params import StrictModel


class Settings(StrictModel):
    """The section ``detect`` of ``params.yaml``.

    Attributes
    ----------
    detector
        What finds people in videos: ``mediapipe``, 33 keypoints of one person, brings its networks along;
        ``rtmpose``, the 26 keypoints of Halpe of everybody, loads them when it first runs.
    size
        Of the networks of ``rtmpose``; ``mediapipe`` has one.
    """

    detector: Literal["mediapipe", "rtmpose"] = "mediapipe"
    size: Literal["lightweight", "balanced", "performance"] = "balanced"

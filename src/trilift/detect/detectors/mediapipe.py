"""MediaPipe's pose: one person, with networks that lie in its package."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from trilift.detect.detectors import serving
from trilift.detect.detectors.serving import Detect, Options, People

NAME = "MediaPipe 0.10.21"
SKELETON = "mediapipe33"
COLOURS = "rgb24"

_NETWORKS = ("modules/pose_detection/pose_detection.tflite", "modules/pose_landmark/pose_landmark_full.tflite")


def requirements(device: str) -> list[str]:
    """List the packages of its environment: it needs a NumPy older than ours."""
    return [
        "mediapipe==0.10.21",
        "absl-py==2.5.1",
        "attrs==26.1.0",
        "contourpy==1.3.3",
        "cycler==0.12.1",
        "flatbuffers==25.12.19",
        "fonttools==4.68.0",
        "kiwisolver==1.5.1",
        "matplotlib==3.11.2",
        "numpy==1.26.4",
        "opencv-python-headless==4.11.0.86",
        "packaging==26.4",
        "pillow==13.0.0",
        "protobuf==4.25.9",
        "pyparsing==3.3.3",
        "python-dateutil==4.0.0",
    ]


def weights(options: Options) -> dict[str, Path]:
    """Find the networks in the package, without loading it."""
    spec = find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("there is no mediapipe in this environment")
    folder = Path(spec.submodule_search_locations[0])
    return {Path(name).name: folder / name for name in _NETWORKS}


def make(options: Options) -> Detect:
    """Start the detector; it follows the person from frame to frame, but smooths nothing: `triangulate` does that."""
    from mediapipe.python.solutions.pose import Pose

    pose = Pose(model_complexity=1, smooth_landmarks=False)

    def detect(image: np.ndarray) -> People:
        landmarks = pose.process(image).pose_landmarks
        if landmarks is None:
            return People(np.empty((0, 33, 3)), np.empty((0, 4)))
        found = np.array([[point.x, point.y, point.visibility] for point in landmarks.landmark])
        found[:, :2] *= image.shape[1::-1]
        return People(found[None], np.concatenate([found[:, :2].min(0), found[:, :2].max(0)])[None])

    return detect


if __name__ == "__main__":
    serving.main(weights, make)

"""Train a single-camera 3D human pose estimator from multi-camera recordings, without 3D labels.

A trained lifter in use::

    import trilift

    lifter = trilift.load("pretrained")  # or of your own: "results/gait/main"
    camera = trilift.pinhole(1150, (1920, 1080))
    prediction = lifter.predict(keypoints, camera, skeleton="coco17", fps=30)
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_PLACES = {
    "Camera": "trilift.formats",
    "Prediction": "trilift.predict.prediction",
    "Predictor": "trilift.predict.predictor",
    "Smoothing": "trilift.lifter.smoothing",
    "follow": "trilift.predict.following",
    "load": "trilift.predict.predictor",
    "pick": "trilift.predict.following",
    "pinhole": "trilift.predict.prediction",
}
__all__ = ["Camera", "Prediction", "Predictor", "Smoothing", "__version__", "follow", "load", "pick", "pinhole"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: `trilift --help` and the rules of the workflow should not wait for torch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'trilift' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)

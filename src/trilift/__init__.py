"""Train a single-camera 3D human pose estimator from multi-camera recordings, without 3D labels."""

__version__ = "0.1.0"

"""The two real recordings that tests run on where they are there; README.md says where to get them."""

import os
from pathlib import Path

import pytest

from synthetic import make_project
from trilift.formats.source import Source
from trilift.ingest.assemble import assemble
from trilift.ingest.assembled import AssembledCapture
from trilift.project.params import parse

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TRILIFT_REAL_DATA", ROOT.parent / "shared" / "data"))
SOURCES = {
    "pose2sim_demo": {
        "detections": {
            "format": "openpose",
            "path": "balancing_trial/pose",
            "skeleton": "body25b",
            "detector": "OpenPose BODY_25B",
        },
        "cameras": {"format": "toml", "path": "Calib_qualisys.toml"},
        "fps": 60,
    },
    "caliscope_4cam": {
        "detections": {"format": "mediapipe", "path": "xy_HOLISTIC.csv", "detector": "MediaPipe Holistic"},
        "cameras": {"format": "toml", "path": "config.toml"},
        "fps": 30,
    },
}


def needs(recording):
    """Skip a test where a recording is not there."""
    return pytest.mark.skipif(not (DATA / recording).exists(), reason=f"needs {DATA / recording} (TRILIFT_REAL_DATA)")


def project_of(recording, folder, dataset=""):
    """A project whose data set ``tiny`` is a recording."""
    project = make_project(folder, dataset)
    project.layout.raw.rmdir()
    project.layout.raw.symlink_to(DATA / recording)
    return project


def capture_of(recording, folder, **changes) -> AssembledCapture:
    """Read a recording."""
    source = parse(Source, SOURCES[recording] | changes, recording)
    (capture,) = assemble(project_of(recording, folder).layout, source)
    return capture

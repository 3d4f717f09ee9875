"""From detections without a calibration to the report, with the real solver."""

import json

import numpy as np
import pytest
import yaml

from synthetic import make_project, ring_of_cameras, waving_person, write_openpose
from trilift.captures import reading

FRAMES = 240
PARAMS = {
    "train": {"network": {"width": 16, "blocks": 1}, "steps": 10, "batch_frames": 8, "threads": 1},
    "triangulate": {"diagnose": False, "smoothing": None},  # the bones of a waving person are not of one length
    "ingest": {},
    "evaluate": {},
    "plot": {"examples": 1, "viewer_recordings": 1, "viewer_seconds": 0.2},
}
DATA_SET = """
ingest:
  detections: {format: openpose, path: recorded/pose, skeleton: body25b, detector: synthetic}
  cameras: {format: people, baseline: [cam1, cam2, 5.656854], image_size: [1280, 720]}
  fps: 30
split: {by: time}
"""


def walker():
    """Somebody who walks in an eight through the ring, and turns."""
    person, time = waving_person(FRAMES), np.linspace(0, 2 * np.pi, FRAMES)
    turn = np.arctan2(np.cos(2 * time), np.cos(time))
    rotation = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], -1).reshape(-1, 2, 2)
    person[..., :2] = np.einsum("fij,fkj->fki", rotation, person[..., :2])
    person[..., :2] += np.stack([1.5 * np.sin(time), np.sin(2 * time)], -1)[:, None]
    return person


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("walked") / "project", DATA_SET, yaml.safe_dump(PARAMS))
    project.layout.recorded.mkdir()
    write_openpose(project.layout.recorded / "pose", ring_of_cameras(4), walker())
    for stage in ("calibrate", "ingest", "triangulate", "train", "evaluate", "plot"):
        code, said = project.run(stage)
        assert code == 0, said
    return project


def test_cameras_stand_where_they_stood(project):
    with reading.read(project.layout.captures, "captures") as opened:
        capture = opened["tiny"].load()
    found = -np.einsum("vji,vj->vi", capture["R"].values, capture["t"].values)
    truth = np.stack([-camera.R.T @ camera.t for camera in ring_of_cameras(4)])
    apart, expected = (np.linalg.norm(centres[:, None] - centres, axis=-1) for centres in (found, truth))
    np.testing.assert_allclose(apart, expected, atol=0.1)
    np.testing.assert_allclose(found[:, 2], 1.5, atol=0.1)


def test_the_results_say_that_people_calibrated_the_cameras(project):
    results = project.layout.results
    facts = json.loads((results / "metrics.json").read_text())
    assert facts["cameras_from"].startswith("people (by which points are off by about ")
    assert f"cameras: {facts['cameras_from']}" in (results / "table.md").read_text()
    report = (results / "report.html").read_text("utf-8")
    assert f"calibrated by {facts['cameras_from']}" in report
    assert "provenance/calibrate.json" in report

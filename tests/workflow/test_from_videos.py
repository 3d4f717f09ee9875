"""From videos and a calibration to a lifter, by two commands, with the real detector; as docs/videos.md says."""

import json
import shutil
import sys

import numpy as np
import pytest
import yaml

from real_data import DATA, ROOT, needs
from trilift.captures import reading

BODY = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

pytestmark = [
    pytest.mark.engines,
    needs("pose2sim_videos"),
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no MediaPipe 0.10.21 for this Python"),
]


@pytest.fixture(scope="module")
def made(real_fresh, tmp_path_factory):
    project = real_fresh.copy(tmp_path_factory.mktemp("videos") / "project")
    environments = ROOT / ".trilift/environments"  # made once for this checkout
    environments.mkdir(parents=True, exist_ok=True)
    (project.path / ".trilift").mkdir()
    (project.path / ".trilift/environments").symlink_to(environments)
    folder = project.path.parent / "balancing"
    shutil.copytree(DATA / "pose2sim_videos/one_person", folder)
    told = project.run(sys.executable, "-m", "trilift", "new", str(folder)).stdout
    assert "WARNING" not in told
    project.snakemake("results/balancing/main/metrics.json")
    return project


def test_nothing_about_the_videos_is_a_guess(made):
    text = (made.path / "workflow/datasets/balancing.yaml").read_text()
    assert "GUESS" not in text
    stated = yaml.safe_load(text)["ingest"]
    assert stated["detections"] == {"format": "video", "path": "videos"}
    assert stated["cameras"] == {"format": "qualisys", "path": "videos/Calib.qca.txt"}
    assert stated["fps"] == 60


def test_the_pseudo_labels_agree_with_what_the_detector_saw(made):
    with reading.read(made.path / "data/pseudo_labels/balancing.nc", "pseudo_labels") as opened:
        labels = opened["balancing"].load()
    body = [name for name in labels["keypoint"].values if name.endswith(BODY)]
    errors = labels.sel(keypoint=body)["reprojection_error"].values
    assert len(body) == 12
    assert np.isfinite(errors).mean() > 0.95
    assert np.nanmedian(errors) < 17


def test_a_lifter_is_trained_on_them(made):
    metrics = json.loads((made.path / "results/balancing/main/metrics.json").read_text())
    assert metrics["detections_from"] == "MediaPipe 0.10.21"
    assert metrics["pseudo_label_other_views_reprojection_px"] < 25
    assert metrics["test_poses"] == 4 * 30
    assert made.jobs("results/balancing/main/metrics.json") == set()


def test_the_record_names_the_networks(made):
    shown = made.run(sys.executable, "-m", "trilift", "info", "data/raw/balancing/detections_of_videos.nc").stdout
    assert "pose_landmark_full.tflite" in shown
    assert "as it was made" in shown

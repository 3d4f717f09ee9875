"""The demo recording of Pose2Sim, whose camera 3 is known to be off."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from synthetic import make_project
from trilift import captures
from trilift.skeletons import BODY25B

ROOT = Path(__file__).parents[1]
RECORDING = Path(os.environ.get("TRILIFT_REAL_DATA", ROOT.parent / "shared" / "data")) / "pose2sim_demo"

pytestmark = pytest.mark.skipif(not RECORDING.exists(), reason=f"needs the recording {RECORDING} (TRILIFT_REAL_DATA)")

DATA_SET = (ROOT / "workflow" / "datasets" / "pose2sim_demo.yaml").read_text()
NOT_BODY = ("eye", "ear", "toe", "heel")
BODY = [name for name in BODY25B.keypoints if not any(part in name for part in NOT_BODY)]


def run(folder, dataset):
    project = make_project(folder, dataset)
    project.layout.raw.rmdir()
    project.layout.raw.symlink_to(RECORDING)
    ingested, printed_by_ingest = project.run("ingest")
    triangulated, printed = project.run("triangulate", "--device", "cpu")
    assert (ingested, triangulated) == (0, 0), printed_by_ingest + printed
    with (
        captures.read(project.layout.captures, "captures") as detections,
        captures.read(project.layout.pseudo_labels, "pseudo_labels") as labels,
    ):
        return detections["balancing_trial"].load(), labels["balancing_trial"].load(), printed


@pytest.fixture(scope="module")
def all_views(tmp_path_factory):
    return run(tmp_path_factory.mktemp("all"), DATA_SET)


@pytest.fixture(scope="module")
def without_camera_3(tmp_path_factory):
    assert "exclude_cameras: []" in DATA_SET
    return run(tmp_path_factory.mktemp("three"), DATA_SET.replace("exclude_cameras: []", "exclude_cameras: [cam_03]"))


def people(camera, frame):
    file = RECORDING / "balancing_trial" / "pose" / f"cam{camera:02d}_json" / f"cam{camera:02d}.{frame:04d}.json"
    return [np.reshape(person["pose_keypoints_2d"], (25, 3)) for person in json.loads(file.read_text())["people"]]


def test_the_body_has_15_joints():
    assert len(BODY) == 15


def test_all_frames_and_views_are_read(all_views):
    detections, _, _ = all_views
    assert detections["keypoints_2d"].shape == (100, 4, 25, 2)
    assert detections["view"].values.tolist() == ["cam_01", "cam_02", "cam_03", "cam_04"]


def test_the_median_reprojection_error_is_that_of_the_calibration(all_views):
    _, labels, _ = all_views
    assert np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY)) <= 16


def test_camera_3_is_the_worst_of_the_recap(all_views):
    _, _, printed = all_views
    views = [word for word in printed.split("per keypoint")[0].split() if word.startswith("cam_")]
    assert views[0] == "cam_03"
    assert len(views) == 4


def test_without_camera_3_the_error_is_smaller(without_camera_3):
    _, labels, _ = without_camera_3
    assert labels["view"].values.tolist() == ["cam_01", "cam_02", "cam_04"]
    assert np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY)) <= 9


def test_the_dummy_is_not_taken_but_in_the_frame_where_openpose_breaks_the_person_in_two(without_camera_3):
    _, labels, _ = without_camera_3
    per_frame = np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY).values, axis=-1)
    assert set(np.argwhere(per_frame > 60)[:, 0]) <= {37}
    assert len(people(1, 37)) == 3


@pytest.mark.parametrize("camera", ["cam_01", "cam_02"])
def test_the_views_with_the_dummy_have_plausible_errors(without_camera_3, camera):
    _, labels, _ = without_camera_3
    assert np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY, view=camera)) < 15


@pytest.mark.parametrize("camera", [1, 2, 3, 4])
def test_what_openpose_did_not_find_is_missing_and_the_rest_as_written(all_views, camera):
    detections, _, _ = all_views
    for frame in range(0, 100, 10):
        found = detections["keypoints_2d"][frame, camera - 1].values
        person = max(people(camera, frame), key=lambda keypoints: keypoints[:, 2].sum())
        expected = np.where(person[:, 2:] > 0, person[:, :2], np.nan)
        np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_the_person_is_as_tall_as_a_person(without_camera_3):
    _, labels, _ = without_camera_3
    head = labels["keypoints_3d"].sel(keypoint="head_top").values
    ankles = labels["keypoints_3d"].sel(keypoint=["left_ankle", "right_ankle"]).values.mean(1)
    assert 1.3 < np.nanmedian(np.linalg.norm(head - ankles, axis=-1)) < 2.0

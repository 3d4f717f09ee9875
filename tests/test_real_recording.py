"""The demo recording of Pose2Sim, whose camera 3 is known to be off, and camera 1 a little."""

import json

import numpy as np
import pytest
import torch
import yaml

from real_data import DATA, ROOT, SOURCES, capture_of, needs, project_of
from trilift.captures import reading
from trilift.geometry import noise
from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import triangulate, triangulate_robust
from trilift.skeletons import BODY25B

RECORDING = DATA / "pose2sim_demo"

pytestmark = needs("pose2sim_demo")

DATA_SET = (ROOT / "workflow" / "datasets" / "pose2sim_demo.yaml").read_text()
NOT_BODY = ("eye", "ear", "toe", "heel")
BODY = [name for name in BODY25B.keypoints if not any(part in name for part in NOT_BODY)]


PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())["triangulate"]


def ingested(folder, dataset):
    project = project_of("pose2sim_demo", folder, dataset)
    code, printed = project.run("ingest")
    assert code == 0, printed
    return project


def run(project, **changes):
    """Triangulate with the settings of the repository but for `changes`; returns detections, labels and the log."""
    project.layout.params.write_text(yaml.safe_dump({"triangulate": PARAMS | {"diagnose": False} | changes}))
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 0, printed
    with (
        reading.read(project.layout.captures, "captures") as detections,
        reading.read(project.layout.pseudo_labels, "pseudo_labels") as labels,
    ):
        return detections["tiny"].load(), labels["tiny"].load(), printed


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return ingested(tmp_path_factory.mktemp("all"), DATA_SET)


@pytest.fixture(scope="module")
def all_views(project):
    return run(project)


@pytest.fixture(scope="module")
def single_frames(project):
    return run(project, smoothing=None)[1]


@pytest.fixture(scope="module")
def plain(project):
    return run(project, method="dlt", smoothing=None, repair_swaps=False)[1]


@pytest.fixture(scope="module")
def without_camera_3(tmp_path_factory):
    assert "exclude_cameras: []" in DATA_SET
    dataset = DATA_SET.replace("exclude_cameras: []", "exclude_cameras: [cam_03]")
    return run(ingested(tmp_path_factory.mktemp("three"), dataset))


def people(camera, frame):
    file = RECORDING / "balancing_trial" / "pose" / f"cam{camera:02d}_json" / f"cam{camera:02d}.{frame:04d}.json"
    return [np.reshape(person["pose_keypoints_2d"], (25, 3)) for person in json.loads(file.read_text())["people"]]


def test_the_body_has_15_joints():
    assert len(BODY) == 15


def test_all_frames_and_views_are_read(all_views):
    detections, _, _ = all_views
    assert detections["pixels"].shape == (100, 4, 25, 2)
    assert detections["view"].values.tolist() == ["cam_01", "cam_02", "cam_03", "cam_04"]


def median_of_used(labels):
    of_body = labels.sel(keypoint=BODY)
    return np.nanmedian(of_body["reprojection_error"].values[of_body["inlier"].values == 1])


def test_over_the_views_used_the_median_reprojection_error_is_about_10_px(single_frames):
    assert median_of_used(single_frames) <= 10.5
    assert (single_frames["inlier"].sel(keypoint=BODY) == 1).mean() > 0.95


def test_smoothing_adds_little_to_the_reprojection_error(all_views, single_frames):
    _, labels, _ = all_views
    assert median_of_used(labels) <= median_of_used(single_frames) + 3


def test_weighted_by_the_learnt_noise_the_error_is_smaller_than_of_the_plain_dlt(single_frames, plain):
    assert median_of_used(single_frames) < 0.8 * median_of_used(plain)


def test_cameras_3_and_1_get_the_lowest_weight(all_views):
    detections, _, _ = all_views
    arrays = (torch.as_tensor(detections[name].values) for name in ("pixels", "confidence"))
    factor = noise.learn(Cameras.from_arrays(detections), *arrays).view_factor.tolist()
    order = sorted(zip(factor, detections["view"].values.tolist(), strict=True), reverse=True)
    assert [view for _, view in order[:2]] == ["cam_03", "cam_01"]
    assert order[1][0] > 1.25 * order[2][0]


def test_camera_3_is_the_worst_of_the_recap(all_views):
    _, _, printed = all_views
    table = printed.split("views, the worst first\n")[1].splitlines()[1:5]
    assert [line.split()[1] for line in table[:2]] == ["cam_03", "cam_01"]


def spread_of_bones(labels):
    """Standard deviation over time (m) of the bones of the body."""
    bones = [bone for bone in BODY25B.bones if set(bone) <= set(BODY)]
    assert len(bones) == 14
    points = labels["poses"]
    lengths = [
        np.linalg.norm(points.sel(keypoint=parent).values - points.sel(keypoint=child).values, axis=-1)
        for parent, child in bones
    ]
    return np.nanstd(lengths, 1)


def test_bone_lengths_vary_less_over_time_than_with_the_plain_dlt(all_views, single_frames, plain):
    smoothed, robust, dlt = (spread_of_bones(labels) for labels in (all_views[1], single_frames, plain))
    assert robust.mean() < 0.9 * dlt.mean()
    assert smoothed.mean() < 0.2 * dlt.mean()
    assert (smoothed < dlt).all()


def test_the_bones_of_both_sides_are_about_as_long(all_views):
    _, labels, _ = all_views
    points = labels["poses"]
    for parent, child in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        left, right = (
            np.nanmedian(
                np.linalg.norm(
                    points.sel(keypoint=f"{side}_{parent}") - points.sel(keypoint=f"{side}_{child}"), axis=-1
                )
            )
            for side in ("left", "right")
        )
        assert left == pytest.approx(right, rel=0.12)


def test_without_camera_3_the_error_is_smaller(without_camera_3):
    _, labels, _ = without_camera_3
    assert labels["view"].values.tolist() == ["cam_01", "cam_02", "cam_04"]
    assert np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY)) <= 9


def test_the_dummy_is_taken_in_no_frame_not_even_where_openpose_breaks_the_person_in_two(without_camera_3):
    _, labels, _ = without_camera_3
    per_frame = np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY).values, axis=-1)
    assert not (per_frame > 60).any()
    assert len(people(1, 37)) == 3


@pytest.mark.parametrize("camera", ["cam_01", "cam_02"])
def test_the_views_with_the_dummy_have_plausible_errors(without_camera_3, camera):
    _, labels, _ = without_camera_3
    assert np.nanmedian(labels["reprojection_error"].sel(keypoint=BODY, view=camera)) < 15


@pytest.mark.parametrize("camera", [1, 2, 3, 4])
def test_what_openpose_did_not_find_is_missing_and_the_rest_as_written(all_views, camera):
    detections, _, _ = all_views
    for frame in range(0, 100, 10):
        found = detections["pixels"][frame, camera - 1].values
        person = max(people(camera, frame), key=lambda keypoints: keypoints[:, 2].sum())
        expected = np.where(person[:, 2:] > 0, person[:, :2], np.nan)
        np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_the_person_is_as_tall_as_a_person(without_camera_3):
    _, labels, _ = without_camera_3
    head = labels["poses"].sel(keypoint="head_top").values
    ankles = labels["poses"].sel(keypoint=["left_ankle", "right_ankle"]).values.mean(1)
    assert 1.3 < np.nanmedian(np.linalg.norm(head - ankles, axis=-1)) < 2.0


@needs("caliscope_4cam")
def test_no_camera_draws_the_triangulation_to_itself(tmp_path):
    """Three of four cameras look from one side, one of them from half the distance; none is better than the next."""
    capture = capture_of("caliscope_4cam", tmp_path)
    cameras, (recording,) = capture.to_tensors(), capture.recordings
    pixels, confidence = torch.as_tensor(recording.pixels).float(), torch.as_tensor(recording.confidence).float()
    found = noise.learn(cameras, pixels, confidence)
    assert 0.7 < found.view_factor.min() < found.view_factor.max() < 1.6
    assert found.view_share.max() < 0.4
    assert not found.view_held.any()
    robust = triangulate_robust(cameras, pixels, found.scale(confidence)).poses
    plain, _ = triangulate(cameras, pixels, (confidence > 0).float())

    def forearms(points):
        elbows, wrists = (
            points[:, [capture.skeleton.index(f"{side}_{part}") for side in ("left", "right")]]
            for part in ("elbow", "wrist")
        )
        return 1e3 * (elbows - wrists).norm(dim=-1).numpy()

    left, right = np.nanmedian(forearms(robust), 0)
    assert left == pytest.approx(right, rel=0.03)
    assert (np.nanstd(forearms(robust), 0) < np.nanstd(forearms(plain), 0)).all()


@needs("caliscope_4cam")
def test_who_sits_is_learnt_from_without_a_pelvis(tmp_path):
    """Two cameras alone see the hips and do not agree: hardly any label has a pelvis, and all have shoulders."""
    split = {"by": "time", "test_share": 0.3}
    project = project_of(
        "caliscope_4cam", tmp_path, yaml.safe_dump({"ingest": SOURCES["caliscope_4cam"], "split": split})
    )
    assert project.run("ingest")[0] == 0
    run(project)
    trained_on = []
    for without_root in (False, True):
        train = {"steps": 1, "validation_share": 0.0, "without_root": without_root}
        project.layout.params.write_text(yaml.safe_dump({"train": train}))
        code, printed = project.run("train", "--device", "cpu")
        assert code == 0, printed
        trained_on.append(int(printed.split(" frames to train on")[0].split()[-1]))
    assert trained_on[0] < 20
    assert trained_on[1] > 180


@needs("caliscope_4cam")
def test_keypoints_that_are_never_seen_do_not_harm_the_others(tmp_path):
    """The desk hides the legs: their keypoints, which nothing holds, once strayed into a camera and all were lost."""
    dataset = yaml.safe_dump({"ingest": SOURCES["caliscope_4cam"]})
    project = project_of("caliscope_4cam", tmp_path, dataset)
    assert project.run("ingest")[0] == 0
    _, labels, _ = run(project)
    assert 8 < np.nanmedian(labels["reprojection_error"]) < 13
    assert (labels["views_used"].values >= 3).mean() > 0.5
    assert labels["poses"].sel(keypoint=["nose", "left_elbow", "right_wrist"]).notnull().mean() > 0.95

import re

import numpy as np
import pytest

from synthetic import make_project, ring_of_cameras, waving_person, write_openpose, write_pose2sim
from trilift import captures
from trilift.skeletons import BODY25B, H36M17

FRAMES = 30
TRUTH = waving_person(FRAMES)


def new_project(folder, views=4, noise_px=0.0):
    project = make_project(folder)
    cameras = ring_of_cameras(views)
    write_pose2sim(project.layout.raw / "calibration.toml", cameras)
    write_openpose(project.layout.raw / "pose", cameras, TRUTH, noise_px)
    assert project.run("ingest")[0] == 0
    return project


@pytest.fixture
def exact(tmp_path):
    return new_project(tmp_path)


@pytest.fixture
def noisy(tmp_path):
    return new_project(tmp_path, noise_px=3.0)


def triangulated(project, params="{}"):
    project.layout.params.write_text(params)
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 0, printed
    with captures.read(project.layout.pseudo_labels, "pseudo_labels") as opened:
        return opened["tiny"].load(), printed


def change_detections(project, change):
    """Write the captures again with detections that `change` got at."""
    with captures.read(project.layout.captures, "captures") as opened:
        capture = opened["tiny"].load()
    with captures.create(project.layout.captures, "captures") as file:
        written = file.add_capture(
            "tiny", recordings=captures.recordings(capture), skeleton=BODY25B, views=capture["view"].values.tolist()
        )
        arrays = {name: capture[name].values for name in captures.SCHEMAS["captures"]}
        change(arrays["keypoints_2d"], arrays["confidence"])
        for name, array in arrays.items():
            written.write(name, array)


def test_exact_detections_give_the_true_points(exact):
    labels, _ = triangulated(exact)
    assert np.linalg.norm(labels["keypoints_3d"] - TRUTH, axis=-1).max() < 1e-3
    assert labels["reprojection_error"].max() < 0.01
    assert (labels["views_used"] == 4).all()


def test_joints_of_the_training_skeleton_are_derived_in_3d(exact):
    joints = triangulated(exact)[0]["joints_3d"].values
    hips = TRUTH[:, [BODY25B.index("left_hip"), BODY25B.index("right_hip")]].mean(1)
    np.testing.assert_allclose(joints[:, H36M17.index("pelvis")], hips, atol=1e-3)
    wrist = TRUTH[:, BODY25B.index("right_wrist")]
    np.testing.assert_allclose(joints[:, H36M17.index("right_wrist")], wrist, atol=1e-3)


def test_recordings_and_names_are_handed_on(exact):
    labels, _ = triangulated(exact)
    assert labels["view"].values.tolist() == ["cam1", "cam2", "cam3", "cam4"]
    assert labels["joint"].values.tolist() == list(H36M17.keypoints)
    (recording,) = captures.recordings(labels)
    assert recording.length == FRAMES


def test_noise_on_the_images_shows_in_the_reprojection_error(noisy):
    labels, _ = triangulated(noisy)
    assert 1 < np.median(labels["reprojection_error"]) < 6
    assert np.linalg.norm(labels["keypoints_3d"] - TRUTH, axis=-1).max() < 0.1


@pytest.mark.parametrize("size", [1, 7, FRAMES])
def test_the_result_does_not_depend_on_the_size_of_blocks(noisy, monkeypatch, size):
    whole, _ = triangulated(noisy)
    monkeypatch.setattr(captures, "FRAMES_PER_BLOCK", size)
    parts, _ = triangulated(noisy)
    for name in ("keypoints_3d", "joints_3d", "reprojection_error", "views_used"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=0, atol=1e-6)


def test_the_same_input_gives_the_same_bytes(noisy):
    triangulated(noisy)
    before = noisy.layout.pseudo_labels.read_bytes()
    triangulated(noisy)
    assert noisy.layout.pseudo_labels.read_bytes() == before


def test_a_keypoint_seen_by_fewer_than_two_views_is_missing(exact):
    def hide(keypoints, confidence):
        keypoints[5, :3, 4], confidence[5, :3, 4] = np.nan, 0
        keypoints[6, :2, 4], confidence[6, :2, 4] = np.nan, 0

    change_detections(exact, hide)
    labels, _ = triangulated(exact)
    missing = np.isnan(labels["keypoints_3d"]).any("space")
    assert np.argwhere(missing.values).tolist() == [[5, 4]]
    assert labels["views_used"][5:7, 4].values.tolist() == [1, 2]
    assert np.isnan(labels["reprojection_error"][5, :, 4]).all()
    assert np.isnan(labels["reprojection_error"][6, :, 4]).values.tolist() == [True, True, False, False]


def test_an_unsure_view_counts_less(noisy):
    def shift(keypoints, confidence):
        keypoints[:, 1] += 100
        confidence[:, 1] = 0.01

    change_detections(noisy, shift)
    by_confidence, _ = triangulated(noisy)
    equal, _ = triangulated(noisy, "triangulate: {weights: equal}")
    error = [np.linalg.norm(labels["keypoints_3d"] - TRUTH, axis=-1).mean() for labels in (by_confidence, equal)]
    assert error[0] < 0.02
    assert error[1] > 0.05


def test_detections_below_the_smallest_confidence_do_not_count(exact):
    def doubt(keypoints, confidence):
        keypoints[:, 1] += 100
        confidence[:, 1] = 0.25

    change_detections(exact, doubt)
    labels, _ = triangulated(exact, "triangulate: {min_confidence: 0.5}")
    assert (labels["views_used"] == 3).all()
    assert np.linalg.norm(labels["keypoints_3d"] - TRUTH, axis=-1).max() < 1e-3
    assert labels["reprojection_error"][:, 1].min() > 50


def rows(printed, table):
    """Names and medians of a table of the recap."""
    lines = printed.split(f"reprojection error per {table}, the worst first\n")[1].split("reprojection error")[0]
    found = [
        re.fullmatch(r"(?:\S+ +)?(\S+) +(\d+\.\d) +(\d+\.\d) +(\d+)", line.strip()) for line in lines.splitlines()
    ]
    return [(row[1], float(row[2]), float(row[3]), int(row[4])) for row in found if row]


def test_the_recap_lists_the_worst_view_and_keypoint_first(noisy):
    rng = np.random.default_rng(0)

    def disturb(keypoints, confidence):
        keypoints[:, 2] += rng.normal(0, 20, keypoints[:, 2].shape)
        keypoints[:, :, 9] += rng.normal(0, 40, keypoints[:, :, 9].shape)

    change_detections(noisy, disturb)
    _, printed = triangulated(noisy)
    for table, worst in (("view", "cam3"), ("keypoint", BODY25B.keypoints[9])):
        medians = [median for _, median, _, _ in rows(printed, table)]
        assert rows(printed, table)[0][0] == worst
        assert medians == sorted(medians, reverse=True)


def test_the_recap_states_the_quantiles_of_the_errors(noisy):
    labels, printed = triangulated(noisy)
    table = rows(printed, "view")
    assert len(table) == 4
    for view, median, p90, detections in table:
        error = labels["reprojection_error"].sel(view=view).values
        assert abs(median - np.median(error)) < 0.15
        assert abs(p90 - np.quantile(error, 0.9)) < 0.15
        assert detections == error.size


def test_triangulate_before_ingest_says_what_to_do(tmp_path):
    project = make_project(tmp_path)
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 2
    assert printed.startswith(f"trilift triangulate: {project.layout.captures}: not there")
    assert project.made() == []


@pytest.mark.parametrize("setting", ["weights: best", "min_confidence: 1.5", "outliers: 3"])
def test_a_wrong_setting_is_refused_by_file_and_key(exact, setting):
    exact.layout.params.write_text(f"triangulate: {{{setting}}}")
    code, printed = exact.run("triangulate", "--device", "cpu")
    assert code == 2
    assert printed.startswith(f"trilift triangulate: {exact.layout.params}, section triangulate:\n  ")
    assert setting.split(":")[0] in printed
    assert not exact.layout.pseudo_labels.exists()

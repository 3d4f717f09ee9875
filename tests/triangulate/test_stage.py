import json
import shutil

import numpy as np
import pandas as pd
import pytest

from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_pose2sim,
)
from trilift.captures import reading, schema, writing
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.project.layout import Layout
from trilift.simulate.body import sample_body
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import BODY25B, H36M17
from trilift.triangulate import smoothing
from trilift.triangulate.settings import Limits
from trilift.triangulate.stage import _check_limits

FRAMES = 30
TRUTH = waving_person(FRAMES)
FPS = 50.0

SINGLE_FRAMES = "triangulate: {smoothing: null, diagnose: false}"
PLAIN = "triangulate: {method: dlt, smoothing: null, repair_swaps: false, diagnose: false}"
SMOOTHED = "triangulate: {diagnose: false}"


def ingested(folder, noise_px):
    """The captures of the waving person, made once."""
    project = make_project(folder)
    cameras = ring_of_cameras(4)
    write_pose2sim(project.layout.raw / "calibration.toml", cameras)
    write_openpose(project.layout.raw / "pose", cameras, TRUTH, noise_px)
    assert project.run("ingest")[0] == 0
    return project.layout.captures


@pytest.fixture(scope="module")
def exact_captures(tmp_path_factory):
    return ingested(tmp_path_factory.mktemp("exact"), 0.0)


@pytest.fixture(scope="module")
def noisy_captures(tmp_path_factory):
    return ingested(tmp_path_factory.mktemp("noisy"), 3.0)


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def with_captures(project, file):
    project.layout.captures.parent.mkdir(parents=True)
    shutil.copy(file, project.layout.captures)
    return project


@pytest.fixture
def exact(project, exact_captures):
    return with_captures(project, exact_captures)


@pytest.fixture
def noisy(project, noisy_captures):
    return with_captures(project, noisy_captures)


def triangulated(project, params=SINGLE_FRAMES):
    project.layout.params.write_text(params)
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 0, printed
    with reading.read(project.layout.pseudo_labels, "pseudo_labels") as opened:
        return next(iter(opened.values())).load(), printed


def change_detections(project, change):
    """Write the captures again with detections that `change` got at."""
    with reading.read(project.layout.captures, "captures") as opened:
        capture = opened["tiny"].load()
    with writing.create(project.layout.captures, "captures") as file:
        written = file.add_capture(
            "tiny", recordings=reading.recordings(capture), skeleton=BODY25B, views=capture["view"].values.tolist()
        )
        arrays = {name: capture[name].values for name in schema.SCHEMAS["captures"]}
        change(arrays["pixels"], arrays["confidence"])
        for name, array in arrays.items():
            written.write(name, array)


def error(labels, truth=TRUTH):
    return np.linalg.norm(labels["poses"].values - truth, axis=-1)


def recap(project, table):
    return pd.read_csv(project.layout.recap / f"{table}.csv")


def test_exact_detections_give_the_true_points(exact):
    labels, _ = triangulated(exact)
    assert error(labels).max() < 1e-3
    assert labels["reprojection_error"].max() < 0.01
    assert labels["views_used"].mean() > 3.9
    assert (labels["filled"] == 0).all()
    assert (labels["swapped"] == 0).all()


def test_joints_of_the_training_skeleton_are_derived_in_3d(exact):
    joints = triangulated(exact)[0]["training_poses"].values
    hips = TRUTH[:, [BODY25B.index("left_hip"), BODY25B.index("right_hip")]].mean(1)
    np.testing.assert_allclose(joints[:, H36M17.index("pelvis")], hips, atol=1e-3)
    wrist = TRUTH[:, BODY25B.index("right_wrist")]
    np.testing.assert_allclose(joints[:, H36M17.index("right_wrist")], wrist, atol=1e-3)


def test_it_is_recorded_where_the_joints_of_the_training_skeleton_come_from(exact):
    labels, printed = triangulated(exact)
    assert labels.attrs["joints_derived"] == "pelvis, spine, thorax"
    assert labels.attrs["joints_absent"] == ""
    assert len(labels.attrs["joints_exact"].split(", ")) == 14
    assert "joints formed from others: pelvis, spine, thorax; absent: none" in printed


def test_recordings_and_names_are_handed_on(exact):
    labels, _ = triangulated(exact)
    assert labels["view"].values.tolist() == ["cam1", "cam2", "cam3", "cam4"]
    assert labels["joint"].values.tolist() == list(H36M17.keypoints)
    (recording,) = reading.recordings(labels)
    assert recording.length == FRAMES


def test_noise_on_the_images_shows_in_the_reprojection_error(noisy):
    labels, _ = triangulated(noisy)
    assert 1 < np.median(labels["reprojection_error"]) < 6
    assert error(labels).max() < 0.1


def test_the_error_is_that_of_opencvs_projections(noisy):
    labels, _ = triangulated(noisy, SMOOTHED)
    with reading.read(noisy.layout.captures, "captures") as opened:
        detections = opened["tiny"]["pixels"].values
    points = labels["poses"].values.astype(float)
    expected = np.stack([project_with_opencv(camera, points) for camera in ring_of_cameras(4)], 1) - detections
    np.testing.assert_allclose(labels["reprojection_error"], np.linalg.norm(expected, axis=-1), atol=1e-2)


@pytest.mark.parametrize("size", [1, 13])
def test_the_result_does_not_depend_on_the_size_of_blocks(noisy, monkeypatch, size):
    whole, _ = triangulated(noisy)
    monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", size)
    parts, _ = triangulated(noisy)
    for name in ("poses", "training_poses", "covariance", "reprojection_error", "views_used", "inlier"):
        np.testing.assert_allclose(
            parts[name], whole[name], rtol=0, atol=1e-5 if name == "reprojection_error" else 1e-6
        )


def test_the_same_input_gives_the_same_bytes(noisy):
    def files():
        tables = sorted(noisy.layout.recap.iterdir())
        assert len(tables) >= 4
        return [file.read_bytes() for file in (noisy.layout.pseudo_labels, *tables)]

    triangulated(noisy, "{}")
    before = files()
    triangulated(noisy, "{}")
    assert files() == before


def test_a_keypoint_seen_by_fewer_than_two_views_is_missing(exact):
    def hide(keypoints, confidence):
        keypoints[5, :3, 4], confidence[5, :3, 4] = np.nan, 0
        keypoints[6, :2, 4], confidence[6, :2, 4] = np.nan, 0

    change_detections(exact, hide)
    labels, _ = triangulated(exact)
    missing = np.isnan(labels["poses"]).any("space")
    assert np.argwhere(missing.values).tolist() == [[5, 4]]
    assert labels["views_used"][5:7, 4].values.tolist() == [0, 2]
    assert np.isnan(labels["reprojection_error"][5, :, 4]).all()
    assert np.isnan(labels["covariance"][5, 4]).all()
    assert np.isnan(labels["reprojection_error"][6, :, 4]).values.tolist() == [True, True, False, False]


def shift_the_second_view(confidence_then):
    def shift(keypoints, confidence):
        keypoints[:, 1] += 100
        confidence[:, 1] = confidence_then

    return shift


def test_a_view_that_contradicts_the_others_counts_less_but_for_the_dlt(noisy):
    change_detections(noisy, shift_the_second_view(0.8))
    robust, _ = triangulated(noisy)
    assert recap(noisy, "views")["view"].iloc[0] == "cam2"
    plain, _ = triangulated(noisy, PLAIN.replace("{method", "{limits: {median_mm: 1000.0}, method"))
    assert error(robust).mean() < 0.02
    assert error(plain).mean() > 0.05


def test_detections_below_the_smallest_confidence_do_not_count(exact):
    change_detections(exact, shift_the_second_view(0.25))
    labels, _ = triangulated(exact, "triangulate: {min_confidence: 0.5, smoothing: null}")
    assert (labels["views_used"] == 3).all()
    assert (labels["inlier"].sel(view="cam2") == 0).all()
    assert error(labels).max() < 1e-3
    assert labels["reprojection_error"][:, 1].min() > 50


@pytest.mark.parametrize("smallest", [0.25, 0.8])
def test_the_smallest_confidence_itself_counts(exact, smallest):
    change_detections(exact, lambda keypoints, confidence: confidence.fill(smallest))
    labels, _ = triangulated(exact, PLAIN.replace("{method", f"{{min_confidence: {smallest}, method"))
    assert (labels["views_used"] == 4).all()


def test_the_dlt_knows_no_covariance_and_no_outliers(noisy):
    labels, _ = triangulated(noisy, PLAIN)
    assert np.isnan(labels["covariance"]).all()
    assert (labels["views_used"] == 4).all()
    assert (labels["swapped"] == 0).all()
    assert error(labels).mean() < 0.02


# Real bodies.


def person(motion="walking", frames=120, seed=0, size=1.0):
    rng = np.random.default_rng(seed)
    return size * simulate_motion(motion, sample_body(rng), frames, FPS, rng)


def write_capture(
    project, people, noise_px=3.0, change=lambda keypoints, confidence: None, cameras=None, name="tiny", file=None
):
    """Write a capture of recordings, given as (name, subject, points (frame, 17, 3)), to an open file or its own."""
    if file is None:
        with writing.create(project.layout.captures, "captures", dataset="tiny") as file:
            return write_capture(project, people, noise_px, change, cameras, name, file)
    cameras = cameras or ring_of_cameras(4)
    rng = np.random.default_rng(0)
    points = np.concatenate([points for *_, points in people])
    starts = np.cumsum([0, *(len(points) for *_, points in people)]).tolist()
    pixels = np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
    pixels += noise_px * rng.standard_t(5, pixels.shape)
    confidence = rng.uniform(0.5, 0.9, pixels.shape[:-1])
    change(pixels, confidence)
    confidence[np.isnan(pixels).any(-1)] = 0
    written = file.add_capture(
        name,
        recordings=[
            Recording(recording, subject, recording, FPS, start, len(points))
            for (recording, subject, points), start in zip(people, starts, strict=False)
        ],
        skeleton=H36M17,
        views=[camera.name for camera in ring_of_cameras(len(cameras))],
    )
    written.write("pixels", pixels.astype(np.float32))
    written.write("confidence", confidence.astype(np.float32))
    for field in ("K", "distortion", "R", "t", "image_size"):
        written.write(field, np.stack([getattr(camera, field) for camera in cameras]))
    return points


def bone_lengths(labels):
    parents, children = np.array(H36M17.bone_indices).T
    points = labels["poses"].values
    return np.linalg.norm(points[:, parents] - points[:, children], axis=-1)


def test_smoothing_makes_points_better_and_bones_steadier(project):
    truth = write_capture(project, [("walk", "anna", person())], noise_px=5.0)
    single, _ = triangulated(project)
    smoothed, _ = triangulated(project, SMOOTHED)
    assert error(smoothed, truth).mean() < 0.5 * error(single, truth).mean()
    assert bone_lengths(smoothed).std(0).mean() < 0.35 * bone_lengths(single).std(0).mean()
    np.testing.assert_array_equal(smoothed["covariance"], single["covariance"])


def test_smoothed_points_do_not_depend_on_the_size_of_blocks_and_windows(project, monkeypatch):
    write_capture(project, [("walk", "anna", person(frames=150)), ("sit", "anna", person("sitting", 20, 1))])
    whole, _ = triangulated(project, SMOOTHED)
    for block, window in ((80, 256), (8192, 60)):
        monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", block)
        monkeypatch.setattr(smoothing, "FRAMES_OF_WINDOW", window)
        parts, _ = triangulated(project, SMOOTHED)
        np.testing.assert_allclose(parts["poses"], whole["poses"], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(parts["views_used"], whole["views_used"])


def test_recordings_do_not_leak_into_each_other(project):
    here, there = person(frames=60), person(frames=60, seed=1)
    truth = write_capture(
        project, [("a", "anna", here - np.array([0.5, 0, 0])), ("b", "anna", there + np.array([1, 0, 0]))]
    )
    labels, _ = triangulated(project, SMOOTHED)
    of_frame = error(labels, truth).mean(1)
    assert np.linalg.norm(truth[60] - truth[59], axis=-1).min() > 0.4
    assert of_frame[58:62].max() < 0.04
    assert labels["recording_of_frame"].values.tolist() == [0] * 60 + [1] * 60


@pytest.mark.parametrize("params", [SMOOTHED, SINGLE_FRAMES, PLAIN])
def test_recordings_of_one_and_two_frames_are_triangulated(project, params):
    truth = write_capture(
        project, [("one", "anna", person(frames=1)), ("two", "bert", person(frames=2)), ("many", "carl", person())]
    )
    labels, _ = triangulated(project, params)
    assert np.isfinite(labels["poses"]).all()
    assert error(labels, truth).max() < 0.15
    assert recap(project, "recordings")["recording"].tolist() != []


def test_people_of_one_capture_have_their_own_bones(project):
    people = [("walk", "tall", person(frames=100)), ("walk again", "small", person(frames=100, size=0.6))]
    people.append(("reach", "tall", person("reaching", 40)))
    truth = write_capture(project, people)
    labels, _ = triangulated(project, SMOOTHED)
    bones = recap(project, "bones").set_index(["subject", "parent", "child"])
    assert len(bones) == 2 * len(H36M17.bones)
    for subject, points in (("tall", people[0][2]), ("small", people[1][2])):
        for (parent, child), (i, j) in zip(H36M17.bones, H36M17.bone_indices, strict=True):
            true = 1e3 * np.median(np.linalg.norm(points[:, i] - points[:, j], axis=-1))
            assert bones.loc[(subject, parent, child), "median_mm"] == pytest.approx(true, abs=6)
    assert (bones["spread_mm"] < bones["single_frames_spread_mm"]).mean() > 0.9
    assert error(labels, truth).mean() < 0.012


def hide_the_wrist(frames):
    def hide(keypoints, confidence):
        keypoints[frames, :, H36M17.index("left_wrist")] = np.nan

    return hide


def test_gaps_are_filled_where_that_is_asked_for_and_marked(project):
    wrist = H36M17.index("left_wrist")
    gaps = np.r_[0:5, 50:60, 80:100]
    truth = write_capture(project, [("walk", "anna", person())], change=hide_the_wrist(gaps))

    def missing(labels):
        return np.flatnonzero(np.isnan(labels["poses"].values[:, wrist, 0])).tolist()

    labels, _ = triangulated(project, SMOOTHED)
    assert missing(labels) == gaps.tolist()
    assert (labels["filled"] == 0).all()

    # 10 frames: a gap that is as long is filled, a longer one and one without a beginning are not.
    filled, _ = triangulated(project, "triangulate: {smoothing: {max_gap_s: 0.2}, diagnose: false}")
    assert missing(filled) == [*range(5), *range(80, 100)]
    assert np.argwhere(filled["filled"].values == 1).tolist() == [[frame, wrist] for frame in range(50, 60)]
    assert error(filled, truth)[50:60, wrist].max() < 0.06
    assert (filled["views_used"].values[50:60, wrist] == 0).all()
    assert np.isnan(filled["covariance"].values[50:60, wrist]).all()
    assert np.isfinite(filled["training_poses"].values[50:60, wrist]).all()
    keypoints = recap(project, "keypoints").set_index("keypoint")
    assert keypoints.loc["left_wrist", "filled"] == pytest.approx(10 / 120, abs=1e-4)
    assert keypoints.loc["left_wrist", "without_point"] == pytest.approx(25 / 120, abs=1e-4)
    assert keypoints.loc["left_wrist", "missing"] == pytest.approx(35 / 120, abs=1e-4)
    assert keypoints["filled"].astype(bool).sum() == 1


@pytest.mark.parametrize("size", [50])
def test_gaps_are_filled_alike_in_blocks_of_any_size(project, monkeypatch, size):
    write_capture(project, [("walk", "anna", person())], change=hide_the_wrist(np.r_[45:58, 70:73]))
    params = "triangulate: {smoothing: {max_gap_s: 0.26}, diagnose: false}"
    whole, _ = triangulated(project, params)
    assert whole["filled"].sum() == 16
    monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", size)
    parts, _ = triangulated(project, params)
    np.testing.assert_array_equal(parts["filled"], whole["filled"])
    np.testing.assert_allclose(parts["poses"], whole["poses"], rtol=0, atol=1e-4)


def test_swapped_views_are_exchanged_and_marked(project):
    planted = [(20, 0), (21, 0), (60, 2), (90, 3)]

    def swap(keypoints, confidence):
        for frame, view in planted:
            keypoints[frame, view] = keypoints[frame, view, list(H36M17.mirrored)]
            confidence[frame, view] = confidence[frame, view, list(H36M17.mirrored)]

    truth = write_capture(project, [("walk", "anna", person())], change=swap)
    repaired, _ = triangulated(project)
    assert [tuple(found) for found in np.argwhere(repaired["swapped"].values == 1)] == planted
    frames = [frame for frame, _ in planted]
    views = recap(project, "views").set_index("view")
    shares = {"cam1": 2 / 120, "cam2": 0, "cam3": 1 / 120, "cam4": 1 / 120}
    assert views["swapped"].to_dict() == pytest.approx(shares, abs=1e-4)
    assert repaired["views_used"].values[frames].mean() > 3.8
    assert error(repaired, truth)[frames].mean() < 0.03
    kept, _ = triangulated(project, "triangulate: {repair_swaps: false, smoothing: null, diagnose: false}")
    assert (kept["swapped"] == 0).all()
    assert kept["views_used"].values[frames].mean() < 3.6


def test_the_covariance_is_that_of_the_errors(project):
    truth = write_capture(project, [("walk", "anna", person(frames=300))])
    labels, _ = triangulated(project)
    upper = labels["covariance"].values.astype(float)
    assert labels["entry"].values.tolist() == ["xx", "xy", "xz", "yy", "yz", "zz"]
    covariance = upper[..., [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]
    away = labels["poses"].values - truth
    squared = np.einsum("fji,fjik,fjk->fj", away, np.linalg.inv(covariance), away)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert 0.7 * 2.37 < np.median(squared) < 1.3 * 2.37
    assert 0.8 < (squared < 6.25).mean() < 0.97


# What single frames say and other frames and the bones contradict.


def mistake_the_head(keypoints, confidence):
    """In 25 frames the two views that see the top of the head see something else in its place, 60 cm away."""
    head = H36M17.index("head_top")
    keypoints[:, 2:, head] = np.nan
    elsewhere = person()[50:75, [head]] + [0.4, 0.3, 0.3]
    for view in range(2):
        keypoints[50:75, view, head] = project_with_opencv(ring_of_cameras(4)[view], elsewhere)[:, 0]


def test_what_is_no_part_of_the_body_is_missing_or_marked_and_said(project):
    truth = write_capture(project, [("walk", "anna", person())], change=mistake_the_head)
    single, said = triangulated(project)
    head = H36M17.index("head_top")
    assert error(single, truth)[50:75, head].min() > 0.3
    assert "points left out" not in said
    labels, said = triangulated(project, SMOOTHED)
    assert np.isnan(labels["poses"][50:75, head]).all()
    assert np.isnan(labels["covariance"][50:75, head]).all()
    assert (labels["views_used"][50:75, head] == 0).all()
    assert np.nanmax(error(labels, truth)) < 0.15
    assert "points left out, because other frames and the bones contradict" in said
    assert "head_top 2" in said.split("points left out")[1].splitlines()[0]
    keypoints = recap(project, "keypoints").set_index("keypoint")
    assert keypoints.loc["head_top", "dropped"] == pytest.approx(25 / 120, abs=0.03)
    filled, _ = triangulated(project, "triangulate: {smoothing: {max_gap_s: 1.0}, diagnose: false}")
    marked = filled["filled"].values[50:75, head] == 1
    np.testing.assert_array_equal(marked, np.isfinite(filled["poses"].values[50:75, head, 0]))
    assert np.isnan(filled["covariance"].values[50:75, head]).all()


def test_flags_and_errors_are_of_one_pose(project):
    """A detection that counts lies near the pose that is written, and one that does not is farther away."""
    write_capture(project, [("walk", "anna", person())], change=mistake_the_head)
    for params in (SMOOTHED, SINGLE_FRAMES):
        labels, _ = triangulated(project, params)
        errors, used = labels["reprojection_error"].values, labels["inlier"].values == 1
        body_errors, body_used = errors[:, :, :10].reshape(-1), used[:, :, :10].reshape(-1)
        assert np.isfinite(errors[used]).all()
        rejected = np.isfinite(body_errors) & ~body_used
        assert 0 < rejected.sum() < 0.05 * len(body_errors)
        assert body_errors[body_used].max() < 2.5 * body_errors[rejected].min()


# Whose bones they are.


def test_two_people_without_names_are_noticed_and_the_remedy_works(project):
    two = [("walk", "anna", person(frames=100)), ("2026: 1", "anna", person(frames=80, size=0.85, seed=1))]
    write_capture(project, two)
    _, said = triangulated(project, SMOOTHED)
    (warning,) = {line.removeprefix("WARNING: ").strip() for line in said.splitlines() if "several people" in line}
    assert "recordings of anna" in warning
    assert "beside 'walk', bones are" in warning
    assert "% shorter in '2026: 1'" in warning
    assert 'in workflow/datasets/tiny.yaml (ingest: subjects: {"2026: 1": <name>})' in warning
    record = json.loads(project.layout.provenance("triangulate").read_text("utf-8"))
    assert warning in record["warnings"]


def test_one_person_in_several_recordings_is_one(project):
    write_capture(project, [("walk", "anna", person()), ("reach", "anna", person("reaching", 80))])
    assert "several people" not in triangulated(project, SMOOTHED)[1]


# The recap.


def test_the_recap_lists_the_worst_view_and_keypoint_first(noisy):
    rng = np.random.default_rng(0)

    def disturb(keypoints, confidence):
        keypoints[:, 2] += rng.normal(0, 20, keypoints[:, 2].shape)
        keypoints[:, :, 9] += rng.normal(0, 40, keypoints[:, :, 9].shape)

    change_detections(noisy, disturb)
    _, printed = triangulated(noisy)
    for table, name, worst in (("views", "view", "cam3"), ("keypoints", "keypoint", BODY25B.keypoints[9])):
        found = recap(noisy, table)
        assert found[name].iloc[0] == worst
        assert (found["median_px"].diff().dropna() <= 0).all()
        heading = f"{table}, the worst first" + (" (12 of 25)" if len(found) > 12 else "")
        first_row = printed.split(f"{heading}\n")[1].splitlines()[1]
        assert first_row.split()[:2] == ["tiny", worst]


def test_the_worst_view_of_all_captures_is_shown_first(project):
    with writing.create(project.layout.captures, "captures", dataset="tiny") as file:
        for day in range(5):
            noise_px = 30.0 if day == 4 else 2.0
            write_capture(project, [("walk", "anna", person(frames=20))], noise_px, name=f"day{day}", file=file)
    _, printed = triangulated(project)
    table = printed.split("views, the worst first (12 of 20)\n")[1].splitlines()[1:13]
    assert [line.split()[0] for line in table[:4]] == ["day4"] * 4
    assert recap(project, "views")["capture"].head(4).tolist() == ["day4"] * 4
    assert (recap(project, "views")["median_px"].diff().dropna() <= 0).all()


def test_each_frame_is_learnt_from_once(project):
    write_capture(project, [("walk", "anna", person(frames=301))])
    _, printed = triangulated(project)
    assert "detector's error learnt from 301 frames" in printed


def test_a_view_that_most_is_known_from_is_named_in_the_table_and_a_warning(project):
    def all_but_the_third_view_are_vague(keypoints, confidence):
        vague = [0, 1, 3]
        keypoints[:, vague] += np.random.default_rng(1).normal(0, 40, keypoints[:, vague].shape)

    people = [("walk", "anna", person(frames=300))]
    write_capture(project, people, noise_px=1.0, change=all_but_the_third_view_are_vague)
    _, printed = triangulated(project)
    views = recap(project, "views").set_index("view")
    assert views["information"].sum() == pytest.approx(1, abs=1e-3)
    assert views["information"].idxmax() == "cam3"
    assert (
        f"{100 * views.loc['cam3', 'information']:.0f} % of what is known about the points comes from cam3" in printed
    )
    write_capture(project, people)
    _, printed = triangulated(project)
    assert "% of what is known" not in printed


def test_the_recap_states_the_quantiles_of_the_errors(noisy):
    labels, _ = triangulated(noisy)
    table = recap(noisy, "views").set_index("view")
    assert len(table) == 4
    for view, row in table.iterrows():
        errors = labels["reprojection_error"].sel(view=view).values
        assert row["median_px"] == pytest.approx(np.median(errors), abs=0.1)
        assert row["p90_px"] == pytest.approx(np.quantile(errors, 0.9), abs=0.1)
        # 4 m away, a pixel of a focal length of 1105 is 3.6 mm.
        assert 3.2 < row["median_mm"] / row["median_px"] < 4.0


@pytest.mark.parametrize("params", [SINGLE_FRAMES, PLAIN])
def test_the_recap_holds_the_planted_gaps(noisy, params):
    def hide(keypoints, confidence):
        keypoints[:6, 0], confidence[:6, 0] = np.nan, 0
        keypoints[:, 2, :5], confidence[:, 2, :5] = np.nan, 0

    change_detections(noisy, hide)
    triangulated(noisy, params)
    views = recap(noisy, "views").set_index("view")
    expected = {"cam1": 0.2, "cam2": 0, "cam3": 0.2, "cam4": 0}
    assert views["missing"].to_dict() == pytest.approx(expected, abs=1e-4)
    keypoints = recap(noisy, "keypoints").set_index("keypoint")
    assert keypoints.loc[BODY25B.keypoints[0], "missing"] == pytest.approx((6 + 30) / 120, abs=1e-4)
    assert keypoints.loc[BODY25B.keypoints[20], "missing"] == pytest.approx(6 / 120, abs=1e-4)
    (recording,) = recap(noisy, "recordings").to_dict("records")
    assert recording["missing"] == pytest.approx(0.1, abs=1e-4)


def test_the_recap_holds_the_planted_outliers(noisy):
    rng = np.random.default_rng(0)
    wild = rng.random((FRAMES, 25)) < 0.1

    def disturb(keypoints, confidence):
        keypoints[:, 2][wild] += 300

    change_detections(noisy, disturb)
    triangulated(noisy)
    views = recap(noisy, "views").set_index("view")
    assert views.loc["cam3", "rejected"] == pytest.approx(wild.mean(), abs=0.02)
    assert views["rejected"].drop("cam3").max() < 0.02


# What stops the stage.


def stopped(project, params):
    project.layout.params.write_text(params)
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 2, printed
    assert "Traceback" not in printed
    assert not project.layout.pseudo_labels.exists()
    assert not list(project.layout.pseudo_labels.parent.glob("*"))
    return printed


def test_cameras_in_another_order_stop_the_stage(project):
    write_capture(project, [("walk", "anna", person())])
    with reading.read(project.layout.captures, "captures") as opened:
        right = {name: opened["tiny"][name].values for name in schema.SCHEMAS["captures"]}
        recordings = reading.recordings(opened["tiny"])
    with writing.create(project.layout.captures, "captures", dataset="tiny") as file:
        written = file.add_capture(
            "tiny", recordings=recordings, skeleton=H36M17, views=["cam1", "cam2", "cam3", "cam4"]
        )
        for name, values in right.items():
            written.write(name, values[[1, 3, 0, 2]] if name in ("R", "t") else values)
    for params in (SMOOTHED, SINGLE_FRAMES, PLAIN):
        printed = stopped(project, params)
        assert f"trilift triangulate: {project.layout.captures}, capture tiny: " in printed
        assert "triangulate.limits in params.yaml" in printed
        assert "cameras in another order" in printed


def lose(share):
    def lost(keypoints, confidence):
        keypoints[np.random.default_rng(1).random(confidence.shape) < share] = np.nan

    return lost


def one_view_off(keypoints, confidence):
    """In half of the frames, put all detections of one view somewhere else: an eighth of every view's."""
    frames = np.arange(0, len(keypoints), 2)
    keypoints[frames, frames // 2 % 4] += 200


@pytest.mark.parametrize(
    ("limit", "change"), [("missing: 0.3", lose(0.5)), ("median_mm: 5", lose(0.0)), ("rejected: 0.08", one_view_off)]
)
def test_a_limit_stops_the_stage_and_names_itself(project, limit, change):
    write_capture(project, [("walk", "anna", person(frames=60))], change=change)
    name, value = limit.split(": ")
    printed = stopped(project, f"triangulate: {{smoothing: null, diagnose: false, limits: {{{limit}}}}}")
    message = printed[printed.rindex("trilift triangulate: ") :]
    assert f"capture tiny: {name} is " in message
    assert f"; {value} is allowed" in message
    assert "views, the worst first" in printed
    triangulated(project)


def seldom_in_view(keypoints, confidence):
    keypoints[10:] = np.nan


def test_frames_without_anybody_are_not_missing_detections(project):
    write_capture(project, [("walk", "anna", person(frames=200))], change=seldom_in_view)
    triangulated(project)
    assert (recap(project, "views")["missing"] < 0.1).all()
    (recording,) = recap(project, "recordings").to_dict("records")
    assert recording["nobody"] == 0.95
    assert recording["without_point"] < 0.1


def test_what_missing_is_and_what_it_comes_from_is_said(project):
    def few_views_at_a_time(keypoints, confidence):
        """Two views, and the first one alone in the end."""
        half = len(keypoints) // 2
        keypoints[:half, :2] = keypoints[half:, 2:] = np.nan
        keypoints[-5:, 1] = np.nan

    write_capture(project, [("walk", "anna", person(frames=60))], change=few_views_at_a_time)
    printed = stopped(project, "triangulate: {limits: {missing: 0.4}, diagnose: false}")
    message = printed[printed.rindex("trilift triangulate: ") :]
    assert "missing is 0.5 in the middle view" in message
    assert "counted over the frames in which a view sees somebody" in message
    assert "calibration" not in message
    triangulated(project, "triangulate: {limits: {missing: 0.6}, diagnose: false}")
    assert (recap(project, "views")["rejected"] < 0.05).all()


def test_without_any_detection_the_stage_stops(project):
    write_capture(project, [("walk", "anna", person(frames=20))], change=lose(1.1))
    for params in (SMOOTHED, SINGLE_FRAMES, PLAIN):
        assert "capture tiny: nobody is seen in any frame; look whether the detector ran" in stopped(project, params)


def test_views_that_never_see_the_same_keypoint_stop_the_stage(project):
    def in_turn(keypoints, confidence):
        for view in range(4):
            keypoints[np.arange(len(keypoints)) % 4 != view, view] = np.nan

    write_capture(project, [("walk", "anna", person(frames=40))], change=in_turn)
    for params in (SMOOTHED, SINGLE_FRAMES, PLAIN):
        assert "no two views see the same keypoint" in stopped(project, params)


def test_all_captures_beyond_a_limit_are_named_at_once():
    views = pd.DataFrame(
        {
            "capture": ["a", "a", "b", "b", "c", "c"],
            "view": ["left", "right"] * 3,
            "missing": [0.9, 0.8, 0.1, 0.1, 0.95, 0.9],
            "rejected": [0.0, np.nan, 0.9, 0.8, 0.9, 0.9],
            "median_mm": 5.0,
        }
    )
    with pytest.raises(InputError) as caught:
        _check_limits(views, Limits(), Layout("tiny"))
    of_missing, of_rejected = str(caught.value).split("\n")
    assert "capture a: missing is 0.85 " in of_missing
    assert "capture c: missing is 0.925 " in of_missing
    assert "capture b: rejected is 0.85 " in of_rejected
    assert "capture b" not in of_missing


def test_one_bad_view_of_four_does_not_stop_the_stage(noisy):
    rng = np.random.default_rng(0)

    def disturb(keypoints, confidence):
        keypoints[:, 1] = rng.uniform(0, 1000, keypoints[:, 1].shape)

    change_detections(noisy, disturb)
    triangulated(noisy)
    assert recap(noisy, "views").set_index("view")["median_mm"].idxmax() == "cam2"


def test_triangulate_before_ingest_says_what_to_do(project):
    code, printed = project.run("triangulate", "--device", "cpu")
    assert code == 2
    assert printed.startswith(f"trilift triangulate: {project.layout.captures}: not there")
    assert project.made() == []


@pytest.mark.parametrize(
    "setting",
    [
        "method: best",
        "min_confidence: 1.5",
        "outliers: 3",
        "smoothing: {acceleration: 0.0}",
        "smoothing: {max_gap_s: -1.0}",
        "limits: {missing: 2.0}",
        "repair_swaps: maybe",
    ],
)
def test_a_wrong_setting_is_refused_by_file_and_key(exact, setting):
    exact.layout.params.write_text(f"triangulate: {{{setting}}}")
    code, printed = exact.run("triangulate", "--device", "cpu")
    assert code == 2
    assert printed.startswith(f"trilift triangulate: {exact.layout.params}, section triangulate:\n  ")
    for key in setting.replace("{", "").split(": ")[:-1]:
        assert key in printed
    assert not exact.layout.pseudo_labels.exists()


@pytest.mark.parametrize("more", ["", ", smoothing: null", ", repair_swaps: false"])
def test_what_the_dlt_cannot_do_is_refused(exact, more):
    exact.layout.params.write_text(f"triangulate: {{method: dlt{more}}}")
    code, printed = exact.run("triangulate", "--device", "cpu")
    assert code == 2
    assert "set smoothing: null and repair_swaps: false" in printed

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift.captures import reading
from trilift.formats import human36m
from trilift.formats.videopose3d import write_detections, write_reference
from trilift.ingest import stage
from trilift.ingest.assembled import AssembledRecording
from trilift.skeletons import BODY25B, H36M17

FRAMES = 12
NPZ_DATA_SET = """
ingest:
  detections:
    format: videopose3d
    path: detections.npz
    detector: synthetic
  cameras:
    format: toml
    path: calibration.toml
  reference:
    format: videopose3d
    path: reference.npz
  fps: 50
"""


@pytest.fixture
def openpose(tmp_path):
    project = make_project(tmp_path)
    write_openpose_data_set(project.layout.raw, FRAMES)
    return project


UNCHECKED = "{ingest: {check: skip}, triangulate: {}}"  # keypoints drawn at random agree in no calibration


def npz_views(number=3, frames=FRAMES, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 1, (frames, 17, 3)).astype(np.float32) * [1000, 700, 1] for _ in range(number)]


def npz_poses(frames=FRAMES):
    return np.random.default_rng(9).normal(size=(frames, 17, 3)).astype(np.float32)


@pytest.fixture
def npz(tmp_path):
    project = make_project(tmp_path, NPZ_DATA_SET, UNCHECKED)
    raw = project.layout.raw
    write_pose2sim(raw / "calibration.toml", ring_of_cameras(3))
    write_detections(raw / "detections.npz", {"S1": {"Walk": npz_views()}})
    write_reference(raw / "reference.npz", {"S1": {"Walk": npz_poses()}})
    return project


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refusal(project):
    """The message of an ingest that is refused, after the checks that hold for every refusal."""
    code, printed = project.run("ingest")
    assert code == 2
    assert printed.startswith("trilift ingest: ")
    assert printed.count("trilift ingest: ") == 1
    assert "Traceback" not in printed
    assert project.made() == []
    return printed


def ingested(project):
    code, printed = project.run("ingest")
    assert code == 0, printed
    with reading.read(project.layout.captures, "captures") as opened:
        return {name: capture.load() for name, capture in opened.items()}, printed


def test_the_captures_hold_what_openpose_wrote(openpose):
    content, _ = ingested(openpose)
    (capture,) = content.values()
    assert list(content) == ["tiny"]
    assert capture["view"].values.tolist() == ["cam1", "cam2", "cam3"]
    for view in range(3):
        for frame in range(FRAMES):
            file = openpose.layout.raw / "pose" / f"cam{view + 1}_json" / f"cam{view + 1}.{frame:04d}.json"
            written = np.reshape(json.loads(file.read_text())["people"][0]["pose_keypoints_2d"], (25, 3))
            np.testing.assert_array_equal(capture["pixels"][frame, view], written[:, :2].astype(np.float32))
            np.testing.assert_array_equal(capture["confidence"][frame, view], written[:, 2].astype(np.float32))


def test_the_captures_hold_the_cameras(openpose):
    (capture,) = ingested(openpose)[0].values()
    for view, camera in enumerate(ring_of_cameras(3)):
        for name in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_allclose(capture[name][view], getattr(camera, name), atol=1e-12)
    assert capture["image_size"].dtype == np.int32


def test_the_captures_state_where_they_come_from(openpose):
    (capture,) = ingested(openpose)[0].values()
    facts = {"dataset": "tiny", "detections_from": "synthetic", "simulated": "no", "skeleton": "body25b"}
    facts |= {"confidence_source": "detector"}
    assert {name: capture.attrs[name] for name in facts} == facts
    (recording,) = reading.recordings(capture)
    assert (recording.name, recording.fps, recording.length) == ("tiny", 30.0, FRAMES)


def test_the_captures_and_references_hold_what_the_archives_hold(npz):
    (capture,) = ingested(npz)[0].values()
    expected = np.stack(npz_views(), 1)
    np.testing.assert_array_equal(capture["pixels"], expected[..., :2].astype(np.float32))
    np.testing.assert_array_equal(capture["confidence"], expected[..., 2].astype(np.float32))
    with reading.read(npz.layout.references, "references") as references:
        np.testing.assert_array_equal(references["tiny"]["poses"].values, npz_poses())


def test_recordings_follow_each_other_in_the_capture_of_their_rig(npz):
    actions = {"Walk": npz_views(), "Sit": npz_views(frames=5, seed=1)}
    write_detections(npz.layout.raw / "detections.npz", {"S1": actions, "S9": {"Walk": npz_views(seed=2)}})
    ((_, capture),) = ingested(npz)[0].items()
    assert [(row.subject, row.action, row.start, row.length) for row in reading.recordings(capture)] == [
        ("S1", "Walk", 0, FRAMES),
        ("S1", "Sit", FRAMES, 5),
        ("S9", "Walk", FRAMES + 5, FRAMES),
    ]
    sitting = np.stack(actions["Sit"], 1)[..., :2].astype(np.float32)
    np.testing.assert_array_equal(capture["pixels"][FRAMES : FRAMES + 5], sitting)


def test_recordings_without_a_reference_have_missing_reference_poses(npz):
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Run": npz_views(), "Walk": npz_views()}})
    ingested(npz)
    with reading.read(npz.layout.references, "references") as references:
        poses = references["tiny"]["poses"].values
    assert np.isnan(poses[:FRAMES]).all()
    np.testing.assert_array_equal(poses[FRAMES:], npz_poses())


def test_published_detections_get_the_published_cameras_and_full_confidence(tmp_path):
    dataset = NPZ_DATA_SET.replace("toml\n    path: calibration.toml", "human36m").replace(
        "  reference:\n    format: videopose3d\n    path: reference.npz\n", ""
    )
    project = make_project(tmp_path, dataset, UNCHECKED)
    positions = {"S9": {"Walk": [view[..., :2] for view in npz_views(4)]}}
    write_detections(project.layout.raw / "detections.npz", positions)
    capture = ingested(project)[0]["S9"]
    assert capture.attrs["confidence_source"] == "none"
    assert (capture["confidence"] == 1).all()
    np.testing.assert_array_equal(capture["t"], [camera.t for camera in human36m.read_cameras()["S9"]])


def test_missing_keypoints_have_no_confidence_and_the_unsure_no_place(npz):
    views = npz_views()
    views[0][3, 5, 0] = np.nan
    views[1][4, 6, 2] = 0
    views[2][5, 7, 2] = np.nan
    views[2][6, 8, 2] = 1.04
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": views}})
    (capture,) = ingested(npz)[0].values()
    keypoints, confidence = capture["pixels"].values, capture["confidence"].values
    for place in ((3, 0, 5), (4, 1, 6), (5, 2, 7)):
        assert np.isnan(keypoints[place]).all()
        assert confidence[place] == 0
    assert np.isnan(keypoints).any(-1).sum() == 3
    assert confidence[6, 2, 8] == 1


def test_confidences_in_percent_are_refused(npz):
    views = npz_views()
    views[1][..., 2] *= 100
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": views}})
    assert "they must lie between 0 and 1" in refusal(npz)


def test_a_frame_without_a_file_is_missing_in_its_view_alone(openpose):
    complete = ingested(openpose)[0]["tiny"]["pixels"].values
    next((openpose.layout.raw / "pose/cam2_json").glob("*0003.json")).unlink()
    keypoints = ingested(openpose)[0]["tiny"]["pixels"].values
    assert np.isnan(keypoints[3, 1]).all()
    others = np.ones(complete.shape[:2], bool)
    others[3, 1] = False
    np.testing.assert_array_equal(keypoints[others], complete[others])


def test_views_that_start_at_another_frame_number_keep_the_clock(openpose):
    for name in ("0000", "0001"):
        next((openpose.layout.raw / "pose/cam2_json").glob(f"*{name}.json")).unlink()
    code, printed = openpose.run("ingest")
    assert code == 0
    assert "start at different frame numbers" in printed
    assert np.isnan(ingested(openpose)[0]["tiny"]["pixels"][:2, 1]).all()


def test_a_recording_begins_at_the_first_frame_of_its_files(openpose):
    pose = openpose.layout.raw / "pose"
    for path in sorted(pose.glob("*/*.json"), reverse=True):
        number = int(path.stem.rpartition(".")[2]) + 370
        path.rename(path.with_name(f"clip_{number:012d}_keypoints.json"))
    (capture,) = ingested(openpose)[0].values()
    (recording,) = reading.recordings(capture)
    assert (recording.start, recording.length, recording.first_frame) == (0, FRAMES, 370)


def test_views_are_matched_to_cameras_by_plain_names(openpose):
    raw = openpose.layout.raw
    text = (raw / "calibration.toml").read_text()
    (raw / "calibration.toml").write_text(text.replace('"cam', '"Cam_'))
    (capture,) = ingested(openpose)[0].values()
    assert capture["view"].values.tolist() == ["Cam_1", "Cam_2", "Cam_3"]
    expected = project_with_opencv(ring_of_cameras(3)[2], waving_person(FRAMES))
    assert np.abs(capture["pixels"][:, 2].values - expected).max() < 10


def test_views_are_in_the_order_of_the_cameras(openpose):
    write_pose2sim(openpose.layout.raw / "calibration.toml", ring_of_cameras(3)[::-1])
    (capture,) = ingested(openpose)[0].values()
    assert capture["view"].values.tolist() == ["cam3", "cam2", "cam1"]
    expected = project_with_opencv(ring_of_cameras(3)[0], waving_person(FRAMES))
    assert np.abs(capture["pixels"][:, 2].values - expected).max() < 10


def test_views_with_other_names_are_matched_by_the_data_sets_file(openpose):
    pose = openpose.layout.raw / "pose"
    (pose / "cam2_json").rename(pose / "left_json")
    assert "no camera for the view 'left'" in refusal(openpose)
    edit(openpose.layout.dataset_file, "  fps", "  views: {left: cam2}\n  fps")
    assert ingested(openpose)[0]["tiny"]["view"].values.tolist() == ["cam1", "cam2", "cam3"]


def test_excluded_cameras_are_left_out(openpose):
    edit(openpose.layout.dataset_file, "  fps", "  exclude_cameras: [cam2]\n  fps")
    (capture,) = ingested(openpose)[0].values()
    assert capture["view"].values.tolist() == ["cam1", "cam3"]
    np.testing.assert_allclose(capture["t"], [ring_of_cameras(3)[view].t for view in (0, 2)], atol=1e-12)


def test_excluded_cameras_of_views_without_names_are_left_out(npz):
    edit(npz.layout.dataset_file, "  fps", "  exclude_cameras: [cam2]\n  fps")
    (capture,) = ingested(npz)[0].values()
    np.testing.assert_array_equal(capture["pixels"][:, 1], npz_views()[2][..., :2].astype(np.float32))


def test_an_excluded_camera_may_be_broken(openpose):
    edit(openpose.layout.dataset_file, "  fps", "  exclude_cameras: [cam3]\n  fps")
    shutil.rmtree(openpose.layout.raw / "pose" / "cam3_json")
    ingested(openpose)


@pytest.mark.parametrize("names", ["[cam9]", "[cam1, cam9]"])
def test_an_unknown_excluded_camera_is_refused(openpose, names):
    edit(openpose.layout.dataset_file, "  fps", f"  exclude_cameras: {names}\n  fps")
    printed = refusal(openpose)
    assert f"{openpose.layout.dataset_file}: exclude_cameras names cam9, but the cameras are cam1" in printed


def test_one_view_is_too_few(openpose):
    edit(openpose.layout.dataset_file, "  fps", "  exclude_cameras: [cam1, cam2]\n  fps")
    assert "1 views left" in refusal(openpose)


def test_a_view_without_a_camera_is_refused(openpose):
    write_pose2sim(openpose.layout.raw / "calibration.toml", ring_of_cameras(3)[:2])
    printed = refusal(openpose)
    assert str(openpose.layout.raw) in printed
    assert "no camera for the view 'cam3'" in printed
    assert str(openpose.layout.dataset_file) in printed


def test_a_camera_without_a_view_is_refused(openpose):
    shutil.rmtree(openpose.layout.raw / "pose" / "cam2_json")
    printed = refusal(openpose)
    assert "no view for the camera cam2 of the calibration" in printed
    assert "exclude_cameras" in printed


def test_a_name_of_a_view_that_does_not_exist_is_refused(openpose):
    edit(openpose.layout.dataset_file, "  fps", "  views: {left: cam2}\n  fps")
    assert "views names left, but the views are cam1, cam2, cam3" in refusal(openpose)


def test_cameras_whose_names_cannot_be_told_apart_are_refused(openpose):
    edit(openpose.layout.raw / "calibration.toml", 'name = "cam2"', 'name = "cam_1"')
    assert "the names of the cameras (cam1, cam_1, cam3) do not differ" in refusal(openpose)


def test_references_that_match_no_recording_are_named(npz):
    write_reference(npz.layout.raw / "reference.npz", {"S1": {"Fly": np.zeros((5, 17, 3))}})
    code, printed = npz.run("ingest")
    assert code == 0
    assert "references without detections, not used: S1 Fly" in printed


def test_references_with_different_joints_in_one_capture_are_refused(npz):
    raw = npz.layout.raw
    write_detections(raw / "detections.npz", {"S1": {"Walk": npz_views(), "Run": npz_views()}})
    poses = {"S1": {"Walk": npz_poses(), "Run": npz_poses()[:, :15]}}
    np.savez(raw / "reference.npz", positions_3d=np.array(poses, object))
    code, printed = npz.run("ingest")
    assert code == 2
    assert "several skeletons: h36m17 ('S1 Walk'), humaneva15 ('S1 Run')" in printed
    assert npz.made() == []


def test_another_number_of_views_than_cameras_is_refused(npz):
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": npz_views(2)}})
    printed = refusal(npz)
    assert str(npz.layout.raw) in printed
    assert "2 views, but the calibration has 3 cameras" in printed


def test_two_views_of_one_camera_are_refused(openpose):
    pose = openpose.layout.raw / "pose"
    shutil.copytree(pose / "cam1_json", pose / "cam_1_json")
    assert "two views for the camera cam1" in refusal(openpose)


def test_a_capture_without_cameras_is_refused(tmp_path):
    project = make_project(tmp_path, NPZ_DATA_SET.replace("toml\n    path: calibration.toml", "human36m"), UNCHECKED)
    write_detections(project.layout.raw / "detections.npz", {"Bob": {"Walk": npz_views(4)}})
    write_reference(project.layout.raw / "reference.npz", {})
    assert f"{project.layout.dataset_file}: no cameras for 'Bob'" in refusal(project)


@pytest.mark.parametrize("joints", [14, 32])
def test_another_number_of_joints_is_refused(npz, joints):
    path = npz.layout.raw / "detections.npz"
    write_detections(path, {"S1": {"Walk": [np.zeros((FRAMES, joints, 3), np.float32)] * 3}})
    printed = refusal(npz)
    assert f"{path}, S1 'Walk', camera 1" in printed
    assert f"{joints}, 3" in printed


def test_another_layout_than_stated_is_refused(openpose):
    edit(openpose.layout.dataset_file, "body25b", "coco17")
    printed = refusal(openpose)
    assert str(openpose.layout.raw / "pose" / "cam1_json") in printed
    assert "17 keypoints of coco17; found lists of 25" in printed


def test_an_unknown_layout_is_refused(openpose):
    edit(openpose.layout.dataset_file, "body25b", "body26")
    printed = refusal(openpose)
    assert str(openpose.layout.dataset_file) in printed
    assert "detections.skeleton: must be one of" in printed


def test_views_of_very_different_length_are_refused(npz):
    views = npz_views()
    views[1] = npz_views(1, frames=FRAMES + 11)[0]
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": views}})
    printed = refusal(npz)
    assert f"{npz.layout.raw}, 'S1 Walk': the views differ by 11 frames" in printed
    assert f"cam1 {FRAMES}, cam2 {FRAMES + 11}, cam3 {FRAMES}" in printed


def test_views_of_slightly_different_length_are_cut_with_a_notice(openpose):
    (openpose.layout.raw / "pose" / "cam2_json" / f"cam2.{FRAMES - 1:04d}.json").unlink()
    content, printed = ingested(openpose)
    assert content["tiny"].sizes["frame"] == FRAMES - 1
    assert "cut to the shortest, most in 'tiny' (by 1 frames)" in printed


def test_a_longer_reference_is_cut_with_a_notice(npz):
    write_reference(npz.layout.raw / "reference.npz", {"S1": {"Walk": npz_poses(FRAMES + 2)}})
    _, printed = ingested(npz)
    assert "cut to the shortest, most in 'S1 Walk' (by 2 frames)" in printed
    with reading.read(npz.layout.references, "references") as references:
        np.testing.assert_array_equal(references["tiny"]["poses"].values, npz_poses(FRAMES + 2)[:FRAMES])


def test_how_much_is_cut_is_a_setting(openpose):
    (openpose.layout.raw / "pose" / "cam2_json" / f"cam2.{FRAMES - 1:04d}.json").unlink()
    edit(openpose.layout.dataset_file, "  fps", "  max_length_difference: 0\n  fps")
    assert "at most 0 are cut off" in refusal(openpose)


@pytest.mark.parametrize("entry", ["translation", "rotation", "matrix", "distortions"])
def test_a_calibration_with_nan_is_refused(openpose, entry):
    path = openpose.layout.raw / "calibration.toml"
    lines = path.read_text().splitlines()
    where = next(number for number, line in enumerate(lines) if line.startswith(entry))
    start, end = lines[where].rsplit(",", 1)
    lines[where] = f"{start}, nan{']' * end.count(']')}"
    path.write_text("\n".join(lines))
    assert f"{path}, [cam1]: `{entry}`" in refusal(openpose)


@pytest.mark.parametrize(("value", "expected"), [("-1100.0", "focal lengths"), ("0.0", "focal lengths")])
def test_a_calibration_that_is_no_camera_is_refused(openpose, value, expected):
    edit(openpose.layout.raw / "calibration.toml", "1100.0", value)
    printed = refusal(openpose)
    assert "calibration.toml, [cam1]" in printed
    assert expected in printed


def test_a_skewed_camera_is_refused(openpose):
    edit(openpose.layout.raw / "calibration.toml", "[1100.0, 0.0,", "[1100.0, 3.0,")
    assert "[cam1]: K has a skew of 3" in refusal(openpose)


def test_an_unknown_setting_is_refused(openpose):
    openpose.layout.params.write_text("ingest: {max_length: 3}")
    printed = refusal(openpose)
    assert f"{openpose.layout.params}, section ingest" in printed
    assert "max_length: unknown setting" in printed


def test_an_unknown_setting_of_the_data_set_is_refused(openpose):
    edit(openpose.layout.dataset_file, "  fps", "  speed: 3\n  fps")
    printed = refusal(openpose)
    assert f"{openpose.layout.dataset_file}, section ingest" in printed
    assert "speed: unknown setting" in printed


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("    skeleton: body25b\n", "", "detections: "),
        ("fps: 30", "fps: fast", "fps: "),
        ("fps: 30", "fps: -5", "fps: "),
        ("fps: 30", "fps: .nan", "fps: "),
        (
            "    path: pose",
            "    colour: red\n    path: pose",
            "detections.colour: unknown setting (known here: format, ",
        ),
        ("    path: calibration.toml\n", "", "cameras: "),
        ("format: openpose", "format: alphapose", "detections.format: "),
        ("    detector: synthetic\n", "", "detections: `detector` is needed, what made the detections"),
    ],
)
def test_a_wrong_setting_of_the_data_set_is_refused_by_its_key(openpose, old, new, key):
    edit(openpose.layout.dataset_file, old, new)
    printed = refusal(openpose)
    assert f"{openpose.layout.dataset_file}, section ingest:\n  {key}" in printed


def test_an_unknown_data_set_is_refused_with_the_known_ones(openpose):
    openpose.layout.dataset_file.rename(openpose.layout.dataset_file.with_name("other.yaml"))
    assert "there are: other" in refusal(openpose)


def test_settings_that_are_no_yaml_are_refused(openpose):
    openpose.layout.params.write_text("ingest: [")
    assert f"{openpose.layout.params}: no valid YAML" in refusal(openpose)


def test_missing_raw_files_are_refused(openpose):
    shutil.rmtree(openpose.layout.raw)
    assert f"{openpose.layout.raw}: not there" in refusal(openpose)


@pytest.mark.parametrize("missing", ["detections.npz", "reference.npz", "calibration.toml"])
def test_a_missing_raw_file_is_refused_by_name(npz, missing):
    (npz.layout.raw / missing).unlink()
    assert f"{npz.layout.raw / missing}: not there" in refusal(npz)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("file", ["detections.npz", "reference.npz"])
def test_a_truncated_archive_is_refused_by_name(npz, file, share):
    path = npz.layout.raw / file
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert f"{path}: no complete .npz file" in refusal(npz)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(npz, tmp_path):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    path = npz.layout.raw / "detections.npz"
    np.savez(path, positions_2d=np.array({"S1": {"Walk": [Attack()]}}, dtype=object), allow_pickle=True)
    assert f"{path}, entry 'positions_2d': refused, because it names" in refusal(npz)
    assert not marker.exists()


def test_a_damaged_json_file_is_refused_by_name(openpose):
    path = openpose.layout.raw / "pose" / "cam2_json" / "cam2.0003.json"
    path.write_text('{"people": [')
    assert str(path) in refusal(openpose)


def test_infinite_coordinates_are_refused(npz):
    views = npz_views()
    views[1][2, 3, 0] = np.inf
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": views}})
    assert "infinite number" in refusal(npz)


def test_a_recording_without_frames_is_refused(npz):
    write_detections(npz.layout.raw / "detections.npz", {"S1": {"Walk": npz_views(frames=0)}})
    assert "no frames" in refusal(npz)


def test_a_refused_ingest_keeps_the_captures_of_before(npz):
    ingested(npz)
    before = npz.layout.captures.read_bytes()
    (npz.layout.raw / "detections.npz").write_bytes(b"")
    code, _ = npz.run("ingest")
    assert code == 2
    assert npz.layout.captures.read_bytes() == before
    assert len(npz.made()) == 2


def test_ingest_again_gives_the_same_bytes(openpose):
    ingested(openpose)
    before = {path: path.read_bytes() for path in openpose.made()}
    ingested(openpose)
    assert {path: path.read_bytes() for path in openpose.made()} == before


def test_a_log_file_holds_the_message_too(openpose, tmp_path):
    openpose.layout.params.write_text("ingest: {max_length: 3}")
    code, printed = openpose.run("ingest", "--log", str(tmp_path / "logs" / "ingest.log"))
    assert code == 2
    assert (tmp_path / "logs" / "ingest.log").read_text() == printed


def test_the_layout_of_archives_is_the_training_skeleton(npz):
    (capture,) = ingested(npz)[0].values()
    assert capture["keypoint"].values.tolist() == list(H36M17.keypoints)


@pytest.mark.parametrize(("clips", "subject", "warned"), [(2, None, True), (2, "Ann", False), (1, None, False)])
def test_numbers_that_mean_other_people_in_every_clip_are_warned_of(clips, subject, warned, caplog):
    recordings = [
        AssembledRecording(
            name=(name := f"clip{clip}/person_{number}"),
            subject=subject or name,
            action="walk",
            first_frame=5 * number,
            pixels=np.zeros((10, 2, 25, 2)),
            confidence=np.ones((10, 2, 25)),
            detection=np.ones((10, 2), int),
            reference=None,
            cut=0,
            crowded=np.ones(2),
            person=f"person_{number}",
        )
        for clip in range(clips)
        for number in (1, 2)
    ]
    views = [f"cam{number}" for number in (1, 2)]
    capture = SimpleNamespace(
        name="lab", recordings=recordings, cameras=views, names_of_views=views, skeleton=BODY25B
    )
    with caplog.at_level("INFO"):
        stage._describe(capture)
    assert "clip0: 2 people: person_1 frames 5-14, person_2 frames 10-19" in caplog.text
    assert ("split by subject" in caplog.text) == warned

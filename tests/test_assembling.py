"""How recordings of several files, offsets and people come together."""

import json
import shutil

import numpy as np
import pytest

from real_data import ROOT
from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift.assembling import assemble
from trilift.errors import InputError
from trilift.formats.registry import Source
from trilift.formats.videopose3d import write_detections
from trilift.params import parse, read_yaml

FRAMES = 30


def assembled(project, **changes):
    """Read the captures of a project with changes to the section `ingest`."""
    section = read_yaml(project.layout.dataset_file)["ingest"]
    for name, value in changes.items():
        section[name] = section.get(name, {}) | value if isinstance(value, dict) else value
    return list(assemble(project.layout, parse(Source, section, "test"), 10))


def refused(project, **changes):
    with pytest.raises(InputError) as caught:
        assembled(project, **changes)
    return str(caught.value)


@pytest.fixture
def openpose(tmp_path):
    project = make_project(tmp_path)
    write_openpose_data_set(project.layout.raw, FRAMES)
    return project


def test_a_late_camera_is_brought_into_time(openpose):
    (before,) = assembled(openpose)
    (after,) = assembled(openpose, offsets={"cam2": 4})
    (one,), (other,) = before.recordings, after.recordings
    assert len(other.keypoints) == FRAMES - 4
    np.testing.assert_array_equal(other.keypoints[:, 1], one.keypoints[4:, 1])
    np.testing.assert_array_equal(other.keypoints[:, [0, 2]], one.keypoints[: FRAMES - 4, [0, 2]])


def test_an_early_camera_is_brought_into_time(openpose):
    (before,) = assembled(openpose)
    (after,) = assembled(openpose, offsets={"cam2": -4})
    np.testing.assert_array_equal(after.recordings[0].keypoints[:, 1], before.recordings[0].keypoints[:-4, 1])
    np.testing.assert_array_equal(after.recordings[0].keypoints[:, 0], before.recordings[0].keypoints[4:, 0])


def test_an_offset_of_no_camera_is_refused(openpose):
    assert "offsets names cam9, but the cameras are cam1, cam2, cam3" in refused(openpose, offsets={"cam9": 1})


def test_a_person_of_no_recording_is_refused(openpose):
    assert "subjects names jump, but the recordings are " in refused(openpose, subjects={"jump": "Ann"})


def test_several_folders_are_recordings_of_one_capture(tmp_path):
    project = make_project(tmp_path)
    raw, cameras = project.layout.raw, ring_of_cameras(3)
    write_pose2sim(raw / "calibration.toml", cameras)
    for index, name in enumerate(("jump", "walk")):
        write_openpose(raw / name / "pose", cameras, waving_person(8 + index))
    (capture,) = assembled(project, detections={"path": "*/pose"}, subjects={"jump": "Ann"})
    assert capture.name == "tiny"
    assert [(one.name, one.subject, len(one.keypoints)) for one in capture.recordings] == [
        ("jump", "Ann", 8),
        ("walk", "1", 9),
    ]


def test_a_calibration_for_each_recording_makes_a_capture_of_each(tmp_path):
    project = make_project(tmp_path)
    for name, number in (("jump", 3), ("walk", 4)):
        folder = project.layout.raw / name
        cameras = ring_of_cameras(number)
        write_openpose(folder / "pose", cameras, waving_person(8))
        write_pose2sim(folder / "calibration.toml", cameras)
    first, second = assembled(project, detections={"path": "*/pose"}, cameras={"path": "*/calibration.toml"})
    assert [first.name, second.name] == ["jump", "walk"]
    assert [len(first.cameras), len(second.cameras)] == [3, 4]


def test_files_that_are_yet_to_be_made_are_inputs_too(tmp_path):
    """Else a workflow that makes them itself would find new inputs afterwards, and run again."""
    section = read_yaml(ROOT / "workflow/datasets/demo.yaml")["ingest"]
    files = parse(Source, section, "demo").files(tmp_path)
    assert files == [tmp_path / "detections.npz", tmp_path / "reference.npz"]


def test_a_path_that_nothing_matches_is_refused(openpose):
    assert "*/poses: not there" in refused(openpose, detections={"path": "*/poses"})


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "a/../../b", "**/pose"])
def test_paths_stay_in_the_raw_folder(openpose, path):
    assert "relative to the raw folder" in refused(openpose, detections={"path": path})


def test_the_unit_of_the_calibration_is_applied(openpose):
    (metres,) = assembled(openpose)
    (millimetres,) = assembled(openpose, cameras={"unit": "mm"})
    for one, other in zip(metres.cameras, millimetres.cameras, strict=True):
        np.testing.assert_allclose(other.t, one.t / 1000)


def test_cameras_can_be_chosen_by_name(openpose):
    shutil.rmtree(openpose.layout.raw / "pose" / "cam1_json")
    assert "no view for the camera cam1" in refused(openpose)
    (capture,) = assembled(openpose, cameras={"names": ["cam2", "cam3"]})
    assert capture.names_of_views == ["cam2", "cam3"]
    assert "no camera cam7" in refused(openpose, cameras={"names": ["cam2", "cam7"]})


def test_undistorted_detections_get_cameras_without_distortion(openpose):
    (capture,) = assembled(openpose, detections={"undistorted": True})
    assert all((camera.distortion == 0).all() for camera in capture.cameras)
    assert all((lens != 0).any() for lens in capture.lenses)


def test_ground_truth_is_refused_unless_it_is_asked_for(tmp_path):
    project = make_project(tmp_path)
    project.layout.raw.mkdir(exist_ok=True)
    write_pose2sim(project.layout.raw / "calibration.toml", ring_of_cameras(2))
    views = [np.random.default_rng(0).uniform(100, 600, (5, 17, 2)).astype(np.float32)] * 2
    write_detections(project.layout.raw / "data_2d_h36m_gt.npz", {"S1": {"Walk": views}})
    changes = {"format": "videopose3d", "path": "data_2d_h36m_gt.npz", "skeleton": None}
    assert "ground_truth: true" in refused(project, detections=changes)
    (capture,) = assembled(project, detections=changes | {"ground_truth": True})
    assert len(capture.recordings[0].keypoints) == 5


def add_person(folder, cameras, points):
    """Put a second person first into the files of OpenPose, more confident than the first."""
    for camera in cameras:
        for number, frame in enumerate(project_with_opencv(camera, points)):
            file = folder / f"{camera.name}_json" / f"{camera.name}.{number:04d}.json"
            content = json.loads(file.read_text())
            keypoints = np.column_stack([frame, np.full(len(frame), 0.9)]).ravel().tolist()
            content["people"].insert(number % 2, {"pose_keypoints_2d": keypoints})
            file.write_text(json.dumps(content))


def test_of_two_people_the_more_confident_or_the_larger_is_followed(openpose):
    cameras = ring_of_cameras(3)
    child = waving_person(FRAMES, seed=3) * 0.6 + np.array([0.9, 0.4, 0.0])
    add_person(openpose.layout.raw / "pose", cameras, child)
    truth = {
        name: np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
        for name, points in (("adult", waving_person(FRAMES)), ("child", child))
    }
    for subject, expected in (("confidence", "child"), ("size", "adult")):
        (capture,) = assembled(openpose, subject=subject)
        (recording,) = capture.recordings
        np.testing.assert_allclose(recording.keypoints, truth[expected], atol=6)
        assert (recording.crowded == 1).all()

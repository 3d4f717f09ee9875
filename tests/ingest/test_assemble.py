"""How recordings of several files, offsets and people come together."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from formats.camera_writers import write_panoptic
from real_data import ROOT
from synthetic import (
    add_person,
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift.errors import InputError
from trilift.formats import ReferenceRecording
from trilift.formats.source import Source
from trilift.formats.videopose3d import write_detections
from trilift.ingest.assemble import assemble
from trilift.ingest.people.subject import Choice
from trilift.project.params import parse, read_yaml
from trilift.skeletons import BODY25B, H36M17, mapping

FRAMES = 30


def assembled(project, **changes):
    """Read the captures of a project with changes to the section `ingest`."""
    section = read_yaml(project.layout.dataset_file)["ingest"]
    for name, value in changes.items():
        section[name] = section.get(name, {}) | value if isinstance(value, dict) else value
    return list(assemble(project.layout, parse(Source, section, "test")))


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
    assert len(other.pixels) == FRAMES - 4
    np.testing.assert_array_equal(other.pixels[:, 1], one.pixels[4:, 1])
    np.testing.assert_array_equal(other.pixels[:, [0, 2]], one.pixels[: FRAMES - 4, [0, 2]])


def test_an_early_camera_is_brought_into_time(openpose):
    (before,) = assembled(openpose)
    (after,) = assembled(openpose, offsets={"cam2": -4})
    np.testing.assert_array_equal(after.recordings[0].pixels[:, 1], before.recordings[0].pixels[:-4, 1])
    np.testing.assert_array_equal(after.recordings[0].pixels[:, 0], before.recordings[0].pixels[4:, 0])


def test_an_offset_of_no_camera_is_refused(openpose):
    assert "offsets names cam9, but the cameras are cam1, cam2, cam3" in refused(openpose, offsets={"cam9": 1})


def test_all_names_that_are_none_are_told_at_once(openpose):
    said = refused(openpose, offsets={"cam9": 1}, views={"left": "cam1"}, exclude_cameras=["cam8"])
    for part in ("offsets names cam9", "views names left", "exclude_cameras names cam8"):
        assert part in said


def test_all_views_without_a_camera_are_told_at_once_and_the_remedy_works(openpose):
    pose = openpose.layout.raw / "pose"
    for number in (2, 3):
        (pose / f"cam{number}_json").rename(pose / f"0{number}_00_json")
    said = refused(openpose)
    assert "no camera for the view '02_00', '03_00'" in said
    stated = re.search("views: ({.*?})", said)[1].replace("<camera>", "cam2", 1).replace("<camera>", "cam3")
    (capture,) = assembled(openpose, views=yaml.safe_load(stated))
    assert capture.names_of_views == ["cam1", "cam2", "cam3"]


def test_a_person_of_no_recording_is_refused(openpose):
    assert "subjects names jump, but the recordings are " in refused(openpose, subjects={"jump": "Ann"})


def change_images(folder, camera, change):
    """Let the files of OpenPose show what a detector finds in changed images of a camera; `change` takes (..., 2)."""
    for file in (folder / f"{camera}_json").iterdir():
        content = json.loads(file.read_text())
        for person in content["people"]:
            keypoints = np.reshape(person["pose_keypoints_2d"], (-1, 3))
            keypoints[:, :2] = change(keypoints[:, :2])
            person["pose_keypoints_2d"] = keypoints.ravel().tolist()
        file.write_text(json.dumps(content))


IMAGES = {  # of 1280 x 720
    "turned clockwise": ({"turned": 90}, lambda xy: np.stack([720 - xy[..., 1], xy[..., 0]], -1)),
    "turned counterclockwise": ({"turned": 270}, lambda xy: np.stack([xy[..., 1], 1280 - xy[..., 0]], -1)),
    "upside down": ({"turned": 180}, lambda xy: [1280, 720] - xy),
    "scaled": ({"size": [640, 480]}, lambda xy: xy * [640 / 1280, 480 / 720]),
    "mirrored": ({"mirrored": True}, lambda xy: (xy * [-1, 1] + [1280, 0])[..., list(BODY25B.mirrored), :]),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("which", ["cam2", "*"])
def test_what_was_done_to_images_can_be_stated(openpose, name, which):
    stated, change = IMAGES[name]
    for camera in ("cam1", "cam2", "cam3") if which == "*" else (which,):
        change_images(openpose.layout.raw / "pose", camera, change)
    (capture,) = assembled(openpose, images={which: stated})
    points = waving_person(FRAMES)
    for index, camera in enumerate(capture.cameras):
        found = capture.recordings[0].pixels[:, index]
        np.testing.assert_allclose(found, project_with_opencv(camera, points), atol=6)


def test_images_of_no_camera_are_refused(openpose):
    assert "images names cam9, but the cameras are cam1, cam2, cam3" in refused(openpose, images={"cam9": {}})
    assert "images.cam1.turned" in refused(openpose, images={"cam1": {"turned": 45}})


def test_of_undistorted_images_the_person_is_chosen_without_the_lens(tmp_path):
    project = make_project(tmp_path)
    straight = [replace(camera, distortion=np.zeros(5)) for camera in ring_of_cameras(3)]
    bent = [replace(camera, distortion=np.array([3.0, 0, 0, 0, 0])) for camera in straight]
    people = waving_person(FRAMES) + np.array([1.4, 1.4, 0]), waving_person(FRAMES, seed=3) + np.array([0.8, 1.6, 0])
    write_pose2sim(project.layout.raw / "calibration.toml", bent)
    write_openpose(project.layout.raw / "pose", straight, people[0])
    add_person(project.layout.raw / "pose", straight, people[1])
    (capture,) = assembled(project, detections={"undistorted": True}, subject="size")
    truth = [np.stack([project_with_opencv(camera, points) for camera in straight], 1) for points in people]
    assert any(np.abs(capture.recordings[0].pixels - one).max() < 6 for one in truth)


def test_several_folders_are_recordings_of_one_capture(tmp_path):
    project = make_project(tmp_path)
    raw, cameras = project.layout.raw, ring_of_cameras(3)
    write_pose2sim(raw / "calibration.toml", cameras)
    for index, name in enumerate(("jump", "walk")):
        write_openpose(raw / name / "pose", cameras, waving_person(8 + index))
    (capture,) = assembled(project, detections={"path": "*/pose"}, subjects={"jump": "Ann"})
    assert capture.name == "tiny"
    assert [(one.name, one.subject, len(one.pixels)) for one in capture.recordings] == [
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


def test_a_view_whose_camera_has_no_pose_or_is_ignored_is_left_out(tmp_path, caplog):
    project = make_project(tmp_path)
    write_openpose_data_set(project.layout.raw, 8, views=4)
    file = project.layout.raw / "calibration.toml"
    first, second, *rest = file.read_text().split("\n\n")
    first = re.sub("rotation = .*", 'rotation = "null"', first)
    file.write_text("\n\n".join([first, f"{second}\nignore = true", *rest]))
    (capture,) = assembled(project)
    assert capture.names_of_views == ["cam3", "cam4"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.endswith("left out, with their views if there are any: cam1 has no pose (lacks `rotation`)")
    text = refused(project, exclude_cameras=["cam3"])
    assert "1 views left" in text
    assert "left out: cam1 has no pose (lacks `rotation`), cam2 has `ignore = true`, cam3 is excluded" in text


def test_no_usable_camera_is_told_with_the_reasons(openpose):
    file = openpose.layout.raw / "calibration.toml"
    file.write_text(file.read_text().replace("rotation =", "turn ="))
    text = refused(openpose)
    assert "none of its cameras can be used: cam1 has no pose (lacks `rotation`), cam2 has no pose" in text


def test_a_damaged_camera_or_view_that_is_excluded_is_not_read(openpose):
    file = openpose.layout.raw / "calibration.toml"
    file.write_text(re.sub(r"matrix = .*", "matrix = [0]", file.read_text(), count=1))
    (openpose.layout.raw / "pose" / "cam1_json" / "cam1.0003.json").write_text("{")
    assert 'or leave the camera out (ingest: exclude_cameras: ["cam1"])' in refused(openpose)
    (capture,) = assembled(openpose, exclude_cameras=["cam1"])
    assert capture.names_of_views == ["cam2", "cam3"]


def test_a_lens_that_cannot_be_modelled_is_no_matter_where_points_are_undistorted(openpose):
    file = openpose.layout.raw / "calibration.toml"
    text = file.read_text()
    file.write_text(re.sub(r"distortions = .*", "distortions = [0.1, 0, 0, 0, 0, 0, 0, 0.2]", text, count=1))
    assert "undistorted: true" in refused(openpose)
    (capture,) = assembled(openpose, detections={"undistorted": True})
    assert all((camera.distortion == 0).all() for camera in capture.cameras)


def test_a_camera_that_only_one_of_several_rigs_has_can_be_excluded(tmp_path):
    project = make_project(tmp_path)
    for name, number in (("jump", 3), ("walk", 4)):
        folder = project.layout.raw / name
        write_openpose(folder / "pose", ring_of_cameras(number), waving_person(8))
        write_pose2sim(folder / "calibration.toml", ring_of_cameras(number))
    changes = {"detections": {"path": "*/pose"}, "cameras": {"path": "*/calibration.toml"}}
    first, second = assembled(project, **changes, exclude_cameras=["cam4"])
    assert first.names_of_views == second.names_of_views == ["cam1", "cam2", "cam3"]


def test_views_of_several_recordings_may_have_names_of_their_own(tmp_path):
    project = make_project(tmp_path)
    raw, cameras = project.layout.raw, ring_of_cameras(3)
    write_pose2sim(raw / "calibration.toml", cameras)
    for name in ("jump", "walk"):
        write_openpose(raw / name / "pose", cameras, waving_person(8))
        (raw / name / "pose" / "cam2_json").rename(raw / name / "pose" / f"{name}_json")
    (capture,) = assembled(project, detections={"path": "*/pose"}, views={"jump": "cam2", "walk": "cam2"})
    assert len(capture.recordings) == 2


def test_a_view_without_a_camera_can_be_left_out(openpose):
    shutil.copytree(openpose.layout.raw / "pose" / "cam1_json", openpose.layout.raw / "pose" / "00_01_json")
    assert 'views: {"00_01": <camera>}, or leave it out: exclude_cameras: ["00_01"]' in refused(openpose)
    (capture,) = assembled(openpose, exclude_cameras=["00_01"])
    assert capture.names_of_views == ["cam1", "cam2", "cam3"]


def test_views_without_names_may_be_those_of_the_cameras_that_are_left(tmp_path):
    project = make_project(tmp_path)
    write_pose2sim(project.layout.raw / "calibration.toml", ring_of_cameras(4))
    views = [np.random.default_rng(n).uniform(100, 600, (5, 17, 2)).astype(np.float32) for n in range(3)]
    write_detections(project.layout.raw / "data.npz", {"S1": {"Walk": views}})
    changes = {"detections": {"format": "videopose3d", "path": "data.npz", "skeleton": None}}
    assert "3 views, but the calibration has 4 cameras" in refused(project, **changes)
    for choice in ({"exclude_cameras": ["cam2"]}, {"cameras": {"names": ["cam1", "cam3", "cam4"]}}):
        (capture,) = assembled(project, **changes, **choice)
        assert capture.names_of_views == ["cam1", "cam3", "cam4"]
        np.testing.assert_array_equal(capture.recordings[0].pixels[:, 2], views[2])


def test_of_a_dome_of_cameras_those_of_the_views_are_suggested(tmp_path):
    project = make_project(tmp_path)
    raw, ring = project.layout.raw, ring_of_cameras(260)
    dome = [replace(camera, name=f"{n // 24:02}_{n % 24:02}") for n, camera in enumerate(ring)]
    write_panoptic(raw / "calibration.json", dome)
    used = [dome[n] for n in (0, 60, 130)]
    write_openpose(raw / "pose", used, waving_person(8))
    cameras = {"format": "panoptic", "path": "calibration.json"}
    text = refused(project, cameras=cameras)
    assert text.endswith('ingest: cameras: names: ["00_00", "02_12", "05_10"]')
    assert len(text) < 600
    suggested = yaml.safe_load(text.rpartition("names: ")[2])
    (capture,) = assembled(project, cameras=cameras | {"names": suggested})
    assert capture.names_of_views == [camera.name for camera in used]


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
    assert len(capture.recordings[0].pixels) == 5


def test_of_two_people_the_more_confident_or_the_larger_is_followed(openpose):
    cameras = ring_of_cameras(3)
    child = waving_person(FRAMES, seed=3) * 0.6 + np.array([0.9, 0.4, 0.0])
    add_person(openpose.layout.raw / "pose", cameras, child)
    truth = {
        name: np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
        for name, points in (("adult", waving_person(FRAMES)), ("child", child))
    }
    for subject, expected in (("confidence", "child"), ("size", "adult")):
        (capture,) = assembled(openpose, people="one", subject=subject)
        (recording,) = capture.recordings
        np.testing.assert_allclose(recording.pixels, truth[expected], atol=6)
        assert (recording.crowded == 1).all()


@pytest.fixture
def two_people(openpose):
    """An adult, and a child who is listed first in every other frame and comes 5 frames late; the truth of both."""
    cameras = ring_of_cameras(3)
    child = waving_person(FRAMES, seed=3) * 0.6 + np.array([0.9, 0.4, 0.0])
    add_person(openpose.layout.raw / "pose", cameras, child)
    for camera in cameras:
        for number in range(5):
            file = openpose.layout.raw / "pose" / f"{camera.name}_json" / f"{camera.name}.{number:04d}.json"
            content = json.loads(file.read_text())
            del content["people"][number % 2]
            file.write_text(json.dumps(content))
    truth = {
        name: np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
        for name, points in (("adult", waving_person(FRAMES)), ("child", child))
    }
    return openpose, truth


def test_everybody_becomes_a_recording_of_their_own(two_people):
    project, truth = two_people
    (capture,) = assembled(project)
    adult, child = capture.recordings
    clip = adult.clip
    assert (adult.name, adult.person, adult.subject) == (f"{clip}/person_1", "person_1", f"{clip}/person_1")
    assert (child.name, child.person, child.clip) == (f"{clip}/person_2", "person_2", clip)
    assert (adult.first_frame, child.first_frame, child.last_frame) == (0, 5, FRAMES - 1)
    np.testing.assert_allclose(adult.pixels, truth["adult"], atol=6)
    np.testing.assert_allclose(child.pixels, truth["child"][5:], atol=6)
    first = np.arange(FRAMES) % 2  # place of the child in the list
    np.testing.assert_array_equal(child.detection, np.repeat(first[5:, None] + 1, 3, 1))
    np.testing.assert_array_equal(adult.detection[5:], np.repeat(2 - first[5:, None], 3, 1))
    assert (adult.detection[:5] == 1).all()


def test_people_are_named_by_their_stature_or_by_who_comes_first(two_people):
    project, _ = two_people
    named = {"Kim": {"stature_m": 1.05}, "Lee": {"stature_m": 1.75}}
    (capture,) = assembled(project, people=named)
    assert [one.subject for one in capture.recordings] == ["Lee", "Kim"]
    (capture,) = assembled(project, people={"Kim": {}, "Lee": {}})
    assert [one.person for one in capture.recordings] == ["Kim", "Lee"]
    clip = capture.recordings[0].clip
    (capture,) = assembled(project, subjects={f"{clip}/person_2": "Kim"})
    assert [one.subject for one in capture.recordings] == [f"{clip}/person_1", "Kim"]


def test_a_name_that_nobody_gets_is_warned_of(two_people, caplog):
    project, _ = two_people
    assembled(project, people={"Kim": {}, "Lee": {}, "Max": {}})
    assert "2 people are seen, so nobody is Max" in caplog.text


def test_a_reference_goes_to_whom_it_lies_near(two_people, monkeypatch):
    project, _ = two_people
    child = waving_person(FRAMES, seed=3) * 0.6 + np.array([0.9, 0.4, 0.0])
    joints = mapping(BODY25B, H36M17).apply(child)
    clip = assembled(project)[0].recordings[0].clip
    reference = ReferenceRecording("tiny", clip, H36M17, joints)
    monkeypatch.setattr("trilift.formats.reading.read_reference", lambda *_: iter([reference]))
    (capture,) = assembled(project, reference={"format": "videopose3d", "path": "reference.npz"})
    adult, its = capture.recordings
    assert adult.reference is None
    np.testing.assert_array_equal(its.reference.poses, joints[5:])


def test_where_no_views_agree_on_anybody_one_is_followed_as_before(two_people, caplog):
    project, _ = two_people
    for name, down in (("cam2", 250), ("cam3", -250)):
        for file in (project.layout.raw / "pose" / f"{name}_json").glob("*.json"):
            content = json.loads(file.read_text())
            for person in content["people"]:
                keypoints = np.reshape(person["pose_keypoints_2d"], (-1, 3)) + np.array([0, down, 0])
                person["pose_keypoints_2d"] = keypoints.ravel().tolist()
            file.write_text(json.dumps(content))
    (capture,) = assembled(project)
    assert [one.person for one in capture.recordings] == [""]
    assert "people: one" in caplog.text


def test_a_track_that_passes_to_somebody_else_is_named_by_view_and_frame(openpose, caplog, monkeypatch):
    for file in (openpose.layout.raw / "pose" / "cam2_json").glob("*.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"people": 2 * content["people"]}))
    person = np.zeros((FRAMES, 3), int)
    person[12:20, 1] = -1
    monkeypatch.setattr(
        "trilift.ingest.people.apart.choose_subject", lambda *_: Choice(person, [], [(1, 12), (1, 20)])
    )
    ((recording,),) = (capture.recordings for capture in assembled(openpose, people="one"))
    assert np.isnan(recording.pixels[12:20, 1]).all()
    assert np.isfinite(recording.pixels[20:, 1]).any()
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "in view cam2 a track passes between the subject and somebody else at frame 12, 20" in said

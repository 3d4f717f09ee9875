"""Starting a data set from a folder, and checking it."""

import contextlib
import io
import json
import logging

import numpy as np
import pytest

from real_data import DATA, needs
from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift import captures, cli
from trilift.formats.recognition import look_at
from trilift.formats.videopose3d import write_detections
from trilift.params import read_yaml
from trilift.skeletons import BODY25B, COCO17, OPENPOSE25, mapping


def run(*arguments):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            code = cli.main([str(argument) for argument in arguments])
    finally:
        root.handlers[:], root.level = handlers, level
    return code, printed.getvalue()


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    return make_project(tmp_path / "project")


def begin(project, folder, *options):
    return run("new", folder, "--project", project.layout.project, *options)


def test_a_folder_of_openpose_becomes_a_data_set_that_ingest_reads(project, tmp_path):
    folder = tmp_path / "My gait, 2nd"
    write_openpose_data_set(folder, 40)
    code, printed = begin(project, folder)
    assert code == 0, printed
    assert "the keypoints are those of body25b" in printed
    layout = project.layout.__class__("My_gait_2nd", project.layout.project)
    assert layout.raw.resolve() == folder.resolve()
    code, printed = run("ingest", layout.dataset, "--project", layout.project)
    assert code == 0, printed
    with captures.read(layout.captures, "captures") as opened:
        assert opened["My_gait_2nd"]["keypoints_2d"].shape == (40, 3, 25, 2)


def test_nothing_that_is_there_is_overwritten(project, tmp_path):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 8)
    assert begin(project, folder)[0] == 0
    code, printed = begin(project, folder)
    assert code == 2
    assert "gait.yaml: there already" in printed
    (project.layout.project / "data" / "raw" / "other").mkdir()
    code, printed = begin(project, folder, "--name", "other")
    assert code == 2
    assert "there already, and not this folder" in printed


@pytest.mark.parametrize("name", ["../x", "a b", "", "-x"])
def test_a_name_that_is_no_file_name_is_refused(project, tmp_path, name):
    (tmp_path / "---").mkdir()
    code, printed = begin(project, tmp_path / "---", f"--name={name}")
    assert code == 2
    assert "a name has letters" in printed


def test_a_folder_without_detections_is_refused_with_what_is_missing(project, tmp_path):
    (tmp_path / "empty").mkdir()
    code, printed = begin(project, tmp_path / "empty")
    assert code == 2
    assert "no detections of a known format" in printed
    write_openpose(tmp_path / "empty" / "pose", ring_of_cameras(2), waving_person(3))
    code, printed = begin(project, tmp_path / "empty")
    assert code == 2
    assert "no calibration of a known format" in printed
    assert not (project.layout.project / "workflow" / "datasets" / "empty.yaml").exists()


def test_outside_of_a_project_it_says_so(tmp_path):
    write_openpose_data_set(tmp_path / "gait", 4)
    code, printed = run("new", tmp_path / "gait", "--project", tmp_path)
    assert code == 2
    assert "params.yaml: not there" in printed


def test_several_recordings_are_told_by_a_star(tmp_path):
    cameras = ring_of_cameras(2)
    write_pose2sim(tmp_path / "calibration.toml", cameras)
    for name in ("jump", "walk"):
        write_openpose(tmp_path / name / "pose", cameras, waving_person(3))
    found = look_at(tmp_path)
    assert found.recordings == 2
    assert (found.detections.path, found.cameras.path) == ("*/pose", "calibration.toml")


def test_a_calibration_beside_each_recording_is_told_by_a_star(tmp_path):
    for name in ("jump", "walk"):
        write_openpose(tmp_path / name / "pose", ring_of_cameras(2), waving_person(3))
        write_pose2sim(tmp_path / name / "calibration.toml", ring_of_cameras(2))
    assert look_at(tmp_path).cameras.path == "*/calibration.toml"


def write_mmpose(path, skeleton, pixels):
    frames = [
        {"frame_id": n + 1, "instances": [{"keypoints": p.tolist(), "keypoint_scores": [0.9] * len(skeleton)}]}
        for n, p in enumerate(pixels)
    ]
    path.write_text(json.dumps({"meta_info": {}, "instance_info": frames}))


def test_mmpose_files_are_told_from_their_content(tmp_path):
    poses = mapping(BODY25B, COCO17).apply(waving_person(4))
    for camera in ring_of_cameras(2):
        write_mmpose(tmp_path / f"{camera.name}.json", COCO17, project_with_opencv(camera, poses))
    found = look_at(tmp_path)
    assert (found.detections.format, found.detections.path) == ("mmpose", ".")
    assert found.detections.skeleton == "coco17"


def test_one_archive_is_recognised(tmp_path):
    views = [np.zeros((3, 17, 3), np.float32)] * 2
    write_detections(tmp_path / "some.npz", {"S1": {"Walk": views}})
    assert look_at(tmp_path).detections.path == "some.npz"


@pytest.mark.parametrize("damage", [b"", b"{", b"\x00\xff" * 50, b'{"people": [{"pose_keypoints_2d": [1, 2]}]}'])
def test_damaged_files_end_in_a_message_or_are_passed_over(project, tmp_path, damage):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 4)
    for file in (folder / "pose" / "cam1_json").glob("*.json"):
        file.write_bytes(damage)
    (folder / "some.npz").write_bytes(damage)
    (folder / "some.h5").write_bytes(damage)
    code, printed = begin(project, folder)
    assert code in (0, 2)
    assert "Traceback" not in printed


def test_check_prints_errors_and_draws_every_camera(project, tmp_path):
    write_openpose_data_set(project.layout.raw, 20)
    code, printed = project.run("check")
    assert code == 0, printed
    assert "none of the usual mistakes is in it" in printed
    assert "left_knee - left_ankle" in printed
    made = sorted(file.name for file in project.layout.check.iterdir())
    assert made == ["tiny-cam1.png", "tiny-cam2.png", "tiny-cam3.png", "tiny.csv"]
    assert project.made() == []


def test_check_and_ingest_name_the_skeleton_that_fits(project):
    write_openpose_data_set(project.layout.raw, 20)
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("body25b", OPENPOSE25.name))
    code, printed = project.run("check")
    assert code == 0
    assert "look like those of body25b, not of openpose25" in printed
    code, printed = project.run("ingest")
    assert code == 2
    assert "look like those of body25b, not of openpose25" in printed
    assert project.made() == []


def test_a_calibration_in_millimetres_is_named(project):
    write_openpose_data_set(project.layout.raw, 20)
    path = project.layout.raw / "calibration.toml"
    cameras = ring_of_cameras(3)
    write_pose2sim(path, [camera.__class__(**(vars(camera) | {"t": camera.t * 1000})) for camera in cameras])
    code, printed = project.run("ingest")
    assert code == 2
    assert "its lengths are probably millimetres" in printed
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("path: calibration.toml", "path: calibration.toml\n    unit: mm"))
    assert project.run("ingest")[0] == 0


def test_a_mistake_can_be_passed_over(project):
    write_openpose_data_set(project.layout.raw, 20)
    write_pose2sim(
        project.layout.raw / "calibration.toml",
        [camera.__class__(**(vars(camera) | {"t": camera.t * 1000})) for camera in ring_of_cameras(3)],
    )
    project.layout.params.write_text("ingest: {check: warn}")
    code, printed = project.run("ingest")
    assert code == 0
    assert "probably millimetres" in printed
    project.layout.params.write_text("ingest: {check: skip}")
    code, printed = project.run("ingest")
    assert code == 0
    assert "probably millimetres" not in printed


@pytest.mark.parametrize(
    ("recording", "format", "views"),
    [
        pytest.param("pose2sim_demo", "openpose", 4, marks=needs("pose2sim_demo")),
        pytest.param("caliscope_4cam", "mediapipe", 4, marks=needs("caliscope_4cam")),
    ],
)
def test_the_real_recordings_are_recognised_and_nothing_looks_wrong(project, recording, format, views):
    code, printed = begin(project, DATA / recording)
    assert code == 0, printed
    layout = project.layout.__class__(recording, project.layout.project)
    assert read_yaml(layout.dataset_file)["ingest"]["detections"]["format"] == format
    code, printed = run("ingest", recording, "--project", layout.project)
    assert code == 0, printed
    assert "mistake" not in printed
    with captures.read(layout.captures, "captures") as opened:
        assert opened[recording].sizes["view"] == views

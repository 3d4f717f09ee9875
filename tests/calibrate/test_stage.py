"""The stage calibrate, around a solver that knows the answer."""

import json
import tomllib
from functools import partial

import numpy as np
import pandas as pd
import pytest

from rings import Solver, ring
from synthetic import make_project, ring_of_cameras, waving_person, write_openpose, write_pose2sim
from trilift.calibrate import stage
from trilift.captures import reading
from trilift.formats.by_people import read_about
from trilift.geometry.calibration.findings import Undetermined

DATA_SET = """
ingest:
  detections:
    format: openpose
    path: recorded/pose
    skeleton: body25b
    detector: synthetic
  cameras:
    format: people
    stature_m: 1.7
    image_size: [1280, 720]
  fps: 30
split:
  by: time
"""
SIZE = "    image_size: [1280, 720]\n"
KNOWN = DATA_SET.replace(SIZE, "    intrinsics: {format: toml, path: recorded/lenses.toml}\n")
VIEWS = 3


@pytest.fixture
def solver(monkeypatch):
    stand_in = Solver(ring)
    monkeypatch.setattr(stage, "calibrate", stand_in)
    return stand_in


@pytest.fixture
def answer(monkeypatch):
    def of(**about):
        monkeypatch.setattr(stage, "calibrate", Solver(partial(ring, **about)))

    return of


def project_of(folder, dataset=DATA_SET, frames=24):
    project = make_project(folder / "project", dataset)
    cameras = ring_of_cameras(VIEWS)
    project.layout.recorded.mkdir()
    write_openpose(project.layout.recorded / "pose", cameras, waving_person(frames))
    return project


@pytest.fixture
def project(tmp_path):
    return project_of(tmp_path)


def calibrate(project, *options):
    code, printed = project.run("calibrate", *options)
    assert code == 0, printed
    return printed


def refused(project, *options, command="calibrate"):
    code, printed = project.run(command, *options)
    assert code == 2
    assert "Traceback" not in printed
    assert not project.layout.cameras.exists()
    assert not project.layout.rig.exists()
    return printed


def test_the_calibration_is_read_again_to_the_last_digits(project, solver):
    calibrate(project)
    code, printed = project.run("ingest")
    assert code == 0, printed
    with reading.read(project.layout.captures, "captures") as opened:
        capture = opened["tiny"].load()
    assert list(capture["view"].values) == ["cam1", "cam2", "cam3"]
    for view, camera in enumerate(ring_of_cameras(VIEWS)):
        for name in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_allclose(capture[name].values[view], getattr(camera, name), rtol=1e-12, atol=1e-14)


def test_other_programs_find_in_it_what_they_read(project, solver):
    import cv2

    calibrate(project)
    content = tomllib.loads(project.layout.cameras.read_text())
    assert list(content) == ["cam1", "cam2", "cam3", "metadata"]
    camera, truth = content["cam2"], ring_of_cameras(VIEWS)[1]
    assert camera.keys() == {"name", "size", "matrix", "distortions", "rotation", "translation", "fisheye"}
    np.testing.assert_allclose(cv2.Rodrigues(np.array(camera["rotation"]))[0], truth.R, atol=1e-12)
    np.testing.assert_allclose(camera["matrix"], truth.K)
    assert camera["size"] == [1280, 720]


def test_what_is_given_to_the_solver_is_one_person_on_one_clock(project, solver):
    calibrate(project)
    given = solver.given
    assert given["pixels"].shape == (24, VIEWS, 25, 2)
    assert given["fps"] == 30
    assert given["scale"].stature_m == 1.7
    assert given["image_size"].tolist() == [[1280, 720]] * VIEWS
    assert given["focal_groups"] == [0, 0, 0]
    assert given["cameras"].K[0].tolist() == [[1280, 0, 640], [0, 1280, 360], [0, 0, 1]]
    assert given["segments"].tolist() == [0] * 24
    assert given["find_offsets"]
    assert not given["refine"]


def test_lenses_of_a_file_need_no_poses_and_count_as_known(tmp_path, solver):
    project = project_of(tmp_path, KNOWN)
    cameras = ring_of_cameras(VIEWS)
    write_pose2sim(project.layout.recorded / "lenses.toml", cameras)
    lines = (project.layout.recorded / "lenses.toml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("rotation", "translation"))]
    (project.layout.recorded / "lenses.toml").write_text("\n".join(kept))
    calibrate(project)
    assert solver.given["focal_groups"] == [-1, -1, -1]
    np.testing.assert_array_equal(solver.given["cameras"].K[1], cameras[1].K)
    np.testing.assert_allclose(solver.given["cameras"].distortion[1], cameras[1].distortion)
    inputs = json.loads(project.layout.provenance("calibrate").read_text())["inputs"]
    assert inputs.keys() == {"data/raw/tiny/recorded/pose", "data/raw/tiny/recorded/lenses.toml"}


def test_a_camera_that_the_lenses_lack_is_guessed(tmp_path, solver):
    both = KNOWN.replace("    intrinsics", "    focal: each\n    image_size: [1280, 720]\n    intrinsics")
    project = project_of(tmp_path, both)
    write_pose2sim(project.layout.recorded / "lenses.toml", ring_of_cameras(1))
    calibrate(project)
    assert solver.given["focal_groups"] == [-1, 1, 2]
    assert solver.given["cameras"].K[:, 0, 0].tolist() == [1100, 1280, 1280]


def test_the_most_prominent_person_is_taken(tmp_path, solver):
    project = project_of(tmp_path)
    expected = waving_person(24)
    for camera in ring_of_cameras(VIEWS):
        for file in sorted((project.layout.recorded / "pose" / f"{camera.name}_json").iterdir()):
            content = json.loads(file.read_text())
            far = [1.0, 2.0, 0.2] * 25
            content["people"].insert(0, {"pose_keypoints_2d": far})
            file.write_text(json.dumps(content))
    calibrate(project)
    assert float(solver.given["pixels"].min()) > 10
    assert len(expected) == len(solver.given["pixels"])


def test_table_and_record_say_what_was_found(project, answer):
    answer(verdict="weak", reason="sees the person from one side only", position_m=0.25, focal_error=0.04)
    printed = calibrate(project)
    assert "the camera cam3 is weak: sees the person from one side only" in printed
    table = pd.read_csv(project.layout.rig / "cameras.csv")
    assert table["camera"].tolist() == ["cam1", "cam2", "cam3"]
    assert table["verdict"].tolist() == ["well determined", "well determined", "weak"]
    assert table["position_error_mm"].tolist() == [5, 5, 250]
    assert table["focal_px"].tolist() == [1105] * 3
    assert table["focal_error_percent"].tolist() == [1, 1, 4]
    record = json.loads(project.layout.provenance("calibrate").read_text())
    assert set(record["outputs"]) == {
        "data/raw/tiny/cameras_of_people.toml",
        "results/tiny/rig/cameras.csv",
        "results/tiny/rig/rig.png",
    }
    assert record["warnings"] == ["the camera cam3 is weak: sees the person from one side only"]


def test_a_camera_without_a_place_is_left_out_with_its_view(project, answer):
    answer(verdict="not placed", reason="shares no view with the others", position_m=float("nan"))
    printed = calibrate(project)
    assert "the camera cam3 is not placed: shares no view with the others" in printed
    assert "cam3" not in tomllib.loads(project.layout.cameras.read_text())
    code, printed = project.run("ingest")
    assert code == 0, printed
    assert "cam3 could not be placed by people" in printed
    with reading.read(project.layout.captures, "captures") as opened:
        assert list(opened["tiny"]["view"].values) == ["cam1", "cam2"]


def test_offsets_that_were_found_are_applied_where_the_file_states_none(project, answer):
    answer(late_frames=2.7)
    calibrate(project)
    assert read_about(project.layout.cameras).offsets == {"cam3": 3}
    code, printed = project.run("ingest")
    assert code == 0, printed
    assert 'late by (frames) {"cam3": 3}, as calibrate found' in printed
    with reading.read(project.layout.captures, "captures") as opened:
        assert opened["tiny"].sizes["frame"] == 21
    project.layout.dataset_file.write_text(DATA_SET.replace("  fps", "  offsets: {cam3: 1}\n  fps"))
    code, printed = project.run("ingest")
    assert "as calibrate found" not in printed
    with reading.read(project.layout.captures, "captures") as opened:
        assert opened["tiny"].sizes["frame"] == 23


def test_what_people_calibrated_is_said_of_the_captures(project, answer):
    answer(verdict="weak", reason="far away", rotation_deg=0.42, position_m=0.031)
    calibrate(project)
    project.run("ingest")
    with reading.read(project.layout.captures, "captures") as opened:
        assert opened["tiny"].attrs["cameras_from"] == (
            "people (by which points are off by about 4 mm; least sure: cam3, weak, 0.42 degrees, 31 mm)"
        )


def test_what_cannot_be_told_is_refused_and_nothing_is_written(project, monkeypatch):
    def undetermined(*_, **__):
        raise Undetermined("nobody moves; let somebody walk through the room")

    monkeypatch.setattr(stage, "calibrate", undetermined)
    printed = refused(project)
    assert "the data set tiny" in printed
    assert "nobody moves" in printed
    assert refused(project, command="ingest").count("make it first") == 1


@pytest.mark.parametrize(
    ("usual", "here", "expected"),
    [
        ("    stature_m: 1.7\n", "", "there is none"),
        ("stature_m: 1.7", "bone: [left_hip, tail, 0.4]", "bone names tail"),
        ("stature_m: 1.7", "baseline: [cam1, cam9, 3.2]", "baseline names cam9, but the cameras are cam1, cam2"),
        ("stature_m: 1.7", "stature_m: 178", "less than 3"),
        (SIZE, "", "how large are the images of cam1?"),
        ("path: recorded/pose", "path: pose", "recorded/pose"),
        ("  fps", "  offsets: {cam9: 1}\n  fps", "offsets names cam9"),
        ("  fps", "  exclude_cameras: [cam1, cam2]\n  fps", "takes two at least"),
        (SIZE, "    intrinsics: {format: toml, path: recorded/no.toml}\n", "no.toml: not there"),
        ("format: people", "format: toml\n    path: a.toml", "belongs to the format people"),
    ],
)
def test_what_is_missing_or_wrong_is_named(project, solver, usual, here, expected):
    project.layout.dataset_file.write_text(DATA_SET.replace(usual, here))
    assert expected in refused(project)


def test_a_link_to_recordings_is_not_written_into(tmp_path, solver):
    project = project_of(tmp_path)
    project.layout.raw.rename(tmp_path / "elsewhere")
    project.layout.raw.symlink_to(tmp_path / "elsewhere")
    assert "a link, into which nothing is written" in refused(project)


ORDINARY = DATA_SET.replace(
    "format: people\n    stature_m: 1.7\n    image_size: [1280, 720]", "format: toml\n    path: recorded/rig.toml"
)


def test_refining_leaves_the_calibration_as_it_is(tmp_path, monkeypatch):
    project = project_of(tmp_path, ORDINARY)
    file = project.layout.recorded / "rig.toml"
    write_pose2sim(file, ring_of_cameras(VIEWS))
    before = file.read_bytes()
    stand_in = Solver(partial(ring, moved_deg=1.5, moved_m=0.08, late_frames=-1.8))
    monkeypatch.setattr(stage, "calibrate", stand_in)
    printed = calibrate(project, "--refine")
    assert stand_in.given["refine"]
    np.testing.assert_allclose(stand_in.given["cameras"].t[0], ring_of_cameras(VIEWS)[0].t)
    assert stand_in.given["focal_groups"] == [-1] * VIEWS
    assert stand_in.given["scale"] is None  # the rig has its size
    table = pd.read_csv(project.layout.rig / "cameras.csv")
    assert table["moved_mm"].tolist()[-1] == 80
    assert file.read_bytes() == before
    refined = project.layout.rig / "cameras.toml"
    assert f"cp {refined} {project.layout.raw / 'tiny_refined.toml'}" in printed
    assert 'and `offsets: {"cam3": -2}`' in printed
    (project.layout.raw / "tiny_refined.toml").write_bytes(refined.read_bytes())
    project.layout.dataset_file.write_text(ORDINARY.replace("recorded/rig.toml", "tiny_refined.toml"))
    code, printed = project.run("ingest")
    assert code == 0, printed
    assert not project.layout.provenance("calibrate").exists()


def test_each_way_is_refused_where_it_is_the_other(tmp_path, project, solver):
    assert "its cameras are calibrated by people already" in refused(project, "--refine")
    project.layout.dataset_file.write_text(ORDINARY)
    assert "`trilift calibrate --refine tiny`" in refused(project)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("[metadata]", "[other]"),
        lambda text: text.replace("verdicts = [", "verdicts = [1, "),
        lambda text: text.replace("[cam2]", "[cam7]").replace('name = "cam2"', 'name = "cam7"'),
    ],
)
def test_a_damaged_calibration_by_people_is_named(project, solver, damage):
    calibrate(project)
    project.layout.cameras.write_text(damage(project.layout.cameras.read_text()))
    code, printed = project.run("ingest")
    assert code == 2
    assert "cameras_of_people.toml" in printed
    assert "make it again" in printed or "no valid TOML" in printed

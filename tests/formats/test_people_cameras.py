"""The calibration that people made, written and read again."""

import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats import Camera, LeftOut, Stated, people_cameras, toml_cameras
from trilift.formats.by_people import NOT_PLACED, About, in_time, read_about
from trilift.formats.source import Source
from trilift.project.layout import CAMERAS_OF_PEOPLE
from trilift.project.params import parse


def about(cameras, **others):
    values = {
        "cameras": [camera.name for camera in cameras],
        "verdicts": ["well determined"] * len(cameras),
        "late_frames": [0.0] * len(cameras),
        "rotation_error_deg": [0.1] * len(cameras),
        "position_error_mm": [5.0] * len(cameras),
        "points_error_mm": 3.6,
    }
    return About(**(values | others))


@pytest.mark.parametrize(
    "name", ["cam 1", "metadata", "cameras", 'a "quoted" one', "back\\slash", "Käm.1", "1", "NaN"]
)
def test_any_name_is_read_again(tmp_path, name):
    first, second = ring_of_cameras(2)
    cameras = [replace(first, name=name), second]
    people_cameras.write(tmp_path / "made.toml", cameras, about(cameras))
    assert [entry.name for entry in people_cameras.list_cameras(tmp_path / "made.toml")] == [name, "cam2"]
    assert {entry.name for entry in toml_cameras.list_cameras(tmp_path / "made.toml")} == {name, "cam2"}
    assert read_about(tmp_path / "made.toml").cameras == [name, "cam2"]


def test_every_pose_is_read_again(tmp_path):
    turns = Rotation.random(20, random_state=0).as_matrix()
    turns[0], turns[1] = np.eye(3), np.diag([1.0, -1, -1])
    (one,) = ring_of_cameras(1)
    cameras = [replace(one, name=f"cam{number}", R=R) for number, R in enumerate(turns)]
    people_cameras.write(tmp_path / "made.toml", cameras, about(cameras))
    for camera, entry in zip(cameras, people_cameras.list_cameras(tmp_path / "made.toml"), strict=True):
        read = entry.read(Stated())
        assert isinstance(read, Camera)
        for field in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_allclose(getattr(read, field), getattr(camera, field), rtol=1e-12, atol=1e-12)


def test_who_was_not_placed_keeps_the_order(tmp_path):
    cameras = ring_of_cameras(3)
    verdicts = ["weak", NOT_PLACED, "well determined"]
    of_all = about(cameras, verdicts=verdicts, position_error_mm=[8.0, math.nan, 5.0])
    people_cameras.write(tmp_path / "made.toml", [cameras[0], cameras[2]], of_all)
    read = [entry.read(Stated()) for entry in people_cameras.list_cameras(tmp_path / "made.toml")]
    assert [camera.name for camera in read] == ["cam1", "cam2", "cam3"]
    assert isinstance(read[1], LeftOut)
    assert tomllib.loads((tmp_path / "made.toml").read_text()).keys() == {"cam1", "cam3", "metadata"}
    words = "people (by which points are off by about 4 mm; least sure: cam1, weak, 0.1 degrees, 8 mm)"
    assert read_about(tmp_path / "made.toml").in_words == words


@pytest.mark.parametrize(
    ("late", "expected"), [(0.4, {}), (-0.5, {}), (-0.6, {"cam2": -1}), (59.6, {"cam2": 60}), (math.nan, {})]
)
def test_offsets_are_whole_frames(late, expected):
    assert about(ring_of_cameras(2), late_frames=[0.0, late]).offsets == expected


def test_what_is_stated_of_a_camera_holds(tmp_path):
    cameras = ring_of_cameras(3)
    people_cameras.write(tmp_path / CAMERAS_OF_PEOPLE, cameras, about(cameras, late_frames=[0.0, 2.2, -3.1]))
    detections = {"format": "openpose", "path": "recorded/pose", "skeleton": "coco17", "detector": "x"}
    stated = {"detections": detections, "cameras": {"format": "people", "stature_m": 1.7}, "fps": 30}
    source = parse(Source, stated | {"offsets": {"cam2": 1}}, "")
    assert in_time(source, tmp_path).offsets == {"cam2": 1, "cam3": -3}
    other = parse(Source, stated | {"cameras": {"format": "toml", "path": "a.toml"}}, "")
    assert in_time(other, tmp_path) is other


def test_lists_of_other_lengths_are_refused(tmp_path):
    cameras = ring_of_cameras(2)
    people_cameras.write(tmp_path / "made.toml", cameras, about(cameras))
    text = (tmp_path / "made.toml").read_text().replace("late_frames = [0.0, 0.0]", "late_frames = [0.0]")
    (tmp_path / "made.toml").write_text(text)
    with pytest.raises(InputError, match="not of one length"):
        read_about(tmp_path / "made.toml")

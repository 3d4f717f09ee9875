import json

import pytest

from formats.camera_writers import read_all
from trilift.errors import InputError
from trilift.formats import LeftOut, Stated
from trilift.formats.panoptic import list_cameras

CAMERA = {
    "name": "00_01",
    "type": "vga",
    "resolution": [640, 480],
    "panel": 1,
    "node": 1,
    "K": [[745.606, 0, 374.278], [0, 746.049, 226.198], [0, 0, 1]],
    "distCoef": [-0.319795, 0.210394, 0.000316, -0.000464, -0.084],
    "R": [[0.96, 0.0, -0.28], [0.0, 1.0, 0.0], [0.28, 0.0, 0.96]],
    "t": [[-50.0], [150.0], [288.0]],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calibration_171204_pose1.json"


def read_cameras(path, **stated):
    return read_all(list_cameras(path), **stated)


def message(path):
    with pytest.raises(InputError) as caught:
        read_cameras(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_centimetres_become_metres(path):
    path.write_text(json.dumps({"calibDataSource": "160422", "cameras": [CAMERA]}))
    (camera,) = read_cameras(path)
    assert camera.name == "00_01"
    assert camera.t.tolist() == [-0.5, 1.5, 2.88]
    assert camera.distortion.tolist() == CAMERA["distCoef"]


@pytest.mark.parametrize("key", ["K", "distCoef"])
def test_a_missing_entry_is_named(path, key):
    path.write_text(json.dumps({"cameras": [{k: v for k, v in CAMERA.items() if k != key}]}))
    assert f"cameras[0] (00_01): lacks `{key}`" in message(path)


@pytest.mark.parametrize("key", ["R", "t"])
def test_a_camera_without_pose_is_left_out(path, key):
    path.write_text(json.dumps({"cameras": [CAMERA | {key: None}, CAMERA | {"name": "00_02"}]}))
    lost, camera = list_cameras(path)
    assert lost.read(Stated()) == LeftOut("00_01", f"has no pose (lacks `{key}`)")
    assert camera.read(Stated()).name == "00_02"


def test_a_file_for_each_camera_is_read(tmp_path):
    nameless = {key: value for key, value in CAMERA.items() if key != "name"}
    for name, content in {
        "calib_00_01": CAMERA,
        "00_02": nameless,
        "list": {"cameras": [CAMERA | {"name": "00_03"}]},
        "notes": {"by": "me"},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert [camera.name for camera in read_cameras(tmp_path)] == ["00_02", "00_01", "00_03"]
    (tmp_path / "00_04.json").write_text("{")
    with pytest.raises(InputError, match=r"00_04\.json: no valid JSON"):
        read_cameras(tmp_path)
    assert [camera.name for camera in list_cameras(tmp_path)] == ["00_02", "00_04", "00_01", "00_03"]


def test_a_single_file_of_one_camera_is_read(path):
    path.write_text(json.dumps(CAMERA))
    assert [camera.name for camera in read_cameras(path)] == ["00_01"]


def test_a_whole_dome_is_read(path):
    path.write_text(json.dumps({"cameras": [CAMERA | {"name": f"{n // 24:02}_{n % 24:02}"} for n in range(520)]}))
    assert len(read_cameras(path)) == 520


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": 3}, "cameras[0]: the name of a camera must be short text"),
        ({"name": "\ud800"}, "the name of a camera must be short text"),
        ({"t": [1, 2]}, "`t` must be 3 finite numbers, found [1, 2]"),
        ({"t": [None, 1, 2]}, "`t` must be 3 finite numbers"),
        ({"t": [10**400, 1, 2]}, "`t` must be 3 finite numbers"),
        ({"K": {"fx": 1}}, "`K` must be 3x3 finite numbers"),
    ],
)
def test_an_entry_of_another_form_is_refused(path, change, expected):
    path.write_text(json.dumps({"cameras": [CAMERA | change]}))
    assert expected in message(path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"cameras": {}}', '{"cameras": [1]}', "3"])
def test_the_list_of_cameras_is_needed(path, content):
    path.write_text(content)
    assert "lacks `cameras`" in message(path)


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000, '{"a": ' + "9" * 10_000 + "}"])
def test_what_is_no_json_is_refused(path, content):
    path.write_text(content)
    assert "no valid JSON" in message(path)

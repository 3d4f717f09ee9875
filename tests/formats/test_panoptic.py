import json

import pytest

from trilift.errors import InputError
from trilift.formats.panoptic import read_cameras

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


@pytest.mark.parametrize("key", ["K", "distCoef", "R", "t", "resolution"])
def test_a_missing_entry_is_named(path, key):
    path.write_text(json.dumps({"cameras": [{k: v for k, v in CAMERA.items() if k != key}]}))
    assert f"cameras[0] (00_01): lacks `{key}`" in message(path)


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

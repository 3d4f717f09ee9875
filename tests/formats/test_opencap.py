import pickle

import numpy as np
import pytest

from formats.camera_writers import read_all, write_opencap
from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats.opencap import FILE, list_cameras
from trilift.formats.recognise import look_at, look_at_calibration
from trilift.formats.registry import CAMERAS


def read_cameras(path):
    return read_all(list_cameras(path))


def write_camera(folder, **changes):
    write_opencap(folder, ring_of_cameras(1))
    (file,) = folder.rglob(FILE)
    file.write_bytes(pickle.dumps(pickle.loads(file.read_bytes()) | changes))
    return file


def test_other_pickles_beside_the_cameras_are_not_read(tmp_path):
    write_opencap(tmp_path, ring_of_cameras(2))
    (tmp_path / "mappingCamDevice.pickle").write_bytes(b"something else")
    assert [camera.name for camera in read_cameras(tmp_path)] == ["cam1", "cam2"]


class Calling:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rotation": Calling()}, "refused, because it names"),
        ({"rotation": np.zeros(4)}, "`rotation` must be 3 or 3x3 finite numbers"),
        ({"translation": "far"}, "`translation` must be 3 finite numbers"),
        ({"imageSize": None}, "`imageSize` must be 2 finite numbers"),
    ],
)
def test_what_is_no_camera_is_refused_and_runs_no_code(tmp_path, capsys, changes, expected):
    file = write_camera(tmp_path, **changes)
    with pytest.raises(InputError, match=expected) as caught:
        read_cameras(tmp_path)
    assert str(caught.value).startswith(str(file))
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"text", pickle.dumps([1, 2])])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "Cam0").mkdir()
    (tmp_path / "Cam0" / FILE).write_bytes(content)
    with pytest.raises(InputError, match=FILE):
        read_cameras(tmp_path)


def test_a_folder_without_cameras_is_refused(tmp_path):
    with pytest.raises(InputError, match="no camera found"):
        read_cameras(tmp_path)


@pytest.mark.parametrize("named", ["Videos", f"Videos/cam2/{FILE}"])
def test_a_calibration_is_recognised_by_its_folder_or_one_of_its_files(tmp_path, named):
    write_opencap(tmp_path / "Videos", ring_of_cameras(2))
    folder, calibration = look_at_calibration(tmp_path / named)
    assert (folder, calibration.format, calibration.path) == (tmp_path / "Videos", "opencap", ".")


def test_a_session_is_recognised_and_what_is_read_of_it_known(tmp_path):
    write_opencap(tmp_path / "Videos", ring_of_cameras(2))
    found = look_at(tmp_path)
    assert (found.cameras.format, found.cameras.path) == ("opencap", "Videos")
    assert found.unused == []
    assert [str(file.relative_to(tmp_path)) for file in CAMERAS["opencap"].files(tmp_path / "Videos")] == [
        f"Videos/cam1/{FILE}",
        f"Videos/cam2/{FILE}",
    ]

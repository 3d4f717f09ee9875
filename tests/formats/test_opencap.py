import pickle

import numpy as np
import pytest

from formats.camera_writers import read_all
from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats.opencap import FILE, list_cameras


def read_cameras(path):
    return read_all(list_cameras(path))


def write_camera(folder, camera, **changes):
    """Write a camera as OpenCap does: columns of numbers, sizes as height and width, millimetres."""
    folder.mkdir(parents=True)
    content = {
        "distortion": camera.distortion[None],
        "intrinsicMat": camera.K,
        "imageSize": camera.image_size[::-1, None].astype(float),
        "rotation": camera.R,
        "translation": 1000 * camera.t[:, None],
        "rotation_EulerAngles": np.zeros(3),
    }
    (folder / FILE).write_bytes(pickle.dumps(content | changes))


@pytest.mark.parametrize("count", [2, 3])
def test_cameras_are_read_in_metres(tmp_path, count):
    cameras = ring_of_cameras(count)
    for number, camera in enumerate(cameras):
        write_camera(tmp_path / f"Cam{number}", camera)
    (tmp_path / "mappingCamDevice.pickle").write_bytes(b"something else")
    found = read_cameras(tmp_path)
    assert [camera.name for camera in found] == [f"Cam{number}" for number in range(count)]
    for camera, expected in zip(found, cameras, strict=True):
        for field in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_allclose(getattr(camera, field), getattr(expected, field), rtol=1e-12, atol=1e-15)


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
    write_camera(tmp_path / "Cam0", ring_of_cameras(2)[0], **changes)
    with pytest.raises(InputError, match=expected) as caught:
        read_cameras(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "Cam0" / FILE))
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

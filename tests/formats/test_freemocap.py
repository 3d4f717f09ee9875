import numpy as np
import pytest

from trilift.errors import InputError
from trilift.formats.freemocap import read_detections
from trilift.skeletons import COCO17, COCO133, MEDIAPIPE33


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mediapipe_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"


def points(*shape, seed=0):
    return np.random.default_rng(seed).uniform(1, 1000, shape)


@pytest.mark.parametrize(
    ("number", "skeleton"),
    [(33, MEDIAPIPE33), (75, MEDIAPIPE33), (543, MEDIAPIPE33), (553, MEDIAPIPE33), (17, COCO17), (133, COCO133)],
)
@pytest.mark.parametrize("numbers", [2, 3])
def test_the_body_of_every_camera_is_read(path, number, skeleton, numbers):
    array = points(3, 4, number, numbers)
    array[1, 2, 5, 0] = np.nan
    np.save(path, array)
    (recording,) = read_detections(path, "walk")
    assert (recording.name, recording.capture) == ("walk", "walk")
    assert recording.skeleton is skeleton
    expected = array[:, :, : len(skeleton), :2].astype(np.float32)
    expected[1, 2, 5] = np.nan
    assert len(recording.views) == 3
    for view, found in zip(recording.views, expected, strict=True):
        assert (view.name, view.confidence) == (None, None)
        np.testing.assert_array_equal(view.pixels, found[:, None])


def message(path):
    with pytest.raises(InputError) as caught:
        list(read_detections(path, "walk"))
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("shape", [(3, 4, 33), (3, 4, 33, 4), (4, 33, 2)])
def test_an_array_of_another_shape_is_refused(path, shape):
    np.save(path, points(*shape))
    assert "expected an array (cameras, frames, points, 2 or 3)" in message(path)


def test_points_of_another_tracker_are_refused(path):
    np.save(path, points(3, 4, 21, 2))
    assert "21 points of an unknown tracker" in message(path)


@pytest.mark.parametrize("number", [np.inf, 1e300])
def test_numbers_without_bounds_are_refused(path, number):
    array = points(3, 4, 33, 2)
    array[0, 1, 2, 0] = number
    np.save(path, array)
    assert "infinite" in message(path)


def test_objects_are_not_loaded(path):
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    assert "no complete array" in message(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"text"])
def test_damaged_files_are_refused(path, content):
    path.write_bytes(content)
    assert "no complete array" in message(path)


def test_a_file_cut_off_is_refused(path):
    np.save(path, points(3, 4, 33, 2))
    path.write_bytes(path.read_bytes()[:-100])
    assert "no complete array" in message(path)

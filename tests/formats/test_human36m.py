import numpy as np
import pytest

from trilift.formats.human36m import read_cameras

RIGS = read_cameras()
NAMES = ["54138969", "55011271", "58860488", "60457274"]
RIG = pytest.mark.parametrize("rig", RIGS.values(), ids=RIGS)


def position(camera):
    return -camera.R.T @ camera.t


def test_there_are_11_subjects():
    assert sorted(RIGS, key=lambda name: int(name[1:])) == [f"S{number}" for number in range(1, 12)]


@RIG
def test_every_subject_has_the_4_cameras_in_the_order_of_published_detections(rig):
    assert [camera.name for camera in rig] == NAMES


@RIG
def test_rotations_are_rotations(rig):
    for camera in rig:
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.R) > 0


@RIG
def test_cameras_stand_some_metres_from_the_centre_at_the_height_of_a_tripod(rig):
    for camera in rig:
        x, y, z = position(camera)
        assert 3 < np.hypot(x, y) < 7
        assert 1 < z < 2


@RIG
def test_cameras_stand_in_four_corners_and_look_at_the_middle(rig):
    positions = np.array([position(camera) for camera in rig])
    assert len({tuple(np.sign(place[:2])) for place in positions}) == 4
    for camera in rig:
        x, y, z = camera.R @ [0, 0, 0.9] + camera.t
        assert z > 3
        assert np.hypot(x, y) / z < 0.3


def test_every_subject_has_a_calibration_of_its_own():
    places = {tuple(camera.t) for rig in RIGS.values() for camera in rig}
    assert len(places) == 44


def test_intrinsics_fit_the_images():
    for camera in RIGS["S1"]:
        assert camera.image_size.tolist() in ([1000, 1002], [1000, 1000])
        assert np.abs(camera.K[:2, 2] - camera.image_size / 2).max() < 25
        assert 1100 < camera.K[0, 0] < 1200
        assert camera.distortion.shape == (5,)

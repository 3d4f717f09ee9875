"""The plain text calibrations of MPI-INF-3DHP and HumanEva."""

import numpy as np
import pytest

from formats.camera_writers import read_all
from trilift.errors import InputError
from trilift.formats import humaneva_cameras, mpi_inf_3dhp_cameras

SKELETOOL = """Skeletool Camera Calibration File V1.0
name          0
  sensor      10 10
  size        2048 1024
  animated    0
  intrinsic   1500 0 1024.7 0 0 1497.1 1051.4 0 0 0 1 0 0 0 0 1
  extrinsic   0.96 0 0.28 -562.5 0 1 0 1398 -0.28 0 0.96 3852 0 0 0 1
  radial      0
"""
HUMANEVA = """765.5 764.5
320.5 241.5
0
-0.25 0.125 0.001 -0.002 0
0.96 0 0.28
0 1 0
-0.28 0 0.96
-562.5 1398 3852
"""
R = [[0.96, 0, 0.28], [0, 1, 0], [-0.28, 0, 0.96]]
T = [-0.5625, 1.398, 3.852]


def mpi_message(path, text):
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_all(mpi_inf_3dhp_cameras.list_cameras(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def humaneva_message(path, text):
    (path / "BW1.cal").write_text(text)
    with pytest.raises(InputError) as caught:
        read_all(humaneva_cameras.list_cameras(path))
    assert "BW1.cal" in str(caught.value)
    return str(caught.value)


def test_mpi_inf_3dhp_goes_row_by_row_in_millimetres(tmp_path):
    (tmp_path / "camera.calibration").write_text(SKELETOOL)
    (camera,) = read_all(mpi_inf_3dhp_cameras.list_cameras(tmp_path / "camera.calibration"))
    assert camera.name == "0"
    assert camera.K.tolist() == [[1500, 0, 1024.7], [0, 1497.1, 1051.4], [0, 0, 1]]
    np.testing.assert_allclose(camera.R, R, atol=1e-12)
    np.testing.assert_allclose(camera.t, T, atol=1e-12)
    assert camera.image_size.tolist() == [2048, 1024]
    assert not camera.distortion.any()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Skeletool", "Skeleton", "must begin with 'Skeletool Camera Calibration File'"),
        ("radial      0", "radial 0.1", "camera 0: `radial` distortion is not supported"),
        ("radial      0", "", "lacks `radial`"),
        ("radial      0", "polynomial 2 1 1", "fisheye lenses are not supported"),
        ("radial      0", "spherical 1", "unknown entry 'spherical'"),
        ("animated    0", "animated 1", "cameras that move"),
        ("animated    0", "size 1 1", "'size' is there twice"),
        ("name          0", "", "'sensor' comes before the `name`"),
        ("name          0", "name", "the name of a camera"),
        ("size        2048 1024", "size 2048", "`size` must be 2 finite numbers"),
        ("1500 0", "1500", "`intrinsic` must be 16 finite numbers"),
        ("1500 0", "nan 0", "`intrinsic` must be 16 finite numbers"),
        ("3852 0 0 0 1", "0 0 0 0 3852", "4x4 matrices, row by row"),
        ("1024.7 0 0", "1024.7 1 0", "4x4 matrices, row by row"),
    ],
)
def test_faults_of_mpi_inf_3dhp_are_named(tmp_path, old, new, expected):
    assert old in SKELETOOL
    assert expected in mpi_message(tmp_path / "camera.calibration", SKELETOOL.replace(old, new))


def test_humaneva_goes_row_by_row_in_millimetres(tmp_path):
    (tmp_path / "BW1.cal").write_text(HUMANEVA)
    (camera,) = read_all(humaneva_cameras.list_cameras(tmp_path))
    assert camera.name == "BW1"
    assert camera.K.tolist() == [[765.5, 0, 320.5], [0, 764.5, 241.5], [0, 0, 1]]
    assert camera.distortion.tolist() == [-0.25, 0.125, 0.001, -0.002, 0]
    np.testing.assert_allclose(camera.R, R, atol=1e-12)
    np.testing.assert_allclose(camera.t, T, atol=1e-12)
    assert camera.image_size.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("3852", "", "must be 22 finite numbers"),
        ("3852", "3852 1", "must be 22 finite numbers"),
        ("3852", "nan", "must be 22 finite numbers"),
        ("3852", "far", "must be 22 finite numbers"),
        ("\n0\n", "\n0.01\n", "K has a skew of 7.655 px"),
    ],
)
def test_faults_of_humaneva_are_named(tmp_path, old, new, expected):
    assert old in HUMANEVA
    assert expected in humaneva_message(tmp_path, HUMANEVA.replace(old, new, 1))

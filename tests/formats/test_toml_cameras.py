import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from formats.camera_writers import read_all
from synthetic import ring_of_cameras, write_pose2sim
from trilift.errors import InputError
from trilift.formats import LeftOut, Stated
from trilift.formats.toml_cameras import list_cameras
from trilift.geometry.cameras import Cameras, project

SHARED = Path(os.environ.get("TRILIFT_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
CALISCOPE = SHARED / "caliscope_4cam" / "config.toml"
POINTS = np.random.default_rng(0).uniform([-1, -1, 0], [1, 1, 2], (30, 3))
ENTRIES = {
    "name": '"cam_a"',
    "size": "[1088.0, 1920.0]",
    "matrix": "[[1681.2, 0.0, 532.9], [0.0, 1680.0, 948.1], [0.0, 0.0, 1.0]]",
    "distortions": "[-0.07, 0.02, 0.001, -0.002]",
    "rotation": "[1.688, 1.048, -0.419]",
    "translation": "[0.32, 0.95, 2.89]",
    "fisheye": "false",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calibration.toml"


def write(path, **changes):
    """A file with one camera; None leaves an entry out."""
    entries = {name: value for name, value in (ENTRIES | changes).items() if value is not None}
    path.write_text("[cam_a]\n" + "\n".join(f"{name} = {value}" for name, value in entries.items()))


def read_cameras(path, **stated):
    return read_all(list_cameras(path), **stated)


def message(path):
    with pytest.raises(InputError) as caught:
        read_cameras(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_cameras_come_back(path):
    written = ring_of_cameras(3)
    write_pose2sim(path, written)
    for camera, original in zip(read_cameras(path), written, strict=True):
        assert camera.name == original.name
        for field in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_allclose(getattr(camera, field), getattr(original, field), atol=1e-12)


@pytest.mark.skipif(not CALISCOPE.exists(), reason="the recording is not here")
def test_a_real_file_of_caliscope_is_read():
    cameras = read_cameras(CALISCOPE)
    assert [camera.name for camera in cameras] == ["cam_0", "cam_1", "cam_2", "cam_3"]
    assert cameras[1].K[0, 0] == 703.9581082139392
    np.testing.assert_allclose(cameras[2].R[0], [-0.9967644634943604, -0.07540940912751744, 0.0278213107138822])
    assert cameras[3].image_size.tolist() == [1280, 720]


@pytest.mark.parametrize("coefficients", [[-0.07, 0.02, 0.001, -0.002], [-0.07, 0.02, 0.001, -0.002, -0.004]])
def test_projections_are_those_of_opencv_with_the_rotation_vector_of_the_file(path, coefficients):
    write(path, distortions=str(coefficients))
    expected, _ = cv2.projectPoints(
        POINTS,
        np.array([1.688, 1.048, -0.419]),
        np.array([0.32, 0.95, 2.89]),
        np.array([[1681.2, 0, 532.9], [0, 1680.0, 948.1], [0, 0, 1]]),
        np.array(coefficients),
    )
    cameras = Cameras.stack(read_cameras(path))
    found = project(cameras, cameras.R.new_tensor(POINTS))[0].numpy()
    in_front = np.isfinite(found).all(-1)
    assert in_front.sum() > 20
    np.testing.assert_allclose(found[in_front], expected[in_front, 0], atol=1e-6)


def test_no_rotation_is_the_identity(path):
    write(path, rotation="[0.0, 0.0, 0.0]")
    np.testing.assert_array_equal(read_cameras(path)[0].R, np.eye(3))


def test_a_camera_without_a_name_is_called_as_its_section(path):
    write(path, name=None)
    assert read_cameras(path)[0].name == "cam_a"


def test_sections_that_are_no_cameras_are_left_out(path):
    write(path)
    path.write_text(path.read_text() + "\n[metadata]\nadjusted = false\nerror = 0.0\n")
    assert [camera.name for camera in read_cameras(path)] == ["cam_a"]


def test_fisheye_lenses_are_refused_by_name(path):
    write(path, fisheye="true")
    assert "[cam_a]: fisheye lenses are not supported" in message(path)


@pytest.mark.parametrize("entry", ["size", "matrix", "distortions", "rotation", "translation"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_refused(path, entry, number):
    start, end = ENTRIES[entry].rsplit(",", 1)
    write(path, **{entry: f"{start}, {number}{']' * end.count(']')}"})
    text = message(path)
    assert f"[cam_a]: `{entry}` must be" in text
    assert "finite" in text


@pytest.mark.parametrize("entry", ["matrix", "distortions"])
def test_a_missing_entry_is_named(path, entry):
    write(path, **{entry: None})
    assert f"[cam_a]: lacks `{entry}`" in message(path)


@pytest.mark.parametrize("entry", ["rotation", "translation"])
@pytest.mark.parametrize("value", [None, '"null"', "[]"])
def test_a_camera_without_pose_is_left_out(path, entry, value):
    write(path, **{entry: value})
    assert list_cameras(path)[0].read(Stated()) == LeftOut("cam_a", f"has no pose (lacks `{entry}`)")


def test_a_camera_without_size_is_read(path):
    write(path, size=None)
    assert read_cameras(path)[0].image_size.tolist() == [0, 0]


def test_a_size_in_fractions_of_pixels_is_rounded(path):
    write(path, size="[1913.79, 1085.758]")
    assert read_cameras(path)[0].image_size.tolist() == [1914, 1086]


@pytest.mark.parametrize("size", ["[nan, 720]", "[-1, 720]", "[1, 2, 3]", '"large"'])
def test_a_size_that_is_stated_takes_the_place_of_one_that_cannot_be(path, size):
    write(path, size=size)
    message(path)
    assert read_cameras(path, image_size=(1280, 720))[0].image_size.tolist() == [1280, 720]


@pytest.mark.parametrize(
    "lens",
    [
        {"fisheye": "true", "distortions": "[0.1, 0.2, 0.3, 0.4]"},
        {"distortions": "[0.1, 0.2, 0.0, 0.0, 0.1, 0.3, 0.0, 0.1]"},
        {"distortions": "[nan, 0, 0, 0, 0]"},
        {"distortions": None},
    ],
)
def test_a_lens_that_cannot_be_modelled_is_no_matter_where_points_are_undistorted(path, lens):
    write(path, **lens)
    message(path)
    assert read_cameras(path, undistorted=True)[0].distortion.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("rotation", "[1, 0, 0, 0]", "must be 3 or 3x3 finite numbers"),
        ("matrix", "[1, 2, 3]", "must be 3x3 finite numbers"),
        ("distortions", "[0.1, 0.2]", "must be 4 or 5 or 8 or 12 or 14 finite numbers"),
        ("translation", '["a", "b", "c"]', "must be 3 finite numbers"),
        ("matrix", "[[1, 2], [3]]", "must be 3x3 finite numbers"),
        ("name", "3", "the name of a camera must be short text"),
        ("name", '"a\\nb"', "the name of a camera must be short text"),
        ("size", "[0x" + "f" * 9000 + ", 1]", "must be 2 finite numbers, found a huge integer"),
        ("fisheye", '"false"', "must be true or false"),
        ("ignore", "1", "must be true or false"),
    ],
)
def test_an_entry_of_another_form_is_refused_with_what_was_expected(path, entry, value, expected):
    write(path, **{entry: value})
    assert expected in message(path)


def test_a_file_without_cameras_is_refused(path):
    path.write_text("[metadata]\nadjusted = false\n")
    assert "no camera found" in message(path)


@pytest.mark.parametrize("content", [b"[cam_a", b"a = \n", b"a = " + b"[" * 100_000])
def test_what_is_no_toml_is_refused(path, content):
    path.write_bytes(content)
    assert "no valid TOML" in message(path)


@pytest.mark.parametrize("part", ["a", '"a b"', "'a,b'", "a ", "ä"])
@pytest.mark.parametrize("line", ["{} = 1", "[{}]", "b = {{ c = 1, {} = 2 }}"])
def test_a_key_that_would_take_hours_to_parse_is_refused(path, part, line):
    path.write_text(line.format(f"{part}." * 100_000 + "a"))
    assert "a key of more than 50 parts" in message(path)


def test_what_is_no_text_is_refused(path):
    path.write_bytes(b"\xff\xfe")
    assert "not readable as UTF-8 text" in message(path)


def test_cameras_that_caliscope_ignores_are_left_out_whatever_they_hold(path):
    write(path)
    path.write_text(path.read_text() + '\n[cam_b]\nmatrix = "none"\nignore = true\n')
    assert [camera.name for camera in read_cameras(path)] == ["cam_a"]


def test_the_pose_of_a_pair_is_no_camera(path):
    write(path)
    path.write_text(path.read_text() + "\n[stereo_1_2]\nRMSE = 3.2\nrotation = [0, 0, 1]\ntranslation = [1, 0, 0]\n")
    assert [camera.name for camera in list_cameras(path)] == ["cam_a"]


def numbered(number, **changes):
    """A camera's section in Caliscope's present file."""
    entries = {"cam_id": number, "rotation_count": 0, "error": 0.2, "exposure": '"null"', "fisheye": "false"}
    entries |= {name: value for name, value in ENTRIES.items() if name not in ("name", "fisheye")} | changes
    lines = [f"{name} = {value}" for name, value in entries.items() if value is not None]
    return "\n".join([f"[cameras.{number}]", *lines, "", ""])


def test_the_present_file_of_caliscope_is_read(path):
    matrix = cv2.Rodrigues(np.array([1.688, 1.048, -0.419]))[0].tolist()
    path.write_text(
        numbered(0)
        + numbered(1, rotation=matrix)
        + numbered(2, rotation_count=-1, exposure=-7)
        + numbered(3, rotation=None, translation=None)
        + numbered(4, ignore="true")
        + numbered(10, rotation_count=2)
    )
    entries = list_cameras(path)
    assert [entry.name for entry in entries] == ["cam_0", "cam_1", "cam_2", "cam_3", "cam_4", "cam_10"]
    cameras = [entry.read(Stated()) for entry in entries]
    assert cameras[3] == LeftOut("cam_3", "has no pose (lacks `rotation` and `translation`)")
    assert cameras[4] == LeftOut("cam_4", "has `ignore = true`", intended=True)
    used = read_all(entries)
    # Matrix, size and points are those of the image as recorded, however Caliscope turned it to show it.
    for camera in used:
        np.testing.assert_allclose(camera.R, matrix, atol=1e-12)
        assert camera.K.tolist() == used[0].K.tolist()
        assert camera.image_size.tolist() == [1088, 1920]


@pytest.mark.skipif(not CALISCOPE.exists(), reason="the recording is not here")
def test_both_files_of_caliscope_hold_the_same_cameras(path):
    """Two of this rig's cameras are turned; its points fit its calibration as they stand (test_real_recording)."""
    path.write_text(CALISCOPE.read_text().replace("[cam_", "[cameras."))
    for camera, original in zip(read_cameras(path), read_cameras(CALISCOPE), strict=True):
        assert camera.name == original.name
        for field in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_array_equal(getattr(camera, field), getattr(original, field))


def test_the_points_that_a_program_calibrated_with_do_not_matter(path):
    write(path)
    points = np.random.default_rng(0).uniform(0, 1000, (8_000, 2))
    estimates = f"\n[point_estimates]\nimg = {points.tolist()}\npoint_id = {list(range(8_000))}\n"
    path.write_text(path.read_text() + estimates)
    assert path.stat().st_size > 256 << 10
    assert [camera.name for camera in read_cameras(path)] == ["cam_a"]


def test_two_cameras_of_one_name_are_refused(path):
    write(path)
    one = path.read_text()
    for number, name in enumerate(("cam_a", "cam_c", "cam_c")):
        other = one.replace("[cam_a]", f"\n[other_{number}]").replace('"cam_a"', f'"{name}"')
        path.write_text(path.read_text() + other)
    assert "two cameras are named cam_a, cam_c" in message(path)

import re

import cv2
import numpy as np
import pytest

from formats.camera_writers import read_all, write_easymocap, write_file_storage, write_opencv_files
from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats import Camera, LeftOut, Stated
from trilift.formats.opencv_yaml import list_cameras


@pytest.fixture
def easymocap(tmp_path):
    write_easymocap(tmp_path, ring_of_cameras(2))
    return tmp_path


def read_cameras(path, **stated):
    return read_all(list_cameras(path), **stated)


def message(path):
    with pytest.raises(InputError) as caught:
        read_cameras(path)
    return str(caught.value)


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_file_beside_is_found(easymocap):
    assert [camera.name for camera in read_cameras(easymocap / "intri.yml")] == ["cam1", "cam2"]


@pytest.mark.parametrize("file", ["intri.yml", "extri.yml"])
def test_each_file_of_the_pair_must_be_there(easymocap, file):
    (easymocap / file).unlink()
    assert f"{file}: not there" in message(easymocap)


def test_what_easymocap_itself_writes_is_read(tmp_path):
    (tmp_path / "intri.yml").write_text(
        '%YAML:1.0\r\n---\nnames:\n  - "010"\nK_010: !!opencv-matrix\n  rows: 3\n  cols: 3\n  dt: d\n'
        "  data: [1000.000, 0.000, 640.000, 0.000, 1000.000, 360.000, 0.000, 0.000, 1.000]\n"
        "dist_010: !!opencv-matrix\n  rows: 1\n  cols: 5\n  dt: d\n  data: [1e-1, 0.000, 0.000, 0.000, 0.000]\n"
    )
    (tmp_path / "extri.yml").write_text(
        '%YAML:1.0\n---\nnames:\n  - "010"\nR_010: !!opencv-matrix\n  rows: 3\n  cols: 1\n  dt: d\n'
        "  data: [0.100, 0.200, 0.300]\nRot_010: !!opencv-matrix\n  rows: 3\n  cols: 3\n  dt: d\n"
        "  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]\nT_010: !!opencv-matrix\n  rows: 3\n  cols: 1\n  dt: d\n"
        "  data: [1.000, 2.000, 3.000]\n"
    )
    (camera,) = read_cameras(tmp_path)
    assert camera.name == "010"
    assert camera.image_size.tolist() == [0, 0]
    assert camera.distortion.tolist() == [0.1, 0, 0, 0, 0]
    assert camera.t.tolist() == [1, 2, 3]
    np.testing.assert_allclose(camera.R, cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))[0], atol=1e-12)


@pytest.mark.parametrize(("file", "key", "other"), [("intri", "dist_", "D_"), ("extri", "R_", "gone_")])
def test_the_second_name_of_an_entry_is_known(easymocap, file, key, other):
    before = read_cameras(easymocap)
    edit(easymocap / f"{file}.yml", f"\n{key}", f"\n{other}")
    for camera, original in zip(read_cameras(easymocap), before, strict=True):
        np.testing.assert_allclose(camera.R, original.R, atol=1e-12)
        np.testing.assert_array_equal(camera.distortion, original.distortion)


@pytest.mark.parametrize(("file", "key"), [("intri", "K_cam2"), ("intri", "dist_cam2"), ("intri", "H_cam2")])
def test_a_missing_entry_is_named(easymocap, file, key):
    edit(easymocap / f"{file}.yml", key, "gone")
    assert f"{file}.yml: lacks `{key}`" in message(easymocap)


@pytest.mark.parametrize("names", ["names: cam1", "gone:\n   - cam1"])
def test_the_list_of_cameras_is_needed(easymocap, names):
    edit(easymocap / "intri.yml", "names:\n   - cam1\n   - cam2", names)
    assert "intri.yml: lacks `names`" in message(easymocap)


def test_a_camera_listed_twice_is_refused(easymocap):
    edit(easymocap / "intri.yml", "   - cam2", "   - cam1")
    assert "two cameras are named cam1" in message(easymocap)


@pytest.mark.parametrize("poses", [("R", "T"), ("rvec", "tvec")])
@pytest.mark.parametrize("shape", [(3, 1), (1, 3)])
def test_poses_of_a_file_per_camera_may_be_vectors_of_either_name(tmp_path, poses, shape):
    camera = ring_of_cameras(1)[0]
    entries = {"camera_matrix": camera.K, "distortion_coefficients": camera.distortion}
    pose = [cv2.Rodrigues(camera.R)[0].reshape(shape), camera.t.reshape(shape)]
    write_file_storage(tmp_path / "left.yml", entries | dict(zip(poses, pose, strict=True)))
    (read,) = read_cameras(tmp_path)
    assert read.name == "left"
    assert read.image_size.tolist() == [0, 0]
    np.testing.assert_allclose(read.R, camera.R, atol=1e-12)
    np.testing.assert_allclose(read.t, camera.t, atol=1e-12)


def test_numbers_without_a_point_and_single_precision_are_read(tmp_path):
    camera = ring_of_cameras(1)[0]
    entries = {"camera_matrix": np.diag([1e22, 1e22, 1e19]), "distortion_coefficients": np.zeros(5, np.float32)}
    write_file_storage(tmp_path / "a.yml", entries | {"R": camera.R.astype(np.float32), "T": camera.t})
    (read,) = read_cameras(tmp_path)
    assert read.K.tolist() == [[1000, 0, 0], [0, 1000, 0], [0, 0, 1]]
    np.testing.assert_allclose(read.R, camera.R, atol=1e-6)


def test_fisheye_lenses_are_refused_by_name(tmp_path):
    write_opencv_files(tmp_path, ring_of_cameras(1))
    edit(tmp_path / "cam1.yml", "fisheye_model: 0", "fisheye_model: 1")
    assert "cam1.yml: fisheye lenses are not supported" in message(tmp_path)


def test_the_header_of_newer_versions_is_read(easymocap):
    edit(easymocap / "intri.yml", "%YAML:1.0", "%YAML 1.2")
    assert len(read_cameras(easymocap)) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: " + "[" * 50_000, "more than 10 levels"),
        ("a: " + "[" * 9 + "]" * 9, "lacks `names`"),
        ("a: " * 50_000, "no valid YAML"),
        ("names: &a [*a]", "recursive"),
        ("- 1", "keys with values are expected"),
        ("", "keys with values are expected"),
        ("a: 1\na: 2", "a key is there twice"),
        ("? [1]\n: 2", "no valid YAML"),
        ('a: "\\UFFFFFFFF"', "no valid YAML"),
        ("a: 1\n---\nb: 1", "no valid YAML"),
        ("m: !!opencv-matrix\n  rows: 3\n  cols: 3\n  data: [1, 2]", "as many data"),
        ("m: !!opencv-matrix\n  rows: 1000000000000000\n  cols: 0\n  data: []", "lacks `names`"),
        ("m: !!opencv-matrix\n  rows: 99999999999999999999\n  cols: 1\n  data: [1]", "as many data"),
        ("m: !!opencv-matrix\n  rows: 3\n  cols: 3", "as many data"),
        ("m: !!opencv-matrix [1]", "no valid YAML"),
        ("m: !!opencv-matrix\n  rows: 3\n  cols: 1\n  dt: [d]\n  data: [1, 2, 3]", "as many data"),
        ("m: !!opencv-\ufeffmatrix [1]", "while scanning a tag"),
    ],
)
def test_damaged_yaml_is_refused(easymocap, content, expected):
    (easymocap / "intri.yml").write_text(content)
    text = message(easymocap)
    assert expected in text
    assert text.isprintable()


def test_a_matrix_of_another_size_is_refused(tmp_path):
    write_opencv_files(tmp_path, ring_of_cameras(1))
    edit(tmp_path / "cam1.yml", "cols: 1", "cols: 2")
    assert "as many data" in message(tmp_path)


def test_the_points_that_opencv_calibrated_with_do_not_matter(tmp_path):
    """OpenCV's own sample writes them into the same file, as a matrix of two channels."""
    camera = ring_of_cameras(1)[0]
    points = np.random.default_rng(0).uniform(0, 1000, (200, 54, 2))
    entries = {"camera_matrix": camera.K, "distortion_coefficients": camera.distortion, "R": camera.R, "T": camera.t}
    write_file_storage(tmp_path / "a.yml", entries | {"image_points": points.astype(np.float32)})
    assert 'dt: "2f"' in (tmp_path / "a.yml").read_text()
    assert (tmp_path / "a.yml").stat().st_size > 256 << 10
    (read,) = read_cameras(tmp_path)
    np.testing.assert_array_equal(read.t, camera.t)


def test_cameras_that_only_one_of_the_pair_of_files_has_are_left_out(tmp_path):
    """Lenses of 1, 2, 3, 4 and poses of 5, 2, 1, 3: the cameras 1, 2, 3."""
    ring = ring_of_cameras(5)
    write_easymocap(tmp_path, ring[:4])
    (tmp_path / "poses").mkdir()
    write_easymocap(tmp_path / "poses", [ring[number] for number in (4, 1, 0, 2)])
    (tmp_path / "poses" / "extri.yml").replace(tmp_path / "extri.yml")
    read = [entry.read(Stated()) for entry in list_cameras(tmp_path)]
    assert [camera.name for camera in read] == ["cam1", "cam2", "cam3", "cam4", "cam5"]
    assert read[3:] == [
        LeftOut("cam4", "has no pose (lacks `R_cam4` and `T_cam4`)"),
        LeftOut("cam5", "is not in intri.yml"),
    ]
    for camera, original in zip(read[:3], ring, strict=False):
        np.testing.assert_allclose(camera.R, original.R, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("camera_matrix: 1", "has no pose (lacks `R` and `T`)"),
        ("camera_matrix: 1\nrvec: []\ntvec: ~", "has no pose (lacks `rvec` and `tvec`)"),
    ],
)
def test_a_camera_without_pose_is_left_out(tmp_path, content, reason):
    write_opencv_files(tmp_path, ring_of_cameras(1))
    (tmp_path / "z.yml").write_text(content)
    camera, other = list_cameras(tmp_path)
    assert isinstance(camera.read(Stated()), Camera)
    assert other.read(Stated()) == LeftOut("z", reason)


@pytest.mark.parametrize("content", ["a: &a [*a]\nboard: 5x7", "", "# the camera_matrix: elsewhere"])
def test_a_file_beside_the_cameras_is_none(tmp_path, content):
    write_opencv_files(tmp_path, ring_of_cameras(1))
    (tmp_path / "z.yml").write_text(content)
    assert [camera.name for camera in list_cameras(tmp_path)] == ["cam1"]


@pytest.mark.parametrize(
    ("old", "new"), [("fisheye_model: 0", "fisheye_model: 1"), ("distortion_coefficients", "coefficients")]
)
def test_a_lens_that_cannot_be_modelled_is_no_matter_where_points_are_undistorted(tmp_path, old, new):
    write_opencv_files(tmp_path, ring_of_cameras(1))
    edit(tmp_path / "cam1.yml", old, new)
    message(tmp_path)
    assert read_cameras(tmp_path, undistorted=True)[0].distortion.tolist() == [0] * 5


def test_a_damaged_file_is_no_matter_until_it_is_read(tmp_path):
    write_opencv_files(tmp_path, ring_of_cameras(2))
    (tmp_path / "cam1.yml").write_bytes(b"\xff")
    damaged, sound = list_cameras(tmp_path)
    assert isinstance(sound.read(Stated()), Camera)
    with pytest.raises(InputError, match=r"cam1\.yml: not readable"):
        damaged.read(Stated())


def test_what_a_matrix_holds_instead_of_numbers_is_shown_on_one_line(easymocap):
    file = easymocap / "extri.yml"
    file.write_text(re.sub(r"(T_cam1:.*?data: \[)[^,]+", r"\1 []", file.read_text(), count=1, flags=re.DOTALL))
    text = message(easymocap)
    assert "`T_cam1` must be 3 finite numbers, found [[[]], " in text
    assert text.isprintable()

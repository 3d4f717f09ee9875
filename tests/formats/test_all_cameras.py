"""What every reader of calibrations must do, format by format."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.camera_writers import FORMATS
from synthetic import project_with_opencv, ring_of_cameras
from trilift.errors import InputError
from trilift.formats import Camera, registry

POINTS = np.random.default_rng(0).uniform([-1, -1, 0], [1, 1, 2], (50, 3))
every_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


def that_fit(fmt, cameras):
    """The cameras with as much distortion as the format can hold."""
    kept = np.arange(5) < fmt.distortion
    return [replace(camera, distortion=camera.distortion * kept) for camera in cameras]


def message(fmt, path):
    with pytest.raises(InputError) as caught:
        fmt.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_format_of_cameras_has_a_writer():
    """One or several."""
    read_by = {fmt.list_cameras.__module__ for fmt in FORMATS.values()}
    assert read_by == {f"trilift.formats.{kind.module}" for kind in registry.CAMERAS.values()}


@every_format
def test_pixels_are_those_that_opencv_gives_for_the_cameras_written(fmt, tmp_path):
    written = that_fit(fmt, ring_of_cameras(4))
    fmt.write(tmp_path / "rig", written)
    read = fmt.read(tmp_path / "rig")
    for camera, original in zip(read, written, strict=True):
        assert camera.name == original.name
        assert camera.image_size.tolist() == (original.image_size.tolist() if fmt.has_size else [0, 0])
        assert camera.image_size.dtype.kind == "i"
        expected = project_with_opencv(original, POINTS)
        np.testing.assert_allclose(project_with_opencv(camera, POINTS), expected, rtol=0, atol=1e-6)


small = st.floats(-0.3, 0.3)
# OpenCV, with which the test writes, takes smaller angles than 0.00001 for none.
rotations = (
    st.tuples(*[st.floats(-1.7, 1.7)] * 3)
    .filter(lambda v: not 0 < np.linalg.norm(v) < 1e-4)
    .map(lambda v: cv2.Rodrigues(np.array(v))[0])
)
valid_cameras = st.builds(
    lambda focal, aspect, centre, distortion, R, t, size: Camera(
        "cam1",
        np.array([[focal, 0, centre[0]], [0, focal * aspect, centre[1]], [0, 0, 1]]),
        np.array(distortion),
        R,
        np.array(t),
        np.array(size),
    ),
    st.floats(1, 1e5),
    st.floats(0.5, 2),
    st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
    st.tuples(*[small] * 5),
    rotations,
    st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    st.tuples(st.integers(1, 99_999), st.integers(1, 99_999)),
)


@every_format
@settings(max_examples=40, deadline=None)
@given(camera=valid_cameras)
def test_any_valid_camera_comes_back(fmt, camera):
    (camera,) = that_fit(fmt, [camera])
    with tempfile.TemporaryDirectory() as folder:
        fmt.write(Path(folder, "rig"), [camera])
        (read,) = fmt.read(Path(folder, "rig"))
    for field in ("K", "distortion", "R", "t"):
        np.testing.assert_allclose(getattr(read, field), getattr(camera, field), rtol=1e-9, atol=1e-9, err_msg=field)
    np.testing.assert_allclose(read.R @ read.R.T, np.eye(3), atol=1e-14)


def changed(camera, field, index, value):
    array = np.array(getattr(camera, field), float)
    array[index] = value
    return replace(camera, **{field: array})


FAULTS = {
    "a focal length below zero": (("K", (0, 0), -1100.0), "focal lengths in K must be positive"),
    "a focal length of zero": (("K", (1, 1), 0.0), "focal lengths in K must be positive"),
    "a huge number": (("t", 0, 1e300), "t holds NaN, infinity or a number beyond"),
    "NaN in K": (("K", (0, 2), np.nan), "finite numbers, found"),
    "NaN in t": (("t", 1, np.nan), "finite numbers, found"),
    "infinity in t": (("t", 1, np.inf), "finite numbers, found"),
    "NaN in distortion": (("distortion", 0, np.nan), "finite numbers, found"),
}


@every_format
@pytest.mark.parametrize("fault", FAULTS)
def test_a_camera_that_cannot_be_is_refused(fmt, fault, tmp_path):
    change, expected = FAULTS[fault]
    if change[0] == "distortion" and fmt.distortion == 0:
        pytest.skip("the format has no distortion")
    fmt.write(tmp_path / "rig", [changed(ring_of_cameras(1)[0], *change)])
    assert expected in message(fmt, tmp_path / "rig")


as_matrix = pytest.mark.parametrize(
    "fmt", [FORMATS[name] for name in ("caliscope", "opencv", "panoptic", "mpi_inf_3dhp", "humaneva", "qualisys")]
)


@as_matrix
def test_a_reflection_is_no_rotation(fmt, tmp_path):
    camera = ring_of_cameras(1)[0]
    fmt.write(tmp_path / "rig", [replace(camera, R=camera.R * [1, 1, -1])])
    assert "R is a reflection" in message(fmt, tmp_path / "rig")


@as_matrix
def test_a_matrix_that_stretches_is_no_rotation(fmt, tmp_path):
    camera = ring_of_cameras(1)[0]
    fmt.write(tmp_path / "rig", [replace(camera, R=camera.R * 1.01)])
    assert "R is no rotation matrix" in message(fmt, tmp_path / "rig")


@as_matrix
def test_a_rounded_rotation_is_made_exact(fmt, tmp_path):
    camera = ring_of_cameras(1)[0]
    fmt.write(tmp_path / "rig", [replace(camera, R=camera.R.round(4))])
    (read,) = fmt.read(tmp_path / "rig")
    np.testing.assert_allclose(read.R @ read.R.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(read.R, camera.R, atol=2e-4)


with_free_K = pytest.mark.parametrize(
    "fmt", [FORMATS[name] for name in ("pose2sim", "easymocap", "opencv", "panoptic", "mpi_inf_3dhp")]
)


@with_free_K
@pytest.mark.parametrize(
    ("index", "value", "expected"),
    [
        ((0, 1), 2.0, "K has a skew of 2 px"),
        ((1, 0), 1.0, "K must be upper triangular"),
        ((2, 0), 1e-5, "K must be upper triangular"),
        ((2, 2), 0.0, "K must be upper triangular"),
    ],
)
def test_a_K_of_another_form_is_refused(fmt, index, value, expected, tmp_path):
    fmt.write(tmp_path / "rig", [changed(ring_of_cameras(1)[0], "K", index, value)])
    assert expected in message(fmt, tmp_path / "rig")


@with_free_K
def test_K_is_scaled_and_a_trace_of_skew_is_dropped(fmt, tmp_path):
    camera = ring_of_cameras(1)[0]
    fmt.write(tmp_path / "rig", [replace(camera, K=2 * changed(camera, "K", (0, 1), 1e-4).K)])
    np.testing.assert_allclose(fmt.read(tmp_path / "rig")[0].K, camera.K, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["pose2sim", "caliscope", "easymocap", "opencv", "panoptic", "mpi_inf_3dhp", "qualisys"]
)
@pytest.mark.parametrize("size", [[-1280, 720], [1280, 100_000], [0, 720]])
def test_an_image_size_that_cannot_be_is_refused(name, size, tmp_path):
    fmt = FORMATS[name]
    fmt.write(tmp_path / "rig", [replace(ring_of_cameras(1)[0], image_size=np.array(size))])
    assert "numbers of pixels below 100000" in message(fmt, tmp_path / "rig")


@pytest.mark.parametrize("name", ["caliscope", "opencv", "panoptic"])
@pytest.mark.parametrize("length", [8, 12, 14])
def test_longer_distortion_models_are_taken_only_where_they_are_ours(name, length, tmp_path):
    fmt, camera = FORMATS[name], ring_of_cameras(1)[0]
    longer = np.pad(camera.distortion, (0, length - 5))
    fmt.write(tmp_path / "rig", [replace(camera, distortion=longer)])
    np.testing.assert_array_equal(fmt.read(tmp_path / "rig")[0].distortion, camera.distortion)
    longer[-1] = 1e-3
    fmt.write(tmp_path / "rig", [replace(camera, distortion=longer)])
    assert f"rational or thin-prism model with {length} coefficients" in message(fmt, tmp_path / "rig")


@pytest.mark.parametrize("name", ["panoptic", "mpi_inf_3dhp", "qualisys"])
def test_two_cameras_of_one_name_are_refused(name, tmp_path):
    fmt = FORMATS[name]
    fmt.write(tmp_path / "rig", ring_of_cameras(1) * 2)
    assert "two cameras are named cam1" in message(fmt, tmp_path / "rig")


@every_format
def test_a_rig_without_cameras_is_refused(fmt, tmp_path):
    fmt.write(tmp_path / "rig", [])
    message(fmt, tmp_path / "rig")


@every_format
def test_a_missing_path_is_named(fmt, tmp_path):
    assert re.search("not there|no folder", message(fmt, tmp_path / "nothing"))


@every_format
def test_a_folder_for_a_file_and_the_other_way_round_are_named(fmt, tmp_path):
    if fmt in (FORMATS["panoptic"], FORMATS["panoptic_files"]):
        pytest.skip("all cameras may be in a file, or a folder hold one for each")
    fmt.write(tmp_path / "rig", ring_of_cameras(1))
    if (tmp_path / "rig").is_dir():
        (tmp_path / "file").write_text("")
        assert "no folder" in message(fmt, tmp_path / "file")
    else:
        assert "a folder, but a file is expected" in message(fmt, tmp_path)


@every_format
def test_a_huge_file_is_not_read(fmt, tmp_path):
    fmt.write(tmp_path / "rig", ring_of_cameras(1))
    largest = max([tmp_path / "rig", *(tmp_path / "rig").rglob("*")], key=Path.is_file)
    with largest.open("ab") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        fmt.read(tmp_path / "rig")


TOKENS = b'nan .Nan inf 1e999 -1 0 0.5 { } ] null true : # , " &a *a !!x \\ud800 [['.split()
TOKENS += [b"\n", b"\x00", b"\xff", b"9" * 5000, b"0x" + b"f" * 9000, b"1" * 400, b"[" * 3000]
mutations = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=3)),
    min_size=1,
    max_size=4,
)


@every_format
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(which=st.integers(0, 1), changes=mutations)
def test_damage_ends_in_a_message_or_in_cameras_that_can_be(fmt, which, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rig")
        fmt.write(path, that_fit(fmt, ring_of_cameras(2)))
        file = sorted(file for file in path.rglob("*") if file.is_file())[which] if path.is_dir() else path
        content = file.read_bytes()
        for place, removed, inserted in changes:
            start = int(place * len(content))
            content = content[:start] + inserted + content[start + removed :]
        file.write_bytes(content)
        try:
            cameras = fmt.read(path)
        except InputError as error:
            cameras, text = [], str(error)
        else:
            text = f"{path} was read"
    assert str(path) in text
    assert len(text) < 1000
    text.encode()
    for camera in cameras:
        assert all(np.isfinite(getattr(camera, field)).all() for field in ("K", "distortion", "R", "t"))
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.R) > 0

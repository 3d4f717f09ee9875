import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthetic import project_with_opencv, ring_of_cameras
from trilift.errors import InputError
from trilift.formats import Camera
from trilift.formats.mpi_inf_3dhp import read_detections, read_reference
from trilift.skeletons import MPI_INF_3DHP28

N = len(MPI_INF_3DHP28)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annot.mat"


def cells(matrices):
    found = np.empty((len(matrices), 1), object)
    for number, matrix in enumerate(matrices):
        found[number, 0] = matrix
    return found


def random_matrices(cameras=3, frames=4, width=2 * N, seed=0):
    return list(np.random.default_rng(seed).uniform(-2000, 2000, (cameras, frames, width)).astype(np.float32))


def save(path, compressed=True, **contents):
    others = {"frames": np.arange(4.0), "cameras": np.arange(3)}
    scipy.io.savemat(path, others | contents, do_compression=compressed)


def named(cameras):
    return [Camera(str(n), c.K, c.distortion, c.R, c.t, c.image_size) for n, c in enumerate(cameras)]


def message(path, read=read_detections, *more):
    with pytest.raises(InputError) as caught:
        list(read(path, "S1", *more))
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
def test_annotations_come_back_by_camera(path, compressed):
    matrices = random_matrices(cameras=14)
    save(path, compressed, annot2=cells(matrices))
    (recording,) = read_detections(path, "S1-Seq1")
    assert recording.skeleton is MPI_INF_3DHP28
    assert (recording.capture, recording.name, recording.action) == ("S1-Seq1", "S1-Seq1", "S1-Seq1")
    assert [view.name for view in recording.views] == [str(number) for number in range(14)]
    for view, matrix in zip(recording.views, matrices, strict=True):
        assert view.confidence is None
        for joint in range(N):
            np.testing.assert_array_equal(view.pixels[:, 0, joint], matrix[:, 2 * joint : 2 * joint + 2])


@given(arrays(np.float64, (2, 3, 2 * N), elements=st.floats(-1e4, 1e4, width=32)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_numbers_come_back_as_they_were(path, values):
    save(path, annot2=cells(list(values)))
    (recording,) = read_detections(path, "S1")
    for view, matrix in zip(recording.views, values, strict=True):
        np.testing.assert_array_equal(view.pixels.reshape(matrix.shape), matrix)


def test_the_reference_projects_onto_the_annotations(path):
    cameras = named(ring_of_cameras(3))
    world = np.random.default_rng(0).uniform([-0.5, -0.5, 0.5], [0.5, 0.5, 1.5], (5, N, 3))
    flat = [project_with_opencv(camera, world).reshape(5, -1) for camera in cameras]
    deep = [1000 * (world @ camera.R.T + camera.t).reshape(5, -1) for camera in cameras]
    save(path, annot2=cells(flat), annot3=cells(deep), univ_annot3=cells(random_matrices(width=3 * N)))
    for used in (cameras, cameras[1:]):
        (reference,) = read_reference(path, "S1", used)
        assert (reference.capture, reference.name) == ("S1", "S1")
        assert reference.skeleton is MPI_INF_3DHP28
        np.testing.assert_allclose(reference.poses, world, atol=1e-5)
    (recording,) = read_detections(path, "S1")
    for view, camera in zip(recording.views, cameras, strict=True):
        pixels = project_with_opencv(camera, reference.poses.astype(float))
        np.testing.assert_allclose(view.pixels[:, 0], pixels, atol=0.02)


def test_a_calibration_without_the_cameras_of_the_file_is_refused(path):
    save(path, annot3=cells(random_matrices(width=3 * N)))
    text = message(path, read_reference, ring_of_cameras(2))
    assert "holds the cameras 0, 1, 2, but the calibration none of them (cam1, cam2)" in text


@pytest.mark.parametrize("variable", ["annot2", "annot3"])
def test_a_missing_variable_is_named(path, variable):
    save(path)
    read, more = (read_detections, ()) if variable == "annot2" else (read_reference, ([],))
    assert f"has no `{variable}`" in message(path, read, *more)


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((3, 56)),
        np.array(["text"]),
        cells([np.zeros((4, 56)), np.zeros((4, 84))]),
        cells([np.zeros((4, 56)), np.zeros((5, 56))]),
        cells([np.zeros((4, 56)), cells([np.zeros(3)])]),
        cells([np.zeros((4, 56)), np.array(["text"])]),
        cells([np.zeros((4, 56), complex)]),
        cells([np.zeros((0, 0))]),
        cells([np.zeros((0, 56))]),
        np.empty((0, 1), object),
        {"a": 1},
        cells([{"a": 1}]),
        cells([np.zeros((2, 4, 28))]),
    ],
    ids=range(13),
)
def test_another_structure_is_refused(path, content):
    save(path, annot2=content)
    message(path)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
def test_infinite_numbers_are_refused(path, number):
    matrices = [matrix.astype(float) for matrix in random_matrices()]
    matrices[1][2, 3] = number
    save(path, annot2=cells(matrices))
    assert "annot2 of camera 1: holds an infinite number" in message(path)


def test_a_size_that_the_file_cannot_hold_is_refused(path):
    save(path, compressed=False, annot2=cells(random_matrices()))
    content = path.read_bytes()
    size = np.array([3, 1], "<i4").tobytes()
    begin = content.index(b"annot2") - len(size) - 8
    assert content[begin : begin + len(size)] == size
    path.write_bytes(content[:begin] + np.array([2**30, 2**10], "<i4").tobytes() + content[begin + len(size) :])
    assert "`annot2` is no cell array of its size" in message(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_truncated_file_is_refused(path, share, compressed):
    scipy.io.savemat(path, {"annot2": cells(random_matrices())}, do_compression=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message(path)


@pytest.mark.parametrize("content", [b"", b"no\n" * 100, b"\x89HDF\r\n\x1a\n" + b"\0" * 200])
def test_a_file_that_is_no_mat_is_refused(path, content):
    path.write_bytes(content)
    message(path)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)

"""Usual mistakes put into calibrations, simulated and real, and whether they are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from real_data import capture_of, needs
from synthetic import as_tensors, project_with_opencv, ring_of_cameras, waving_person
from trilift.geometry.cameras import to_normalised
from trilift.geometry.conventions import examine, wrong_unit

POSES = {
    "transposed rotations": lambda R, t: (R.mT, t),
    "camera positions for t": lambda R, t: (R, positions(R, t)),
    "poses from camera to world": lambda R, t: (R.mT, positions(R, t)),
    "axes of OpenGL": lambda R, t: (flip(R), flip(t.unsqueeze(-1)).squeeze(-1)),
}
ORDERS = {f"{a + 1} and {b + 1} exchanged": (a, b) for a, b in [(0, 1), (1, 3), (0, 2)]}


def positions(R, t):
    """Where the cameras are: the world point that lies at 0 in their frame."""
    return torch.linalg.solve(R, -t.unsqueeze(-1)).squeeze(-1)


def flip(rows):
    return rows * rows.new_tensor([1.0, -1.0, -1.0])[:, None]


def misread(cameras, name):
    R, t = POSES[name](cameras.R, cameras.t)
    return replace(cameras, R=R.contiguous(), t=t.contiguous())


def exchanged(pixels, pair):
    order = list(range(pixels.shape[1]))
    order[pair[0]], order[pair[1]] = pair[1], pair[0]
    return pixels[:, order]


def without_distortion(cameras):
    return replace(cameras, distortion=torch.zeros_like(cameras.distortion))


def named(*arguments, **options):
    mistake = examine(*arguments, **options).mistake
    return mistake and mistake.name


def simulate(views):
    """Errors of 6 px, one detection in twenty anywhere in the image."""
    rng = np.random.default_rng(0)
    rig, points = ring_of_cameras(4)[:views], waving_person(40) * [1.5, 1.5, 1] + [0.2, -0.3, 0]
    pixels = np.stack([project_with_opencv(camera, points) for camera in rig], 1)
    pixels += rng.normal(0, 6, pixels.shape)
    wild = rng.random(pixels.shape[:-1]) < 0.05
    pixels[wild] = rng.uniform(0, [1280, 720], (wild.sum(), 2))
    return as_tensors(rig), torch.as_tensor(pixels)


@pytest.fixture(scope="module")
def simulated():
    return simulate(4)


@pytest.fixture(scope="module")
def of_two_cameras():
    return simulate(2)


def recording(name):
    @pytest.fixture(scope="module")
    def load(tmp_path_factory):
        capture = capture_of(name, tmp_path_factory.mktemp(name))
        return capture.to_tensors(), torch.as_tensor(capture.recordings[0].keypoints)

    return load


balancing, at_the_desk = recording("pose2sim_demo"), recording("caliscope_4cam")
RIGS = [
    "simulated",
    "of_two_cameras",
    pytest.param("balancing", marks=needs("pose2sim_demo")),
    pytest.param("at_the_desk", marks=needs("caliscope_4cam")),
]


@pytest.fixture
def rig(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("rig", RIGS, indirect=True)
def test_nothing_is_named_where_nothing_is_wrong(rig):
    assert named(*rig) is None


@pytest.mark.parametrize("rig", RIGS, indirect=True)
@pytest.mark.parametrize("name", POSES)
def test_a_misread_pose_is_named(rig, name):
    cameras, pixels = rig
    verdict = examine(misread(cameras, name), pixels)
    assert verdict.mistake.name == name
    assert verdict.certain
    assert verdict.error_mended_px == pytest.approx(examine(cameras, pixels).error_px, rel=1e-6)


@pytest.mark.parametrize("rig", RIGS[2:], indirect=True)
@pytest.mark.parametrize("pair", ORDERS.values(), ids=ORDERS)
def test_exchanged_views_are_named_with_the_order_that_is_right(rig, pair):
    cameras, pixels = rig
    verdict = examine(cameras, exchanged(pixels, pair), names=["a", "b", "c", "d"])
    one, other = ("abcd"[view] for view in pair)
    assert verdict.mistake.name == "swapped views"
    assert f"{one} has the view of {other}, {other} has the view of {one};" in verdict.mistake.advice


def test_exchanged_views_are_named_in_a_ring_though_not_which(simulated):
    cameras, pixels = simulated
    assert named(cameras, exchanged(pixels, (0, 1))) == "swapped views"


def test_exchanged_views_are_named_in_a_rig_of_many():
    rig, points = ring_of_cameras(9), waving_person(10) + np.array([0.2, -0.3, 0])
    pixels = torch.as_tensor(np.stack([project_with_opencv(camera, points) for camera in rig], 1))
    assert named(as_tensors(rig), exchanged(pixels, (2, 7))) == "swapped views"


def test_distorted_points_taken_as_undistorted_are_named_and_the_reverse():
    points = waving_person(40) * [1.5, 1.5, 1]
    rig = [replace(camera, distortion=3 * camera.distortion) for camera in ring_of_cameras(4, radius=2.0)]
    cameras = as_tensors(rig)
    pixels = torch.as_tensor(np.stack([project_with_opencv(camera, points) for camera in rig], 1))
    pixels += torch.as_tensor(np.random.default_rng(1).normal(0, 2, pixels.shape))
    undistorted = to_normalised(cameras, pixels) * cameras.focal[:, None] + cameras.centre[:, None]
    assert named(cameras, pixels) is None
    assert named(cameras, undistorted) == "undistorted points taken as distorted"
    taken_as_undistorted = without_distortion(cameras)
    assert named(taken_as_undistorted, undistorted, other_distortion=cameras.distortion) is None
    assert (
        named(taken_as_undistorted, pixels, other_distortion=cameras.distortion)
        == "distorted points taken as undistorted"
    )


@needs("caliscope_4cam")
def test_distorted_points_taken_as_undistorted_are_named_at_the_desk(at_the_desk):
    cameras, pixels = at_the_desk
    verdict = examine(without_distortion(cameras), pixels, other_distortion=cameras.distortion)
    assert verdict.mistake.name == "distorted points taken as undistorted"
    assert not verdict.certain  # the error falls by a fifth only


def test_a_capture_without_common_points_says_nothing():
    verdict = examine(as_tensors(ring_of_cameras(3)), torch.full((5, 3, 17, 2), torch.nan))
    assert verdict.mistake is None
    assert np.isnan(verdict.error_px)


def unit_by(legs, arms=()):
    return wrong_unit({"legs": torch.tensor(legs), "arms": torch.tensor(arms)})


@pytest.mark.parametrize("length", [0.4, 0.8, 1.1])
def test_legs_as_long_as_those_of_people_are_right(length):
    assert unit_by([length, torch.nan, length * 1.1, *[length] * 4]) is None


@pytest.mark.parametrize(
    ("length", "unit"), [(820.0, "millimetres"), (82.0, "centimetres"), (31.0, "inches"), (2.7, "feet")]
)
def test_the_unit_is_told_from_legs(length, unit):
    assert unit in unit_by([length] * 5).advice


def test_where_legs_are_hidden_arms_tell():
    assert "arms are 540 m long" in unit_by([torch.nan] * 9, [540.0] * 9).advice
    assert unit_by([torch.nan] * 9, [0.54] * 9) is None
    assert unit_by([0.8] * 9, [540.0] * 9) is None


def test_a_length_that_fits_no_unit_is_named_as_that():
    assert "neither of the usual" in unit_by([0.001] * 5).advice


def test_without_limbs_nothing_is_said_of_the_unit():
    assert unit_by([torch.nan] * 9, [torch.nan] * 9) is None

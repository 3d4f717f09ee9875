import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synthetic import project_with_opencv, ring_of_cameras
from trilift.formats import human36m
from trilift.geometry.cameras import (
    Cameras,
    camera_to_world,
    distort,
    project,
    project_camera_points,
    to_rays,
    undistort,
    world_to_camera,
)

RING = ring_of_cameras(4)
PUBLISHED = [camera for cameras in human36m.read_cameras().values() for camera in cameras]
POINTS = np.random.default_rng(0).uniform([-1, -1, 0], [1, 1, 2], (20, 3))


def fold(distortion):
    """The radius where k1, k2 and k3 stop pushing points outwards."""
    k1, k2, _, _, k3 = distortion
    radius = np.linspace(0, 3, 30001)
    falling = 1 + 3 * k1 * radius**2 + 5 * k2 * radius**4 + 7 * k3 * radius**6 <= 0
    return radius[falling.argmax()] if falling.any() else np.inf


lenses = st.tuples(
    st.floats(-0.4, 0.15),
    st.floats(-0.2, 0.25),
    st.floats(-3e-3, 3e-3),
    st.floats(-3e-3, 3e-3),
    st.floats(-0.05, 0.05),
)
LENS_THAT_GROWS_AGAIN = [-0.388, 0.154, 0.0, 0.0, -0.094]
BARREL = [-0.3, 0.0, 0.0, 0.0, 0.0]


def discs(radius, number=200):
    rng = np.random.default_rng(1)
    angle, length = rng.uniform(0, 2 * np.pi, number), radius * np.sqrt(rng.uniform(0, 1, number))
    return torch.tensor(np.stack([length * np.cos(angle), length * np.sin(angle)], -1))


@pytest.mark.parametrize("cameras", [RING, PUBLISHED], ids=["ring", "human36m"])
def test_projections_are_those_of_opencv(cameras):
    expected = np.stack([project_with_opencv(camera, POINTS) for camera in cameras])
    np.testing.assert_allclose(project(Cameras.stack(cameras), torch.tensor(POINTS)), expected, atol=1e-8)


@given(lenses)
def test_distortion_is_that_of_opencv_for_all_five_coefficients(lens):
    points = discs(0.9, 30)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    expected, _ = cv2.projectPoints(homogeneous, np.zeros(3), np.zeros(3), np.eye(3), np.array(lens))
    np.testing.assert_allclose(
        distort(points[None], torch.tensor([lens], dtype=torch.float64))[0], expected[:, 0], atol=1e-12
    )


def test_projection_is_batched_over_frames():
    cameras, points = Cameras.stack(RING), torch.tensor(POINTS).reshape(4, 5, 3)
    pixels = project(cameras, points)
    assert pixels.shape == (4, 4, 5, 2)
    torch.testing.assert_close(pixels[2], project(cameras, points[2]))


@given(lenses)
def test_undistort_inverts_distort_within_the_fold(lens):
    points = discs(min(0.9, 0.85 * fold(lens)))[None]
    lens = torch.tensor([lens], dtype=torch.float64)
    assert (undistort(distort(points, lens), lens) - points).norm(dim=-1).max() < 1e-9


@pytest.mark.parametrize("camera", PUBLISHED[:4], ids=lambda camera: camera.name)
def test_every_pixel_of_the_published_lenses_comes_back(camera):
    width, height = camera.image_size
    pixels = torch.tensor(np.stack(np.meshgrid(np.linspace(0, width, 40), np.linspace(0, height, 40)), -1))
    cameras = Cameras.stack([camera])
    normalised = to_rays(cameras, pixels.reshape(1, -1, 2))
    again = distort(normalised, cameras.distortion)
    sought = (pixels.reshape(1, -1, 2) - cameras.centre) / cameras.focal
    assert (again - sought).norm(dim=-1).max() < 1e-9


@pytest.mark.parametrize("camera", [RING[0], *PUBLISHED[:4]], ids=lambda camera: camera.name)
def test_undistorted_points_are_those_of_opencv(camera):
    pixels = np.random.default_rng(0).uniform([0, 0], camera.image_size, (50, 2))
    until_converged = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-14)
    expected = cv2.undistortPoints(pixels[:, None], camera.K, camera.distortion, criteria=until_converged)[:, 0]
    np.testing.assert_allclose(to_rays(Cameras.stack([camera]), torch.tensor(pixels)[None])[0], expected, atol=1e-9)


@given(lenses)
def test_what_undistort_returns_lies_within_the_fold_and_distorts_to_the_input(lens):
    radius = fold(lens)
    assume(np.isfinite(radius))
    lens = torch.tensor([lens], dtype=torch.float64)
    points = discs(3.0)[None]
    found = undistort(points, lens)
    hit = found.isfinite().all(-1)
    assert found[hit].norm(dim=-1).lt(radius + 1e-4).all()
    assert (distort(found, lens) - points)[hit].norm(dim=-1).lt(1e-6).all()


@pytest.mark.parametrize("lens", [BARREL, LENS_THAT_GROWS_AGAIN])
def test_points_beyond_the_fold_are_nan(lens):
    lens = torch.tensor([lens], dtype=torch.float64)
    outermost = distort(torch.tensor([[[fold(lens[0].tolist()), 0.0]]], dtype=torch.float64), lens).norm()
    angle = torch.linspace(0, 6, 50, dtype=torch.float64)
    for excess in torch.linspace(1.01, 4, 60, dtype=torch.float64):
        points = (outermost * excess) * torch.stack([angle.cos(), angle.sin()], -1)
        assert undistort(points[None], lens).isnan().all()


def test_missing_points_stay_missing_and_do_no_harm_to_others():
    cameras = Cameras.stack(RING)
    pixels = project(cameras, torch.tensor(POINTS))
    holed = pixels.clone()
    holed[1, 3] = torch.nan
    normalised = to_rays(cameras, holed)
    assert normalised[1, 3].isnan().all()
    normalised[1, 3] = to_rays(cameras, pixels)[1, 3]
    torch.testing.assert_close(normalised, to_rays(cameras, pixels), rtol=0, atol=0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_camera_to_world_inverts_world_to_camera(seed):
    points = torch.tensor(np.random.default_rng(seed).normal(0, 5, (3, 6, 3)))
    cameras = Cameras.stack(RING)
    there_and_back = camera_to_world(cameras, world_to_camera(cameras, points))
    torch.testing.assert_close(there_and_back, points[:, None].expand(3, 4, 6, 3), rtol=0, atol=1e-12)


def test_a_camera_lies_at_the_origin_of_its_own_frame_and_looks_along_z():
    cameras = Cameras.stack(RING)
    ahead = camera_to_world(cameras, torch.tensor([0.0, 0, 4]).double().expand(4, 1, 3))[:, 0]
    assert ahead[:, :2].norm(dim=-1).max() < 0.2


@pytest.mark.parametrize("depth", [0.0, -1.0, torch.nan])
def test_points_that_are_not_in_front_of_the_camera_are_nan(depth):
    points = torch.tensor([[[0.1, 0.2, depth], [0.1, 0.2, 2.0]]], dtype=torch.float64)
    pixels = project_camera_points(Cameras.stack(RING[:1]), points)
    assert pixels[0, 0].isnan().all()
    assert pixels[0, 1].isfinite().all()


def test_gradients_of_the_projection_are_right():
    cameras = Cameras.stack(RING)
    points = torch.tensor(POINTS[:3], requires_grad=True)
    assert torch.autograd.gradcheck(lambda points: project(cameras, points), points)

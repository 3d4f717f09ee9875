"""Rigs drawn at random: against their limits, and OpenCV's projection."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilift.formats import Camera
from trilift.simulate.rigs import MIDDLE, draw_rig, look, magnification
from trilift.simulate.settings import Rigs

UP = np.array([0.0, 0.0, 1.0])
STILL = {"roll_deg": [0.0, 0.0], "turned": 0.0, "off_centre": 0.0, "distortion": [0.0, 0.0]}
FIXED = STILL | {"distance_m": [4.0, 4.0], "height_m": [2.0, 2.0], "focal": [1.1, 1.1], "image_sizes": [[1000, 800]]}


def rig_of(seed: int = 0, **limits: object) -> list[Camera]:
    return draw_rig(Rigs.model_validate(limits), np.random.default_rng(seed))


def centre_of(camera: Camera) -> np.ndarray:
    return -camera.R.T @ camera.t


def limits(low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=2, max_size=2).map(sorted)


@given(
    st.integers(0, 2**32 - 1),
    st.fixed_dictionaries(
        {
            "cameras": st.lists(st.integers(2, 8), min_size=2, max_size=2).map(sorted),
            "distance_m": limits(0.5, 10),
            "height_m": limits(0.1, 4),
            "focal": limits(0.4, 3),
            "distortion": limits(-0.15, 0.15),
            "roll_deg": limits(-180, 180),
            "turned": st.floats(0, 1),
            "off_centre": st.floats(0, 0.8),
        }
    ),
)
@settings(max_examples=100)
def test_cameras_are_within_their_limits_and_see_the_middle(seed: int, drawn: dict) -> None:
    asked = Rigs.model_validate(drawn)
    rig = draw_rig(asked, np.random.default_rng(seed))
    assert asked.cameras[0] <= len(rig) <= asked.cameras[1]
    seen = look(rig, MIDDLE[None, None])[0, :, 0]
    for camera, pixel in zip(rig, seen, strict=True):
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.R) == pytest.approx(1)
        x, y, z = centre_of(camera)
        for value, (low, high) in (
            (np.hypot(x, y), asked.distance_m),
            (z, asked.height_m),
            (camera.K[0, 0] / camera.image_size.max(), asked.focal),
        ):
            assert low - 1e-9 <= value <= high + 1e-9
        assert camera.K[0, 0] == camera.K[1, 1]
        assert camera.image_size.tolist() in asked.image_sizes
        assert (pixel >= 0).all()
        assert (pixel < camera.image_size).all()


def test_fixed_limits_are_a_fixed_camera() -> None:
    for camera in rig_of(**FIXED):
        assert camera.K.tolist() == [[1100, 0, 500], [0, 1100, 400], [0, 0, 1]]
        above, aside = MIDDLE + UP / 2, MIDDLE + 0.5 * camera.R[0]
        middle, higher, right = look([camera], np.stack([MIDDLE, above, aside])[None])[0, 0]
        np.testing.assert_allclose(middle, (500, 400), atol=1e-9)
        assert higher[0] == pytest.approx(500)
        assert higher[1] < 300
        distance = np.hypot(4, 2 - MIDDLE[2])
        np.testing.assert_allclose(right - middle, (0.5 * 1100 / distance, 0), atol=1e-9)
        np.testing.assert_allclose(magnification([camera]), 1100 / distance)


@pytest.mark.parametrize("change", [{"roll_deg": [90.0, 90.0]}, {"turned": 1.0}])
def test_a_rolled_camera_sees_the_upright_lying(change: dict) -> None:
    for camera in rig_of(**FIXED | change):
        middle, higher = look([camera], np.stack([MIDDLE, MIDDLE + UP / 2])[None])[0, 0]
        assert higher[1] == pytest.approx(middle[1])
        assert abs(higher[0] - middle[0]) > 100


@pytest.mark.parametrize("arc", [90.0, 360.0])
def test_cameras_are_spread_over_the_arc(arc: float) -> None:
    for seed in range(20):
        rig = rig_of(seed, cameras=[4, 4], arc_deg=[arc, arc])
        x, y = np.transpose([centre_of(camera)[:2] for camera in rig])
        angles = np.unwrap(np.arctan2(y, x))
        steps = np.degrees(np.diff(angles))
        assert (steps >= 0.2 * arc / 4 - 1e-6).all()
        assert steps.sum() < arc


def test_of_several_cameras_one_that_shows_the_room_is_taken() -> None:
    rigs = [camera for seed in range(100) for camera in rig_of(seed, cameras=[2, 2])]
    depth = [np.linalg.norm(centre_of(camera) - MIDDLE) for camera in rigs]
    shown = [camera.image_size.min() / camera.K[0, 0] * away for camera, away in zip(rigs, depth, strict=True)]
    assert np.mean(np.array(shown) > 2.2) > 0.97
    assert min(shown) > 1.5
    near = rig_of(distance_m=[1.0, 1.0], focal=[2.0, 2.0])  # there is none
    assert all(camera.K[0, 0] == 2 * camera.image_size.max() for camera in near)


def test_projection_is_opencvs() -> None:
    points = MIDDLE + np.random.default_rng(0).uniform(-0.9, 0.9, (50, 3))
    for seed in range(20):
        rig = rig_of(seed, distance_m=[4.0, 7.0])
        seen = look(rig, points[None])[0]
        for camera, pixels in zip(rig, seen, strict=True):
            expected = cv2.projectPoints(points, cv2.Rodrigues(camera.R)[0], camera.t, camera.K, camera.distortion)[0]
            inside = ((expected[:, 0] >= 0) & (expected[:, 0] < camera.image_size)).all(-1)
            assert inside.any()
            np.testing.assert_allclose(pixels[inside], expected[inside, 0], atol=1e-6)


@pytest.mark.parametrize("distortion", [-0.15, 0.15])
def test_nothing_far_outside_is_folded_into_the_image(distortion: float) -> None:
    """Beyond the fold of its polynomial, a lens would map directions far from the axis back to near it."""
    for camera in rig_of(**FIXED | {"distortion": [distortion, distortion]}):
        away = np.linspace(0, 20, 4001)
        rays = np.stack([away, 0.3 * away, np.ones_like(away)], -1)
        points = (rays - camera.t) @ camera.R  # at depth 1
        pixels = look([camera], points[None])[0, 0]
        inside = ((pixels >= 0) & (pixels < camera.image_size)).all(-1)
        assert inside[0]
        assert (np.diff(inside.astype(int)) != 0).sum() == 1
        behind = (-rays - camera.t) @ camera.R
        assert np.isnan(look([camera], behind[None])).all()

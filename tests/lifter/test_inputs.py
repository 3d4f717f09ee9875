import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trilift.geometry.cameras import Cameras, project
from trilift.lifter.inputs import (
    feature_scaling,
    features,
    insert_root,
    number_of_coordinates,
    number_of_features,
    rays_of_joints,
    root_relative,
    scale,
)
from trilift.skeletons import COCO17, H36M17, Skeleton, mapping

MIDDLE_ROOT = Skeleton("three", ("a", "b", "c"), (("b", "a"), ("b", "c")), root="b")
COORDINATES, FEATURES = number_of_coordinates(H36M17), number_of_features(H36M17)
SIZE, RAY = slice(COORDINATES - 3, COORDINATES - 2), slice(COORDINATES - 2, COORDINATES)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_root_is_subtracted_and_left_out() -> None:
    rays = torch.tensor([[1.0, 2.0], [10.0, 20.0], [3.0, 5.0]])
    assert root_relative(rays, MIDDLE_ROOT).tolist() == [[-9.0, -18.0], [-7.0, -15.0]]


def test_the_root_comes_back_in_its_place() -> None:
    relative = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert insert_root(relative, MIDDLE_ROOT).tolist() == [[1, 2, 3], [0, 0, 0], [4, 5, 6]]


@given(st.integers(0, 4), st.integers(0, 2**31))
@settings(max_examples=20)
def test_taking_the_root_out_and_in_keeps_the_pose(root: int, seed: int) -> None:
    names = ("a", "b", "c", "d", "e")
    skeleton = Skeleton("five", names, (), root=names[root])
    rays = normal(2, 5, 3, seed=seed)
    expected = rays - rays[:, root : root + 1]
    assert torch.equal(insert_root(root_relative(rays, skeleton), skeleton), expected)


def test_features_are_relative_joints_their_size_the_ray_of_the_root_and_confidences() -> None:
    rays = torch.tensor([[1.0, 2.0], [4.0, 6.0], [4.0, 3.0]])  # 5 and 3 from the root
    row = features(rays, torch.tensor([0.1, 0.2, 0.3]), MIDDLE_ROOT)
    assert row.tolist() == pytest.approx([-3 / 4, -4 / 4, 0, -3 / 4, np.log(4), 4, 6, 0.1, 0.2, 0.3])


@given(st.floats(0.05, 20), st.integers(0, 2**31))
@settings(max_examples=20)
def test_who_is_larger_in_the_image_differs_in_nothing_but_size(factor: float, seed: int) -> None:
    rays, confidence = normal(3, len(H36M17), 2, seed=seed), torch.ones(3, len(H36M17), dtype=torch.float64)
    rays[0, 5] = torch.nan
    root = rays[:, H36M17.root_index, None]
    expected = features(rays, confidence, H36M17)
    expected[:, SIZE] += np.log(factor)
    found = features(root + factor * (rays - root), confidence, H36M17)
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_with_nothing_but_a_root_no_size_is_known_and_inputs_are_numbers() -> None:
    rays, confidence = torch.full((1, len(H36M17), 2), torch.nan), torch.zeros(1, len(H36M17))
    rays[0, H36M17.root_index] = 0.1
    raw = features(rays, confidence, H36M17)
    assert raw[0, : RAY.start].isnan().all()
    rays[:] = 0.1  # all joints in one place
    for row in (raw, features(rays, confidence, H36M17)):
        assert scale(row, torch.zeros(FEATURES), torch.ones(FEATURES)).abs().max() == pytest.approx(0.1)


def test_a_missing_joint_becomes_the_mean_with_confidence_0() -> None:
    rays, confidence = normal(50, len(H36M17), 2), torch.full((50, len(H36M17)), 0.7, dtype=torch.float64)
    rays[3, 5], confidence[3, 5] = torch.nan, 0.0
    raw = features(rays, confidence, H36M17)
    row = scale(raw, *feature_scaling(raw, H36M17))[3]
    at = 2 * (5 - 1)
    assert row[at : at + 2].tolist() == [0, 0]
    assert row[COORDINATES + 5] == 0
    assert (row != 0).sum() == len(row) - 3


def test_without_the_root_no_coordinate_is_known() -> None:
    rays, confidence = normal(4, len(H36M17), 2), torch.ones(4, len(H36M17), dtype=torch.float64)
    rays[1, H36M17.root_index], confidence[1, H36M17.root_index] = torch.nan, 0.0
    raw = features(rays, confidence, H36M17)
    assert raw[1, :COORDINATES].isnan().all()
    assert raw[1, COORDINATES:].isfinite().all()
    assert raw[[0, 2, 3]].isfinite().all()


def test_scaled_coordinates_have_mean_0_and_keep_their_proportions() -> None:
    raw = normal(400, FEATURES) * torch.linspace(0.1, 3, FEATURES, dtype=torch.float64) + 5
    scaled = scale(raw, *feature_scaling(raw, H36M17))
    torch.testing.assert_close(scaled[:, :COORDINATES].mean(0), torch.zeros(COORDINATES, dtype=torch.float64))
    for part in (slice(SIZE.start), SIZE, RAY):
        assert scaled[:, part].square().mean().item() == pytest.approx(1)
    assert torch.equal(scaled[:, COORDINATES:], raw[:, COORDINATES:])
    ratio = (raw.std(0) / scaled.std(0))[: SIZE.start]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_missing_joints_do_not_enter_the_scaling() -> None:
    raw = normal(30, FEATURES)
    raw[4, 6] = raw[9, 0] = torch.nan
    mean, spread = feature_scaling(raw, H36M17)
    known = raw[:, :COORDINATES].numpy()
    np.testing.assert_allclose(mean[:COORDINATES], np.nanmean(known, 0))
    centred = (known - np.nanmean(known, 0))[:, : SIZE.start]
    np.testing.assert_allclose(spread[: SIZE.start], np.sqrt(np.nanmean(centred**2)))


def test_scaling_without_any_row_changes_nothing() -> None:
    mean, spread = feature_scaling(torch.zeros(0, FEATURES), H36M17)
    assert torch.equal(scale(torch.ones(2, FEATURES), mean, spread), torch.ones(2, FEATURES))


def test_what_is_missing_in_all_rows_is_scaled_by_numbers() -> None:
    raw = torch.rand(5, FEATURES)
    raw[:, : COORDINATES - 2] = torch.nan
    mean, spread = feature_scaling(raw, H36M17)
    assert mean.isfinite().all()
    assert (spread[: COORDINATES - 2] == 1).all()
    scaled = scale(raw, mean, spread)
    assert (scaled[:, : COORDINATES - 2] == 0).all()
    assert scaled[:, COORDINATES - 2 : COORDINATES].square().mean() == pytest.approx(1)


def a_camera(focal: float, centre: tuple[float, float], distortion: list[float]) -> Cameras:
    K = [[[focal, 0, centre[0]], [0, 1.02 * focal, centre[1]], [0, 0, 1]]]
    return Cameras.from_arrays({"K": K, "distortion": [distortion], "R": np.eye(3)[None], "t": [[0.1, 0, 4]]})


def test_features_do_not_depend_on_the_intrinsics() -> None:
    people = 0.5 * normal(6, len(COCO17), 3)
    confidence = torch.ones(6, 1, len(COCO17), dtype=torch.float64)
    rows = []
    for camera in (a_camera(1100, (500, 510), [-0.2, 0.1, 1e-3, 2e-3, 0]), a_camera(600, (320, 200), [0] * 5)):
        rays, scores = rays_of_joints(project(camera, people), confidence, camera, mapping(COCO17, H36M17))
        rows.append(features(rays, scores, H36M17))
    torch.testing.assert_close(rows[0], rows[1], atol=1e-7, rtol=0, equal_nan=True)
    assert rows[0].isfinite().any(-1).all()


def test_a_joint_of_the_training_skeleton_is_missing_with_any_contributor() -> None:
    camera = a_camera(1000, (500, 500), [0] * 5)
    pixels, confidence = 500 + 50 * normal(1, 1, len(COCO17), 2), torch.full((1, 1, len(COCO17)), 0.9)
    pixels[..., COCO17.index("left_hip"), :] = torch.nan
    confidence[..., COCO17.index("right_shoulder")] = 0.3
    rays, scores = rays_of_joints(pixels, confidence, camera, mapping(COCO17, H36M17))
    for name, expected in {"pelvis": 0.0, "spine": 0.0, "thorax": 0.3, "left_knee": 0.9}.items():
        assert scores[0, 0, H36M17.index(name)].item() == pytest.approx(expected)
        assert rays[0, 0, H36M17.index(name)].isfinite().all() == (expected > 0)

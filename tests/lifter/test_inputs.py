import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trilift.geometry.cameras import Cameras, project
from trilift.lifter.inputs import feature_scaling, features, insert_root, rays_of_joints, root_relative, scale
from trilift.skeletons import COCO17, H36M17, Skeleton, mapping

MIDDLE_ROOT = Skeleton("three", ("a", "b", "c"), (("b", "a"), ("b", "c")), root="b")
COORDINATES = 2 * len(H36M17)


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


def test_features_are_relative_joints_then_the_ray_of_the_root_then_confidences() -> None:
    rays = torch.tensor([[1.0, 2.0], [10.0, 20.0], [3.0, 5.0]])
    row = features(rays, torch.tensor([0.1, 0.2, 0.3]), MIDDLE_ROOT)
    assert row.tolist() == pytest.approx([-9, -18, -7, -15, 10, 20, 0.1, 0.2, 0.3])


def test_a_missing_joint_becomes_the_mean_with_confidence_0() -> None:
    rays, confidence = normal(50, len(H36M17), 2), torch.full((50, len(H36M17)), 0.7, dtype=torch.float64)
    rays[3, 5], confidence[3, 5] = torch.nan, 0.0
    raw = features(rays, confidence, H36M17)
    row = scale(raw, *feature_scaling(raw, COORDINATES))[3]
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
    raw = normal(400, 51) * torch.linspace(0.1, 3, 51, dtype=torch.float64) + 5
    scaled = scale(raw, *feature_scaling(raw, COORDINATES))
    torch.testing.assert_close(scaled[:, :COORDINATES].mean(0), torch.zeros(COORDINATES, dtype=torch.float64))
    assert scaled[:, : COORDINATES - 2].square().mean().item() == pytest.approx(1)
    assert scaled[:, COORDINATES - 2 : COORDINATES].square().mean().item() == pytest.approx(1)
    assert torch.equal(scaled[:, COORDINATES:], raw[:, COORDINATES:])
    ratio = (raw.std(0) / scaled.std(0))[: COORDINATES - 2]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_missing_joints_do_not_enter_the_scaling() -> None:
    raw = normal(30, 51)
    raw[4, 6] = raw[9, 0] = torch.nan
    mean, spread = feature_scaling(raw, COORDINATES)
    known = raw[:, :COORDINATES].numpy()
    np.testing.assert_allclose(mean[:COORDINATES], np.nanmean(known, 0))
    centred = (known - np.nanmean(known, 0))[:, :-2]
    np.testing.assert_allclose(spread[: COORDINATES - 2], np.sqrt(np.nanmean(centred**2)))


def test_scaling_without_any_row_changes_nothing() -> None:
    mean, spread = feature_scaling(torch.zeros(0, 51), COORDINATES)
    assert torch.equal(scale(torch.ones(2, 51), mean, spread), torch.ones(2, 51))


def test_what_is_missing_in_all_rows_is_scaled_by_numbers() -> None:
    raw = torch.rand(5, 51)
    raw[:, : COORDINATES - 2] = torch.nan
    mean, spread = feature_scaling(raw, COORDINATES)
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

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from trilift.geometry.similarity import similarity

seeds = st.integers(0, 10**6)


def two_sets(seed, keypoints=17):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.5, (keypoints, 3)), rng.normal(0, 0.5, (keypoints, 3)) + rng.normal(0, 3, 3)


def aligned(points, onto):
    points = torch.tensor(points)
    return similarity(points, torch.tensor(onto)).place(points).numpy()


def by_scipy(points, onto):
    a, b = points - points.mean(0), onto - onto.mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    turned = rotation.apply(a)
    return (turned * b).sum() / (turned**2).sum() * turned + onto.mean(0)


@given(seeds)
def test_alignment_is_that_of_scipy(seed):
    points, onto = two_sets(seed)
    np.testing.assert_allclose(aligned(points, onto), by_scipy(points, onto), atol=1e-9)


@given(seeds)
def test_the_remaining_distance_is_that_of_procrustes_where_no_reflection_is_better(seed):
    points, onto = two_sets(seed)
    onto = points + 0.05 * onto
    _, _, disparity = procrustes(onto, points)
    left = ((aligned(points, onto) - onto) ** 2).sum() / ((onto - onto.mean(0)) ** 2).sum()
    np.testing.assert_allclose(left, disparity, atol=1e-12)


@given(seeds, st.floats(0.1, 10))
def test_a_similarity_is_undone_exactly(seed, scale):
    onto, _ = two_sets(seed)
    rng = np.random.default_rng(seed)
    points = scale * Rotation.random(random_state=seed).apply(onto) + rng.normal(0, 5, 3)
    np.testing.assert_allclose(aligned(points, onto), onto, atol=1e-9)


@given(seeds)
def test_poses_are_never_reflected(seed):
    onto, _ = two_sets(seed)
    mirrored = onto * [-1, 1, 1]
    result = aligned(mirrored, onto)
    np.testing.assert_allclose(result, by_scipy(mirrored, onto), atol=1e-9)
    assert np.linalg.det(np.linalg.lstsq(mirrored - mirrored.mean(0), result - result.mean(0))[0]) > 0


@given(seeds, st.sets(st.integers(0, 16), min_size=1, max_size=10), st.booleans())
def test_missing_keypoints_do_not_count(seed, missing, in_points):
    points, onto = two_sets(seed)
    kept = np.setdiff1d(np.arange(17), list(missing))
    (points if in_points else onto)[list(missing), 1] = np.nan
    np.testing.assert_allclose(aligned(points, onto)[kept], aligned(points[kept], onto[kept]), atol=1e-9)


def test_keypoints_missing_in_the_target_are_moved_along():
    onto, _ = two_sets(0)
    points, holed = 2 * onto, onto.copy()
    holed[3] = np.nan
    np.testing.assert_allclose(aligned(points, holed), onto, atol=1e-9)


def test_every_pose_of_a_batch_is_aligned_for_itself():
    sets = [two_sets(seed) for seed in range(6)]
    points, onto = (np.stack(part).reshape(2, 3, 17, 3) for part in zip(*sets, strict=True))
    separate = np.stack([aligned(*pair) for pair in sets]).reshape(2, 3, 17, 3)
    np.testing.assert_allclose(aligned(points, onto), separate, atol=1e-12)


@pytest.mark.parametrize(
    "points",
    [
        np.full((17, 3), np.nan),
        np.zeros((17, 3)),
        np.outer(np.arange(17.0), [1, 2, 3]),
        np.random.default_rng(0).normal(size=(17, 3)) * [1, 1, 0],
        np.where(np.arange(17)[:, None] == 4, 1.0, np.nan) * np.ones(3),
    ],
    ids=["all missing", "one place", "a line", "a plane", "a single keypoint"],
)
def test_degenerate_poses_do_not_raise_and_stay_within_bounds(points):
    onto, _ = two_sets(0)
    for result in (aligned(points, onto), aligned(onto, points)):
        assert (np.abs(result) < 100).all(where=np.isfinite(result))
        assert not np.isinf(result).any()


@given(seeds)
def test_a_weight_is_how_often_a_point_is_there(seed):
    points, onto = two_sets(seed)
    times = np.random.default_rng(seed).integers(1, 4, len(points))
    weighted = similarity(*(torch.tensor(values) for values in (points, onto, 0.7 * times)))
    repeated = similarity(*(torch.tensor(np.repeat(values, times, 0)) for values in (points, onto)))
    for found, expected in zip(weighted, repeated, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)

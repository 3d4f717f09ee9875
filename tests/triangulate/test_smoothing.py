"""Poses over time: against closed forms, a dense solve and simulated people."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from synthetic import project_with_opencv, ring_of_cameras
from trilift.geometry.cameras import Cameras
from trilift.geometry.chunks import DEGREES_OF_FREEDOM
from trilift.geometry.triangulation import linearise, triangulate_robust
from trilift.simulate.body import sample_body
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import H36M17
from trilift.triangulate import smoothing
from trilift.triangulate.bones import bone_lengths, sizes
from trilift.triangulate.smoothing import MARGIN, smooth
from trilift.triangulate.swaps import exchange, find_swaps

FPS = 50
BONES = H36M17.bone_indices
RING = Cameras.stack(ring_of_cameras(4))
WRIST, HEAD = H36M17.index("left_wrist"), H36M17.index("head_top")


def exact_pixels(points):
    return torch.tensor(np.stack([project_with_opencv(camera, points) for camera in ring_of_cameras(4)], 1))


def lengths_of(points):
    parents, children = np.array(BONES).T
    return np.linalg.norm(points[:, parents] - points[:, children], axis=-1)


def walking(frames, seed=0):
    rng = np.random.default_rng(seed)
    return simulate_motion("walking", sample_body(rng), frames, FPS, rng)


def student_t(rng, scale):
    spread = scale / np.sqrt(rng.chisquare(DEGREES_OF_FREEDOM, scale.shape) / DEGREES_OF_FREEDOM)
    return torch.tensor(spread[..., None] * rng.normal(size=(*scale.shape, 2)))


class Seen:
    """A person seen with errors of 4 px, and the solution of single frames."""

    def __init__(self, truth, lost=None):
        self.truth = truth
        pixels = exact_pixels(truth)
        self.scale = torch.full(pixels.shape[:-1], 4.0, dtype=torch.float64)
        self.pixels = pixels + student_t(np.random.default_rng(1), self.scale.numpy())
        if lost is not None:
            self.pixels[lost] = torch.nan
            self.scale[lost] = torch.inf
        self.solution = triangulate_robust(RING, self.pixels, self.scale)
        self.options = {
            "bones": BONES,
            "lengths": torch.tensor(np.median(lengths_of(truth), 0)),
            "fps": FPS,
            "acceleration": 10.0,
            "bone_spread": 0.01,
        }

    def smooth(self, rows=slice(None), **changes):
        return smooth(
            RING, self.pixels[rows], self.scale[rows], self.solution.poses[rows], **(self.options | changes)
        )

    def error(self, points):
        return np.linalg.norm(points.numpy() - self.truth, axis=-1)


@pytest.fixture(scope="module")
def walk():
    return Seen(walking(300))


@pytest.fixture(scope="module")
def smoothed(walk):
    return walk.smooth()


# Bone lengths.


@pytest.mark.parametrize("length", [0.06, 0.25, 0.45])
@pytest.mark.parametrize("spread", [0.005, 0.01, 0.02])
def test_bone_lengths_are_unbiased_under_noise(length, spread):
    """The median of the squared distance exceeds that of the truth by the variance across the bone."""
    rng = np.random.default_rng(0)
    ends = rng.normal(0, spread, (100_000, 2, 3)) + np.array([[0, 0, 0], [length, 0, 0]])
    covariance = spread**2 * torch.eye(3, dtype=torch.float64).expand(100_000, 2, 3, 3)
    found = bone_lengths(torch.tensor(ends), covariance, ((0, 1),))
    bias = found.item() - length
    uncorrected = np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)) - length
    assert abs(bias) < max(0.2 * uncorrected, 1.5e-4)


@pytest.mark.parametrize("across", [True, False])
def test_bone_lengths_are_unbiased_where_one_direction_is_uncertain(across):
    rng = np.random.default_rng(0)
    spread = np.array([0.005, 0.005, 0.03] if across else [0.03, 0.005, 0.005])  # the first is along the bone
    ends = rng.normal(0, 1, (100_000, 2, 3)) * spread + np.array([[0, 0, 0], [0.3, 0, 0]])
    covariance = torch.tensor(np.diag(spread**2)).expand(100_000, 2, 3, 3)
    found = bone_lengths(torch.tensor(ends), covariance, ((0, 1),)).item()
    uncorrected = np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)) - 0.3
    assert abs(found - 0.3) < (0.5 * uncorrected if across else 5e-4)


def test_the_bones_of_a_walker_are_found(walk):
    found = bone_lengths(walk.solution.poses, walk.solution.covariance, BONES).numpy()
    true = np.median(lengths_of(walk.truth), 0)
    assert np.abs(found - true).max() < 0.006
    assert np.abs(found - true).mean() < 0.002


def test_bones_that_were_hardly_seen_have_no_length():
    points = torch.tensor(walking(30))
    covariance = torch.zeros(30, 17, 3, 3, dtype=torch.float64)
    points[9:, WRIST] = torch.nan
    found = bone_lengths(points, covariance, BONES)
    without = [WRIST in bone for bone in BONES]
    assert found.isnan().tolist() == without
    np.testing.assert_allclose(
        found[~torch.tensor(without)], np.median(lengths_of(points.numpy()), 0)[~np.array(without)], atol=0.003
    )


# One step against a dense solve.


def dense_step(poses, normal, gradient, bones, lengths, bone_spread, penalty, hold):
    """Gauss-Newton of the same cost, its Jacobian written out row by row."""
    frames, keypoints, _ = poses.shape
    unknown = np.arange(poses.size).reshape(poses.shape)
    matrix, right = hold * np.eye(poses.size), -gradient.reshape(-1).copy()
    for frame in range(frames):
        for keypoint in range(keypoints):
            own = unknown[frame, keypoint]
            matrix[np.ix_(own, own)] += normal[frame, keypoint]

    def add(row, residual, weight):
        nonlocal matrix, right
        matrix += weight * np.outer(row, row)
        right -= weight * row * residual

    for frame in range(frames - 2):
        for column in unknown[frame].reshape(-1):
            row = np.zeros(poses.size)
            row[[column, column + 3 * keypoints, column + 6 * keypoints]] = 1, -2, 1
            add(row, row @ poses.reshape(-1), penalty)
    for frame in range(frames):
        for (parent, child), length in zip(bones, lengths, strict=True):
            if np.isnan(length):
                continue
            along = poses[frame, parent] - poses[frame, child]
            row = np.zeros(poses.size)
            row[unknown[frame, parent]] = along / np.linalg.norm(along)
            row[unknown[frame, child]] = -along / np.linalg.norm(along)
            add(row, np.linalg.norm(along) - length, 1 / bone_spread**2)
    return poses + np.linalg.solve(matrix, right).reshape(poses.shape)


@given(frames=st.integers(1, 6), seed=st.integers(0, 10**6), penalty=st.floats(0, 1e5))
@settings(max_examples=30)
def test_one_step_is_that_of_the_dense_normal_equations(frames, seed, penalty):
    rng = np.random.default_rng(seed)
    points, gradient = rng.normal(size=(2, frames, 5, 3))
    half = rng.normal(0, 30, (frames, 5, 3, 2))
    normal = half @ half.swapaxes(-1, -2)  # of one view: no keypoint is fixed by its own detections alone
    normal[0, 1], gradient[0, 1] = 0, 0
    problem = {
        "poses": points,
        "normal": normal,
        "gradient": 100 * gradient,
        "bones": np.array([(0, 1), (3, 1), (2, 4), (0, 4)]),
        "lengths": np.array([0.3, 0.5, np.nan, 0.7]),
        "bone_spread": 0.1,
        "penalty": penalty,
    }
    expected = dense_step(**problem, hold=smoothing._HOLD)
    found = smoothing._solve_window(**{name: np.copy(value) for name, value in problem.items()})
    size = np.abs(expected - points).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * size)


def test_smoothed_poses_are_the_likeliest_that_scipy_finds():
    frames, bones, fps = 5, ((0, 1), (1, 2)), 30.0
    rng = np.random.default_rng(0)
    truth = np.array([[0, 0, 1.0], [0.3, 0, 1], [0.3, 0.3, 1.2]]) + np.linspace(0, 0.1, frames)[:, None, None]
    cameras = ring_of_cameras(4)
    scale = torch.full((frames, 4, 3), 4.0, dtype=torch.float64)
    pixels = exact_pixels(truth) + student_t(rng, scale.numpy())
    lengths = np.array([0.31, 0.35])
    start = triangulate_robust(RING, pixels, scale).poses

    def cost(unknown):
        points = unknown.reshape(truth.shape)
        total = 0.0
        for view, camera in enumerate(cameras):
            squared = ((project_with_opencv(camera, points) - pixels[:, view].numpy()) ** 2).sum(-1) / 16
            total += (DEGREES_OF_FREEDOM + 2) / 2 * np.log1p(squared / DEGREES_OF_FREEDOM).sum() / 1.5
        # White acceleration of 10 m/s^2 over a sixtieth of a second, integrated twice over a time step.
        total += 0.5 * (np.diff(points, 2, axis=0) ** 2).sum() / (10.0**2 / 60 / fps**3)
        for (parent, child), length in zip(bones, lengths, strict=True):
            distance = np.linalg.norm(points[:, parent] - points[:, child], axis=-1)
            total += 0.5 * ((distance - length) ** 2).sum() / 0.01**2
        return total

    best = minimize(cost, start.numpy().reshape(-1), method="BFGS", options={"gtol": 1e-3}).x.reshape(truth.shape)
    found = smooth(
        RING,
        pixels,
        scale,
        start,
        bones=bones,
        lengths=torch.tensor(lengths),
        fps=fps,
        acceleration=10.0,
        bone_spread=0.01,
        inflation=1.5,
    )
    assert np.linalg.norm(best - start.numpy(), axis=-1).max() > 0.005
    np.testing.assert_allclose(found, best, atol=1e-3)


# Smoothing.


def test_smoothing_reduces_the_error_and_the_spread_of_bones(walk, smoothed):
    before, after = walk.error(walk.solution.poses), walk.error(smoothed)
    assert after.mean() < 0.5 * before.mean()
    assert np.quantile(after, 0.95) < 0.6 * np.quantile(before, 0.95)
    spread = [lengths_of(points.numpy()).std(0).mean() for points in (walk.solution.poses, smoothed)]
    assert spread[1] < 0.3 * spread[0]


@given(seed=st.integers(0, 10**6), speed=st.floats(0, 1.5))
@settings(max_examples=10)
def test_a_body_in_uniform_motion_seen_exactly_stays_where_it_is(seed, speed):
    rng = np.random.default_rng(seed)
    velocity = speed * Rotation.random(rng=rng).apply([1, 0, 0])
    truth = walking(1) + velocity * (np.arange(40)[:, None, None] - 20) / FPS
    pixels = exact_pixels(truth)
    found = smooth(
        RING,
        pixels,
        torch.full(pixels.shape[:-1], 4.0),
        torch.tensor(truth),
        bones=BONES,
        lengths=torch.tensor(lengths_of(truth)[0]),
        fps=FPS,
        acceleration=1.0,
        bone_spread=0.001,
    )
    np.testing.assert_allclose(found, truth, atol=1e-8)


def test_sure_detections_are_hardly_moved():
    truth = walking(100)
    pixels = exact_pixels(truth)
    seen = Seen(truth)
    found = smooth(RING, pixels, torch.full(pixels.shape[:-1], 0.1), torch.tensor(truth), **seen.options)
    assert seen.error(found).max() < 2e-4


def test_less_acceleration_is_smoother_and_less_spread_holds_bones_tighter(walk, smoothed):
    def roughness(points):
        return points.diff(2, dim=0).norm(dim=-1).mean()

    def spread(points):
        return lengths_of(points.numpy()).std(0).mean()

    assert roughness(walk.smooth(acceleration=3.0)) < 0.8 * roughness(smoothed)
    assert roughness(walk.smooth(inflation=4.0)) < 0.9 * roughness(smoothed)
    assert spread(walk.smooth(bone_spread=0.001)) < 0.5 * spread(smoothed)
    assert spread(walk.smooth(lengths=torch.full((len(BONES),), torch.nan))) > 1.5 * spread(smoothed)


def test_the_setting_means_the_same_at_every_frame_rate():
    """Half the frames with half the variance of the errors tell the same."""
    truth = walking(200)
    rng = np.random.default_rng(0)
    pixels = exact_pixels(truth)
    noise = 4 * torch.tensor(rng.normal(size=pixels.shape))
    noise[1::2] = noise[::2]
    options = Seen(truth[:2]).options
    scale = torch.full(pixels.shape[:-1], 4.0, dtype=torch.float64)
    twice = smooth(RING, pixels + noise, np.sqrt(2) * scale, torch.tensor(truth), **options)
    half = options | {"fps": FPS / 2, "bone_spread": options["bone_spread"] / np.sqrt(2)}
    once = smooth(RING, (pixels + noise)[::2], scale[::2], torch.tensor(truth)[::2], **half)
    apart = (twice[::2] - once).norm(dim=-1)[20:-20]
    moved = (twice - torch.tensor(truth)).norm(dim=-1)[20:-20]
    assert apart.mean() < 0.5 * moved.mean()
    wrong = smooth(RING, (pixels + noise)[::2], scale[::2], torch.tensor(truth)[::2], **(half | {"fps": 4 * FPS}))
    assert (twice[::2] - wrong).norm(dim=-1)[20:-20].mean() > 1.5 * apart.mean()


@pytest.mark.parametrize("size", [16, 100, 299])
def test_the_result_does_not_depend_on_the_size_of_windows(walk, smoothed, monkeypatch, size):
    monkeypatch.setattr(smoothing, "FRAMES_OF_WINDOW", size)
    assert (walk.smooth() - smoothed).norm(dim=-1).max() < 1e-4


@pytest.mark.parametrize("wanted", [slice(0, 1), slice(0, 90), slice(90, 170), slice(170, 300)])
def test_a_part_with_its_margin_is_as_in_the_whole(walk, smoothed, wanted):
    rows = slice(max(0, wanted.start - MARGIN), min(300, wanted.stop + MARGIN))
    part = walk.smooth(rows, frames=slice(wanted.start - rows.start, wanted.stop - rows.start))
    assert part.shape == smoothed[wanted].shape
    assert (part - smoothed[wanted]).norm(dim=-1).max() < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_recordings_are_solved(walk, frames):
    found = walk.smooth(slice(0, frames))
    assert found.shape == (frames, 17, 3)
    assert walk_error(walk, found, frames) < 1.1 * walk_error(walk, walk.solution.poses[:frames], frames)


def walk_error(walk, points, frames):
    return np.linalg.norm(points.numpy() - walk.truth[:frames], axis=-1).mean()


def test_gaps_follow_from_neighbours_in_time_and_along_bones():
    truth = walking(200)
    lost = torch.zeros(200, 4, 17, dtype=torch.bool)
    lost[60:70, :, WRIST] = True
    lost[100:130, 1:, HEAD] = True  # one view is left
    seen = Seen(truth, lost)
    assert seen.solution.poses[60:70, WRIST].isnan().all()
    assert seen.solution.poses[100:130, HEAD].isnan().all()
    found = seen.smooth()
    assert found.isfinite().all()
    assert seen.error(found)[60:70, WRIST].max() < 0.05
    assert seen.error(found)[100:130, HEAD].max() < 0.05
    others = np.delete(seen.error(found), WRIST, 1)
    assert others.mean() < 0.012


def test_a_keypoint_that_was_never_seen_does_no_harm_to_others(walk, smoothed):
    lost = torch.zeros(300, 4, 17, dtype=torch.bool)
    lost[:, :, WRIST] = True
    seen = Seen(walk.truth, lost)
    found = seen.smooth(
        lengths=torch.where(torch.tensor([WRIST in b for b in BONES]), torch.nan, seen.options["lengths"])
    )
    assert found.isfinite().all()
    others = np.arange(17) != WRIST
    assert seen.error(found)[:, others].mean() < 1.05 * walk.error(smoothed)[:, others].mean()


def test_a_recording_without_any_detection_is_no_error():
    pixels = torch.full((5, 4, 17, 2), torch.nan)
    found = smooth(
        RING, pixels, torch.full((5, 4, 17), torch.inf), torch.full((5, 17, 3), torch.nan), **Seen(walking(2)).options
    )
    assert found.shape == (5, 17, 3)


# What is no part of the body.


def planted(truth, keypoint, frames, offset, views):
    """A keypoint that only some views see, and that is mistaken for something else in some frames."""
    lost = torch.zeros(*truth.shape[:1], 4, 17, dtype=torch.bool)
    lost[:, [view for view in range(4) if view not in views], keypoint] = True
    seen = Seen(truth, lost)
    there = torch.tensor(truth[frames, keypoint] + np.array(offset))
    wrong = exact_pixels(np.repeat(there[:, None].numpy(), 17, 1))[:, views, keypoint]
    wrong += torch.tensor(np.random.default_rng(2).normal(0, 2, wrong.shape))
    for number, view in enumerate(views):
        seen.pixels[frames, view, keypoint] = wrong[:, number]
    seen.solution = triangulate_robust(RING, seen.pixels, seen.scale)
    return seen


@pytest.mark.parametrize("offset", [(0.0, 0.3, 0.3), (0.5, -0.5, 0.2), (2.0, 1.0, 0.0)])
def test_what_departs_from_its_bones_is_missing_and_draws_nothing_after_it(walk, smoothed, offset):
    frames = slice(100, 130)
    seen = planted(walk.truth, HEAD, frames, offset, [0, 1])
    assert seen.error(seen.solution.poses)[frames, HEAD].min() > 0.2
    error = seen.error(seen.smooth())
    bone = lengths_of(walk.truth).max(0)[BONES.index((H36M17.index("nose"), HEAD))]
    assert not (error[frames, HEAD] > 2 * bone + 0.05).any()
    assert not np.isnan(np.delete(error, HEAD, 1)).any()
    others = np.delete(np.arange(17), HEAD)
    assert error[frames][:, others].mean() < 1.2 * walk.error(smoothed)[frames][:, others].mean()
    if offset[0] == 0:
        assert np.isnan(error[frames, HEAD]).mean() > 0.8


@given(
    offset=st.tuples(*[st.floats(-1, 1)] * 3),
    keypoint=st.sampled_from([HEAD, WRIST, H36M17.index("left_knee"), H36M17.index("nose")]),
    first=st.integers(0, 50),
)
@settings(max_examples=10)
def test_whatever_is_mistaken_for_a_keypoint_bones_have_their_lengths(offset, keypoint, first):
    seen = planted(walking(60), keypoint, slice(first, first + 10), offset, [1, 2])
    found = lengths_of(seen.smooth().numpy())
    away = np.abs(found - seen.options["lengths"].numpy())
    assert np.nanmax(away) <= 5 * seen.options["bone_spread"] + 1e-9


def test_keypoints_that_are_surely_seen_to_be_loose_are_kept():
    """Such as clothes: their bone varies by far more than the setting says."""
    truth = walking(100)
    truth[:, HEAD] += 0.15 * np.sin(np.arange(100) / 5)[:, None]
    seen = Seen(truth)
    found = smooth(RING, exact_pixels(truth), torch.full((100, 4, 17), 0.3), torch.tensor(truth), **seen.options)
    assert found.isfinite().all()
    assert np.abs(lengths_of(truth) - seen.options["lengths"].numpy()).max() > 0.06


def test_of_a_bone_that_is_too_long_the_end_is_to_blame_whose_other_bones_are_too():
    bones = np.array([(0, 1), (1, 2), (2, 3), (1, 4)])
    points = np.tile(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [1, 1, 0]], float), (4, 1, 1))
    points[1, 2] += [0, 1, 0]  # both of its bones
    points[2, 3] += [5, 0, 0]  # its only one
    points[3, [0, 3]] += [-1, 2, 0]  # two at once
    lengths = np.array([1.0, 1.0, 1.0, 1.0])
    found = smoothing._departed(points, bones, lengths, 0.01)
    assert [np.flatnonzero(row).tolist() for row in found] == [[], [2], [3], [0, 3]]
    assert not smoothing._departed(points, bones, np.full(4, np.nan), 0.01).any()


# Whose bones they are.


@given(seed=st.integers(0, 10**6), size=st.floats(0.8, 1.25))
def test_people_are_told_apart_by_the_size_of_their_long_bones(seed, size):
    rng = np.random.default_rng(seed)
    one = np.array([0.45, 0.43, 0.44, 0.42, 0.3, 0.29, 0.26, 0.25, 0.24, 0.1, 0.05])
    measured = np.stack([one, size * one]) * np.exp(rng.normal(0, 0.005, (2, len(one))))
    measured[:, -2:] *= rng.uniform(0.5, 2, (2, 2))
    measured[1, 3] = np.nan
    first, other = sizes(torch.tensor(measured)).tolist()
    assert first == 1
    if abs(np.log(size)) > 0.045:
        assert other == pytest.approx(size, rel=0.015)
    if abs(np.log(size)) < 0.025:
        assert other == 1


def test_bones_that_differ_at_random_are_no_other_person():
    lengths = torch.tensor([[0.4, 0.4, 0.4, 0.4, 0.3, 0.3], [0.5, 0.32, 0.44, 0.36, 0.37, 0.25]])
    assert sizes(lengths).tolist() == [1, 1]
    assert sizes(torch.full((3, 6), torch.nan)).tolist() == [1, 1, 1]


def test_the_input_is_left_as_it_is(walk):
    before = [x.clone() for x in (walk.pixels, walk.scale, walk.solution.poses)]
    walk.smooth(slice(0, 20))
    for now, then in zip((walk.pixels, walk.scale, walk.solution.poses), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0, equal_nan=True)


def test_smoothed_points_lie_where_the_forces_cancel(walk, smoothed):
    """Of every inner frame: reprojection, acceleration and bones pull with forces that add up to nothing."""
    _, gradient = linearise(RING, walk.pixels, walk.scale, smoothed)
    points = smoothed.numpy()
    force = -gradient.numpy()
    second = np.diff(points, 2, axis=0) * FPS**3 * 60 / 100
    force[:-2] -= second
    force[1:-1] += 2 * second
    force[2:] -= second
    for (parent, child), length in zip(BONES, walk.options["lengths"].numpy(), strict=True):
        along = points[:, parent] - points[:, child]
        distance = np.linalg.norm(along, axis=-1, keepdims=True)
        pull = (length - distance) / 0.01**2 * along / distance
        force[:, parent] += pull
        force[:, child] -= pull
    before = np.linalg.norm(gradient.numpy(), axis=-1)
    assert np.linalg.norm(force, axis=-1).mean() < 0.02 * before.mean()


# Left and right.

swaps = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 3)), min_size=1, max_size=4, unique_by=lambda x: x[0])


@given(swaps, st.integers(0, 5))
@settings(max_examples=15)
def test_swapped_views_are_found_and_nothing_else(planted, seed):
    seen = Seen(walking(20, seed))
    expected = torch.zeros(20, 4, dtype=torch.bool)
    for frame, view in planted:
        expected[frame, view] = True
    pixels = exchange(seen.pixels, expected, H36M17.mirrored)
    solution = triangulate_robust(RING, pixels, seen.scale)
    found = find_swaps(RING, pixels, seen.scale, solution, H36M17.mirrored)
    assert torch.equal(found, expected)


def test_clean_detections_hold_no_swaps(walk):
    assert not find_swaps(RING, walk.pixels, walk.scale, walk.solution, H36M17.mirrored).any()


def test_a_view_that_sees_too_little_is_not_called_swapped(walk):
    rows = slice(0, 20)
    swapped = torch.ones(20, 4, dtype=torch.bool)
    swapped[:, 1:] = False
    pixels, scale = exchange(walk.pixels[rows], swapped, H36M17.mirrored), walk.scale[rows].clone()
    paired = [i for i, j in enumerate(H36M17.mirrored) if i != j]
    scale[:, 0, paired[3:]] = torch.inf
    solution = triangulate_robust(RING, pixels, scale)
    assert not find_swaps(RING, pixels, scale, solution, H36M17.mirrored).any()


def test_no_frames_hold_no_swaps():
    empty = torch.empty(0, 4, 17)
    solution = triangulate_robust(RING, torch.empty(0, 4, 17, 2), empty)
    assert find_swaps(RING, torch.empty(0, 4, 17, 2), empty, solution, H36M17.mirrored).shape == (0, 4)


@given(st.integers(0, 10**6))
def test_exchange_is_its_own_inverse_and_changes_the_named_views_alone(seed):
    rng = np.random.default_rng(seed)
    swapped = torch.tensor(rng.random((6, 3)) < 0.5)
    for shape in ((6, 3, 17), (6, 3, 17, 2)):
        values = torch.tensor(rng.normal(size=shape))
        once = exchange(values, swapped, H36M17.mirrored)
        assert torch.equal(exchange(once, swapped, H36M17.mirrored), values)
        assert torch.equal(once[~swapped], values[~swapped])
        left, right = H36M17.index("left_knee"), H36M17.index("right_knee")
        assert torch.equal(once[swapped][:, left], values[swapped][:, right])
        assert torch.equal(once[swapped][:, HEAD], values[swapped][:, HEAD])

"""Cameras placed by a simulated person, against the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from trilift.geometry.calibration.findings import Scale
from trilift.geometry.calibration.refine import onto
from trilift.geometry.similarity import similarity
from trilift.geometry.triangulation import triangulate_robust
from trilift.skeletons import H36M17
from walked_rigs import RIGHT_DEG, RIGHT_MM, WALKING, between, centres, displaced, make, trusted, unplaced


@pytest.fixture(scope="module")
def recording():
    return make()


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def found(recording, told):
    return recording.calibrate(progress=told.append)


def check_right(rig, recording):
    assert between(rig.cameras, recording.cameras).max() < RIGHT_DEG
    assert displaced(rig.cameras, recording.cameras).max() < RIGHT_MM
    assert trusted(rig) == list(range(len(recording.rig)))
    assert rig.problems == []
    for camera in rig.found:
        assert camera.outliers < 0.2
        assert (camera.focal_factor, camera.focal_error) == (1, 0)
        assert np.isnan([camera.moved_deg, camera.moved_m]).all()


def test_a_clean_rig_is_found(recording, found):
    check_right(found, recording)


def test_three_cameras_suffice():
    recording = make(3, seed=3)
    check_right(recording.calibrate(), recording)


def test_lens_and_focal_length_that_are_known_stay(recording, found):
    assert torch.equal(found.cameras.K, recording.cameras.K)
    assert torch.equal(found.cameras.distortion, recording.cameras.distortion)


def test_it_is_metric_upright_and_on_the_floor(recording, found):
    """The person's middle is over the origin, z is up, the soles are at 0; only the direction of x is free."""
    truth, place = centres(recording.cameras), centres(found.cameras)
    assert torch.cdist(place, place).numpy() == pytest.approx(torch.cdist(truth, truth).numpy(), rel=0.02, abs=1e-6)
    assert place[:, 2].numpy() == pytest.approx(truth[:, 2].numpy(), abs=0.12)
    assert np.nanmedian(found.poses[..., :2].numpy(), (0, 1)) == pytest.approx([0, 0], abs=0.3)
    stature = np.nanmedian(recording.poses[:WALKING, H36M17.index("head_top"), 2])
    assert found.stature_m == pytest.approx(stature, abs=0.1)


def test_poses_are_those_of_the_frames_that_were_used(recording, found):
    assert found.poses.shape == (len(found.frames), len(H36M17), 3)
    truth = torch.as_tensor(recording.poses)[found.frames].double()
    known = found.poses.isfinite().all(-1)
    assert known.double().mean() > 0.9
    placed = similarity(found.poses[known], truth[known]).place(found.poses[known])
    error = (placed - truth[known]).norm(dim=-1)
    assert error.median() < 0.04


@pytest.mark.parametrize("by", ["stature", "baseline"])
def test_each_length_gives_the_size(recording, by):
    truth = torch.cdist(centres(recording.cameras), centres(recording.cameras))
    stature = np.nanmedian(recording.poses[:WALKING, H36M17.index("head_top"), 2])
    scales = {
        "stature": Scale(stature_m=float(stature)),
        "baseline": Scale(baseline=(1, 3, float(truth[1, 3]))),
    }
    place = centres(recording.calibrate(scale=scales[by]).cameras)
    tolerance = {"stature": 0.05, "baseline": 0.01}[by]
    assert torch.cdist(place, place).numpy() == pytest.approx(truth.numpy(), rel=tolerance, abs=1e-6)


def test_errors_are_about_as_large_as_they_are_said_to_be(recording, found):
    true = recording.cameras
    reach = (centres(true) - torch.as_tensor(recording.poses).mean((0, 1))).norm(dim=-1).mean()
    # A similarity for centres and rotations alike: a point before each camera stands for the way it looks.
    marks = [torch.cat([centres(rig), centres(rig) + reach * rig.R[:, 2]]) for rig in (found.cameras, true)]
    aligned = similarity(*marks).place(marks[0])[:4]
    displaced = (true.R @ (aligned - centres(true))[..., None])[..., 0]
    for camera, off in zip(found.found, displaced, strict=True):
        assert camera.covariance.shape == (6, 6)
        assert torch.allclose(camera.covariance, camera.covariance.T, atol=1e-12)
        assert torch.linalg.eigvalsh(camera.covariance).min() > 0
        assert 0 < camera.rotation_deg < RIGHT_DEG
        assert 0 < camera.position_m < RIGHT_MM / 1e3
        assert (off.abs() < 5 * camera.covariance.diag()[3:].sqrt()).all()


def test_what_the_rig_costs_points_is_about_what_is_said(recording, found):
    """Points of the same detections by both rigs, the found one laid onto the true one."""
    scale = torch.where(torch.as_tensor(recording.confidence) > 0, 8.0, torch.inf).double()
    pixels = torch.as_tensor(recording.pixels).double()
    true, by_people = (
        triangulate_robust(cameras, pixels, scale).poses for cameras in (recording.cameras, found.cameras)
    )
    off = (onto(found.cameras, by_people, recording.cameras, 4.0).poses - true).square().sum(-1)
    assert 0.3 * found.points_m < off[off.isfinite()].mean().sqrt() < 2 * found.points_m


def test_the_same_input_gives_the_same_bits(recording, found):
    again = recording.calibrate()
    for name in ("K", "distortion", "R", "t"):
        assert torch.equal(getattr(again.cameras, name), getattr(found.cameras, name))
    for one, other in zip(again.found, found.found, strict=True):
        assert torch.equal(one.covariance, other.covariance)
    assert torch.equal(again.poses.nan_to_num(), found.poses.nan_to_num())


@pytest.mark.parametrize("groups", [[0, 1, 2, 3], [-1, 0, 0, -1]])
def test_focal_lengths_are_found(recording, groups):
    cameras = recording.cameras
    K = cameras.K.clone()
    sought = [view for view in range(4) if groups[view] >= 0]
    K[sought, 0, 0] *= 1.3
    K[sought, 1, 1] *= 1.3
    rig = recording.calibrate(unplaced(replace(cameras, K=K)), focal_groups=groups)
    assert rig.cameras.focal.numpy() == pytest.approx(cameras.focal.numpy(), rel=0.03)
    assert between(rig.cameras, cameras).max() < 2 * RIGHT_DEG
    factors = [camera.focal_factor for camera in rig.found]
    for group in set(groups) - {-1}:
        assert len({factors[view] for view in range(4) if groups[view] == group}) == 1
    for view, camera in enumerate(rig.found):
        if view in sought:
            assert camera.focal_factor == pytest.approx(1 / 1.3, rel=0.03)
            assert 0 < camera.focal_error < 0.03
        else:
            assert (camera.focal_factor, camera.focal_error) == (1, 0)


@pytest.mark.parametrize("frames", [7, -40])
def test_a_late_camera_is_found(recording, frames):
    view = 2
    pixels, confidence = np.full_like(recording.pixels[:, view], np.nan), np.zeros_like(recording.confidence[:, view])
    for segment in np.unique(recording.segments):
        index = np.flatnonzero(recording.segments == segment)
        kept = index[np.isin(index - frames, index)]
        pixels[kept], confidence[kept] = (
            values[kept - frames, view] for values in (recording.pixels, recording.confidence)
        )
    rig = recording.showing(view, pixels, confidence).calibrate(find_offsets=True)
    late = [camera.late_frames for camera in rig.found]
    assert late == pytest.approx([frames * (other == view) for other in range(4)], abs=0.3)
    assert between(rig.cameras, recording.cameras).max() < 2 * RIGHT_DEG


def test_a_knocked_camera_is_named_when_a_rig_is_refined(recording):
    true = recording.cameras
    R, t = true.R.clone(), true.t.clone()
    R[1] = torch.as_tensor(Rotation.from_euler("y", 3, degrees=True).as_matrix()) @ R[1]
    t[1] = torch.as_tensor(Rotation.from_euler("y", 3, degrees=True).as_matrix()) @ t[1]  # its centre stays
    rig = recording.calibrate(replace(true, R=R, t=t), refine=True)
    assert between(rig.cameras, true).max() < RIGHT_DEG
    moved = [camera.moved_deg for camera in rig.found]
    assert moved[1] == pytest.approx(3, abs=0.7)
    assert max(moved[0], *moved[2:]) < 0.7


def test_what_is_done_is_told(found, told):
    assert told
    assert all(isinstance(doing, str) and doing for doing in told)

"""Recordings that cannot tell how the cameras stand, or not all: never is a wrong rig called well determined."""

from dataclasses import replace

import numpy as np
import pytest

from trilift.geometry.calibration.findings import Scale, Undetermined
from trilift.simulate.body import sample_body
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import COCO17, H36M17
from walked_rigs import FPS, RIGHT_DEG, between, make, trusted, watched


@pytest.fixture(scope="module")
def recording():
    return make()


def check_honest(recording, culprits, **options):
    """Whoever is called well determined stands right to the others of whom that is said, and no culprit is."""
    try:
        rig = recording.calibrate(**options)
    except Undetermined:
        return None
    views = trusted(rig)
    assert not set(views) & set(culprits), [camera.verdict for camera in rig.found]
    off = between(rig.cameras[views], recording.cameras[views])
    stated = np.array([rig.found[view].rotation_deg for view in views])
    assert (off < np.clip(5 * np.hypot(stated[:, None], stated), RIGHT_DEG, 4 * RIGHT_DEG)).all(), (off, stated)
    for camera in rig.found:
        assert camera.verdict == "well determined" or camera.reason
    return rig


@pytest.mark.parametrize(
    ("layout", "exchanged"), [(H36M17, True), (COCO17, True), (COCO17, False)], ids=["h36m17", "coco17", "as it is"]
)
def test_a_world_with_left_and_right_exchanged_is_said(layout, exchanged):
    """As of videos that are all mirrored, in which left is called left none the less."""
    recording = make(layout=layout)
    order = list(layout.mirrored) if exchanged else list(range(len(layout)))
    changed = replace(recording, pixels=recording.pixels[:, :, order], confidence=recording.confidence[:, :, order])
    try:
        rig = changed.calibrate(scale=Scale(bone=("left_knee", "left_ankle", recording.shank_m)))
    except Undetermined:
        assert exchanged
    else:
        assert (rig.problems != []) == exchanged


def test_who_stands_still_calibrates_nothing(recording):
    still = np.repeat(recording.poses[:1], len(recording.poses), axis=0)
    pixels, confidence = watched(still, recording.rig)
    check_honest(replace(recording, pixels=pixels, confidence=confidence), range(4))


def test_points_that_stay_in_one_plane_are_flagged_or_right(recording):
    """Of somebody who walks along a line, stiffly, only head and trunk are seen: two views have two explanations."""
    along, across = np.array([0.6, 0.8, 0.0]), np.array([0.8, -0.6, 0.0])
    stiff = recording.poses[:1] - recording.poses[:1] @ across[:, None] * across
    poses = stiff + 1.5 * np.sin(np.arange(len(recording.poses)) / 40)[:, None, None] * along
    pixels, confidence = watched(poses, recording.rig)
    middle = [H36M17.index(name) for name in ("pelvis", "spine", "thorax", "nose", "head_top")]
    limbs = ~np.isin(np.arange(len(H36M17)), middle)
    trunk = float(np.linalg.norm(poses[0, middle[0]] - poses[0, middle[2]]))
    seen = replace(recording, pixels=pixels, confidence=confidence).without(limbs)
    check_honest(seen, (), scale=Scale(bone=("pelvis", "thorax", trunk)))


@pytest.mark.parametrize("relabelled", [True, False], ids=["as a detector names it", "named as before"])
@pytest.mark.parametrize("view", [0, 2])
def test_one_mirrored_camera_is_not_trusted(recording, view, relabelled):
    order = list(H36M17.mirrored) if relabelled else list(range(len(H36M17)))
    pixels = recording.pixels[:, view, order] * [-1, 1] + [recording.rig[view].image_size[0], 0]
    mirrored = recording.showing(view, pixels, recording.confidence[:, view, order])
    check_honest(mirrored, {view})


def test_two_views_of_one_video_are_not_both_trusted(recording):
    """They agree to the last digit: a copy is no second witness."""
    alike = recording.showing(3, recording.pixels[:, 2], recording.confidence[:, 2])
    alike = replace(alike, rig=[*alike.rig[:3], alike.rig[2]])
    try:
        rig = alike.calibrate()
    except Undetermined:
        return
    assert not {2, 3} <= set(trusted(rig))
    views = trusted(rig)
    assert len(views) < 2 or between(rig.cameras[views], alike.cameras[views]).max() < 2 * RIGHT_DEG


@pytest.mark.parametrize("part", ["spread", "one piece"])
def test_a_camera_with_90_percent_missing_is_flagged_or_right(recording, part):
    frame = np.arange(len(recording.pixels))
    gone = np.random.default_rng(0).random(len(frame)) < 0.9 if part == "spread" else (frame < 300) | (frame >= 375)
    missing = np.zeros(recording.confidence.shape, bool)
    missing[:, 1] = gone[:, None]
    rig = check_honest(recording.without(missing), ())
    if rig is not None and 1 in trusted(rig):
        others = [camera.rotation_deg for view, camera in enumerate(rig.found) if view != 1]
        assert rig.found[1].rotation_deg > max(others)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_somebody_else_in_one_view_is_flagged_or_left_out(recording, share):
    """From some frame on a view shows another person, who does something else elsewhere."""
    rng = np.random.default_rng(7)
    other = simulate_motion("walking", sample_body(rng), len(recording.poses), FPS, rng)
    other += np.array([0.8, -0.6, 0])
    first = int(share * len(other))
    pixels, confidence = (values[:, 1].copy() for values in watched(other, recording.rig, seed=5))
    pixels[:first], confidence[:first] = recording.pixels[:first, 1], recording.confidence[:first, 1]
    check_honest(recording.showing(1, pixels, confidence), {1} if share < 0.5 else ())


def test_cameras_that_share_no_frames_are_not_placed_to_each_other(recording):
    first = np.arange(len(recording.pixels)) < 375
    missing = np.stack([~first, ~first, first, first], 1)[..., None] & np.ones(len(H36M17), bool)
    rig = check_honest(recording.without(missing), ())
    if rig is not None:
        assert set(trusted(rig)) <= {0, 1} or set(trusted(rig)) <= {2, 3}


def test_two_cameras_that_share_no_frames_are_placed_by_the_others(recording):
    first = np.arange(len(recording.pixels)) < 375
    none = np.zeros(len(first), bool)
    missing = np.stack([~first, first, none, none], 1)[..., None] & np.ones(len(H36M17), bool)
    check_honest(recording.without(missing), ())


def test_one_camera_is_refused(recording):
    single = replace(
        recording, rig=recording.rig[:1], pixels=recording.pixels[:, :1], confidence=recording.confidence[:, :1]
    )
    with pytest.raises(Undetermined, match="two"):
        single.calibrate()


@pytest.mark.parametrize("frames", [0, 3])
def test_hardly_any_detections_are_refused(recording, frames):
    missing = np.ones(recording.confidence.shape, bool)
    missing[:frames] = False
    with pytest.raises(Undetermined):
        recording.without(missing).calibrate()


def test_one_camera_that_sees_nothing_is_not_placed(recording):
    missing = np.zeros(recording.confidence.shape, bool)
    missing[:, 2] = True
    rig = check_honest(recording.without(missing), {2})
    assert rig is not None
    assert rig.found[2].verdict == "not placed"
    assert rig.cameras.t[2].isnan().all()
    assert trusted(rig) == [0, 1, 3]


def test_clocks_do_not_depend_on_a_first_camera_that_sees_nobody(recording):
    view, frames = 3, 7
    pixels, confidence = np.full_like(recording.pixels[:, view], np.nan), np.zeros_like(recording.confidence[:, view])
    for segment in np.unique(recording.segments):
        index = np.flatnonzero(recording.segments == segment)
        pixels[index[frames:]] = recording.pixels[index[:-frames], view]
        confidence[index[frames:]] = recording.confidence[index[:-frames], view]
    missing = np.zeros(recording.confidence.shape, bool)
    missing[:, 0] = True
    rig = recording.showing(view, pixels, confidence).without(missing).calibrate(find_offsets=True)
    assert rig.found[0].verdict == "not placed"
    assert [found.late_frames for found in rig.found[1:]] == pytest.approx([0, 0, frames], abs=0.3)
    assert between(rig.cameras[[1, 2, 3]], recording.cameras[[1, 2, 3]]).max() < 2 * RIGHT_DEG


def test_of_two_cameras_the_farther_one_is_not_called_the_worse(recording):
    cameras = recording.rig[:2]
    far = replace(cameras[0], t=cameras[0].t + np.array([0.0, 0.0, 7.0]))
    pixels, confidence = watched(recording.poses, [far, cameras[1]])
    rig = replace(recording, rig=[far, cameras[1]], pixels=pixels, confidence=confidence).calibrate()
    assert not any("times those of the others" in found.reason for found in rig.found)


def test_a_rig_cannot_be_refined_by_views_that_share_no_frame(recording):
    first = np.arange(len(recording.pixels)) < 375
    missing = np.stack([~first, first, first | True, first | True], 1)[..., None] & np.ones(len(H36M17), bool)
    with pytest.raises(Undetermined, match="no two views"):
        recording.without(missing).calibrate(recording.cameras, refine=True, scale=None)


def test_without_feet_and_shoulders_there_is_no_floor(recording):
    seen = [H36M17.index(name) for name in ("left_hip", "right_hip", "left_knee", "right_knee", "pelvis")]
    limbs = ~np.isin(np.arange(len(H36M17)), seen)
    thigh = np.linalg.norm(recording.poses[0, seen[0]] - recording.poses[0, seen[2]])
    with pytest.raises(Undetermined, match="floor"):
        recording.without(limbs).calibrate(scale=Scale(bone=("left_hip", "left_knee", float(thigh))))

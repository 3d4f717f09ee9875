"""Faults put into recordings, simulated and real, and what is said about them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from real_data import DATA, capture_of, needs
from synthetic import project_with_opencv, ring_of_cameras, waving_person
from trilift.formats import human36m
from trilift.geometry import noise
from trilift.geometry.cameras import Cameras, project
from trilift.geometry.rig import derivatives, refit, settings, timing
from trilift.geometry.rig import diagnose as whole_rig
from trilift.simulate import detector
from trilift.skeletons import BODY25B, H36M17

FPS = 30


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- faults -----------------------------------------------------------------


def moved(cameras, view, by):
    """The calibration from before a camera was moved by `by` (3,) m, in its own axes."""
    t = cameras.t.clone()
    t[view] += torch.tensor(by, dtype=t.dtype)
    return replace(cameras, t=t)


def with_focal_length(cameras, view, factor):
    K = cameras.K.clone()
    K[view, 0, 0] *= factor
    K[view, 1, 1] *= factor
    return replace(cameras, K=K)


def late(recording, view, frames):
    """Let a view show what the others showed `frames` earlier; frames that it then lacks are cut off."""
    cameras, pixels, confidence, segments = recording
    kept = []
    for segment in segments.unique():
        index = (segments == segment).nonzero()[:, 0]
        shown = index - frames
        kept.append(torch.stack([index, shown], 1)[(shown >= index[0]) & (shown <= index[-1])])
    index, shown = torch.cat(kept).T
    pixels, confidence, delayed = pixels[index], confidence[index], (pixels[shown], confidence[shown])
    pixels[:, view], confidence[:, view] = delayed[0][:, view], delayed[1][:, view]
    return cameras, pixels, confidence, segments[index]


FAST = settings.Settings(max_points=2000)


def diagnose(recording, settings=FAST):
    cameras, pixels, confidence, segments = recording
    scale = noise.learn(cameras, pixels, confidence).scale(confidence)
    return whole_rig.diagnose(cameras, pixels, scale, segments, settings)


def offsets(recording):
    cameras, pixels, confidence, segments = recording
    scale = noise.learn(cameras, pixels, confidence).scale(confidence).double()
    return timing.time_offsets(cameras, pixels.double(), scale, segments, FAST)


def at_fault(findings):
    return {finding.view for finding in findings if finding.at_fault}


# --- simulated --------------------------------------------------------------


def walking_person(frames, seed=0):
    """Points (frame, 25, 3) of the waving person on a walk of 3 m."""
    time = np.arange(frames) / FPS
    path = np.stack([1.5 * np.sin(1.1 * time), 1.2 * np.sin(0.7 * time + 1), 0 * time], -1)
    return waving_person(frames, seed) + path[:, None]


def filmed(points, cameras, level="off-the-shelf", seed=0):
    exact = np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
    sizes = np.stack([camera.image_size for camera in cameras])
    found = detector.detect(exact, sizes * 4, BODY25B, FPS, detector.LEVELS[level], np.random.default_rng(seed))
    segments = torch.zeros(len(points), dtype=torch.long)
    return Cameras.stack(cameras), torch.tensor(found.pixels), torch.tensor(found.confidence), segments


@pytest.fixture(scope="module")
def walk():
    return filmed(walking_person(180), ring_of_cameras(4))


def changed(recording, cameras):
    return cameras, *recording[1:]


def test_a_sound_rig_raises_no_alarm(walk):
    findings = diagnose(walk)
    assert at_fault(findings) == set()
    assert [finding.view for finding in findings] == [0, 1, 2, 3]
    for finding in findings:
        assert (finding.timing, finding.geometry) == ("in time", "consistent")
        assert finding.message == f"camera {finding.view + 1} is consistent with the others"
        assert abs(finding.time_offset_frames) < 0.5
        assert finding.error_px == pytest.approx(finding.error_refitted_px, rel=0.05)


@pytest.mark.parametrize(("view", "frames"), [(0, 3), (1, -3), (2, 7), (3, -1.0)])
def test_a_late_camera_is_found_to_a_fraction_of_a_frame(walk, view, frames):
    found = offsets(late(walk, view, int(frames)))
    expected = [frames * (other == view) for other in range(4)]
    if abs(frames) == 1:  # too little for an alarm: all are in time, and offsets are from the middle of all
        assert {offset.verdict for offset in found} == {"in time"}
        assert found[view].offset - found[view - 1].offset == pytest.approx(frames, abs=0.3)
        return
    assert [offset.offset for offset in found] == pytest.approx(expected, abs=0.3)
    assert [offset.verdict != "in time" for offset in found] == [other == view for other in range(4)]
    assert found[view].verdict == ("late" if frames > 0 else "early")


def test_a_late_camera_is_named_and_not_taken_for_a_moved_one(walk):
    findings = diagnose(late(walk, 2, 3))
    assert at_fault(findings) == {2}
    assert findings[2].geometry == "consistent"
    assert findings[2].message == f"camera 3 is late by {findings[2].time_offset_frames:.1f} frames"


@pytest.mark.parametrize("view", [1, 3])
def test_a_wrong_pose_does_not_disturb_the_timing(walk, view):
    found = offsets(late(changed(walk, moved(walk[0], view, [0.1, 0, 0])), 0, 3))
    assert [offset.offset for offset in found] == pytest.approx([3, 0, 0, 0], abs=0.5)


def test_nothing_is_compared_across_the_end_of_a_segment():
    # Each of the four recordings starts elsewhere in the walk: a comparison across would see jumps.
    parts = [filmed(walking_person(400)[start : start + 70], ring_of_cameras(4), seed=start) for start in range(4)]
    pixels, confidence = (torch.cat([part[i] for part in parts]) for i in (1, 2))
    recording = parts[0][0], pixels, confidence, torch.arange(4).repeat_interleave(70)
    found = offsets(late(recording, 1, 4))
    assert [offset.offset for offset in found] == pytest.approx([0, 4, 0, 0], abs=0.4)


def test_without_motion_the_timing_cannot_be_told():
    still = np.repeat(waving_person(1), 120, axis=0)
    findings = diagnose(filmed(still, ring_of_cameras(4)))
    assert {finding.timing for finding in findings} == {"cannot tell"}
    assert all("moves too little to tell its timing" in finding.message for finding in findings)
    assert at_fault(findings) == set()


def test_a_recording_shorter_than_the_search_cannot_tell(walk):
    assert {offset.verdict for offset in offsets([walk[0], *(array[:40] for array in walk[1:])])} == {"cannot tell"}


@pytest.mark.parametrize(("view", "by"), [(1, [0, -0.1, 0]), (2, [-0.07, 0.07, 0]), (3, [0.05, 0, 0])])
def test_a_moved_camera_is_named_and_its_way_measured(walk, view, by):
    findings = diagnose(changed(walk, moved(walk[0], view, by)))
    assert at_fault(findings) == {view}
    assert findings[view].geometry == "moved"
    assert findings[view].displacement_m == pytest.approx(np.linalg.norm(by), abs=0.03)
    assert findings[view].error_refitted_px < 0.8 * findings[view].error_px


def test_a_turned_camera_is_named_and_its_angle_measured(walk):
    cameras = walk[0]
    turn = torch.linalg.matrix_exp(derivatives.cross(torch.tensor([0.0, 0.03, 0.0], dtype=torch.float64)))
    R, t = cameras.R.clone(), cameras.t.clone()
    R[1], t[1] = turn @ R[1], turn @ t[1]
    findings = diagnose(changed(walk, replace(cameras, R=R, t=t)))
    assert at_fault(findings) == {1}
    assert findings[1].geometry == "moved"
    assert findings[1].rotation_deg == pytest.approx(np.degrees(0.03), abs=0.3)
    assert findings[1].displacement_m < 0.03


@pytest.mark.parametrize(("view", "factor"), [(0, 1.05), (2, 0.95)])
def test_a_wrong_focal_length_is_named_and_measured(walk, view, factor):
    findings = diagnose(changed(walk, with_focal_length(walk[0], view, factor)))
    assert at_fault(findings) == {view}
    assert findings[view].geometry == "focal length"
    assert findings[view].focal_factor == pytest.approx(1 / factor, abs=0.01)
    assert "focal length" in findings[view].message


def test_what_cannot_be_told_apart_is_said_so():
    # Without any depth, a longer focal length is a step towards the person.
    upright = waving_person(150) * [1, 0, 1]
    time = np.arange(150)[:, None] / FPS
    towards, away = (ring_of_cameras(4)[view].R[2] for view in (1, 3))
    across = np.cross([0, 0, 1.0], towards)
    flat = upright[..., :1] * across + upright[..., 2:] * [0, 0, 1.0] + 0.3 * np.sin(2 * time)[..., None] * across
    assert away.shape == towards.shape
    recording = filmed(flat, ring_of_cameras(4), "fine-tuned")
    findings = diagnose(changed(recording, with_focal_length(recording[0], 1, 1.08)))
    assert at_fault(findings) == {1}
    assert findings[1].message == "camera 2 is inconsistent: pose or focal length"


def test_two_moved_cameras_of_five_are_both_named():
    recording = filmed(walking_person(150), ring_of_cameras(5))
    cameras = moved(moved(recording[0], 1, [0.1, 0, 0]), 3, [0, 0.1, 0])
    assert at_fault(diagnose(changed(recording, cameras))) == {1, 3}


def test_of_two_cameras_nothing_can_be_told():
    findings = diagnose(filmed(walking_person(60), ring_of_cameras(5)[:2]))
    assert {(finding.timing, finding.geometry) for finding in findings} == {("cannot tell", "cannot tell")}
    assert "too few detections" in findings[0].message


def test_a_camera_that_sees_nothing_does_not_hide_the_fault_of_another(walk):
    cameras, pixels, confidence, segments = late(walk, 1, 3)
    pixels, confidence = pixels.clone(), confidence.clone()
    pixels[:, 2], confidence[:, 2] = torch.nan, 0
    findings = diagnose((moved(cameras, 0, [0.1, 0, 0]), pixels, confidence, segments))
    assert at_fault(findings) == {0, 1}
    assert (findings[0].geometry, findings[1].timing) == ("moved", "late")
    assert (findings[2].timing, findings[2].geometry) == ("cannot tell", "cannot tell")


def test_the_derivatives_are_those_of_finite_differences():
    cameras = Cameras.stack(ring_of_cameras(3))
    camera = refit.Camera.of(cameras, 1)
    points = torch.tensor(np.random.default_rng(0).uniform(-1, 1, (6, 3)))
    projected, by_parameters, by_points = camera.linearise(points)
    torch.testing.assert_close(camera.project(points), projected)
    torch.testing.assert_close(projected, project(cameras, points)[1])
    step = 1e-6
    for i, along in enumerate(torch.eye(7, dtype=torch.float64) * step):
        numeric = (camera.changed(along).project(points) - camera.changed(-along).project(points)) / (2 * step)
        torch.testing.assert_close(by_parameters[..., i], numeric, rtol=1e-5, atol=1e-3)
    for i, along in enumerate(torch.eye(3, dtype=torch.float64) * step):
        numeric = (camera.project(points + along) - camera.project(points - along)) / (2 * step)
        torch.testing.assert_close(by_points[..., i], numeric, rtol=1e-5, atol=1e-3)


@needs("cmu_mocap")
@pytest.mark.parametrize(("view", "factor"), [(1, 1.05)])
def test_a_focal_length_wrong_by_5_percent_is_named_on_real_motion(view, factor):
    published = human36m.read_cameras()["S1"]
    cameras = Cameras.stack(published)
    centres = -(cameras.R.mT @ cameras.t[..., None])[..., 0]
    motion = np.load(DATA / "cmu_mocap" / "cmu_h36m17_60hz.npz")
    pixels, confidence, segments = [], [], []
    for clip in (0, 5, 12, 20):
        joints = motion["joints"][motion["clip"] == clip][:300].astype(float)
        middle = centres.mean(0).numpy() * [1, 1, 0]
        exact = project(cameras, torch.tensor(joints - joints[:, 0].mean(0) * [1, 1, 0] + middle)).numpy()
        sizes = np.stack([camera.image_size for camera in published])
        found = detector.detect(
            exact, sizes, H36M17, 60, detector.LEVELS["off-the-shelf"], np.random.default_rng(clip)
        )
        pixels.append(found.pixels)
        confidence.append(found.confidence)
        segments.append(np.full(len(joints), clip))
    recording = [torch.tensor(np.concatenate(arrays)) for arrays in (pixels, confidence, segments)]
    findings = diagnose((with_focal_length(cameras, view, factor), *recording), settings.Settings())
    assert at_fault(findings) == {view}
    assert findings[view].geometry == "focal length"
    assert findings[view].focal_factor == pytest.approx(1 / factor, abs=0.01)


# --- real -------------------------------------------------------------------


def recording(name, folder):
    capture = capture_of(name, folder)
    (only,) = capture.recordings
    pixels, confidence = torch.tensor(only.pixels).double(), torch.tensor(only.confidence).double()
    return capture.to_tensors(), pixels, confidence, torch.zeros(len(pixels), dtype=torch.long)


@pytest.fixture(scope="module")
def balancing(tmp_path_factory):
    """Pose2Sim's demo. The calibrations of its cameras 3 and 1 are off."""
    return recording("pose2sim_demo", tmp_path_factory.mktemp("balancing"))


@pytest.fixture(scope="module")
def at_the_desk(tmp_path_factory):
    """Caliscope's four webcams: no confidence, joints 1-3 cm elsewhere from every side, offsets of up to a frame."""
    return recording("caliscope_4cam", tmp_path_factory.mktemp("desk"))


@needs("pose2sim_demo")
def test_clean_balancing_raises_no_alarm_beyond_its_known_bad_cameras(balancing):
    findings = diagnose(balancing)
    assert at_fault(findings) <= {0, 2}
    assert 2 in at_fault(findings)
    assert {finding.timing for finding in findings} == {"in time"}


@needs("pose2sim_demo")
@pytest.mark.parametrize("frames", [3, -3])
@pytest.mark.parametrize("view", range(4))
def test_3_frames_are_recovered_in_balancing(balancing, view, frames):
    found = offsets(late(balancing, view, frames))
    assert [offset.offset for offset in found] == pytest.approx([frames * (v == view) for v in range(4)], abs=0.5)
    assert [offset.verdict != "in time" for offset in found] == [v == view for v in range(4)]


@needs("pose2sim_demo")
@pytest.mark.parametrize(
    ("view", "by"), [(0, [0.1, 0, 0]), (1, [0.1, 0, 0]), (1, [0, -0.1, 0]), (2, [0, 0.1, 0]), (3, [-0.1, 0, 0])]
)
def test_a_camera_moved_sideways_by_10_cm_is_named_in_balancing(balancing, view, by):
    found = at_fault(diagnose(changed(balancing, moved(balancing[0], view, by))))
    assert view in found
    assert found <= {0, 2, view}


@needs("pose2sim_demo")
@pytest.mark.parametrize(("view", "factor"), [(0, 1.05), (1, 1.05), (3, 0.95)])
def test_a_wrong_focal_length_is_inconsistent_in_balancing(balancing, view, factor):
    findings = diagnose(changed(balancing, with_focal_length(balancing[0], view, factor)))
    assert findings[view].geometry in ("pose or focal length", "focal length")
    assert at_fault(findings) <= {0, 2, view}


@pytest.fixture(scope="module")
def offsets_at_the_desk(at_the_desk):
    return offsets(at_the_desk)


@needs("caliscope_4cam")
def test_clean_desk_raises_no_alarm(at_the_desk):
    assert at_fault(diagnose(at_the_desk)) == set()


@needs("caliscope_4cam")
@pytest.mark.parametrize("frames", [3, -3])
@pytest.mark.parametrize("view", range(4))
def test_3_frames_are_recovered_at_the_desk(at_the_desk, offsets_at_the_desk, view, frames):
    # The cameras are not quite synchronous by themselves: a shift is a change of an offset against the others'.
    change = [
        after.offset - before.offset
        for after, before in zip(offsets(late(at_the_desk, view, frames)), offsets_at_the_desk, strict=True)
    ]
    others = [change[other] for other in range(4) if other != view]
    assert change[view] - np.median(others) == pytest.approx(frames, abs=1)
    assert max(others) - min(others) < 0.6


@needs("caliscope_4cam")
@pytest.mark.parametrize(("view", "by"), [(0, [0, -0.1, 0]), (1, [0.1, 0, 0]), (2, [-0.1, 0, 0]), (3, [0, 0.1, 0])])
def test_a_camera_moved_sideways_by_10_cm_is_named_at_the_desk(at_the_desk, view, by):
    findings = diagnose(changed(at_the_desk, moved(at_the_desk[0], view, by)))
    assert at_fault(findings) == {view}
    assert findings[view].geometry in ("moved", "pose or focal length")

"""Which frames the views of a recording and its reference have in common."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats import DetectedView, ReferenceRecording
from trilift.formats.clock import set_clock
from trilift.formats.source import Source
from trilift.project.params import parse
from trilift.skeletons import H36M17


def source(first_pose=None, **changes):
    section = {
        "detections": {"format": "coco", "path": "pose", "skeleton": "coco17", "detector": "synthetic"},
        "cameras": {"format": "toml", "path": "calibration.toml"},
        "reference": {"format": "videopose3d", "path": "reference.npz", "first_frame": first_pose or {}},
        "fps": 30,
    }
    return parse(Source, section | changes, "test")


def view(first, last, *, complete):
    """A view of the frames `first` to `last`; complete if it lists frames without people too."""
    return DetectedView(None, np.zeros((last - first + 1, 1, 17, 2), np.float32), None, first, complete)


def views(*frames, complete):
    return {f"cam{number}": view(*of_view, complete=complete) for number, of_view in enumerate(frames, 1)}


def reference(poses):
    return ReferenceRecording("walk", "walk", H36M17, np.zeros((poses, 17, 3), np.float32))


def frames(clock):
    return clock.first, clock.first + clock.length - 1


@pytest.mark.parametrize(
    ("complete", "offsets", "expected"),
    [
        (True, {}, (3, 95)),  # a file that ends earlier: that camera was switched off
        (False, {}, (3, 140)),  # nobody is in view any more
        (True, {"cam1": 5}, (3, 94)),
        (True, {"cam2": 50}, (3, 90)),
        (False, {"cam2": 50}, (0, 99)),
        (True, {"cam1": -4}, (7, 95)),
        (False, {"cam1": -4}, (4, 140)),
    ],
)
def test_views_have_one_clock_and_the_frames_of_all(complete, offsets, expected):
    three = views((3, 99), (4, 140), (3, 95), complete=complete)
    clock = set_clock(three, None, source(offsets=offsets, max_length_difference=100), "x")
    assert frames(clock) == expected
    assert clock.begins == {name: one.first_frame - offsets.get(name, 0) for name, one in three.items()}


def test_cameras_that_count_from_their_own_beginning_are_brought_together_by_offsets(caplog):
    caplog.set_level(logging.WARNING)
    two = views((0, 99), (370, 469), complete=True)
    clock = set_clock(two, None, source(offsets={"cam2": 370}), "x")
    assert (frames(clock), clock.begins) == ((0, 99), {"cam1": 0, "cam2": 0})
    assert not caplog.messages
    with pytest.raises(InputError, match="differ by 370 frames"):
        set_clock(two, None, source(), "x")
    assert "start at different frame numbers" in caplog.text


def test_an_early_last_detection_is_said(caplog):
    caplog.set_level(logging.WARNING)
    set_clock(views((0, 149), (0, 99), (0, 145), complete=False), None, source(), "x")
    assert "the last frames in which somebody is seen differ: cam2 99, others up to 149" in caplog.text


@given(st.integers(2, 500), st.integers(1, 60), st.integers(0, 60), st.integers(0, 1))
def test_a_reference_of_the_video_or_of_the_part_that_was_detected_is_known_by_its_length(first, length, later, part):
    last, begin = first + length - 1, first * part
    two = views((first, last), (first, last), complete=True)
    clock = set_clock(two, reference(last + 1 - begin), source(max_length_difference=0), "x")
    assert (clock.first_pose, frames(clock)) == (begin, (first, last))
    two = views((first, last), (first, last), complete=False)  # recorded on for some frames
    clock = set_clock(two, reference(last + 1 + later), source(max_length_difference=0), "x")
    assert (clock.first_pose, frames(clock)) == (0, (first, last))


@pytest.mark.parametrize(
    ("first", "complete", "poses", "expected"),
    [
        (0, True, 100, 0),
        (0, False, 100, 0),
        (1, True, 99, 1),  # programs count from 0 or from 1
        (1, True, 100, 0),
        (1, False, 99, 1),
        (5, True, 95, 5),
        (5, True, 100, 0),
    ],
)
def test_the_number_of_poses_says_to_which_frame_the_first_belongs(first, complete, poses, expected):
    two = views((first, 99), (first, 99), complete=complete)
    assert set_clock(two, reference(poses), source(), "x").first_pose == expected


@pytest.mark.parametrize(
    ("first", "complete", "poses"), [(5, True, 97), (1, True, 97), (1, False, 100), (7, False, 99)]
)
def test_what_fits_both_or_none_is_asked(first, complete, poses):
    two = views((first, 99), (first, 99), complete=complete)
    with pytest.raises(
        InputError, match=rf'frames {first} to 99, and {poses} poses.*first_frame: {{"walk": {first}}}'
    ):
        set_clock(two, reference(poses), source(), "x")
    for stated in (first, 0):
        clock = set_clock(two, reference(poses), source(first_pose={"walk": stated}), "x")
        assert (clock.first_pose, clock.first) == (stated, first)
        assert clock.length == min(100, stated + poses) - first


def test_what_is_seen_after_a_view_was_switched_off_is_not_cut_in_silence():
    three = views((0, 149), (0, 149), complete=False) | {"cam3": view(0, 99, complete=True)}
    with pytest.raises(InputError, match="differ by 50 frames"):
        set_clock(three, None, source(), "x")
    clock = set_clock(three, None, source(max_length_difference=50), "x")
    assert (frames(clock), clock.cut) == ((0, 99), 50)


def test_a_reference_may_go_on_after_the_last_detection_where_nobody_is_seen():
    clock = set_clock(views((7, 60), (9, 62), complete=False), reference(200), source(), "x")
    assert (clock.first_pose, *frames(clock), clock.cut) == (0, 7, 62, 0)
    with pytest.raises(InputError, match=r"differ by 137 frames .*reference 200"):
        set_clock(views((0, 62), (0, 62), complete=True), reference(200), source(), "x")


def test_a_reference_that_begins_later_cuts_the_recording():
    clock = set_clock(views((0, 99), (0, 99), complete=True), reference(50), source(first_pose={"walk": 50}), "x")
    assert (clock.first_pose, frames(clock)) == (50, (50, 99))


def test_a_reference_of_other_frames_is_refused():
    with pytest.raises(InputError, match="none in common"):
        set_clock(views((0, 9), (0, 9), complete=True), reference(5), source(first_pose={"walk": 50}), "x")


@pytest.mark.parametrize("first", [0, 370])
def test_a_camera_that_saw_nobody_does_not_say_when_the_recording_is(first, caplog):
    three = views((first, first + 99), (first + 1, first + 99), (0, -1), complete=False)
    clock = set_clock(three, None, source(), "x")
    assert frames(clock) == (first, first + 99)
    assert "nobody is seen by cam3 in any frame" in caplog.text
    with pytest.raises(InputError, match="nobody is seen by any camera"):
        set_clock(views((0, -1), (0, -1), complete=False), None, source(), "x")

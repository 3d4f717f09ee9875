import logging

import pytest

from trilift.errors import InputError
from trilift.formats.names import match_keypoints, name_for_files
from trilift.skeletons import COCO17


@pytest.mark.parametrize("name", ["left_shoulder", "LeftShoulder", "LEFT SHOULDER", "left-shoulder", "leftShoulder."])
def test_only_letters_and_digits_of_a_name_count(name):
    assert match_keypoints([name], COCO17, "x.csv") == {name: COCO17.index("left_shoulder")}


def test_names_that_the_skeleton_lacks_are_told_and_left_out(caplog):
    caplog.set_level(logging.WARNING)
    assert match_keypoints(["tail", "nose", "tail", "wing"], COCO17, "x.csv") == {"nose": 0}
    assert caplog.messages == ["x.csv: body parts that coco17 lacks, not used: 'tail', 'wing'"]


def test_nothing_is_told_where_all_are_used(caplog):
    match_keypoints(COCO17.keypoints, COCO17, "x.csv")
    assert not caplog.messages


def test_a_file_of_another_body_is_refused():
    with pytest.raises(InputError, match=r"x.csv: no body part is a keypoint of coco17; found 'tail', '\\ud800'"):
        match_keypoints(["tail", "\ud800"], COCO17, "x.csv")


def test_two_names_for_one_keypoint_are_refused():
    with pytest.raises(InputError, match=r"x.csv: two body parts are called left_eye"):
        match_keypoints(["LeftEye", "left_eye"], COCO17, "x.csv")


@pytest.mark.parametrize(("name", "expected"), [("Train/S1", "Train-S1"), ("Walk 1", "Walk 1"), (7, "7"), ("/", "-")])
def test_a_slash_becomes_a_hyphen(name, expected):
    assert name_for_files(name, "x.npz") == expected


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a\x00", "a\n", "\ud800"])
def test_a_name_that_files_cannot_hold_is_refused(name):
    with pytest.raises(InputError, match=r"^x.npz: .* cannot be the name"):
        name_for_files(name, "x.npz")

import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats.mmpose import read_view
from trilift.skeletons import COCO17, HALPE26

N = len(COCO17)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cam01.json"


def person(seed=0, score=0.8, joints=N):
    points = np.random.default_rng(seed).uniform(1, 1000, (joints, 2))
    return np.column_stack([points, np.full(joints, score)]).astype(np.float32)


def instance(keypoints):
    found = {"keypoints": keypoints[:, :2].tolist(), "keypoint_scores": keypoints[:, 2].tolist()}
    return found | {"bbox": [[0, 0, 10, 10]], "bbox_score": 0.9}


def frame(number, *people):
    return {"frame_id": number, "instances": [instance(keypoints) for keypoints in people]}


def by_demo(*frames, names=COCO17.keypoints):
    about = {"keypoint_id2name": dict(enumerate(names)), "keypoint_name2id": {k: i for i, k in enumerate(names)}}
    return {"meta_info": about, "instance_info": list(frames)}


def write(path, content):
    path.write_text(json.dumps(content))


def message(path, skeleton=COCO17):
    with pytest.raises(InputError) as caught:
        read_view(path, skeleton)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def assert_is(view, expected):
    expected = np.array(expected, np.float32)
    np.testing.assert_array_equal(view.pixels, expected[..., :2])
    np.testing.assert_array_equal(view.confidence, expected[..., 2])


def test_a_file_of_the_demo_scripts_counts_from_1(path):
    one, other = person(1), person(2)
    write(path, by_demo(frame(1, one), frame(2, other)))
    view = read_view(path, COCO17)
    assert view.name == "cam01"
    assert_is(view, [[one], [other]])


def test_a_file_of_the_inferencer_counts_from_0(path):
    one, other = person(1), person(2)
    write(path, [frame(0, one), frame(1, other)])
    assert_is(read_view(path, COCO17), [[one], [other]])


def test_without_numbers_the_order_counts(path):
    one, other = person(1), person(2)
    write(path, [{"instances": [instance(one)]}, {"instances": [instance(other)]}])
    assert_is(read_view(path, COCO17), [[one], [other]])


@pytest.mark.parametrize("demo", [False, True])
def test_a_part_of_a_video_begins_at_its_first_frame(path, demo):
    """A list of the inferencer that leaves out frame 0 begins at frame 1, and not one frame early."""
    entries = [frame(number + demo, person(number)) for number in (1, 2, 3)]
    write(path, by_demo(*entries) if demo else entries)
    view = read_view(path, COCO17)
    assert (view.first_frame, len(view.pixels), view.lists_empty_frames) == (1, 3, True)


def test_all_people_are_kept_and_frames_may_come_in_any_order(path):
    one, other = person(1), person(2)
    write(path, by_demo(frame(2, one), frame(1, one, other)))
    view = read_view(path, COCO17)
    np.testing.assert_array_equal(view.pixels[0], np.stack([one, other])[..., :2])
    np.testing.assert_array_equal(view.pixels[1, 0], one[:, :2])
    assert np.isnan(view.pixels[1, 1]).all()


def test_frames_without_an_entry_or_people_are_missing(path):
    write(path, by_demo(frame(1, person()), frame(3), frame(4, person())))
    view = read_view(path, COCO17)
    assert np.isnan(view.pixels).all((1, 2, 3)).tolist() == [False, True, True, False]
    assert not view.lists_empty_frames


def test_a_missing_number_makes_its_keypoint_missing(path):
    keypoints = person()
    keypoints[3, 0] = keypoints[4, 2] = np.nan
    keypoints[5, 2] = 0
    write(path, [frame(0, keypoints)])
    view = read_view(path, COCO17)
    assert np.isnan(view.pixels).all(-1)[0, 0].nonzero()[0].tolist() == [3, 4, 5]
    assert (view.confidence == 0)[0, 0].nonzero()[0].tolist() == [3, 4, 5]


def test_scores_above_1_are_kept(path):
    write(path, [frame(0, person(score=1.5))])
    assert (read_view(path, COCO17).confidence == 1.5).all()


@given(st.integers(1, 6), st.integers(0, 3), st.integers(0, 10_000), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_was_written_is_read(path, frames, people, seed, demo):
    values = [[person(seed + 10 * f + p) for p in range(people)] for f in range(frames)]
    entries = [frame(number + demo, *found) for number, found in enumerate(values)]
    write(path, by_demo(*entries) if demo else entries)
    view = read_view(path, COCO17)
    assert view.pixels.shape == (frames, max(people, 1), N, 2)
    if people:
        assert_is(view, values)


def test_names_of_another_layout_are_refused(path):
    write(path, by_demo(frame(1), names=HALPE26.keypoints))
    assert "26 keypoints, expected the 17 of coco17" in message(path)


def test_a_number_of_a_keypoint_with_thousands_of_digits_is_as_any_other(path):
    content = by_demo(frame(1, person()))
    names = content["meta_info"]["keypoint_id2name"]
    content["meta_info"]["keypoint_id2name"] = names | {"9" * 5000: names.pop(N - 1)}
    write(path, content)
    assert_is(read_view(path, COCO17), [[person()]])


def test_another_number_of_keypoints_is_refused(path):
    write(path, [frame(0, person(joints=26))])
    assert "frame 0 (counted from 0): 26 keypoints, expected the 17 of coco17" in message(path)


def test_the_prediction_of_an_image_is_refused(path):
    write(path, [instance(person())])
    assert "single image" in message(path)


def test_frame_numbers_far_beyond_the_number_of_frames_are_refused(path):
    write(path, [frame(0), frame(10**9)])
    assert "2 entries, but they count 1000000001 frames" in message(path)


@pytest.mark.parametrize("number", [-1, 1.5, "1", True, 0])
def test_a_frame_number_that_is_none_or_there_already_is_refused(path, number):
    write(path, [frame(0), frame(number)])
    assert "a different `frame_id`" in message(path)


def test_a_frame_number_in_some_frames_only_is_refused(path):
    write(path, [frame(0), {"instances": []}])
    assert "a different `frame_id`" in message(path)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("column", [0, 2])
def test_infinite_numbers_are_refused(path, number, column):
    keypoints = person().astype(float)
    keypoints[2, column] = number
    write(path, [frame(0, keypoints)])
    assert "frame 0 (counted from 0): holds an infinite number" in message(path)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        5,
        "text",
        None,
        [[]],
        {"instance_info": []},
        {"instance_info": 5},
        {"meta_info": 5, "instance_info": [5]},
        [{}],
        [{"instances": 5}],
        [{"instances": [5]}],
        [{"instances": [{"keypoints": [[1, 2]] * N}]}],
        [{"instances": [{"keypoints": [[1, 2, 3]] * N, "keypoint_scores": [1] * N}]}],
        [{"instances": [{"keypoints": [[1, 2]] * N, "keypoint_scores": [1] * (N - 1)}]}],
        [{"instances": [{"keypoints": [[1, "x"]] * N, "keypoint_scores": [1] * N}]}],
        [{"instances": [{"keypoints": [[1], [1, 2]], "keypoint_scores": [1] * N}]}],
        [{"instances": [{"keypoints": {}, "keypoint_scores": [1] * N}]}],
    ],
    ids=str,
)
def test_another_structure_is_refused(path, content):
    write(path, content)
    message(path)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe\xfd", b"[" * 100_000, b'[{"frame_id": 1' + b"0" * 5000])
def test_a_file_that_is_no_json_is_refused(path, content):
    path.write_bytes(content)
    assert "not MMPose's predictions of a video" in message(path)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)


def test_an_entry_without_keypoints_is_nobody(path):
    empty = {"frame_id": 1, "instances": [{}, {"keypoints": [], "keypoint_scores": []}]}
    write(path, [frame(0, person(1)), empty, frame(2, person(2))])
    found = read_view(path, COCO17)
    assert np.isnan(found.pixels[1]).all()
    np.testing.assert_array_equal(found.pixels[[0, 2], 0], [person(1)[:, :2], person(2)[:, :2]])


def test_half_an_hour_is_read_in_a_time_that_grows_with_its_length(path):
    frames = [{"frame_id": number, "instances": []} for number in range(108_000)]
    path.write_text(json.dumps(frames))
    began = time.process_time()
    assert len(read_view(path, COCO17).pixels) == 108_000
    assert time.process_time() - began < 40

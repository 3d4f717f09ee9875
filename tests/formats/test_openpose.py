import json

import numpy as np
import pytest

from trilift.errors import InputError
from trilift.formats.openpose import read_detections
from trilift.skeletons import BODY25B, OPENPOSE25

N = len(BODY25B)


def person(seed=0, confidence=0.8):
    points = np.random.default_rng(seed).uniform(1, 1000, (N, 2))
    return np.column_stack([points, np.full(N, confidence)])


def write(folder, frames, camera="cam01_json"):
    """A list of people per frame."""
    (folder / camera).mkdir(parents=True)
    for number, people in enumerate(frames):
        entries = [{"person_id": [-1], "pose_keypoints_2d": np.ravel(keypoints).tolist()} for keypoints in people]
        (folder / camera / f"x.{number:04d}.json").write_text(json.dumps({"version": 1.3, "people": entries}))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial" / "pose"


def read_view(folder, skeleton=BODY25B):
    (recording,) = read_detections(folder, skeleton)
    return recording.views[0]


def message(folder, skeleton=BODY25B):
    with pytest.raises(InputError) as caught:
        list(read_detections(folder, skeleton))
    return str(caught.value)


def test_keypoints_and_confidences_are_read_in_the_order_of_the_frames(folder):
    people = [person(seed, 0.1 * seed) for seed in range(1, 10)]
    write(folder, [[one] for one in people])
    view = read_view(folder)
    np.testing.assert_array_equal(view.keypoints, np.array(people)[..., :2])
    np.testing.assert_array_equal(view.confidence, np.array(people)[..., 2])


def test_views_carry_the_names_of_their_folders(folder):
    for camera in ("cam02_json", "cam_01", "left_json_json"):
        write(folder, [[person()]], camera)
    (recording,) = read_detections(folder, BODY25B)
    assert [view.name for view in recording.views] == ["cam02", "cam_01", "left_json"]


def test_the_recording_is_named_after_the_folder_around_it(folder):
    write(folder, [[person()]])
    (recording,) = read_detections(folder, BODY25B)
    assert (recording.capture, recording.name, recording.action) == ("trial", "trial", "trial")


def test_zeros_are_missing(folder):
    keypoints = person()
    keypoints[4] = 0
    write(folder, [[keypoints]])
    view = read_view(folder)
    missing = np.isnan(view.keypoints).all(-1)
    assert missing[0].nonzero()[0].tolist() == [4]
    assert np.isnan(view.confidence[0, 4])


def test_a_frame_without_people_is_missing(folder):
    write(folder, [[person()], []])
    assert np.isnan(read_view(folder).keypoints[1]).all()


def test_of_two_people_the_more_confident_is_taken_in_every_frame(folder):
    sure, unsure = person(1, 0.8), person(2, 0.3)
    write(folder, [[sure, unsure], [unsure, sure]])
    view = read_view(folder)
    for frame in range(2):
        np.testing.assert_array_equal(view.keypoints[frame], sure[:, :2])


def test_many_weak_keypoints_beat_a_few_strong_ones(folder):
    few, many = person(1, 0.9), person(2, 0.5)
    few[5:] = 0
    write(folder, [[few, many]])
    np.testing.assert_array_equal(read_view(folder).keypoints[0], many[:, :2])


def test_a_dummy_of_another_layout_is_not_taken_however_confident(folder):
    real = person(1, 0.2)
    dummy = np.ones((18, 3))
    write(folder, [[dummy, real], [dummy]])
    view = read_view(folder)
    np.testing.assert_array_equal(view.keypoints[0], real[:, :2])
    assert np.isnan(view.keypoints[1]).all()


def test_a_recording_in_which_only_another_layout_occurs_is_refused_with_what_was_found(folder):
    write(folder, [[np.ones((18, 3))], [np.ones((135, 3))]])
    text = message(folder)
    assert str(folder / "cam01_json") in text
    assert "25 keypoints of body25b; found lists of 18, 135 keypoints" in text


def test_an_empty_view_is_all_missing(folder):
    write(folder, [[], []])
    assert np.isnan(read_view(folder).keypoints).all()


def test_the_layout_tells_the_number_of_keypoints_only(folder):
    write(folder, [[person()]])
    (recording,) = read_detections(folder, OPENPOSE25)
    assert recording.skeleton is OPENPOSE25


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"people": [',
        "[]",
        "{}",
        '{"people": 5}',
        '{"people": [5]}',
        '{"people": [{"pose": []}]}',
        '{"people": [{"pose_keypoints_2d": ["a", 1, 2]}]}',
        '{"people": [{"pose_keypoints_2d": [[1], [1, 2]]}]}',
        "[" * 100_000,
        "\ufeff\x00",
    ],
    ids=range(11),
)
def test_a_damaged_file_is_named(folder, content):
    write(folder, [[person()], [person()]])
    damaged = folder / "cam01_json" / "x.0001.json"
    damaged.write_text(content)
    assert message(folder).startswith(f"{damaged}: ")


def test_a_file_that_is_no_text_is_named(folder):
    write(folder, [[person()]])
    damaged = folder / "cam01_json" / "x.0000.json"
    damaged.write_bytes(b"\xff\xfe\xfd")
    assert message(folder).startswith(f"{damaged}: ")


def test_a_folder_without_files_is_named(folder):
    folder.mkdir(parents=True)
    assert message(folder).startswith(f"{folder}: no files")


def test_a_missing_folder_is_named(folder):
    assert message(folder).startswith(f"{folder}: no files")


def test_other_files_are_ignored(folder):
    write(folder, [[person()]])
    (folder / "README.json").write_text("no")
    (folder / "cam01_json" / "notes.txt").write_text("no")
    assert len(read_view(folder).keypoints) == 1

import json

import numpy as np
import pytest

from trilift.errors import InputError
from trilift.formats import MOST_PEOPLE
from trilift.formats.openpose import read_view
from trilift.skeletons import BODY25B

N = len(BODY25B)


def person(seed=0, confidence=0.8):
    points = np.random.default_rng(seed).uniform(1, 1000, (N, 2))
    return np.column_stack([points, np.full(N, confidence)])


def write(folder, frames, start=0):
    """A list of people per frame."""
    folder.mkdir(parents=True)
    for number, people in enumerate(frames, start):
        entries = [{"person_id": [-1], "pose_keypoints_2d": np.ravel(keypoints).tolist()} for keypoints in people]
        (folder / f"x.{number:04d}.json").write_text(json.dumps({"version": 1.3, "people": entries}))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial" / "cam01_json"


def message(folder, skeleton=BODY25B):
    with pytest.raises(InputError) as caught:
        read_view(folder, skeleton)
    return str(caught.value)


def test_keypoints_and_confidences_are_read_in_the_order_of_the_frames(folder):
    people = [person(seed, 0.1 * seed) for seed in range(1, 10)]
    write(folder, [[one] for one in people])
    view = read_view(folder, BODY25B)
    expected = np.array(people, np.float32)[:, None]
    np.testing.assert_array_equal(view.pixels, expected[..., :2])
    np.testing.assert_array_equal(view.confidence, expected[..., 2])


@pytest.mark.parametrize(
    ("name", "expected"), [("cam02_json", "cam02"), ("cam_01", "cam_01"), ("left_json_json", "left_json")]
)
def test_the_view_carries_the_name_of_its_folder(tmp_path, name, expected):
    write(tmp_path / name, [[person()]])
    assert read_view(tmp_path / name, BODY25B).name == expected


def test_zeros_are_missing(folder):
    keypoints = person()
    keypoints[4] = 0
    write(folder, [[keypoints]])
    view = read_view(folder, BODY25B)
    missing = np.isnan(view.pixels).all(-1)
    assert missing[0, 0].nonzero()[0].tolist() == [4]
    assert view.confidence[0, 0, 4] == 0


def test_a_keypoint_of_which_a_number_is_missing_is_missing(folder):
    keypoints = person()
    keypoints[3, 0] = keypoints[5, 2] = np.nan
    write(folder, [[keypoints]])
    view = read_view(folder, BODY25B)
    assert np.isnan(view.pixels).any(-1)[0, 0].nonzero()[0].tolist() == [3, 5]
    assert (view.confidence == 0)[0, 0].nonzero()[0].tolist() == [3, 5]


def test_a_frame_without_people_is_missing(folder):
    write(folder, [[person()], []])
    assert np.isnan(read_view(folder, BODY25B).pixels[1]).all()


def test_all_people_are_kept(folder):
    one, other = person(1), person(2)
    write(folder, [[one, other], [other]])
    view = read_view(folder, BODY25B)
    assert view.pixels.shape == (2, 2, N, 2)
    np.testing.assert_array_equal(view.pixels[0], np.array([one, other], np.float32)[..., :2])
    np.testing.assert_array_equal(view.pixels[1, 0], other[:, :2].astype(np.float32))
    assert np.isnan(view.pixels[1, 1]).all()
    assert (view.confidence[1, 1] == 0).all()


def test_of_a_crowd_the_most_confident_are_kept(folder):
    write(folder, [[person(seed, 0.01 + 0.05 * seed) for seed in range(MOST_PEOPLE + 3)]])
    sums = read_view(folder, BODY25B).confidence[0].sum(-1)
    np.testing.assert_allclose(sorted(sums), N * (0.01 + 0.05 * np.arange(3, MOST_PEOPLE + 3)), rtol=1e-5)


def test_a_view_begins_with_its_first_file_and_says_at_which_frame(folder):
    people = [person(1), person(2)]
    write(folder, [[one] for one in people], start=370)
    view = read_view(folder, BODY25B)
    assert view.first_frame == 370
    assert view.lists_empty_frames
    np.testing.assert_array_equal(view.pixels[:, 0], np.array(people, np.float32)[..., :2])


def test_a_gap_in_the_frames_is_missing_and_shows_that_frames_are_left_out(folder):
    write(folder, [[person()]] * 4)
    (folder / "x.0002.json").unlink()
    view = read_view(folder, BODY25B)
    assert np.isnan(view.pixels).all((1, 2, 3)).tolist() == [False, False, True, False]
    assert not view.lists_empty_frames


@pytest.mark.parametrize("name", ["walk_{}_halpe26.json", "2024-01-31_{:06d}_v2.json", "S1.cam3.{}.body25.json"])
def test_a_number_that_all_files_share_is_no_frame(folder, name):
    write(folder, [[person()]] * 3)
    for number in range(3):
        (folder / f"x.{number:04d}.json").rename(folder / name.format(number + 9))
    view = read_view(folder, BODY25B)
    assert (view.first_frame, len(view.pixels)) == (9, 3)


def test_frame_numbers_far_beyond_the_number_of_files_are_refused(folder):
    write(folder, [[person()]] * 2)
    (folder / "x.0001.json").rename(folder / "x_1000000000.json")
    assert message(folder) == f"{folder}: 2 entries, but they count 1000000001 frames; check the frame numbers"


def test_two_files_of_one_frame_are_refused(folder):
    write(folder, [[person()]])
    (folder / "y_0.json").write_text("{}")
    assert "the same frame number as x.0000.json" in message(folder)


def test_a_file_without_a_number_is_refused(folder):
    write(folder, [[person()]])
    (folder / "notes.json").write_text("{}")
    assert message(folder).startswith(f"{folder / 'notes.json'}: no frame number")


def test_a_dummy_of_another_layout_is_left_out_however_confident(folder):
    real = person(1, 0.2)
    dummy = np.ones((18, 3))
    write(folder, [[dummy, real], [dummy]])
    view = read_view(folder, BODY25B)
    np.testing.assert_array_equal(view.pixels[0], real[None, :, :2].astype(np.float32))
    assert np.isnan(view.pixels[1]).all()


def test_a_view_in_which_only_another_layout_occurs_is_refused_with_what_was_found(folder):
    write(folder, [[np.ones((18, 3))], [np.ones((135, 3))]])
    text = message(folder)
    assert text.startswith(f"{folder}: ")
    assert "25 keypoints of body25b; found lists of 18, 135 keypoints" in text


def test_an_empty_view_is_all_missing(folder):
    write(folder, [[], []])
    view = read_view(folder, BODY25B)
    assert view.pixels.shape == (2, 1, N, 2)
    assert np.isnan(view.pixels).all()


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
def test_an_infinite_coordinate_is_refused(folder, number):
    keypoints = person()
    keypoints[3, 1] = number
    write(folder, [[keypoints]])
    assert message(folder).startswith(f"{folder / 'x.0000.json'}: holds an infinite number")


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
        '{"people": [{"pose_keypoints_2d": [1' + "0" * 400 + "]}]}",
        '{"people": [{"pose_keypoints_2d": [1' + "0" * 5000 + "]}]}",
        "[" * 100_000,
        "\ufeff\x00",
    ],
    ids=range(13),
)
def test_a_damaged_file_is_named(folder, content):
    write(folder, [[person()], [person()]])
    damaged = folder / "x.0001.json"
    damaged.write_text(content)
    assert message(folder).startswith(f"{damaged}: ")


def test_a_file_that_is_no_text_is_named(folder):
    write(folder, [[person()]])
    damaged = folder / "x.0000.json"
    damaged.write_bytes(b"\xff\xfe\xfd")
    assert message(folder).startswith(f"{damaged}: ")


def test_a_folder_without_files_is_named(folder):
    folder.mkdir(parents=True)
    assert message(folder).startswith(f"{folder}: no files")


def test_a_missing_folder_is_named(folder):
    assert message(folder).startswith(f"{folder}: no files")


def test_other_files_are_ignored(folder):
    write(folder, [[person()]])
    (folder / "notes.txt").write_text("no")
    assert len(read_view(folder, BODY25B).pixels) == 1


@pytest.mark.parametrize(
    "nobody", [{}, None, {"person_id": [2]}, {"pose_keypoints_2d": []}, {"pose_keypoints_2d": None}]
)
def test_an_entry_without_keypoints_is_nobody(folder, nobody):
    people = [person(number).astype(np.float32) for number in (1, 2, 3)]
    write(folder, [[one] for one in people])
    (folder / "x.0001.json").write_text(json.dumps({"people": [nobody]}))
    expected = np.array(people)[:, None]
    expected[1] = np.nan
    np.testing.assert_array_equal(read_view(folder, BODY25B).pixels, expected[..., :2])
    someone = {"pose_keypoints_2d": people[1].ravel().tolist()}
    (folder / "x.0001.json").write_text(json.dumps({"people": [nobody, someone]}))
    np.testing.assert_array_equal(read_view(folder, BODY25B).pixels, np.array(people)[:, None, :, :2])


def test_a_view_of_entries_without_keypoints_holds_nobody(folder):
    write(folder, [[], []])
    (folder / "x.0001.json").write_text(json.dumps({"people": [{}]}))
    assert np.isnan(read_view(folder, BODY25B).pixels).all()

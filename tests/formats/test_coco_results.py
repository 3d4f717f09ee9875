import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats.coco_results import read_view
from trilift.skeletons import COCO17, COCO18, HALPE26

N = len(COCO17)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cam01.json"


def person(seed=0, score=0.8):
    points = np.random.default_rng(seed).uniform(1, 1000, (N, 2))
    return np.column_stack([points, np.full(N, score)]).astype(np.float32)


def entry(image, keypoints):
    return {"image_id": image, "category_id": 1, "keypoints": np.ravel(keypoints).tolist(), "score": 2.5}


def write(path, *entries):
    path.write_text(json.dumps(entries))


def message(path, skeleton=COCO17):
    with pytest.raises(InputError) as caught:
        read_view(path, skeleton)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_keypoints_and_scores_are_read_by_frame(path):
    people = [person(seed, 0.1 * seed) for seed in range(1, 6)]
    write(path, *(entry(number, keypoints) for number, keypoints in reversed(list(enumerate(people)))))
    view = read_view(path, COCO17)
    assert view.name == "cam01"
    np.testing.assert_array_equal(view.pixels, np.array(people)[:, None, :, :2])
    np.testing.assert_array_equal(view.confidence, np.array(people)[:, None, :, 2])


@pytest.mark.parametrize(
    "name",
    ["{}.jpg", "{}", "frame_{:06d}.jpg", "S1/cam2/{:04d}.png", "video.mp4_{}", "x.{:04d}", "im{}.jp2", "{}.jpeg"],
)
def test_the_last_number_of_an_image_is_its_frame(path, name):
    write(path, entry(name.format(11), person(1)), entry(name.format(13), person(2)))
    view = read_view(path, COCO17)
    assert view.first_frame == 11
    assert np.isnan(view.pixels).all((1, 2, 3)).tolist() == [False, True, False]
    np.testing.assert_array_equal(view.pixels[2, 0], person(2)[:, :2])


def test_a_view_begins_with_the_first_person_and_says_in_which_frame(path):
    write(path, entry(7, person()), entry(9, person()))
    view = read_view(path, COCO17)
    assert view.first_frame == 7
    assert np.isnan(view.pixels).all((1, 2, 3)).tolist() == [False, True, False]
    assert not view.lists_empty_frames


def test_a_number_that_all_images_share_is_no_frame(path):
    write(path, *(entry(f"clip2/walk_{number}_halpe26.jpg", person()) for number in (3, 4, 4)))
    view = read_view(path, COCO17)
    assert (view.first_frame, len(view.pixels)) == (3, 2)


def test_all_people_of_a_frame_are_kept(path):
    write(path, entry(0, person(1)), entry(1, person(3)), entry(0, person(2)))
    view = read_view(path, COCO17)
    np.testing.assert_array_equal(view.pixels[0], np.stack([person(1), person(2)])[..., :2])
    np.testing.assert_array_equal(view.pixels[1, 0], person(3)[:, :2])
    assert np.isnan(view.pixels[1, 1]).all()
    assert (view.confidence[1, 1] == 0).all()


def test_what_was_not_found_is_missing(path):
    keypoints = person()
    keypoints[2] = 0
    keypoints[4, 1] = np.nan
    write(path, entry(0, keypoints))
    view = read_view(path, COCO17)
    assert np.isnan(view.pixels).all(-1)[0, 0].nonzero()[0].tolist() == [2, 4]
    assert (view.confidence == 0)[0, 0].nonzero()[0].tolist() == [2, 4]


@given(st.dictionaries(st.integers(0, 500), st.integers(1, 3), min_size=1, max_size=5), st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_every_entry_comes_back_in_its_frame(path, counts, seed):
    people = {number: [person(seed + number + 1000 * p) for p in range(n)] for number, n in counts.items()}
    write(path, *(entry(number, keypoints) for number, found in people.items() for keypoints in found))
    view = read_view(path, COCO17)
    first = view.first_frame
    assert first == min(counts)
    assert len(view.pixels) == max(counts) - min(counts) + 1
    for frame, found in enumerate(view.pixels):
        expected = people.get(frame + first, [])
        np.testing.assert_array_equal(
            found[: len(expected)], [keypoints[:, :2] for keypoints in expected] or found[:0]
        )
        assert np.isnan(found[len(expected) :]).all()


def test_another_number_of_keypoints_is_refused(path):
    write(path, entry(0, person()))
    text = message(path, HALPE26)
    assert "entry 1: 51 numbers in `keypoints`, expected x, y, score of the 26 keypoints of halpe26" in text


def test_frame_numbers_far_beyond_the_number_of_entries_are_refused(path):
    write(path, entry(0, person()), entry(10**9, person()))
    assert "2 entries, but they count 1000000001 frames" in message(path)


def test_somebody_may_be_seen_only_twice_in_an_hour(path):
    write(path, entry(0, person()), entry(215_999, person()))
    assert len(read_view(path, COCO17).pixels) == 216_000


@pytest.mark.parametrize("image", [None, -1, 1.5, True, "", "frame.jpg", [1], "9" * 5000, "\ud800", "a\nb"])
def test_an_image_without_a_number_is_refused(path, image):
    write(path, entry(0, person()), entry(image, person()))
    assert "entry 2: no frame number in `image_id`" in message(path)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
def test_infinite_numbers_are_refused(path, number):
    keypoints = person().astype(float)
    keypoints[3, 1] = number
    write(path, entry(0, keypoints))
    assert "entry 1: holds an infinite number" in message(path)


@pytest.mark.parametrize(
    "content",
    ["5", "[5]", "null", '{"images": [], "annotations": []}', '[{"image_id": 1}]', '[{"keypoints": []}]']
    + [f'[{{"image_id": 1, "keypoints": {keypoints}}}]' for keypoints in ("5", "{}", '["a"]', "[[1], [1, 2]]")],
)
def test_another_structure_is_refused(path, content):
    path.write_text(content)
    message(path)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe\xfd", b"[" * 100_000, b"[1" + b"0" * 5000])
def test_a_file_that_is_no_json_is_refused(path, content):
    path.write_bytes(content)
    assert "not COCO keypoint results" in message(path)


@pytest.mark.parametrize("content", ["[]", "{}"])
def test_a_file_without_people_is_of_a_camera_that_saw_nobody(path, content):
    path.write_text(content)
    view = read_view(path, COCO17)
    assert view.pixels.shape == (0, 1, 17, 2)
    assert not view.lists_empty_frames


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)


def test_an_entry_without_keypoints_is_nobody(path):
    write(path, entry(0, person(1)), {"image_id": 1, "keypoints": []}, entry(2, person(2)))
    found = read_view(path, COCO17)
    assert np.isnan(found.pixels[1]).all()
    np.testing.assert_array_equal(found.pixels[[0, 2], 0], [person(1)[:, :2], person(2)[:, :2]])


@pytest.mark.parametrize(("people", "keypoints"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_the_other_forms_of_alphapose_are_read(path, people, keypoints):
    one, two = (np.random.default_rng(seed).uniform(0.1, 500, (18, 3)).astype(np.float32) for seed in (1, 2))
    found = {
        "000004.jpg": [one, two],
        "000005.jpg": [],
        "000006.jpg": [two],
    }
    content = {
        image: {"version": "AlphaPose v0.3", people: [{keypoints: one.ravel().tolist()} for one in persons]}
        for image, persons in found.items()
    }
    path.write_text(json.dumps(content))
    view = read_view(path, COCO18)
    assert view.first_frame == 4
    np.testing.assert_array_equal(view.pixels[0], [one[:, :2], two[:, :2]])
    assert np.isnan(view.pixels[1]).all()
    np.testing.assert_array_equal(view.pixels[2, 0], two[:, :2])

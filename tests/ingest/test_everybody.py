"""Everybody is followed: whose each detection is."""

import numpy as np
import pytest

from crowds import CAMERAS, FRAMES, LONG, beside, both_pass_unseen, mixed, one_hides_the_other, seen, seen_along
from trilift.geometry.cameras import Cameras
from trilift.ingest.people.everybody import follow_everybody
from trilift.ingest.people.hindsight import without_flicker
from trilift.skeletons import BODY25B

FPS = 30.0
NOBODY = np.full((FRAMES, 4, 25, 2), np.nan)


def followed(pixels, cameras=CAMERAS):
    return follow_everybody(cameras, pixels, BODY25B, FPS)


def whose(person, order):
    """Give who is in each group: {group: {person: detections}}; -1 is nobody."""
    return {
        group: dict(zip(*np.unique(order[person == group], return_counts=True), strict=True))
        for group in range(-1, person.max() + 1)
        if (person == group).any()
    }


def there(pixels):
    return np.isfinite(pixels).all((-1, -2))


def assert_told_apart(pixels, order, people, of_detections=1.0):
    """Every person has a group of their own, with (nearly) all detections of theirs and nobody else's."""
    person = np.where(there(pixels), followed(pixels), -2)
    assert person.max() + 1 == people
    groups = whose(person, order)
    owners = [max(groups[group], key=groups[group].get) for group in range(people)]
    assert sorted(owners) == list(range(people))
    for group, owner in enumerate(owners):
        assert groups[group][owner] == sum(groups[group].values())
        assert groups[group][owner] >= of_detections * (there(pixels) & (order == owner)).sum()


@pytest.mark.parametrize("seed", [1, 2])
def test_three_people_are_told_apart_in_whatever_order_they_are_listed(seed):
    people = seen((0, 0)), seen((0.8, 0.5), seed=2), seen((-0.7, 0.6), seed=3)
    pixels, order = mixed(*people, seed=seed)
    assert_told_apart(pixels, order, 3)


def test_the_order_of_the_list_changes_nothing():
    people = seen((0, 0)), seen((0.8, 0.5), seed=2)
    results = []
    for seed in (1, 2):
        pixels, order = mixed(*people, seed=seed)
        results.append(np.take_along_axis(followed(pixels), np.argsort(order, 2), 2))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("scene", [one_hides_the_other, both_pass_unseen])
@pytest.mark.parametrize("view", [0, 3])
def test_a_track_that_passes_to_another_person_does_not_take_the_group_along(scene, view):
    for seed in (0, 2):
        pixels, order = mixed(*scene(view, seed), seed=seed)
        assert_told_apart(pixels, order, 2, of_detections=0.99)


def test_a_poster_and_a_dummy_of_two_views_are_nobody():
    poster = NOBODY.copy()
    poster[:, 1] = seen((0, 0))[0, 1] + [200, 30]
    dummy = NOBODY.copy()
    dummy[:, 2:] = seen((0.9, -0.6), seed=4)[:, 2:]  # a place that two views agree on
    pixels, order = mixed(seen((0, 0)), poster, dummy)
    person = followed(pixels)
    assert whose(person, order)[0] == {0: FRAMES * 4}
    assert person.max() == 0


def test_two_views_that_agree_are_enough_where_there_are_no_more():
    pixels, order = mixed(seen((0, 0)), seen((0.8, 0.5), seed=2))
    cameras = Cameras(**{name: getattr(CAMERAS, name)[:2] for name in ("K", "distortion", "R", "t")})
    person = followed(pixels[:, :2], cameras)
    groups = whose(person, order[:, :2])
    assert [len(groups[group]) for group in (0, 1)] == [1, 1]


def test_people_are_numbered_by_their_first_appearance():
    late, early = seen((0.8, 0.5), seed=2), seen((0, 0))
    late[:20] = np.nan
    early[40:] = np.nan
    pixels, order = mixed(late, early)
    groups = whose(np.where(there(pixels), followed(pixels), -2), order)
    assert set(groups[0]) == {1}
    assert set(groups[1]) == {0}
    assert groups[1][0] >= 0.95 * 40 * 4


def test_who_is_seen_by_nobody_for_a_while_is_the_same_person_later():
    frames = 400
    one = seen_along(np.zeros((frames, 2)), 0)
    other = seen_along(np.tile([0.8, 0.5], (frames, 1)), 2)
    for gone in (slice(60, 90), slice(150, 300)):  # longer than somebody is expected where they went
        other[gone] = np.nan
    pixels, order = mixed(one, other)
    assert_told_apart(pixels, order, 2, of_detections=0.98)


def test_who_comes_with_other_bones_is_somebody_else():
    frames = 400
    first, second = (
        seen_along(np.tile([0.4 * sign, 0.3], (frames, 1)), 0, size=size) for sign, size in ((1, 1.0), (-1, 0.75))
    )
    first[150:] = np.nan
    second[:250] = np.nan
    always = seen_along(np.tile([-0.9, -0.5], (frames, 1)), 5)
    pixels, order = mixed(first, second, always)
    assert_told_apart(pixels, order, 3, of_detections=0.98)


def test_a_detection_of_one_view_that_lies_beside_its_person_is_nobodys():
    person = seen((0, 0))
    person[20:30, 2] += [300, 0]
    pixels, order = mixed(person, seen((0.8, 0.5), seed=2))
    found = followed(pixels)
    assert (found[20:30, 2][order[20:30, 2] == 0] == -1).all()
    assert (found[20:30, :2] >= 0).all()


def test_people_who_pass_each_other_in_plain_sight_are_told_apart():
    way = 0.012 * (np.arange(LONG) - 100)
    people = (
        seen_along(beside(1, sign * way, np.full(LONG, -0.3 * sign)), seed) for seed, sign in enumerate((1, -1))
    )
    pixels, order = mixed(*people)
    assert_told_apart(pixels, order, 2, of_detections=0.99)


def test_no_unit_is_assumed():
    pixels, _ = mixed(seen((0, 0)), seen((0.8, 0.5), seed=2))
    in_mm = Cameras(CAMERAS.K, CAMERAS.distortion, CAMERAS.R, 1000 * CAMERAS.t)
    np.testing.assert_array_equal(followed(pixels, in_mm), followed(pixels))


def test_where_nobody_is_seen_nobody_is_followed():
    assert (followed(np.full((20, 4, 2, 25, 2), np.nan)) == -1).all()


def test_a_detection_that_is_anothers_for_one_frame_of_its_track_is_nobodys():
    linked = np.repeat([[[0, 1]]], 7, 0)
    person = linked.copy()
    person[3, 0] = [1, -1]  # of two tracks the first is taken for the second person
    person[0, 0, 1] = 0  # where a track begins nobody knows
    expected = person.copy()
    expected[3, 0, 0] = -1
    np.testing.assert_array_equal(without_flicker(person, linked), expected)

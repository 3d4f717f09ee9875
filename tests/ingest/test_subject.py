import numpy as np
import pytest

from crowds import CAMERAS, FRAMES, LONG, beside, both_pass_unseen, mixed, one_hides_the_other, seen, seen_along
from trilift.ingest.people.subject import choose_subject


def scored(pixels, order, scores):
    return np.array(scores, float)[order] * np.isfinite(pixels).all(-1).any(-1)


def taken(choice, order):
    """Who was taken in each frame and view: the index of the person, -1 for nobody."""
    found = np.take_along_axis(order, choice.person.clip(0)[..., None], 2)[..., 0]
    return np.where(choice.person >= 0, found, -1)


@pytest.mark.parametrize("subject", [0, 1])
def test_of_two_people_the_one_with_the_higher_score_is_followed_everywhere(subject):
    pixels, order = mixed(seen((0, 0)), seen((0.8, 0.5), seed=2))
    choice = choose_subject(CAMERAS, pixels, scored(pixels, order, [1.0 + (subject == 0), 1.0 + (subject == 1)]))
    assert (taken(choice, order) == subject).all()
    assert choice.unmatched == []


def test_scores_that_differ_between_views_do_not_mix_people():
    pixels, order = mixed(seen((0, 0)), seen((0.8, 0.5), seed=2))
    score = scored(pixels, order, [1.0, 1.2])
    score[:, 0] = scored(pixels, order, [3.0, 1.0])[:, 0]  # nearer to this camera
    assert (taken(choose_subject(CAMERAS, pixels, score), order) == 0).all()


def test_a_dummy_of_one_view_is_not_taken_where_it_scores_higher_for_a_while():
    person, dummy = seen((0, 0)), np.full((FRAMES, 4, 25, 2), np.nan)
    dummy[:, 1] = person[0, 1] + [200, 30]
    pixels, order = mixed(person, dummy)
    score = scored(pixels, order, [1.0, 0.5])
    score[20:25] = scored(pixels, order, [0.5, 3.0])[20:25]
    assert (taken(choose_subject(CAMERAS, pixels, score), order) == 0).all()


def test_a_dummy_of_one_view_is_not_taken_though_its_score_is_higher_in_all_frames():
    person, dummy = seen((0, 0)), np.full((FRAMES, 4, 25, 2), np.nan)
    dummy[:, 1] = person[0, 1] + [200, 30]
    pixels, order = mixed(person, dummy)
    assert (taken(choose_subject(CAMERAS, pixels, scored(pixels, order, [1.0, 1.5])), order) == 0).all()


def test_where_the_subject_is_not_seen_nobody_else_is_taken():
    person, other = seen((0, 0)), seen((0.8, 0.5), seed=2)
    person[30:40, 2] = np.nan
    pixels, order = mixed(person, other)
    found = taken(choose_subject(CAMERAS, pixels, scored(pixels, order, [2.0, 1.0])), order)
    assert (found[30:40, 2] == -1).all()
    found[30:40, 2] = 0
    assert (found == 0).all()


def test_a_person_who_leaves_and_comes_back_is_the_same_person():
    person, other = seen((0, 0)), seen((0.8, 0.5), seed=2)
    person[20:50, 2] = np.nan  # longer than a track lasts, but the other views go on
    pixels, order = mixed(person, other)
    found = taken(choose_subject(CAMERAS, pixels, scored(pixels, order, [2.0, 1.0])), order)
    assert (found[50:, 2] == 0).all()


def test_a_view_that_agrees_with_nobody_keeps_its_best_track_and_is_named():
    person, other = seen((0, 0)), seen((0.8, 0.5), seed=2)
    person[:, 3] += [0, 400]
    other[:, 3] += [0, 400]
    pixels, order = mixed(person, other)
    choice = choose_subject(CAMERAS, pixels, scored(pixels, order, [2.0, 1.0]))
    assert choice.unmatched == [3]
    assert (taken(choice, order) == 0).all()


def test_one_person_is_taken_wherever_they_stand_in_the_list():
    pixels, order = mixed(seen((0, 0)), np.full((FRAMES, 4, 25, 2), np.nan))
    assert (taken(choose_subject(CAMERAS, pixels, scored(pixels, order, [1.0, 0.0])), order) == 0).all()


def test_a_view_without_anybody_has_no_choice():
    person = seen((0, 0))
    person[:, 1] = np.nan
    choice = choose_subject(CAMERAS, person[:, :, None], np.isfinite(person[..., 0]).sum(-1, dtype=float)[:, :, None])
    assert (choice.person[:, 1] == -1).all()
    assert (choice.person[:, [0, 2, 3]] == 0).all()


# Tracks that pass from one person to another.


@pytest.mark.parametrize("scene", [one_hides_the_other, both_pass_unseen])
@pytest.mark.parametrize("subject", [0, 1])
@pytest.mark.parametrize("view", [0, 3])
def test_a_track_that_passes_to_another_person_is_cut_and_the_right_one_taken(scene, subject, view):
    for seed in (0, 2):
        pixels, order = mixed(*scene(view, seed), seed=seed)
        choice = choose_subject(CAMERAS, pixels, scored(pixels, order, [1.0 + (subject == 0), 1.0 + (subject == 1)]))
        found = taken(choice, order)
        assert (np.delete(found, view, 1) == subject).all()
        wrong = np.flatnonzero(found[:, view] == 1 - subject)
        assert len(wrong) <= 2
        there = (np.isfinite(pixels).all((-1, -2)) & (order == subject))[:, view].any(1)
        assert (found[there, view] == subject).mean() > 0.98
        assert {jumped for jumped, _ in choice.jumps} == {view}
        assert all(abs(frame - 100) <= 5 for _, frame in choice.jumps)


def test_people_who_pass_each_other_in_plain_sight_are_not_cut():
    way = 0.012 * (np.arange(LONG) - 100)
    people = (
        seen_along(beside(1, sign * way, np.full(LONG, -0.6 * sign)), seed) for seed, sign in enumerate((1, -1))
    )
    pixels, order = mixed(*people)
    choice = choose_subject(CAMERAS, pixels, scored(pixels, order, [2.0, 1.0]))
    assert choice.jumps == []
    assert (taken(choice, order) == 0).all()

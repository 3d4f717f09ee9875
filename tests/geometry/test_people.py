import numpy as np
import pytest
import torch

from synthetic import as_tensors, ring_of_cameras, waving_person
from trilift.geometry.cameras import project
from trilift.geometry.people import choose_subject

FRAMES = 60
CAMERAS = as_tensors(ring_of_cameras(4))


def seen(offset, frames=FRAMES, noise=4.0, seed=0):
    """A person who stands `offset` metres from the middle: (frame, view, keypoint, 2)."""
    joints = waving_person(frames) + np.array([*offset, 0])
    pixels = project(CAMERAS, torch.as_tensor(joints)).numpy()
    return pixels + np.random.default_rng(seed).normal(scale=noise, size=pixels.shape)


def mixed(*people, seed=1):
    """Detections whose order of people changes from frame to frame and view to view, and who each one is."""
    stacked = np.stack(people, 2)
    order = np.random.default_rng(seed).permuted(
        np.broadcast_to(np.arange(len(people)), (*stacked.shape[:2], len(people))), axis=2
    )
    return np.take_along_axis(stacked, order[..., None, None], 2), order


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

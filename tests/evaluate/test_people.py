"""Several people: parts, poses and tracks, against cases computed by hand and the definitions as loops."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from trilift.evaluate.people import (
    SHELF_JOINTS,
    SHELF_PARTS,
    correct_parts,
    detection_measures,
    mean_distance,
    pcp,
    tracking_measures,
)

Array = NDArray[np.float64]


def standing(*at: float) -> Array:
    """Somebody in Shelf's joints, whose every part is 0.4 m long but the torso of 0.6 m: (person, joint, 3)."""
    x = {"right": -0.2, "left": 0.2}
    z = {"ankle": 0.0, "knee": 0.4, "hip": 0.8, "wrist": 0.4, "elbow": 0.8, "shoulder": 1.2}
    joints = [
        (0.0, 0.0, {"neck": 1.4, "head_top": 1.8}[name]) if name in ("neck", "head_top") else
        (x[name.split("_")[0]], 0.0, z[name.split("_")[1]])
        for name in SHELF_JOINTS
    ]  # fmt: skip
    return np.array(joints) + np.array(at)[:, None, None] * [1, 0, 0]


def test_the_mean_distance_is_over_the_joints_that_both_have() -> None:
    reference = standing(0, 3)[None]
    predicted = standing(3, 0)[None] + [0, 0.1, 0]
    predicted[0, 0, :3] = np.nan
    distance = mean_distance(predicted, reference)
    np.testing.assert_allclose(np.diagonal(distance[0, :, ::-1]), 0.1)
    np.testing.assert_allclose(distance[0, 0, 0], np.hypot(3, 0.1))


def test_who_is_not_there_and_a_stray_limb_are_nobody() -> None:
    reference = standing(0, 3)[None]
    reference[0, 1] = np.nan
    predicted = standing(0, 0, 0)[None]
    predicted[0, 0, 6:] = np.nan  # 6 of 14 joints
    predicted[0, 2] = np.nan
    distance = mean_distance(predicted, reference)
    assert distance[0].tolist() == [[np.inf, np.inf], [0, np.inf], [np.inf, np.inf]]


def part(name: str) -> int:
    return list(SHELF_PARTS).index(name)


@pytest.mark.parametrize(("moved", "correct", "strict"), [(0.39, 1, 0), (0.41, 0, 0), (0.19, 1, 1)])
def test_a_part_is_correct_by_the_mean_distance_of_its_ends(moved: float, correct: int, strict: int) -> None:
    """The wrist alone is off: the lower arm is 0.4 m long, so that 0.2 m are allowed in the mean of both ends."""
    reference = standing(0)[None]
    predicted = reference.copy()
    predicted[0, 0, SHELF_JOINTS.index("left_wrist"), 1] += moved
    for rule, expected in ((False, correct), (True, strict)):
        found = correct_parts(predicted, reference, strict=rule)
        assert found.shape == (1, 1, 10)
        assert found[0, 0, part("left_lower_arm")] == expected
        assert found.sum() == 9 + expected


def test_the_torso_reaches_from_between_the_hips_to_the_neck() -> None:
    reference = standing(0)[None]
    predicted = reference.copy()
    # In opposite directions: between the hips nothing moves, and both upper legs are wrong.
    predicted[0, 0, SHELF_JOINTS.index("left_hip"), 1] += 0.5
    predicted[0, 0, SHELF_JOINTS.index("right_hip"), 1] -= 0.5
    found = correct_parts(predicted, reference)[0, 0]
    assert found[part("torso")] == 1
    assert np.flatnonzero(found == 0).tolist() == [part("right_upper_leg"), part("left_upper_leg")]


def test_what_is_missing_in_a_prediction_is_wrong_and_in_the_reference_unknown() -> None:
    reference = np.concatenate([standing(0, 3)[None]] * 3)
    predicted = reference[:, :1].copy()
    predicted[0, 0, SHELF_JOINTS.index("head_top")] = np.nan
    predicted[1] = np.nan  # nobody
    reference[:, 1] = np.nan
    reference[2, 0, SHELF_JOINTS.index("left_ankle")] = np.nan
    found = correct_parts(predicted, reference)
    assert np.isnan(found[:, 1]).all()
    assert found[0, 0].sum() == 9
    assert found[1, 0].tolist() == [0] * 10
    assert np.isnan(found[2, 0]).sum() == 1
    mean, of_actors = pcp(found)
    assert mean == of_actors[0] == pytest.approx(100 * 18 / 29)
    assert np.isnan(of_actors[1])
    assert correct_parts(predicted[:, :0], reference)[0, 0].tolist() == [0] * 10


def test_each_actor_is_compared_with_the_nearest_whoever_else_that_is_nearest_to() -> None:
    reference = standing(0, 0.1)[None]
    assert correct_parts(standing(0.05)[None], reference).tolist() == np.ones((1, 2, 10)).tolist()


def test_parts_are_those_of_the_definition_written_out() -> None:
    rng = np.random.default_rng(1)
    reference = standing(0, 1, 2)[None] + rng.normal(0, 0.05, (20, 3, 14, 3))
    predicted = reference[:, rng.permutation(3)] + rng.normal(0, 0.12, (20, 3, 14, 3))
    index = {name: number for number, name in enumerate(SHELF_JOINTS)}
    for strict in (False, True):
        found = correct_parts(predicted, reference, alpha=0.4, strict=strict)
        for frame, actor in np.ndindex(20, 3):
            true = reference[frame, actor]
            by_distance = [np.mean([np.linalg.norm(a - b) for a, b in zip(p, true, strict=True)]) for p in
                           predicted[frame]]  # fmt: skip
            pose = predicted[frame, int(np.argmin(by_distance))]
            for number, ends in enumerate(SHELF_PARTS.values()):
                a, b = (np.mean([true[index[name]] for name in end], 0) for end in ends)
                of_a, of_b = (np.mean([pose[index[name]] for name in end], 0) for end in ends)
                errors, allowed = (np.linalg.norm(of_a - a), np.linalg.norm(of_b - b)), 0.4 * np.linalg.norm(a - b)
                expected = max(errors) <= allowed if strict else sum(errors) / 2 <= allowed
                assert found[frame, actor, number] == expected
    assert 0.2 < found.mean() < 0.98


def test_detections_by_hand() -> None:
    """Frame 0: two people, found 20 and 60 mm off, and the first once more. Frame 1: one is missed, 0.4 m off."""
    distance = np.array([[[0.02, 9], [0.03, 9], [9, 0.06]], [[0.4, 9], [9, 9], [9, 9]]])
    there = np.array([[True, True, True], [True, False, False]])
    people = np.array([[True, True], [True, False]])
    score = np.array([[0.9, 0.8, 0.7], [0.6, 0, 0]])
    found = detection_measures(distance, there, people, score, ap_within=(0.025, 0.1))
    # Precision over recall: 1 at 1/3, then 1/2, and 2/3 at 2/3.
    assert found["ap_25mm_percent"] == pytest.approx(100 / 3)
    assert found["ap_100mm_percent"] == pytest.approx(100 * (1 / 3 + 1 / 3 * 2 / 3))
    assert found["recall_500mm_percent"] == pytest.approx(100)
    assert found["precision_500mm_percent"] == pytest.approx(75)
    assert found["mpjpe_500mm_mm"] == pytest.approx(160)  # of 20, 60 and 400
    unsure = detection_measures(distance, there, people, ap_within=(0.1,))
    assert unsure["ap_100mm_percent"] == pytest.approx(100 * 2 / 3 * 2 / 4)


def test_detections_are_those_of_the_definition_written_out() -> None:
    rng = np.random.default_rng(1)
    distance = rng.random((50, 4, 3)) * 0.3
    there, people, score = rng.random((50, 4)) < 0.7, rng.random((50, 3)) < 0.7, rng.random((50, 4))
    found = detection_measures(distance, there, people, score, ap_within=(0.1,), recall_within=0.2)
    predictions = []
    for frame, person in zip(*np.nonzero(there), strict=True):
        which = [(distance[frame, person, one], (frame, one)) for one in np.flatnonzero(people[frame])]
        predictions.append((score[frame, person], *min(which, default=(np.inf, None))))
    predictions.sort(key=lambda one: -one[0])
    for within in (0.1, 0.2):
        taken: dict[object, float] = {}
        curve = []
        for number, (_, error, target) in enumerate(predictions, 1):
            if error < within and target not in taken:
                taken[target] = error
            curve.append((len(taken) / people.sum(), len(taken) / number))
        if within == 0.1:
            recalls = sorted({recall for recall, _ in curve} | {0.0})
            steps = pairwise(recalls)
            area = sum((b - a) * max(precision for recall, precision in curve if recall >= b) for a, b in steps)
            assert found["ap_100mm_percent"] == pytest.approx(100 * area)
    assert found["recall_200mm_percent"] == pytest.approx(100 * len(taken) / people.sum())
    assert found["precision_200mm_percent"] == pytest.approx(100 * len(taken) / there.sum())
    assert found["mpjpe_200mm_mm"] == pytest.approx(1000 * np.mean(list(taken.values())))


def test_nobody_predicted_and_nobody_there() -> None:
    nobody, somebody = np.zeros((3, 0), bool), np.ones((3, 2), bool)
    found = detection_measures(np.empty((3, 0, 2)), nobody, somebody)
    assert found["recall_500mm_percent"] == found["ap_25mm_percent"] == 0
    assert np.isnan(found["mpjpe_500mm_mm"])
    found = detection_measures(np.empty((3, 2, 0)), somebody, nobody)
    assert found["precision_500mm_percent"] == 0
    assert np.isnan(found["recall_500mm_percent"])
    assert tracking_measures(np.empty((3, 0, 2)), nobody, somebody)["missed"] == 6
    assert tracking_measures(np.empty((3, 2, 0)), somebody, nobody)["false"] == 6


def exactly(track: list[list[int]], tracks: int) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Known matches: the track of each person in each frame, -1 where there is none."""
    match = np.array(track)[:, None] == np.arange(tracks)[:, None]
    return np.where(match, 0.0, np.inf), match.any(2), np.ones((len(track), len(track[0])), bool)


def test_tracks_by_hand() -> None:
    """Exchanged after two of six frames, one of them lost for the frame before."""
    measured = tracking_measures(*exactly([[0, 1], [0, -1], [1, 0], [1, 0], [1, 0], [1, 0]], 2))
    assert (measured["missed"], measured["false"], measured["identity_switches"]) == (1, 0, 2)
    assert measured["mota_percent"] == pytest.approx(100 * (1 - 3 / 12))
    assert measured["idf1_percent"] == pytest.approx(100 * 2 * 8 / (12 + 11))


def test_a_person_who_comes_back_as_another_track_is_a_switch_and_as_the_same_none() -> None:
    assert tracking_measures(*exactly([[0], [-1], [-1], [1]], 2))["identity_switches"] == 1
    assert tracking_measures(*exactly([[0], [-1], [-1], [0]], 2))["identity_switches"] == 0


def test_a_match_is_kept_while_it_is_near_enough_even_if_another_is_nearer() -> None:
    distance = np.full((2, 2, 2), 0.1)
    distance[0, 0, 1] = distance[0, 1, 0] = 0.4
    distance[1] = [[0.3, 0.1], [0.1, 0.3]]
    there = np.ones((2, 2), bool)
    assert tracking_measures(distance, there, there)["identity_switches"] == 0
    assert tracking_measures(distance, there, there, within=0.2)["identity_switches"] == 2


def test_the_best_tracks_are_the_best_of_all_permutations() -> None:
    rng = np.random.default_rng(1)
    distance = rng.random((30, 4, 4))
    there, people = rng.random((30, 4)) < 0.8, rng.random((30, 4)) < 0.8
    near = (distance <= 0.5) & there[:, :, None] & people[:, None]
    most = max(sum(near[:, track, person].sum() for person, track in enumerate(order)) for order in
               permutations(range(4)))  # fmt: skip
    measured = tracking_measures(distance, there, people)
    assert measured["idf1_percent"] == pytest.approx(100 * 2 * most / (there.sum() + people.sum()))


def test_tracks_are_measured_as_by_py_motmetrics() -> None:
    """Of people who walk at random, and tracks of which some follow the same person; py-motmetrics 1.4.0."""
    rng = np.random.default_rng(7)
    people = rng.normal(0, 0.3, (60, 3, 2)).cumsum(0)
    tracks = people[:, [0, 1, 2, 1]] + rng.normal(0, 0.3, (60, 4, 2))
    distance = np.linalg.norm(tracks[:, :, None] - people[:, None], axis=-1)
    measured = tracking_measures(distance, rng.random((60, 4)) < 0.8, rng.random((60, 3)) < 0.8)
    assert measured == {
        "mota_percent": pytest.approx(-9.558823529),
        "idf1_percent": pytest.approx(50.154798762),
        "identity_switches": 14,
        "missed": 42,
        "false": 93,
    }

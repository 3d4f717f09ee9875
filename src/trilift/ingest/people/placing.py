"""Where people are in space, and how far detections lie from there, as compiled loops.

A person is placed by rays: the equations of the DLT in undistorted coordinates, weighted so that their errors are
those of the image, and so that a wrong detection does not pull. What was known before counts as a part of a view.
All lengths are relative to a person's own, so that no unit is assumed.
"""

import numpy as np

from trilift.geometry.kernels_of_views import compiled
from trilift.geometry.tracks import FEWEST_COMMON

PRIOR = 0.25  # how much of a view a person's expected place counts for
_TOLERANCE = 0.05  # of a person's length: detections that miss by more count less
_SLOWING = 0.95  # of speed, in every frame in which nobody sees the person
_INERTIA = 0.8  # of speed, in every other frame
_SAME_TRACK = 0.03  # how much nearer a detection counts whose track belonged to the person before
_PARTIAL = 0.05  # at most so much farther away a detection counts that has few keypoints
_ROUNDS = 3


@compiled
def place(rays, R, t, left_out, expected, certainty, length, points, views):
    """Place the keypoints of a person in one frame.

    Parameters
    ----------
    rays
        (view, keypoint, 2): detections, undistorted, at depth 1; NaN is missing.
    R, t
        (view, 3, 3), (view, 3): the cameras.
    left_out
        A view that does not count; -1 for none.
    expected, certainty
        (keypoint, 3) and (keypoint,): where keypoints are thought to be, and by how much of a view; 0 for nowhere.
    length
        Of the person, from head to foot; infinite where it is not known, so that all detections count alike.
    points, views
        (keypoint, 3), (keypoint,): written. NaN where fewer than two views and expectations tell.
    """
    for k in range(rays.shape[1]):
        known = certainty[k] > 0
        x, y, z = expected[k, 0], expected[k, 1], expected[k, 2]
        count = 0
        for turn in range(_ROUNDS):
            weighted = known or turn > 0
            a00 = a01 = a02 = a11 = a12 = a22 = b0 = b1 = b2 = 0.0
            count, nearness = 0, 0.0
            for v in range(rays.shape[0]):
                depth = R[v, 2, 0] * x + R[v, 2, 1] * y + R[v, 2, 2] * z + t[v, 2] if weighted else 1.0
                if weighted and depth > 0:
                    nearness += 1 / depth**2
                u, w = rays[v, k, 0], rays[v, k, 1]
                if v == left_out or np.isnan(u) or not depth > 0:
                    continue
                count += 1
                weight = 1.0
                if weighted:
                    over_x = R[v, 0, 0] * x + R[v, 0, 1] * y + R[v, 0, 2] * z + t[v, 0] - u * depth
                    over_y = R[v, 1, 0] * x + R[v, 1, 1] * y + R[v, 1, 2] * z + t[v, 1] - w * depth
                    missed = (over_x**2 + over_y**2) / (_TOLERANCE * length) ** 2
                    weight = 1 / (depth**2 * (1 + missed))
                for row in range(2):
                    at = u if row == 0 else w
                    p = at * R[v, 2, 0] - R[v, row, 0]
                    q = at * R[v, 2, 1] - R[v, row, 1]
                    s = at * R[v, 2, 2] - R[v, row, 2]
                    right = t[v, row] - at * t[v, 2]
                    a00 += weight * p * p
                    a01 += weight * p * q
                    a02 += weight * p * s
                    a11 += weight * q * q
                    a12 += weight * q * s
                    a22 += weight * s * s
                    b0 += weight * p * right
                    b1 += weight * q * right
                    b2 += weight * s * right
            if known:
                prior = certainty[k] * nearness / rays.shape[0]
                a00 += prior
                a11 += prior
                a22 += prior
                b0 += prior * expected[k, 0]
                b1 += prior * expected[k, 1]
                b2 += prior * expected[k, 2]
            if count < 2 and not known:
                break
            c00, c01, c02 = a11 * a22 - a12 * a12, a02 * a12 - a01 * a22, a01 * a12 - a02 * a11
            c11, c12, c22 = a00 * a22 - a02 * a02, a01 * a02 - a00 * a12, a00 * a11 - a01 * a01
            determinant = a00 * c00 + a01 * c01 + a02 * c02
            if not determinant > 0:
                count = 0
                break
            x = (c00 * b0 + c01 * b1 + c02 * b2) / determinant
            y = (c01 * b0 + c11 * b1 + c12 * b2) / determinant
            z = (c02 * b0 + c12 * b1 + c22 * b2) / determinant
        if count < 2 and not known:
            x = y = z = np.nan
        points[k, 0], points[k, 1], points[k, 2] = x, y, z
        views[k] = count


@compiled
def place_all(rays, slot, R, t, lengths, points, views):
    """Place people in all frames, each by itself.

    Parameters
    ----------
    rays
        (frame, view, detection, keypoint, 2).
    slot
        (frame, person, view): which detection is the person's; -1 for none.
    R, t, lengths
        As for `place`; the last (person,).
    points, views
        (frame, person, keypoint, 3), (frame, person, keypoint): written.
    """
    keypoints = rays.shape[3]
    own = np.empty((rays.shape[1], keypoints, 2))
    nowhere, certainty = np.zeros((keypoints, 3)), np.zeros(keypoints)
    for f in range(slot.shape[0]):
        for g in range(slot.shape[1]):
            _take(rays[f], slot[f, g], own)
            place(own, R, t, -1, nowhere, certainty, lengths[g], points[f, g], views[f, g])


@compiled
def _take(rays, slot, own):
    for v in range(own.shape[0]):
        if slot[v] < 0:
            own[v] = np.nan
        else:
            own[v] = rays[v, slot[v]]


@compiled
def _distance(rays, points, R, t, length, differences):
    """Give how far a detection of a view lies from a person: the lower median over keypoints, over the length.

    A part of a body counts as farther away: few keypoints are near by chance.
    """
    number = 0
    for k in range(len(points)):
        if np.isnan(rays[k, 0]) or np.isnan(points[k, 0]):
            continue
        x, y, z = points[k]
        depth = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z + t[2]
        if not depth > 0:
            continue
        aside = R[0, 0] * x + R[0, 1] * y + R[0, 2] * z + t[0] - rays[k, 0] * depth
        above = R[1, 0] * x + R[1, 1] * y + R[1, 2] * z + t[1] - rays[k, 1] * depth
        differences[number] = np.sqrt(aside * aside + above * above)
        number += 1
    if number < FEWEST_COMMON:
        return np.inf
    differences[:number].sort()
    return differences[(number - 1) // 2] / length + _PARTIAL * (1 - number / len(points))


@compiled
def distances(rays, slot, R, t, lengths, expected, certainty, cost):
    """Tell how far each detection lies from each person, as the other views and frames place the person.

    Parameters
    ----------
    rays, slot, R, t, lengths
        As for `place_all`.
    expected, certainty
        (frame, person, keypoint, 3), (frame, person, keypoint): by the frames around.
    cost
        (frame, view, detection, person): written, over the length of the person; infinite where nothing tells.
    """
    frames, views, detections, keypoints, _ = rays.shape
    own, points = np.empty((views, keypoints, 2)), np.empty((keypoints, 3))
    differences, count = np.empty(keypoints), np.empty(keypoints, np.int64)
    for f in range(frames):
        for g in range(slot.shape[1]):
            _take(rays[f], slot[f, g], own)
            for v in range(views):
                place(own, R, t, v, expected[f, g], certainty[f, g], lengths[g], points, count)
                for d in range(detections):
                    cost[f, v, d, g] = _distance(rays[f, v, d], points, R[v], t[v], lengths[g], differences)


@compiled
def follow(rays, linked, R, t, gate, first, pose, speed, unseen, lengths, last_track, last_seen, person):
    """Follow people through frames: where each is thought to be, which detections are nearest, where these place it.

    Parameters
    ----------
    rays
        (frame, view, detection, keypoint, 2).
    linked
        (frame, view, detection): tracks within the views; -1 where there is no detection.
    R, t
        As for `place`.
    gate
        Detections that lie farther, over the length of a person, are not this person's.
    first
        Number of the first frame.
    pose, speed, unseen, lengths, last_track, last_seen
        The people, brought up to date: (person, keypoint, 3), NaN where never seen; (person, 3) per frame; (person,
        keypoint) frames since two views saw it; (person,); (person, view) its last track; (person,) the last frame in
        which two views saw it.
    person
        (frame, view, detection): written, -1 for nobody.
    """
    frames, views, detections, keypoints, _ = rays.shape
    people = len(pose)
    own, points = np.empty((people, views, keypoints, 2)), np.empty((keypoints, 3))
    differences, count, certainty = np.empty(keypoints), np.empty(keypoints, np.int64), np.empty(keypoints)
    cost = np.empty((detections, people))
    for f in range(frames):
        own[:] = np.nan
        person[f] = -1
        for g in range(people):
            for k in range(keypoints):
                pose[g, k] += speed[g]
        for v in range(views):
            for d in range(detections):
                for g in range(people):
                    cost[d, g] = np.inf
                    if linked[f, v, d] >= 0:
                        cost[d, g] = _distance(rays[f, v, d], pose[g], R[v], t[v], lengths[g], differences)
                        if linked[f, v, d] == last_track[g, v]:
                            cost[d, g] -= _SAME_TRACK
            for _ in range(min(detections, people)):  # the nearest, then the next of the others
                nearest = np.argmin(cost)
                d, g = nearest // people, nearest % people
                if not cost[d, g] < gate:
                    break
                person[f, v, d] = g
                own[g, v] = rays[f, v, d]
                last_track[g, v] = linked[f, v, d]
                cost[d, :] = np.inf
                cost[:, g] = np.inf
        for g in range(people):
            for k in range(keypoints):
                certainty[k] = 0.0 if np.isnan(pose[g, k, 0]) else PRIOR / (1 + unseen[g, k] ** 2 / 4)
            place(own[g], R, t, -1, pose[g], certainty, lengths[g], points, count)
            moved, number = np.zeros(3), 0
            for k in range(keypoints):
                if count[k] >= 2:
                    if certainty[k] > 0:
                        moved += points[k] - pose[g, k]
                        number += 1
                    unseen[g, k] = 0
                else:
                    unseen[g, k] += 1
                if count[k] >= 1 and not np.isnan(points[k, 0]):
                    pose[g, k] = points[k]
            if number >= FEWEST_COMMON:
                speed[g] += (1 - _INERTIA) * moved / number
                last_seen[g] = first + f
            else:
                speed[g] *= _SLOWING

"""One person of those who are seen: the one whose tracks add up to the highest score.

Detections of one view that lie close together in successive frames form a track. Tracks of different views belong to
one person where their keypoints keep to each other's epipolar lines. The person whose tracks add up to the highest
score is the subject. A second person, a poster or a dummy is thereby left out as a whole, and not frame by frame.

Where two people cross in a view, a track may pass from one to the other. It then keeps to the lines of one person
before, and of another one after: there it is cut.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from trilift.geometry.cameras import Cameras
from trilift.geometry.tracks import are_there, link_views, sizes
from trilift.ingest.people.grouping import Votes, group_tracks, overlaps, votes_of

Array = np.ndarray

_FRAMES_TO_JUDGE = 48  # how far to either side of a cut agreement is looked at
_VOTES_TO_CUT = 14.0  # full votes that have to turn


@dataclass(frozen=True)
class Choice:
    """Who is the subject.

    Attributes
    ----------
    person
        (frame, view): index on the axis of people, -1 where the subject is not seen.
    unmatched
        Views in which nobody keeps to the epipolar lines of the subject in the others. There the track with the
        highest score is taken.
    jumps
        View and frame where a track passes between the subject and somebody else, in order.
    """

    person: Array
    unmatched: list[int]
    jumps: list[tuple[int, int]]


def choose_subject(cameras: Cameras, pixels: Array, score: Array) -> Choice:
    """Choose one person of those who are seen.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, person, keypoint, 2), as detected; NaN is missing. The order of people means nothing.
    score
        (frame, view, person): how much speaks for a detection; 0 where there is none.
    """
    views = score.shape[1]
    exists = are_there(pixels)
    if not (exists.sum(2) > 1).any():
        return Choice(np.where(exists.any(2), exists.argmax(2), -1), [], [])
    size = sizes(pixels)
    linked = link_views(pixels, size, exists)
    votes = votes_of(cameras, pixels, size)
    track = _cut(linked, votes)
    number = track.max() + 1
    view_of = np.zeros(number, int)
    view_of[track[exists]] = np.nonzero(exists)[1]
    total = np.bincount(track[exists], score[exists], number)
    pairs, agreement = votes.of_tracks(track)
    group = group_tracks(number, overlaps(track, number), pairs, agreement)
    subject = np.bincount(group, total).argmax()
    members = group == subject
    unmatched = [view for view in range(views) if exists[:, view].any() and not members[view_of == view].any()]
    for view in unmatched:
        best = np.where(view_of == view, total, -1).argmax()
        members[np.unique(track[linked == linked[track == best][0]])] = True
    chosen = members[track] & exists
    return Choice(np.where(chosen.any(2), chosen.argmax(2), -1), unmatched, _jumps(linked, track, members))


def _cut(track: Array, votes: Votes) -> Array:
    """Cut tracks (frame, view, person) where they pass from one person to another.

    There the votes between a track and others turn from for to against, or from against to for: with a jump in one
    view, between it and all other views at once. So the track is cut for which most votes turn, and the others are
    looked at again.
    """
    track = track.copy()
    frames, views, people = track.shape
    while True:
        turned = _votes_that_turn(track, votes).reshape(frames, views * people)
        most = turned.max(1)
        at = np.flatnonzero((most >= _VOTES_TO_CUT) & (most == maximum_filter1d(most, 2 * _FRAMES_TO_JUDGE + 1)))
        if not len(at):
            return track
        for frame in at[np.diff(at, prepend=-_FRAMES_TO_JUDGE) >= _FRAMES_TO_JUDGE]:
            view, person = divmod(int(turned[frame].argmax()), people)
            later = track[frame:, view]
            later[later == later[0, person]] = track.max() + 1


def _votes_that_turn(track: Array, votes: Votes) -> Array:
    """Sum up for each detection (frame x view x person) the votes for its track that turn before it."""
    number, span = track.max() + 1, len(track) + _FRAMES_TO_JUDGE
    pair = track.flat[votes.one] * number + track.flat[votes.other]
    order = np.lexsort((votes.frame, pair))
    one, other, frame = votes.one[order], votes.other[order], votes.frame[order]
    start = np.unique(pair[order], return_inverse=True)[1] * span
    key = start + frame
    sums = np.concatenate([[0.0], votes.vote[order].cumsum()])
    first = np.searchsorted(key, start + np.maximum(frame - _FRAMES_TO_JUDGE, 0))
    last = np.searchsorted(key, key + _FRAMES_TO_JUDGE)
    here = np.arange(len(key))
    before, after = sums[here] - sums[first], sums[last] - sums[here]
    turned = np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0.0)
    return np.bincount(one, turned, track.size) + np.bincount(other, turned, track.size)


def _jumps(linked: Array, track: Array, members: Array) -> list[tuple[int, int]]:
    """Tell where a track goes on as it was linked, but from the subject to somebody else, or back."""
    found = set()
    for number in np.unique(linked[linked != track]):
        frame, view, person = np.nonzero(linked == number)
        is_subject = members[track[frame, view, person]]
        found |= {(int(view[0]), int(frame[turn])) for turn in np.flatnonzero(np.diff(is_subject)) + 1}
    return sorted(found)

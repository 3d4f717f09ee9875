"""Who is who where several people are seen: followed over time within a view, and matched between views.

Detections of one view that lie close together in successive frames form a track. Tracks of different views belong to
one person where their keypoints keep to each other's epipolar lines. The person whose tracks add up to the highest
score is the subject. A second person, a poster or a dummy is thereby left out as a whole, and not frame by frame.

Where two people cross in a view, a track may pass from one to the other. It then keeps to the lines of one person
before, and of another one after: there it is cut.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.epipolar import essential, lower_median

Array = np.ndarray

_LONGEST_GAP = 8  # frames that a track may miss
_STEP = 0.3  # how far a person moves from frame to frame, in units of its size in the image
_AGREEMENT = 0.08  # median distance from the epipolar line that two people reach by chance, in the same units
_TIMES_NEAREST = 2.5  # two views whose nearest people agree better can tell people apart that are so much farther
_LEAST_AGREEMENT = 0.02
_FEWEST_COMMON = 4  # keypoints that two detections must share to be compared
_FRAMES_PER_BLOCK = 512
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
    frames, views, people = score.shape
    exists = np.isfinite(pixels).all(-1).any(-1)
    if not (exists.sum(2) > 1).any():
        return Choice(np.where(exists.any(2), exists.argmax(2), -1), [], [])
    size = np.maximum(np.linalg.norm(box_sides(pixels), axis=-1), 1.0)  # diagonals, in pixels
    linked = np.full((frames, views, people), -1)
    for view in range(views):
        own = _link(pixels[:, view], size[:, view], exists[:, view])
        linked[:, view] = np.where(exists[:, view], own + linked.max() + 1, -1)
    votes = _votes(cameras, pixels, size)
    track = _cut(linked, votes)
    number = track.max() + 1
    view_of = np.zeros(number, int)
    view_of[track[exists]] = np.nonzero(exists)[1]
    total = np.bincount(track[exists], score[exists], number)
    pairs, agreement = votes.of_tracks(track)
    group = _group(number, _overlaps(track, number), pairs, agreement)
    subject = np.bincount(group, total).argmax()
    members = group == subject
    unmatched = [view for view in range(views) if exists[:, view].any() and not members[view_of == view].any()]
    for view in unmatched:
        best = np.where(view_of == view, total, -1).argmax()
        members[np.unique(track[linked == linked[track == best][0]])] = True
    chosen = members[track] & exists
    return Choice(np.where(chosen.any(2), chosen.argmax(2), -1), unmatched, _jumps(linked, track, members))


def choose_prominent(pixels: Array, score: Array) -> Array:
    """Choose the most prominent person in one view, where no other view tells who is who.

    The track with the highest score is taken; where it is not seen, that with the next highest, and so on.

    Parameters
    ----------
    pixels
        (frame, person, keypoint, 2), as detected; NaN is missing.
    score
        (frame, person): how much speaks for a detection; 0 where there is none.

    Returns
    -------
    numpy.ndarray
        (frame,): index on the axis of people, -1 where nobody is seen.
    """
    exists = np.isfinite(pixels).all(-1).any(-1)
    track = _link(pixels, np.maximum(np.linalg.norm(box_sides(pixels), axis=-1), 1.0), exists)
    total = np.bincount(track[exists], score[exists], minlength=1)
    person = np.full(len(pixels), -1)
    frame, which = np.nonzero(exists)
    of_track = np.split(
        np.argsort(track[exists], kind="stable"), np.bincount(track[exists], minlength=1).cumsum()[:-1]
    )
    for number in np.argsort(-total, kind="stable"):
        frames, people = frame[of_track[number]], which[of_track[number]]
        # Not beside those who are taken: a track counts as a whole.
        if (person[frames] < 0).all():
            person[frames] = people
    return person


def prominence(pixels: Array, confidence: Array, by: str) -> Array:
    """Score detections (..., keypoint) of people by ``size``, the area of the box around them, or ``confidence``.

    Examples
    --------
    >>> prominence(np.array([[0.0, 0.0], [2.0, 3.0]]), np.array([0.5, 1.0]), "size").item()
    6.0
    """
    return box_sides(pixels).prod(-1) if by == "size" else confidence.sum(-1)


def box_sides(pixels: Array) -> Array:
    """Give width and height (..., 2) of the box around keypoints (..., keypoint, 2); 0 where all are missing."""
    high = np.where(np.isnan(pixels), -np.inf, pixels).max(-2)
    low = np.where(np.isnan(pixels), np.inf, pixels).min(-2)
    return np.where(np.isfinite(high), high - low, 0)


def _link(pixels: Array, size: Array, exists: Array) -> Array:
    """Number the tracks of one view: (frame, person)."""
    frames, people = exists.shape
    node = np.arange(frames * people).reshape(frames, people)
    has_next, has_previous = np.zeros_like(exists), np.zeros_like(exists)
    links: list[tuple[Array, Array]] = []
    for gap in range(1, min(_LONGEST_GAP, frames - 1) + 1):
        earlier = np.nonzero((exists & ~has_next)[:-gap].any(1) & (exists & ~has_previous)[gap:].any(1))[0]
        for block in np.array_split(earlier, max(1, -(-len(earlier) // _FRAMES_PER_BLOCK))):
            between = pixels[block, :, None] - pixels[block + gap][:, None]
            distance = lower_median(np.hypot(between[..., 0], between[..., 1]), _FEWEST_COMMON)
            distance /= np.maximum(size[block][:, :, None], size[block + gap][:, None])
            distance[has_next[block]] = np.inf
            distance.swapaxes(1, 2)[has_previous[block + gap]] = np.inf
            # Linked where each is the other's nearest.
            onward, back = distance.argmin(2), distance.argmin(1)
            mutual = np.take_along_axis(back, onward, 1) == np.arange(people)
            near = np.take_along_axis(distance, onward[..., None], 2)[..., 0] < _STEP
            which, person = np.nonzero(mutual & near)
            after = onward[which, person]
            has_next[block[which], person] = True
            has_previous[block[which] + gap, after] = True
            links.append((node[block[which], person], node[block[which] + gap, after]))
    start, end = (np.concatenate(ends) for ends in zip(*links, strict=True)) if links else (node[:0, 0], node[:0, 0])
    graph = coo_array((np.ones(len(start), bool), (start, end)), (node.size, node.size))
    _, label = connected_components(graph, directed=False)
    track = np.full(node.size, -1)
    track[exists.ravel()] = np.unique(label[exists.ravel()], return_inverse=True)[1]
    return track.reshape(frames, people)


def _overlaps(track: Array, number: int) -> list[set[int]]:
    """Give for each track those that are seen beside it in a view: other people."""
    beside: list[set[int]] = [set() for _ in range(number)]
    people = track.shape[2]
    for one in range(people):
        for other in range(one + 1, people):
            both = (track[..., one] >= 0) & (track[..., other] >= 0)
            for a, b in np.unique(np.stack([track[..., one][both], track[..., other][both]], -1), axis=0).tolist():
                beside[a].add(b)
                beside[b].add(a)
    return beside


@dataclass(frozen=True)
class _Votes:
    """How much speaks for pairs of detections of one frame and different views being one person.

    Attributes
    ----------
    one, other
        (pair,): places of detections in an array (frame, view, person), in the order of frames.
    vote
        (pair,): from -1 to 1.
    frame
        (pair,).
    """

    one: Array
    other: Array
    vote: Array
    frame: Array

    def of_tracks(self, track: Array) -> tuple[Array, Array]:
        """Give pairs of tracks (pair, 2) and the sums of votes for them being one person."""
        number = track.max() + 1
        key, index = np.unique(track.flat[self.one] * number + track.flat[self.other], return_inverse=True)
        return np.stack(np.divmod(key, number), -1), np.bincount(index, self.vote, len(key))


def _votes(cameras: Cameras, pixels: Array, size: Array) -> _Votes:
    R, t = cameras.R.numpy(), cameras.t.numpy()
    focal = cameras.focal.mean(-1).numpy()
    place = np.arange(size.size).reshape(size.shape)
    pairs_of_views = [(one, other) for other in range(len(cameras)) for one in range(other)]
    of_views: dict[tuple[int, int], list[tuple[Array, ...]]] = {pair: [] for pair in pairs_of_views}
    for start in range(0, len(pixels), _FRAMES_PER_BLOCK):
        block = slice(start, start + _FRAMES_PER_BLOCK)
        rays = to_rays(cameras, torch.as_tensor(pixels[block]).double().transpose(1, 2)).numpy().swapaxes(1, 2)
        rays = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
        for one, other in pairs_of_views:
            matrix = essential(R[one], t[one], R[other], t[other])
            lines = rays[:, one] @ matrix.T  # in the other view
            lines_back = rays[:, other] @ matrix
            product = np.einsum("fpki,fqki->fpqk", lines, rays[:, other], optimize=True)
            # Sampson's distance: to first order how far both points together are from agreeing.
            slope = (lines[..., :2] ** 2).sum(-1)[:, :, None] / focal[other] ** 2
            slope = slope + (lines_back[..., :2] ** 2).sum(-1)[:, None] / focal[one] ** 2
            distance = lower_median(np.abs(product) / np.sqrt(slope + 1e-30), _FEWEST_COMMON)
            distance /= np.sqrt(size[block, one][:, :, None] * size[block, other][:, None])
            frame, p, q = np.nonzero(np.isfinite(distance))
            of_views[one, other].append((frame + start, p, q, distance[frame, p, q]))
    found = []
    for (one, other), parts in of_views.items():
        frame, p, q, distance = (np.concatenate(values) for values in zip(*parts, strict=True))
        nearest = np.full(size[:, one].shape, np.inf)
        np.minimum.at(nearest, (frame, p), distance)
        nearest = nearest[np.isfinite(nearest)]
        reached = np.median(nearest) if len(nearest) else np.inf
        vote = (1 - distance / np.clip(_TIMES_NEAREST * reached, _LEAST_AGREEMENT, _AGREEMENT)).clip(-1, 1)
        found.append((place[frame, one, p], place[frame, other, q], vote, frame))
    return _Votes(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _cut(track: Array, votes: _Votes) -> Array:
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


def _votes_that_turn(track: Array, votes: _Votes) -> Array:
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


def _group(number: int, beside: list[set[int]], pairs: Array, votes: Array) -> Array:
    """Join tracks to people: always the two groups with the most votes for each other, while there are any.

    Tracks that are seen side by side are never joined. This is greedy additive edge contraction (Keuper et al., ICCV
    2015, "Efficient decomposition of image and mesh graphs by lifted multicuts").
    """
    between: list[dict[int, float]] = [{} for _ in range(number)]
    for (one, other), vote in zip(pairs.tolist(), votes.tolist(), strict=True):
        between[one][other] = between[other][one] = vote
    for one, others in enumerate(beside):
        for other in others:
            between[one][other] = -np.inf
    members = [[track] for track in range(number)]
    queue = [(-vote, one, other) for one in range(number) for other, vote in between[one].items() if one < other]
    heapq.heapify(queue)
    while queue and queue[0][0] < 0:
        vote, one, other = heapq.heappop(queue)
        if between[one].get(other) != -vote:  # one of them was joined to another since
            continue
        members[one] += members[other]
        members[other] = []
        for third, votes_of_third in between[other].items():
            del between[third][other]
            if third != one:
                total = between[one].get(third, 0.0) + votes_of_third
                between[one][third] = between[third][one] = total
                heapq.heappush(queue, (-total, min(one, third), max(one, third)))
        between[other] = {}
    group = np.empty(number, int)
    for index, tracks in enumerate(members):
        group[tracks] = index
    return group

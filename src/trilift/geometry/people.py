"""Who is who where several people are seen: followed over time within a view, and matched between views.

Detections of one view that lie close together in successive frames form a track. Tracks of different views belong to
one person where their keypoints keep to each other's epipolar lines. The person whose tracks add up to the highest
score is the subject. A second person, a poster or a dummy is thereby left out as a whole, and not frame by frame.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trilift.geometry.cameras import Cameras, to_normalised

Array = np.ndarray

_LONGEST_GAP = 8  # frames that a track may miss
_STEP = 0.3  # how far a person moves from frame to frame, in units of its size in the image
_AGREEMENT = 0.08  # median distance from the epipolar line that two people reach by chance, in the same units
_FEWEST_COMMON = 4  # keypoints that two detections must share to be compared
_FRAMES_PER_BLOCK = 512


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
    """

    person: Array
    unmatched: list[int]


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
        return Choice(np.where(exists.any(2), exists.argmax(2), -1), [])
    size = np.maximum(np.linalg.norm(box_sides(pixels), axis=-1), 1.0)  # diagonals, in pixels
    track = np.full((frames, views, people), -1)
    for view in range(views):
        own = _link(pixels[:, view], size[:, view], exists[:, view])
        track[:, view] = np.where(exists[:, view], own + track.max() + 1, -1)
    number = track.max() + 1
    view_of = np.zeros(number, int)
    view_of[track[exists]] = np.nonzero(exists)[1]
    total = np.bincount(track[exists], score[exists], number)
    group = _group(number, _overlaps(track, number), *_agreement(cameras, pixels, size, track))
    subject = np.bincount(group, total).argmax()
    members = group == subject
    unmatched = [view for view in range(views) if exists[:, view].any() and not members[view_of == view].any()]
    for view in unmatched:
        members[np.where(view_of == view, total, -1).argmax()] = True
    chosen = members[track] & exists
    return Choice(np.where(chosen.any(2), chosen.argmax(2), -1), unmatched)


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


def _median_distance(distance: Array) -> Array:
    """Take the median over the last axis, infinite where fewer than `_FEWEST_COMMON` numbers are known."""
    known = np.isfinite(distance).sum(-1)
    ordered = np.sort(np.where(np.isfinite(distance), distance, np.inf), -1)
    middle = np.take_along_axis(ordered, np.maximum(known - 1, 0)[..., None] // 2, -1)[..., 0]
    return np.where(known >= _FEWEST_COMMON, middle, np.inf)


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
            distance = _median_distance(np.hypot(between[..., 0], between[..., 1]))
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


def _agreement(cameras: Cameras, pixels: Array, size: Array, track: Array) -> tuple[Array, Array]:
    """Give pairs of tracks of different views (pair, 2) and how much speaks for them being one person."""
    number = track.max() + 1
    R, t = cameras.R.numpy(), cameras.t.numpy()
    focal = cameras.focal.mean(-1).numpy()
    keys, votes = [], []
    for start in range(0, len(pixels), _FRAMES_PER_BLOCK):
        block = slice(start, start + _FRAMES_PER_BLOCK)
        rays = to_normalised(cameras, torch.as_tensor(pixels[block]).double().transpose(1, 2)).numpy().swapaxes(1, 2)
        rays = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
        for one in range(len(cameras)):
            for other in range(one + 1, len(cameras)):
                essential = _essential(R[one], t[one], R[other], t[other])
                lines = rays[:, one] @ essential.T  # in the other view
                lines_back = rays[:, other] @ essential
                product = np.einsum("fpki,fqki->fpqk", lines, rays[:, other], optimize=True)
                # Sampson's distance: to first order how far both points together are from agreeing.
                slope = (lines[..., :2] ** 2).sum(-1)[:, :, None] / focal[other] ** 2
                slope = slope + (lines_back[..., :2] ** 2).sum(-1)[:, None] / focal[one] ** 2
                distance = _median_distance(np.abs(product) / np.sqrt(slope + 1e-30))
                scale = np.sqrt(size[block, one][:, :, None] * size[block, other][:, None])
                known = np.isfinite(distance)
                pair = track[block, one][:, :, None] * number + track[block, other][:, None]
                keys.append(pair[known])
                votes.append((1 - distance[known] / (_AGREEMENT * scale[known])).clip(-1, 1))
    key, index = np.unique(np.concatenate(keys), return_inverse=True)
    return np.stack(np.divmod(key, number), -1), np.bincount(index, np.concatenate(votes), len(key))


def _essential(R_one: Array, t_one: Array, R_other: Array, t_other: Array) -> Array:
    """Give E with ``x_otherᵀ E x_one = 0`` for two views of one point (Hartley and Zisserman, 9.6)."""
    R = R_other @ R_one.T
    x, y, z = t_other - R @ t_one
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ R


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

"""Tracks of different views that belong to one person: their keypoints keep to each other's epipolar lines."""

import heapq
from dataclasses import dataclass

import numpy as np
import torch

from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.epipolar import essential, lower_median
from trilift.geometry.tracks import FEWEST_COMMON, FRAMES_PER_BLOCK

Array = np.ndarray

_AGREEMENT = 0.08  # median distance from the epipolar line that two people reach by chance, in units of their size
_TIMES_NEAREST = 2.5  # two views whose nearest people agree better can tell people apart that are so much farther
_LEAST_AGREEMENT = 0.02


@dataclass(frozen=True)
class Votes:
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


def votes_of(cameras: Cameras, pixels: Array, size: Array) -> Votes:
    R, t = cameras.R.numpy(), cameras.t.numpy()
    focal = cameras.focal.mean(-1).numpy()
    place = np.arange(size.size).reshape(size.shape)
    pairs_of_views = [(one, other) for other in range(len(cameras)) for one in range(other)]
    of_views: dict[tuple[int, int], list[tuple[Array, ...]]] = {pair: [] for pair in pairs_of_views}
    for start in range(0, len(pixels), FRAMES_PER_BLOCK):
        block = slice(start, start + FRAMES_PER_BLOCK)
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
            distance = lower_median(np.abs(product) / np.sqrt(slope + 1e-30), FEWEST_COMMON)
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
    return Votes(*(np.concatenate(values) for values in zip(*found, strict=True)))


def overlaps(track: Array, number: int) -> list[set[int]]:
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


def group_tracks(number: int, beside: list[set[int]], pairs: Array, votes: Array) -> Array:
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

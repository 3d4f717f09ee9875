"""Several people before four cameras: what is seen of them, and who is who."""

import numpy as np
import torch

from synthetic import ring_of_cameras, waving_person
from trilift.geometry.cameras import Cameras, project

FRAMES = 60
CAMERAS = Cameras.stack(ring_of_cameras(4))


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


LONG = 200


def beside(view, across, behind):
    """Places (frame, 2) on the floor, so far to the right of the middle and behind it as a view sees it."""
    R = CAMERAS.R[view].numpy()
    right, forward = R[0, :2] / np.linalg.norm(R[0, :2]), R[2, :2] / np.linalg.norm(R[2, :2])
    return np.multiply.outer(across, right) + np.multiply.outer(behind, forward)


def seen_along(places, seed, size=1.0):
    joints = size * waving_person(len(places), seed) + np.pad(places, ((0, 0), (0, 1)))[:, None]
    pixels = project(CAMERAS, torch.as_tensor(joints)).numpy()
    return pixels + np.random.default_rng(seed).normal(scale=4.0, size=pixels.shape)


def one_hides_the_other(view, seed):
    """In one view the second person is hidden, then comes out while the first is hidden: the track goes over."""
    time = np.arange(LONG)
    out = np.maximum(time - 100, 0)
    first = seen_along(np.zeros((LONG, 2)), seed)
    second = seen_along(beside(view, 0.008 * out, np.full(LONG, 0.8)), seed + 1)
    second[:100, view] = np.nan
    first[100:115, view] = np.nan
    return first, second


def both_pass_unseen(view, seed):
    """In one view both are lost for some frames while they pass each other: each track goes on with the other."""
    way = 0.025 * (np.arange(LONG) - 100).clip(-40, 40)
    first = seen_along(beside(view, way, np.full(LONG, -0.25)), seed)
    second = seen_along(beside(view, -way, np.full(LONG, 0.25)), seed + 1)
    for person in (first, second):
        person[97:104, view] = np.nan
    return first, second

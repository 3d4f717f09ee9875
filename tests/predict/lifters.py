"""Lifters that see everybody stand, more or less, and what a camera sees of random poses."""

import numpy as np
import torch

from synthetic import waving_person
from trilift.formats import Camera
from trilift.lifter.inputs import feature_scaling, features, number_of_features
from trilift.lifter.lifter import Lifter
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.skeletons import BODY25B, H36M17, Skeleton, mapping

JOINTS = len(H36M17)
KINDS = {
    "residual": NetworkSettings(kind="residual", width=16, blocks=1, dropout=0.3),
    "temporal": NetworkSettings(kind="temporal", width=16, frames=9),
}


def make_lifter(kind: str = "residual", layout: str = "h36m17") -> Lifter:
    generator = torch.Generator().manual_seed(1)
    raw = features(0.3 * torch.randn(100, JOINTS, 2, generator=generator), torch.ones(100, JOINTS), H36M17)
    torch.manual_seed(0)
    network = build(number_of_features(H36M17), 3 * (JOINTS - 1), KINDS[kind])
    network(raw if KINDS[kind].frames == 1 else raw.unfold(0, 9, 1).mT)  # running statistics unlike a new one's
    last = network.last if kind == "temporal" else network[-1]
    with torch.no_grad():
        last.weight *= 0.1
        last.bias[:] = torch.tensor(standing()).flatten()
    facts = {"dataset": "gait", "settings": {"augmentation": {}}, "layouts": [layout]}
    scaling = feature_scaling(raw, H36M17)
    return Lifter(network.eval(), KINDS[kind], H36M17, *scaling, torch.zeros(JOINTS, 3), facts)


def standing() -> np.ndarray:
    """A person upright before a camera: all joints but the root, relative to it (y is down)."""
    joints = mapping(BODY25B, H36M17).apply(waving_person(1)[0])
    relative = joints - joints[H36M17.root_index]
    return np.delete(relative[:, [0, 2, 1]] * [1, -1, 1], H36M17.root_index, 0)


def seen(camera: Camera, skeleton: Skeleton, frames: int = 30, seed: int = 0) -> np.ndarray:
    """Keypoints (frame, keypoint, 2) somewhere in the image, a few missing."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.2, 0.8, (frames, len(skeleton), 2)) * camera.image_size
    keypoints[rng.random((frames, len(skeleton))) < 0.1] = np.nan
    return keypoints

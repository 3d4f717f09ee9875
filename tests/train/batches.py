"""Small batches of exact or random geometry, as training draws them."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from trilift.skeletons import Skeleton
from trilift.train.samples import Batch, Rigs, Samples

STICK = Skeleton(
    "stick",
    ("pelvis", "right_knee", "left_knee", "right_ankle", "left_ankle"),
    (
        ("pelvis", "left_knee"),
        ("left_knee", "left_ankle"),
        ("pelvis", "right_knee"),
        ("right_knee", "right_ankle"),
    ),
    root="pelvis",
)
JOINTS = len(STICK)


def around(views: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cameras that look at the origin from about 4 m: rotations and translations."""
    yaw = 2 * np.pi * (np.arange(views) + rng.uniform(-0.2, 0.2, views)) / max(views, 1)
    looks = Rotation.from_euler("yxz", np.stack([yaw, rng.normal(0, 0.2, views), rng.normal(0, 0.1, views)], 1))
    return looks.as_matrix(), np.column_stack([rng.normal(0, 0.2, (views, 2)), rng.uniform(3, 5, views)])


def project(poses: torch.Tensor, rotations: torch.Tensor, translations: torch.Tensor) -> torch.Tensor:
    """World points (B, J, 3) into views (B, V): (B, V, J, 2) at depth 1."""
    seen = torch.einsum("bvxy,bjy->bvjx", rotations, poses) + translations[:, :, None]
    return seen[..., :2] / seen[..., 2:]


def make_samples(
    frames: int = 40,
    views: int = 3,
    captures: int = 2,
    seed: int = 0,
    noise: float = 0.0,
    dtype: torch.dtype = torch.float32,
    every: int = 1,
) -> Samples:
    """Random poses seen by exact cameras, a few detections and labels missing, and a view now and then."""
    rng = np.random.default_rng(seed)
    rigs = [around(views, np.random.default_rng(100 + capture)) for capture in range(captures)]
    rotations, translations = (np.stack([rig[i] for rig in rigs]) for i in range(2))
    capture = np.arange(frames) % captures
    poses = torch.tensor(0.3 * rng.normal(size=(frames, JOINTS, 3)) + rng.normal(0, 0.2, (frames, 1, 3)))
    rays = project(poses, torch.tensor(rotations)[capture], torch.tensor(translations)[capture])
    rays = rays + noise * torch.tensor(rng.normal(size=rays.shape))
    missed = torch.tensor(rng.random(rays.shape[:-1]) < 0.1)
    missed[..., 0] = torch.tensor(rng.random((frames, views)) < 0.1)
    rays[missed] = torch.nan
    unlabelled = torch.tensor(rng.random((frames, JOINTS)) < 0.1)
    unlabelled[:, 0] = False
    poses[unlabelled] = torch.nan
    confidence = torch.where(missed, 0.0, torch.tensor(rng.uniform(0.2, 1, missed.shape)))
    half = frames // 2
    first = torch.tensor([0] * half + [half] * (frames - half))
    return Samples(
        rays=rays.to(dtype),
        confidence=confidence.to(dtype),
        poses=poses.to(dtype),
        trust=torch.tensor(rng.uniform(0.3, 1, (frames, JOINTS))).to(dtype),
        rooted=torch.ones(frames, dtype=torch.bool),
        visible=~missed[..., 0],
        capture=torch.tensor(capture),
        person=torch.tensor(rng.integers(0, 2, frames)),
        first=first,
        last=torch.where(first == 0, half - 1, frames - 1),
        every=torch.full((frames,), every),
        chosen=torch.arange(frames),
        rigs=Rigs(
            rotations=torch.tensor(rotations).to(dtype),
            translations=torch.tensor(translations).to(dtype),
            focal=torch.full((captures, views, 2), 1000.0, dtype=dtype),
            distortion=torch.tensor(rng.normal(0, 0.02, (captures, views, 5))).to(dtype),
        ),
        skeleton=STICK,
    )


def make_batch(seed: int = 0, frames: int = 4, views: int = 3, window: int = 1, noise: float = 0.01) -> Batch:
    captures = min(frames, 2) if window == 1 else 1  # frames of a window are of one capture
    samples = make_samples(frames, views, captures, seed, noise, torch.float64)
    return samples.batch(torch.arange(frames), window)


def truth(batch: Batch) -> torch.Tensor:
    """What a perfect lifter predicts: (B, V, J - 1, 3); random where there is no label."""
    labels = torch.where(batch.labels.isfinite(), batch.labels, torch.randn_like(batch.labels))
    return torch.einsum("bvxy,bjy->bvjx", batch.rotations, labels)


def complete(batch: Batch) -> Batch:
    """The batch with every label there, every view visible, and exact detections of all joints."""
    poses = torch.where(batch.poses.isfinite(), batch.poses, torch.full_like(batch.poses, 0.1))
    rays = project(poses[:, 0], batch.rotations, batch.translations)[:, None]
    return replace(batch, poses=poses, rays=rays, visible=torch.ones_like(batch.visible))

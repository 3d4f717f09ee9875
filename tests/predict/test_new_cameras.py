"""A lifter serves cameras that it was not trained with. People and detector are SIMULATED."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from trilift.formats import Camera, human36m
from trilift.geometry.cameras import Cameras, distort, project, to_rays
from trilift.lifter.lifter import Lifter
from trilift.lifter.settings import NetworkSettings
from trilift.predict.prediction import pinhole
from trilift.predict.predictor import Predictor
from trilift.simulate.body import sample_body
from trilift.simulate.detector import LEVELS, detect
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.skeletons import H36M17
from trilift.train.samples import Rigs, Samples, Scaling
from trilift.train.settings import TrainingSettings
from trilift.train.training import fit

FPS, ROOT, DETECTOR = 50.0, H36M17.root_index, LEVELS["fine-tuned"]
SETTINGS = TrainingSettings(
    network=NetworkSettings(width=128, blocks=2, dropout=0.1), steps=600, batch_frames=128, threads=1
)
TRAINING_RIG = human36m.read_cameras()["S1"]
MIDDLE = np.mean([-camera.R.T @ camera.t for camera in TRAINING_RIG], 0) * [1, 1, 0]
USUAL_DISTANCE = np.mean([np.linalg.norm(camera.R.T @ camera.t + MIDDLE) for camera in TRAINING_RIG])
MOST_GROWTH = 1.15


def people(number: int, frames: int, seed: int) -> np.ndarray:
    """Joints (frame, joint, 3) of people who stand in the middle of the rig."""
    rng = np.random.default_rng(seed)
    motions = []
    for _ in range(number):
        body = sample_body(rng)
        for motion in MOTIONS:
            poses = simulate_motion(motion, body, frames, FPS, rng)
            motions.append(poses - poses[:, ROOT].mean(0) * [1, 1, 0] + MIDDLE)
    return np.concatenate(motions)


def rays_of(cameras: Sequence[Camera], poses: np.ndarray, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Detections at depth 1 (frame, view, joint, 2) and their confidence.

    As found in images in which people are as large as in those of the training: the detector is not what is tested.
    """
    alike = []
    for camera in cameras:
        zoom = np.linalg.norm(camera.R.T @ camera.t + MIDDLE) / USUAL_DISTANCE
        plain = pinhole(1145 * zoom, (1000, 1000))
        alike.append(Camera(camera.name, plain.K, plain.distortion, camera.R, camera.t, plain.image_size))
    pixels = project(Cameras.stack(alike), torch.as_tensor(poses)).numpy()
    sizes = np.stack([camera.image_size for camera in alike])
    found = detect(pixels, sizes, H36M17, FPS, DETECTOR, np.random.default_rng(seed))
    return to_rays(Cameras.stack(alike), torch.as_tensor(found.pixels)), found.confidence


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    poses = people(5, 200, seed=0)
    rays, confidence = rays_of(TRAINING_RIG, poses, seed=1)
    cameras, frames = Cameras.stack(TRAINING_RIG), len(poses)
    number = torch.arange(frames)
    samples = Samples(
        rays=rays.float(),
        confidence=torch.as_tensor(confidence).float(),
        poses=torch.as_tensor(poses).float(),
        trust=torch.ones(frames, len(H36M17)),
        rooted=torch.ones(frames, dtype=torch.bool),
        visible=rays[..., ROOT, :].isfinite().all(-1),
        capture=torch.zeros(frames, dtype=torch.int64),
        person=torch.zeros(frames, dtype=torch.int64),
        first=torch.zeros_like(number),
        last=torch.full_like(number, frames - 1),
        every=torch.ones_like(number),
        chosen=number,
        rigs=Rigs.of(replace(cameras, distortion=torch.zeros(4, 5))),
        skeleton=H36M17,
    )
    scaling = Scaling.of(samples)
    network, _ = fit(samples, number[:0], scaling, SETTINGS, 0, torch.device("cpu"))
    mean_pose = torch.zeros(len(H36M17), 3)
    facts = {"layouts": ["h36m17"], "dataset": "SIMULATED", "settings": {"augmentation": {}}}
    return Predictor(Lifter(network, SETTINGS.network, H36M17, scaling.mean, scaling.spread, mean_pose, facts))


def mpjpe(predictor: Predictor, cameras: Sequence[Camera]) -> float:
    """Error (m) over all of some cameras on people who were not trained with."""
    poses = people(2, 100, seed=7)
    rays, confidence = rays_of(cameras, poses, seed=8)
    errors = []
    for view, camera in enumerate(cameras):
        one = Cameras.stack([camera])
        seen = distort(rays[:, view : view + 1], one.distortion) * one.focal[:, None] + one.centre[:, None]
        pose = predictor.predict(seen[:, 0].numpy(), camera, confidence[:, view]).poses
        truth = (poses - poses[:, ROOT, None]) @ camera.R.T
        errors.append(np.linalg.norm(pose - truth, axis=-1))
    return float(np.nanmean(errors))


@pytest.fixture(scope="module")
def error_of_training_rig(predictor: Predictor) -> float:
    error = mpjpe(predictor, TRAINING_RIG)
    mean_pose = people(5, 200, seed=0)
    standing = np.linalg.norm(mean_pose - mean_pose[:, ROOT, None], axis=-1).mean()
    assert error < 0.35 * standing  # it has learnt something
    return error


def test_other_intrinsics_and_lenses_change_nothing(predictor: Predictor, error_of_training_rig: float) -> None:
    K = np.array([[1800.0, 0, 1000], [0, 1790, 500], [0, 0, 1]])
    lens = np.array([-0.05, 0.02, 1e-3, -5e-4, 0])
    cameras = [Camera(c.name, K, lens, c.R, c.t, np.array([1920, 1080])) for c in TRAINING_RIG]
    assert mpjpe(predictor, cameras) == pytest.approx(error_of_training_rig, rel=1e-3)


@pytest.mark.parametrize("turned_deg", [-8, 8])
def test_cameras_that_are_aimed_otherwise_cost_little(
    predictor: Predictor, error_of_training_rig: float, turned_deg: float
) -> None:
    """Turned where they stand, to the side: people are elsewhere in the image."""
    turn = Rotation.from_euler("y", turned_deg, degrees=True).as_matrix()
    cameras = [replace(camera, R=turn @ camera.R, t=turn @ camera.t) for camera in TRAINING_RIG]
    assert mpjpe(predictor, cameras) <= MOST_GROWTH * error_of_training_rig


@pytest.mark.parametrize("orbit_deg", [-7, 7])
def test_other_places_cost_little(predictor: Predictor, error_of_training_rig: float, orbit_deg: float) -> None:
    """A quarter around the person, 0.8 m lower or higher, with another focal length and image."""
    hips = MIDDLE + np.array([0, 0, 0.9])
    cameras = []
    for camera in TRAINING_RIG:
        around = Rotation.from_euler("z", 40, degrees=True) * Rotation.from_rotvec(
            np.deg2rad(orbit_deg) * camera.R[0]
        )
        position = around.apply(-camera.R.T @ camera.t - hips) + hips
        R = camera.R @ around.as_matrix().T
        plain = pinhole(800, (1280, 720))
        cameras.append(Camera(camera.name, plain.K, plain.distortion, R, -R @ position, plain.image_size))
    assert mpjpe(predictor, cameras) <= MOST_GROWTH * error_of_training_rig

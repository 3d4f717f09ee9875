"""simulate: the raw files of the demo, or of a data set whose file says what is filmed."""

import logging

import numpy as np
import torch
from tqdm import tqdm

from trilift.formats import human36m
from trilift.formats.videopose3d import write_detections, write_reference
from trilift.geometry.cameras import Cameras, project
from trilift.project import provenance
from trilift.project.layout import Layout
from trilift.project.params import load, load_seed
from trilift.simulate import filming
from trilift.simulate.body import sample_body
from trilift.simulate.detector import LEVELS, detect
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.simulate.settings import Settings
from trilift.skeletons import H36M17

log = logging.getLogger(__name__)

FPS = 50
_PEOPLE = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")


def run(layout: Layout) -> None:
    """Simulate people, and a detector that watches them."""
    if layout.dataset == "demo":
        _run_demo(layout)
    else:
        filming.run(layout)


def _run_demo(layout: Layout) -> None:
    """Simulate people in Human3.6M's camera geometry.

    They take the names of Human3.6M's subjects because each of those has its own camera poses; nothing else of
    that data set is in it.
    """
    settings = load(layout.params, "simulate", Settings)
    seed = load_seed(layout.params)
    rng = np.random.default_rng(seed)
    rigs = human36m.read_cameras()
    frames = round(settings.seconds * FPS)
    detections: dict[str, dict[str, list[np.ndarray]]] = {person: {} for person in _PEOPLE}
    references: dict[str, dict[str, np.ndarray]] = {person: {} for person in _PEOPLE}
    with tqdm(total=len(_PEOPLE) * len(MOTIONS), unit="recording", desc="simulate", disable=None) as progress:
        for person in _PEOPLE:
            body = sample_body(rng)
            rig = rigs[person]
            cameras = Cameras.stack(rig)
            image_size = np.stack([camera.image_size for camera in rig])
            for motion in MOTIONS:
                poses = simulate_motion(motion, body, frames, FPS, rng)
                pixels = project(cameras, torch.as_tensor(poses)).numpy()
                found = detect(pixels, image_size, H36M17, FPS, LEVELS[settings.detector], rng)
                seen = np.concatenate([found.pixels, found.confidence[..., None]], -1).astype(np.float32)
                detections[person][motion.capitalize()] = list(seen.swapaxes(0, 1))
                references[person][motion.capitalize()] = poses.astype(np.float32)
                progress.update()
    write_detections(layout.raw / "detections.npz", detections)
    write_reference(layout.raw / "reference.npz", references)
    log.info(
        "SIMULATED: %d people, %d recordings of %d frames in %d views, detector '%s'",
        len(_PEOPLE),
        len(_PEOPLE) * len(MOTIONS),
        frames,
        len(image_size),
        settings.detector,
    )
    provenance.write(
        layout,
        "simulate",
        params={"simulate": settings, "seed": seed},
        outputs=[layout.raw / "detections.npz", layout.raw / "reference.npz"],
    )

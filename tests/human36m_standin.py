"""A small stand-in for the two files that VideoPose3D publishes for Human3.6M, in their layout with its quirks.

Nothing of Human3.6M is in it but the names and the published camera poses: people and detector are simulated.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trilift.formats import human36m
from trilift.geometry.cameras import Cameras, project
from trilift.simulate.body import sample_body
from trilift.simulate.detector import DetectorModel, detect
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import H36M17

FPS = 50
TRAIN = ("S1", "S5", "S6", "S7", "S8")
TEST = ("S9", "S11")
ONLY_2D = ("S2", "S4")

# The motion of the studio that stands for each action.
MOTION_OF = {
    "Directions": "reaching",
    "Discussion": "turning",
    "Eating": "reaching",
    "Greeting": "reaching",
    "Phoning": "turning",
    "Photo": "reaching",
    "Posing": "turning",
    "Purchases": "bending",
    "Sitting": "sitting",
    "SittingDown": "sitting",
    "Smoking": "turning",
    "Waiting": "turning",
    "WalkDog": "walking",
    "Walking": "walking",
    "WalkTogether": "walking",
}
ACTIONS = tuple(MOTION_OF)
"""In the order of the field's tables."""

# Some actions are numbered from 1, others have a take without a number.
TAKES = {action: (f"{action} 1", f"{action} 2") for action in ("Discussion", "Sitting")}
TAKES = {action: TAKES.get(action, (action, f"{action} 1")) for action in ACTIONS}

# Which of the 32 joints hold the 17, and which of the 17 each other one copies: end points of the same limb.
PLACES_OF_17 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
COPIES = {
    4: 3,
    5: 3,
    9: 6,
    10: 6,
    11: 0,
    16: 8,
    20: 13,
    21: 13,
    22: 13,
    23: 13,
    24: 8,
    28: 16,
    29: 16,
    30: 16,
    31: 16,
}


class StandIn(NamedTuple):
    """What was put in: per subject and take, and what the cameras' lists hold."""

    poses: dict[str, dict[str, np.ndarray]]  # (frame, 17, 3), m; of the people with 3D, S11 Directions left out
    detections: dict[str, dict[str, list[np.ndarray]]]  # (frame, 17, 2), px; frames differ between cameras


def make(frames: int = 24, seed: int = 0) -> StandIn:
    """Simulate; `frames` is the length of the 3D recordings."""
    rng = np.random.default_rng(seed)
    rigs = human36m.read_cameras()
    # A fine-tuned detector that always says something, as the published one.
    model = DetectorModel(scale=0.5, outlier_share=0.005, missed_share=0.0)
    poses: dict[str, dict[str, np.ndarray]] = {}
    detections: dict[str, dict[str, list[np.ndarray]]] = {}
    for person in sorted((*TRAIN, *TEST, *ONLY_2D), key=lambda name: int(name[1:])):
        body = sample_body(rng)
        rig = rigs[person]
        cameras = Cameras.stack(rig)
        sizes = np.stack([camera.image_size for camera in rig])
        for action, takes in TAKES.items():
            for take in takes:
                more = rng.integers(0, 4, len(rig)) + 1  # the videos go on for a few frames, not equally many
                if (person, take) == ("S9", "Walking 1"):
                    more[2] = -1  # and one is shorter than the 3D
                joints = simulate_motion(MOTION_OF[action], body, frames + 4, FPS, rng)
                pixels = project(cameras, torch.as_tensor(joints)).numpy()
                found = detect(pixels, sizes, H36M17, FPS, model, rng).pixels
                found = np.where(np.isnan(found), pixels.clip(0, sizes[:, None]), found).astype(np.float32)
                views = [found[: frames + extra, view] for view, extra in enumerate(more)]
                detections.setdefault(person, {})[take] = views
                if person not in ONLY_2D and (person, take) != ("S11", "Directions"):
                    poses.setdefault(person, {})[take] = joints[:frames].astype(np.float32)
    return StandIn(poses, detections)


def write(folder: Path, content: StandIn) -> None:
    """Write both files under their published names."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "layout_name": "h36m",
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    _write_npz(
        folder / "data_2d_h36m_cpn_ft_h36m_dbb.npz", {"positions_2d": content.detections, "metadata": metadata}
    )
    # The 3D file has its people in another order than the 2D file.
    positions = {
        person: {take: _with_32_joints(poses) for take, poses in content.poses[person].items()}
        for person in (*TRAIN, *TEST)
    }
    _write_npz(folder / "data_3d_h36m.npz", {"positions_3d": positions})


def _with_32_joints(poses: np.ndarray) -> np.ndarray:
    full = np.empty((len(poses), 32, 3), np.float32)
    full[:, PLACES_OF_17] = poses
    for place, copied in COPIES.items():
        full[:, place] = poses[:, copied]
    return full


def _write_npz(path: Path, entries: dict[str, object]) -> None:
    """Write as NumPy did when the files were published: compressed, pickles of protocol 2, modules by old names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in entries.items():
            wrapped = np.empty((), object)
            wrapped[()] = value
            stream = io.BytesIO()
            header = {"descr": "|O", "fortran_order": False, "shape": ()}
            np.lib.format.write_array_header_1_0(stream, header)
            pickled = pickle.dumps(wrapped, protocol=2)
            stream.write(pickled.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stream.getvalue(), zipfile.ZIP_DEFLATED)

"""HumanCalib on detections of ours, in an environment of its own: `pip install humancalib==0.5.4`.

It is run as it runs itself once it has poses (`humancalib run --pose_engine rtmpose`: about 100 frames, a start, that
again where frames are outliers, the adjustment), from the files that its detection and lifting would have written.
Its networks are downloads of its own from elsewhere. So the 2D keypoints are ours, without their distortion, and the
3D poses of each view, from which it starts, are those of the lifter `pretrained`, which did not learn from this
motion. Its adjustment takes of them no more than the directions of bones.
"""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import rigs_by_people as people
import torch
import yaml

from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import folder_of
from trilift.skeletons import H36M17, mapping

_FRAMES = 100
_SUBSET = "noise_1_0"
_JOINTS = {  # number among the 25 of OpenPose, of which HumanCalib uses these
    "nose": 0,
    "thorax": 1,
    "right_shoulder": 2,
    "right_elbow": 3,
    "right_wrist": 4,
    "left_shoulder": 5,
    "left_elbow": 6,
    "left_wrist": 7,
    "pelvis": 8,
    "right_hip": 9,
    "right_knee": 10,
    "right_ankle": 11,
    "left_hip": 12,
    "left_knee": 13,
    "left_ankle": 14,
}
_OURS, _THEIRS = [H36M17.index(name) for name in _JOINTS], list(_JOINTS.values())


_PROGRAM = """
import sys, time
from humancalib.pipeline import detect_outlier_frames, run_ba, run_calib_linear

folder, subset, every = sys.argv[1:]
linear = [folder, "1", "1", "1", subset, every, "MyDataset"]
begin = time.perf_counter()
run_calib_linear.main(linear)
if detect_outlier_frames.main(["--prefix", folder, "--subset", subset, "--video_dir", folder]):
    run_calib_linear.main(linear)
run_ba.main(["--prefix", folder, "--frame_skip", every])
print(time.perf_counter() - begin)
"""


class Failed(RuntimeError):
    """HumanCalib gave no rig; the message is the end of what it printed."""


def place(python: str, scene: people.Scene) -> tuple[Cameras, float]:
    """Let HumanCalib place the cameras; gives the seconds of its calibration alone."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, scene)
        every = max(1, round(len(scene.poses) / _FRAMES))
        command = [python, "-c", _PROGRAM, folder, _SUBSET, str(every)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise Failed(done.stdout[-2000:])
        found = json.loads((root / "results" / "linear_1_0_ba.json").read_text())
    R, t = (torch.as_tensor(found[name]).double() for name in ("R_w2c", "t_w2c"))
    return replace(scene.cameras, R=R, t=t.reshape(-1, 3)), float(done.stdout.split()[-1])


def _write(root: Path, scene: people.Scene) -> None:
    """Write what its detection and lifting would have written."""
    cameras, views = scene.cameras, len(scene.rig)
    pixels, confidence = torch.as_tensor(scene.pixels), torch.as_tensor(scene.confidence)
    rays, sure = rays_of_joints(pixels, confidence, cameras, mapping(H36M17, H36M17))
    lifter = Lifter.load(folder_of("pretrained"))
    parts = [
        lifter.predict(rays[own], sure[own], flip=True, every=lifter.network_settings.every(scene.fps))
        for own in (torch.as_tensor(scene.clip == clip) for clip in np.unique(scene.clip))
    ]
    poses = torch.cat(parts).numpy()
    undistorted = (rays * cameras.focal[:, None] + cameras.centre[:, None]).numpy()
    for view in range(views):
        (root / f"cam{view + 1:02}.mp4").touch()  # only the names of videos are asked for
    subset = root / _SUBSET
    frames = list(range(len(pixels)))
    for name, values in (("2d_joint", undistorted), ("3d_joint", poses)):
        (subset / name).mkdir(parents=True)
        for view in range(views):
            file = subset / name / f"A001_P001_G001_C{view + 1:03}.json"
            file.write_text(json.dumps({"data": _entries(values[:, view], scene.confidence[:, view])}))
    still = [torch.eye(3).tolist()] * views, [[[0.0]] * 3] * views
    (subset / "cameras_G001.json").write_text(
        json.dumps(
            {"CAMID": list(range(1, views + 1)), "K": cameras.K.tolist(), "R_w2c": still[0], "t_w2c": still[1]}
        )
    )
    nobody = np.zeros((len(frames), 25, 3)).tolist()
    (subset / "skeleton_w_G001.json").write_text(json.dumps({"skeleton": nobody, "frame_indices": frames}))
    width, height = (int(value) for value in scene.image_size[0])
    about = {
        "camera_ids": list(range(1, views + 1)),
        "available_joints": list(range(25)),
        "aid": 1,
        "pid": 1,
        "gid": 1,
    }
    about |= {"width": width, "height": height, "frame_rate": float(scene.fps), "video_dir": "videos"}
    (subset / "session.yaml").write_text(yaml.safe_dump(about))


def _entries(values: np.ndarray, confidence: np.ndarray) -> list[dict]:
    """Give one view's keypoints (frame, joint, 2 or 3) as HumanCalib stores them: missing ones are 0."""
    known = np.isfinite(values).all(-1) & (confidence > 0)
    placed = np.zeros((len(values), 25, values.shape[-1]))
    placed[:, _THEIRS] = np.where(known, values.transpose(2, 0, 1), 0).transpose(1, 2, 0)[:, _OURS]
    score = np.zeros((len(values), 25))
    score[:, _THEIRS] = np.where(known, confidence, 0)[:, _OURS]
    return [
        {"frame_index": frame, "skeleton": [{"pose": pose.ravel().tolist(), "score": scores.tolist()}]}
        for frame, (pose, scores) in enumerate(zip(placed, score, strict=True))
    ]

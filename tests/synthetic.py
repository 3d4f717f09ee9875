"""Small recordings with a known truth, written in the formats of the field."""

import contextlib
import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trilift import cli
from trilift.formats import Camera
from trilift.project.layout import Layout
from trilift.skeletons import BODY25B


def ring_of_cameras(number: int, radius: float = 4.0) -> list[Camera]:
    """Cameras on a circle, 1.5 m above the floor, that look at a point 1 m above its middle."""
    cameras = []
    for i in range(number):
        angle = 2 * np.pi * i / number + 0.3
        position = np.array([radius * np.cos(angle), radius * np.sin(angle), 1.5])
        forward = np.array([0, 0, 1.0]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        K = np.array([[1100.0, 0, 640], [0, 1110.0, 360], [0, 0, 1]])
        distortion = np.array([-0.1, 0.05, 1e-3, -1e-3, 0.0])
        cameras.append(Camera(f"cam{i + 1}", K, distortion, R, -R @ position, np.array([1280, 720])))
    return cameras


def project_with_opencv(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Project (..., 3) to (..., 2) by OpenCV, which knows nothing of our code."""
    import cv2

    rotation, _ = cv2.Rodrigues(camera.R)
    pixels, _ = cv2.projectPoints(points.reshape(-1, 3), rotation, camera.t, camera.K, camera.distortion)
    return pixels.reshape(*points.shape[:-1], 2)


def waving_person(frames: int, seed: int = 0) -> np.ndarray:
    """Points (frame, 25, 3) of a BODY_25B figure that sways and waves, about 1.7 m tall, on the floor z = 0."""
    rng = np.random.default_rng(seed)
    height = {"nose": 1.55, "eye": 1.6, "ear": 1.58, "shoulder": 1.4, "elbow": 1.15, "wrist": 0.95, "hip": 0.95}
    height |= {"knee": 0.5, "ankle": 0.08, "upper_neck": 1.48, "head_top": 1.7, "toe": 0.03, "heel": 0.03}
    pose = np.zeros((len(BODY25B), 3))
    for row, name in zip(pose, BODY25B.keypoints, strict=True):
        side = 1 if name.startswith("left_") else -1 if name.startswith("right_") else 0
        row[:] = 0.2 * side, 0, next(z for part, z in height.items() if part in name)
    time = np.arange(frames)[:, None, None] / 30
    sway = 0.1 * np.sin(time * 2 * np.pi + rng.uniform(0, 6, (1, len(BODY25B), 3)))
    return pose + sway


def write_pose2sim(path: Path, cameras: list[Camera]) -> None:
    import cv2

    lines = []
    for camera in cameras:
        rotation = cv2.Rodrigues(camera.R)[0].ravel().tolist()
        lines += [
            f"[{camera.name}]",
            f'name = "{camera.name}"',
            f"size = {camera.image_size.astype(float).tolist()}",
            f"matrix = {camera.K.tolist()}",
            f"distortions = {camera.distortion[:4].tolist()}",
            f"rotation = {rotation}",
            f"translation = {camera.t.tolist()}",
            "fisheye = false",
            "",
        ]
    path.write_text("\n".join(lines) + "\n[metadata]\nadjusted = false\n")


def write_openpose(folder: Path, cameras: list[Camera], points: np.ndarray, noise_px: float = 1.0) -> None:
    rng = np.random.default_rng(0)
    for camera in cameras:
        pixels = project_with_opencv(camera, points) + rng.normal(0, noise_px, (*points.shape[:2], 2))
        (folder / f"{camera.name}_json").mkdir(parents=True)
        for number, frame in enumerate(pixels):
            keypoints = np.column_stack([frame, np.full(len(frame), 0.8)]).round(3).ravel().tolist()
            (folder / f"{camera.name}_json" / f"{camera.name}.{number:04d}.json").write_text(
                json.dumps({"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": keypoints}]})
            )


def add_person(folder: Path, cameras: list[Camera], points: np.ndarray) -> None:
    """Put a second person first into the files of OpenPose, more confident than the first."""
    for camera in cameras:
        for number, frame in enumerate(project_with_opencv(camera, points)):
            file = folder / f"{camera.name}_json" / f"{camera.name}.{number:04d}.json"
            content = json.loads(file.read_text())
            keypoints = np.column_stack([frame, np.full(len(frame), 0.9)]).ravel().tolist()
            content["people"].insert(number % 2, {"pose_keypoints_2d": keypoints})
            file.write_text(json.dumps(content))


def write_openpose_data_set(raw: Path, frames: int = 24, views: int = 3) -> None:
    """Write a raw folder with a calibration and OpenPose's files."""
    cameras = ring_of_cameras(views)
    raw.mkdir(parents=True, exist_ok=True)
    write_pose2sim(raw / "calibration.toml", cameras)
    write_openpose(raw / "pose", cameras, waving_person(frames))


OPENPOSE_DATA_SET = """
ingest:
  detections:
    format: openpose
    path: pose
    skeleton: body25b
    detector: synthetic
  cameras:
    format: toml
    path: calibration.toml
  fps: 30
split:
  by: time
"""


@dataclass(frozen=True)
class Project:
    """A project folder with one data set, on which the commands run in this process."""

    layout: Layout

    def run(self, command: str, *options: str) -> tuple[int, str]:
        """Run one command; returns the exit code and what it printed to stderr."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            with contextlib.redirect_stderr(io.StringIO()) as printed:
                code = cli.main([command, self.layout.dataset, "--project", str(self.layout.project), *options])
        finally:
            root.handlers[:], root.level = handlers, level
        return code, printed.getvalue()

    def made(self) -> list[Path]:
        """All files of the data set but the raw ones."""
        data = self.layout.project / "data"
        return [file for file in data.rglob("*") if file.is_file() and data / "raw" not in file.parents]


def make_project(
    folder: Path, dataset: str = OPENPOSE_DATA_SET, params: str = "{ingest: {}, triangulate: {}}"
) -> Project:
    """Write the settings of a project with the data set ``tiny`` and an empty raw folder."""
    layout = Layout("tiny", folder)
    layout.raw.mkdir(parents=True)
    layout.dataset_file.parent.mkdir(parents=True)
    layout.dataset_file.write_text(dataset)
    layout.params.write_text(params)
    return Project(layout)

"""Writes cameras in the formats of the field, each in the layout that its own programs use."""

import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from synthetic import write_pose2sim
from trilift.formats import (
    Camera,
    CameraEntry,
    LeftOut,
    Stated,
    humaneva_cameras,
    mpi_inf_3dhp_cameras,
    opencap,
    opencv_yaml,
    panoptic,
    qualisys,
    toml_cameras,
)


def write_caliscope(path: Path, cameras: list[Camera]) -> None:
    lines = ["CreationDate = 2023-05-06T11:12:27.631355", "fps_recording = 24", ""]
    for port, camera in enumerate(cameras):
        lines += [
            f"[{camera.name}]",
            f"port = {port}",
            f"size = {camera.image_size.tolist()}",
            "rotation_count = 0",
            "error = 0.19",
            f"matrix = {camera.K.tolist()}",
            f"distortions = {camera.distortion.tolist()}",
            f"translation = {camera.t.tolist()}",
            f"rotation = {camera.R.tolist()}",
            "ignore = false",
            "",
        ]
    path.write_text("\n".join(lines) + '\n[charuco]\ncolumns = 4\nunits = "inch"\n')


def write_camera_array(path: Path, cameras: list[Camera]) -> None:
    """Write Caliscope's present file."""
    lines = []
    for number, camera in enumerate(cameras):
        lines += [
            f"[cameras.{camera.name}]",
            f"cam_id = {number}",
            f"size = {camera.image_size.tolist()}",
            "rotation_count = 1",
            'exposure = "null"',
            f"matrix = {camera.K.tolist()}",
            f"distortions = {camera.distortion.tolist()}",
            f"translation = {camera.t.tolist()}",
            f"rotation = {cv2.Rodrigues(camera.R)[0].ravel().tolist()}",
            "fisheye = false",
            "",
        ]
    path.write_text("\n".join(lines))


def write_file_storage(path: Path, entries: dict) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in entries.items():
        storage.write(key, value)
    storage.release()
    # OpenCV up to 4 begins its files with this.
    path.write_text(path.read_text().replace("%YAML 1.2", "%YAML:1.0", 1))


def write_easymocap(folder: Path, cameras: list[Camera]) -> None:
    folder.mkdir(exist_ok=True)
    names = {"names": [camera.name for camera in cameras]}
    lenses, poses = dict(names), dict(names)
    for camera in cameras:
        width, height = camera.image_size.tolist()
        lenses |= {f"K_{camera.name}": camera.K, f"dist_{camera.name}": camera.distortion[None]}
        lenses |= {f"H_{camera.name}": height, f"W_{camera.name}": width}
        poses |= {f"R_{camera.name}": cv2.Rodrigues(camera.R)[0], f"Rot_{camera.name}": camera.R}
        poses |= {f"T_{camera.name}": camera.t[:, None]}
    write_file_storage(folder / "intri.yml", lenses)
    write_file_storage(folder / "extri.yml", poses)


def write_opencv_files(folder: Path, cameras: list[Camera]) -> None:
    folder.mkdir(exist_ok=True)
    for camera in cameras:
        width, height = camera.image_size.tolist()
        entries = {
            "calibration_time": "Sun 12 Oct 2025 11:12:27",
            "image_width": width,
            "image_height": height,
            "fisheye_model": 0,
            "camera_matrix": camera.K,
            "distortion_coefficients": camera.distortion[:, None],
            "avg_reprojection_error": 0.25,
            "R": camera.R,
            "T": camera.t[:, None],
        }
        write_file_storage(folder / f"{camera.name}.yml", entries)


def write_panoptic(path: Path, cameras: list[Camera]) -> None:
    entries = [
        {
            "name": camera.name,
            "type": "hd",
            "resolution": camera.image_size.tolist(),
            "panel": 0,
            "node": node,
            "K": camera.K.tolist(),
            "distCoef": camera.distortion.tolist(),
            "R": camera.R.tolist(),
            "t": (camera.t[:, None] * 100).tolist(),
        }
        for node, camera in enumerate(cameras)
    ]
    path.write_text(json.dumps({"calibDataSource": "synthetic", "cameras": entries}))


def write_panoptic_files(path: Path, cameras: list[Camera]) -> None:
    """A file per camera, called as the camera."""
    path.mkdir()
    for camera in cameras:
        write_panoptic(path / "all.json", [camera])
        (entry,) = json.loads((path / "all.json").read_text())["cameras"]
        (path / f"{camera.name}.json").write_text(json.dumps(entry))
    (path / "all.json").unlink(missing_ok=True)


def write_mpi_inf_3dhp(path: Path, cameras: list[Camera]) -> None:
    lines = ["Skeletool Camera Calibration File V1.0"]
    for camera in cameras:
        intrinsic, extrinsic = np.eye(4), np.eye(4)
        intrinsic[:3, :3], extrinsic[:3, :3], extrinsic[:3, 3] = camera.K, camera.R, camera.t * 1000
        lines += [
            f"name          {camera.name}",
            "  sensor      10 10",
            f"  size        {_spaced(camera.image_size)}",
            "  animated    0",
            f"  intrinsic   {_spaced(intrinsic)} ",
            f"  extrinsic   {_spaced(extrinsic)} ",
            "  radial      0",
        ]
    path.write_text("\n".join(lines) + "\n")


def write_humaneva(folder: Path, cameras: list[Camera]) -> None:
    folder.mkdir(exist_ok=True)
    for camera in cameras:
        (fx, _, cx), (_, fy, cy), _ = camera.K
        groups = [[fx, fy], [cx, cy], [0], camera.distortion, *camera.R, camera.t * 1000]
        (folder / f"{camera.name}.cal").write_text("\n".join(_spaced(np.array(group)) for group in groups) + "\n")


def write_opencap(folder: Path, cameras: list[Camera]) -> None:
    for camera in cameras:
        (folder / camera.name).mkdir(parents=True)
        content = {
            "distortion": camera.distortion[None],
            "intrinsicMat": camera.K,
            "imageSize": camera.image_size[::-1, None].astype(float),
            "rotation": camera.R,
            "translation": 1000 * camera.t[:, None],
            "rotation_EulerAngles": np.zeros(3),
        }
        (folder / camera.name / opencap.FILE).write_bytes(pickle.dumps(content))


def write_qualisys(path: Path, cameras: list[Camera]) -> None:
    root = ElementTree.Element("calibration", {"qtm-version": "2024.3 (build 14360)", "type": "regular"})
    ElementTree.SubElement(root, "results", {"std-dev": "0.438491"})
    listed = ElementTree.SubElement(root, "cameras")
    for camera in cameras:
        entry = ElementTree.SubElement(listed, "camera", {"active": "1", "serial": camera.name, "viewrotation": "0"})
        (fx, skew, cx), (_, fy, cy), _ = 64 * camera.K
        right, bottom = camera.image_size - 1
        for tag in ("fov_marker", "fov_marker_max", "fov_video", "fov_video_max"):
            ElementTree.SubElement(entry, tag, _texts(left=0, top=0, right=right, bottom=bottom))
        x, y, z = -1000 * camera.R.T @ camera.t
        axes = camera.R * [[1], [-1], [-1]]  # right, up, backwards
        rows = {f"r{row + 1}{column + 1}": axes[row, column] for row, column in np.ndindex(3, 3)}
        ElementTree.SubElement(entry, "transform", _texts(x=x, y=y, z=z, **rows))
        k1, k2, p1, p2, k3 = camera.distortion
        sensor_u, sensor_v = 64 * camera.image_size - 1
        fields = {"sensorMinU": 0, "sensorMaxU": sensor_u, "sensorMinV": 0, "sensorMaxV": sensor_v, "skew": skew}
        fields |= {"focallength": 9.3, "focalLengthU": fx, "focalLengthV": fy, "centerPointU": cx, "centerPointV": cy}
        fields |= {"radialDistortion1": k1, "radialDistortion2": k2, "radialDistortion3": k3}
        fields |= {"tangentalDistortion1": p1, "tangentalDistortion2": p2}
        ElementTree.SubElement(entry, "intrinsic", _texts(**fields))
    ElementTree.ElementTree(root).write(path, "ASCII", xml_declaration=True)


def _texts(**fields: float) -> dict[str, str]:
    return {key: repr(float(value)) for key, value in fields.items()}


def _spaced(numbers: np.ndarray) -> str:
    return " ".join(repr(number) for number in numbers.ravel().tolist())


def read_all(cameras: list[CameraEntry], **stated: Any) -> list[Camera]:
    """Read what a calibration lists, without what is left out."""
    return [camera for entry in cameras if not isinstance(camera := entry.read(Stated(**stated)), LeftOut)]


@dataclass(frozen=True)
class Format:
    """A reader with a writer; ``distortion`` coefficients fit in a file."""

    list_cameras: Callable[[Path], list[CameraEntry]]
    write: Callable[[Path, list[Camera]], None]
    distortion: int = 5
    has_size: bool = True

    def read(self, path: Path, **stated: Any) -> list[Camera]:
        return read_all(self.list_cameras(path), **stated)


FORMATS = {
    "pose2sim": Format(toml_cameras.list_cameras, write_pose2sim, distortion=4),
    "caliscope": Format(toml_cameras.list_cameras, write_caliscope),
    "caliscope_array": Format(toml_cameras.list_cameras, write_camera_array),
    "easymocap": Format(opencv_yaml.list_cameras, write_easymocap),
    "opencv": Format(opencv_yaml.list_cameras, write_opencv_files),
    "opencap": Format(opencap.list_cameras, write_opencap),
    "panoptic": Format(panoptic.list_cameras, write_panoptic),
    "panoptic_files": Format(panoptic.list_cameras, write_panoptic_files),
    "mpi_inf_3dhp": Format(mpi_inf_3dhp_cameras.list_cameras, write_mpi_inf_3dhp, distortion=0),
    "qualisys": Format(qualisys.list_cameras, write_qualisys),
    "humaneva": Format(humaneva_cameras.list_cameras, write_humaneva, has_size=False),
}

"""The calibration that the stage calibrate writes, as Pose2Sim, Anipose and Caliscope share it.

A TOML file with a section for each camera that was placed. Its section ``[metadata]``, which those programs pass
over, says what was found out about all cameras: lists in one order.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from scipy.spatial.transform import Rotation

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, toml_cameras
from trilift.formats.by_people import NOT_PLACED, SECTION, About, read_about
from trilift.formats.camera_fields import check_rig, no_camera
from trilift.project.files import write_text


def write(path: Path, cameras: Sequence[Camera], about: About) -> None:
    """Write a calibration.

    Parameters
    ----------
    path
        Where to.
    cameras
        Those that were placed.
    about
        What was found out about all.
    """
    lines = []
    for camera in cameras:
        rotation = Rotation.from_matrix(camera.R).as_rotvec()
        lines += [
            f"[{_in_toml(camera.name if camera.name != SECTION else f'{SECTION}_')}]",
            f"name = {_in_toml(camera.name)}",
            f"size = {camera.image_size.astype(float).tolist()}",
            f"matrix = {camera.K.tolist()}",
            f"distortions = {camera.distortion.tolist()}",
            f"rotation = {rotation.tolist()}",
            f"translation = {camera.t.tolist()}",
            "fisheye = false",
            "",
        ]
    lines.append(f"[{SECTION}]")
    lines += [f"{key} = {_in_toml(value)}" for key, value in about.model_dump().items()]
    write_text(path, "\n".join(lines) + "\n")


def _in_toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def list_cameras(path: Path) -> list[CameraEntry]:
    """List all cameras, those that were not placed too: they are left out when they are read.

    Raises
    ------
    InputError
        If the file is not there, damaged, or another calibration.
    """
    about = read_about(path)
    placed = {camera.name: camera for camera in toml_cameras.list_cameras(path)}
    lost = {
        name: no_camera(name, f"{path}", "could not be placed by people")
        for name, verdict in zip(about.cameras, about.verdicts, strict=True)
        if verdict == NOT_PLACED
    }
    if lacking := [name for name in about.cameras if name not in placed | lost]:
        raise InputError(f"{path}: lacks a section for {', '.join(lacking)}; make it again")
    return check_rig([(placed | lost)[name] for name in about.cameras], f"{path}", "those of [metadata]")

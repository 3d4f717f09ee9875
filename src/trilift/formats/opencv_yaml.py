"""YAML calibrations of OpenCV's FileStorage: EasyMocap's pair of files, or a file per camera."""

import re
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trilift.errors import InputError
from trilift.formats import Camera, CameraEntry, LeftOut, Stated
from trilift.formats.camera_fields import (
    Keys,
    camera_name,
    check_camera,
    check_rig,
    distortion,
    files_of,
    image_size,
    no_camera,
    numbers,
    read_camera,
    read_text,
    rotation,
    without_pose,
)

_KEY = re.compile(r"^[\"']?(camera_matrix|(K|R|Rot)_[^\s:]+)\s*:", re.MULTILINE)
_OF_ONE_CAMERA = re.compile(r"^[\"']?camera_matrix[\"']?\s*:", re.MULTILINE)


def recognises(path: Path) -> Path | None:
    """Give what `list_cameras` takes, if a file is of this format."""
    try:
        return path.parent if _KEY.search(read_text(path)) else None
    except InputError:
        return None


def list_cameras(path: Path) -> list[CameraEntry]:
    """List the cameras of a folder, lengths taken as metres.

    Parameters
    ----------
    path
        A folder (or the ``intri.yml`` in it) with EasyMocap's ``intri.yml`` and ``extri.yml``; or a folder with a
        file per camera as OpenCV's calibration samples write them, to which the pose was added as ``R`` or ``rvec``
        and ``T`` or ``tvec``. A camera is then called as its file without the ending; they come sorted by name.
        What has no pose is left out when it is read.

    Raises
    ------
    InputError
        If one of the pair of files is damaged; on reading, if a camera's file is, a camera lacks an entry, or its
        lens model does not fit ours.
    """
    if path.name == "intri.yml":
        return _list_easymocap(path, path.with_name("extri.yml"))
    files = files_of(path, ".yml", ".yaml")
    if {"intri.yml", "extri.yml"} & {file.name for file in files}:
        return _list_easymocap(path / "intri.yml", path / "extri.yml")
    cameras = [
        CameraEntry(camera_name(f"{file}", file.stem), f"{file}", partial(_read_one, file))
        for file in files
        if _may_be_a_camera(file)
    ]
    return check_rig(cameras, f"{path}", "intri.yml and extri.yml, or a .yml per camera")


def _may_be_a_camera(file: Path) -> bool:
    try:
        return _OF_ONE_CAMERA.search(read_text(file)) is not None
    except InputError:  # which matters if it is needed
        return True


def _list_easymocap(intri: Path, extri: Path) -> list[CameraEntry]:
    lenses, poses = _load(intri), _load(extri)
    names, posed = lenses.get("names"), poses.get("names")
    if not isinstance(names, list):
        raise InputError(f"{intri}: lacks `names`, the list of the cameras")
    cameras = []
    for name in (camera_name(f"{intri}", name) for name in names):
        where = f"{intri.parent}, camera {name}"
        cameras.append(CameraEntry(name, where, partial(_camera_of_pair, intri, extri, name, lenses, poses)))
    for name in posed if isinstance(posed, list) else []:
        if name not in names:
            cameras.append(no_camera(camera_name(f"{extri}", name), f"{extri}", f"is not in {intri.name}"))
    return check_rig(cameras, f"{intri}", "their names under `names`")


def _camera_of_pair(
    intri: Path, extri: Path, name: str, lenses: dict[str, Any], poses: dict[str, Any], stated: Stated
) -> Camera | LeftOut:
    R, t = _either(poses, f"R_{name}", f"Rot_{name}"), f"T_{name}"
    if stated.lens_only:
        poses = {R: [0, 0, 0], t: [0, 0, 0]}
    if left_out := without_pose(name, poses, R, t):
        return left_out
    camera = Camera(
        name=name,
        K=numbers(f"{intri}", lenses, f"K_{name}", (3, 3)),
        distortion=distortion(f"{intri}", lenses, _either(lenses, f"dist_{name}", f"D_{name}"), stated),
        R=rotation(f"{extri}", poses, R),
        t=numbers(f"{extri}", poses, t, (3,)),
        image_size=image_size(f"{intri}", lenses, stated, f"W_{name}", f"H_{name}"),
    )
    return check_camera(camera, f"{intri.parent}, camera {name}")


def _read_one(file: Path, stated: Stated) -> Camera | LeftOut:
    where, content = f"{file}", _load(file)
    R, t = _either(content, "R", "rvec"), _either(content, "T", "tvec")
    keys = Keys("camera_matrix", "distortion_coefficients", R, t, ("image_width", "image_height"))
    is_fisheye = content.get("fisheye_model", "0") != "0"
    return read_camera(where, file.stem, content, keys, stated, fisheye=is_fisheye)


def _either(content: dict[str, Any], key: str, other: str) -> str:
    return other if other in content and key not in content else key


MOST_DEPTH = 10  # of lists in lists; OpenCV needs 4, and 50,000 crash the parser, which recurses


class _Loader(yaml.CBaseLoader):
    """Leaves scalars as text, so that a camera called 010 keeps its name."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.MarkedYAMLError(problem="a key is there twice", problem_mark=node.start_mark)
        return mapping

    def construct_matrix(self, node: yaml.MappingNode) -> np.ndarray:
        entries = self.construct_mapping(node, deep=True)
        try:
            sizes = entries["sizes"] if "sizes" in entries else [entries["rows"], entries["cols"]]
            channels = str(entries.get("dt", "")).rstrip("ucwsifdrh")  # "2f": points of single precision
            return np.array(entries["data"], object).reshape([int(size) for size in (*sizes, channels) if size])
        except (KeyError, ValueError, TypeError, OverflowError):
            problem = "a matrix must have rows and cols (or sizes) and as many data"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _Loader.construct_matrix)
# OpenCV 5 writes arrays of one axis so.
_Loader.add_constructor("tag:yaml.org,2002:opencv-nd-matrix", _Loader.construct_matrix)


def _load(file: Path) -> dict[str, Any]:
    text = read_text(file)
    if text.startswith("%YAML"):  # OpenCV's "%YAML:1.0" is no YAML
        text = text.partition("\n")[2]
    try:
        _check_depth(text)
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        text = "".join(filter(str.isprintable, " ".join(str(error).split())))
        raise InputError(f"{file}: no valid YAML of OpenCV ({text})") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: no valid YAML of OpenCV (keys with values are expected)")
    return content


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.CBaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise yaml.YAMLError(f"more than {MOST_DEPTH} levels")

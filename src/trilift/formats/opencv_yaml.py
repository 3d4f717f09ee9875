"""YAML calibrations of OpenCV's FileStorage: EasyMocap's pair of files, or a file per camera."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trilift.errors import InputError
from trilift.formats import Camera
from trilift.formats.camera_fields import (
    camera_name,
    check_camera,
    check_rig,
    distortion,
    files_of,
    numbers,
    read_text,
    rotation,
)

_KEY = re.compile(r"^[\"']?(camera_matrix|(K|R|Rot)_[^\s:]+)\s*:", re.MULTILINE)


def recognises(path: Path) -> Path | None:
    """Give what `read_cameras` takes, if a file is of this format."""
    try:
        return path.parent if _KEY.search(read_text(path)) else None
    except InputError:
        return None


def read_cameras(path: Path) -> list[Camera]:
    """Read the cameras of a folder, lengths taken as metres.

    Parameters
    ----------
    path
        A folder (or the ``intri.yml`` in it) with EasyMocap's ``intri.yml`` and ``extri.yml``; or a folder with a
        file per camera as OpenCV's calibration samples write them, to which the pose was added as ``R`` or ``rvec``
        and ``T`` or ``tvec``. A camera is then called as its file without the ending; they come sorted by name.

    Raises
    ------
    InputError
        If a file is damaged, a camera lacks an entry, or its lens model does not fit ours.
    """
    if path.name == "intri.yml":
        return _read_easymocap(path, path.with_name("extri.yml"))
    files = files_of(path, ".yml", ".yaml")
    if {"intri.yml", "extri.yml"} & {file.name for file in files}:
        return _read_easymocap(path / "intri.yml", path / "extri.yml")
    return check_rig([_read_one(file) for file in files], f"{path}", "intri.yml and extri.yml, or a .yml per camera")


def _read_easymocap(intri: Path, extri: Path) -> list[Camera]:
    lenses, poses = _load(intri), _load(extri)
    names = lenses.get("names")
    if not isinstance(names, list):
        raise InputError(f"{intri}: lacks `names`, the list of the cameras")
    cameras = []
    for name in (camera_name(f"{intri}", name) for name in names):
        camera = Camera(
            name=name,
            K=numbers(f"{intri}", lenses, f"K_{name}", (3, 3)),
            distortion=distortion(f"{intri}", lenses, _either(lenses, f"dist_{name}", f"D_{name}")),
            R=rotation(f"{extri}", poses, _either(poses, f"R_{name}", f"Rot_{name}")),
            t=numbers(f"{extri}", poses, f"T_{name}", (3,)),
            image_size=_image_size(f"{intri}", lenses, f"W_{name}", f"H_{name}"),
        )
        cameras.append(check_camera(camera, f"{intri.parent}, camera {name}"))
    return check_rig(cameras, f"{intri}", "their names under `names`")


def _read_one(file: Path) -> Camera:
    where, content = f"{file}", _load(file)
    if content.get("fisheye_model", "0") != "0":
        raise InputError(f"{where}: fisheye lenses are not supported; undistort the detections first")
    camera = Camera(
        name=camera_name(where, file.stem),
        K=numbers(where, content, "camera_matrix", (3, 3)),
        distortion=distortion(where, content, "distortion_coefficients"),
        R=rotation(where, content, _either(content, "R", "rvec")),
        t=numbers(where, content, _either(content, "T", "tvec"), (3,)),
        image_size=_image_size(where, content, "image_width", "image_height"),
    )
    return check_camera(camera, where)


def _either(content: dict[str, Any], key: str, other: str) -> str:
    return other if other in content and key not in content else key


def _image_size(where: str, content: dict[str, Any], width: str, height: str) -> np.ndarray:
    if width not in content and height not in content:
        return np.zeros(2)
    return np.array([numbers(where, content, key, ()) for key in (width, height)])


MOST_DEPTH = 10  # of lists in lists; OpenCV needs 4, and the parser seconds for hundreds


class _Loader(yaml.BaseLoader):
    """Leaves scalars as text, so that a camera called 010 keeps its name."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        # A few nested aliases stand for billions of entries, and calibrations have none.
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        if self.depth == MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MOST_DEPTH} levels", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.MarkedYAMLError(problem="a key is there twice", problem_mark=node.start_mark)
        return mapping

    def construct_matrix(self, node: yaml.MappingNode) -> np.ndarray:
        entries = self.construct_mapping(node, deep=True)
        try:
            sizes = entries["sizes"] if "sizes" in entries else [entries["rows"], entries["cols"]]
            return np.array(entries["data"], object).reshape([int(size) for size in sizes])
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
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        text = "".join(filter(str.isprintable, " ".join(str(error).split())))
        raise InputError(f"{file}: no valid YAML of OpenCV ({text})") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: no valid YAML of OpenCV (keys with values are expected)")
    return content

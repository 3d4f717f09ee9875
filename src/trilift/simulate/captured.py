"""Captured motion: clips of files as joints of the training skeleton, cut to what a rig in one place can film."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from trilift.errors import InputError, listed
from trilift.formats.calibration import METRES
from trilift.formats.checks import check_not_infinite
from trilift.formats.npz import read_npz
from trilift.geometry.upright import upright
from trilift.simulate.settings import MotionFile
from trilift.skeletons import H36M17

FASTEST = 15.0
"""Speed (m/s) of a joint beyond which it is a glitch of the capture: hands and feet reach 12 in sports."""

ROOM = 1.5
"""How far (m) the pelvis gets from the middle of the room, at most."""

SHORTEST_S = 0.8
"""Pieces of clips shorter than this (s) are left out."""

_FOLLOW = ("pelvis", "spine", "nose")
"""Joints that a file need not have: what else is there tells where they are."""


class Clip(NamedTuple):
    """A clip: its name, and ``poses`` (frame, 17, 3), metres; NaN where missing."""

    name: str
    poses: np.ndarray
    fps: float


def read(path: Path, source: MotionFile) -> list[Clip]:
    """Read the clips of a file of captured motion, as the file has them, in metres.

    Raises
    ------
    InputError
        If it is damaged, of no known format, or lacks a joint.
    """
    readers = {".npz": _read_npz, ".c3d": _read_c3d, ".bvh": _read_bvh}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: motion is read from {', '.join(readers)}")
    clips = readers[path.suffix.lower()](path, source)
    for clip in clips:
        check_not_infinite(clip.poses, f"{path}, clip {clip.name}")
    return clips


def _read_npz(path: Path, source: MotionFile) -> list[Clip]:
    joints, fps, number = read_npz(path, "joints", "fps", "clip", optional=("clip",))
    number = np.zeros(np.shape(joints)[:1], int) if number is None else number
    if np.shape(joints)[1:] != (len(H36M17), 3) or np.shape(number) != np.shape(joints)[:1] or not len(joints):
        raise InputError(
            f"{path}: expected `joints` (frames, {len(H36M17)}, 3) and `clip` (frames), but they are "
            f"{np.shape(joints)} and {np.shape(number)}"
        )
    if joints.dtype.kind != "f" or np.ndim(fps) or not 1 <= float(fps) <= 1000:
        raise InputError(f"{path}: expected `joints` of floating-point numbers and one `fps`, from 1 to 1000")
    if source.joints:
        raise InputError(f"{path}: the joints of an .npz file have no names; leave `joints` out (simulate: motion)")
    metres = METRES[source.unit or "m"]
    borders = np.flatnonzero(np.diff(number)) + 1
    parts = np.split(metres * joints.astype(float), borders)
    return [Clip(f"{path.stem}-{order}", poses, float(fps)) for order, poses in enumerate(parts)]


def _read_c3d(path: Path, source: MotionFile) -> list[Clip]:
    try:
        import ezc3d
    except ImportError:
        raise InputError(_needs(path, "ezc3d")) from None
    try:
        file = ezc3d.c3d(str(path))
        about = file["parameters"]["POINT"]
        labels, fps, stated = about["LABELS"]["value"], about["RATE"]["value"][0], about["UNITS"]["value"]
        points = file["data"]["points"][:3].transpose(2, 1, 0)
    except Exception as error:  # of many kinds
        raise InputError(f"{path}: no readable C3D file ({error!s:.200})") from None
    unit = source.unit or (stated[0].strip().lower() if stated else "mm")
    if unit not in METRES:
        raise InputError(f"{path}: is in {unit!a:.20}; state the `unit` of the file: {', '.join(METRES)}")
    return [Clip(path.stem, METRES[unit] * _joints(path, labels, points, source), float(fps))]


def _read_bvh(path: Path, source: MotionFile) -> list[Clip]:
    try:
        import pybvh
    except ImportError:
        raise InputError(_needs(path, "pybvh")) from None
    try:
        file = pybvh.read_bvh_file(path, world_up="+y")  # which axis is up, we look for ourselves
        names, points, fps = list(file.node_index), file.node_positions(), file.fps
    except Exception as error:  # of many kinds
        raise InputError(f"{path}: no readable BVH file ({error!s:.200})") from None
    return [Clip(path.stem, METRES[source.unit or "cm"] * _joints(path, names, points, source), float(fps))]


def _needs(path: Path, package: str) -> str:
    return f'{path}: needs the package {package}; install it: pip install -c constraints.txt -e ".[motion]"'


def _joints(path: Path, names: list[str], points: np.ndarray, source: MotionFile) -> np.ndarray:
    """Form the joints (frame, 17, 3) of named points (frame, point, 3)."""
    joints = np.full((len(points), len(H36M17), 3), np.nan)
    for row, joint in enumerate(H36M17.keypoints):
        members = source.joints.get(joint, [joint])
        if lacking := [name for name in members if name not in names]:
            if joint in _FOLLOW and joint not in source.joints:
                continue
            raise InputError(
                f"{path}: has no {listed(lacking)} for the {joint}; name its points in the data set's file, "
                f"`joints: {{{joint}: [...]}}`. There are {listed(names, 60)}"
            )
        joints[:, row] = points[:, [names.index(name) for name in members]].mean(1)
    return joints


def pieces(clip: Clip, fps: float, seconds: float) -> Iterator[Clip]:
    """Cut a clip into pieces that a rig in one place can film, at another frame rate.

    People are turned upright. The pelvis becomes the middle of the hips, as in Human3.6M; capture systems put theirs
    higher. Pieces end before and begin after frames that lack a joint or in which one is faster than `FASTEST`. In a
    piece, which is at most `seconds` long, the pelvis stays within `ROOM` of where the middle of the floor is put:
    at the origin.
    """
    poses = clip.poses @ upright(clip.poses, H36M17).T
    column = H36M17.index
    poses[:, column("pelvis")] = poses[:, [column("left_hip"), column("right_hip")]].mean(1)
    spine = poses[:, column("spine")]
    straight = poses[:, [column("pelvis"), column("thorax")]].mean(1)
    poses[:, column("spine")] = np.where(np.isfinite(spine), spine, straight)
    poses[:, column("nose")] = poses[:, column("thorax")]  # the head is made anew, see `retarget`
    known = np.isfinite(poses).all((1, 2))
    for one, other in (("thorax", "head_top"), ("left_shoulder", "right_shoulder")):
        known &= np.linalg.norm(poses[:, column(one)] - poses[:, column(other)], axis=-1) > 0.01
    with np.errstate(invalid="ignore"):
        fast = np.linalg.norm(np.diff(poses, axis=0), axis=-1).max(1) * clip.fps > FASTEST
    sound = np.flatnonzero(known)
    for run in np.split(sound, np.flatnonzero((np.diff(sound) > 1) | fast[sound[:-1]]) + 1):
        if len(run) < max(4, SHORTEST_S * clip.fps):
            continue
        time = np.arange(len(run)) / clip.fps
        resampled = CubicSpline(time, poses[run])(np.arange(int(time[-1] * fps) + 1) / fps)
        begin = 0
        while begin < len(resampled):
            piece = resampled[begin : begin + round(seconds * fps)]
            on_floor = piece[:, column("pelvis"), :2]
            # The box around the way so far: its half diagonal only grows.
            box = np.maximum.accumulate(on_floor) - np.minimum.accumulate(on_floor)
            length = int(np.searchsorted(np.hypot(*box.T) / 2, ROOM, side="right"))
            if length >= SHORTEST_S * fps:
                middle = (on_floor[:length].max(0) + on_floor[:length].min(0)) / 2
                yield Clip(clip.name, piece[:length] - np.append(middle, 0), fps)
            begin += length

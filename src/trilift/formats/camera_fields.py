"""What all readers of calibrations share: reading a text file, and the checks of what a camera must be."""

import reprlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from trilift.errors import InputError, listed
from trilift.formats import Camera, CameraEntry, LeftOut, Stated
from trilift.formats.folders import files_in, folders_in

LARGEST_FILE = 64 << 20  # bytes: programs put all points that they calibrated with into the same file
LARGEST_NUMBER = 1e9  # of any field: larger ones are damage, and their squares would overflow later
LARGEST_IMAGE = 1e5  # px
LONGEST_NAME = 255  # characters, as of files
TOLERANCE = 1e-3  # files hold rounded rotations
UNDISTORT = "undistort the detections and state `undistorted: true` (ingest: detections:, or predict --undistorted)"
IMAGE_SIZE = "state it in the data set's file (ingest: cameras: image_size: [width, height], or predict --image-size)"


def check_file(path: Path) -> None:
    """Refuse a folder, a device and a huge file."""
    if path.is_dir():
        raise InputError(f"{path}: a folder, but a file is expected")
    if not path.is_file():
        raise InputError(f"{path}: not there")
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(
            f"{path}: larger than {LARGEST_FILE >> 20} MiB; leave only the cameras in it, without the points "
            "that they were calibrated with"
        )


def read_text(path: Path) -> str:
    """Read a file as UTF-8 text; a folder, a device and a huge file are refused."""
    try:
        check_file(path)
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error})") from None


def files_of(folder: Path, *endings: str) -> list[Path]:
    """List the files of a folder with one of the endings, sorted by name."""
    return _entries(folder, f"files {' or '.join(endings)}", lambda: files_in(folder, *endings))


def folders_of(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted by name."""
    return _entries(folder, "a folder per camera", lambda: folders_in(folder))


def _entries(folder: Path, expected: str, listed: Callable[[], list[Path]]) -> list[Path]:
    try:
        if folder.is_dir():
            return listed()
    except OSError as error:
        raise InputError(f"{folder}: not readable ({error})") from None
    raise InputError(f"{folder}: no folder, but a folder with {expected} is expected")


def camera_name(where: str, value: object) -> str:
    """Check the name of a camera."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        raise InputError(f"{where}: the name of a camera must be short text, found {_shown(value)}")
    return value


def numbers(where: str, mapping: Mapping[str, Any], key: str, *shapes: tuple[int, ...]) -> np.ndarray:
    """Give an entry as finite numbers of one of the shapes; a single row or column counts as a vector."""
    expected = " or ".join("x".join(map(str, shape)) or "1" for shape in shapes)
    if key not in mapping:
        raise InputError(f"{where}: lacks `{key}` (numbers: {expected})")
    try:
        array = np.array(mapping[key], np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.array(np.nan)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.shape not in shapes or not np.isfinite(array).all():
        raise InputError(
            f"{where}: `{key}` must be {expected} finite numbers, found {_shown(mapping[key])}; "
            "calibrate the camera again or correct the entry"
        )
    return array


def rotation(where: str, mapping: Mapping[str, Any], key: str) -> np.ndarray:
    """Give an entry, a Rodrigues vector or a matrix, as (3, 3)."""
    array = numbers(where, mapping, key, (3,), (3, 3))
    if array.shape == (3, 3):
        return array
    if np.abs(array).max() > LARGEST_NUMBER:
        raise InputError(f"{where}: `{key}` must be a rotation vector in radians, found {array}")
    return Rotation.from_rotvec(array).as_matrix()


def distortion(
    where: str, mapping: Mapping[str, Any], key: str, stated: Stated, *, fisheye: bool = False
) -> np.ndarray:
    """Give an entry as k1 k2 p1 p2 k3.

    Longer models are taken only where they do not go beyond these. Where the detections are undistorted, what is none
    of ours counts as 0.
    """
    try:
        if fisheye:
            raise InputError(f"{where}: fisheye lenses are not supported; {UNDISTORT}")
        coefficients = numbers(where, mapping, key, (4,), (5,), (8,), (12,), (14,))
        if coefficients[5:].any():
            raise InputError(
                f"{where}: `{key}`: rational or thin-prism model with {len(coefficients)} coefficients is not "
                f"supported; {UNDISTORT}, or calibrate with 5"
            )
    except InputError:
        if stated.undistorted:
            return np.zeros(5)
        raise
    return np.pad(coefficients, (0, 5))[:5]


def image_size(where: str, mapping: Mapping[str, Any], stated: Stated, *keys: str) -> np.ndarray:
    """Give width and height, under one key or under two, if the data set's file states no others; 0 where unknown."""
    if stated.image_size is not None:
        return np.array(stated.image_size)
    if not any(key in mapping for key in keys):
        return np.zeros(2)
    shape = (2,) if len(keys) == 1 else ()
    return np.ravel([numbers(where, mapping, key, shape) for key in keys])


def without_pose(name: str, mapping: Mapping[str, Any], *keys: str) -> LeftOut | None:
    """Tell that a camera has no pose where an entry is absent, or stands for nothing."""
    lacking = [key for key in keys if not _holds_something(mapping.get(key))]
    return LeftOut(name, f"has no pose (lacks `{'` and `'.join(lacking)}`)") if lacking else None


def no_camera(name: str, where: str, reason: str) -> CameraEntry:
    """Enter what a calibration holds beside its cameras, so that it is told that it is left out."""
    return CameraEntry(name, where, lambda _: LeftOut(name, reason))


def _holds_something(value: object) -> bool:
    if isinstance(value, list | np.ndarray):
        return len(value) > 0
    return value is not None and value not in ("", "~", "null")  # as Caliscope writes None


class Keys(NamedTuple):
    """What a format calls the fields of a camera."""

    K: str
    distortion: str
    R: str
    t: str
    image_size: tuple[str, ...]


def read_camera(
    where: str,
    name: str,
    entry: Mapping[str, Any],
    keys: Keys,
    stated: Stated,
    *,
    per_metre: float = 1.0,
    fisheye: bool = False,
) -> Camera | LeftOut:
    """Read the camera of an entry, if it has a pose, and check it."""
    if stated.lens_only:
        entry = {**entry, keys.R: [0, 0, 0], keys.t: [0, 0, 0]}
    if left_out := without_pose(name, entry, keys.R, keys.t):
        return left_out
    camera = Camera(
        name=name,
        K=numbers(where, entry, keys.K, (3, 3)),
        distortion=distortion(where, entry, keys.distortion, stated, fisheye=fisheye),
        R=rotation(where, entry, keys.R),
        t=numbers(where, entry, keys.t, (3,)) / per_metre,
        image_size=image_size(where, entry, stated, *keys.image_size),
    )
    return check_camera(camera, where)


def check_camera(camera: Camera, where: str) -> Camera:
    """Check every field and give the camera with what files round made exact: K's lower part, skew, R, its size.

    Raises
    ------
    InputError
        If a field is not finite or not what its name says.
    """
    _check_size(where, "distortion", camera.distortion)
    _check_size(where, "t", camera.t)
    K, R = _intrinsics(camera.K, where), _nearest_rotation(camera.R, where)
    return replace(camera, K=K, R=R, image_size=_whole(camera.image_size, where))


def check_rig(cameras: list[CameraEntry], where: str, expected: str) -> list[CameraEntry]:
    """Refuse a calibration without cameras or with two of one name."""
    if not cameras:
        raise InputError(f"{where}: no camera found ({expected})")
    names = Counter(camera.name for camera in cameras)
    if twice := [name for name, number in names.items() if number > 1]:
        raise InputError(f"{where}: two cameras are named {listed(twice)}; rename one of each")
    return cameras


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value.tolist() if isinstance(value, np.ndarray) else value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a huge integer"


def _check_size(where: str, field: str, array: np.ndarray) -> None:
    if not (np.abs(array) < LARGEST_NUMBER).all():
        raise InputError(
            f"{where}: {field} holds NaN, infinity or a number beyond {LARGEST_NUMBER:g}; calibrate the camera again"
        )


def _intrinsics(K: np.ndarray, where: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        K = K / K[2, 2]
    if not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1], atol=1e-9):
        raise InputError(f"{where}: K must be upper triangular: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    _check_size(where, "K", K)
    (fx, skew, cx), (_, fy, cy), _ = K
    if not (fx > 0 and fy > 0):
        raise InputError(f"{where}: the focal lengths in K must be positive, found {fx:g} and {fy:g}")
    if abs(skew) > TOLERANCE * fx:
        raise InputError(f"{where}: K has a skew of {skew:g} px, which is not supported; calibrate without skew")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _nearest_rotation(R: np.ndarray, where: str) -> np.ndarray:
    _check_size(where, "R", R)
    if np.abs(R @ R.T - np.eye(3)).max() > TOLERANCE:
        raise InputError(f"{where}: R is no rotation matrix (R times its transpose must be the identity)")
    if np.linalg.det(R) < 0:
        raise InputError(f"{where}: R is a reflection (determinant -1); export it with right-handed axes")
    u, _, vt = np.linalg.svd(R)
    return u @ vt


def _whole(size: np.ndarray, where: str) -> np.ndarray:
    """Round a size: programs that scaled it write fractions of pixels."""
    rounded = np.round(size)
    if not ((rounded >= 0) & (rounded < LARGEST_IMAGE)).all() or (rounded == 0).sum() == 1:
        raise InputError(
            f"{where}: the image's width and height must be numbers of pixels below {LARGEST_IMAGE:g}, "
            f"found {size[0]:g} and {size[1]:g}; {IMAGE_SIZE}"
        )
    return rounded.astype(int)

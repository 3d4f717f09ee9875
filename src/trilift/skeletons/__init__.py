"""Layouts of keypoints, each a file of data in this folder, and the mapping of one onto another. Imports `project`.

Left/right pairs and bones come from here and nowhere else.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.project.params import read_yaml
from trilift.skeletons.definition import Skeleton, of_definition, refuse, unknown


def _read(path: Path) -> Skeleton:
    return of_definition(path.stem, read_yaml(path), str(path))


_HERE = Path(__file__).parent
H36M17 = _read(_HERE / "h36m17.yaml")
COCO17 = _read(_HERE / "coco17.yaml")
COCO18 = _read(_HERE / "coco18.yaml")
MPII16 = _read(_HERE / "mpii16.yaml")
OPENPOSE25 = _read(_HERE / "openpose25.yaml")
BODY25B = _read(_HERE / "body25b.yaml")
HALPE26 = _read(_HERE / "halpe26.yaml")
COCO133 = _read(_HERE / "coco133.yaml")
BODY135 = _read(_HERE / "body135.yaml")
HALPE136 = _read(_HERE / "halpe136.yaml")
MPI15 = _read(_HERE / "mpi15.yaml")
HUMANEVA15 = _read(_HERE / "humaneva15.yaml")
MPI_INF_3DHP28 = _read(_HERE / "mpi_inf_3dhp28.yaml")
MEDIAPIPE33 = _read(_HERE / "mediapipe33.yaml")

SKELETONS = {
    layout.name: layout
    for layout in (
        *(H36M17, COCO17, COCO18, MPII16, OPENPOSE25, BODY25B, HALPE26, COCO133, BODY135, HALPE136),
        *(MPI15, HUMANEVA15, MPI_INF_3DHP28, MEDIAPIPE33),
    )
}
"""By name, in the order above: of several that fit a file alike, the first is taken."""

TRAINING_SKELETON = H36M17
"""The layout that lifters learn, whatever the detector's is."""


def is_file(stated: str) -> bool:
    """Tell whether a stated layout is the path of a file, and not a name."""
    return stated.endswith((".yaml", ".yml"))


def get(stated: str, folder: Path = Path()) -> Skeleton:
    """Give the layout of a name, or one's own of a file.

    Parameters
    ----------
    stated
        A key of `SKELETONS`, or the path of a file that ends in ``.yaml``.
    folder
        What the path is relative to.

    Raises
    ------
    InputError
        If there is none of that name, or something is wrong with the file.
    """
    if not is_file(stated):
        if stated not in SKELETONS:
            raise InputError(
                f"unknown skeleton '{stated}': known are {', '.join(sorted(SKELETONS))}; a file of one's own ends in "
                ".yaml"
            )
        return SKELETONS[stated]
    path = folder / stated
    if not path.is_file():
        raise InputError(f"{path}: not there; put the layout's file there, or state one of {', '.join(SKELETONS)}")
    skeleton = _read(path)
    joints = TRAINING_SKELETON.keypoints
    problems = [f"derived: {unknown(name, joints, 'joint')}" for name in skeleton.derived if name not in joints]
    if skeleton.name in SKELETONS:
        problems.append(f"{skeleton.name} is the name of a layout that is known already; rename the file")
    root = str(TRAINING_SKELETON.root)
    if root not in (*skeleton.keypoints, *skeleton.derived):
        problems.append(
            f"derived: {root} is missing, the root of what lifters learn; name the keypoints whose mean it is, as "
            f"{root}: [left_hip, right_hip]"
        )
    refuse(problems, str(path))
    return skeleton


@dataclass(frozen=True)
class Mapping:
    """How the keypoints of one skeleton are formed from those of another.

    Attributes
    ----------
    matrix
        (target, source): each row holds the weights of a mean, or zeros where the joint cannot be formed.
    kind
        For each target keypoint ``exact``, ``derived`` or ``absent``.
    """

    source: Skeleton
    target: Skeleton
    matrix: np.ndarray
    kind: tuple[str, ...]

    @property
    def formed_of(self) -> dict[str, tuple[str, ...]]:
        """For each target keypoint the source's keypoints that it is the mean of; none if it is absent."""
        return {
            name: tuple(self.source.keypoints[index] for index in np.flatnonzero(row))
            for name, row in zip(self.target.keypoints, self.matrix, strict=True)
        }

    def apply(self, keypoints: np.ndarray) -> np.ndarray:
        """Map keypoints (..., source, space) to (..., target, space).

        A joint with a missing (NaN) contributor is missing, and so is an absent one.

        Examples
        --------
        >>> pose = np.full((len(COCO17), 3), 1.0)
        >>> mapping(COCO17, H36M17).apply(pose)[0]
        array([1., 1., 1.])
        """
        mapped = keypoints[..., self._first, :]
        for row, members in self._derived:
            mapped[..., row, :] = keypoints[..., members, :].mean(-2) if len(members) else np.nan
        return mapped

    def apply_to_confidence(self, confidence: np.ndarray) -> np.ndarray:
        """Map confidences (..., source) to (..., target): the smallest of a joint's contributors."""
        mapped = confidence[..., self._first]
        for row, members in self._derived:
            mapped[..., row] = confidence[..., members].min(-1) if len(members) else 0
        return mapped

    @cached_property
    def _first(self) -> np.ndarray:
        """(target,): the first contributor of each joint; of most the only one."""
        return self.matrix.argmax(1)

    @cached_property
    def _derived(self) -> list[tuple[int, np.ndarray]]:
        """Joints with several contributors or none, and these."""
        members = [np.flatnonzero(row) for row in self.matrix]
        return [(row, found) for row, found in enumerate(members) if len(found) != 1]


def mapping(source: Skeleton, target: Skeleton) -> Mapping:
    """Map one skeleton onto another: by the names of their keypoints, else as the source's file derives a joint."""
    matrix = np.zeros((len(target), len(source)))
    kind = []
    for row, name in enumerate(target.keypoints):
        is_exact = name in source.keypoints
        found = (name,) if is_exact else source.derived.get(name, ())
        kind.append("exact" if is_exact else "derived" if found else "absent")
        for keypoint in found:
            matrix[row, source.index(keypoint)] = 1 / len(found)
    return Mapping(source, target, matrix, tuple(kind))

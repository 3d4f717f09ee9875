"""Named joint layouts, their bones and left/right pairs, and the mapping of one layout onto another.

Left/right pairs and bones come from here and nowhere else.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trilift.errors import InputError


@dataclass(frozen=True)
class Skeleton:
    """A layout of keypoints.

    Parameters
    ----------
    name
        Name of the layout, as data set files use it.
    keypoints
        Names in the order of the arrays; sides are told by the prefixes ``left_`` and ``right_``.
    bones
        Pairs (parent, child) of names.
    root
        The keypoint that poses are relative to, or None where the layout has none.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    root: str | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        return self.keypoints.index(keypoint)

    @cached_property
    def root_index(self) -> int:
        if self.root is None:
            raise ValueError(f"skeleton {self.name} has no root")
        return self.index(self.root)

    @cached_property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        return tuple((self.index(parent), self.index(child)) for parent, child in self.bones)

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image (its own index in the middle of the body)."""
        return tuple(self.index(_other_side(name)) for name in self.keypoints)


def _other_side(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


def _both_sides(*bones: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    mirrored = tuple((_other_side(parent), _other_side(child)) for parent, child in bones)
    return tuple(dict.fromkeys(bones + mirrored))


_OF_LIMBS = (
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
)
"""In the order that COCO-18 and MPI-15 share."""

_LEGS = _both_sides(("left_hip", "left_knee"), ("left_knee", "left_ankle"))
_ARMS = _both_sides(("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"))
_FACE = _both_sides(("nose", "left_eye"), ("left_eye", "left_ear"))
_FEET = _both_sides(("left_ankle", "left_heel"), ("left_ankle", "left_big_toe"), ("left_big_toe", "left_small_toe"))

_FACE_OF_68 = (  # right before left
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    *((31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (41, 46), (40, 47)),
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65), (68, 69)),
)


def _face(points: int) -> tuple[str, ...]:
    """Name the 68 points of the face that the field uses, and the pupils where there are 70."""
    names = [f"face_{number}" for number in range(points)]
    for right, left in _FACE_OF_68:
        if left < points:
            names[right], names[left] = f"right_face_{right}", f"left_face_{right}"
    return tuple(names)


def _hands(first: int) -> tuple[str, ...]:
    """Name the points of both hands, from 0, the wrist, or from 1 on; the left hand comes first."""
    return tuple(f"{side}_hand_{number}" for side in ("left", "right") for number in range(first, 21))


H36M17 = Skeleton(
    "h36m17",
    (
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "nose",
        "head_top",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    _both_sides(("pelvis", "left_hip"), ("thorax", "left_shoulder"))
    + _LEGS
    + _ARMS
    + (("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head_top")),
    root="pelvis",
)

COCO17 = Skeleton(
    "coco17",
    (
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    _LEGS + _ARMS + _FACE + _both_sides(("left_shoulder", "left_hip")),
)

BODY25B = Skeleton(
    "body25b",
    (
        *COCO17.keypoints,
        "upper_neck",
        "head_top",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ),
    COCO17.bones
    + _FEET
    + (("upper_neck", "head_top"), ("upper_neck", "nose"))
    + _both_sides(("upper_neck", "left_shoulder")),
)

OPENPOSE25 = Skeleton(
    "openpose25",
    (
        "nose",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "mid_hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ),
    _LEGS
    + _ARMS
    + _FACE
    + _FEET
    + _both_sides(("mid_hip", "left_hip"), ("neck", "left_shoulder"))
    + (("mid_hip", "neck"), ("neck", "nose")),
)

COCO18 = Skeleton(
    "coco18",
    (
        "nose",
        "neck",
        *_OF_LIMBS,
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    _LEGS + _ARMS + _FACE + _both_sides(("neck", "left_hip"), ("neck", "left_shoulder")) + (("neck", "nose"),),
)

HALPE26 = Skeleton(
    "halpe26",
    (
        *COCO17.keypoints,
        "head_top",
        "neck",
        "pelvis",
        "left_big_toe",
        "right_big_toe",
        "left_small_toe",
        "right_small_toe",
        "left_heel",
        "right_heel",
    ),
    _LEGS
    + _ARMS
    + _FACE
    + _FEET
    + _both_sides(("pelvis", "left_hip"), ("neck", "left_shoulder"))
    + (("pelvis", "neck"), ("neck", "nose"), ("neck", "head_top")),
    root="pelvis",
)

COCO133 = Skeleton(
    "coco133",
    (
        *COCO17.keypoints,
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
        *_face(68),
        *_hands(0),
    ),
    COCO17.bones + _FEET,
)

BODY135 = Skeleton("body135", (*BODY25B.keypoints, *_hands(1), *_face(70)), BODY25B.bones)

HALPE136 = Skeleton("halpe136", (*HALPE26.keypoints, *_face(68), *_hands(0)), HALPE26.bones, root="pelvis")

MPI15 = Skeleton(
    "mpi15",
    (
        "head_top",
        "neck",
        *_OF_LIMBS,
        "chest",
    ),
    _LEGS
    + _ARMS
    + _both_sides(("chest", "left_hip"), ("neck", "left_shoulder"))
    + (("chest", "neck"), ("neck", "head_top")),
)

MPII16 = Skeleton(
    "mpii16",
    (
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    _LEGS
    + _ARMS
    + _both_sides(("pelvis", "left_hip"), ("thorax", "left_shoulder"))
    + (("pelvis", "thorax"), ("thorax", "upper_neck"), ("upper_neck", "head_top")),
    root="pelvis",
)

HUMANEVA15 = Skeleton(
    "humaneva15",
    (
        "pelvis",
        "thorax",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_hip",
        "right_knee",
        "right_ankle",
        "head",
    ),
    _LEGS
    + _ARMS
    + _both_sides(("pelvis", "left_hip"), ("thorax", "left_shoulder"))
    + (("pelvis", "thorax"), ("thorax", "head")),
    root="pelvis",
)

MPI_INF_3DHP28 = Skeleton(
    "mpi_inf_3dhp28",
    (
        "spine3",
        "spine4",
        "spine2",
        "spine",
        "pelvis",
        "neck",
        "head",
        "head_top",
        "left_clavicle",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hand",
        "right_clavicle",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hand",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
        "left_toe",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_foot",
        "right_toe",
    ),
    _LEGS
    + _ARMS
    + _both_sides(
        ("pelvis", "left_hip"),
        ("spine4", "left_clavicle"),
        ("left_clavicle", "left_shoulder"),
        ("left_wrist", "left_hand"),
        ("left_ankle", "left_foot"),
        ("left_foot", "left_toe"),
    )
    + (
        ("pelvis", "spine"),
        ("spine", "spine2"),
        ("spine2", "spine3"),
        ("spine3", "spine4"),
        ("spine4", "neck"),
        ("neck", "head"),
        ("head", "head_top"),
    ),
    root="pelvis",
)

MEDIAPIPE33 = Skeleton(
    "mediapipe33",
    (
        "nose",
        "left_eye_inner",
        "left_eye",
        "left_eye_outer",
        "right_eye_inner",
        "right_eye",
        "right_eye_outer",
        "left_ear",
        "right_ear",
        "left_mouth",
        "right_mouth",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_pinky",
        "right_pinky",
        "left_index",
        "right_index",
        "left_thumb",
        "right_thumb",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "left_heel",
        "right_heel",
        "left_foot_index",
        "right_foot_index",
    ),
    _LEGS
    + _ARMS
    + _FACE
    + _both_sides(
        ("left_shoulder", "left_hip"),
        ("left_wrist", "left_pinky"),
        ("left_wrist", "left_index"),
        ("left_wrist", "left_thumb"),
        ("left_ankle", "left_heel"),
        ("left_heel", "left_foot_index"),
    ),
)

SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        H36M17,
        COCO17,
        COCO18,
        MPII16,
        OPENPOSE25,
        BODY25B,
        HALPE26,
        COCO133,
        BODY135,
        HALPE136,
        MPI15,
        HUMANEVA15,
        MPI_INF_3DHP28,
        MEDIAPIPE33,
    )
}

TRAINING_SKELETON = H36M17
"""The layout that lifters learn, whatever the detector's is."""

# How a joint that a layout lacks is formed from those it has: the mean of the first group whose members all
# exist. The groups are approximations that the field uses; `mapping` records which joints needed one.
_DERIVED: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("left_hip", "right_hip"),),
    "thorax": (("left_shoulder", "right_shoulder"),),
    "spine": (("left_hip", "right_hip", "left_shoulder", "right_shoulder"),),
    "nose": (("upper_neck", "head_top"), ("thorax", "head"), ("neck", "head_top")),
    "head_top": (("head",), ("left_ear", "right_ear")),
}


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
    """Map one skeleton onto another by the names of their keypoints."""
    matrix = np.zeros((len(target), len(source)))
    kind = []
    for row, name in enumerate(target.keypoints):
        groups = ((name,), *_DERIVED.get(name, ()))
        found = next((g for g in groups if all(k in source.keypoints for k in g)), ())
        kind.append("exact" if found == (name,) else "derived" if found else "absent")
        for keypoint in found:
            matrix[row, source.index(keypoint)] = 1 / len(found)
    return Mapping(source, target, matrix, tuple(kind))


def get(name: str) -> Skeleton:
    """Look a skeleton up by name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    try:
        return SKELETONS[name]
    except KeyError:
        raise InputError(f"unknown skeleton '{name}': known are {', '.join(sorted(SKELETONS))}") from None

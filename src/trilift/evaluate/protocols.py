"""Which joints a published protocol counts."""

from dataclasses import dataclass

from trilift.skeletons import TRAINING_SKELETON

_ALL = TRAINING_SKELETON.keypoints
_ROOT = TRAINING_SKELETON.root


@dataclass(frozen=True)
class Protocol:
    """What a protocol's numbers are means of.

    Attributes
    ----------
    about
        In words, for tables.
    joints
        Count in errors relative to the root.
    aligned_joints
        Count in errors after alignment, in which the root has an error too.
    """

    about: str
    joints: tuple[str, ...]
    aligned_joints: tuple[str, ...]


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in _ALL if name not in names)


PROTOCOLS = {
    "human36m": Protocol(
        "mean over the 16 joints that are predicted (the root, which has no error, left out), 17 after alignment",
        _without(str(_ROOT)),
        _ALL,
    ),
    "human36m_17": Protocol(
        "mean over 17 joints, the root counted with an error of 0, 17 after alignment", _ALL, _ALL
    ),
    "mpi_inf_3dhp": Protocol(
        "mean over the 14 joints of MPI-INF-3DHP: head, neck, shoulders, elbows, wrists, hips, knees, ankles",
        _without("pelvis", "spine", "nose"),
        _without("pelvis", "spine", "nose"),
    ),
    "humaneva": Protocol(
        "mean over the joints of HumanEva without the root: those of Human3.6M but spine and nose",
        _without(str(_ROOT), "spine", "nose"),
        _without("spine", "nose"),
    ),
}

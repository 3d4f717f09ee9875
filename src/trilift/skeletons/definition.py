"""What a layout of keypoints is, and what its file says, checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field

from trilift.errors import InputError
from trilift.project.params import StrictModel, parse
from trilift.project.yaml_text import Name


@dataclass(frozen=True)
class Skeleton:
    """A layout of keypoints.

    Parameters
    ----------
    name
        Name of the layout: that of its file.
    keypoints
        Names in the order of the arrays; sides are told by the prefixes ``left_`` and ``right_``.
    bones
        Pairs (parent, child) of names.
    root
        The keypoint that poses are relative to, or None where the layout has none.
    mirror
        Pairs of names that are each other's mirror image, where prefixes do not tell.
    derived
        For a joint that the layout lacks the keypoints whose mean stands for it.
    lines
        Pairs that are drawn besides the bones, so that a body is seen to be one: no lengths are taken of them.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    root: str | None = None
    mirror: tuple[tuple[str, str], ...] = ()
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    lines: tuple[tuple[str, str], ...] = ()

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
    def drawn_indices(self) -> tuple[tuple[int, int], ...]:
        """What figures draw: the bones, and then the lines besides them."""
        return self.bone_indices + tuple((self.index(one), self.index(other)) for one, other in self.lines)

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image (its own index in the middle of the body)."""
        return tuple(self.index(_mirror_image(name, self.mirror)) for name in self.keypoints)

    @cached_property
    def body(self) -> "Skeleton":
        """The layout without what no bone, no line and no derived joint is made of: most of a face, and fingers."""
        joined = {name for names in (*self.bones, *self.lines, *self.derived.values()) for name in names}
        joined |= {_mirror_image(name, self.mirror) for name in joined}
        return replace(self, keypoints=tuple(name for name in self.keypoints if name in joined))

    @property
    def definition(self) -> dict[str, Any]:
        """What the layout's file says, for other files to hold; `of_definition` reads it."""
        return {
            "keypoints": list(self.keypoints),
            "bones": [list(bone) for bone in self.bones],
            "root": self.root,
            "mirror": [list(pair) for pair in self.mirror],
            "derived": {joint: list(members) for joint, members in self.derived.items()},
            "lines": [list(line) for line in self.lines],
        }


def _mirror_image(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for pair in pairs:
        if name in pair:
            return pair[1 - pair.index(name)]
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


_Pair = Annotated[list[Name], Field(min_length=2, max_length=2)]


class _Definition(StrictModel):
    """The file of a layout; what its parts mean, `Skeleton` says."""

    keypoints: list[Name] = Field(min_length=1)
    bones: list[_Pair] = Field(min_length=1)
    root: Name | None = None
    mirror: list[_Pair] = []
    derived: dict[Name, list[Name]] = {}
    lines: list[_Pair] = []


def of_definition(name: str, definition: object, where: str) -> Skeleton:
    """Make a layout of what its file says.

    Raises
    ------
    InputError
        Naming everything that is wrong with it.
    """
    read = parse(_Definition, definition, where)
    skeleton = Skeleton(
        name,
        tuple(read.keypoints),
        tuple((parent, child) for parent, child in read.bones),
        read.root,
        tuple((one, other) for one, other in read.mirror),
        {joint: tuple(members) for joint, members in read.derived.items()},
        tuple((one, other) for one, other in read.lines),
    )
    refuse(_problems(skeleton), where)
    return skeleton


def refuse(problems: list[str], where: str) -> None:
    if problems:
        raise InputError("\n  ".join([f"{where}:", *problems]))


def _problems(skeleton: Skeleton) -> list[str]:
    keypoints = skeleton.keypoints
    groups: list[tuple[str, tuple[str, ...]]] = [(f"bones: [{', '.join(bone)}]", bone) for bone in skeleton.bones]
    groups += [(f"lines: [{', '.join(line)}]", line) for line in skeleton.lines]
    groups += [(f"mirror: [{', '.join(pair)}]", pair) for pair in skeleton.mirror]
    groups += [(f"derived: {joint}", members) for joint, members in skeleton.derived.items()]
    groups += [("root", (skeleton.root,))] if skeleton.root is not None else []
    problems = [f"keypoints: {name} is there twice; leave one out" for name in _repeated(keypoints)]
    for place, names in groups:
        problems += [f"{place}: {unknown(name, keypoints, 'keypoint')}" for name in names if name not in keypoints]
        problems += [f"{place}: {name} is there twice; leave one out" for name in _repeated(names)]
    for one, other in _repeated([tuple(sorted(line)) for line in (*skeleton.bones, *skeleton.lines)]):
        problems.append(f"bones, lines: {one} and {other} are joined twice; leave one of these out")
    for name in _repeated([name for pair in skeleton.mirror for name in pair]):
        problems.append(f"mirror: {name} is in two pairs; leave one out")
    for name in keypoints:
        image = _mirror_image(name, skeleton.mirror)
        if image not in keypoints and not any(name in pair for pair in skeleton.mirror):
            problems.append(
                f"keypoints: {name} has no mirror image {image}; add that, or name its mirror image under mirror"
            )
    for joint, members in skeleton.derived.items():
        if joint in keypoints:
            problems.append(f"derived: {joint} is a keypoint itself; leave it out here")
        if not members:
            problems.append(f"derived: {joint}: name the keypoints whose mean it is")
    return problems


def _repeated(things: Any) -> list[Any]:
    return [thing for thing, number in Counter(things).items() if number > 1]


def unknown(name: str, known: tuple[str, ...], kind: str) -> str:
    alike = get_close_matches(name, known, 1)
    return f"{name} is no {kind}; " + (f"is {alike[0]} meant?" if alike else f"there are {', '.join(known)}")

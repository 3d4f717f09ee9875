"""What the file of a data set says of its cameras."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trilift.errors import listed
from trilift.formats.images import Size
from trilift.formats.registry import CAMERAS
from trilift.project.params import StrictModel, refuse
from trilift.project.yaml_text import Name

PEOPLE = "people"
"""The format of the cameras that people calibrate."""

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "foot": 0.3048}
"""Units of length that a calibration may be in."""


def inside(path: str) -> str:
    """Refuse a path that leads out of the raw folder."""
    if Path(path).is_absolute() or ".." in Path(path).parts or "**" in path:
        raise ValueError("must be relative to the raw folder, without `..` or `**`")
    return path


Inside = Annotated[Name, AfterValidator(inside)]
Length = Annotated[float, Field(gt=0, lt=1000)]


def one_of(known: Collection[str]) -> AfterValidator:
    """Make the check that a setting is one of the names."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return name

    return AfterValidator(check)


_SIZES = ("stature_m", "bone", "baseline")
_OF_PEOPLE = (*_SIZES, "intrinsics", "focal", "offsets")


class Lenses(StrictModel):
    """Matrices, lenses and image sizes that are known of cameras whose poses are not.

    Attributes
    ----------
    format, path
        Of a calibration; poses in it do not count.
    image_size
        Width and height in pixels, in place of those in the file or where it holds none.
    names
        Of the views, in their order, where these have no names.
    """

    format: Annotated[str, one_of((*CAMERAS, "trilift"))]
    path: Inside
    image_size: Size | None = None
    names: list[Name] | None = None

    @property
    def calibration(self) -> "Calibration":
        """What is read."""
        return Calibration(**self.model_dump())


class Calibration(StrictModel):
    """Where the cameras are.

    Attributes
    ----------
    format
        A key of `CAMERAS`, ``trilift`` (the captures file of another data set), ``human36m`` (built in), or
        ``people``: nobody calibrated them, and the stage ``calibrate`` does by the people whom they see. What follows
        after `names` can be stated with this one alone.
    path
        A file or folder, relative to the raw folder. With ``*``, every match is the calibration of the recording
        whose path matches alike; without, one calibration serves all.
    unit
        Of lengths in the file, where it is not that of the format.
    image_size
        Width and height in pixels, in place of those in the file or where it holds none.
    names
        Of the cameras to use, where the file holds more.
    stature_m
        How tall the person is, which gives the size of everything. This or one of the next two is needed.
    bone
        Two keypoints and their distance in metres, in place of the stature.
    baseline
        Two cameras and their distance in metres, in place of the stature.
    intrinsics
        Where matrices, lenses and image sizes are, of all cameras or of some.
    focal
        Whether those of the other cameras whose images are of one size share a focal length, or each has its own.
    offsets
        Whether by how much cameras are out of time is found, up to 2 s, or there is nothing to find.
    """

    format: Annotated[str, one_of((*CAMERAS, "trilift", "human36m", PEOPLE))]
    path: Inside | None = None
    unit: Annotated[str, one_of(METRES)] | None = None
    image_size: Size | None = None
    names: list[Name] | None = None
    stature_m: float | None = Field(None, gt=0, lt=3)
    bone: tuple[Name, Name, Length] | None = Field(None, strict=False)
    baseline: tuple[Name, Name, Length] | None = Field(None, strict=False)
    intrinsics: Lenses | None = None
    focal: Literal["shared", "each"] = "shared"
    offsets: Literal["find", "none"] = "find"

    @property
    def by_people(self) -> bool:
        """Whether the stage ``calibrate`` makes it."""
        return self.format == PEOPLE

    @model_validator(mode="after")
    def _path_fits(self) -> "Calibration":
        problems = []
        if self.by_people:
            refuse(self._problems_by_people())
            return self
        stated = sorted(self.model_fields_set & set(_OF_PEOPLE))
        problems += [f"`{name}` belongs to the format people: leave it out" for name in stated]
        if (self.format == "human36m") != (self.path is None):
            problems.append("`path` is needed with every format but human36m, which is built in")
        if self.unit is not None and self.format not in CAMERAS:
            problems.append(f"the format {self.format} is in metres: leave `unit` out")
        refuse(problems)
        return self

    def _problems_by_people(self) -> list[str]:
        problems = [
            f"`{name}` has no meaning with it: leave it out"
            for name in ("path", "unit", "names")
            if getattr(self, name)
        ]
        problems += [
            f"`{name}` is the distance of two different ones"
            for name in ("bone", "baseline")
            if (stated := getattr(self, name)) is not None and stated[0] == stated[1]
        ]
        sizes = [name for name in _SIZES if getattr(self, name) is not None]
        if len(sizes) != 1:
            found = f"there are {listed(sizes)}" if sizes else "there is none"
            problems.append(
                "images do not tell how large anything is. State one of `stature_m: 1.78`, `bone: [left_hip, "
                f"left_knee, 0.42]` and `baseline: [cam1, cam2, 3.2]` (m), but {found}"
            )
        return problems


def metres_of(source: Calibration) -> float:
    """Give the unit, in metres, in which a calibration is read."""
    return METRES[source.unit or (CAMERAS[source.format].unit if source.format in CAMERAS else "m")]

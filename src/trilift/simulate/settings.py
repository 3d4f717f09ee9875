"""The section ``simulate`` of ``params.yaml``, and that of a data set's file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trilift.errors import InputError, listed
from trilift.formats.calibration import METRES, Inside, one_of
from trilift.formats.images import Size
from trilift.project.params import StrictModel
from trilift.project.yaml_text import Name
from trilift.skeletons import SKELETONS, TRAINING_SKELETON


class Settings(StrictModel):
    """The section ``simulate`` of ``params.yaml``: the demo.

    Attributes
    ----------
    seconds
        Length of each recording. There are seven people, each with one recording of every kind of motion.
    detector
        How good the simulated detector is: ``off-the-shelf`` or ``fine-tuned``.
    """

    seconds: float = Field(8.0, gt=0)
    detector: Literal["off-the-shelf", "fine-tuned"] = "off-the-shelf"


def _in_order(limits: list[float]) -> list[float]:
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ValueError("must be the lowest and the highest value: [low, high]")
    return limits


_Share = Annotated[float, Field(ge=0, le=1)]
_Range = Annotated[list[float], AfterValidator(_in_order)]
_Positive = Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_in_order)]
_Shares = Annotated[list[Annotated[float, Field(ge=0, le=0.5)]], AfterValidator(_in_order)]


class MotionFile(StrictModel):
    """A file of captured motion.

    Attributes
    ----------
    path
        Relative to the raw folder: ``.npz`` with ``joints`` (frame, joint, 3) and ``fps``, and where it holds several
        clips ``clip`` (frame,), a number each; ``.c3d``; or ``.bvh``.
    joints
        For a joint the file's points whose mean it is: ``{left_hip: [LeftUpLeg]}``. Joints that are not named here
        are looked for by their names.
    unit
        Of lengths. By default metres in ``.npz``, what the file says in ``.c3d``, and centimetres in ``.bvh``.
    """

    path: Inside
    joints: dict[Annotated[str, one_of(TRAINING_SKELETON.keypoints)], list[Name]] = {}
    unit: Annotated[str, one_of(METRES)] | None = None


class Rigs(StrictModel):
    """Between which limits rigs are drawn, evenly; each capture has one of its own, and each camera its own values.

    Attributes
    ----------
    cameras
        Number of cameras.
    arc_deg
        Angle around the room over which they are spread.
    distance_m
        From the vertical through the middle of the room, along the floor.
    height_m
        Over the floor.
    focal
        Focal length, in longer sides of the image.
    distortion
        By how much the lens moves the corners of the image outwards, as a share of their distance from its centre.
    roll_deg
        Turn about the viewing direction.
    turned
        Share of the cameras that are, besides, turned by 90 degrees to either side.
    shows_m
        Of eight draws of a camera's distance, height and focal length, the first is taken that shows so many metres
        of the middle of the room along the shorter side of its image.
    off_centre
        The middle of a person in the middle of the room lies at most so far from the centre of the image, as a share
        of the way to its sides.
    image_sizes
        Widths and heights in pixels, of which one is taken.
    """

    cameras: Annotated[list[Annotated[int, Field(ge=2, le=16)]], AfterValidator(_in_order)] = [3, 5]
    arc_deg: _Range = [120.0, 360.0]
    distance_m: _Positive = [2.5, 7.0]
    height_m: _Range = [0.5, 3.0]
    focal: _Positive = [0.6, 2.0]
    distortion: Annotated[list[Annotated[float, Field(ge=-0.15, le=0.15)]], AfterValidator(_in_order)] = [-0.08, 0.02]
    roll_deg: _Range = [-10.0, 10.0]
    turned: _Share = 0.1
    shows_m: float = Field(2.2, ge=0)
    off_centre: float = Field(0.3, ge=0, le=0.8)
    image_sizes: list[Size] = Field(
        [[1920, 1080], [1280, 720], [1000, 1000], [640, 480], [1080, 1920], [720, 1280]], min_length=1
    )


_CLOSE = {
    "cameras": [4, 5],
    "arc_deg": [100.0, 360.0],
    "distance_m": [0.7, 2.2],
    "height_m": [0.4, 2.0],
    "focal": [0.45, 1.1],
    "roll_deg": [-15.0, 15.0],
    "turned": 0.35,
    "shows_m": 0.8,
}


class Detectors(StrictModel):
    """Between which limits detectors are drawn, one for each capture.

    Attributes
    ----------
    layouts
        Of their keypoints. Fingers, toes and heels are never found: the bodies have none.
    scale, outlier_share, missed_share, swapped_share
        See `trilift.simulate.detector.DetectorModel`.
    hidden
        Share of the recordings' views in which a part of the body is hidden: the feet, the legs, all from the hips
        down, or an arm.
    without_confidence
        Share of the detectors that give none.
    """

    layouts: list[Annotated[str, one_of(SKELETONS)]] = Field(
        ["h36m17", "coco17", "openpose25", "body25b", "halpe26", "mediapipe33"], min_length=1
    )
    scale: _Positive = [0.4, 1.1]
    outlier_share: _Shares = [0.002, 0.02]
    missed_share: _Shares = [0.0, 0.03]
    swapped_share: _Shares = [0.0, 0.01]
    hidden: _Share = 0.15
    without_confidence: _Share = 0.15


class Studio(StrictModel):
    """The section ``simulate`` of a data set's file: who is filmed, doing what, by which cameras.

    Attributes
    ----------
    captures
        How many; each has a person, a rig and a detector of its own. They are called ``P001``, ``P002`` and so on.
    recordings
        Of each capture.
    seconds
        Length of a recording. Captured motion gives shorter ones, where a clip ends or the person leaves the middle
        of the room.
    motion
        Files of captured motion. Without any, people move as in the demo.
    procedural
        Share of the recordings with the demo's procedural motion where there are files too.
    seated
        Share of the recordings in which people sit from beginning to end; in half of them the upper body moves as
        in a captured clip, where there are files.
    balancing
        Share of the recordings in which people stand on one leg.
    close
        Share of the captures whose rig stands close to who stays in the middle of the room: most sit there.
    close_rigs
        The limits of these rigs.
    """

    captures: int = Field(gt=0, le=9999)
    recordings: int = Field(5, gt=0)
    seconds: float = Field(8.0, gt=0)
    motion: list[MotionFile] = []
    procedural: _Share = 0.3
    seated: _Share = 0.0
    balancing: _Share = 0.0
    close: _Share = 0.0
    rigs: Rigs = Rigs()
    close_rigs: Rigs = Rigs.model_validate(_CLOSE)
    detectors: Detectors = Detectors()

    def files(self, raw: Path) -> list[Path]:
        """List the files of motion.

        Raises
        ------
        InputError
            If one is not there.
        """
        files = [raw / file.path for file in self.motion]
        if missing := [file for file in files if not file.is_file()]:
            raise InputError(
                f"{listed(missing)}: not there. docs/simulating.md says where to get motion. To do without, leave "
                "it out of the data set's file (simulate: motion); with `motion: []` people move as in the demo"
            )
        return files

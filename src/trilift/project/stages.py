"""The stages of the workflow in their order: all that the command line, the settings and the records know of them."""

from importlib import import_module
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """A stage, or a command on a data set like one.

    Attributes
    ----------
    about
        What it does, for the help.
    module
        Has its function ``run``.
    settings
        Has the class ``Settings``, its section of ``params.yaml``; empty if it has none.
    of_dataset
        Whether what it makes belongs to the data set, whatever is trained on it.
    of_run
        Whether each run of a sweep has its own.
    on_device
        Whether it computes on a GPU where there is one.
    of_videos
        Whether it can work on one video of the data set at a time.
    refines
        Whether it can begin with what is known.
    examples
        For the help, where the demo is none.
    """

    about: str
    module: str
    settings: str = ""
    of_dataset: bool = False
    of_run: bool = False
    on_device: bool = False
    of_videos: bool = False
    refines: bool = False
    examples: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import the module, which may take seconds."""
        return import_module(self.module)

    def load_settings(self) -> Any:
        """Import the settings class, which loads nothing heavy."""
        return import_module(self.settings).Settings


STAGES = {
    "simulate": Stage(
        "make the raw files of a simulated data set",
        "trilift.simulate.stage",
        "trilift.simulate.settings",
        of_dataset=True,
    ),
    "detect": Stage(
        "find people in the videos of a data set that begins with videos",
        "trilift.detect.stage",
        "trilift.detect.settings",
        of_dataset=True,
        on_device=True,
        of_videos=True,
    ),
    "calibrate": Stage(
        "place the cameras of a data set by the people whom they see, without a calibration board",
        "trilift.calibrate.stage",
        of_dataset=True,
        refines=True,
        examples=("trilift calibrate gait", "trilift calibrate --refine gait"),
    ),
    "ingest": Stage(
        "read raw detections and cameras, check them, write captures",
        "trilift.ingest.stage",
        "trilift.ingest.settings",
        of_dataset=True,
    ),
    "triangulate": Stage(
        "triangulate the detections of several views into 3D pseudo-labels",
        "trilift.triangulate.stage",
        "trilift.triangulate.settings",
        of_dataset=True,
        on_device=True,
    ),
    "train": Stage(
        "train a lifter on pseudo-labels and multi-view geometry",
        "trilift.train.stage",
        "trilift.train.settings",
        of_run=True,
        on_device=True,
    ),
    "evaluate": Stage(
        "predict the test frames and compute metrics",
        "trilift.evaluate.stage",
        "trilift.evaluate.settings",
        of_run=True,
        on_device=True,
    ),
    "plot": Stage(
        "draw the figures, and make the page of the run and its viewer", "trilift.plot.stage", "trilift.plot.settings"
    ),
    "sweep": Stage("put the runs of a sweep side by side", "trilift.sweep.stage"),
    "check": Stage(
        "compare the views of a data set with each other, and say what looks wrong", "trilift.ingest.check"
    ),
}

SECTIONS = tuple(name for name, stage in STAGES.items() if stage.settings)
"""The stages with a section of ``params.yaml``: the workflow from raw files to figures."""


def stages_of_data(dataset: str, of_videos: bool, by_people: bool) -> list[str]:
    """Name the stages that make the data of a data set, in their order."""
    first = {"simulate": dataset == "demo", "detect": of_videos, "calibrate": by_people}
    return [*(stage for stage, has in first.items() if has), "ingest", "triangulate"]

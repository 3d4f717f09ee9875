"""Where the files of a project lie. The rules of the workflow name the same paths."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from trilift.project.stages import STAGES

VIDEOS = "videos"
DETECTIONS_OF_VIDEOS = "detections_of_videos.nc"
"""In the raw folder of a data set that begins with videos: what is filmed, and what is made of it."""

RECORDED = "recorded"
CAMERAS_OF_PEOPLE = "cameras_of_people.toml"
"""In the raw folder of a data set whose cameras people calibrate: what was recorded, and what is made of it."""

LIFTER = ("lifter.safetensors", "lifter.json")
"""The files of a trained lifter: its weights, and all else that is needed to use it."""


def within_project(path: Path) -> str:
    """Name a file of a project as its rules do, from wherever it was named.

    Examples
    --------
    >>> within_project(Path("/home/me/project/data/captures/demo.nc"))
    'data/captures/demo.nc'
    """
    tops = [place for place, part in enumerate(path.parts) if part in ("data", "results")]
    return PurePosixPath(*path.parts[tops[-1] if tops else 0 :]).as_posix()


@dataclass(frozen=True)
class Layout:
    """The files of one data set.

    Parameters
    ----------
    dataset
        Name of the data set.
    project
        The folder that holds ``params.yaml``.
    run
        Name of the training run.

    Examples
    --------
    >>> Layout("demo").captures.as_posix()
    'data/captures/demo.nc'
    """

    dataset: str
    project: Path = Path()
    run: str = "main"

    @property
    def params(self) -> Path:
        return self.project / "params.yaml"

    @property
    def dataset_file(self) -> Path:
        return self.project / "workflow" / "datasets" / f"{self.dataset}.yaml"

    @property
    def raw(self) -> Path:
        return self.project / "data" / "raw" / self.dataset

    @property
    def videos(self) -> Path:
        """Of a data set that begins with videos, all that its owner put there or linked: `raw` has made files too."""
        return self.raw / VIDEOS

    @property
    def detections(self) -> Path:
        """What was detected in the videos."""
        return self.raw / DETECTIONS_OF_VIDEOS

    @property
    def recorded(self) -> Path:
        """Of a data set whose cameras people calibrate, all that its owner put there or linked."""
        return self.raw / RECORDED

    @property
    def cameras(self) -> Path:
        """The calibration by people."""
        return self.raw / CAMERAS_OF_PEOPLE

    @property
    def rig(self) -> Path:
        """How people calibrated the cameras, as a table and a figure."""
        return self.project / "results" / self.dataset / "rig"

    def part(self, video: str) -> Path:
        """What was detected in one of them, until all is in `detections`."""
        return self.project / ".trilift" / "detections" / self.dataset / f"{video}.nc"

    @property
    def captures(self) -> Path:
        return self.project / "data" / "captures" / f"{self.dataset}.nc"

    @property
    def references(self) -> Path:
        return self.project / "data" / "references" / f"{self.dataset}.nc"

    @property
    def pseudo_labels(self) -> Path:
        return self.project / "data" / "pseudo_labels" / f"{self.dataset}.nc"

    @property
    def recap(self) -> Path:
        return self.project / "results" / self.dataset / "pseudo_labels"

    @property
    def people(self) -> Path:
        """Who is seen, as a table and a figure."""
        return self.project / "results" / self.dataset / "people"

    @property
    def check(self) -> Path:
        """What `trilift check` writes; neither engine knows of it."""
        return self.project / "results" / self.dataset / "check"

    @property
    def results(self) -> Path:
        return self.project / "results" / self.dataset / self.run

    def provenance(self, stage: str) -> Path:
        """Where the record of what a stage made lies: of the data set's stages once, of the others for every run."""
        folder = self.project / "results" / self.dataset if STAGES[stage].of_dataset else self.results
        return folder / "provenance" / f"{stage}.json"

    @property
    def sweep_table(self) -> Path:
        return self.project / "results" / self.dataset / "sweep" / "table.csv"

    @property
    def sweep_figure(self) -> Path:
        return self.project / "results" / self.dataset / "sweep" / "mpjpe.png"

    @property
    def sweep_curves(self) -> Path:
        return self.project / "results" / self.dataset / "sweep" / "training.png"

    def of_run(self, run: str) -> "Layout":
        return replace(self, run=run)

    @property
    def checkpoints(self) -> Path:
        """Of trainings that have not ended; neither engine knows of it."""
        return self.project / ".trilift" / "checkpoints"

    @property
    def lifters(self) -> Path:
        """Folders of lifters that trainings may begin with."""
        return self.project / "data" / "lifters"

    @property
    def environments(self) -> Path:
        """Of detectors that cannot live in ours."""
        return self.project / ".trilift" / "environments"

    def lock(self, stage: str, video: str | None = None) -> Path:
        """Held by a stage that runs, or that works on one video, see `trilift.project.locks`."""
        part = "" if video is None else f"-{hashlib.sha256(video.encode()).hexdigest()[:8]}"
        return self.project / ".trilift" / "locks" / f"{stage}-{self.dataset}-{self.run}{part}"

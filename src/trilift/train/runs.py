"""The section ``sweep`` of ``params.yaml``: trainings that differ from the main one in losses and seed."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from trilift.errors import InputError, listed
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.project.layout import LIFTER, Layout
from trilift.project.params import StrictModel, load, load_seed, parse
from trilift.train.settings import LossSettings, TrainingSettings

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$")]


class Sweep(StrictModel):
    """Which runs a sweep has: every choice of losses with every seed.

    Attributes
    ----------
    seeds
        Seeds of the trainings. Without any there is no sweep.
    losses
        By the name of the choice, what differs from ``losses`` of the section ``train``.
    """

    seeds: list[Annotated[int, Field(ge=0)]] = []
    losses: dict[_Name, dict[str, Any]] = {}

    @property
    def runs(self) -> list[str]:
        return [f"{name}-s{seed}" for name in self.losses for seed in self.seeds]

    def changes(self, run: str) -> dict[str, Any] | None:
        """Tell what a run changes of the losses; None if there is no such run."""
        if run == "main":
            return {}
        return self.losses[self.choice(run)[0]] if run in self.runs else None

    def choice(self, run: str) -> tuple[str, int]:
        """Give the name of the losses and the seed of a run."""
        name, _, seed = run.rpartition("-s")
        return name, int(seed)


def of_run(params: Path, run: str) -> tuple[TrainingSettings, int]:
    """Read the settings of a run's training, and its seed.

    Raises
    ------
    InputError
        If the sweep has no such run, or a setting is wrong.
    """
    settings = load(params, "train", TrainingSettings)
    if run == "main":
        return settings, load_seed(params)
    sweep = load(params, "sweep", Sweep)
    changes = sweep.changes(run)
    if changes is None:
        known = listed(["main", *sweep.runs])
        raise InputError(f"{params}, section sweep: there is no run {run} (known: {known})")
    name, seed = sweep.choice(run)
    losses = parse(LossSettings, settings.losses.model_dump() | changes, f"{params}, section sweep, losses, {name}")
    return settings.model_copy(update={"losses": losses}), seed


def files_of_start(layout: Layout, settings: TrainingSettings) -> list[Path]:
    """Name the files of the lifter to begin with; none if the weights are to be random.

    Raises
    ------
    InputError
        If there is no such lifter.
    """
    if settings.start_from is None:
        return []
    if settings.start_from in SHIPPED:
        return [folder_of(settings.start_from) / name for name in LIFTER]
    files = [layout.lifters / settings.start_from / name for name in LIFTER]
    if not all(file.is_file() for file in files):
        known = sorted(file.parent.name for file in layout.lifters.glob(f"*/{LIFTER[0]}"))
        raise InputError(
            f"{layout.params}, section train, start_from: there is no lifter {layout.lifters / settings.start_from} "
            f"(there are: {listed([*known, *SHIPPED])}); copy one there: {' and '.join(LIFTER)} of a run's results"
        )
    return files


def own_files_of_start(layout: Layout, settings: TrainingSettings) -> list[Path]:
    """Name those of `files_of_start` that belong to the project; those of the package belong to its code."""
    return [] if settings.start_from in SHIPPED else files_of_start(layout, settings)

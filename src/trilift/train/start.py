"""The lifter that a training begins with."""

from trilift.errors import InputError, listed
from trilift.lifter.lifter import Lifter
from trilift.project.layout import Layout
from trilift.skeletons import TRAINING_SKELETON
from trilift.train.runs import files_of_start
from trilift.train.settings import TrainingSettings


def load_start(layout: Layout, settings: TrainingSettings) -> Lifter | None:
    """Read the lifter to begin with; None if the weights are to be random.

    Raises
    ------
    InputError
        If it cannot be read, or is of another network or skeleton.
    """
    if not (files := files_of_start(layout, settings)):
        return None
    lifter = Lifter.load(files[0].parent)
    if lifter.skeleton != TRAINING_SKELETON:
        raise InputError(
            f"{files[0].parent}: the lifter has the joints of {lifter.skeleton.name}, and not of "
            f"{TRAINING_SKELETON.name}, so that no training can begin with it"
        )
    has, wanted = (network.model_dump(exclude={"dropout"}) for network in (lifter.network_settings, settings.network))
    if differing := {name: value for name, value in has.items() if value != wanted[name]}:
        lines = [f"{name}: {value}" for name, value in differing.items()]
        raise InputError(
            f"{layout.params}, section train: the network of {files[0].parent} is another than train.network; "
            f"set in network {listed(lines)}, or remove start_from"
        )
    return lifter

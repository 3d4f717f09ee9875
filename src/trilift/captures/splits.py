"""Which frames of a data set are for training and which for testing: the section ``split`` of its file."""

import logging
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from trilift import skeletons
from trilift.captures.reading import blocks, load_frames, recordings, skeleton_of
from trilift.captures.schema import Recording
from trilift.errors import InputError, listed
from trilift.project.params import StrictModel, refuse
from trilift.project.yaml_text import Name
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)


class Split(StrictModel):
    """How a data set is split.

    Attributes
    ----------
    by
        ``subject`` and ``recording``: by the names in `test` (and `train`, by default all others).
        ``time``: the end of every recording is for testing, and the tables say that the person was seen in
        training.
    test_share
        With ``time``: the share of every recording that is for testing.
    """

    by: Literal["subject", "recording", "time"]
    test: list[Name] = []
    train: list[Name] | None = None
    test_share: float = Field(0.3, gt=0, lt=1)

    @model_validator(mode="after")
    def _names_fit(self) -> "Split":
        problems = []
        if self.by == "time" and (self.test or self.train):
            problems.append("a split by time names no subjects or recordings")
        if self.by != "time" and not self.test:
            problems.append(f"a split by {self.by} needs `test`, a list of names")
        overlap = set(self.test) & set(self.train or ())
        if overlap:
            problems.append(f"{listed(sorted(overlap))} cannot be in both train and test")
        refuse(problems)
        return self


def seen_in_training(captures: dict[str, xr.Dataset], split: Split, tested: dict[str, np.ndarray]) -> bool:
    """Tell whether a person of the tested frames (of each capture, bool) is also in the training frames."""
    trained, seen = set(), set()
    for name, capture in captures.items():
        trained |= _people(capture, frames_of(capture, split, "train"))
        seen |= _people(capture, tested[name])
    return bool(trained & seen)


def _people(capture: xr.Dataset, chosen: np.ndarray) -> set[str]:
    return {recording.subject for recording in recordings(capture) if chosen[recording.frames].any()}


def check_names(captures: dict[str, xr.Dataset], split: Split, where: str) -> None:
    """Refuse a split that names what the data set does not have.

    Raises
    ------
    InputError
        Naming what is unknown and what there is.
    """
    if split.by == "time":
        return
    known = {
        getattr(recording, _FIELD[split.by]) for capture in captures.values() for recording in recordings(capture)
    }
    unknown = (set(split.test) | set(split.train or ())) - known
    if unknown:
        raise InputError(
            f"{where}, section split: no {split.by} {listed(sorted(unknown))} (there are: {listed(sorted(known))})"
        )


_FIELD = {"subject": "subject", "recording": "name"}


def frames_of(capture: xr.Dataset, split: Split, part: Literal["train", "test"]) -> np.ndarray:
    """Tell which frames of a capture belong to a part of the split.

    Returns
    -------
    numpy.ndarray
        (frame,) of bool.
    """
    chosen = np.zeros(capture.sizes["frame"], bool)
    for recording in recordings(capture):
        if split.by == "time":
            boundary = recording.start + round(recording.length * (1 - split.test_share))
            before = slice(recording.start, boundary)
            chosen[before if part == "train" else slice(boundary, recording.frames.stop)] = True
        else:
            name = getattr(recording, _FIELD[split.by])
            in_test = name in split.test
            in_train = not in_test if split.train is None else name in split.train
            chosen[recording.frames] = in_test if part == "test" else in_train
    return chosen


def frames_to_test(
    captures: dict[str, xr.Dataset], split: Split, references: dict[str, xr.Dataset]
) -> tuple[dict[str, np.ndarray], bool]:
    """Tell which frames are evaluated: those for testing, as far as they can be compared.

    Where there is a reference for some of them, captures and recordings without one are left out with a notice, so
    that all numbers are over the same poses. Without any reference all frames for testing count.

    Parameters
    ----------
    captures
        The detections.
    split
        The split of the data set.
    references
        The same captures, or some of them, in the file of references.

    Returns
    -------
    chosen : dict of numpy.ndarray
        Of every capture (frame,) of bool.
    compared : bool
        Whether they are compared with a reference.
    """
    tested = {name: frames_of(capture, split, "test") for name, capture in captures.items()}
    without = {
        name: [
            recording
            for recording in recordings(capture)
            if tested[name][recording.frames].any() and not _has_poses(references.get(name), recording)
        ]
        for name, capture in captures.items()
    }
    chosen = {name: frames.copy() for name, frames in tested.items()}
    for name, left_out in without.items():
        for recording in left_out:
            chosen[name][recording.frames] = False
    if not any(frames.any() for frames in chosen.values()):
        if any(tested[name].any() for name in references):
            log.warning("The reference has no pose of the test frames: they are compared with the other views only")
        return tested, False
    for name, left_out in without.items():
        if left_out and not chosen[name].any():
            log.warning("capture %s: no reference, so it is left out of the evaluation", name)
        else:
            for recording in left_out:
                log.warning("%s: no reference, so it is left out of the evaluation", recording.name)
    return chosen, True


def _has_poses(reference: xr.Dataset | None, recording: Recording) -> bool:
    """Tell whether a reference has a pose of a recording: the root, and a joint beside it."""
    if reference is None:
        return False
    mapping = skeletons.mapping(skeleton_of(reference), TRAINING_SKELETON)
    for block in blocks(recording.length):
        (poses,) = load_frames(reference, recording.part(block.start, block.stop), "poses")
        known = np.isfinite(mapping.apply(poses)).all(-1)
        if (known[:, TRAINING_SKELETON.root_index] & (known.sum(1) > 1)).any():
            return True
    return False

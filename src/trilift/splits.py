"""Which frames of a data set are for training and which for testing: the section ``split`` of its file."""

import logging
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from trilift.captures import Recording, blocks, load_frames, recordings
from trilift.errors import InputError
from trilift.params import StrictModel, refuse

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
    test: list[str] = []
    train: list[str] | None = None
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
            problems.append(f"{', '.join(sorted(overlap))} cannot be in both train and test")
        refuse(problems)
        return self


def seen_in_training(captures: dict[str, xr.Dataset], split: Split) -> bool:
    """Tell whether a person of the test frames is also in the training frames."""
    people: dict[str, set[str]] = {"train": set(), "test": set()}
    parts: tuple[Literal["train", "test"], ...] = ("train", "test")
    for capture in captures.values():
        for part in parts:
            chosen = frames_of(capture, split, part)
            people[part] |= {r.subject for r in recordings(capture) if chosen[r.frames].any()}
    return bool(people["train"] & people["test"])


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
            f"{where}, section split: no {split.by} {', '.join(sorted(unknown))} "
            f"(there are: {', '.join(sorted(known))})"
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
            boundary = recording.first_frame + round(recording.length * (1 - split.test_share))
            before = slice(recording.first_frame, boundary)
            chosen[before if part == "train" else slice(boundary, recording.frames.stop)] = True
        else:
            name = getattr(recording, _FIELD[split.by])
            in_test = name in split.test
            in_train = not in_test if split.train is None else name in split.train
            chosen[recording.frames] = in_test if part == "test" else in_train
    return chosen


def frames_to_test(capture: xr.Dataset, split: Split, reference: xr.Dataset | None) -> np.ndarray:
    """Tell which frames of a capture are evaluated: those for testing, as far as they can be compared.

    Where a capture has a reference, recordings without one are left out with a notice, so that all numbers are over
    the same poses. Without any reference all frames for testing count.

    Parameters
    ----------
    capture
        The detections.
    split
        The split of the data set.
    reference
        The same capture in the file of references, or None where it is not there.

    Returns
    -------
    numpy.ndarray
        (frame,) of bool.
    """
    chosen = frames_of(capture, split, "test")
    if reference is None:
        return chosen
    for recording in recordings(reference):
        if chosen[recording.frames].any() and not _has_poses(reference, recording):
            log.warning("%s: no reference, so it is left out of the evaluation", recording.name)
            chosen[recording.frames] = False
    return chosen


def _has_poses(reference: xr.Dataset, recording: Recording) -> bool:
    return any(
        np.isfinite(load_frames(reference, recording.part(block.start, block.stop), "keypoints_3d")[0]).any()
        for block in blocks(recording.length)
    )

"""plot: tables and predictions -> figures."""

import json
import logging

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from pydantic import Field

from trilift import captures, skeletons
from trilift.errors import InputError
from trilift.figures import style
from trilift.figures.per_joint import error_per_joint
from trilift.figures.poses import Example, predicted_poses
from trilift.figures.pseudo_labels import pseudo_label_quality
from trilift.figures.training import training_curve
from trilift.files import replacing
from trilift.layout import Layout
from trilift.params import StrictModel, load
from trilift.skeletons import TRAINING_SKELETON

log = logging.getLogger(__name__)

_NAMES = dict.fromkeys(("capture", "view", "keypoint", "subject", "parent", "child"), str)


class Settings(StrictModel):
    """The section ``plot`` of ``params.yaml``.

    Attributes
    ----------
    examples
        How many poses the figure of poses shows.
    """

    examples: int = Field(4, gt=0, le=20)


def run(layout: Layout) -> None:
    """Draw the figures of a run."""
    settings = load(layout.params, "plot", Settings)
    style.use()
    try:
        facts = json.loads((layout.results / "metrics.json").read_text("utf-8"))
        history = pd.read_csv(layout.results / "history.csv")
        per_joint = pd.read_csv(layout.results / "per_joint.csv", index_col="joint")
        views, keypoints, bones = (
            pd.read_csv(layout.recap / f"{name}.csv", dtype=_NAMES) for name in ("views", "keypoints", "bones")
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{layout.results}: no readable results ({error}); triangulate, train and evaluate first"
        ) from None
    note = f"data set {layout.dataset}" + (" (SIMULATED)" if facts["simulated"] else "")
    note += f" · detections: {facts['detections_from']}"
    if facts["seen_in_training"]:
        note += " · the person was seen in training"
    _save(layout, "pseudo_labels", pseudo_label_quality(views, keypoints, bones, note))
    _save(layout, "training", training_curve(history, note))
    _save(layout, "error_per_joint", error_per_joint(per_joint, note))
    examples, compared_with = _examples(layout, settings.examples)
    _save(layout, "poses", predicted_poses(examples, compared_with, note))


def _save(layout: Layout, name: str, figure: Figure) -> None:
    path = layout.results / "figures" / f"{name}.png"
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)
    log.info("%s", path)


def _examples(layout: Layout, number: int) -> tuple[list[Example], str]:
    """Take poses at even distances through all test frames, each from the next view."""
    with (
        captures.read(layout.captures, "captures") as detections,
        captures.read(layout.pseudo_labels, "pseudo_labels") as labels,
        captures.read(layout.references, "references") as references,
        captures.read(layout.results / "predictions.nc", "predictions") as predictions,
    ):
        places = [
            (name, frame) for name, capture in predictions.items() for frame in _even(capture.sizes["frame"], number)
        ]
        chosen = [places[i] for i in _even(len(places), number)]
        # All examples are compared with the same thing.
        has_reference = all(name in references for name in predictions)
        examples = []
        for i, (name, frame) in enumerate(chosen):
            view = i % predictions[name].sizes["view"]
            reference = references[name] if has_reference else None
            examples.append(_example(detections[name], labels[name], reference, predictions[name], frame, view))
        return examples, "reference" if has_reference else "pseudo-label (triangulated from all views)"


def _even(length: int, number: int) -> list[int]:
    return np.unique(((np.arange(number) + 0.5) * length / number).astype(int)).tolist()


def _example(
    detections: xr.Dataset,
    labels: xr.Dataset,
    reference: xr.Dataset | None,
    predictions: xr.Dataset,
    frame: int,
    view: int,
) -> Example:
    in_capture = int(predictions["frame_of_capture"][frame])
    if reference is None:
        world = labels["joints_3d"][in_capture].values
    else:
        mapping = skeletons.mapping(skeletons.get(reference.attrs["skeleton"]), TRAINING_SKELETON)
        world = mapping.apply(reference["keypoints_3d"][in_capture].values)
    relative = world - world[TRAINING_SKELETON.root_index]
    recording = next(
        recording
        for recording in captures.recordings(detections)
        if recording.first_frame <= in_capture < recording.frames.stop
    )
    return Example(
        title=f"{recording.name}, frame {in_capture - recording.first_frame}\n"
        f"camera {detections['view'].values[view]}",
        keypoints=detections["keypoints_2d"][in_capture, view].values,
        skeleton_2d=skeletons.get(detections.attrs["skeleton"]),
        predicted=predictions["joints_3d"][frame, view].values,
        compared=relative @ detections["R"][view].values.T,
        skeleton_3d=TRAINING_SKELETON,
    )

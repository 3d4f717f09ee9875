"""The section ``train`` of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from trilift.lifter.settings import NetworkSettings
from trilift.project.params import StrictModel

# One of these is on: the other losses alone do not say where a joint is.
GEOMETRIC = ("input_triangulation", "multi_view_consistency", "reprojection", "output_triangulation")


class LossSettings(StrictModel):
    """Weights of the losses in the sum, 0 switches one off; and how differences are measured.

    Attributes
    ----------
    input_triangulation
        The prediction from each view against the pseudo-label.
    multi_view_consistency
        The prediction from each view, turned into every other visible view's frame, against `consistency_target`
        there.
    reprojection
        The prediction from each view, put where the pseudo-label's root is and projected into every view, against
        the detections there.
    output_triangulation
        The prediction from each view against the point triangulated from the predictions of all views, each projected
        into its own view.
    bone_symmetry
        Length of each left bone against its right one.
    bone_constancy
        Length of each bone against its mean over the predictions of the same person in the batch.
    consistency_target
        The ``pseudo_label``, as in the published code, or the ``prediction`` from that view.
    output_triangulation_from
        Share of the training after which that loss is switched on; 450 of 700 epochs in the published recipe.
    output_triangulation_detached
        Whether its target is taken as given: no gradient flows into it.
    reprojection_unit
        ``metres``: on the normalised image plane, times the depth of the root. ``pixels``: with distortion, as
        detected; a hundred times larger, which its weight should make up for.
    norm
        ``l1``: mean over coordinates of absolute differences. ``mpjpe``: distances. ``huber``: distances, squared
        below `huber_from_m`.
    huber_from_m
        Metres; in the image, at the depth of the root.
    trust_labels
        Weight pseudo-labels by their covariance; those without one, because they were filled in, count nothing.
    trust_detections
        Weight the detections of `reprojection` by their confidence.
    """

    input_triangulation: float = Field(1.0, ge=0)
    multi_view_consistency: float = Field(1.0, ge=0)
    reprojection: float = Field(0.0, ge=0)
    output_triangulation: float = Field(0.0, ge=0)
    bone_symmetry: float = Field(0.0, ge=0)
    bone_constancy: float = Field(0.0, ge=0)
    consistency_target: Literal["pseudo_label", "prediction"] = "pseudo_label"
    output_triangulation_from: float = Field(450 / 700, ge=0, le=1)
    output_triangulation_detached: bool = True
    reprojection_unit: Literal["metres", "pixels"] = "metres"
    norm: Literal["l1", "mpjpe", "huber"] = "l1"
    huber_from_m: float = Field(0.05, gt=0)
    trust_labels: bool = False
    trust_detections: bool = True

    @model_validator(mode="after")
    def _something_is_on(self) -> "LossSettings":
        if not any(getattr(self, name) for name in GEOMETRIC):
            raise ValueError(f"all losses are switched off; give one of {', '.join(GEOMETRIC)} a weight")
        return self


class AugmentationSettings(StrictModel):
    """What is done to the frames of a batch.

    Attributes
    ----------
    flips
        Share of the frames that are seen in a mirror.
    other_poses
        Share of the frames whose bodies are bent otherwise than recorded: the bones of the pseudo-label are turned,
        and all views see that, missed by what the detector had missed the pseudo-label by.
    bend_deg
        Standard deviation of the angle by which each bone is turned then, beside the one that it hangs on.
    virtual_cameras
        Share of the views that are replaced by a camera elsewhere around the person: the pseudo-label is projected
        into it, and what the detector missed the pseudo-label by in the real view is added.
    tilt_deg, roll_deg
        Standard deviations of that camera's elevation beside the real one's, and of its roll.
    nearness
        It is up to so many times nearer or farther.
    aim_deg
        Standard deviation of the angles by which every camera, real or virtual, is turned where it stands, to the
        side and up or down: people appear elsewhere in the image, as in that of a camera which is aimed otherwise.
    hidden
        Share of the views in which joints are hidden, of each view a part that is drawn anew from none to all but the
        root: the lifter learns to do without them, and may be used with a detector that lacks them.
    """

    flips: float = Field(0.5, ge=0, le=1)
    other_poses: float = Field(0.0, ge=0, le=1)
    bend_deg: float = Field(10.0, ge=0, le=45)
    virtual_cameras: float = Field(0.5, ge=0, le=1)
    tilt_deg: float = Field(10.0, ge=0)
    roll_deg: float = Field(5.0, ge=0)
    nearness: float = Field(1.25, ge=1)
    aim_deg: float = Field(5.0, ge=0, le=20)
    hidden: float = Field(0.0, ge=0, le=1)

    @property
    def changes_anything(self) -> bool:
        return bool(self.flips or self.other_poses or self.virtual_cameras or self.aim_deg or self.hidden)


class TrainingSettings(StrictModel):
    """The section ``train`` of ``params.yaml``.

    Attributes
    ----------
    network, losses, augmentation
        See there.
    start_from
        The lifter whose weights and scaling of the inputs the training begins with: ``pretrained`` or
        ``pretrained-single``, which come with the package, or the name of one in ``data/lifters``. By default the
        weights are random.
    steps
        Optimiser steps in all. Counted in steps and not in epochs, so that one setting serves recordings of very
        different length.
    batch_frames
        Frames per step, at most; each brings all its views.
    learning_rate
        Of Adam at the start.
    schedule
        ``cosine``: it falls to 0 along a cosine. ``constant``.
    largest_gradient
        Norm that gradients are cut to; 0 for none.
    averaging
        The lifter's weights are an exponential average over the steps with this factor; 0 for the last step's.
    without_root
        Learn from frames too whose pseudo-label lacks the root, as where two cameras alone see the hips of who sits,
        and do not agree. Two views have to see the root; a pose is put where the labelled joints are, on average, and
        then compared with them.
    validation_share
        Share at the end of each training recording that is kept out of training, to watch the error against
        *pseudo-labels* that were not trained on.
    keep
        ``best``: the weights of the lowest validation error. ``last``: those of the end.
    patience
        Stop when the validation error has not fallen for so many of the hundred validations; 0 for never.
    precision
        ``float32``, or ``bfloat16`` for the network alone, which is faster on a GPU.
    threads
        CPU threads. A setting, because the number of threads changes the last bits of the result.
    """

    network: NetworkSettings = NetworkSettings(kind="temporal", width=256, frames=9)
    losses: LossSettings = LossSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    start_from: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")] | None = None
    steps: int = Field(1000, gt=0)
    batch_frames: int = Field(64, ge=4)
    learning_rate: float = Field(3e-3, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    largest_gradient: float = Field(1.0, ge=0)
    averaging: float = Field(0.0, ge=0, lt=1)
    without_root: bool = False
    validation_share: float = Field(0.1, ge=0, lt=1)
    keep: Literal["best", "last"] = "best"
    patience: int = Field(0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = Field(1, gt=0)


Settings = TrainingSettings

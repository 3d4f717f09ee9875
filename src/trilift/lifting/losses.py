"""What a lifter learns from: pseudo-labels and multi-view geometry, as losses on a batch of frames.

Shapes: B frames, V views, J joints without the root. Poses are root-relative, in metres. Losses are means of
absolute differences (L1) over all numbers that exist, in metres.
"""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from trilift.params import StrictModel


class LossSettings(StrictModel):
    """Weights of the losses in the sum; 0 switches one off.

    Attributes
    ----------
    input_triangulation
        The prediction from each view against the pseudo-label.
    multi_view_consistency
        The prediction from each view, turned into every other visible view's frame, against `consistency_target`
        there.
    consistency_target
        The ``pseudo_label``, as in the published code, or the ``prediction`` from that view.
    """

    input_triangulation: float = Field(1.0, ge=0)
    multi_view_consistency: float = Field(1.0, ge=0)
    consistency_target: Literal["pseudo_label", "prediction"] = "pseudo_label"

    @model_validator(mode="after")
    def _something_is_on(self) -> "LossSettings":
        if self.input_triangulation == self.multi_view_consistency == 0:
            raise ValueError("all losses are switched off")
        return self


def losses(
    predicted: Tensor, labels: Tensor, rotations: Tensor, visible: Tensor, settings: LossSettings
) -> dict[str, Tensor]:
    """Compute the losses that are switched on.

    Parameters
    ----------
    predicted
        (B, V, J, 3), each in its view's camera frame.
    labels
        (B, J, 3) pseudo-labels, world frame; NaN where missing.
    rotations
        (B, V, 3, 3), world to camera.
    visible
        (B, V) bool: whether there is a prediction from this view.
    settings
        Their weights.

    Returns
    -------
    dict
        Unweighted losses by name, in metres.
    """
    label_exists = labels.isfinite().all(-1)  # (B, J)
    labels = torch.where(label_exists.unsqueeze(-1), labels, 0.0)
    labels_in_views = labels.unsqueeze(1) @ rotations.mT  # (B, V, J, 3)
    computed = {}
    if settings.input_triangulation:
        exists = visible.unsqueeze(-1) & label_exists.unsqueeze(1)  # (B, V, J)
        computed["input_triangulation"] = mean_difference(predicted, labels_in_views, exists)
    if settings.multi_view_consistency:
        turned = into_all_views(predicted, rotations)
        itself = torch.eye(visible.shape[1], dtype=torch.bool, device=visible.device)
        pairs = (visible.unsqueeze(2) & visible.unsqueeze(1) & ~itself).unsqueeze(-1)  # (B, i, j, 1)
        if settings.consistency_target == "pseudo_label":
            target, exists = labels_in_views, pairs & label_exists[:, None, None]
        else:
            target, exists = predicted, pairs
        computed["multi_view_consistency"] = mean_difference(turned, target.unsqueeze(1), exists)
    return computed


def weighted_sum(computed: dict[str, Tensor], settings: LossSettings) -> Tensor:
    """Add the losses up with their weights."""
    return torch.stack([getattr(settings, name) * value for name, value in computed.items()]).sum()


def into_all_views(poses: Tensor, rotations: Tensor) -> Tensor:
    """Turn the pose of every view i into every view j's frame: (B, V, J, 3) to (B, i, j, J, 3)."""
    world = poses @ rotations  # row vectors: x_world = R^T x_camera
    frames, views, joints, _ = poses.shape
    all_views = rotations.reshape(frames, views * 3, 3)  # one product for all pairs of views
    turned = world.reshape(frames, views * joints, 3) @ all_views.mT
    return turned.reshape(frames, views, joints, views, 3).transpose(2, 3)


def mean_difference(a: Tensor, b: Tensor, exists: Tensor) -> Tensor:
    """Mean absolute difference over the entries (..., J) that exist; 0 where none does."""
    weights = exists.to(a.dtype)
    weights = weights.expand(torch.broadcast_shapes(weights.shape, a.shape[:-1]))
    total = ((a - b).abs().sum(-1) * weights).sum()
    return total / (a.shape[-1] * weights.sum()).clamp(min=1)

"""What a lifter learns from: pseudo-labels and multi-view geometry, as losses on a batch of frames.

Shapes: B frames, V views, J joints without the root. Poses are root-relative, in metres. Every loss is a weighted
mean of a norm of differences over all that exist, in metres (`LossSettings.reprojection_unit` may say pixels).
"""

import torch
from torch import Tensor

from trilift.geometry.cameras import distort
from trilift.lifter.inputs import insert_root
from trilift.skeletons import Skeleton
from trilift.train.samples import Batch
from trilift.train.settings import GEOMETRIC, OF_THE_BODY, LossSettings

_SMALLEST_DEPTH = 0.1  # metres: what is predicted closer to a camera, or behind it, is projected as if it were there


def losses(predicted: Tensor, batch: Batch, settings: LossSettings, progress: float = 1.0) -> dict[str, Tensor]:
    """Compute the losses that are switched on.

    Parameters
    ----------
    predicted
        (B, V, J, 3), each in its view's camera frame; anything where a view is not visible.
    batch
        The frames that it was predicted from.
    settings
        Weights and norms.
    progress
        How much of the training is done, from 0 to 1.

    Returns
    -------
    dict
        Unweighted losses by name; NaN where the batch has nothing to compare.
    """
    problem = _Problem(predicted, batch, settings)
    computed = {}
    for name in (*GEOMETRIC, *OF_THE_BODY):
        late = name == "output_triangulation" and progress < settings.output_triangulation_from
        if getattr(settings, name) and not late:
            computed[name] = getattr(problem, name)()
    return computed


def weighted_sum(computed: dict[str, Tensor], settings: LossSettings) -> Tensor:
    """Add the losses up with their weights, but for those that have nothing to compare; a zero without any."""
    known = {name: torch.where(value.isnan(), 0.0, value) for name, value in computed.items()}
    return sum((getattr(settings, name) * value for name, value in known.items()), torch.zeros(()))


class _Problem:
    """Predictions beside what they are compared with, all in the frames of the views."""

    def __init__(self, predicted: Tensor, batch: Batch, settings: LossSettings):
        self.settings, self.skeleton = settings, batch.skeleton
        self.batch, self.visible, self.rotations = batch, batch.visible, batch.rotations
        self.predicted = torch.where(batch.visible[..., None, None], predicted, 0.0)
        labels = batch.labels
        exists = labels.isfinite().all(-1)  # (B, J)
        trust = _without_root(batch.trust, batch.skeleton).to(predicted.dtype) if settings.trust_labels else 1.0
        self.trust = torch.where(exists, trust, 0.0).to(predicted.dtype)
        labels = torch.where(exists[..., None], labels, 0.0)
        self.labels = labels.unsqueeze(1) @ batch.rotations.mT  # (B, V, J, 3)
        itself = torch.eye(batch.visible.shape[1], dtype=torch.bool, device=predicted.device)
        self.pairs = batch.visible.unsqueeze(2) & batch.visible.unsqueeze(1)  # (B, i, j)
        self.other_pairs = self.pairs & ~itself

    def mean(self, difference: Tensor, weights: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Average the norm of differences (..., joint, space) in metres with weights (..., joint); NaN without any.

        `factor` turns metres into another unit.
        """
        if self.settings.norm == "l1":
            size = difference.abs().mean(-1)
        else:
            size = difference.square().sum(-1).clamp(min=1e-18).sqrt()  # no infinite slope at 0
            if self.settings.norm == "huber":
                limit = self.settings.huber_from_m
                size = torch.where(size < limit, size.square() / (2 * limit), size - limit / 2)
        weights = weights.to(size.dtype)
        total = (size * factor * weights).sum()
        number = weights.expand_as(size).sum()
        return torch.where(number > 0, total / torch.where(number > 0, number, 1.0), torch.nan)

    @property
    def root(self) -> Tensor:
        """(B, V, 3): the pseudo-label's root in the views."""
        root = (self.rotations @ self.batch.root[:, None, :, None])[..., 0] + self.batch.translations
        return torch.where(self.visible[..., None], root, root.new_tensor([0.0, 0.0, 1.0]))

    def input_triangulation(self) -> Tensor:
        return self.mean(self.predicted - self.labels, self.visible[..., None] * self.trust[:, None])

    def multi_view_consistency(self) -> Tensor:
        turned = into_all_views(self.predicted, self.rotations)
        if self.settings.consistency_target == "pseudo_label":
            return self.mean(turned - self.labels[:, None], self.other_pairs[..., None] * self.trust[:, None, None])
        return self.mean(turned - self.predicted[:, None], self.other_pairs[..., None].expand(turned.shape[:-1]))

    def reprojection(self) -> Tensor:
        batch, root = self.batch, self.root
        detected = _without_root(batch.points[:, batch.middle], self.skeleton, axis=-2)  # (B, V, J, 2)
        exists = detected.isfinite().all(-1)
        detected = torch.where(exists[..., None], detected, 0.0)
        confidence = _without_root(batch.confidence[:, batch.middle], self.skeleton)
        weights = torch.where(exists, confidence if self.settings.trust_detections else 1.0, 0.0)
        points = into_all_views(self.predicted, self.rotations) + root[:, None, :, None]  # (B, i, j, J, 3)
        projected = points[..., :2] / points[..., 2:].clamp(min=_SMALLEST_DEPTH)
        depth = root[..., 2].clamp(min=_SMALLEST_DEPTH)[:, None, :, None]  # (B, 1, j, 1)
        weights = self.pairs[..., None] * weights[:, None]
        if self.settings.reprojection_unit == "metres":
            return self.mean((projected - detected[:, None]) * depth[..., None], weights)
        focal = batch.focal.mean(-1)[:, None, :, None]
        difference = distort(projected, batch.distortion[:, None]) - distort(detected, batch.distortion)[:, None]
        return self.mean(difference * depth[..., None], weights, focal / depth)

    def output_triangulation(self) -> Tensor:
        target = self.triangulated()  # (B, J, 3)
        if self.settings.output_triangulation_detached:
            target = target.detach()
        several = self.visible & (self.visible.sum(1, keepdim=True) >= 2)
        difference = self.predicted - target[:, None] @ self.rotations.mT
        return self.mean(difference, several[..., None].expand(difference.shape[:-1]))

    def triangulated(self) -> Tensor:
        """Triangulate the predictions, each projected into its own view: (B, J, 3), world frame, root-relative.

        The direct linear transform, each view's equations divided by the depth of the root, which makes them errors
        on the normalised image plane.
        """
        root = self.root[:, :, None]  # (B, V, 1, 3)
        points = self.predicted + root
        x, y = (points[..., :2] / points[..., 2:].clamp(min=_SMALLEST_DEPTH)).unbind(-1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        equations = torch.stack([torch.stack([one, zero, -x], -1), torch.stack([zero, one, -y], -1)], -2)
        equations = equations / root[..., 2:, None].clamp(min=_SMALLEST_DEPTH)
        equations = equations * self.visible[..., None, None, None]
        offsets = (equations @ root[..., None])[..., 0]  # (B, V, J, 2)
        in_world = equations @ self.rotations[:, :, None]
        matrix = torch.einsum("bvjra,bvjrc->bjac", in_world, in_world).double()
        vector = torch.einsum("bvjra,bvjr->bja", in_world, offsets).double()
        several = (self.visible.sum(1) >= 2)[:, None, None]
        matrix = torch.where(several[..., None], matrix, torch.eye(3, dtype=matrix.dtype, device=matrix.device))
        return -_solve_symmetric(matrix, torch.where(several, vector, 0.0)).to(self.predicted.dtype)

    def bone_symmetry(self) -> Tensor:
        lengths = self._bone_lengths()
        bones = self.skeleton.bone_indices
        mirrored = self.skeleton.mirrored
        pairs = [
            (number, bones.index((mirrored[parent], mirrored[child])))
            for number, (parent, child) in enumerate(bones)
            if (mirrored[parent], mirrored[child]) in bones
        ]
        left, right = ([pair[side] for pair in pairs if pair[0] < pair[1]] for side in (0, 1))
        difference = (lengths[..., left] - lengths[..., right])[..., None]
        return self.mean(difference, self.visible[..., None].expand(difference.shape[:-1]))

    def bone_constancy(self) -> Tensor:
        lengths = self._bone_lengths()  # (B, V, bone)
        weights = self.visible[..., None].to(lengths.dtype)
        people = int(self.batch.person.max()) + 1 if len(lengths) else 0
        total = lengths.new_zeros(people, lengths.shape[-1]).index_add(
            0, self.batch.person, (lengths * weights).sum(1)
        )
        number = lengths.new_zeros(people, 1).index_add(0, self.batch.person, weights.sum(1))
        mean = (total / number.clamp(min=1))[self.batch.person]
        return self.mean((lengths - mean[:, None])[..., None], weights.expand_as(lengths))

    def _bone_lengths(self) -> Tensor:
        poses = insert_root(self.predicted, self.skeleton)
        parents, children = zip(*self.skeleton.bone_indices, strict=True)
        return (poses[..., list(parents), :] - poses[..., list(children), :]).square().sum(-1).clamp(min=1e-18).sqrt()


def into_all_views(poses: Tensor, rotations: Tensor) -> Tensor:
    """Turn the pose of every view i into every view j's frame: (B, V, J, 3) to (B, i, j, J, 3)."""
    world = poses @ rotations  # row vectors: x_world = R^T x_camera
    frames, views, joints, _ = poses.shape
    all_views = rotations.reshape(frames, views * 3, 3)  # one product for all pairs of views
    turned = world.reshape(frames, views * joints, 3) @ all_views.mT
    return turned.reshape(frames, views, joints, views, 3).transpose(2, 3)


def _without_root(values: Tensor, skeleton: Skeleton, axis: int = -1) -> Tensor:
    others = [joint for joint in range(len(skeleton)) if joint != skeleton.root_index]
    return values.index_select(axis, torch.tensor(others, device=values.device))


def _solve_symmetric(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve symmetric 3x3 systems (..., 3, 3) for (..., 3) by Cramer's rule: many times faster than LAPACK."""
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    d, e, f = matrix[..., 1, 1], matrix[..., 1, 2], matrix[..., 2, 2]
    ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = a * ca + b * cb + c * cc
    u, v, w = right.unbind(-1)
    solution = [ca * u + cb * v + cc * w, cb * u + cd * v + ce * w, cc * u + ce * v + cf * w]
    return torch.stack(solution, -1) / determinant[..., None]

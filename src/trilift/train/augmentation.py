"""Batches that were never recorded: seen in a mirror, by cameras that never existed, or by lesser detectors."""

from dataclasses import replace

import torch
from torch import Tensor

from trilift.skeletons import Skeleton
from trilift.train.samples import Batch, constant
from trilift.train.settings import AugmentationSettings


def augment(batch: Batch, settings: AugmentationSettings) -> Batch:
    """Change a batch at random; what it says of geometry stays true."""
    if settings.other_poses:
        batch = _pose_otherwise(batch, settings)
    if settings.virtual_cameras:
        batch = _see_by_virtual_cameras(batch, settings)
    if settings.aim_deg:
        batch = _aim_elsewhere(batch, settings.aim_deg)
    if settings.flips:
        batch = _flip(batch, torch.rand(len(batch), device=batch.rays.device) < settings.flips)
    if settings.hidden:
        batch = _hide(batch, settings.hidden)
    return batch


def _pose_otherwise(batch: Batch, settings: AugmentationSettings) -> Batch:
    """Turn the bones of some frames' bodies, each beside the one that it hangs on, and see that in all views.

    What hangs on a joint without a label turns about the joint before it. Bones at the root stay, and so does what is
    seen of their ends, labelled or not.
    """
    device, dtype = batch.rays.device, batch.poses.dtype
    bones, root = _outwards(batch.skeleton), batch.skeleton.root_index
    chosen = torch.rand(len(batch), device=device) < settings.other_poses
    angles = settings.bend_deg * torch.pi / 180 * torch.randn(len(batch), len(bones), device=device, dtype=dtype)
    axes = torch.nn.functional.normalize(torch.randn(len(batch), len(bones), 3, device=device, dtype=dtype), dim=-1)
    turns = _rotation(axes, angles)  # (B, bone, 3, 3)
    known = batch.poses.isfinite().all(-1, keepdim=True)  # (B, T, joint, 1)
    turned = {root: torch.eye(3, device=device, dtype=dtype).expand(len(batch), 3, 3)}
    before, after = {root: batch.poses[:, :, root]}, {root: batch.poses[:, :, root]}
    for bone, (parent, child) in enumerate(bones):
        turned[child] = turned[parent] if parent == root else turned[parent] @ turns[:, bone]
        own = known[:, :, child]
        before[child] = torch.where(own, batch.poses[:, :, child], before[parent])
        after[child] = after[parent] + (before[child] - before[parent]) @ turned[child].mT
    poses = torch.stack([after[joint] for joint in range(len(batch.skeleton))], 2)
    poses = torch.where(known, poses, torch.nan)
    missed_by = batch.rays - _project(batch.poses, batch.rotations, batch.translations)
    rays = _project(poses, batch.rotations, batch.translations) + missed_by
    stays = {root, *(child for parent, child in bones if parent == root)}
    turned_too = constant(tuple(joint not in stays for joint in range(len(batch.skeleton))), device)
    moved = chosen[:, None, None, None] & turned_too
    rays = torch.where(moved[..., None], rays, batch.rays)
    missing = moved & ~rays.isfinite().all(-1)
    return replace(
        batch,
        rays=rays,
        confidence=torch.where(missing, 0.0, batch.confidence),
        poses=torch.where(chosen[:, None, None, None], poses, batch.poses),
    )


def _outwards(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Order bones so that each follows the one that it hangs on."""
    left, reached, ordered = list(skeleton.bone_indices), {skeleton.root_index}, []
    while left:
        bone = next(bone for bone in left if bone[0] in reached)
        left.remove(bone)
        reached.add(bone[1])
        ordered.append(bone)
    return ordered


def _flip(batch: Batch, flipped: Tensor) -> Batch:
    """Mirror some frames: the world at the plane x = 0, and every image at its vertical axis.

    With the world mirrored by S and the images by M, a camera R, t becomes M R S, M t, which is a camera again.
    """
    mirrored = constant(tuple(batch.skeleton.mirrored), batch.rays.device)
    across = torch.where(flipped, -1.0, 1.0).to(batch.rotations.dtype)  # (B,)

    def swap(values: Tensor, axis: int) -> Tensor:
        shape = (-1,) + (1,) * (values.dim() - 1)
        swapped = values.index_select(axis, mirrored)
        return torch.where(flipped.reshape(shape), swapped, values)

    def negate_x(values: Tensor, axis: int = -1) -> Tensor:
        """Change the sign of the first coordinate along an axis."""
        sign = values.new_ones(values.shape[axis])
        signs = sign.repeat(len(values), 1)
        signs[:, 0] = across.to(values.dtype)
        shape = [len(values)] + [1] * (values.dim() - 1)
        shape[axis] = values.shape[axis]
        return values * signs.reshape(shape)

    rotations = negate_x(negate_x(batch.rotations, -2), -1)
    distortion = batch.distortion.clone()
    distortion[..., 3] *= across[:, None].to(distortion.dtype)  # p2 multiplies what is odd in x
    return replace(
        batch,
        rays=negate_x(swap(batch.rays, -2)),
        confidence=swap(batch.confidence, -1),
        poses=negate_x(swap(batch.poses, -2)),
        trust=swap(batch.trust, -1),
        rotations=rotations,
        translations=negate_x(batch.translations),
        distortion=distortion,
    )


def _see_by_virtual_cameras(batch: Batch, settings: AugmentationSettings) -> Batch:
    """Move some views around the root: turned by any angle about the vertical, tilted, rolled, nearer or farther.

    The root stays on its ray. "Up" is what the cameras of the rig take for it on average, those that lie on a side or
    upside down as if they did not.
    """
    frames, views = batch.visible.shape
    device, dtype = batch.rays.device, batch.rotations.dtype
    chosen = torch.rand(frames, views, device=device) < settings.virtual_cameras
    yaw = 2 * torch.pi * torch.rand(frames, views, device=device, dtype=dtype)
    degree = torch.pi / 180
    tilt = settings.tilt_deg * degree * torch.randn(frames, views, device=device, dtype=dtype)
    roll = settings.roll_deg * degree * torch.randn(frames, views, device=device, dtype=dtype)
    nearness = settings.nearness ** (2 * torch.rand(frames, views, device=device, dtype=dtype) - 1)

    up = (_upwards(batch.rotations, batch.visible) * batch.visible[..., None]).sum(1, keepdim=True)
    up = torch.nn.functional.normalize(up, dim=-1).expand(frames, views, 3)
    axes = torch.eye(3, device=device, dtype=dtype)
    turned = _rotation(axes[2], roll) @ _rotation(axes[0], tilt) @ batch.rotations @ _rotation(up, yaw)
    root = batch.root[:, None]
    in_camera = (batch.rotations @ root[..., None])[..., 0] + batch.translations
    moved = nearness[..., None] * in_camera - (turned @ root.expand(-1, views, -1)[..., None])[..., 0]

    rotations = torch.where(chosen[..., None, None], turned, batch.rotations)
    translations = torch.where(chosen[..., None], moved, batch.translations)
    missed_by = batch.rays - _project(batch.poses, batch.rotations, batch.translations)
    rays = _project(batch.poses, rotations, translations) + missed_by
    chosen = chosen[:, None, :, None]
    rays = torch.where(chosen[..., None], rays, batch.rays)
    missing = chosen & ~rays.isfinite().all(-1)
    return replace(
        batch,
        rays=rays,
        confidence=torch.where(missing, 0.0, batch.confidence),
        rotations=rotations,
        translations=translations,
    )


def _upwards(rotations: Tensor, visible: Tensor) -> Tensor:
    """Tell which side of each view's image is the upper one (B, V, 3), in the world: that on which the views agree.

    Where they agree on two, it is that which is the upper one in more of the images as they are.
    """
    up, right = -rotations[:, :, 1], rotations[:, :, 0]
    sides = torch.stack([up, -up, right, -right], 2)  # (B, V, 4, 3)
    seen = sides * visible[..., None, None]
    alike = torch.einsum("bci,bvsi->bcvs", seen.flatten(1, 2), seen)
    alike = alike * constant((1.0, 0.9, 0.9, 0.9), alike.device)
    best = alike.amax(3).sum(2).argmax(1)  # (B,)
    chosen = alike.take_along_dim(best[:, None, None, None], 1)[:, 0].argmax(-1)  # (B, V)
    return sides.take_along_dim(chosen[..., None, None], 2)[:, :, 0]


def _aim_elsewhere(batch: Batch, aim_deg: float) -> Batch:
    """Turn cameras about their centres; what they see moves in the image by a homography, errors included."""
    axes = torch.eye(3, device=batch.rays.device, dtype=batch.rotations.dtype)
    angles = aim_deg * torch.pi / 180 * torch.randn(2, *batch.visible.shape, device=axes.device, dtype=axes.dtype)
    turn = _rotation(axes[0], angles[0]) @ _rotation(axes[1], angles[1])  # (B, V, 3, 3)
    turned = torch.nn.functional.pad(batch.rays, (0, 1), value=1.0) @ turn.to(batch.rays.dtype).mT.unsqueeze(1)
    rays = turned[..., :2] / torch.where(turned[..., 2:] > 0, turned[..., 2:], torch.nan)
    missing = ~rays.isfinite().all(-1)
    return replace(
        batch,
        rays=rays,
        confidence=torch.where(missing, 0.0, batch.confidence),
        rotations=turn @ batch.rotations,
        translations=(turn @ batch.translations[..., None])[..., 0],
    )


def _hide(batch: Batch, share: float) -> Batch:
    """Leave joints other than the root out of some views, the same ones in all frames around one."""
    drawn = torch.rand(*batch.visible.shape, 2 + len(batch.skeleton), device=batch.rays.device)  # (B, V, 2 + joint)
    chosen, part, of_joints = drawn.split([1, 1, len(batch.skeleton)], -1)
    hidden = (chosen < share) & (of_joints < part)
    hidden[..., batch.skeleton.root_index] = False
    hidden = hidden[:, None]  # (B, 1, V, joint)
    return replace(
        batch,
        rays=torch.where(hidden[..., None], torch.nan, batch.rays),
        confidence=torch.where(hidden, 0.0, batch.confidence),
    )


def _project(poses: Tensor, rotations: Tensor, translations: Tensor) -> Tensor:
    """Project (B, T, J, 3) into views (B, V): rays (B, T, V, J, 2); NaN if not in front of the camera."""
    in_views = poses.unsqueeze(2) @ rotations.mT.unsqueeze(1) + translations[:, None, :, None]
    depth = in_views[..., 2:]
    return in_views[..., :2] / torch.where(depth > 0, depth, torch.nan)


def _rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about unit axes (..., 3) (Rodrigues' formula)."""
    x, y, z = axis.expand(*angle.shape, 3).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*angle.shape, 3, 3)
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return torch.eye(3, device=angle.device, dtype=angle.dtype) + sine * cross + (1 - cosine) * cross @ cross

"""Samples and their cameras are changed, joined and drawn from field by field."""

from dataclasses import fields, replace

import numpy as np
import torch

from synthetic import ring_of_cameras
from train.batches import make_samples
from trilift.geometry.cameras import Cameras, project
from trilift.skeletons import H36M17
from trilift.train.samples import Batch, Frames, Rigs, Samples
from trilift.train.stage import _mean_pose, _put_in_roots


def test_a_change_reaches_every_tensor_and_those_of_the_rigs() -> None:
    samples = make_samples()
    changed = samples.map(torch.zeros_like)
    assert changed.skeleton is samples.skeleton
    for one in (changed, changed.rigs):
        values = [getattr(one, field.name) for field in fields(one)]
        assert not any(value.any() for value in values if isinstance(value, torch.Tensor))


def test_joined_samples_have_the_frames_and_rigs_of_all() -> None:
    one, other = make_samples(20, seed=1), make_samples(30, seed=2)
    joined = Samples.cat([one, other])
    assert joined.skeleton is one.skeleton
    for name in (field.name for field in fields(Samples) if field.name not in ("rigs", "skeleton")):
        assert len(getattr(joined, name)) == 50
        torch.testing.assert_close(getattr(joined, name)[20:], getattr(other, name), equal_nan=True, rtol=0, atol=0)
    assert len(joined.rigs.rotations) == 4
    assert torch.equal(joined.rigs.distortion[2:], other.rigs.distortion)


def test_a_batch_has_the_frames_that_were_asked_for_with_their_cameras() -> None:
    samples = make_samples()
    samples = replace(samples, chosen=torch.arange(40).flip(0))
    batch = samples.batch(torch.tensor([0, 3]), 1)
    for name in (field.name for field in fields(Frames) if field.name != "skeleton"):
        value, expected = getattr(batch, name), getattr(samples, name)[[39, 36]]
        torch.testing.assert_close(value.reshape(expected.shape), expected, equal_nan=True, rtol=0, atol=0)
    for name in (field.name for field in fields(Rigs)):
        assert torch.equal(getattr(batch, name), getattr(samples.rigs, name)[[1, 0]])
    assert isinstance(batch, Batch)
    assert len(batch) == 2


def test_where_a_label_has_no_root_the_views_say_about_where_it_is() -> None:
    cameras = Cameras.stack(ring_of_cameras(4))
    points = torch.tensor(np.random.default_rng(0).normal(size=(4, 17, 3)) * 0.3 + [0, 0, 1])
    pixels = project(cameras, points)
    poses, root = points.float(), H36M17.root_index
    poses[1:3, root] = torch.nan
    poses[2] = torch.nan
    pixels[:, 1:, root] = torch.nan
    pixels[:3, 2, root] = project(cameras, points[:3, root, None])[:, 2, 0]
    given = poses.clone()
    _put_in_roots(poses, cameras, pixels)
    torch.testing.assert_close(poses[1, root], points[1, root].float())
    poses[1, root] = torch.nan
    torch.testing.assert_close(poses, given, equal_nan=True)


def test_the_mean_pose_is_that_of_the_chosen_labels_with_a_root_where_there_are_any() -> None:
    samples = make_samples(frames=12, views=2)
    root, last = samples.skeleton.root_index, len(samples.skeleton) - 1
    rooted = torch.arange(12) % 3 > 0
    poses = samples.poses.clone()
    poses[rooted, last] = torch.nan  # of which there are labels without a sure root alone
    samples = replace(samples, poses=poses, rooted=rooted, chosen=torch.arange(3, 11))
    expected = []
    for joint in range(last + 1):
        counts = ~rooted if joint == last else rooted
        seen = [
            samples.rigs.rotations[samples.capture[frame], view] @ (poses[frame, joint] - poses[frame, root])
            for frame in range(3, 11)
            for view in range(2)
            if counts[frame] and samples.visible[frame, view] and poses[frame, joint].isfinite().all()
        ]
        expected.append(torch.stack(seen).mean(0))
    torch.testing.assert_close(_mean_pose(samples), torch.stack(expected), atol=1e-5, rtol=1e-4)

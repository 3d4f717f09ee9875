"""How much pseudo-labels count, by their covariance."""

import numpy as np
import pytest
import torch

from trilift.skeletons import COCO17, H36M17, mapping
from trilift.train.samples import TRUSTED_BELOW, trust
from trilift.train.stage import _variance


def of_joints(skeleton, deviation, rooted=(True, True)):
    """Trust in the joints of frames (frame, keypoint) whose keypoints have these standard deviations in metres."""
    covariance = np.zeros((*deviation.shape, 6), np.float32)
    covariance[..., [0, 3, 5]] = deviation[..., None] ** 2
    return trust(_variance(covariance, mapping(skeleton, H36M17), np.array(rooted)[: len(deviation)])).numpy()


def test_what_is_measured_counts_by_its_variance():
    deviation = np.full((1, 17), TRUSTED_BELOW)
    deviation[0, H36M17.index("left_wrist")] = 2 * TRUSTED_BELOW
    found = of_joints(H36M17, deviation)
    assert found[0, H36M17.index("right_wrist")] == pytest.approx(0.5)
    assert found[0, H36M17.index("left_wrist")] == pytest.approx(0.2)


def test_what_is_invented_counts_nothing():
    deviation = np.full((2, 17), 0.003)
    deviation[1, H36M17.index("left_wrist")] = np.nan
    found = of_joints(H36M17, deviation)
    assert found[1, H36M17.index("left_wrist")] == 0
    found[1, H36M17.index("left_wrist")] = found[0, H36M17.index("left_wrist")]
    assert (found > 0.9).all()


def test_a_joint_formed_of_an_invented_keypoint_counts_nothing():
    """COCO has no pelvis: it is between the hips. All other joints are learnt relative to it."""
    deviation = np.full((2, 17), 0.003)
    deviation[0, COCO17.index("left_shoulder")] = np.nan
    deviation[1, COCO17.index("left_hip")] = np.nan
    found = of_joints(COCO17, deviation)
    unsure = {name for name, value in zip(H36M17.keypoints, found[0], strict=True) if value == 0}
    assert {"left_shoulder", "thorax"} <= unsure
    assert not unsure & {"right_shoulder", "left_elbow", "pelvis", "left_hip"}
    assert (found[1] == 0).all()


def test_without_a_root_the_other_joints_count():
    deviation = np.full((2, 17), 0.003)
    deviation[:, COCO17.index("left_hip")] = np.nan
    found = of_joints(COCO17, deviation, rooted=(True, False))
    assert (found[0] == 0).all()
    unsure = {name for name, value in zip(H36M17.keypoints, found[1], strict=True) if value == 0}
    assert unsure == {"pelvis", "left_hip", "spine"}


def test_no_variance_is_as_good_as_an_infinite_one():
    variance = torch.tensor([0.0, torch.nan, torch.inf])
    assert trust(variance).tolist() == [1, 0, 0]

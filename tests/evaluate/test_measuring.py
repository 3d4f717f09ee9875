"""All measures of some frames together."""

import numpy as np
import torch

from synthetic import ring_of_cameras
from trilift.captures.schema import Recording
from trilift.evaluate.measuring import MEASURED, PREDICTED, Conditions, Frames, Measuring
from trilift.evaluate.tables import Errors
from trilift.geometry.cameras import Cameras, project, world_to_camera
from trilift.skeletons import H36M17

FRAMES, VIEWS, ROOT = 4, 3, H36M17.root_index


def test_a_pose_of_which_the_reference_has_only_the_root_counts_nowhere() -> None:
    rng = np.random.default_rng(0)
    cameras = Cameras.stack(ring_of_cameras(VIEWS))
    world = torch.tensor(0.3 * rng.normal(size=(FRAMES, len(H36M17), 3)) + [0, 0, 1])
    seen = world_to_camera(cameras, world)
    reference = world.clone()
    reference[1, torch.arange(len(H36M17)) != ROOT] = torch.nan
    predicted = seen - seen[..., ROOT : ROOT + 1, :] + 0.01
    predicted[..., ROOT, :] = 0
    frames = Frames(
        predicted=predicted,
        root=seen[..., ROOT, :],
        confidence=None,
        pixels=project(cameras, world),
        labels=world,
        reference=reference,
        lead=0,
        fps=50.0,
    )
    errors = Errors("S1", [Recording("walk", "S1", "walk", 50.0, 0, FRAMES)], ["a", "b", "c"], H36M17.keypoints)
    conditions = Conditions("mm")
    of_pose = Measuring(cameras, H36M17, torch.zeros(len(H36M17), 3, dtype=torch.float64)).measure(
        frames, errors, conditions
    )
    assert of_pose.isnan().all(1).tolist() == [False, True, False, False]
    numbers = errors.table().groupby(["measure", "joint"])["number"].sum()
    assert numbers[PREDICTED].sum() == FRAMES * VIEWS
    assert numbers[MEASURED].sum() == (FRAMES - 1) * VIEWS
    of_others = numbers.drop(index="pelvis", level="joint")
    for measure in ("mpjpe_mm", "pseudo_label_mpjpe_mm", "mean_pose_n_mpjpe_mm", "pa_mpjpe_mm"):
        assert (of_others[measure] == (FRAMES - 1) * VIEWS).all()
    assert numbers["pa_mpjpe_mm"]["pelvis"] == (FRAMES - 1) * VIEWS
    assert numbers["correct_poses_150mm_percent"].sum() == (FRAMES - 1) * VIEWS
    table = conditions.distribution.table()
    assert table["lifter_percent"].iloc[-1] == 100
    assert conditions.by_angle.table("low", "high", "error", "poses")["poses"].sum() == (FRAMES - 1) * VIEWS

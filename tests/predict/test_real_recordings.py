"""`trilift predict` on one view of real recordings: independent readers find the same points in TRC and C3D."""

from pathlib import Path

import ezc3d
import numpy as np
import pytest
from trc import TRCData

from predict.lifters import make_lifter
from real_data import DATA, needs
from trilift.cli import main
from trilift.formats import openpose
from trilift.predict.following import follow
from trilift.skeletons import BODY25B, H36M17

RECORDINGS = {
    "pose2sim_demo": (
        "body25b",
        "balancing_trial/pose/cam01_json",
        "Calib_qualisys.toml",
        ["--up", "z", "--subject", "size"],
    ),
    "caliscope_4cam": ("mediapipe33", "xy_HOLISTIC.csv", "config.toml", ["--view", "cam_1"]),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in RECORDINGS])
def test_a_view_becomes_the_same_points_in_trc_and_c3d(name: str, tmp_path: Path) -> None:
    layout, detections, calibration, more = RECORDINGS[name]
    make_lifter("residual", layout).save(tmp_path)
    read = ["--lifter", tmp_path, "--detections", DATA / name / detections, "--camera", DATA / name / calibration]
    for suffix in ("trc", "c3d"):
        assert main(["predict", *map(str, read), *more, "--fps", "60", str(tmp_path / f"walk.{suffix}")]) == 0
    trc = TRCData()
    trc.load(str(tmp_path / "walk.trc"))
    assert tuple(trc["Markers"]) == H36M17.keypoints
    metres = np.array([trc[joint] for joint in H36M17.keypoints]).swapaxes(0, 1)
    c3d = ezc3d.c3d(str(tmp_path / "walk.c3d"))
    millimetres = c3d["data"]["points"][:3].transpose(2, 1, 0)
    assert len(metres) == len(millimetres) >= 100
    assert np.isfinite(metres).all((1, 2)).mean() > 0.9
    np.testing.assert_array_equal(np.isnan(metres), np.isnan(millimetres))
    np.testing.assert_allclose(1000 * metres, millimetres, atol=0.1)


@needs("pose2sim_demo")
def test_a_bystander_is_followed_beside_the_person_and_ghosts_are_not() -> None:
    """Two of four views see somebody in the background, one of these a third detection in a single frame."""
    for camera, people in enumerate((2, 2, 1, 1), 1):
        view = openpose.read_view(DATA / f"pose2sim_demo/balancing_trial/pose/cam0{camera}_json", BODY25B)
        found = follow(view.pixels, view.confidence, 60)
        assert (found >= 0).sum(1).tolist() == [100] * people

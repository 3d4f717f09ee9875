"""The lifters that come with the package: that they are there, small, and predict people."""

import json

import numpy as np
import pytest
import torch

from trilift import skeletons
from trilift.errors import InputError
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.lifter.inputs import rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.predict.predictor import load
from trilift.project.layout import LIFTER
from trilift.simulate.body import sample_body
from trilift.simulate.filming import draw_detector, film
from trilift.simulate.motions import simulate_motion
from trilift.simulate.rigs import draw_rig
from trilift.simulate.settings import Detectors, Rigs
from trilift.skeletons import H36M17

LAYOUTS = ["coco17", "openpose25", "body25b", "halpe26", "mediapipe33", "h36m17"]
FPS = 60.0


@pytest.fixture(scope="module", params=SHIPPED)
def lifter(request: pytest.FixtureRequest) -> Lifter:
    return Lifter.load(folder_of(request.param))


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_and_says_what_it_learnt_from(name: str) -> None:
    assert sum((folder_of(name) / file).stat().st_size for file in LIFTER) < 5e6
    about = json.loads((folder_of(name) / "lifter.json").read_text("utf-8"))["trained_with"]
    assert about["dataset"] == "pretrained"
    assert set(LAYOUTS) <= set(about["layouts"])
    assert about["settings"]["augmentation"]["hidden"] > 0


def test_one_sees_several_frames_and_one_a_single_frame() -> None:
    assert [Lifter.load(folder_of(name)).network_settings.kind for name in SHIPPED] == ["temporal", "residual"]


def errors(lifter: Lifter, layout: str) -> tuple[float, float]:
    """MPJPE (m) of a lifter and of its mean pose for people who walk before cameras, both SIMULATED."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(4):
        poses = simulate_motion("walking", sample_body(rng), 120, FPS, rng)
        rig = draw_rig(Rigs(cameras=[2, 2], turned=0.0), rng)
        detector = draw_detector(Detectors(layouts=[layout], hidden=0.0), rng)
        seen = film(rig, poses, detector, FPS, rng)
        cameras, mapping = Cameras.stack(rig), skeletons.mapping(detector.layout, H36M17)
        lifter.check_fits(mapping)
        rays, confidence = rays_of_joints(*map(torch.as_tensor, (seen.pixels, seen.confidence)), cameras, mapping)
        predicted = lifter.predict(rays, confidence, True, lifter.network_settings.every(FPS))
        truth = world_to_camera(cameras, torch.as_tensor(poses))
        truth = truth - truth[..., H36M17.root_index, None, :]
        found.append([(pose - truth).norm(dim=-1)[..., 1:].nanmean() for pose in (predicted, lifter.mean_pose)])
    of_lifter, of_mean = np.mean(found, 0)
    return float(of_lifter), float(of_mean)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_lifts_what_any_of_the_usual_detectors_finds(lifter: Lifter, layout: str) -> None:
    own, mean = errors(lifter, layout)
    assert own < 0.5 * mean


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_loaded_by_its_name(name: str) -> None:
    assert load(name).skeleton == H36M17


def test_a_name_that_is_none_is_a_folder() -> None:
    with pytest.raises(InputError, match="not there"):
        load("pretrained-double")

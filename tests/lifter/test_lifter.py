import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trilift.errors import InputError
from trilift.lifter.inputs import feature_scaling, features, insert_root, number_of_features
from trilift.lifter.lifter import Lifter
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.skeletons import H36M17

JOINTS = len(H36M17)
SETTINGS = NetworkSettings(kind="encoder_decoder", width=16, blocks=1, dropout=0.2)
TEMPORAL = NetworkSettings(kind="temporal", width=16, frames=9)


def make_inputs(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    points = 0.3 * torch.randn(*shape, JOINTS, 2, generator=generator)
    return points, torch.rand(*shape, JOINTS, generator=generator)


def make_lifter(settings: NetworkSettings = SETTINGS) -> Lifter:
    torch.manual_seed(0)
    network = build(number_of_features(H36M17), 3 * (JOINTS - 1), settings)
    raw = features(*make_inputs(100), H36M17)
    # So that the running statistics are not the ones of a new network.
    network(raw if settings.frames == 1 else raw.unfold(0, settings.frames, 1).mT)
    mean_pose = insert_root(0.3 * torch.randn(JOINTS - 1, 3), H36M17)
    facts = {"dataset": "demo", "seed": 0, "settings": {"threads": 1}}
    return Lifter(network.eval(), settings, H36M17, *feature_scaling(raw, H36M17), mean_pose, facts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_lifter().save(tmp_path)
    return tmp_path


def test_a_joint_that_the_mean_pose_lacks_comes_back_missing(tmp_path: Path) -> None:
    lifter = make_lifter()
    lifter.mean_pose[4] = torch.nan
    lifter.save(tmp_path)
    json.loads((tmp_path / "lifter.json").read_text(), parse_constant=pytest.fail)  # JSON has no NaN
    torch.testing.assert_close(Lifter.load(tmp_path).mean_pose, lifter.mean_pose, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("flip", [False, True])
def test_a_joint_without_a_label_is_not_predicted_and_spoils_no_other(flip: bool) -> None:
    points, confidence = 0.3 * torch.randn(20, JOINTS, 2), torch.rand(20, JOINTS)
    lifter = make_lifter()
    before, once = lifter.predict(points, confidence, flip), lifter.predict(points, confidence)
    wrist, other = H36M17.index("left_wrist"), H36M17.index("right_wrist")
    lifter.mean_pose[wrist] = torch.nan
    assert lifter.unlearnt == ["left_wrist"]
    poses = lifter.predict(points, confidence, flip)
    assert poses[:, wrist].isnan().all()
    torch.testing.assert_close(poses[:, other], once[:, other])  # not the mean with what its mirror image knows
    others = [joint for joint in range(JOINTS) if joint not in (wrist, other)]
    assert torch.equal(poses[:, others], before[:, others])


def edit(folder: Path, **changed: Any) -> None:
    file = folder / "lifter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.mark.parametrize(
    "settings", [SETTINGS, TEMPORAL, NetworkSettings(width=8)], ids=lambda settings: settings.kind
)
def test_a_loaded_lifter_predicts_the_same_bits(tmp_path: Path, settings: NetworkSettings) -> None:
    points, confidence = make_inputs(5, 4)
    lifter = make_lifter(settings)
    lifter.save(tmp_path)
    assert torch.equal(Lifter.load(tmp_path).predict(points, confidence), lifter.predict(points, confidence))


def test_a_temporal_lifter_looks_around_every_frame_and_repeats_the_ends() -> None:
    lifter = make_lifter(TEMPORAL)
    points, confidence = make_inputs(30, 2)
    whole = lifter.predict(points, confidence)
    assert whole.shape == (30, 2, JOINTS, 3)
    # Frames further than four away do not matter, those nearer do.
    torch.testing.assert_close(lifter.predict(points[6:25], confidence[6:25])[4:-4], whole[10:21])
    torch.testing.assert_close(lifter.predict(points[:12], confidence[:12])[:8], whole[:8])
    assert not torch.allclose(lifter.predict(points[:12], confidence[:12])[9:], whole[9:12])
    still = points[7:8].expand(9, -1, -1, -1), confidence[7:8].expand(9, -1, -1)
    torch.testing.assert_close(lifter.predict(points[7:8], confidence[7:8])[0], lifter.predict(*still)[4])


@pytest.mark.parametrize("every", [2, 3])
def test_a_temporal_lifter_sees_frames_that_lie_apart_as_if_there_were_no_others(every: int) -> None:
    lifter = make_lifter(TEMPORAL)
    points, confidence = make_inputs(40 * every, 2)
    whole = lifter.predict(points, confidence, every=every)
    for first in range(every):
        own = slice(first, None, every)
        inner = slice(4, -4)  # beyond, the ends repeat a neighbouring frame
        torch.testing.assert_close(whole[own][inner], lifter.predict(points[own], confidence[own])[inner])


def test_a_loaded_lifter_knows_all_that_was_saved(folder: Path) -> None:
    saved, loaded = make_lifter(), Lifter.load(folder)
    for name in ("mean", "spread", "mean_pose"):
        assert torch.equal(getattr(loaded, name), getattr(saved, name))
    assert loaded.facts == saved.facts
    assert loaded.network_settings == SETTINGS
    assert loaded.skeleton is H36M17


def test_saving_again_writes_the_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again = tmp_path_factory.mktemp("again")
    Lifter.load(folder).save(again)
    assert {file.name for file in again.iterdir()} == {"lifter.safetensors", "lifter.json"}
    for file in again.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes()


def test_the_description_is_plain_data(folder: Path) -> None:
    about = json.loads((folder / "lifter.json").read_text(), parse_constant=pytest.fail)
    assert about["architecture"] == SETTINGS.model_dump(exclude={"interval_s"})
    assert about["joints"] == list(H36M17.keypoints)
    assert about["trained_with"] == {"dataset": "demo", "seed": 0, "settings": {"threads": 1}}
    assert np.shape(about["mean_pose"]) == (JOINTS, 3)


def test_a_pose_has_its_root_at_0() -> None:
    predicted = make_lifter().predict(*make_inputs(6, 4))
    assert predicted.shape == (6, 4, JOINTS, 3)
    assert (predicted[..., H36M17.root_index, :] == 0).all()
    assert predicted.isfinite().all()


def test_without_the_root_there_is_no_prediction() -> None:
    points, confidence = make_inputs(6, 4)
    points[2, 1, H36M17.root_index], confidence[2, 1, H36M17.root_index] = torch.nan, 0.0
    predicted = make_lifter().predict(points, confidence)
    missing = predicted.isnan().all(-1).all(-1)
    assert missing.nonzero().tolist() == [[2, 1]]
    assert predicted.isnan().sum() == 3 * JOINTS


def test_without_another_joint_there_is_a_prediction() -> None:
    points, confidence = make_inputs(1)
    points[0, H36M17.index("left_wrist")], confidence[0, H36M17.index("left_wrist")] = torch.nan, 0.0
    assert make_lifter().predict(points, confidence).isfinite().all()


def test_a_view_is_lifted_without_the_others() -> None:
    points, confidence = make_inputs(6, 4)
    together = make_lifter().predict(points, confidence)
    torch.testing.assert_close(make_lifter().predict(points[3, 2], confidence[3, 2]), together[3, 2])


def test_no_frames_give_no_poses() -> None:
    assert make_lifter().predict(*make_inputs(0, 4)).shape == (0, 4, JOINTS, 3)


@pytest.mark.parametrize("name", ["lifter.json", "lifter.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "garbage"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "garbage": b"\xff\x00 7"}[damage])
    expected = (
        rf"{name}: not there; .*`trilift train demo` makes"
        if damage == "missing"
        else rf"{name}: no readable lifter .*train it"
    )
    with pytest.raises(InputError, match=expected):
        Lifter.load(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": {"kind": "transformer"}},
        {"architecture": {"kind": "encoder_decoder", "width": 17, "blocks": 1, "dropout": 0.0}},
        {"architecture": {"kind": "encoder_decoder", "width": 16, "depth": 1}},
        {"architecture": []},
        {"skeleton": "coco17"},
        {"skeleton": "spider"},
        {"input_mean": [0.0] * 50},
        {"input_spread": [1.0] * 50},
        {"input_spread": None},
        {"joints": list(reversed(H36M17.keypoints))},
        {"mean_pose": [[0.0, 0.0, 0.0]]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, changed: dict[str, Any]) -> None:
    edit(folder, **changed)
    with pytest.raises(InputError):
        Lifter.load(folder)


def test_a_description_without_a_part_is_refused(folder: Path) -> None:
    about = json.loads((folder / "lifter.json").read_text())
    for name in ("architecture", "skeleton", "joints", "input_mean", "input_spread", "mean_pose", "trained_with"):
        (folder / "lifter.json").write_text(json.dumps({key: value for key, value in about.items() if key != name}))
        with pytest.raises(InputError, match=name):
            Lifter.load(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    weights = load_file(folder / "lifter.safetensors")
    weights.popitem()
    save_file(weights, folder / "lifter.safetensors")
    with pytest.raises(InputError, match="Missing key"):
        Lifter.load(folder)

"""Lifters as ONNX models, run by onnxruntime."""

import argparse
import json
import logging
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from trilift import __version__
from trilift.errors import InputError
from trilift.export import command
from trilift.export.onnx import export_onnx
from trilift.lifter.inputs import feature_scaling, features, number_of_features
from trilift.lifter.lifter import Lifter
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.skeletons import H36M17

JOINTS = len(H36M17)
ROOT, WRIST = H36M17.root_index, H36M17.index("left_wrist")
SETTINGS = {
    "residual": NetworkSettings(kind="residual", width=8, blocks=1, dropout=0.3),
    "encoder_decoder": NetworkSettings(kind="encoder_decoder", width=8, blocks=0, dropout=0.3),
    "temporal": NetworkSettings(kind="temporal", width=8, frames=9),
}


def make_inputs(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rays = 0.3 * torch.randn(*shape, JOINTS, 2, generator=generator)
    return rays, torch.rand(*shape, JOINTS, generator=generator)


def make_lifter(settings: NetworkSettings, unlearnt: tuple[int, ...] = ()) -> Lifter:
    torch.manual_seed(0)
    network = build(number_of_features(H36M17), 3 * (JOINTS - 1), settings)
    raw = features(*make_inputs(100), H36M17)
    # So that the running statistics are not the ones of a new network.
    network(raw if settings.frames == 1 else raw.unfold(0, settings.frames, 1).mT)
    scaling = feature_scaling(raw, H36M17)
    mean_pose = torch.zeros(JOINTS, 3)
    mean_pose[list(unlearnt)] = torch.nan
    return Lifter(network.eval(), settings, H36M17, *scaling, mean_pose, {"dataset": "demo"})


@pytest.fixture(scope="module", params=SETTINGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lifter, Path]:
    lifter = make_lifter(SETTINGS[request.param])
    path = tmp_path_factory.mktemp(request.param) / "lifter.onnx"
    export_onnx(lifter, path)
    return lifter, path


def run_command(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.describe(parser.add_subparsers().add_parser("export"))
    command.run(parser.parse_args(["export", *map(str, arguments)]))


def run(path: Path, rays: Tensor, confidence: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (poses,) = session.run(["poses"], {"rays": rays.numpy(), "confidence": confidence.numpy()})
    return poses


def predict(lifter: Lifter, rays: Tensor, confidence: Tensor) -> np.ndarray:
    """Predict rows; of a temporal lifter those are the middle frames of sequences that are as long as it sees."""
    if lifter.network_settings.frames == 1:
        return lifter.predict(rays, confidence).numpy()
    return lifter.predict(rays.transpose(0, 1), confidence.transpose(0, 1))[rays.shape[1] // 2].numpy()


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_the_model_predicts_what_the_lifter_predicts(exported: tuple[Lifter, Path], rows: int) -> None:
    lifter, path = exported
    frames = lifter.network_settings.frames
    rays, confidence = make_inputs(*((rows,) if frames == 1 else (rows, frames)))
    rays[::3, ..., WRIST, :], confidence[::3, ..., WRIST] = torch.nan, 0
    rays[1::5, ..., ROOT, :], confidence[1::5, ..., ROOT] = torch.nan, 0
    expected = predict(lifter, rays, confidence)
    found = run(path, rays, confidence)
    assert (found.dtype, found.shape) == (np.float32, (rows, JOINTS, 3))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.isnan(found[1::5]).all()
    assert (np.delete(found, slice(1, None, 5), 0)[:, ROOT] == 0).all()


def test_a_joint_without_a_label_is_missing_in_the_model_too(tmp_path: Path) -> None:
    lifter = make_lifter(SETTINGS["residual"], unlearnt=(WRIST,))
    export_onnx(lifter, tmp_path / "lifter.onnx")
    found = run(tmp_path / "lifter.onnx", *make_inputs(4))
    np.testing.assert_allclose(found, predict(lifter, *make_inputs(4)), rtol=0, atol=1e-6)
    assert np.isnan(found).all(-1).tolist() == [[joint == WRIST for joint in range(JOINTS)]] * 4


@pytest.mark.parametrize("exported", ["temporal"], indirect=True)
def test_only_the_middle_frame_of_a_temporal_lifter_needs_its_root(exported: tuple[Lifter, Path]) -> None:
    lifter, path = exported
    rays, confidence = make_inputs(9, 9)
    rays[range(9), range(9), ROOT], confidence[range(9), range(9), ROOT] = torch.nan, 0
    found = run(path, rays, confidence)
    assert np.isnan(found).all((1, 2)).tolist() == [row == 4 for row in range(9)]
    np.testing.assert_allclose(found, predict(lifter, rays, confidence), rtol=0, atol=1e-6)


def test_the_file_is_valid_and_says_how_to_use_it(exported: tuple[Lifter, Path]) -> None:
    lifter, path = exported
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about.pop("joints")) == list(H36M17.keypoints)
    assert about == {
        "skeleton": "h36m17",
        "units": "metres, camera frame, relative to the root",
        "frames": str(lifter.network_settings.frames),
        "interval_s": "0.05",
        "trained_on": "demo",
        "version": f"trilift {__version__}",
    }
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    frames = [] if lifter.network_settings.frames == 1 else [9]
    assert shapes == {
        "rays": ["row", *frames, JOINTS, 2],
        "confidence": ["row", *frames, JOINTS],
        "poses": ["row", JOINTS, 3],
    }
    assert str(Path.cwd()).encode() not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["lifter.onnx"]


def test_the_lifter_works_as_before(exported: tuple[Lifter, Path]) -> None:
    lifter, _ = exported
    again = make_lifter(lifter.network_settings)
    assert torch.equal(lifter.predict(*make_inputs(3)), again.predict(*make_inputs(3)))


@pytest.mark.parametrize("exported", ["residual"], indirect=True)
def test_the_command_writes_the_same_bytes_and_no_noise(
    exported: tuple[Lifter, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lifter, path = exported
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those that other tests have left
    lifter.save(tmp_path)
    run_command(tmp_path, "--to", "onnx")
    assert (tmp_path / "export" / "lifter.onnx").read_bytes() == path.read_bytes()
    assert capfd.readouterr() == ("", "")  # nothing of what PyTorch says about itself
    with pytest.raises(InputError, match="--up: for recordings, not for a lifter"):
        run_command(tmp_path, "--to", "onnx", "--up", "z")


def test_without_onnxscript_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript; install them: pip install .*\[export\]"):
        export_onnx(make_lifter(SETTINGS["residual"]), tmp_path / "lifter.onnx")
    assert list(tmp_path.iterdir()) == []

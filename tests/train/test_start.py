"""Trainings that begin with the weights of another one."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from synthetic import OPENPOSE_DATA_SET, Project, make_project, write_openpose_data_set
from trilift import skeletons
from trilift.errors import InputError
from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.project.layout import Layout
from trilift.project.provenance import sha256
from trilift.skeletons import TRAINING_SKELETON
from trilift.skeletons.definition import of_definition

NETWORK = {"kind": "residual", "width": 8, "blocks": 1, "dropout": 0.0}
TRAIN = {"network": NETWORK, "steps": 30, "batch_frames": 16, "threads": 1, "keep": "last"}


def train(project: Project, **changes: object) -> tuple[int, str]:
    settings = {"ingest": {}, "triangulate": {}, "seed": 0, "train": TRAIN | changes}
    project.layout.params.write_text(yaml.safe_dump(settings))
    return project.run("train", "--device", "cpu")


def trained(project: Project) -> dict[str, np.ndarray]:
    return load_file(project.layout.results / "lifter.safetensors")


def facts(project: Project) -> dict:
    return json.loads((project.layout.results / "lifter.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("made"), OPENPOSE_DATA_SET)
    write_openpose_data_set(project.layout.raw, 60)
    for stage in (["ingest"], ["triangulate", "--device", "cpu"]):
        code, printed = project.run(*stage)
        assert code == 0, printed
    code, printed = train(project)
    assert code == 0, printed
    shutil.copytree(project.layout.results, project.layout.lifters / "first")
    return project.layout.project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return Project(Layout("tiny", Path(shutil.copytree(made, tmp_path / "copy"))))


def test_it_begins_with_the_weights_and_the_scaling(project: Project) -> None:
    """Where a step moves nothing, the weights are those that it began with; other people's scaling stays."""
    before, first = facts(project), trained(project)
    about = json.loads((project.layout.lifters / "first" / "lifter.json").read_text())
    about["input_mean"] = [value + 0.25 for value in about["input_mean"]]
    (project.layout.lifters / "first" / "lifter.json").write_text(json.dumps(about))
    code, printed = train(project, start_from="first", learning_rate=1e-12, steps=5)
    assert code == 0, printed
    for name, value in trained(project).items():
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(value, first[name], atol=1e-9)
    after = facts(project)
    assert after["input_mean"] == pytest.approx(about["input_mean"], abs=1e-6)  # and not of its own inputs
    assert after["trained_with"]["settings"]["start_from"] == "first"
    np.testing.assert_allclose(
        np.array(after["mean_pose"], float), np.array(before["mean_pose"], float)
    )  # of its own poses


def test_going_on_is_better_than_beginning(project: Project) -> None:
    def last_loss(**changes: object) -> float:
        code, printed = train(project, steps=10, **changes)
        assert code == 0, printed
        return pd.read_csv(project.layout.results / "history.csv")["loss"].iloc[-1]

    assert last_loss(start_from="first") < 0.9 * last_loss()


def test_it_is_written_what_it_began_with(project: Project) -> None:
    code, printed = train(project, start_from="first")
    assert code == 0, printed
    record = json.loads((project.layout.provenance("train")).read_text())
    assert {"data/lifters/first/lifter.safetensors", "data/lifters/first/lifter.json"} <= set(record["inputs"])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_settings_of_the_project_let_it_begin_with_a_lifter_of_the_package(project: Project, name: str) -> None:
    """With nothing said of the network it is that of the first; the other one is named in its preset."""
    network = {} if name == SHIPPED[0] else {"network": {"kind": "residual", "width": 768, "blocks": 2}}
    settings = {"train": {"start_from": name, "steps": 5, "learning_rate": 1e-12, "keep": "last"} | network}
    project.layout.params.write_text(yaml.safe_dump({"ingest": {}, "triangulate": {}, "seed": 0} | settings))
    code, printed = project.run("train", "--device", "cpu")
    assert code == 0, printed
    shipped = load_file(folder_of(name) / "lifter.safetensors")
    for key, value in trained(project).items():
        if "running" not in key and "num_batches" not in key:
            np.testing.assert_allclose(value, shipped[key].astype(np.float32), rtol=0, atol=1e-9)
    record = json.loads((project.layout.provenance("train")).read_text())
    assert record["weights"] == {name: sha256(folder_of(name) / "lifter.safetensors")}
    assert not [file for file in record["inputs"] if "lifter" in file]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_from": "second"}, r"params.yaml, section train, start_from: there is no lifter .*there are: first"),
        ({"start_from": "../first"}, r"start_from"),
        ({"start_from": "first", "network": NETWORK | {"width": 16}}, r"another than train.network.* width: 8"),
    ],
)
def test_what_it_cannot_begin_with_is_refused(project: Project, changes: dict, message: str) -> None:
    before = trained(project)
    code, printed = train(project, **changes)
    assert code == 2
    assert re.search(message, printed), printed
    assert "Traceback" not in printed
    for name, value in trained(project).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_lifter_of_other_joints_is_refused(project: Project) -> None:
    path = project.layout.lifters / "first" / "lifter.json"
    about = json.loads(path.read_text())
    others = ["another", *TRAINING_SKELETON.keypoints[1:]]
    path.write_text(json.dumps(about | {"joints": others}))
    code, printed = train(project, start_from="first")
    assert code == 2
    assert "does not fit the skeleton" in printed


def test_a_lifter_that_does_without_joints_takes_detectors_that_lack_them(project: Project) -> None:
    joints = [name for name in TRAINING_SKELETON.keypoints if "wrist" not in name]
    lacking = of_definition("handless", {"keypoints": joints, "bones": [["pelvis", joints[-1]]]}, "test")
    mapping = skeletons.mapping(lacking, TRAINING_SKELETON)
    with pytest.raises(InputError, match=r"(left|right)_wrist, (left|right)_wrist cannot be"):
        Lifter.load(project.layout.results).check_fits(mapping)
    code, printed = train(project, augmentation={"hidden": 0.5})
    assert code == 0, printed
    Lifter.load(project.layout.results).check_fits(mapping)

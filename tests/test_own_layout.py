"""A layout of one's own, from its file through all stages: what came of the detections needs the file no more."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from synthetic import OPENPOSE_DATA_SET, Project, make_project, write_openpose_data_set
from trilift.captures import reading
from trilift.cli import main
from trilift.errors import InputError
from trilift.ingest.new import start
from trilift.skeletons import BODY25B

PARAMS = """
ingest: {}
triangulate: {}
train: {network: {kind: residual, width: 8, blocks: 1}, steps: 100, batch_frames: 16, threads: 1}
evaluate: {}
plot: {examples: 1, viewer_recordings: 1, viewer_seconds: 0.2}
seed: 0
"""
RENAMED = {"left_hip": "LHip", "right_hip": "RHip", "nose": "Snout"}


def definition() -> dict[str, object]:
    """BODY_25B under names of one's own."""

    def own(name: str) -> str:
        return RENAMED.get(name, name)

    return {
        "keypoints": [own(name) for name in BODY25B.keypoints],
        "bones": [[own(parent), own(child)] for parent, child in BODY25B.bones],
        "mirror": [["LHip", "RHip"]],
        "derived": {joint: [own(name) for name in members] for joint, members in BODY25B.derived.items()}
        | {name: [own(name)] for name in RENAMED},
    }


def write(folder: Path) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(definition(), sort_keys=False))
    return path


def make(folder: Path, skeleton: str) -> Project:
    project = make_project(folder, OPENPOSE_DATA_SET.replace("body25b", skeleton), PARAMS)
    write_openpose_data_set(project.layout.raw, 60)
    return project


def run(project: Project, *stages: str) -> None:
    for stage in stages:
        device = ["--device", "cpu"] if stage in ("triangulate", "train", "evaluate") else []
        code, printed = project.run(stage, *device)
        assert code == 0, printed


LATER = ("triangulate", "train", "evaluate", "plot")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A data set with a layout that is known, all stages of which have run."""
    project = make(tmp_path_factory.mktemp("named"), "body25b")
    run(project, "ingest", *LATER)
    return project


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with one's own, whose file is gone when it has been ingested."""
    project = make(tmp_path_factory.mktemp("own"), "mine.yaml")
    path = write(project.layout.raw)
    run(project, "ingest")
    path.unlink()
    run(project, *LATER)
    return project


def test_names_of_ones_own_change_no_number(named: Project, own: Project) -> None:
    with (
        reading.read(named.layout.pseudo_labels, "pseudo_labels") as expected,
        reading.read(own.layout.pseudo_labels, "pseudo_labels") as found,
    ):
        for name, capture in found.items():
            for variable in ("poses", "covariance", "training_poses"):
                np.testing.assert_array_equal(capture[variable].values, expected[name][variable].values)
            assert reading.skeleton_of(capture).keypoints[0] == "Snout"
            assert capture.attrs["joints_absent"] == ""
    for file in ("lifter.safetensors", "metrics.json", "per_joint.csv"):
        assert (own.layout.results / file).read_bytes() == (named.layout.results / file).read_bytes()


def test_a_layout_that_is_known_by_name_is_not_defined_again(named: Project) -> None:
    with reading.read(named.layout.captures, "captures") as captures:
        assert all("skeleton_definition" not in capture.attrs for capture in captures.values())
    assert "own_layouts" not in (named.layout.results / "lifter.json").read_text()


def test_the_file_is_an_input_of_ingest(own: Project) -> None:
    record = json.loads(own.layout.provenance("ingest").read_text())
    assert "data/raw/tiny/mine.yaml" in record["inputs"]


def test_the_lifter_takes_the_layout_to_predict(
    own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    raw = own.layout.raw
    paths = {}
    for skeleton in ("mine.yaml", "body25b"):
        paths[skeleton] = tmp_path / f"{skeleton}.csv"
        arguments = ["--lifter", own.layout.results, "--detections", raw / "pose/cam1_json", "--skeleton", skeleton]
        arguments += ["--camera", raw / "calibration.toml", paths[skeleton]]
        assert main(["predict", *map(str, arguments)]) == 0
        assert ("expect larger errors" in capsys.readouterr().err) == (skeleton == "body25b")
    assert paths["mine.yaml"].read_bytes() == paths["body25b"].read_bytes()


def test_new_states_the_file_relative_to_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    write_openpose_data_set(folder)
    write(folder)
    (tmp_path / "params.yaml").write_text(PARAMS)
    start(folder, "gait", tmp_path, str(folder / "mine.yaml"))
    source = yaml.safe_load((tmp_path / "workflow/datasets/gait.yaml").read_text())["ingest"]
    assert source["detections"]["skeleton"] == "mine.yaml"
    assert source["detections"]["detector"] == "OpenPose (mine)"
    with pytest.raises(InputError, match=r"other\.yaml: lies outside of .*recordings; put it there"):
        start(folder, "other", tmp_path, str(tmp_path / "other.yaml"))


def test_a_wrong_file_is_refused_by_name(tmp_path: Path) -> None:
    project = make(tmp_path, "mine.yaml")
    code, printed = project.run("ingest")
    assert code == 2
    assert "data/raw/tiny/mine.yaml: not there; put the layout's file there" in printed
    path = write(project.layout.raw)
    path.write_text(path.read_text().replace("- LHip\n", "- LHipp\n", 1))
    code, printed = project.run("ingest")
    assert code == 2
    assert "data/raw/tiny/mine.yaml:\n  bones: [LHip, left_knee]: LHip is no keypoint; is LHipp meant?" in printed
    assert project.made() == []

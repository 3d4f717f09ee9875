"""The records of what made the artifacts, and `trilift info`, which reads them."""

import argparse
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from import_closure import READERS

from synthetic import OPENPOSE_DATA_SET, write_openpose_data_set
from trilift.cli import main
from trilift.errors import InputError
from trilift.project import info, provenance

ROOT = Path(__file__).parents[2]
STAGES = ("simulate", "ingest", "triangulate", "train", "evaluate", "plot")
PARAMS: dict[str, Any] = {
    "seed": 3,
    "simulate": {"seconds": 0.4},
    "ingest": {"check": "skip"},
    "triangulate": {"method": "dlt", "repair_swaps": False, "smoothing": None, "diagnose": False},
    "train": {"network": {"width": 8, "blocks": 1}, "steps": 3, "batch_frames": 64},
    "evaluate": {},
    "plot": {"examples": 1, "viewer_recordings": 1, "viewer_seconds": 0.2},
    "sweep": {"seeds": [5], "losses": {"input": {"multi_view_consistency": 0.0}}},
}
LIBRARIES = {
    "simulate": {"h5netcdf", "h5py", "numpy", "scipy", "torch"},
    "ingest": {"h5netcdf", "h5py", "matplotlib", "numba", "numpy", "pandas", "scipy", "torch", "xarray"},
    "triangulate": {"h5netcdf", "h5py", "numba", "numpy", "pandas", "scipy", "torch", "xarray"},
    "train": {"h5py", "numba", "numpy", "pandas", "torch", "xarray"},
    "evaluate": {"h5netcdf", "h5py", "numpy", "pandas", "torch", "xarray"},
    "plot": {"h5py", "matplotlib", "numpy", "pandas", "xarray"},
}


def run(project: Path, stage: str, *more: str, dataset: str = "demo") -> None:
    device = ["--device", "cpu"] if stage in ("triangulate", "train", "evaluate") else []
    assert main([stage, dataset, "--project", str(project), *device, *more]) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which all stages of the demo have run, and a sweep of one run."""
    project = tmp_path_factory.mktemp("demo")
    (project / "workflow" / "datasets").mkdir(parents=True)
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    shutil.copy(ROOT / "workflow/datasets/demo.yaml", project / "workflow/datasets")
    for stage in STAGES:
        run(project, stage)
    run(project, "train", "--run", "input-s5")
    run(project, "evaluate", "--run", "input-s5")
    run(project, "sweep")
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def record_of(project: Path, stage: str, run: str = "main", dataset: str = "demo") -> Path:
    folder = project / "results" / dataset
    return (folder if stage in STAGES[:3] else folder / run) / "provenance" / f"{stage}.json"


def records(project: Path) -> dict[Path, dict[str, Any]]:
    return {
        path: json.loads(path.read_text("utf-8")) for path in sorted(project.glob("results/**/provenance/*.json"))
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_every_artifact_is_in_one_record_with_its_hash(finished: Path) -> None:
    listed = [entry for record in records(finished).values() for entry in record["outputs"].items()]
    artifacts = {
        path.relative_to(finished).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("data", "results")
        for path in (finished / folder).rglob("*")
        if path.is_file() and path.parent.name != "provenance"
    }
    assert len(artifacts) > 50
    assert len(listed) == len(artifacts)
    assert dict(listed) == artifacts


def test_what_a_stage_read_is_what_another_made(finished: Path) -> None:
    made = {path: digest for record in records(finished).values() for path, digest in record["outputs"].items()}
    for path in records(finished):  # the page of a run shows them
        made[path.relative_to(finished).as_posix()] = provenance.sha256(path)
    for record in records(finished).values():
        assert record["inputs"].items() <= made.items()
    main_run = [json.loads(record_of(finished, stage).read_text("utf-8")) for stage in STAGES]
    read = {path for record in main_run for path in record["inputs"]}
    unread = {path for record in main_run[:-1] for path in record["outputs"]} - read
    # Read by nobody but people.
    assert {Path(path).name for path in unread} == {
        "table.tex",
        "recordings.csv",
        "rig.csv",
        "people.csv",
        "seen.png",
    }


def test_inputs_and_code_are_what_dvc_takes_for_the_dependencies(finished: Path) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    for stage in STAGES:
        record = json.loads(record_of(finished, stage).read_text("utf-8"))
        deps = {dep.replace("${item.dataset}", "demo") for dep in stages[stage]["deps"]}
        folders = ("data/raw/demo", "results/demo/provenance")
        read = {next((name for name in folders if path.startswith(f"{name}/")), path) for path in record["inputs"]}
        # No training of this test begins with a lifter.
        assert read == {dep for dep in deps if not dep.startswith("src/")} - {"data/lifters"}
        code = provenance.code_of([f"trilift.{stage}.stage", *(READERS if stage == "ingest" else ())]).files
        assert {"src/" + "/".join(Path(file).parts[:2]) for file in code} <= deps
        assert record["code"] == provenance.hash_of(code)


def test_the_settings_are_those_used_with_all_defaults(finished: Path) -> None:
    train = json.loads(record_of(finished, "train").read_text("utf-8"))
    assert (train["stage"], train["dataset"], train["run"]) == ("train", "demo", "main")
    used = train["settings"]["params.yaml"]
    assert used["seed"] == 3
    assert used["train"]["steps"] == 3
    assert used["train"]["losses"]["multi_view_consistency"] == 1.0
    assert used["train"]["validation_share"] == 0.1
    assert train["settings"]["workflow/datasets/demo.yaml"]["split"]["test"] == ["S9", "S11"]
    other = json.loads(record_of(finished, "train", "input-s5").read_text("utf-8"))
    assert other["run"] == "input-s5"
    assert other["settings"]["params.yaml"]["seed"] == 5
    assert other["settings"]["params.yaml"]["train"]["losses"]["multi_view_consistency"] == 0.0
    ingest = json.loads(record_of(finished, "ingest").read_text("utf-8"))
    assert ingest["run"] is None
    assert "seed" not in ingest["settings"]["params.yaml"]
    assert ingest["settings"]["workflow/datasets/demo.yaml"]["ingest"]["subject"] == "confidence"


@pytest.mark.parametrize("stage", STAGES)
def test_the_libraries_are_those_that_the_stage_imports(stage: str, finished: Path) -> None:
    found = json.loads(record_of(finished, stage).read_text("utf-8"))["libraries"]
    assert found.keys() == {"python", "trilift"} | LIBRARIES[stage]
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())


def test_a_record_names_no_place_person_or_time(finished: Path) -> None:
    for path in records(finished):
        text = path.read_text("utf-8")
        assert str(finished) not in text
        assert str(ROOT) not in text
        assert not re.search(r'"/|\\\\|\d\d:\d\d', text)
        assert str(Path.home()) not in text


def test_a_record_is_the_same_bytes_again(finished: Path, project: Path) -> None:
    for stage in ("simulate", "ingest"):
        record_of(project, stage).unlink()
        run(project, stage)
        assert record_of(project, stage).read_bytes() == record_of(finished, stage).read_bytes()


def of_sweep(project: Path) -> dict[str, Any]:
    return json.loads(record_of(project, "sweep", "sweep").read_text("utf-8"))


def test_a_comment_in_a_module_that_is_imported_changes_the_code_alone(
    finished: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src/trilift", source / "trilift", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "SOURCE", source)
    for module, changed in (("train/losses.py", set()), ("style.py", {"code"})):
        with (source / "trilift" / module).open("a") as file:
            file.write("# a comment\n")
        run(project, "sweep")
        assert differences(of_sweep(finished), of_sweep(project)) == changed


def test_a_changed_input_changes_the_inputs(finished: Path, project: Path) -> None:
    with (project / "results/demo/input-s5/metrics.json").open("a") as file:
        file.write("\n")
    run(project, "sweep")
    assert differences(of_sweep(finished), of_sweep(project)) == {"inputs"}


@pytest.mark.parametrize("data", ["plot/viewer.html", "plot/captions/poses.rst", "skeletons/coco17.yaml"])
def test_a_data_file_of_the_code_counts_as_code(data: str, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src/trilift", source / "trilift", ignore=shutil.ignore_patterns("__pycache__"))
    files = provenance.code_of(["trilift.plot.stage"], source).files
    before = provenance.hash_of(files, source)
    with (source / "trilift" / data).open("a") as file:
        file.write("# changed\n")
    assert provenance.code_of(["trilift.plot.stage"], source).files == files
    assert provenance.hash_of(files, source) != before


def test_imports_are_followed_into_functions_and_branches_but_not_into_texts(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text(
        '"""\nimport mine.unused\n"""\ntry:\n    import outside.part\nexcept ImportError:\n    from mine import b\n'
        'def f():\n    with open("c.json"):\n        import mine.c as c\n    match c:\n        case 1:\n'
        "            from mine.d import x\n"
    )
    for name in ("b", "c", "d", "unused"):
        (package / f"{name}.py").write_text("from mine import a\n")
    (package / "c.json").write_text("{}")
    found = provenance.code_of(["mine.a"], tmp_path)
    assert found.files == [f"mine/{name}" for name in ("__init__.py", "a.py", "b.py", "c.json", "c.py", "d.py")]
    assert {"outside", "outside.part"} <= found.imports


@pytest.fixture(scope="module")
def own_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has read a recording with a file per frame."""
    project = tmp_path_factory.mktemp("mine")
    (project / "workflow" / "datasets").mkdir(parents=True)
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (project / "workflow/datasets/mine.yaml").write_text(OPENPOSE_DATA_SET)
    write_openpose_data_set(project / "data/raw/mine")
    run(project, "ingest", dataset="mine")
    return project


def test_a_folder_with_a_file_per_frame_has_one_hash(own_recording: Path) -> None:
    path = record_of(own_recording, "ingest", dataset="mine")
    before = json.loads(path.read_text("utf-8"))
    assert len(before["inputs"]) == 2
    assert "data/raw/mine/pose" in before["inputs"]
    frame = next((own_recording / "data/raw/mine/pose/cam1_json").glob("*.json"))
    frame.write_text(frame.read_text() + " ")
    run(own_recording, "ingest", dataset="mine")
    after = json.loads(path.read_text("utf-8"))
    assert differences(before, after) == {"inputs"}
    changed = {name for name, digest in after["inputs"].items() if before["inputs"][name] != digest}
    assert changed == {"data/raw/mine/pose"}


def ask(*arguments: str | Path) -> None:
    parser = argparse.ArgumentParser()
    info.describe(parser)
    info.run(parser.parse_args([str(argument) for argument in arguments]))


def test_info_tells_what_made_a_file(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(finished / "data/pseudo_labels/demo.nc")
    head, _, rest = capsys.readouterr().out.partition("\nrecord: ")
    assert head == "data/pseudo_labels/demo.nc: as it was made"
    content = yaml.safe_load(f"record: {rest}")
    record = json.loads(record_of(finished, "triangulate").read_text("utf-8"))
    assert content["record"] == "results/demo/provenance/triangulate.json"
    assert (content["stage"], content["data set"]) == ("triangulate", "demo")
    assert content["settings"] == record["settings"]
    assert record["code"].startswith(str(content["code"]))
    assert content["inputs"].keys() == {"data/captures/demo.nc"}
    assert content["libraries"] == record["libraries"]


def test_info_says_that_a_file_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "results/demo/main/per_joint.csv"
    with path.open("a") as file:
        file.write("changed\n")
    ask(path)
    assert capsys.readouterr().out.startswith("results/demo/main/per_joint.csv: CHANGED since it was made")
    path.unlink()
    ask(path)
    assert capsys.readouterr().out.startswith("results/demo/main/per_joint.csv: NOT THERE any more")


def test_info_prints_the_record_as_json(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(finished / "results/demo/input-s5/metrics.json", "--json")
    record = json.loads(record_of(finished, "evaluate", "input-s5").read_text("utf-8"))
    assert json.loads(capsys.readouterr().out) == record
    ask(finished / "results/demo/main", "--json")
    assert [one["stage"] for one in json.loads(capsys.readouterr().out)] == ["train", "evaluate", "plot"]


def test_info_lists_the_records_of_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(project / "results/demo/main")
    shown = capsys.readouterr().out.splitlines()[1:4]
    assert [line.split()[0] for line in shown] == ["train", "evaluate", "plot"]
    assert all(line.endswith("files, all as they were made") for line in shown)
    (project / "results/demo/main/history.csv").write_text("")
    ask(project / "results/demo/main")
    assert "results/demo/main/history.csv CHANGED" in capsys.readouterr().out.splitlines()[1]


def test_info_of_a_record_shows_it(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished / "results/demo")
    ask("main/provenance/../provenance/plot.json")
    assert "stage: plot" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("params.yaml", "no record of it"),
        ("results", "no record of it"),
        ("nosuch.csv", "not there"),
        ("results/demo/provenance/damaged.json", "no readable record"),
    ],
)
def test_info_refuses_what_no_stage_made(name: str, said: str, project: Path) -> None:
    if "damaged" in name:
        (project / name).write_text("{}")
    with pytest.raises(InputError, match=said):
        ask(project / name)


def test_info_says_what_reads_raw_data(own_recording: Path) -> None:
    for name in ("pose", "calibration.toml"):
        with pytest.raises(InputError, match="no stage made it: it is an input of ingest"):
            ask(own_recording / "data/raw/mine" / name)


def test_info_refuses_a_file_of_no_project(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("")
    with pytest.raises(InputError, match="lies in no project"):
        ask(tmp_path / "file.csv")

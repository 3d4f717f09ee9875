"""`make lock-check`: whether the dvc.lock in git fits the code, and metrics made again those in git."""

import json
import sys

import pytest
import yaml

CHECK = (sys.executable, "workflow/lock_check.py")
METRICS = "results/demo/main/metrics.json"


@pytest.fixture
def clone(finished, tmp_path):
    """A fresh clone of the finished project: no data are there, and nothing can be made of its cache."""
    return finished.clone(tmp_path / "clone")


def check(project, *options):
    result = project.run(*CHECK, *options, check=False)
    return result.returncode, result.stdout.splitlines()


def test_a_clone_without_data_fits(clone):
    assert not (clone.path / "data/captures").exists()
    assert check(clone) == (0, ["dvc.lock fits the code and settings"])
    assert clone.run("git", "status", "--short").stdout == ""


def test_stages_with_other_code_or_settings_are_named(clone):
    with (clone.path / "src/trilift/train/losses.py").open("a") as code:
        code.write("# changed\n")
    clone.set("plot.examples", 2)
    code, lines = check(clone)
    assert code == 1
    assert lines[:-1] == ["plot@demo: params.yaml: plot modified", "train@demo: src/trilift/train modified"]


def test_a_stage_made_of_other_files_than_those_recorded_is_named_and_one_that_is_missing(clone):
    lock = clone.path / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    (lifter,) = (out for out in content["stages"]["train@demo"]["outs"] if out["path"].endswith("safetensors"))
    lifter["md5"] = "0" * 32
    del content["stages"]["plot@demo"]
    lock.write_text(yaml.safe_dump(content))
    code, lines = check(clone)
    assert code == 1
    assert lines[:-1] == [
        f"evaluate@demo: {lifter['path']} is another one than dvc.lock has",
        "plot@demo: not in dvc.lock",
    ]


def test_without_a_dvc_lock_in_git_there_is_nothing_to_compare_with(fresh):
    assert check(fresh)[0] == 2


@pytest.mark.parametrize(("after", "code"), [(50.9, 0), (49.1, 0), (51.1, 1), (None, 1)])
def test_metrics_made_again_may_differ_by_the_tolerance(clone, after, code):
    file = clone.path / METRICS
    file.write_text(json.dumps({"frames": 7, "mpjpe_mm": 50.0}))
    clone.commit()
    file.write_text(json.dumps({"frames": 7, "mpjpe_mm": after}))
    found, lines = check(clone, "--metrics")
    assert found == code
    assert lines[0] == (f"{METRICS}: mpjpe_mm 50.0 -> {after}" if code else "All metrics are within 2%")
    assert check(clone, "--metrics", "--tolerance", "0.03")[0] == (after is None)


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [(1000, 1010, 0), (1000, 1030, 1), (True, False, 1), ("human36m", "humaneva", 1), (0, 1, 1)],
)
def test_numbers_of_frames_have_the_tolerance_too_but_no_other_values(clone, before, after, code):
    (clone.path / METRICS).write_text(json.dumps({"value": before}))
    clone.commit()
    (clone.path / METRICS).write_text(json.dumps({"value": after}))
    assert check(clone, "--metrics")[0] == code

"""dvc.yaml and the rules describe the same stages, and their code inputs are what the stages import."""

import re
from pathlib import Path

import pytest
import yaml
from import_closure import project_imports

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DATA_OF_THE_CODE = {
    "simulate": {"src/trilift/formats/human36m_cameras.json"},
    "ingest": {"src/trilift/formats/human36m_cameras.json"},
    "evaluate": {"src/trilift/formats/human36m_cameras.json"},
    "plot": {"src/trilift/figures/viewer.html"},
}


def listed(stage, *fields):
    names = []
    for field in fields:
        for entry in STAGES[stage].get(field, []):
            names.append(next(iter(entry)) if isinstance(entry, dict) else entry)
    return {name.replace("${item.dataset}", "demo") for name in names}


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_of_a_stage_is_all_that_it_imports(stage):
    imported = project_imports(f"trilift.stages.{stage}", ROOT / "src")
    expected = {file.relative_to(ROOT).as_posix() for file in imported} | DATA_OF_THE_CODE.get(stage, set())
    assert {dep for dep in listed(stage, "deps") if dep.startswith("src/")} == expected


@pytest.fixture(scope="module")
def jobs(fresh):
    """What snakemake's jobs read and write."""
    output = fresh.run("snakemake", "-n", "--forceall").stdout
    blocks = re.split(r"\n(?=(?:local)?rule )", output)[1:]
    found = {}
    for block in blocks:
        name = block.split(":")[0].split()[1]
        lines = dict(line.strip().split(": ", 1) for line in block.splitlines() if ": " in line)
        found[name] = {key: set(lines.get(key, "").split(", ")) for key in ("input", "output")}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_have_the_same_outputs(stage, jobs):
    assert jobs[stage]["output"] == listed(stage, "outs", "metrics", "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_have_the_same_inputs(stage, jobs):
    inputs = {name if not name.startswith("data/raw/demo/") else "data/raw/demo" for name in jobs[stage]["input"]}
    assert inputs == listed(stage, "deps")


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_of_a_dvc_stage_makes_its_outputs_by_its_own_rule(stage):
    command = STAGES[stage]["cmd"].replace("${item.dataset}", "demo").split()
    assert command[:6] == ["snakemake", "--workflow-profile", "workflow/profiles/dvc", "--allowed-rules", stage, "--"]
    assert set(command[6:]) == listed(stage, "outs", "metrics", "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_track_the_same_settings(stage):
    rule = (ROOT / f"workflow/rules/{stage}.smk").read_text()
    in_rule = {*re.findall(r"=settings\(\"(\w+)\"\)", rule)}
    in_rule |= {f"data set's {section}" for section in re.findall(r"dataset_section\(\"(\w+)\"\)", rule)}
    in_dvc = {entry for entry in STAGES[stage]["params"] if isinstance(entry, str)}
    files = [entry for entry in STAGES[stage]["params"] if isinstance(entry, dict)]
    in_dvc |= {f"data set's {section}" for entry in files for sections in entry.values() for section in sections}
    assert in_rule == in_dvc


def test_all_outputs_of_dvc_are_asked_for_by_default(jobs):
    outputs = set().union(*(listed(stage, "outs", "metrics", "plots") for stage in STAGES))
    assert jobs["all"]["input"] == outputs


def test_the_benchmark_of_training_has_all_cases():
    code = (ROOT / "tests/benchmarks/training_accuracy.py").read_text()
    cases = re.findall(r'^    "([\w-]+)": Case\(', code, re.MULTILINE)
    rule = (ROOT / "workflow/rules/benchmark.smk").read_text()
    (names,) = re.findall(r"for case in \(\n(.*?)\n    \)\.split", rule, re.DOTALL)
    assert sorted(re.findall(r"[\w-]+", names)) == sorted(cases)

"""dvc.yaml and the rules describe the same stages, and their code inputs are what the stages import."""

import re
from pathlib import Path

import pytest
import yaml
from import_closure import project_imports

from trilift.project import stages

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

DATA_SETS = {"detect": "filmed", "calibrate": "walked", "calibrate_videos": "filmed"}
"""Of the stages that the demo has not."""


def listed(stage, *fields):
    names = []
    for field in fields:
        for entry in STAGES[stage].get(field, []):
            names.append(next(iter(entry)) if isinstance(entry, dict) else entry)
    return {resolved(stage, name) for name in names}


def resolved(stage, text):
    """Fill in what DVC's matrix does, for one data set and one run of the sweep."""
    for name, value in {"dataset": DATA_SETS.get(stage, "demo"), "losses": "input", "seed": "0"}.items():
        text = text.replace(f"${{item.{name}}}", value)
    return text


def rule_of(stage):
    """The runs of a sweep are made by the rules of the main run, and cameras are calibrated by one rule."""
    return stage.removeprefix("sweep_").removesuffix("_videos")


def room(path):
    """The folder of the package, or the module at its top, that a file belongs to."""
    return "/".join(Path(path).parts[:3])


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_of_a_stage_is_the_rooms_that_it_imports(stage):
    imported = project_imports(stages.STAGES[rule_of(stage)].module, ROOT / "src")
    expected = {room(file.relative_to(ROOT)) for file in imported}
    assert {dep for dep in listed(stage, "deps") if dep.startswith("src/")} == expected


@pytest.fixture(scope="module")
def jobs(fresh, tmp_path_factory):
    """What snakemake's jobs read and write, by the stage of dvc.yaml."""
    project = fresh.copy(tmp_path_factory.mktemp("sweep") / "project")
    project.set("sweep", {"seeds": [0], "losses": {"input": {}}})
    project.begin_with_a_lifter()
    output = project.run("snakemake", "-n", "--forceall", "--cores", "4").stdout
    found = read_jobs(output)
    project.add_videos(calibrated=False)
    of_videos = read_jobs(project.run("snakemake", "-n", "--forceall", "--cores", "4").stdout)
    of_videos["calibrate_videos"] = of_videos.pop("calibrate")
    project.set("videos", [])
    project.set("uncalibrated_videos", [])
    project.add_recorded()
    uncalibrated = read_jobs(project.run("snakemake", "-n", "--forceall", "--cores", "4").stdout)
    return uncalibrated | of_videos | found


def read_jobs(output):
    found = {}
    for block in re.split(r"\n(?=(?:local)?rule )", output)[1:]:
        name = block.split(":")[0].split()[1]
        lines = dict(line.strip().split(": ", 1) for line in block.splitlines() if ": " in line)
        if "run=input-s0" in lines.get("wildcards", ""):
            name = f"sweep_{name}"
        found[name] = {key: set(lines.get(key, "").split(", ")) for key in ("input", "output")}
        found[name]["threads"] = int(lines.get("threads", 1))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_have_the_same_outputs(stage, jobs):
    assert jobs[stage]["output"] == listed(stage, "outs", "metrics", "plots")


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_have_the_same_inputs(stage, jobs):
    of_filmed, of_walked = "data/raw/filmed/videos", "data/raw/walked/recorded"
    raw = {"filmed": of_filmed, "walked": of_walked}.get(DATA_SETS.get(stage, ""), "data/raw/demo")
    folders = (raw, "data/lifters", "results/demo/provenance")
    inputs = {
        next((folder for folder in folders if name.startswith(f"{folder}/")), name)
        for name in jobs[stage]["input"]
        if not name.startswith(".trilift/")  # temporary
    }
    code = {name for name in inputs if name.startswith("src/")}
    assert inputs - code | {room(name) for name in code} == listed(stage, "deps")


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_of_a_dvc_stage_makes_its_outputs_by_its_own_rule(stage):
    start, _, outputs = resolved(stage, STAGES[stage]["cmd"]).partition(" -- ")
    profile = ["--workflow-profile", "profiles/dvc"]
    rules = [rule_of(stage), *(["detect_video"] if stage == "detect" else [])]
    assert start.split() == ["snakemake", *profile, "--allowed-rules", *rules]
    (record,) = {output for output in listed(stage, "outs") if "/provenance/" in output}
    assert outputs == record  # made with all others, and another one where these are others


@pytest.mark.parametrize("stage", STAGES)
def test_rule_and_dvc_stage_track_the_same_settings(stage):
    rule = (ROOT / f"workflow/rules/{rule_of(stage)}.smk").read_text().rpartition("\nrule ")[2]
    in_rule = {*re.findall(r"[= ]settings\(\"(\w+)\"\)", rule)}
    if "SWEEP.changes(" in rule:
        only_of = {"train": "seed", "sweep_train": "sweep.losses.${item.losses}"}  # the rule has both
        in_rule = in_rule - {"seed"} | {only_of[stage]}
    in_rule |= {f"data set's {section}" for section in re.findall(r"dataset_section\(\"(\w+)\"\)", rule)}
    in_dvc = {entry for entry in STAGES[stage]["params"] if isinstance(entry, str)}
    files = [entry for entry in STAGES[stage]["params"] if isinstance(entry, dict)]
    in_dvc |= {f"data set's {section}" for entry in files for sections in entry.values() for section in sections}
    assert in_rule == in_dvc


def test_jobs_share_all_cores(jobs):
    threads = {name: job["threads"] for name, job in jobs.items()}
    assert threads["ingest"] == threads["triangulate"] == 4
    assert threads["evaluate"] == threads["sweep_evaluate"] == 2
    assert threads["train"] == threads["sweep_train"] == 1  # a setting


def test_all_outputs_of_dvc_are_asked_for_by_default(jobs):
    outputs = set().union(*(listed(stage, "outs", "metrics", "plots") for stage in STAGES if stage not in DATA_SETS))
    assert jobs["all"]["input"] == outputs


def test_one_command_makes_a_lifter_of_what_a_data_set_simulates(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    lifter = "results/pretrained/main/lifter.safetensors"
    without = project.run("snakemake", "-n", lifter, check=False)
    assert without.returncode
    file = "data/raw/pretrained/motion/cmu_actions_h36m17_60hz.npz"
    assert f"{file}: not there. docs/simulating.md says where to get motion" in without.stdout
    project.set("simulate.motion", [], "workflow/datasets/pretrained.yaml")
    assert project.jobs(lifter) == {"simulate_as_described", "ingest", "triangulate", "train"}


def test_the_benchmarks_of_training_have_all_cases():
    code = (ROOT / "tests/benchmarks/training_accuracy.py").read_text()
    cases = re.findall(r'^    "([\w-]+)": (?:Case|budget|replace)\(', code, re.MULTILINE)
    rule = (ROOT / "workflow/rules/benchmark.smk").read_text()
    of_all_cases, of_budgets = re.findall(r"for case in \(\n(.*?)\n    \)\.split", rule, re.DOTALL)
    assert sorted(re.findall(r"[\w-]+", of_all_cases + of_budgets)) == sorted(cases)

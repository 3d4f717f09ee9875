"""What Snakemake and DVC promise together, tried on the real engines."""

import json
import os
import re
import shutil
import time

import pytest
import yaml

from synthetic import OPENPOSE_DATA_SET, write_openpose_data_set

takes_long = pytest.mark.engines
ALL = {"simulate", "ingest", "triangulate", "train", "evaluate", "plot"}


def from_stage(stage):
    order = ["simulate", "ingest", "triangulate", "train", "evaluate", "plot"]
    return set(order[order.index(stage) :])


def test_after_snakemake_both_engines_find_nothing_to_do(real_finished):
    project = real_finished
    assert project.jobs() == set()
    assert project.changed() == set()
    assert project.dvc_would_run() == set()
    assert "Data and pipelines are up to date" in project.run("dvc", "repro").stdout


@takes_long
def test_after_dvc_repro_snakemake_finds_nothing_to_do_and_the_results_are_the_same_bits(
    real_fresh, real_finished, tmp_path
):
    project = real_fresh.copy(tmp_path / "project")
    project.run("dvc", "repro")
    assert project.jobs() == set()
    assert project.changed() == set()
    assert project.hashes() == real_finished.hashes()


@pytest.fixture(scope="session")
def published(finished, tmp_path_factory):
    """The finished project with its data in a remote."""
    folder = tmp_path_factory.mktemp("published")
    project = finished.copy(folder / "project")
    project.run("dvc", "remote", "add", "-d", "storage", str(folder / "storage"))
    project.run("dvc", "push")
    project.commit()
    return project


@takes_long
def test_after_dvc_pull_snakemake_finds_nothing_to_do(published, tmp_path):
    clone = published.clone(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.jobs() == set()
    assert clone.changed() == set()


@takes_long
def test_an_edit_between_dvc_pull_and_the_first_snakemake_is_seen(published, tmp_path):
    clone = published.clone(tmp_path / "clone")
    clone.run("dvc", "pull")
    clone.set("evaluate", None)
    clone.set("train.steps", 4)
    assert clone.jobs() == from_stage("train")


@takes_long
def test_dvc_checkout_of_an_old_version_is_taken_over(project):
    project.set("plot.examples", 2)
    assert project.jobs() == {"plot"}
    project.snakemake()
    project.commit()
    assert project.changed() == set()
    project.run("git", "checkout", "-q", "HEAD~1")
    project.run("dvc", "checkout")
    assert project.jobs() == set()
    assert project.changed() == set()


@pytest.mark.parametrize(
    ("key", "value", "stage"),
    [
        ("simulate.seconds", 0.5, "simulate"),
        ("ingest.check", "warn", "ingest"),
        ("triangulate.min_confidence", 0.1, "triangulate"),
        ("train.losses.multi_view_consistency", 0.5, "train"),
        ("plot.examples", 2, "plot"),
    ],
)
def test_a_changed_setting_reruns_its_stage_and_what_follows(project, key, value, stage):
    project.set(key, value)
    assert project.jobs() == from_stage(stage)
    assert project.changed() == {stage}


def test_the_lifter_that_trainings_begin_with_is_an_input(project):
    after = {"train", "evaluate", "plot"}
    folder = project.begin_with_a_lifter()
    assert project.jobs() == after
    assert project.changed() == {"train"}
    project.snakemake()
    assert not project.jobs()
    assert not project.changed()
    (folder / "lifter.json").write_text("of a third training")
    assert project.jobs() == after
    assert project.changed() == {"train"}


@pytest.mark.parametrize("engine", [("snakemake", "--cores", "2"), ("dvc", "repro")], ids=lambda engine: engine[0])
def test_a_lifter_that_is_not_there_stops_both_engines_before_anything_is_removed(project, finished, engine):
    project.set("train.start_from", "nobody")
    result = project.run(*engine, check=False)
    assert result.returncode
    assert "there is no lifter data/lifters/nobody (there are: pretrained, pretrained-single)" in result.stdout
    assert "Traceback" not in result.stdout
    assert project.made() == finished.made()


def test_a_changed_split_leaves_ingest_alone(project):
    project.set("split.test", ["S9"], file="workflow/datasets/demo.yaml")
    assert project.jobs() == from_stage("train")
    assert project.changed() == {"train", "evaluate", "plot"}


@takes_long
def test_a_changed_setting_is_rerun_and_recorded_by_dvc_and_shown_by_its_diff(project):
    project.set("train.learning_rate", 0.01)
    output = project.run("dvc", "repro").stdout
    assert "Stage 'triangulate@demo' didn't change" in output
    assert project.jobs() == set()
    assert project.changed() == set()
    assert "mpjpe_mm" in project.run("dvc", "metrics", "diff").stdout


def test_touching_files_reruns_nothing(project):
    later = time.time() + 100
    for file in project.path.rglob("*"):
        if file.is_file() and not {".git", ".dvc", ".snakemake"} & set(file.parts):
            os.utime(file, (later, later))
    assert project.jobs() == set()
    assert project.changed() == set()


@pytest.mark.parametrize(
    ("file", "first", "changed"),
    [
        ("src/trilift/plot/stage.py", "plot", {"plot"}),
        ("src/trilift/triangulate/labels.py", "triangulate", {"triangulate"}),
        ("src/trilift/train/losses.py", "train", {"train"}),
        ("src/trilift/skeletons/coco17.yaml", "simulate", ALL),
    ],
)
def test_changed_code_reruns_the_stages_that_import_it_and_what_follows(project, file, first, changed):
    with (project.path / file).open("a") as code:
        code.write("# changed\n")
    assert project.jobs() == from_stage(first)
    assert project.changed() == changed


@pytest.fixture(scope="session")
def own_recording(finished, tmp_path_factory):
    """A finished project with a recording of one's own, tracked by `dvc add`, as its only data set."""
    project = finished.copy(tmp_path_factory.mktemp("own") / "project")
    write_openpose_data_set(project.path / "data/raw/mine")
    (project.path / "workflow/datasets/mine.yaml").write_text(OPENPOSE_DATA_SET)
    project.set("datasets", ["mine"])
    project.run("dvc", "add", "data/raw/mine")
    project.snakemake()
    project.commit()
    assert project.changed() == set()
    return project


def change_one_byte(project):
    file = project.path / "data/raw/mine/pose/cam1_json/cam1.0003.json"
    text = file.read_text()
    place = text.index("pose_keypoints_2d") + 22
    digit = next(i for i in range(place, len(text)) if text[i].isdigit())
    file.unlink()  # dvc may have linked it to its cache
    file.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])


@takes_long
def test_snakemake_refuses_changed_raw_data_until_their_owner_accepts_them(own_recording, tmp_path):
    project = own_recording.copy(tmp_path / "project")
    before = project.hashes()
    change_one_byte(project)
    refused = project.run("snakemake", "--cores", "2", check=False)
    assert refused.returncode != 0
    assert "raw data changed since `dvc add`: data/raw/mine" in refused.stdout
    assert project.hashes() == before
    project.run("dvc", "add", "data/raw/mine")
    assert project.changed() == {"ingest"}
    assert project.jobs() == from_stage("ingest")


@takes_long
def test_a_changed_layout_of_ones_own_reruns_ingest_and_what_follows(own_recording, tmp_path):
    project = own_recording.copy(tmp_path / "project")
    layout = project.path / "data/raw/mine/mine.yaml"
    layout.write_text((project.path / "src/trilift/skeletons/body25b.yaml").read_text())
    dataset = project.path / "workflow/datasets/mine.yaml"
    dataset.write_text(OPENPOSE_DATA_SET.replace("body25b", "mine.yaml"))
    project.run("dvc", "add", "data/raw/mine")
    project.snakemake()
    project.commit()
    assert project.jobs() == project.changed() == set()
    text = layout.read_text()
    layout.unlink()  # dvc may have linked it to its cache
    layout.write_text(text + "root: mid_hip\n")
    project.run("dvc", "add", "data/raw/mine")
    assert project.changed() == {"ingest"}
    assert project.jobs() == from_stage("ingest")


@takes_long
def test_raw_data_changed_during_a_run_are_not_committed(own_recording, tmp_path):
    project = own_recording.copy(tmp_path / "project")
    project.set("triangulate.min_confidence", 0.1)
    edit_during(project, "triangulate", "change_raw_data")
    output = project.snakemake()
    assert "raw data changed during the run" in output
    assert project.changed() >= {"data/raw/mine.dvc", "triangulate"}


@takes_long
def test_dvc_repro_says_that_raw_data_changed_and_reruns_all_that_follows(own_recording, tmp_path):
    project = own_recording.copy(tmp_path / "project")
    change_one_byte(project)
    assert "data/raw/mine.dvc" in project.changed()
    output = project.run("dvc", "repro").stdout
    assert "data/raw/mine.dvc is not what git has committed" in output
    assert "data/raw/mine.dvc" in project.run("git", "status", "--short").stdout
    assert "Running stage 'plot@mine'" in output
    assert project.jobs() == set()
    assert project.changed() == set()


def edit_during(project, stage, what):
    """Have the rule of a stage edit the project while it runs, as a person might."""
    edits = {
        "change_raw_data": "echo ' ' >> data/raw/mine/pose/cam1_json/cam1.0003.json",
        "edit_settings": "sed -i 's/^seed: 0/seed: 1/' params.yaml",
    }
    rule = project.path / f"workflow/rules/{stage}.smk"
    rule.write_text(rule.read_text().replace('"python -m', f'"{edits[what]}; python -m'))


@takes_long
def test_what_was_made_while_settings_were_edited_is_made_again(project):
    edit_during(project, "plot", "edit_settings")
    project.set("plot.examples", 2)
    assert "edited during the run: params.yaml;" in project.snakemake()
    assert "plot" in project.changed()
    project.set("seed", 0)
    assert project.jobs() == {"plot"}


@takes_long
def test_a_run_does_not_commit_what_it_did_not_make(project):
    with (project.path / "results/demo/main/table.tex").open("a") as file:
        file.write("damaged\n")
    project.set("plot.examples", 2)
    project.snakemake()
    assert project.changed() == {"evaluate"}


@takes_long
def test_what_follows_a_stage_that_was_dirty_at_a_checkout_is_made_again(project):
    project.set("train.steps", 4)
    project.snakemake()
    project.commit()
    project.run("git", "checkout", "-q", "HEAD~1")
    project.run("dvc", "checkout")
    project.set("train.steps", 4)
    project.snakemake("results/demo/main/lifter.safetensors")
    assert project.jobs() == {"evaluate", "plot"}


def test_a_run_killed_before_its_commit_is_committed_by_the_next(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    memory = project.path / ".snakemake/trilift_bridge.json"
    before = project.hashes()
    content = json.loads(memory.read_text())
    content["pending"] = list(yaml.safe_load((project.path / "dvc.lock").read_text())["stages"])
    content["lock"] = ""
    memory.write_text(json.dumps(content))
    (project.path / "dvc.lock").unlink()
    assert "Nothing to be done" in project.snakemake()
    assert project.changed() == set()
    assert project.hashes() == before


def recovers(project, finished, *command):
    """Run on, and see that all is as if nothing had happened; gives the stages that were made."""
    before = project.logs()
    project.run(*command)
    made = {stage for stage, _ in project.logs().items() - before.items()}
    assert project.jobs() == set()
    assert project.changed() == set()
    assert project.hashes() == project.made() == finished.hashes()
    return made


def slow(project, stage):
    """Have the rule of a stage take longer, so that something can be done meanwhile."""
    rule = project.path / f"workflow/rules/{stage}.smk"
    rule.write_text(rule.read_text().replace('"python -m', '"sleep 20; python -m'))


@pytest.mark.parametrize("engine", [("snakemake", "--cores", "2"), ("dvc", "repro")])
@takes_long
def test_after_a_kill_either_engine_goes_on_and_finished_stages_stay(fresh, finished, tmp_path, engine):
    project = fresh.copy(tmp_path / "project")
    slow(project, "train")
    process = project.start_until("train", "snakemake", "--cores", "2")
    project.kill(process)
    assert recovers(project, finished, *engine) == {"train", "evaluate", "plot"}


@pytest.mark.parametrize("engine", [("snakemake", "--cores", "2"), ("dvc", "repro")])
@takes_long
def test_what_a_killed_run_made_is_made_again_if_a_checkout_has_replaced_it(project, tmp_path, engine):
    lifter = project.path / "results/demo/main/lifter.safetensors"
    slow(project, "evaluate")
    project.set("train.steps", 4)
    process = project.start_until("evaluate", "snakemake", "--cores", "2")
    project.kill(process)
    made = lifter.read_text()
    project.run("dvc", "checkout", "--force")
    assert lifter.read_text() != made
    project.run(*engine)
    assert lifter.read_text() == made
    assert project.jobs() == project.changed() == set()


@pytest.mark.parametrize("engine", [("snakemake", "--cores", "2"), ("dvc", "repro")])
@takes_long
def test_after_a_kill_of_dvc_repro_too(fresh, finished, tmp_path, engine):
    project = fresh.copy(tmp_path / "project")
    slow(project, "evaluate")
    process = project.start_until("evaluate", "dvc", "repro")
    project.kill(process)
    assert recovers(project, finished, *engine) == {"evaluate", "plot"}


@takes_long
def test_a_kill_while_dvc_lock_is_written_costs_nothing(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    lock, memory = project.path / "dvc.lock", project.path / ".snakemake/trilift_bridge.json"
    whole = yaml.safe_load(lock.read_text())
    content = json.loads(memory.read_text()) | {"pending": list(whole["stages"]), "lock": ""}
    memory.write_text(json.dumps(content))
    (project.path / ".snakemake/trilift_dvc.lock").write_text("")
    half = {**whole, "stages": {name: whole["stages"][name] for name in list(whole["stages"])[:3]}}
    lock.write_text(yaml.safe_dump(half, sort_keys=False))
    assert recovers(project, finished, "snakemake", "--cores", "2") == set()
    assert not (project.path / ".snakemake/trilift_dvc.lock").exists()


@takes_long
def test_while_snakemake_runs_dvc_is_kept_from_its_files_and_a_second_snakemake_from_all(project):
    slow(project, "plot")
    process = project.start_until("plot", "snakemake", "--cores", "2")
    time.sleep(1)
    refused = project.run("dvc", "repro", check=False)
    assert refused.returncode
    assert f"(PID {process.pid}): snakemake" in refused.stdout
    second = project.run("snakemake", "--cores", "2", check=False)
    assert second.returncode
    assert "Directory cannot be locked" in second.stdout
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert project.jobs() == project.changed() == set()


@takes_long
def test_while_dvc_runs_snakemake_is_kept_from_its_files(project):
    slow(project, "plot")
    project.set("plot.examples", 2)
    process = project.start_until("plot", "dvc", "repro")
    time.sleep(4)
    refused = project.run("snakemake", "--cores", "2", check=False)
    assert refused.returncode
    assert "DVC works here on the same files, run again" in refused.stdout
    assert f"(PID {process.pid})" in refused.stdout
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert project.jobs() == project.changed() == set()


@takes_long
def test_a_sweep_is_listed_once_and_a_further_seed_runs_only_what_is_new(project):
    project.set("sweep.seeds", [0])
    first = {"input-s0", "both-s0"}
    assert project.runs() == {(rule, run) for rule in ("train", "evaluate") for run in first}
    assert project.changed() == {"sweep_train", "sweep_evaluate"}
    project.snakemake()
    assert project.changed() == set()
    assert "Data and pipelines are up to date" in project.run("dvc", "repro").stdout

    project.set("sweep.seeds", [0, 1])
    assert {run for _, run in project.runs()} == {"input-s1", "both-s1"}
    output = project.run("dvc", "repro").stdout
    assert set(re.findall(r"Running stage 'sweep_train@demo-(\S+)'", output)) == {"input-1", "both-1"}
    assert "Running stage 'train" not in output
    assert project.jobs() == project.changed() == set()
    assert "both-s1" in project.run("dvc", "metrics", "show").stdout
    project.snakemake("results/demo/sweep/table.csv")

    project.set("seed", 1)
    assert {run for _, run in project.runs()} == {"main", *first, "input-s1", "both-s1"}  # the demo is made anew
    project.set("seed", 0)
    project.set("sweep.losses.input", {"multi_view_consistency": 0.5})
    assert {run for _, run in project.runs()} == {"input-s0", "input-s1"}


@takes_long
def test_without_dvc_and_git_snakemake_runs_alone_and_says_so(project):
    shutil.rmtree(project.path / ".git")
    shutil.rmtree(project.path / ".dvc")
    project.set("plot.examples", 2)
    output = project.snakemake()
    assert output.count("[dvc] off") == 1
    assert project.jobs() == set()


WRONG = {
    "plot.exmaples": (1, "exmaples: unknown setting"),
    "train.steps": ("many", "steps: Input should be a valid integer, but it is 'many'"),
    "train.losses.norm": ("l3", "losses.norm: Input should be 'l1', 'mpjpe' or 'huber', but it is 'l3'"),
    "seed": (-1, "seed must be a whole number from 0 on, but it is -1"),
    "sweep": ({"seeds": [0], "losses": {"none": {"multi_view": 1}}}, "multi_view: unknown setting"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_setting_is_refused_before_anything_is_removed(project, finished, key):
    value, reason = WRONG[key]
    project.set(key, value)
    refused = project.snakemake(check=False).splitlines()
    assert any(reason in line for line in refused[-2:])  # it stands last
    assert project.made() == finished.hashes()


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=() if key == "train.steps" else takes_long) for key in WRONG]
)
def test_a_wrong_setting_is_refused_by_dvc_repro_before_anything_is_removed(project, finished, key):
    value, reason = WRONG[key]
    project.set(key, value)
    *before, error = project.run("dvc", "repro", check=False).stdout.splitlines()
    assert error.startswith("ERROR: failed to reproduce")
    assert any(reason in line for line in before[-2:])
    assert project.made() == finished.hashes()
    project.run("git", "checkout", "-q", "--", "params.yaml")
    assert project.jobs() == project.changed() == set()


@takes_long
def test_an_experiment_with_a_wrong_setting_leaves_the_results(project, finished):
    refused = project.run("dvc", "exp", "run", "-S", "train.network.kind=foo", check=False)
    assert refused.returncode
    assert "network.kind: Input should be 'encoder_decoder', 'residual' or 'temporal'" in refused.stdout
    assert project.made() == finished.hashes()


@takes_long
@pytest.mark.parametrize("engine", [("snakemake", "--cores", "2"), ("dvc", "repro")])
def test_a_split_that_names_nobody_is_refused_before_anything_is_removed(real_finished, tmp_path, engine):
    project = real_finished.copy(tmp_path / "project")
    project.set("split.test", ["S99"], file="workflow/datasets/demo.yaml")
    refused = project.run(*engine, check=False)
    assert refused.returncode
    assert "section split: no subject S99" in refused.stdout
    assert project.made() == real_finished.hashes()


@takes_long
def test_what_dvc_repro_cannot_run_removes_nothing_and_has_a_reason(project, finished):
    project.set("train.steps", 4)
    with (project.path / "workflow/rules/train.smk").open("a") as rule:
        rule.write("rule train\n")
    assert "SyntaxError" in project.run("dvc", "repro", check=False).stdout
    assert project.made() == finished.hashes()


def test_config_on_the_command_line_is_refused(project):
    output = project.snakemake("--config", "seed=1", check=False)
    assert "params.yaml" in output
    assert project.snakemake("--config", "seed=1", "-n", check=False) != ""


@takes_long
def test_an_experiment_runs_is_compared_and_applied(project):
    before = project.hashes()
    project.run("dvc", "exp", "run", "--name", "faster", "-S", "train.learning_rate=0.01")
    shown = project.run("dvc", "exp", "show", "--json").stdout
    assert "faster" in shown
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout")
    assert project.hashes() == before
    project.run("dvc", "exp", "apply", "faster")
    assert yaml.safe_load((project.path / "params.yaml").read_text())["train"]["learning_rate"] == 0.01
    assert project.hashes() != before
    assert project.jobs() == set()
    assert project.changed() == set()


@takes_long
def test_queued_experiments_run_side_by_side_and_leave_the_project_alone(project, finished):
    names = {"slow": 0.01, "fast": 0.02}
    for name, rate in names.items():
        project.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"train.learning_rate={rate}")
    project.start("dvc", "queue", "start", "--jobs", "2").stdout.close()  # which the workers would keep open
    states = []
    for _ in range(120):
        time.sleep(3)
        shown = project.run("dvc", "queue", "status").stdout.splitlines()
        states = [line.split()[-1] for line in shown if set(line.split()) & set(names)]
        if states and not {"Queued", "Running"} & set(states):
            break
    assert states == ["Success", "Success"]
    assert project.made() == finished.hashes()
    assert project.jobs() == project.changed() == set()
    project.run("dvc", "exp", "apply", "fast")
    assert project.jobs() == project.changed() == set()
    project.snakemake("--forcerun", "train", "--until", "train")
    assert project.changed() == set()

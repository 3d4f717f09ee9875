"""What a person sees of a run, on a terminal of 80 x 24 characters.

The screens lie in `screens/`. `WRITE_SCREENS=1 pytest tests/workflow/test_screen.py` writes them anew, where one is
meant to change; look at what git then shows.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from terminal import Terminal, masked

import screen

SCREENS = Path(__file__).parent / "screens"
SNAKEMAKE = ("snakemake", "--cores", "2")
MOST_LINES = 40
takes_long = pytest.mark.engines


def look(project, *command: str) -> Terminal:
    return Terminal(project.path, project.environment(), *command)


def assert_shown(terminal: Terminal, name: str, project) -> None:
    """Compare all that was shown with a file, whichever training ended first."""
    lines = masked(terminal.shown(), project.path)
    trainings = [number for number, line in enumerate(lines) if line.startswith("train ")]
    for number, line in zip(trainings, sorted(lines[number] for number in trainings), strict=True):
        lines[number] = line
    text = "".join(f"{line}\n" for line in lines)
    file = SCREENS / f"{name}.txt"
    if "WRITE_SCREENS" in os.environ:
        file.write_text(text)
    assert text == file.read_text()
    assert len(lines) <= MOST_LINES


def let_do(project, stage: str, code: str) -> None:
    """Have the stand-in of a stage do something more at its beginning."""
    file = project.path / f"src/trilift/{stage}/stage.py"
    begin = "def run(layout, device=None, video=None):\n"
    file.write_text(file.read_text().replace(begin, f"{begin}    {code}\n"))
    project.commit()


@takes_long
def test_a_whole_run_has_a_line_for_each_stage_its_warnings_and_what_it_came_to(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    let_do(
        project,
        "triangulate",
        "import logging; [logging.warning(f'camera {n} is 4.2 frames late, or has moved since it was calibrated; "
        "look at the recap in its log, and exclude it with exclude_cameras') for n in range(4)]",
    )
    terminal = look(project, *SNAKEMAKE)
    assert terminal.end() == 0
    assert_shown(terminal, "run", project)
    assert list((project.path / "logs").rglob("*.progress")) == []

    again = look(project, *SNAKEMAKE)
    assert again.end() == 0
    assert_shown(again, "run_again", project)


@takes_long
@pytest.mark.parametrize(("engine", "command"), [("snakemake", SNAKEMAKE), ("dvc", ("dvc", "repro"))])
def test_a_wrong_setting_stands_last(project, engine, command):
    project.set("train.steps", -3)
    terminal = look(project, *command)
    assert terminal.end() != 0
    assert_shown(terminal, f"wrong_setting_{engine}", project)


@takes_long
@pytest.mark.parametrize("asked", ["metrics.json", "report.html"])
def test_a_data_set_that_is_not_there_is_named_without_the_lines_of_the_rules(project, asked):
    terminal = look(project, *SNAKEMAKE, f"results/nobody/main/{asked}")
    assert terminal.end() != 0
    assert_shown(terminal, "no_such_data_set", project)


@takes_long
def test_a_section_that_is_not_there_is_named(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    settings = project.path / "params.yaml"
    content = yaml.safe_load(settings.read_text())
    del content["sweep"]
    settings.write_text(yaml.safe_dump(content))
    terminal = look(project, *SNAKEMAKE)
    assert terminal.end() != 0
    said = " ".join("".join(terminal.shown()).split())
    assert "Could not find 'sweep.losses'" in said
    assert "Traceback" not in said


@takes_long
def test_progress_moves_and_ctrl_c_says_how_to_go_on(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    usual = (project.path / "src/trilift/train/stage.py").read_text()
    let_do(
        project,
        "train",
        "import time, tqdm; [time.sleep(0.05) for _ in tqdm.tqdm(range(2000), disable=None)]",
    )
    terminal = look(project, *SNAKEMAKE)
    seen: list[int] = []

    def moves(terminal: Terminal) -> bool:
        now = re.search(r"^train +demo +\d+:\d\d +(\d+)% [#.]{12} \d\d:\d\d left$", "\n".join(terminal.shown()), re.M)
        if now and int(now[1]) not in seen:
            seen.append(int(now[1]))
        return len(seen) >= 3

    terminal.read_until(moves)
    assert seen == sorted(seen)
    terminal.press("\x03")
    assert terminal.end() == 130
    assert_shown(terminal, "interrupted", project)

    (project.path / "src/trilift/train/stage.py").write_text(usual)
    again = look(project, *SNAKEMAKE)
    assert again.end() == 0
    assert_shown(again, "after_interrupted", project)


@takes_long
def test_a_sweep_of_14_runs_fits_on_a_page(project):
    project.set("sweep.seeds", list(range(7)))
    terminal = look(project, *SNAKEMAKE, "results/demo/sweep/table.csv")
    assert terminal.end() == 0
    assert_shown(terminal, "sweep", project)


@takes_long
def test_a_refused_recording_stands_last(project):
    shutil.copytree(project.path / "data/raw/demo", project.path / "data/raw/mine")
    shutil.copy(project.path / "workflow/datasets/demo.yaml", project.path / "workflow/datasets/mine.yaml")
    (project.path / "data/raw/mine/detections.npz").write_bytes(b"damaged")
    terminal = look(project, *SNAKEMAKE, "results/mine/main/metrics.json")
    assert terminal.end() != 0
    assert_shown(terminal, "refused_recording", project)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of a run, with some of the files to open; the paths that are said begin in the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIRTUAL_ENV", "somewhere")
    folder = Path("results/gait/main")
    folder.mkdir(parents=True)
    for name in ("table.md", "viewer.html"):
        (folder / name).touch()
    return folder


def test_the_result_is_beside_the_mean_pose_and_the_pseudo_label(folder):
    metrics = {"mpjpe_mm": 87.12, "mean_pose_mpjpe_mm": 285.7, "pseudo_label_mpjpe_mm": 27.68, "simulated": True}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert screen.result(folder) == [
        "gait (SIMULATED): MPJPE 87.1 mm (mean pose 285.7, pseudo-label 27.7)",
        "  results/gait/main/viewer.html",
        "  results/gait/main/table.md",
        "Next: trilift predict --help, with --lifter results/gait/main",
    ]


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (
            {"other_views_reprojection_px": 20.59, "pseudo_label_other_views_reprojection_px": 8.2},
            "gait: in the other views, from their detections 20.6 px (pseudo-label 8.2)",
        ),
        ({"other_views_reprojection_px": None}, "gait: in the other views, from their detections -"),
    ],
)
def test_without_a_reference_the_result_is_how_well_the_views_agree(folder, metrics, line):
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert screen.result(folder)[0] == line


def test_a_terminal_that_has_not_activated_the_environment_is_told_to(folder, monkeypatch):
    monkeypatch.delenv("VIRTUAL_ENV")
    (folder / "metrics.json").write_text(json.dumps({"mpjpe_mm": 1.0}))
    assert screen.result(folder)[-1].startswith("Next: trilift")
    Path(".venv").mkdir()
    assert screen.result(folder)[-1].startswith("Next: source .venv/bin/activate && trilift")


def record(event=None, **said):
    return SimpleNamespace(event=event, msg=said.pop("msg", None), **said)


def a_job(number, rule, log, **wildcards):
    return record("job_info", jobid=number, rule_name=rule, wildcards=wildcards, log=[str(log)])


def test_a_warning_is_told_once_and_never_lost(tmp_path, capsys):
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    logs[0].write_text("".join(f"WARNING: camera {camera} moved\n" for camera in range(5)))
    logs[1].write_text("WARNING: camera 1 moved\n")
    logs[2].write_text("WARNING: nobody in view\n")
    shown = screen.Screen()
    for number, log in enumerate(logs):
        run = f"all-s{number}"
        shown.emit(a_job(number, "evaluate", log, dataset="demo", run=run))
        shown.emit(record("job_finished", job_id=number))
    assert [re.sub(r" +\d:\d\d", "", line) for line in capsys.readouterr().err.splitlines()] == [
        "evaluate     demo all-s0  5 warnings",
        "  camera 0 moved",
        "  camera 1 moved",
        "  camera 2 moved",
        "  (and 2 more)",
        "evaluate     demo all-s2  1 warning",  # that of s1 is known
        "  nobody in view",
    ]
    assert screen.warnings_in(logs) == [f"5 warnings: {logs[0]}", f"1 warning: {logs[1]}", f"1 warning: {logs[2]}"]
    more = [*logs, tmp_path / "more.log"]
    more[-1].write_text("WARNING: nobody in view\n")
    assert screen.warnings_in(more) == [f"8 warnings in 4 logs, the first in {logs[0]}"]


def test_what_snakemake_says_of_errors_is_shown_but_what_the_failed_stage_says_itself(tmp_path, capsys):
    log = f"{tmp_path}/train.log"
    shown = screen.Screen()
    shown.emit(a_job(1, "train", log, dataset="demo", run="main"))
    shown.emit(record("error", msg="CalledProcessError in rule train", exception="RuleException"))
    shown.emit(record("job_error", jobid=1, log=[log], rule_msg="SLURM-job '7' failed, status TIMEOUT"))
    shown.emit(record("error", msg="LockException: cannot be locked", exception="LockException"))
    shown.emit(record(msg="Job 1 has been submitted with SLURM jobid 2"))
    shown.emit(record(msg="Building DAG of jobs..."))
    first, *others = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"train +demo +0:00  failed: {log}", first)
    assert others == [
        "  SLURM-job '7' failed, status TIMEOUT",
        "LockException: cannot be locked",
        "Job 1 has been submitted with SLURM jobid 2",
    ]


def test_with_bars_only_all_that_a_command_prints_is_in_its_log_and_its_bar_in_a_file(tmp_path):
    log = tmp_path / "train.log"
    code = f"""
import logging, subprocess
from pathlib import Path
from tqdm import tqdm
from trilift.project import messages
with messages.shown(Path({str(log)!r})):
    logging.warning("few frames")
    subprocess.run(["echo", "said by a library"])
    bar = tqdm(total=4, disable=None, mininterval=0)
    bar.update(3)
    kept = messages.progress_file(Path({str(log)!r})).read_text()
    bar.close()
    logging.info("bar: %s", kept)
    raise ValueError("a bug")
"""
    environment = os.environ | {
        "TRILIFT_BARS_ONLY": "1",
        "TQDM_BAR_FORMAT": "{percentage:3.0f}% {bar:4}",
        "TQDM_ASCII": ".#",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    lines = log.read_text().splitlines()
    assert lines[:3] == ["WARNING: few frames", "said by a library", "bar: 75% ###."]
    assert lines[-1] == "ValueError: a bug"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train.log"]

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from filming import DATA_SET
from trilift.project import stages
from trilift.project.layout import LIFTER

ROOT = Path(__file__).parents[2]
STAGES = ("simulate", "detect", "calibrate", "ingest", "triangulate", "train", "evaluate", "plot", "sweep")
TINY = {
    "datasets": ["demo"],
    "videos": [],
    "uncalibrated": [],
    "uncalibrated_videos": [],
    "seed": 0,
    "simulate": {"seconds": 0.4, "detector": "off-the-shelf"},
    "detect": {"detector": "mediapipe", "size": "balanced"},
    "ingest": {"check": "skip"},
    "triangulate": {"method": "robust", "min_confidence": 0.0, "diagnose": False},
    "train": {
        "network": {"kind": "residual", "width": 8, "blocks": 1, "dropout": 0.1},
        "losses": {"input_triangulation": 1.0, "multi_view_consistency": 1.0, "consistency_target": "pseudo_label"},
        "steps": 3,
        "batch_frames": 256,
        "learning_rate": 0.001,
        "validation_share": 0.1,
        "threads": 1,
    },
    "evaluate": {},
    "plot": {"examples": 1, "viewer_recordings": 1, "viewer_seconds": 0.2},
    "sweep": {"seeds": [], "losses": {"input": {"multi_view_consistency": 0.0}, "both": {}}},
}

CALIBRATED = "format: toml\n    path: videos/calibration.toml"
BY_PEOPLE = "format: people\n    stature_m: 1.7\n    intrinsics: {format: toml, path: videos/calibration.toml}"


@dataclass(frozen=True)
class Project:
    """A project in a folder of its own, on which the real engines run."""

    path: Path

    def environment(self) -> dict[str, str]:
        """Give the variables of a user's terminal."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "SNAKEMAKE", "PYTEST", "PYTHONPATH", "TRILIFT_BRIDGE"))
        }
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return environment | {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command with its processes in a group of their own."""
        return subprocess.Popen(
            command, cwd=self.path, env=self.environment(), start_new_session=True,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def start_until(self, stage: str, *command: str) -> subprocess.Popen[str]:
        """Start one of the engines, and return when it begins a stage."""
        shows_jobs = ("--verbose",) if command[0] == "snakemake" else ()
        process = self.start(*command, *shows_jobs)
        begins = (f"rule {stage}:", f"Running stage '{stage}@", f"Running stage '{stage}'")
        for line in process.stdout:
            if line.removeprefix("local").startswith(begins):
                return process
        raise AssertionError(f"{' '.join(command)} ended with {process.wait()} before {stage} began")

    def kill(self, process: subprocess.Popen[str]) -> str:
        """Kill a command and all that it has started, at once; returns what else it printed."""
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        for member in family:  # those that have left the group
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family)
        return process.communicate()[0]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command, cwd=self.path, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout[-4000:]}")
        return result

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        return self.run("snakemake", "--cores", "2", *arguments, check=check).stdout

    def jobs(self, *arguments: str) -> set[str]:
        """The rules that snakemake would run."""
        lines = self.run("snakemake", "-n", *arguments).stdout.splitlines()
        return {line.split()[1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule "))} - {"all"}

    def runs(self) -> set[tuple[str, str]]:
        """The rules that snakemake would run, each with the run of the sweep, or main, that it would run it for."""
        blocks = self.run("snakemake", "-n").stdout.split("\nrule ")[1:]
        found = [re.match(r"(\w+):.*?wildcards: .*?run=([^,\n]+)", block, re.DOTALL) for block in blocks]
        return {(match[1], match[2]) for match in found if match}

    def logs(self) -> dict[str, int]:
        """When each stage was last made: no engine touches a log."""
        return {file.stem: file.stat().st_mtime_ns for file in (self.path / "logs").rglob("*.log")}

    def changed(self) -> set[str]:
        """The stages that dvc finds changed, and the .dvc files."""
        status = json.loads(self.run("dvc", "status", "--json").stdout.splitlines()[-1])
        return {name.split("@")[0] for name in status}

    def made(self) -> dict[str, str]:
        """Hash of every output that dvc.lock names, of the file itself."""
        return {path: hashlib.md5((self.path / path).read_bytes()).hexdigest() for path in self.hashes()}

    def dvc_would_run(self) -> set[str]:
        lines = self.run("dvc", "repro", "--dry").stdout.splitlines()
        return {line.split("'")[1].split("@")[0] for line in lines if line.startswith("Running stage")}

    def set(self, key: str, value: object, file: str = "params.yaml") -> None:
        """Change one value, given by its path of names."""
        content = yaml.safe_load((self.path / file).read_text())
        section = content
        *names, last = key.split(".")
        for name in names:
            section = section[name]
        section[last] = value
        (self.path / file).write_text(yaml.safe_dump(content, sort_keys=False))

    def add_videos(self, name: str = "filmed", calibrated: bool = True) -> None:
        """Add a data set that begins with two videos, as the only one; stand-ins do not look into them."""
        videos = self.path / "data/raw" / name / "videos"
        videos.mkdir(parents=True)
        for file in ("cam1.mp4", "cam2.mp4", "calibration.toml"):
            (videos / file).write_text(f"{file} as it was filmed\n")
        text = DATA_SET if calibrated else DATA_SET.replace(CALIBRATED, BY_PEOPLE)
        (self.path / f"workflow/datasets/{name}.yaml").write_text(text)
        self.set("datasets", [name])
        self.set("videos", [name])
        self.set("uncalibrated_videos", [] if calibrated else [name])

    def add_recorded(self, name: str = "walked") -> None:
        """Add a data set of detections without a calibration, as the only one; stand-ins do not look into them."""
        recorded = self.path / "data/raw" / name / "recorded"
        recorded.mkdir(parents=True)
        for file in ("cam1.json", "cam2.json", "calibration.toml"):
            (recorded / file).write_text(f"{file} as it was recorded\n")
        detections = "format: coco\n    path: recorded\n    skeleton: coco17\n    detector: stand-in"
        text = DATA_SET.replace("format: video\n    path: videos", detections).replace(CALIBRATED, BY_PEOPLE)
        (self.path / f"workflow/datasets/{name}.yaml").write_text(text.replace("videos/", "recorded/"))
        self.set("datasets", [name])
        self.set("uncalibrated", [name])

    def begin_with_a_lifter(self) -> Path:
        """Let trainings begin with a lifter; stand-ins do not look into it."""
        folder = self.path / "data/lifters/first"
        folder.mkdir()
        for name in LIFTER:
            (folder / name).write_text(f"{name} of another training\n")
        self.set("train.start_from", "first")
        return folder

    def hashes(self) -> dict[str, str]:
        """Hash of every output, as dvc.lock has it."""
        lock = yaml.safe_load((self.path / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "work")

    def clone(self, path: Path) -> "Project":
        """Clone with git, without what git does not track; DVC's cache is shared as a remote would."""
        self.run("git", "clone", "-q", str(self.path), str(path))
        return Project(path)

    def copy(self, path: Path) -> "Project":
        """Copy the folder as it is, times included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)


def replace(file: Path, usual: str, here: str) -> None:
    text = file.read_text()
    assert usual in text
    file.write_text(text.replace(usual, here))


def make_project(path: Path, stand_in: bool = False) -> Project:
    """Take the code of this checkout, tiny settings and no data, into a git repository of its own.

    With stand-ins for the stages (`stand_in.py`) it takes a fraction of the time.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "results/", "docs/", "dvc.lock")):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    (path / "params.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    if stand_in:
        for stage in STAGES:
            shutil.copy(
                Path(__file__).parent / "stand_in.py",
                path / "src" / (stages.STAGES[stage].module.replace(".", "/") + ".py"),
            )
        (path / "src/trilift/project/devices.py").write_text("def choose(name):\n    return None\n")
        replace(path / "workflow/rules/common.smk", "    if known:\n", "    if False:\n")  # captures hold nothing
    project = Project(path)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "Test")
    project.commit()
    return project


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Project]:
    """Gives a function that makes a project once, for all processes that share the tests."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def make(name: str, fill: Callable[[Path], object]) -> Project:
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                fill(shared / f"{name}.part")
                (shared / f"{name}.part").rename(shared / name)
        return Project(shared / name)

    return make


@pytest.fixture(scope="session")
def fresh(once) -> Project:
    """A fresh project with stand-ins for its stages; copy it, do not run in it."""
    return once("fresh", lambda path: make_project(path, stand_in=True))


@pytest.fixture(scope="session")
def finished(fresh, once) -> Project:
    """The same after snakemake has run in it, its dvc.lock in git; copy it, do not run in it."""
    return once("finished", lambda path: finish(fresh.copy(path)))


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A copy of the finished project to do things with."""
    return finished.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def real_fresh(once) -> Project:
    """A fresh project with the real stages; copy it, do not run in it."""
    return once("real_fresh", make_project)


@pytest.fixture(scope="session")
def real_finished(real_fresh, once) -> Project:
    """The same after snakemake has run in it, its dvc.lock in git; copy it, do not run in it."""
    return once("real_finished", lambda path: finish(real_fresh.copy(path)))


def finish(project: Project) -> Project:
    project.snakemake()
    project.commit()
    return project

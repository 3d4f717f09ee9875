"""`make repro-check`: a fresh clone makes what dvc.lock says, or the check says what differs."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

import repro_check

CHECK = (sys.executable, "workflow/repro_check.py")


def change_hash(project: Path, stage: str) -> str:
    """Have dvc.lock name another hash for the first file that a stage makes; gives its path."""
    content = yaml.safe_load((project / "dvc.lock").read_text())
    output = content["stages"][stage]["outs"][0]
    output["md5"] = "0" * 32
    (project / "dvc.lock").write_text(yaml.safe_dump(content))
    return output["path"]


def forget(project: Path, stage: str) -> int:
    """Take a stage out of dvc.lock; gives how many files it makes."""
    content = yaml.safe_load((project / "dvc.lock").read_text())
    outs = content["stages"].pop(stage)["outs"]
    (project / "dvc.lock").write_text(yaml.safe_dump(content))
    return len(outs)


@pytest.mark.engines
def test_a_clone_makes_the_same_bits_and_what_differs_is_named(project, tmp_path, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    said = project.run(*CHECK, "--keep").stdout
    assert [line.split()[3] for line in said.splitlines() if re.match(r"\d of 7: ", line)] == [
        *("simulate", "ingest", "triangulate", "train", "evaluate", "plot", "all")
    ]
    assert f"{len(project.hashes())} equal, 0 different, 0 missing" in said
    assert project.changed() == set()
    (clone,) = (tmp_path / "work").glob("trilift-repro-*/clone")
    changed = change_hash(clone, "train@demo")
    (clone / "results/demo/main/table.md").unlink()
    lost = 1 + forget(clone, "plot@demo")
    assert repro_check._compare(repro_check._recorded(clone), clone) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines if line.startswith("different")] == [changed]
    assert f"{len(project.hashes()) - 1 - lost} equal, 1 different, {lost} missing" in lines


def test_without_a_committed_dvc_lock_there_is_nothing_to_compare_with(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    (project.path / "dvc.lock").write_text("schema: '2.0'\n")  # not committed
    result = project.run(*CHECK, check=False)
    assert result.returncode == 2
    assert result.stdout.splitlines() == [
        "repro-check: git has no dvc.lock, so there is nothing to compare with. "
        "Run snakemake, then commit dvc.lock with git"
    ]


def test_outside_of_git_the_check_says_so(fresh, tmp_path):
    project = fresh.copy(tmp_path / "project")
    shutil.rmtree(project.path / ".git")
    result = project.run(*CHECK, check=False)
    assert result.returncode == 2
    assert "no git commit" in result.stdout


@pytest.fixture
def with_raw_data(fresh, tmp_path):
    """A project with raw data of its own, tracked by DVC, in the cache and in a remote."""
    project = fresh.copy(tmp_path / "project")
    folder = project.path / "data/raw/mine"
    folder.mkdir(parents=True)
    (folder / "pose.json").write_text("{}")
    project.set("datasets", ["mine"])
    project.run("dvc", "add", "data/raw/mine")
    project.run("dvc", "remote", "add", "-d", "--local", "storage", str(tmp_path / "storage"))
    project.run("dvc", "push")
    project.commit()
    return project


@pytest.mark.engines
def test_raw_data_come_from_the_cache_or_the_remote(with_raw_data, tmp_path, monkeypatch):
    project = with_raw_data
    monkeypatch.chdir(project.path)
    for name in ("from_cache", "from_remote"):
        clone = project.clone(tmp_path / name).path
        repro_check._bring_raw_data(clone)
        assert (clone / "data/raw/mine/pose.json").read_text() == "{}"
        shutil.rmtree(project.path / ".dvc/cache")
    project.run("git", "rm", "-q", "--cached", "data/raw/mine.dvc")
    project.run("git", "commit", "-qm", "untracked")
    with pytest.raises(repro_check.CannotCheck, match="track it with `dvc add data/raw/mine`"):
        repro_check._bring_raw_data(project.clone(tmp_path / "untracked").path)

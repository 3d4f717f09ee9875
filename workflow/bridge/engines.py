"""What the bridge asks of DVC and of Snakemake."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bridge.memory import LOCK, Stage, say

DVC_IS_BUSY = "DVC works here on the same files, run again when it has ended"
OFF = "TRILIFT_BRIDGE_OFF"  # set for the bridge's own calls of snakemake, which must not call the bridge


def is_own_call() -> bool:
    """Whether the bridge has started this snakemake, to take files over or to see what is to be done."""
    return OFF in os.environ


@cache
def is_on() -> bool:
    """Whether there is a DVC project here and nobody above us takes care of it; says so once if not."""
    if is_own_call() or "DVC_STAGE" in os.environ:
        return False
    reasons = {
        "DVC is not installed": find_spec("dvc") is None,
        "there is no .dvc folder": not Path(".dvc").is_dir(),
        "this is no git repository": not _in_git(),
    }
    for reason, holds in reasons.items():
        if holds:
            say(f"off ({reason}): snakemake runs alone, results are not versioned")
            return False
    return True


def _in_git() -> bool:
    return any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))


@contextmanager
def repository() -> Iterator[Any]:
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # no progress bars between the lines of Snakemake
    with Repo() as repo:
        yield repo


def stages_of_dvc() -> dict[str, Stage]:
    import networkx
    from dvc.exceptions import DvcException

    with repository() as repo:
        try:
            graph = repo.index.graph
        except DvcException as error:
            if str(LOCK) not in str(error):
                raise RuntimeError(f"dvc.yaml, with the settings of params.yaml: {error}") from None
            restore = f"restore it with `git checkout HEAD -- {LOCK}` and run again"
            raise RuntimeError(f"{LOCK} cannot be read, it is cut off or holds a merge conflict: {restore}") from None
        return {
            stage.addressing: Stage(
                frozenset(os.path.relpath(dependency.fs_path) for dependency in stage.deps if dependency.fs_path),
                frozenset(os.path.relpath(output.fs_path) for output in stage.outs),
                frozenset(ancestor.addressing for ancestor in networkx.descendants(graph, stage)),
            )
            for stage in repo.index.stages
            if stage.cmd
        }


def status_of_dvc(*targets: str) -> dict[str, list[Any]]:
    """Give the stages and ``.dvc`` files that DVC finds changed, and what is changed."""
    from dvc.exceptions import DvcException

    try:
        with repository() as repo:
            return repo.status(targets=list(targets) or None)
    except DvcException as error:
        busy = "blocked by" in str(error) or "acquire lock" in str(error)
        reason = DVC_IS_BUSY if busy else "snakemake cannot know what is up to date: dvc status failed"
        raise RuntimeError(f"{reason}: {error}") from None


def tracked_raw_data() -> list[str]:
    """List the ``.dvc`` files of raw data, and of videos, which lie a folder deeper."""
    return sorted(str(file) for pattern in ("*.dvc", "*/*.dvc") for file in Path("data/raw").glob(pattern))


def changed_raw_data() -> list[str]:
    """List raw data that its owner tracks with ``dvc add`` and that is not what was added."""
    tracked = tracked_raw_data()
    if not is_on() or not tracked:
        return []
    status = status_of_dvc(*tracked)
    return [file.removesuffix(".dvc") for file in tracked if file in status]


def is_nothing_to_do(outputs: set[str]) -> bool:
    result = _run("snakemake", "-n", "--cores", "1", "--", *sorted(outputs))
    return result.returncode == 0 and "Nothing to be done" in result.stdout + result.stderr


def certify(outputs: set[str]) -> None:
    result = _run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all", "--", *sorted(outputs))
    if result.returncode:
        raise RuntimeError(f"taking over from dvc.lock failed: {(result.stderr or result.stdout).strip()[-500:]}")


def mark_stale(outputs: set[str]) -> None:
    """Make Snakemake forget files and take them for older than all their inputs."""
    existing = sorted(output for output in outputs if Path(output).exists())
    if existing:
        _run("snakemake", "--nolock", "--cleanup-metadata", *existing)
        for output in existing:
            os.utime(output, (1, 1))


def replaced_since(outputs: set[str]) -> set[str]:
    """Give the files that are no longer those that a job of Snakemake wrote, such as after ``dvc checkout``."""
    from snakemake.io import _IOFile
    from snakemake.persistence.file import FilePersistence

    made = FilePersistence()
    records = {path: made.metadata(_IOFile(path, None)) for path in outputs if Path(path).exists()}
    return {path for path, record in records.items() if record and record.endtime != os.stat(path).st_mtime}


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], text=True, capture_output=True, env={**os.environ, OFF: "1"}
    )

"""Keeps the two engines' ideas of what is up to date equal.

Snakemake remembers in ``.snakemake`` what made each file, DVC in ``dvc.lock``. After ``dvc pull`` or ``dvc repro``
Snakemake has no memory of the files; after a run of Snakemake DVC has none. Two steps mend that:

`adopt` (DVC to Snakemake), when Snakemake starts and ``dvc.lock`` is not the one last seen: outputs of stages that
DVC finds clean, together with all their ancestors, are certified by ``snakemake --touch``; those of the others are
marked to be made again.

`commit` (Snakemake to DVC), at the end of a run: ``dvc commit`` of the stages whose outputs are made. Never of raw
data: a damaged recording must not become the new truth by itself, so `refuse_changed_raw_data` stops the run.

Without git, ``.dvc`` or DVC itself the bridge is off, and Snakemake runs alone.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
MEMORY = Path(".snakemake/trilift_bridge.json")
_OFF = "TRILIFT_BRIDGE_OFF"  # set for the bridge's own calls of snakemake, which must not call the bridge


def say(message: str) -> None:
    print(f"[dvc] {message}", file=sys.stderr)


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, its matrix resolved."""

    outputs: frozenset[str]
    ancestors: frozenset[str]


class Memory:
    """What the bridge saw last: the hash of dvc.lock, and the stages that are not certified yet."""

    def __init__(self) -> None:
        try:
            content = json.loads(MEMORY.read_text())
            self.lock, self.uncertified = content["lock"], set(content["uncertified"])
        except (OSError, ValueError, KeyError, TypeError):
            self.lock, self.uncertified = None, set()

    @staticmethod
    def write(uncertified: set[str]) -> None:
        MEMORY.parent.mkdir(exist_ok=True)
        MEMORY.write_text(json.dumps({"lock": _hash_of_lock(), "uncertified": sorted(uncertified)}))


def _hash_of_lock() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.exists() else ""


@cache
def is_on() -> bool:
    """Whether there is a DVC project here and nobody above us takes care of it; says so once if not."""
    if _OFF in os.environ or "DVC_STAGE" in os.environ:
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


def adopt() -> None:
    """Take over from DVC what is up to date. Called when the main process has read the rules' settings."""
    if "DVC_STAGE" in os.environ:
        MEMORY.unlink(missing_ok=True)  # DVC is running things: look again next time
        _tell_of_uncommitted_raw_data()
    if not is_on() or not LOCK.exists():
        return
    memory = Memory()
    same_lock = memory.lock == _hash_of_lock()
    interrupted = _holds_files(Path(".snakemake/incomplete"))
    if same_lock and not memory.uncertified and not interrupted:
        return
    if _holds_files(Path(".snakemake/locks")):
        say("another snakemake runs here, or one was killed (then: snakemake --unlock); nothing adopted")
        return
    stages = _stages()
    status = _status()
    if status is None:
        return
    dirty = set(stages) & status
    clean = {name for name, stage in stages.items() if not ({name} | stage.ancestors) & status}
    if same_lock and not interrupted:
        clean &= memory.uncertified  # with the lock unchanged, only ever upgrade
    if clean and not _certify({output for name in clean for output in stages[name].outputs}):
        return
    if not same_lock:
        _mark_stale({output for name in dirty for output in stages[name].outputs if Path(output).exists()})
    if clean or not same_lock:
        stale = f"; to be made: {', '.join(sorted(dirty))}" if dirty else ""
        say(f"{len(clean)} of {len(stages)} stages taken over from dvc.lock{stale}")
    Memory.write((memory.uncertified if same_lock else set(stages)) - clean)


def start() -> None:
    """Note that results are not committed yet: until `commit` says otherwise, ask DVC again at the next start."""
    if is_on() and LOCK.exists():
        Memory.write(set(_stages()))


def commit(workflow: Any, inputs_at_start: str) -> None:
    """Record in dvc.lock what this run of Snakemake made."""
    if not is_on():
        return
    if hash_of_inputs() != inputs_at_start:
        say("params.yaml, a data set's file or src/ changed during the run: not committed; run snakemake again")
        return
    dag = workflow.dag
    made = {str(file) for job in dag.jobs if dag.finished(job) or not dag.needrun(job) for file in job.output}
    stages = _stages()
    complete = {name for name, stage in stages.items() if stage.outputs <= made}
    if not complete:
        return
    result = _run("dvc", "commit", "--force", "--quiet", *sorted(complete))
    if result.returncode:
        say(f"dvc commit failed, dvc.lock is not up to date: {result.stderr.strip()[-500:]}")
        return
    say(f"dvc.lock is up to date with {len(complete)} of {len(stages)} stages")
    Memory.write(Memory().uncertified - complete)


def changed_raw_data() -> list[str]:
    """List raw data that its owner tracks with ``dvc add`` and that is not what was added."""
    tracked = sorted(str(file) for file in Path("data/raw").glob("*.dvc"))
    if not is_on() or not tracked:
        return []
    status = _status(*tracked)
    return [file.removesuffix(".dvc") for file in tracked if file in (status or ())]


def refuse_changed_raw_data() -> None:
    """Stop a run on tracked raw data that changed since ``dvc add``.

    Raises
    ------
    RuntimeError
        Naming the data and how to accept or undo the change.
    """
    changed = changed_raw_data()
    if changed:
        paths = " ".join(changed)
        raise RuntimeError(
            f"raw data changed since `dvc add`: {paths}. If it is meant to, accept it with `dvc add {paths}`; "
            f"if not, restore it with `dvc checkout {paths}`. Then run again."
        )


def _tell_of_uncommitted_raw_data() -> None:
    """Say which raw data are new: `dvc repro` accepts changed data by itself and only then runs the stages."""
    for file in sorted(Path("data/raw").glob("*.dvc")):
        if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", str(file)], capture_output=True).returncode:
            say(f"{file} is not what git has committed: the raw data changed, and dvc has accepted them")


def hash_of_inputs() -> str:
    """Hash settings and code, to see whether somebody edits them during a run."""
    files = [
        Path("params.yaml"),
        *sorted(Path("workflow/datasets").glob("*.yaml")),
        *sorted(Path("src").rglob("*.py")),
    ]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _stages() -> dict[str, Stage]:
    import networkx
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        return {
            stage.addressing: Stage(
                frozenset(os.path.relpath(output.fs_path) for output in stage.outs),
                frozenset(ancestor.addressing for ancestor in networkx.descendants(graph, stage)),
            )
            for stage in repo.index.stages
            if stage.cmd
        }


def _status(*targets: str) -> set[str] | None:
    """Names of the stages and ``.dvc`` files that DVC finds changed; None if it cannot tell."""
    result = _run("dvc", "status", "--json", *targets)
    if result.returncode:
        say(f"dvc status failed, nothing adopted: {result.stderr.strip()[-500:]}")
        return None
    return set(json.loads(result.stdout or "{}"))


def _certify(outputs: set[str]) -> bool:
    result = _run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all", "--", *sorted(outputs))
    if result.returncode:
        say(f"taking over from dvc.lock failed: {(result.stderr or result.stdout).strip()[-500:]}")
    return result.returncode == 0


def _mark_stale(outputs: set[str]) -> None:
    """Make Snakemake forget files and take them for older than all their inputs."""
    if outputs:
        _run("snakemake", "--cleanup-metadata", *sorted(outputs))
        for output in outputs:
            os.utime(output, (1, 1))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], text=True, capture_output=True, env={**os.environ, _OFF: "1"}
    )


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())

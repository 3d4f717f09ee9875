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

import yaml

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
    """What the bridge knows from before.

    Attributes
    ----------
    lock
        Hash of dvc.lock when last looked at.
    uncertified
        Stages that were not up to date then: to look at again.
    pending
        Stages that a run of Snakemake has begun and not committed, because it still runs or was killed.
    inputs
        `hash_of_inputs` when that run began.
    """

    def __init__(self) -> None:
        try:
            content = json.loads(MEMORY.read_text())
            self.lock, self.inputs = content["lock"], content["inputs"]
            self.uncertified, self.pending = set(content["uncertified"]), set(content["pending"])
        except (OSError, ValueError, KeyError, TypeError):
            self.lock, self.inputs = None, ""
            self.uncertified, self.pending = set(), set()

    def write(self) -> None:
        MEMORY.parent.mkdir(exist_ok=True)
        content = {
            "lock": _hash_of_lock(),
            "inputs": self.inputs,
            "uncertified": sorted(self.uncertified),
            "pending": sorted(self.pending),
        }
        temporary = MEMORY.with_suffix(".part")
        temporary.write_text(json.dumps(content))
        temporary.replace(MEMORY)


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
    """Take over from DVC what is up to date. Called when the main process reads the rules.

    Raises
    ------
    RuntimeError
        If that is needed and DVC cannot tell: without it Snakemake would run, or leave out, the wrong steps.
    """
    if "DVC_STAGE" in os.environ:
        MEMORY.unlink(missing_ok=True)  # DVC is running things: look again next time
        _tell_of_uncommitted_raw_data()
    if not is_on():
        return
    memory = Memory()
    same_lock = memory.lock == _hash_of_lock()
    interrupted = _holds_files(Path(".snakemake/incomplete"))
    if not memory.pending and (not LOCK.exists() or (same_lock and not memory.uncertified and not interrupted)):
        return
    if _holds_files(Path(".snakemake/locks")):
        say("another snakemake runs here, or one was killed (then: snakemake --unlock); nothing adopted")
        return
    stages = _stages()
    if same_lock:
        _finish_cut_off_run(memory, stages)
    if LOCK.exists():
        _adopt_from_lock(memory, stages, same_lock=memory.lock == _hash_of_lock(), interrupted=interrupted)


def _finish_cut_off_run(memory: Memory, stages: dict[str, Stage]) -> None:
    """Commit what a run made that was killed before its end, or forget it if settings or code changed since."""
    pending = memory.pending & set(stages)
    if not pending:
        return
    outputs = {output for name in pending for output in stages[name].outputs}
    if memory.inputs != hash_of_inputs():
        _mark_stale(outputs)
        memory.pending.clear()
    elif _nothing_to_do(outputs):
        _commit(pending, stages, memory)
    else:
        return  # the run that starts now goes on with them, and commits them
    memory.lock = _hash_of_lock()
    memory.write()


def _adopt_from_lock(memory: Memory, stages: dict[str, Stage], same_lock: bool, interrupted: bool) -> None:
    if same_lock and not memory.uncertified and not interrupted:
        return
    status = _status()
    clean = {name for name, stage in stages.items() if not ({name} | stage.ancestors) & status}
    certified = clean & memory.uncertified if same_lock and not interrupted else clean  # only ever upgrade
    if certified:
        _certify({output for name in certified for output in stages[name].outputs})
    if not same_lock:
        _mark_stale({output for name in set(stages) - clean for output in stages[name].outputs})
        memory.uncertified, memory.pending = set(stages), set()
    if certified or not same_lock:
        dirty = sorted(set(stages) & status)
        stale = f"; to be made: {', '.join(dirty)}" if dirty else ""
        say(f"{len(certified)} of {len(stages)} stages taken over from dvc.lock{stale}")
    memory.uncertified -= certified
    memory.write()


def start(workflow: Any, inputs_at_start: str) -> None:
    """Note which stages are about to be made: until `commit` says otherwise, their results are not committed."""
    if not is_on():
        return
    memory = Memory()
    to_make = {str(file) for job in workflow.dag.jobs if workflow.dag.needrun(job) for file in job.output}
    memory.pending |= {name for name, stage in _stages().items() if stage.outputs & to_make}
    memory.inputs = inputs_at_start
    memory.write()


def commit(workflow: Any, inputs_at_start: str) -> None:
    """Record in dvc.lock what this run of Snakemake made, or an earlier one that was cut off; nothing else."""
    if not is_on():
        return
    dag, memory, stages = workflow.dag, Memory(), _stages()
    finished = {str(file) for job in dag.jobs if dag.finished(job) for file in job.output}
    up_to_date = finished | {str(file) for job in dag.jobs if not dag.needrun(job) for file in job.output}
    complete = {name for name in memory.pending & set(stages) if stages[name].outputs <= up_to_date}
    if hash_of_inputs() != inputs_at_start:
        _mark_stale({output for name in complete for output in stages[name].outputs})
        say("settings, code or rules were edited during the run: what it made is not committed, but made again")
        return
    changed = {path.removesuffix(".dvc") for path in changed_raw_data()}
    if changed:
        first = {f"ingest@{Path(path).name}" for path in changed}
        tainted = {name for name in complete if ({name} | stages[name].ancestors) & first}
        _mark_stale({output for name in tainted for output in stages[name].outputs})
        say(f"raw data changed during the run: {' '.join(sorted(changed))}; what was made of them is not committed")
        complete -= tainted
    if complete:
        _commit(complete, stages, memory)


def _commit(names: set[str], stages: dict[str, Stage], memory: Memory) -> None:
    result = _run("dvc", "commit", "--force", "--quiet", *sorted(names))
    if result.returncode:
        say(f"dvc commit failed, tried again at the next start: {result.stderr.strip()[-500:]}")
        return
    say(f"{len(names)} of {len(stages)} stages recorded in dvc.lock")
    memory.pending -= names
    memory.uncertified -= names
    memory.write()


def changed_raw_data() -> list[str]:
    """List raw data that its owner tracks with ``dvc add`` and that is not what was added."""
    tracked = sorted(str(file) for file in Path("data/raw").glob("*.dvc"))
    if not is_on() or not tracked:
        return []
    status = _status(*tracked)
    return [file.removesuffix(".dvc") for file in tracked if file in status]


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
            f"if not, restore it with `dvc checkout --force {paths}`. Then run again."
        )


def _tell_of_uncommitted_raw_data() -> None:
    """Say which raw data are new: `dvc repro` accepts changed data by itself and only then runs the stages."""
    for file in sorted(Path("data/raw").glob("*.dvc")):
        if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", str(file)], capture_output=True).returncode:
            say(f"{file} is not what git has committed: the raw data changed, and dvc has accepted them")


def hash_of_inputs() -> str:
    """Hash settings, code and rules, to see whether somebody edits them during a run.

    Files of data sets that `datasets` in params.yaml does not list do not count: DVC does not have these, and a new
    one may be written while others run.
    """
    folders = ("src", "workflow")
    files = [file for folder in folders for file in Path(folder).rglob("*") if "__pycache__" not in file.parts]
    listed = _listed_data_sets()
    if listed is not None:
        files = [file for file in files if file.parent != Path("workflow/datasets") or file.stem in listed]
    digest = hashlib.sha256()
    for file in (Path("params.yaml"), Path("dvc.yaml"), *sorted(files)):
        if file.is_file():
            digest.update(f"{file.as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _listed_data_sets() -> set[str] | None:
    """Give the names in params.yaml, None if it cannot be read."""
    try:
        return set(yaml.safe_load(Path("params.yaml").read_text("utf-8"))["datasets"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return None


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


def _status(*targets: str) -> set[str]:
    """Names of the stages and ``.dvc`` files that DVC finds changed."""
    result = _run("dvc", "status", "--json", *targets)
    if result.returncode:
        raise RuntimeError(
            f"dvc status failed: {result.stderr.strip()[-500:]}\nWithout it snakemake cannot know what is "
            "up to date. If another dvc command runs, try again when it has ended."
        )
    return set(json.loads(result.stdout or "{}"))


def _nothing_to_do(outputs: set[str]) -> bool:
    result = _run("snakemake", "-n", "--cores", "1", "--", *sorted(outputs))
    return result.returncode == 0 and "Nothing to be done" in result.stdout + result.stderr


def _certify(outputs: set[str]) -> None:
    result = _run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all", "--", *sorted(outputs))
    if result.returncode:
        raise RuntimeError(f"taking over from dvc.lock failed: {(result.stderr or result.stdout).strip()[-500:]}")


def _mark_stale(outputs: set[str]) -> None:
    """Make Snakemake forget files and take them for older than all their inputs."""
    existing = sorted(output for output in outputs if Path(output).exists())
    if existing:
        _run("snakemake", "--nolock", "--cleanup-metadata", *existing)
        for output in existing:
            os.utime(output, (1, 1))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], text=True, capture_output=True, env={**os.environ, _OFF: "1"}
    )


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())

"""Keeps the two engines' ideas of what is up to date equal.

Snakemake remembers in ``.snakemake`` what made each file, DVC in ``dvc.lock``. After ``dvc pull`` or ``dvc repro``
Snakemake has no memory of the files; after a run of Snakemake DVC has none. Two steps mend that:

`adopt` (DVC to Snakemake), when Snakemake starts and ``dvc.lock`` is not the one last seen: outputs of stages that
DVC finds clean, together with all their ancestors, are certified by ``snakemake --touch``; those of the others are
marked to be made again.

`Run` (Snakemake to DVC), while a run goes on and at its end: ``dvc commit`` of the stages whose outputs are made.
Never of raw data, nor of what is made of outputs that are not those recorded: damage must not become the new truth by
itself, so such a run is refused. What it reads and writes is entered into DVC's own lock, so that the two never work
on the same files at once.

Without git, ``.dvc`` or DVC itself the bridge is off, and Snakemake runs alone. What a killed run leaves locked is
unlocked by `unlock_after_kill` in any case.
"""

import fcntl
import hashlib
import json
import logging
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import yaml

from trilift.errors import InputError
from trilift.project import yaml_text
from trilift.project.params import read_yaml

LOCK = Path("dvc.lock")
MEMORY = Path(".snakemake/trilift_bridge.json")
# Of a run that goes on: after a kill, DVC lacks at most what was made since the last commit.
SECONDS_BETWEEN_COMMITS = 60
_LOCK_BEFORE = Path(".snakemake/trilift_dvc.lock")  # dvc.lock as it was before a commit that has not ended
_ALIVE = Path(".snakemake/trilift_alive")  # locked by every living snakemake
_LOCKS_OF_SNAKEMAKE = Path(".snakemake/locks")
_DVC_IS_BUSY = "DVC works here on the same files, run again when it has ended"
_OFF = "TRILIFT_BRIDGE_OFF"  # set for the bridge's own calls of snakemake, which must not call the bridge


def say(message: str) -> None:
    print(f"[dvc] {message}", file=sys.stderr)


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, its matrix resolved."""

    inputs: frozenset[str]
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
        `hashes_of_inputs` when that run began.
    """

    def __init__(self) -> None:
        try:
            content = json.loads(MEMORY.read_text())
            self.lock, self.inputs = content["lock"], dict(content["inputs"])
            self.uncertified, self.pending = set(content["uncertified"]), set(content["pending"])
        except (OSError, ValueError, KeyError, TypeError):
            self.lock, self.inputs = None, {}
            self.uncertified, self.pending = set(), set()

    def forget_lock(self, stages: dict[str, Stage]) -> None:
        """Take all stages for not committed: dvc.lock was deleted."""
        self.pending, self.uncertified, self.inputs = set(stages), set(), hashes_of_inputs()
        self.write()
        self.lock = ""

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


def is_own_call() -> bool:
    """Whether the bridge has started this snakemake, to take files over or to see what is to be done."""
    return _OFF in os.environ


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


def unlock_after_kill() -> None:
    """Remove Snakemake's locks if the run that made them is dead. Called when the main process reads the rules.

    The operating system tells: every living snakemake holds a shared lock on one file, and who gets it for itself is
    alone. On a shared file system that does not tell between machines, so a run of another one is left to its owner.
    """
    if is_own_call():
        return
    _ALIVE.parent.mkdir(exist_ok=True)
    alive = _ALIVE.open("a+")
    try:
        alone = _holds_files(_LOCKS_OF_SNAKEMAKE) and _lock_alone(alive)
        alive.seek(0)
        if alone and alive.read() in ("", socket.gethostname()):
            for lock in _LOCKS_OF_SNAKEMAKE.iterdir():
                lock.unlink()
            print("A snakemake that was killed had left this folder locked: unlocked", file=sys.stderr)
        fcntl.flock(alive, fcntl.LOCK_SH)
    except OSError:
        pass  # a file system without such locks: as without this function
    _kept_open.append(alive)


_kept_open: list[TextIO] = []


def _lock_alone(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    _undo_half_commit(memory)
    if memory.lock and not LOCK.exists():
        memory.forget_lock(_stages())
    same_lock = memory.lock == _hash_of_lock()
    interrupted = _holds_files(Path(".snakemake/incomplete"))
    if not memory.pending and (not LOCK.exists() or (same_lock and not memory.uncertified and not interrupted)):
        return
    if _holds_files(_LOCKS_OF_SNAKEMAKE):
        say("another snakemake runs here; nothing taken over from dvc.lock")
        return
    stages = _stages()
    if same_lock:
        _finish_cut_off_run(memory, stages)
    if LOCK.exists():
        _adopt_from_lock(memory, stages, same_lock=memory.lock == _hash_of_lock(), interrupted=interrupted)


def _commit(names: set[str], memory: Memory) -> None:
    """Do as ``dvc commit --force``, which would read and write the whole dvc.lock once for every stage."""
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    try:
        _undo_half_commit(memory)  # of a try that failed
        _keep_lock_before()
        with _repo() as repo, lock_repo(repo):
            named = {stage.addressing: stage for stage in repo.index.stages}
            stages = [named[name] for name in sorted(names)]
            for stage in stages:
                stage.save()
                stage.commit()
            stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
    except (DvcException, OSError) as error:
        say(f"dvc commit failed, tried again later: {error}")
        with suppress(OSError):  # a full disk: the next try begins with it
            _undo_half_commit(memory)
        return
    say(f"{len(names)} stage{'s' * (len(names) > 1)} recorded in dvc.lock")
    memory.pending -= names
    memory.uncertified -= names
    memory.write()
    _LOCK_BEFORE.unlink()


def _keep_lock_before() -> None:
    temporary = _LOCK_BEFORE.with_suffix(".part")
    temporary.write_bytes(LOCK.read_bytes() if LOCK.exists() else b"")
    temporary.replace(_LOCK_BEFORE)


def _undo_half_commit(memory: Memory) -> None:
    """Put dvc.lock back to before a commit that was cut off: else its other stages would count as not made.

    Only if it differs in what was being committed alone: git may have brought another dvc.lock since.
    """
    if not _LOCK_BEFORE.exists():
        return
    before = _LOCK_BEFORE.read_bytes()
    ours = _stages_in(LOCK.read_bytes() if LOCK.exists() else b"")
    if ours is None or not {name for name, _ in ours.items() ^ (_stages_in(before) or {}).items()} - memory.pending:
        LOCK.write_bytes(before) if before else LOCK.unlink(missing_ok=True)
    _LOCK_BEFORE.unlink()


def _stages_in(lock: bytes) -> dict[str, str] | None:
    """Give the entries of a dvc.lock, each as text; None if it is cut off."""
    try:
        content = yaml_text.load(lock.decode()) or {}
        return {name: json.dumps(entry, sort_keys=True) for name, entry in content.get("stages", {}).items()}
    except (yaml.YAMLError, ValueError, AttributeError):
        return None


def _finish_cut_off_run(memory: Memory, stages: dict[str, Stage]) -> None:
    """Commit what a run made that was killed before its end, or forget it if settings or code changed since."""
    pending = memory.pending & set(stages)
    if not pending:
        return
    outputs = {output for name in pending for output in stages[name].outputs}
    if memory.inputs != hashes_of_inputs():
        _mark_stale(outputs)
        memory.pending.clear()
    elif _nothing_to_do(outputs):
        _commit(pending, memory)
    else:
        return  # the run that starts now goes on with them, and commits them
    memory.lock = _hash_of_lock()
    memory.write()


def _adopt_from_lock(memory: Memory, stages: dict[str, Stage], same_lock: bool, interrupted: bool) -> None:
    if same_lock and not memory.uncertified and not interrupted:
        return
    status = _status().keys()
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


class Run:
    """A run of Snakemake, from when it reads the rules.

    Parameters
    ----------
    workflow
        Snakemake's.
    """

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._inputs = hashes_of_inputs()
        self._stages: dict[str, Stage] = {}
        self._lock_of_dvc = ExitStack()
        self._ended = threading.Event()
        self._commits = threading.Thread(target=self._commit_now_and_then, daemon=True)

    def start(self) -> None:
        """Note which stages are about to be made: until they are committed, DVC does not have their results.

        Raises
        ------
        RuntimeError
            If DVC works on the same files, or what is to be read is not what dvc.lock says.
        """
        _ALIVE.write_text(socket.gethostname())
        if not is_on():
            return
        self._stages = _stages()
        dag, memory = self._workflow.dag, Memory()
        to_make = {str(file) for job in dag.jobs if dag.needrun(job) for file in job.output}
        memory.pending |= {name for name, stage in self._stages.items() if stage.outputs & to_make}
        memory.inputs = self._inputs
        self._refuse_changed_outputs(memory)
        self._keep_dvc_away(memory)
        memory.write()
        self._commits.start()

    def end(self) -> None:
        """Record in dvc.lock what this run made, or an earlier one that was cut off; nothing else."""
        if not is_on():
            return
        self._ended.set()
        if self._commits.is_alive():
            self._commits.join()
        self._lock_of_dvc.close()
        memory = Memory()
        complete = self._complete(memory)
        edited = {path for path, _ in hashes_of_inputs().items() ^ self._inputs.items()}
        if edited:
            _mark_stale({output for name in complete for output in self._stages[name].outputs})
            say(f"edited during the run: {' '.join(sorted(edited))}; what it made is not committed, but made again")
            return
        changed = {path.removesuffix(".dvc") for path in changed_raw_data()}
        if changed:
            tainted = self._made_of(changed, complete)
            _mark_stale({output for name in tainted for output in self._stages[name].outputs})
            names = " ".join(sorted(changed))
            say(f"raw data changed during the run: {names}; what is made of them is not committed")
            complete -= tainted
        if complete:
            _commit(complete, memory)

    def _commit_now_and_then(self) -> None:
        """Commit what is made so far, so that little is lost to DVC if the run is killed.

        A commit rewrites the whole dvc.lock; with many stages that takes longer, and is done less often.
        """
        took = 0.0
        while not self._ended.wait(max(SECONDS_BETWEEN_COMMITS, 10 * took)):
            begun = time.monotonic()
            try:
                memory = Memory()
                complete = self._complete(memory)
                if complete and hashes_of_inputs() == self._inputs and not changed_raw_data():
                    self._lock_of_dvc.close()
                    try:
                        _commit(complete, memory)
                    finally:
                        self._keep_dvc_away(memory)
            except (
                Exception
            ) as error:  # such as Snakemake changing what is looked at: the run goes on, and so does this
                say(f"not recorded now, tried again later: {error}")
            took = time.monotonic() - begun

    def _complete(self, memory: Memory) -> set[str]:
        """Names of the stages that are to be committed and whose outputs are all made."""
        dag = self._workflow.dag
        up_to_date = {str(file) for job in dag.jobs if dag.finished(job) for file in job.output}
        up_to_date |= {str(file) for job in dag.jobs if not dag.needrun(job) for file in job.output}
        return {name for name in memory.pending & set(self._stages) if self._stages[name].outputs <= up_to_date}

    def _made_of(self, raw_data: set[str], names: set[str]) -> set[str]:
        first = {f"ingest@{Path(path).name}" for path in raw_data}
        return {name for name in names if ({name} | self._stages[name].ancestors) & first}

    def _refuse_changed_outputs(self, memory: Memory) -> None:
        """Stop before something is made of files that are neither what was recorded nor made anew."""
        to_read = {path for name in memory.pending & set(self._stages) for path in self._stages[name].inputs}
        makers = {name for name, stage in self._stages.items() if stage.outputs & to_read} - memory.pending
        changed = {
            path: name
            for name, changes in (_status(*sorted(makers)) if makers else {}).items()
            for change in changes
            if isinstance(change, dict)
            for path, what in change.get("changed outs", {}).items()
            if what == "modified" and path in to_read
        }
        if changed:
            paths, names = shlex.join(sorted(changed)), shlex.join(sorted(set(changed.values())))
            raise RuntimeError(
                f"not what {LOCK} says, so damaged or edited: {paths}. Restore with `dvc checkout --force {paths}`, "
                f"or remove, and it is made again. If it is meant: `dvc commit --force {names}`. Then run again."
            )

    def _keep_dvc_away(self, memory: Memory) -> None:
        """Enter into DVC's lock what is read and written from now on, as DVC itself does for its stages."""
        from dvc.exceptions import DvcException
        from dvc.rwlock import rwlock

        to_make = [self._stages[name] for name in memory.pending & set(self._stages)]
        written = {output for stage in to_make for output in stage.outputs}
        read = {path for stage in to_make for path in stage.inputs if not path.startswith("src/")} - written
        with _repo() as repo:
            lock = rwlock(
                repo.tmp_dir,
                repo.fs,
                "snakemake",
                [os.path.abspath(path) for path in sorted(read)],
                [os.path.abspath(path) for path in sorted(written)],
                repo.config["core"].get("hardlink_lock", False),
            )
        try:
            self._lock_of_dvc.enter_context(lock)
        except DvcException as error:
            raise RuntimeError(f"{_DVC_IS_BUSY}: {error}") from None


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
        paths = shlex.join(changed)
        raise RuntimeError(
            f"raw data changed since `dvc add`: {paths}. If it is meant to, accept it with `dvc add {paths}`; "
            f"if not, restore it with `dvc checkout --force {paths}`. Then run again."
        )


def _tell_of_uncommitted_raw_data() -> None:
    """Say which raw data are new: `dvc repro` accepts changed data by itself and only then runs the stages."""
    for file in sorted(Path("data/raw").glob("*.dvc")):
        if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", str(file)], capture_output=True).returncode:
            say(f"{file} is not what git has committed: the raw data changed, and dvc has accepted them")


def hashes_of_inputs() -> dict[str, str]:
    """Hash settings, code and rules by their paths, to see whether somebody edits them during a run.

    Files of data sets that `datasets` in params.yaml does not list do not count: DVC does not have these, and a new
    one may be written while others run.
    """
    folders = ("src", "workflow")
    files = [file for folder in folders for file in Path(folder).rglob("*") if "__pycache__" not in file.parts]
    listed = _listed_data_sets()
    if listed is not None:
        files = [file for file in files if file.parent != Path("workflow/datasets") or file.stem in listed]
    every = (Path("params.yaml"), Path("dvc.yaml"), *sorted(files))
    return {file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in every if file.is_file()}


def _listed_data_sets() -> set[str] | None:
    """Give the names in params.yaml, None if it cannot be read."""
    try:
        return set(read_yaml(Path("params.yaml"))["datasets"])
    except (InputError, TypeError, KeyError):
        return None


@contextmanager
def _repo() -> Iterator[Any]:
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # no progress bars between the lines of Snakemake
    with Repo() as repo:
        yield repo


def _stages() -> dict[str, Stage]:
    import networkx
    from dvc.exceptions import DvcException

    with _repo() as repo:
        try:
            graph = repo.index.graph
        except DvcException as error:
            if str(LOCK) not in str(error):
                raise
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


def _status(*targets: str) -> dict[str, list[Any]]:
    """Give the stages and ``.dvc`` files that DVC finds changed, and what is changed."""
    from dvc.exceptions import DvcException

    try:
        with _repo() as repo:
            return repo.status(targets=list(targets) or None)
    except DvcException as error:
        busy = "blocked by" in str(error) or "acquire lock" in str(error)
        reason = _DVC_IS_BUSY if busy else "snakemake cannot know what is up to date: dvc status failed"
        raise RuntimeError(f"{reason}: {error}") from None


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

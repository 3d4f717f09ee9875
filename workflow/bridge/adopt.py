"""From DVC to Snakemake: what is up to date."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bridge.commit import LOCK_BEFORE, commit, undo_half_commit
from bridge.engines import (
    certify,
    changed_raw_data,
    is_nothing_to_do,
    is_on,
    mark_stale,
    replaced_since,
    stages_of_dvc,
    status_of_dvc,
    tracked_raw_data,
)
from bridge.locks import LOCKS_OF_SNAKEMAKE
from bridge.memory import LOCK, MEMORY, Memory, Stage, hash_of_lock, hashes_of_inputs, holds_files, say


def adopt() -> None:
    """Take over from DVC what is up to date. Called when the main process reads the rules.

    Raises
    ------
    RuntimeError
        If that is needed and DVC cannot tell: without it Snakemake would run, or leave out, the wrong steps.
    """
    if "DVC_STAGE" in os.environ:
        if not is_left_by_cut_off_run():
            MEMORY.unlink(missing_ok=True)  # DVC is running things: look again next time
        LOCK_BEFORE.unlink(missing_ok=True)  # DVC can read dvc.lock, and writes it from now on
        _tell_of_uncommitted_raw_data()
    if not is_on():
        return
    memory = Memory()
    undo_half_commit(memory)
    if memory.lock and not LOCK.exists():
        memory.forget_lock(stages_of_dvc())
    same_lock = memory.lock == hash_of_lock()
    interrupted = holds_files(Path(".snakemake/incomplete"))
    if not memory.pending and (not LOCK.exists() or (same_lock and not memory.uncertified and not interrupted)):
        return
    if holds_files(LOCKS_OF_SNAKEMAKE):
        say("another snakemake runs here; nothing taken over from dvc.lock")
        return
    stages = stages_of_dvc()
    if same_lock:
        _finish_cut_off_run(memory, stages)
    if LOCK.exists():
        _adopt_from_lock(memory, stages, same_lock=memory.lock == hash_of_lock(), interrupted=interrupted)


def is_left_by_cut_off_run() -> bool:
    """Tell of the stage that DVC runs whether a run of Snakemake that was cut off had it to make, as it is now.

    Then Snakemake knows whether it is made, and DVC has to record it only: profiles/dvc does not force it.
    """
    memory = Memory()
    if os.environ.get("DVC_STAGE") not in memory.pending or memory.inputs != hashes_of_inputs():
        return False
    record = Path(sys.argv[-1])  # of what the stage made, by which dvc.yaml has it run
    try:
        made = {str(record), *json.loads(record.read_text("utf-8")).get("outputs", {})}
    except (OSError, ValueError):
        return False
    return all(Path(path).exists() for path in made) and not replaced_since(made)


def _finish_cut_off_run(memory: Memory, stages: dict[str, Stage]) -> None:
    """Commit what a run made that was killed before its end, or forget it if settings or code changed since."""
    pending = memory.pending & set(stages)
    if not pending:
        return
    outputs = {output for name in pending for output in stages[name].outputs}
    if memory.inputs != hashes_of_inputs():
        mark_stale(outputs)
        memory.pending.clear()
    else:
        mark_stale(replaced_since(outputs))
        if changed_raw_data() or not is_nothing_to_do(outputs):
            return  # a run goes on with them and commits them, once raw data are as they were
        commit(pending, memory)
    memory.lock = hash_of_lock()
    memory.write()


def _adopt_from_lock(memory: Memory, stages: dict[str, Stage], same_lock: bool, interrupted: bool) -> None:
    if same_lock and not memory.uncertified and not interrupted:
        return
    status = status_of_dvc().keys()
    clean = {name for name, stage in stages.items() if not ({name} | stage.ancestors) & status}
    certified = clean & memory.uncertified if same_lock and not interrupted else clean  # only ever upgrade
    if certified:
        certify({output for name in certified for output in stages[name].outputs})
    if not same_lock:
        mark_stale({output for name in set(stages) - clean for output in stages[name].outputs})
        memory.uncertified, memory.pending = set(stages), set()
    if certified:
        dirty = sorted(set(stages) & status)
        stale = f"; to be made: {', '.join(dirty)}" if dirty else ""
        say(f"{len(certified)} of {len(stages)} stages taken over from dvc.lock{stale}")
    memory.uncertified -= certified
    memory.write()


def _tell_of_uncommitted_raw_data() -> None:
    """Say which raw data are new: `dvc repro` accepts changed data by itself and only then runs the stages."""
    for file in tracked_raw_data():
        if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", file], capture_output=True).returncode:
            say(f"{file} is not what git has committed: the raw data changed, and dvc has accepted them")

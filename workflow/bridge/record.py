"""A run of Snakemake, recorded in dvc.lock when it ends."""

import os
import shlex
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bridge.commit import commit
from bridge.engines import DVC_IS_BUSY, changed_raw_data, is_on, mark_stale, repository, stages_of_dvc, status_of_dvc
from bridge.locks import ALIVE
from bridge.memory import LOCK, Memory, Stage, hashes_of_inputs, say


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

    def start(self) -> None:
        """Note which stages are about to be made: until they are committed, DVC does not have their results.

        Raises
        ------
        RuntimeError
            If DVC works on the same files, or what is to be read is not what dvc.lock says.
        """
        ALIVE.write_text(socket.gethostname())
        if not is_on():
            return
        self._stages = stages_of_dvc()
        dag, memory = self._workflow.dag, Memory()
        to_make = {str(file) for job in dag.jobs if dag.needrun(job) for file in job.output}
        memory.pending |= {name for name, stage in self._stages.items() if stage.outputs & to_make}
        memory.inputs = self._inputs
        self._refuse_changed_outputs(memory)
        self._keep_dvc_away(memory)
        memory.write()

    def end(self) -> None:
        """Record in dvc.lock what this run made, or an earlier one that was cut off; nothing else."""
        if not is_on():
            return
        self._lock_of_dvc.close()
        memory = Memory()
        complete = self._complete(memory)
        edited = {path for path, _ in hashes_of_inputs().items() ^ self._inputs.items()}
        if edited:
            mark_stale({output for name in complete for output in self._stages[name].outputs})
            say(f"edited during the run: {' '.join(sorted(edited))}; what it made is not committed, but made again")
            return
        changed = {path.removesuffix(".dvc") for path in changed_raw_data()}
        if changed:
            tainted = self._made_of(changed, complete)
            mark_stale({output for name in tainted for output in self._stages[name].outputs})
            names = " ".join(sorted(changed))
            say(f"raw data changed during the run: {names}; what is made of them is not committed")
            complete -= tainted
        if complete:
            commit(complete, memory)

    def _complete(self, memory: Memory) -> set[str]:
        """Names of the stages that are to be committed and whose outputs are all made."""
        dag = self._workflow.dag
        up_to_date = {str(file) for job in dag.jobs if dag.finished(job) for file in job.output}
        up_to_date |= {str(file) for job in dag.jobs if not dag.needrun(job) for file in job.output}
        return {name for name in memory.pending & set(self._stages) if self._stages[name].outputs <= up_to_date}

    def _made_of(self, raw_data: set[str], names: set[str]) -> set[str]:
        datasets = {Path(path).parts[2] for path in raw_data}  # data/raw/<dataset>
        first = {f"{stage}@{dataset}" for stage in ("detect", "ingest") for dataset in datasets}
        return {name for name in names if ({name} | self._stages[name].ancestors) & first}

    def _refuse_changed_outputs(self, memory: Memory) -> None:
        """Stop before something is made of files that are neither what was recorded nor made anew."""
        to_read = {path for name in memory.pending & set(self._stages) for path in self._stages[name].inputs}
        makers = {name for name, stage in self._stages.items() if stage.outputs & to_read} - memory.pending
        changed = {
            path: name
            for name, changes in (status_of_dvc(*sorted(makers)) if makers else {}).items()
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
        with repository() as repo:
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
            raise RuntimeError(f"{DVC_IS_BUSY}: {error}") from None


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

"""From Snakemake to DVC: what is made."""

import json
from contextlib import suppress
from pathlib import Path

import yaml

from bridge.engines import repository
from bridge.memory import LOCK, Memory, say
from trilift.project import yaml_text

LOCK_BEFORE = Path(".snakemake/trilift_dvc.lock")  # dvc.lock as it was before a commit that has not ended


def commit(names: set[str], memory: Memory) -> None:
    """Do as ``dvc commit --force``, which would read and write the whole dvc.lock once for every stage."""
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    try:
        undo_half_commit(memory)  # of a try that failed
        _keep_lock_before()
        with repository() as repo, lock_repo(repo):
            named = {stage.addressing: stage for stage in repo.index.stages}
            stages = [named[name] for name in sorted(names)]
            for stage in stages:
                stage.save()
                # A copy back from the cache would only be newer than what Snakemake knows (`replaced_since`).
                stage.commit(relink=repo.cache.local.cache_types[0] in ("hardlink", "symlink"))
                lost = [str(output) for output in stage.outs if output.use_cache and output.changed_cache()]
                if lost:  # which DVC itself finds when it copies them back
                    raise OSError(f"DVC's cache did not take {' '.join(lost)}")
            stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
    except (DvcException, OSError) as error:
        say(f"dvc commit failed, tried again later: {error}")
        with suppress(OSError):  # a full disk: the next try begins with it
            undo_half_commit(memory)
        return
    say(f"{len(names)} stage{'s' * (len(names) > 1)} recorded in dvc.lock")
    memory.pending -= names
    memory.uncertified -= names
    with suppress(OSError):  # a full disk: the next start takes over from dvc.lock
        memory.write()
    LOCK_BEFORE.unlink()


def _keep_lock_before() -> None:
    temporary = LOCK_BEFORE.with_suffix(".part")
    temporary.write_bytes(LOCK.read_bytes() if LOCK.exists() else b"")
    temporary.replace(LOCK_BEFORE)


def undo_half_commit(memory: Memory) -> None:
    """Put dvc.lock back to before a commit that was cut off: else its other stages would count as not made.

    Only if it differs in what was being committed alone: git may have brought another dvc.lock since.
    """
    if not LOCK_BEFORE.exists():
        return
    before = LOCK_BEFORE.read_bytes()
    ours = _stages_in(LOCK.read_bytes() if LOCK.exists() else b"")
    if ours is None or not {name for name, _ in ours.items() ^ (_stages_in(before) or {}).items()} - memory.pending:
        LOCK.write_bytes(before) if before else LOCK.unlink(missing_ok=True)
    LOCK_BEFORE.unlink()


def _stages_in(lock: bytes) -> dict[str, str] | None:
    """Give the entries of a dvc.lock, each as text; None if it is cut off."""
    try:
        content = yaml_text.load(lock.decode()) or {}
        return {name: json.dumps(entry, sort_keys=True) for name, entry in content.get("stages", {}).items()}
    except (yaml.YAMLError, ValueError, AttributeError):
        return None

"""What a killed run leaves locked."""

import fcntl
import socket
import sys
from pathlib import Path
from typing import TextIO

from bridge.engines import is_own_call
from bridge.memory import holds_files

ALIVE = Path(".snakemake/trilift_alive")  # locked by every living snakemake
LOCKS_OF_SNAKEMAKE = Path(".snakemake/locks")

_kept_open: list[TextIO] = []


def unlock_after_kill() -> None:
    """Remove Snakemake's locks if the run that made them is dead. Called when the main process reads the rules.

    The operating system tells: every living snakemake holds a shared lock on one file, and who gets it for itself is
    alone. On a shared file system that does not tell between machines, so a run of another one is left to its owner.
    """
    if is_own_call():
        return
    ALIVE.parent.mkdir(exist_ok=True)
    alive = ALIVE.open("a+")
    try:
        alone = holds_files(LOCKS_OF_SNAKEMAKE) and _lock_alone(alive)
        alive.seek(0)
        if alone and alive.read() in ("", socket.gethostname()):
            for lock in LOCKS_OF_SNAKEMAKE.iterdir():
                lock.unlink()
            print("A snakemake that was killed had left this folder locked: unlocked", file=sys.stderr)
        fcntl.flock(alive, fcntl.LOCK_SH)
    except OSError:
        pass  # a file system without such locks: as without this function
    _kept_open.append(alive)


def _lock_alone(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

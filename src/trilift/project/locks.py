"""One process per stage and run: a stage that a killed workflow has left running must not meet its successor."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from trilift.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; the operating system frees it if the process dies.

    On file systems without locks nothing is held.

    Parameters
    ----------
    file
        What is locked: an empty file that stays.
    what
        What runs, for the message.

    Raises
    ------
    InputError
        If another process holds the lock.
    """
    if fcntl is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        if not _lock(lock):
            lock.seek(0)
            raise InputError(
                f"{what} runs here already ({lock.read() or 'another process'}), perhaps left by a workflow that was "
                "killed: wait until it has ended, or end it, and run again"
            )
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def _lock(file: TextIO) -> bool:
    """Take the lock; False if another process has it."""
    with suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True

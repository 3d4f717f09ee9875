"""Locks that the operating system frees when the process that holds them ends, however it does."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trilift.errors import InputError


@contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs: a stage that a killed workflow left running must not meet its successor.

    On file systems without locks nothing is held.

    Parameters
    ----------
    file
        What is locked: an empty file that stays, beside one that names who holds it.
    what
        What runs, for the message.

    Raises
    ------
    InputError
        If another process holds the lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    holder = file.with_name(f"{file.name}.holder")  # what is locked cannot be read on Windows
    lock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text() if holder.exists() else "another process"
        raise InputError(
            f"{what} runs here already ({who or 'another process'}), perhaps left by a workflow that was "
            "killed: wait until it has ended, or end it, and run again"
        ) from None
    except OSError:
        pass  # a file system without locks
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()

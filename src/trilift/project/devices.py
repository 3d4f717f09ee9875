"""Which GPU, or the CPU, to compute on."""

import getpass
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from filelock import FileLock

from trilift.errors import InputError

_held: list[FileLock] = []  # locks that this process keeps until it ends


def choose(name: str) -> torch.device:
    """Choose where to compute: a name that torch knows, or ``auto``, a GPU if there is one.

    Of several GPUs ``auto`` takes one that no other process took in this way, so that the runs of a sweep spread over
    them; if all are taken, they are shared evenly.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", _free_gpu(torch.cuda.device_count()))
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return device


def _free_gpu(number: int) -> int:
    """Take the first GPU whose lock is free; the system gives it back when the process ends, however it does."""
    user = getattr(os, "getuid", getpass.getuser)()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").replace("/", "_")
    for index in range(number):
        path = Path(tempfile.gettempdir()) / f"trilift-{user}-gpu-{visible}-{index}.lock"
        lock = FileLock(path, blocking=False, fallback_to_soft=False)
        with suppress(OSError):  # another process has it, or it is a file system without locks
            lock.acquire()
            _held.append(lock)
            return index
    return os.getpid() % number

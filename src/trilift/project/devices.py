import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import torch

from trilift.errors import InputError

_held: list[IO[bytes]] = []  # locks that this process keeps until it ends


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
    import fcntl  # not on Windows, where nobody has asked for several GPUs yet

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    for index in range(number):
        path = Path(tempfile.gettempdir()) / f"trilift-{os.getuid()}-gpu-{visible.replace('/', '_')}-{index}.lock"
        file = path.open("wb")
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.append(file)
            return index
        file.close()
    return os.getpid() % number

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from trilift.errors import InputError
from trilift.project.locks import alone

HOLD = "import sys, pathlib, time; from trilift.project.locks import alone\n"
HOLD += "with alone(pathlib.Path(sys.argv[1]), 'train'): print('held', flush=True); time.sleep(60)"


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    lock = tmp_path / "locks" / "train-demo-main"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError) as refused, alone(lock, "train demo"):
        pass
    assert f"train demo runs here already (process {holder.pid} on " in str(refused.value)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with alone(lock, "train demo"):
        pass


def test_an_error_within_frees_it(tmp_path):
    for _ in range(2):
        with pytest.raises(OSError, match="full"), alone(tmp_path / "lock", "train"):
            raise OSError("full")


def test_on_a_file_system_without_locks_nothing_is_held(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone(tmp_path / "lock", "train"), alone(tmp_path / "lock", "train"):
        pass

import subprocess
import sys

import pytest
import torch

from trilift.errors import InputError
from trilift.project import devices


def test_auto_is_the_processor_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.choose("auto") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device nonsense"):
        devices.choose("nonsense")


TAKE = "import sys; from trilift.project import devices; print(devices._free_gpu(3), flush=True); sys.stdin.read()"


def test_processes_take_different_gpus_and_give_them_back(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return process, int(process.stdout.readline())

    running = [start() for _ in range(3)]
    assert sorted(gpu for _, gpu in running) == [0, 1, 2]
    extra, shared = start()
    assert shared in (0, 1, 2)
    killed, gpu = running[1]
    killed.kill()
    killed.wait()
    again, taken = start()
    assert taken == gpu
    for process in (running[0][0], running[2][0], extra, again):
        process.communicate("")

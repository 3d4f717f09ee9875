"""What a full disk leads to; the engines on one are in workflow/test_faults.py."""

import errno
import logging
import os
import subprocess

import numpy as np
import pytest
import torch
import yaml

from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.cli import main
from trilift.project.files import replacing
from trilift.skeletons import COCO17
from trilift.train.checkpoint import Checkpoint

SIZE = 400_000


@pytest.fixture
def disk(tmp_path):
    """A small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk, leaving):
    space = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - leaving)))


def is_full(error, path):
    return error.errno == errno.ENOSPC and str(error.filename) == str(path)


def write_captures(path, frames=1000):
    with writing.create(path, "captures") as file:
        for name in ("S1", "S2"):
            walk = Recording("Walk", name, "Walk", 50.0, 0, frames)
            capture = file.add_capture(name, recordings=[walk], skeleton=COCO17, views=["a", "b"])
            for block in reading.blocks(frames, 100):
                capture.write_block(block, pixels=np.ones((100, 2, 17, 2)), confidence=np.ones((100, 2, 17)))


@pytest.mark.parametrize("leaving", [0, 4096, 20_000, 100_000, 200_000])
def test_a_file_of_the_flow_is_named_and_leaves_nothing(disk, leaving):
    """HDF5 itself crashes when a write fails."""
    fill(disk, leaving)
    path = disk / "demo.nc"
    with pytest.raises(OSError) as caught:
        write_captures(path)
    assert is_full(caught.value, path)
    assert [file.name for file in disk.iterdir()] == ["filler"]


def test_the_file_of_before_stays(disk):
    path = disk / "table.csv"
    path.write_text("before")
    fill(disk, 0)
    with pytest.raises(OSError) as caught, replacing(path) as temporary:
        temporary.write_text("after")
    assert is_full(caught.value, path)
    assert path.read_text() == "before"


def test_the_checkpoint_of_before_stays(disk):
    checkpoint = Checkpoint(disk / "state.pt")
    checkpoint.write({"step": 1, "weights": torch.zeros(10_000)})
    fill(disk, 10_000)
    with pytest.raises(OSError) as caught:
        checkpoint.write({"step": 2, "weights": torch.ones(10_000)})
    assert is_full(caught.value, checkpoint.path)
    kept = checkpoint.read(torch.device("cpu"))
    assert kept
    assert kept["step"] == 1


def test_a_command_ends_with_one_message_even_if_its_log_cannot_be_written(disk, capfd):
    (disk / "params.yaml").write_text(yaml.safe_dump({"seed": 0, "simulate": {"seconds": 0.1}}))
    fill(disk, 4096)  # for the lock
    assert main(["simulate", "demo", "--project", str(disk), "--log", str(disk / "log")]) == 2
    path = disk / "data/raw/demo/detections.npz"
    assert capfd.readouterr().err.strip() == (
        f"trilift simulate: {path}: No space left on device; free some and run again"
    )
    assert not any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)


def test_hdf5_reads_what_it_could_not_write(disk):
    """It frees strings by what it reads, and would free at random."""
    fill(disk, 0)
    with writing._Target(disk / "demo.nc", "w+") as target:
        for at, data in ((10, b"abcdef"), (12, b"XY")):
            target.seek(at)
            assert target.write(data) == len(data)
        target.seek(8)
        buffer = bytearray(b"?" * 10)
        assert target.readinto(buffer) == 10
        assert bytes(buffer) == b"\0\0abXYef\0\0"
        with pytest.raises(OSError, match="No space left"):
            target.check()

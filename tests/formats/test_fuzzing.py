"""A few of the inputs of `make fuzz` for every reader, and faults that it must find."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from formats import fuzzing
from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats import DetectedView

INTACT = "[0.1, 0.2, 0.3]"

# h5netcdf complains when a file goes away that it could not open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("name", fuzzing.TARGETS)
def test_damaged_and_hostile_files_end_in_a_message(name, tmp_path):
    outcome = fuzzing.fuzz(fuzzing.TARGETS[name], 25, 0, tmp_path)
    assert outcome.read + outcome.refused == outcome.inputs == 25
    assert not outcome.findings


def load(folder):
    return np.array(json.loads((folder / "t.json").read_text("latin1")), float).reshape(3)


def load_or_refuse(folder):
    try:
        return load(folder)
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{folder}: damaged") from None


def careless(folder):
    yield replace(ring_of_cameras(1)[0], t=load(folder))


def believes_nan(folder):
    yield replace(ring_of_cameras(1)[0], t=load_or_refuse(folder))


def believes_a_rotation(folder):
    yield replace(ring_of_cameras(1)[0], R=np.eye(3) * (load_or_refuse(folder) == [0.1, 0.2, 0.3]))


def believes_infinity(folder):
    yield DetectedView("a", load_or_refuse(folder).astype(np.float32), None)


def endless(folder):
    while (folder / "t.json").read_bytes() != INTACT.encode():
        pass
    return []


def names_no_file(folder):
    try:
        load(folder)
    except Exception:
        raise InputError("damaged") from None
    return []


FAULTS = {
    careless: "JSONDecodeError at",
    believes_nan: "a camera whose t is not finite",
    believes_a_rotation: "a camera whose R is no rotation",
    believes_infinity: "infinite keypoints",
    endless: "Hang at",
    names_no_file: "message",
}


@pytest.mark.parametrize("read", FAULTS, ids=lambda read: read.__name__)
def test_the_faults_of_a_reader_are_found_and_their_inputs_kept(read, tmp_path, monkeypatch):
    if read is endless:
        monkeypatch.setattr(fuzzing, "MOST_SECONDS", 0.02)
    target = fuzzing.Target(lambda folder: (folder / "t.json").write_text(INTACT), read)
    (tmp_path / "now").mkdir()
    outcome = fuzzing.fuzz(target, 20 if read is endless else 300, 0, tmp_path / "now", tmp_path / "kept")
    assert any(kind.startswith(FAULTS[read]) for kind in outcome.findings)
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == len(outcome.findings)
    assert all((folder / "t.json").read_bytes() != INTACT.encode() for folder in kept)


CRASHING = """
import os

from formats import fuzzing

def crash(folder):
    if (folder / "t.json").read_bytes() != b"[]":
        os._exit(3)
    return []

fuzzing.TARGETS["broken"] = fuzzing.Target(lambda folder: (folder / "t.json").write_text("[]"), crash)
print(fuzzing._run_apart("broken", 20, 0, None).findings)
"""


def test_a_crash_is_found():
    """In a process of its own: of one in which libraries have started threads, a fork may wait for ever."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", CRASHING], env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "{'crash': ['the process ended with 3']}", run.stderr

"""What tests draw at random depends on their names, not on what ran before them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = """
import json, random
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st

def drawn():
    return [torch.rand(1).item(), float(np.random.rand()), random.random()]

def save(name, values):
    with open("drawn.jsonl", "a") as file:
        file.write(json.dumps([name, values]) + "\\n")

@pytest.fixture(scope="module")
def shared():
    return drawn()

def test_first(shared):
    save("first", [shared, drawn()])

def test_second(shared):
    save("second", [shared, drawn()])

@settings(max_examples=5)
@given(st.integers())
def test_examples(number):
    save("examples", number)
"""


def run(folder: Path, *options: str) -> list[tuple[str, object]]:
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "conftest.py", folder)
    (folder / "test_drawing.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return [json.loads(line) for line in (folder / "drawn.jsonl").read_text().splitlines()]


def of(name: str, lines: list[tuple[str, object]]) -> list[object]:
    return [values for other, values in lines if other == name]


def test_a_test_draws_the_same_whatever_ran_before_it(tmp_path: Path) -> None:
    both = run(tmp_path / "both")
    alone = run(tmp_path / "alone", "-k", "second or examples")
    for name in ("second", "examples"):
        assert of(name, alone) == of(name, both) != []
    assert of("first", both) != of("second", both)

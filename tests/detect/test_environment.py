"""The environment of a detector: made once, whole, and by one of several processes."""

import logging
import subprocess
import threading
import zipfile

import pytest

from trilift.detect.environment import alone, python_for
from trilift.errors import InputError
from trilift.project.layout import Layout


@pytest.fixture
def wheel(tmp_path):
    """A package that needs no network."""
    path = tmp_path / "sees_nothing-1.0-py3-none-any.whl"
    about = "sees_nothing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sees_nothing.py", "people = []\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: sees-nothing\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n")
        archive.writestr(
            f"{about}/RECORD", f"sees_nothing.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
        )
    return str(path)


def imports(python):
    command = [python, "-c", "import sees_nothing"]
    return subprocess.run(command, env=alone(), capture_output=True).returncode == 0


def test_of_two_at_once_one_makes_it_and_what_a_killed_one_left_is_made_again(tmp_path, wheel, caplog):
    caplog.set_level(logging.INFO)
    layout, found = Layout("", tmp_path), []
    together = [threading.Thread(target=lambda: found.append(python_for(layout, "x", [wheel]))) for _ in range(2)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    python, same = found
    assert python == same
    assert imports(python)
    assert caplog.text.count("Making the environment of x") == 1
    assert "Successfully installed sees-nothing-1.0" in caplog.text  # what pip does is shown
    (python.parents[1] / "complete.txt").unlink()  # the last that is written
    for file in python.parents[1].rglob("sees_nothing.py"):
        file.unlink()
    assert imports(python_for(layout, "x", [wheel]))
    assert caplog.text.count("Making the environment of x") == 2


def test_packages_that_cannot_be_had_are_named(tmp_path):
    missing = str(tmp_path / "gone-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match=r"the environment of x cannot be made: .*gone") as refused:
        python_for(Layout("", tmp_path), "x", [missing])
    assert "run again where there is a network" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.rglob("complete.txt"))

"""The environment of a detector: made once, in the project, beside that of trilift."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from trilift.errors import InputError
from trilift.project.layout import Layout

log = logging.getLogger(__name__)


def python_for(layout: Layout, detector: str, requirements: list[str]) -> Path:
    """Give the Python of a detector's environment, which is made if it is not there.

    What a killed process left is made again. Of several processes one makes it, and the others wait.

    Raises
    ------
    InputError
        If packages cannot be had.
    """
    wanted = "\n".join([*requirements, f"Python {sys.version_info.major}.{sys.version_info.minor}"])
    folder = layout.environments / f"{detector}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete.txt"
    layout.environments.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"), fallback_to_soft=False)
    if not complete.exists():
        with _held(lock, detector):
            if not complete.exists():
                _make(folder, python, detector, requirements)
                complete.write_text(wanted)
    return python


def _held(lock: FileLock, detector: str) -> FileLock:
    try:
        lock.acquire(blocking=False)
        lock.release()
    except Timeout:
        log.info("waiting for another process that makes the environment of %s", detector)
    return lock


def _make(folder: Path, python: Path, detector: str, requirements: list[str]) -> None:
    log.info("Making the environment of %s in %s, once; its packages are loaded now", detector, folder)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, "--no-deps", *requirements]):
        said = []
        with subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=alone()
        ) as process:
            for line in process.stdout or ():
                log.info("  %s", line.rstrip())
                said.append(line.strip())
        if process.returncode:
            needed = " ".join(requirements)
            raise InputError(
                f"the environment of {detector} cannot be made: {(said or ['no reason given'])[-1]}. It needs "
                f"{needed} for Python {sys.version_info.major}.{sys.version_info.minor}, from where pip gets its "
                f"packages; run again where there is a network (trilift detect makes it in {folder})"
            )


def alone() -> dict[str, str]:
    """Give the environment variables for another Python, which must not find our packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

"""What the bridge knows: the stages of dvc.yaml, what a run was about to make, and the settings and code it had."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from trilift.errors import InputError
from trilift.project.params import read_yaml

LOCK = Path("dvc.lock")
MEMORY = Path(".snakemake/trilift_bridge.json")


def say(message: str) -> None:
    print(f"[dvc] {message}", file=sys.stderr)


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, its matrix resolved."""

    inputs: frozenset[str]
    outputs: frozenset[str]
    ancestors: frozenset[str]


class Memory:
    """What the bridge knows from before.

    Attributes
    ----------
    lock
        Hash of dvc.lock when last looked at.
    uncertified
        Stages that were not up to date then: to look at again.
    pending
        Stages that a run of Snakemake has begun and not committed, because it still runs or was killed.
    inputs
        `hashes_of_inputs` when that run began.
    """

    def __init__(self) -> None:
        try:
            content = json.loads(MEMORY.read_text())
            self.lock, self.inputs = content["lock"], dict(content["inputs"])
            self.uncertified, self.pending = set(content["uncertified"]), set(content["pending"])
        except (OSError, ValueError, KeyError, TypeError):
            self.lock, self.inputs = None, {}
            self.uncertified, self.pending = set(), set()

    def forget_lock(self, stages: dict[str, Stage]) -> None:
        """Take all stages for not committed: dvc.lock was deleted."""
        self.pending, self.uncertified, self.inputs = set(stages), set(), hashes_of_inputs()
        self.write()
        self.lock = ""

    def write(self) -> None:
        MEMORY.parent.mkdir(exist_ok=True)
        content = {
            "lock": hash_of_lock(),
            "inputs": self.inputs,
            "uncertified": sorted(self.uncertified),
            "pending": sorted(self.pending),
        }
        temporary = MEMORY.with_suffix(".part")
        temporary.write_text(json.dumps(content))
        temporary.replace(MEMORY)


def hash_of_lock() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.exists() else ""


def hashes_of_inputs() -> dict[str, str]:
    """Hash settings, code and rules by their paths, to see whether somebody edits them during a run.

    Files of data sets that `datasets` in params.yaml does not list do not count: DVC does not have these, and a new
    one may be written while others run.
    """
    folders = ("src", "workflow")
    files = [file for folder in folders for file in Path(folder).rglob("*") if "__pycache__" not in file.parts]
    listed = _listed_data_sets()
    if listed is not None:
        files = [file for file in files if file.parent != Path("workflow/datasets") or file.stem in listed]
    every = (Path("params.yaml"), Path("dvc.yaml"), *sorted(files))
    return {file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in every if file.is_file()}


def _listed_data_sets() -> set[str] | None:
    """Give the names in params.yaml, None if it cannot be read."""
    try:
        return set(read_yaml(Path("params.yaml"))["datasets"])
    except (InputError, TypeError, KeyError):
        return None


def holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())

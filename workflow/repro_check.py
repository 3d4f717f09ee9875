"""Make everything again in a fresh clone of what git has committed, and compare it with dvc.lock, file by file.

Exit code 0: every file is the same, to the last bit; 1: some are not, or the workflow failed; 2: nothing to compare.
Only the raw data are taken from here, out of DVC's cache or its remote. The same environment is used.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bridge.engines import OFF
from trilift.project.params import load_datasets, read_yaml

_DONE = re.compile(r"Finished jobid: \d+ \(Rule: (\w+)\)")
_STEPS = re.compile(r"(\d+ of \d+) steps")


class CannotCheck(Exception):
    """There is nothing to compare with, or nothing to make it of."""


def main(arguments: list[str] | None = None) -> int:
    """Run the check on the project in the current folder."""
    parser = argparse.ArgumentParser(description="Does a fresh clone make the same bits? Compares with dvc.lock.")
    parser.add_argument("--cores", default="all", help="as of snakemake (default: all)")
    parser.add_argument("--keep", action="store_true", help="leave the clone, to look at what differs")
    options = parser.parse_args(arguments)
    try:
        with _folder(options.keep) as folder:
            clone = folder / "clone"
            _clone(clone)
            recorded = _recorded(clone)
            _bring_raw_data(clone)
            _run_workflow(clone, options.cores)
            return _compare(recorded, clone)
    except CannotCheck as error:
        print(f"repro-check: {error}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    if keep:
        folder = Path(tempfile.mkdtemp(prefix="trilift-repro-"))
        print(f"The clone stays in {folder}")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="trilift-repro-") as name:
        yield Path(name)


def _clone(clone: Path) -> None:
    head = _run(["git", "rev-parse", "--short", "HEAD"], Path())
    if head.returncode:
        raise CannotCheck("there is no git commit here to clone; run it in the project's folder")
    _run(["git", "clone", "--quiet", ".", str(clone)], Path(), check=True)
    if not (clone / "dvc.lock").is_file():
        raise CannotCheck(
            "git has no dvc.lock, so there is nothing to compare with. Run snakemake, then commit dvc.lock with git"
        )
    print(f"Making commit {head.stdout.strip()} again, in a fresh clone")
    if _run(["git", "status", "--porcelain", "--untracked-files=no"], Path()).stdout:
        print("What is changed here and not committed is not checked")


def _recorded(clone: Path) -> dict[str, str | None]:
    """Give the hash in dvc.lock of every file that the stages of dvc.yaml make; None where there is none."""
    from dvc.repo import Repo

    with Repo(str(clone)) as repo:
        return {
            os.path.relpath(output.fs_path, clone): output.hash_info.value if output.hash_info else None
            for stage in repo.index.stages
            if stage.cmd
            for output in stage.outs
        }


def _bring_raw_data(clone: Path) -> None:
    """Check out what `dvc add` tracks, from the cache of this project or else from the remote."""
    local = Path(".dvc/config.local")  # access to the remote; git does not have it
    if local.is_file():
        (clone / local).write_bytes(local.read_bytes())
    cache = _run(["dvc", "cache", "dir"], Path(), check=True).stdout.strip()
    _run(["dvc", "config", "--local", "cache.dir", str(Path(cache).absolute())], clone, check=True)
    tracked = sorted(file.relative_to(clone).as_posix() for file in clone.glob("data/raw/*.dvc"))
    if tracked and _run(["dvc", "checkout", "--quiet", *tracked], clone).returncode:
        print("Raw data that are not in the cache are pulled")
        _run(["dvc", "pull", "--quiet", *tracked], clone, check=True)
    made = [path for entry in read_yaml(clone / "dvc.yaml")["stages"]["simulate"]["outs"] for path in entry]
    for dataset in load_datasets(clone / "params.yaml"):
        raw = f"data/raw/{dataset}"
        if not (clone / raw).exists() and not any(path.startswith(f"{raw}/") for path in made):
            quoted = shlex.quote(raw)
            raise CannotCheck(f"a clone has no {raw}: track it with `dvc add {quoted}`, and commit {raw}.dvc")


def _run_workflow(clone: Path, cores: str) -> None:
    """Run all stages, a line for each that ends."""
    start = time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--cores", cores]
    lines = []
    with subprocess.Popen(
        command, cwd=clone, env=_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        rule = ""
        for line in process.stdout or ():
            lines.append(line)
            done, steps = _DONE.search(line), _STEPS.search(line)
            rule = done[1] if done else rule
            if steps:
                print(f"{steps[1]}: {rule} ({time.monotonic() - start:.0f} s)", flush=True)
    if process.returncode:
        print("".join(lines[-40:]))
        print("The workflow failed in the clone, see above")
        raise SystemExit(1)


def _compare(recorded: dict[str, str | None], clone: Path) -> int:
    states = Counter[str]()
    print(f"{'':<10} {'dvc.lock':<10} {'made':<10}")
    for path, expected in sorted(recorded.items()):
        made = _md5(clone / path) if (clone / path).is_file() else None
        state = "missing" if made is None or expected is None else "equal" if made == expected else "different"
        states[state] += 1
        print(f"{state:<10} {(expected or '-')[:8]:<10} {(made or '-')[:8]:<10} {path}")
    print(", ".join(f"{states[state]} {state}" for state in ("equal", "different", "missing")))
    return 0 if states.total() == states["equal"] else 1


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _environment() -> dict[str, str]:
    """The clone's own code, and no bridge: what it makes is compared, and goes into nobody's dvc.lock or cache."""
    own = ("DVC_STAGE", "DVC_ROOT", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in own} | {OFF: "1"}


def _run(command: list[str], folder: Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    if command[0] == "dvc":
        command = [sys.executable, "-m", *command]
    result = subprocess.run(command, cwd=folder, env=_environment(), text=True, capture_output=True)
    if check and result.returncode:
        raise CannotCheck(f"`{shlex.join(command[-6:])}` failed: {result.stderr.strip()[-500:]}")
    return result


if __name__ == "__main__":
    raise SystemExit(main())

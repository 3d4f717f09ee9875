"""Does the dvc.lock that git has fit the code and settings here? Nothing is run, and no data need be there.

Exit code 0: it does; 1: some stages were made by other code or settings; 2: nothing to compare with. With
``--metrics``, run after the workflow: are the metrics that were made again those that git has, within a tolerance?
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge.engines import stages_of_dvc, status_of_dvc
from bridge.memory import LOCK
from trilift.project.params import read_yaml


def main(arguments: list[str] | None = None) -> int:
    """Run the check on the project in the current folder."""
    parser = argparse.ArgumentParser(description="Does dvc.lock fit the code and settings here? Runs nothing.")
    parser.add_argument("--metrics", action="store_true", help="compare metrics made again with those that git has")
    parser.add_argument("--tolerance", type=float, default=0.02, help="share by which a metric may differ")
    options = parser.parse_args(arguments)
    if not _in_git(str(LOCK)):
        print(f"lock-check: git has no {LOCK}, so there is nothing to compare with", file=sys.stderr)
        return 2
    faults = moved_metrics(options.tolerance) if options.metrics else stale_stages()
    for name, reasons in sorted(faults.items()):
        print(f"{name}: {', '.join(reasons)}")
    if options.metrics:
        print("The metrics have moved" if faults else f"All metrics are within {options.tolerance:.0%}")
    elif faults:
        print(f"{LOCK} is stale: run snakemake, then commit {LOCK} and metrics.json with git")
    else:
        print(f"{LOCK} fits the code and settings")
    return int(bool(faults))


def stale_stages() -> dict[str, list[str]]:
    """Name the stages that are not made by what is here, with what differs. Data that are not here do not count."""
    stages, status = stages_of_dvc(), status_of_dvc()
    entries = read_yaml(LOCK)["stages"]
    made = {out["path"]: out["md5"] for entry in entries.values() for out in entry.get("outs", [])}
    found = {}
    for name in stages:
        reasons = [reason for change in status.get(name, []) for reason in _reasons(change)]
        reasons += [
            f"{dep['path']} is another one than {LOCK} has"
            for dep in entries.get(name, {}).get("deps", [])
            if made.get(dep["path"], dep["md5"]) != dep["md5"]
        ]
        if name not in entries:
            reasons = [f"not in {LOCK}"]
        if reasons:
            found[name] = reasons
    return found


def _reasons(change: Any) -> list[str]:
    """Give what DVC finds changed of a stage, in words."""
    if isinstance(change, str):
        return [change]
    found = []
    for paths in change.values():
        for path, what in paths.items():
            if isinstance(what, dict):  # settings of a file
                found += [f"{path}: {key} {state}" for key, state in what.items()]
            elif what not in ("deleted", "not in cache") or path.startswith("src/"):
                found.append(f"{path} {what}")
    return found


def moved_metrics(tolerance: float) -> dict[str, list[str]]:
    """Name the metrics that differ from those that git has by more than a share of these."""
    found = {}
    for path in _git("ls-files", "results/*/metrics.json").stdout.splitlines():
        before = json.loads(_git("show", f"HEAD:{path}").stdout)
        after = json.loads(Path(path).read_text()) if Path(path).is_file() else {}
        moved = [
            f"{key} {before.get(key)} -> {after.get(key)}"
            for key in sorted(before.keys() | after.keys())
            if not _is_near(before.get(key), after.get(key), tolerance)
        ]
        if moved:
            found[path] = moved
    return found


def _is_near(before: Any, after: Any, tolerance: float) -> bool:
    """Compare numbers within the tolerance; what is none, and what only says yes or no, must be the same."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return abs(after - before) <= tolerance * abs(before) if numbers else bool(before == after)


def _in_git(path: str) -> bool:
    return bool(_git("ls-files", path).stdout) and Path(path).is_file()


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], text=True, capture_output=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""How long one waits for a command that has nothing to do.

`trilift --help`, and `snakemake -n` and `dvc status` in a project in which everything is made: run `make run` first,
or name another folder with --project. Every command runs a few times; the median counts.
Run: make bench NAME=startup
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

BARS_S = {"trilift --help": 0.3, "snakemake -n": 3.0, "dvc status": 3.0}


def seconds(command: list[str], project: Path) -> float:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project.resolve() / "src"),
        "DVC_NO_ANALYTICS": "1",
    }
    start = time.perf_counter()
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    ratios = {}
    print(f"{'command':16} {'median':>8} {'slowest':>8} {'bar':>6}")
    for name, bar in BARS_S.items():
        program, *arguments = name.split()
        command = [sys.executable, "-m", program, *arguments]
        seconds(command, options.project)  # compiles modules
        times = [seconds(command, options.project) for _ in range(options.times)]
        print(f"{name:16} {median(times):7.2f}s {max(times):7.2f}s {bar:5.1f}s", flush=True)
        ratios[name] = round(median(times) / bar, 2)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()

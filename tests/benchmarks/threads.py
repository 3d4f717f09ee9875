"""What more threads bring to the stages that compute in them: ingest, triangulate and evaluate.

Snakemake tells a job by `OMP_NUM_THREADS` how many it may use; a rule without `threads` gets one. Each stage is run
as a process of its own with one thread and with all cores, in turn, on the demo and on a long simulated recording.
Run: make bench NAME=threads, or with options: python tests/benchmarks/threads.py --frames 65536 --rounds 3
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import streaming

ROOT = Path(__file__).parents[2]
CORES = os.cpu_count() or 1


def seconds(project: Path, stage: str, dataset: str, threads: int) -> float:
    """Run a stage; returns its time, the start of Python included."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "trilift", stage, dataset, "--project", str(project)]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return time.perf_counter() - start


def make_demo(project: Path) -> None:
    """Make all that the stages read."""
    (project / "workflow").mkdir(parents=True)
    shutil.copytree(ROOT / "workflow/datasets", project / "workflow/datasets")
    shutil.copy(ROOT / "params.yaml", project)
    for stage in ("simulate", "ingest", "triangulate", "train"):
        seconds(project, stage, "demo", CORES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=65536)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_demo(folder / "demo")
        (folder / "long").mkdir()
        streaming.write_project(folder / "long", options.frames, "{smoothing: null, diagnose: false}")
        cases = [(folder / "demo", stage, "demo") for stage in ("ingest", "triangulate", "evaluate")]
        cases.append((folder / "long", "triangulate", streaming.DATASET))
        print(f"{'':<24} {'1 thread':>10} {f'{CORES} threads':>10} {'ratio':>7}")
        for project, stage, dataset in cases:
            times: dict[int, list[float]] = {1: [], CORES: []}
            for _ in range(options.rounds):
                for threads, taken in times.items():
                    taken.append(seconds(project, stage, dataset, threads))
            one, all_cores = median(times[1]), median(times[CORES])
            ratios[f"{stage}_{dataset}"] = round(one / all_cores, 2)
            print(f"{stage + ' ' + dataset:<24} {one:>8.1f} s {all_cores:>8.1f} s {one / all_cores:>7.2f}")
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()

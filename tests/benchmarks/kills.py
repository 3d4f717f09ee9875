"""Kill runs of both engines at random moments, and see whether the next call recovers.

Every seed takes a tiny project in which the stages before one are made, runs `snakemake` or `dvc repro` in it, kills
that with all its processes (SIGKILL) at a random moment after the stage has begun, and calls one of the two engines
again. It recovers if that ends well, makes no stage again that was finished, and leaves the same bits as a run that
nobody disturbed, no other files, and nothing to do for either engine.
Run: make bench NAME=kills, or with options: python tests/benchmarks/kills.py --seeds 7
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from conftest import Project, make_project

STAGES = ("simulate", "ingest", "triangulate", "train", "evaluate", "plot")
ENGINES = {"snakemake": ("snakemake", "--cores", "2"), "dvc": ("dvc", "repro")}


@dataclass(frozen=True)
class Outcome:
    """What became of one kill.

    Attributes
    ----------
    hit
        The stage that ran when the kill came; "record" if none did.
    redone
        The stages that the next call made.
    fault
        What was not as it must be; empty if all was.
    """

    seed: int
    killed: str
    hit: str
    after: float
    then: str
    redone: tuple[str, ...]
    fault: str


class Harness:
    """The project that nobody disturbs, and those in which runs are killed."""

    def __init__(self, folder: Path, stand_in: bool) -> None:
        self._folder = folder
        start = make_project(folder / "start", stand_in)
        self._before = {STAGES[0]: start}
        self._seconds = {}
        for stage, following in zip(STAGES, (*STAGES[1:], "end"), strict=True):
            project = self._before[stage].copy(folder / following)
            process = project.start_until(stage, *ENGINES["snakemake"], "--until", stage)
            begun = time.monotonic()
            process.communicate()
            self._seconds[stage] = time.monotonic() - begun
            self._before[following] = project
        self._whole = self._before["end"]
        if self._whole.jobs() or self._whole.changed():
            raise SystemExit("a run that nobody disturbs leaves something to do")

    def kill(self, seed: int) -> Outcome:
        """Kill a run: the stage goes by the seed, the rest is random."""
        choose = random.Random(seed)
        stage = STAGES[seed % len(STAGES)]
        engine, then = choose.choice(list(ENGINES)), choose.choice(list(ENGINES))
        after = choose.uniform(0, self._seconds[stage])
        project = self._before[stage].copy(self._folder / f"seed{seed}")
        process = project.start_until(stage, *ENGINES[engine])
        time.sleep(after)
        printed = project.kill(process)
        hit, finished = _state_at_kill(stage, printed)
        lock = project.path / "dvc.lock"
        in_lock = set(yaml.safe_load(lock.read_text())["stages"]) if lock.exists() else set()
        recorded = {name.split("@")[0] for name in in_lock}
        before = project.logs()
        result = project.run(*ENGINES[then], check=False)
        logs = project.logs()
        redone = tuple(name for name in STAGES if name in logs and logs[name] != before.get(name))
        for_certain = recorded if engine == "dvc" else recorded | finished
        faults = [*self._faults(project, result.returncode, result.stdout)]
        if for_certain & set(redone):
            faults.append(f"again: {' '.join(sorted(for_certain & set(redone)))}")
        return Outcome(seed, engine, hit, round(after, 1), then, redone, "; ".join(faults))

    def _faults(self, project: Project, code: int, printed: str) -> Iterator[str]:
        if code:
            yield f"exit code {code}: {printed[-2000:]}"
            return
        if project.hashes() != self._whole.hashes():
            yield "other bits in dvc.lock"
        if project.made() != self._whole.made():
            yield "other bits in files"
        if _files(project) != _files(self._whole):
            yield f"other files: {_files(project) ^ _files(self._whole)}"
        if left := project.jobs():
            yield f"snakemake would run {left}"
        if left := project.changed():
            yield f"dvc finds changed {left}"


def _begins(stage: str, line: str) -> bool:
    return re.search(rf"^(local)?rule {stage}:|^Running stage '{stage}['@]", line, re.MULTILINE) is not None


def _state_at_kill(stage: str, printed: str) -> tuple[str, set[str]]:
    """Tell which stage ran, and which had ended, by what was printed after the stage began."""
    running, finished = stage, set(STAGES[: STAGES.index(stage)])
    for line in printed.splitlines():
        done = re.match(r"Finished jobid: \d+ \(Rule: (\w+)\)", line.strip())
        if done:
            finished.add(done[1])
            running = "record"
        for name in STAGES:
            if _begins(name, line):
                finished |= set(STAGES[: STAGES.index(name)])
                running = name
    return running, finished


def _files(project: Project) -> set[str]:
    folders = (project.path / name for name in ("data", "results", ".trilift"))
    return {str(file.relative_to(project.path)) for folder in folders for file in folder.rglob("*") if file.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="how many kills")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--at-once", type=int, default=1, help="how many projects side by side")
    parser.add_argument("--stand-ins", action="store_true", help="for the stages: quicker, tries the engines alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as pool:
        harness = Harness(Path(folder), options.stand_ins)
        print(f"{'seed':>4} {'killed':<10}{'in':<12}{'after (s)':>9}  {'then':<10} made then")
        outcomes = []
        for outcome in pool.map(harness.kill, range(options.first, options.first + options.seeds)):
            print(
                f"{outcome.seed:>4} {outcome.killed:<10}{outcome.hit:<12}{outcome.after:>9}  {outcome.then:<10} "
                f"{' '.join(outcome.redone) or '-'}{'  FAULT ' if outcome.fault else ''}{outcome.fault}",
                flush=True,
            )
            outcomes.append(outcome)
    recovered = sum(not outcome.fault for outcome in outcomes)
    hits = Counter(outcome.hit for outcome in outcomes)
    print(f"{recovered} of {len(outcomes)} recovered; hit: {', '.join(f'{name} {n}' for name, n in hits.items())}")
    print(json.dumps({"kills": len(outcomes), "recovered": recovered, "outcomes": [asdict(o) for o in outcomes]}))
    raise SystemExit(recovered < len(outcomes))


if __name__ == "__main__":
    main()

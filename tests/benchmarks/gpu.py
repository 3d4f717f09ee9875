"""All that has to be seen on a GPU, in less than 8 minutes: run it where there is one, with `make bench-gpu`.

The table of steps beside the floor of a CUDA graph; the preset `paper` at its full size; that a step waits for
nothing; that two trainings, one with captured steps and one without, and one that was killed, end with the same bits;
and the time of `trilift train demo`, its error beside that of trainings on the CPU with other seeds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import training as steps
import yaml

from trilift.lifter.networks import build
from trilift.train import training
from trilift.train.losses import LOSSES
from trilift.train.samples import Samples, Scaling
from trilift.train.settings import LossSettings, TrainingSettings

ROOT = Path(__file__).parents[2]
PAPER_FRAMES = 390_000


def table_of_steps(device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """A replayed step is to cost at most 1.3 bare graphs of the published network, 2.5 of the residual at 128."""
    found: dict[str, Any] = {}
    for missing in (0.0, 0.01):
        print(f"{missing:.0%} of the views missing")
        for name, row in steps.table(device, options.repeats, missing).items():
            found[f"{name}, {missing:.0%} missing"] = {key: round(value, 3) for key, value in row.items()}
    return found


def paper(device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Train the preset on as many frames as Human3.6M has, for as many steps as asked."""
    preset = yaml.safe_load((ROOT / "workflow" / "presets" / "paper.yaml").read_text("utf-8"))["train"]
    samples = steps.make_samples(PAPER_FRAMES, torch.device("cpu"), missing=0.0)
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = TrainingSettings.model_validate(preset | {"steps": options.steps, "precision": precision})
        begun = time.perf_counter()
        _, history = training.fit(samples, samples.chosen[:0], Scaling.of(samples), settings, 0, device)
        seconds = time.perf_counter() - begun
        hours = seconds / options.steps * preset["steps"] / 3600
        found[precision] = {"seconds": round(seconds, 1), "hours_of_all_steps": round(hours, 2)}
        found[precision]["loss"] = round(history[-1]["loss"], 5)
    return found


def no_waiting(device: torch.device, _: argparse.Namespace) -> dict[str, Any]:
    """Torch raises an error where a step would wait; the first step, which makes constants, may."""
    settings = TrainingSettings(losses=LossSettings.model_validate(dict.fromkeys(LOSSES, 1.0)))
    samples = steps.make_samples(4096, device)
    scaling = Scaling.of(samples).to(device)
    network = build(steps.INPUTS, steps.OUTPUTS, settings.network).to(device)
    optimiser = torch.optim.Adam(network.parameters(), torch.tensor(1e-3, device=device), fused=True)
    for mode in ("default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        batch = samples.batch(torch.arange(128, device=device), 1)
        training.training_step(network, optimiser, batch, scaling, settings, tuple(LOSSES))
    torch.cuda.set_sync_debug_mode("default")
    return {"waits": False}


def same_bits(device: torch.device, _: argparse.Namespace) -> dict[str, Any]:
    """Two trainings with captured steps and one without; a loss begins late, and some views are missing."""
    samples = steps.make_samples(3000, device)
    part = replace(samples, chosen=samples.chosen[:2700])
    losses = LossSettings.model_validate(dict.fromkeys(LOSSES, 1.0))
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = TrainingSettings(losses=losses, steps=400, averaging=0.99, precision=precision)
        weights = [trained(part, samples, settings, device) for _ in range(2)]
        with mock.patch.object(training, "graphed", lambda step, _: step):
            weights.append(trained(part, samples, settings, device))
        same = [all(torch.equal(other[name], value) for name, value in weights[0].items()) for other in weights[1:]]
        found[precision] = {"in two runs": same[0], "captured or not": same[1]}
    return found


def trained(part: Samples, samples: Samples, settings: TrainingSettings, device: torch.device) -> dict[str, Any]:
    network, _ = training.fit(part, samples.chosen[2700:], Scaling.of(part), settings, 0, device)
    return network.state_dict()


def killed(device: torch.device, _: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, ROOT / "tests/benchmarks/resume.py", "--device", str(device), "--kills", "4"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def demo(device: torch.device, _: argparse.Namespace) -> dict[str, Any]:
    """The whole process is to take less than 8 s, and its error to lie within the spread of the CPU's seeds."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
        params["sweep"] = {"seeds": [0, 1, 2], "losses": {"here": {}, "cpu": {}}}
        (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        (project / "workflow").symlink_to(ROOT / "workflow")

        def call(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "trilift", *arguments, "--project", str(project)]
            return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)

        def wait(process: subprocess.Popen[bytes]) -> None:
            if process.wait():
                raise RuntimeError(f"{process.args} failed")

        for stage in ("simulate", "ingest", "triangulate"):
            wait(call(stage, "demo"))
        seconds = []
        for seed in range(3):
            begun = time.perf_counter()
            wait(call("train", "demo", "--run", f"here-s{seed}", "--device", str(device)))
            seconds.append(round(time.perf_counter() - begun, 2))
        beside = [call("train", "demo", "--run", f"cpu-s{seed}", "--device", "cpu") for seed in range(3)]
        for process in beside:
            wait(process)
        errors: dict[str, list[float]] = {"here": [], "cpu": []}
        for name, found in errors.items():
            for seed in range(3):
                run = f"{name}-s{seed}"
                wait(call("evaluate", "demo", "--run", run, "--device", "cpu"))
                metrics = json.loads((project / "results" / "demo" / run / "metrics.json").read_text("utf-8"))
                found.append(round(metrics["mpjpe_mm"], 2))
        return {"seconds": seconds, "mpjpe_mm": errors}


CHECKS: list[Callable[[torch.device, argparse.Namespace], dict[str, Any]]] = [
    no_waiting,
    same_bits,
    killed,
    demo,
    table_of_steps,
    paper,
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000, help="how many steps of the preset paper to take")
    parser.add_argument("--only", nargs="+", default=[check.__name__ for check in CHECKS], help="names of checks")
    options = parser.parse_args()
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(device) if on_gpu else "cpu"}
    for check in CHECKS:
        if check.__name__ not in options.only:
            continue
        begun = time.perf_counter()
        try:
            results[check.__name__] = check(device, options)
        except Exception as error:  # the others tell something, too
            results[check.__name__] = f"failed: {type(error).__name__}: {error}"
        print(f"{check.__name__} ({time.perf_counter() - begun:.0f} s): {results[check.__name__]}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()

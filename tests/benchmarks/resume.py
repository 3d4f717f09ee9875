"""Kill a training at random moments until it has ended, many times over: the weights must be those of a quiet one.

Run: make bench NAME=resume
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).parents[1]
TRAINING = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from train import test_training as tests
from train.batches import make_samples
from trilift.train.settings import GEOMETRIC, LossSettings
from trilift.train.checkpoint import Checkpoint
from trilift.train.samples import Scaling
from trilift.train.training import fit
torch.set_num_threads(1)
samples, validation = tests.parts(make_samples(3300), 3000)
losses = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 1.0))
settings = tests.TINY.model_copy(update={"steps": int(sys.argv[4]), "losses": losses, "batch_frames": 64})
checkpoint = Checkpoint(Path(sys.argv[2]), every_s=0.2) if sys.argv[2] else None
network, history = fit(
    samples, validation, Scaling.of(samples), settings, 0, torch.device(sys.argv[5]), checkpoint
)
torch.save({"weights": network.state_dict(), "history": history}, sys.argv[3])
"""


def start(checkpoint: str, output: Path, steps: int, device: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", TRAINING, str(TESTS), checkpoint, str(output), str(steps), device]
    paths = [str(TESTS.parent / "src"), *sys.path]
    return subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        whole, output, checkpoint = (Path(folder) / name for name in ("whole", "output", "state"))
        begun = time.monotonic()
        if start("", whole, options.steps, options.device).wait():
            sys.exit("the training failed")
        duration = time.monotonic() - begun
        kills, different = 0, 0
        while kills < options.kills:
            output.unlink(missing_ok=True)
            while not output.exists():
                process = start(str(checkpoint), output, options.steps, options.device)
                if kills < options.kills:
                    # Any moment counts: while it starts, trains, or writes its state.
                    time.sleep(rng.uniform(0, duration))
                    if process.poll() is None:
                        process.send_signal(signal.SIGKILL)
                        kills += 1
                        print(f"killed {kills} times; {'with' if checkpoint.exists() else 'without'} a checkpoint")
                process.wait()
            expected, found = (torch.load(path, weights_only=True) for path in (whole, output))
            same = expected["history"] == found["history"] and all(
                torch.equal(found["weights"][name], value) for name, value in expected["weights"].items()
            )
            different += not same
            print("ended with the same bits" if same else "ENDED WITH OTHER BITS")
    print(json.dumps({"kills": kills, "trainings_that_ended_differently": different}))


if __name__ == "__main__":
    main()

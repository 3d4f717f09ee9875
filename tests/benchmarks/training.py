"""What a training step costs beyond the network itself.

Compares, in one run and in turns, our whole step with the bare forward, backward and optimiser step of the same
network on rows of the same size. On a GPU, where both are in bfloat16, also as CUDA graphs: how `fit` takes its
steps, and the floor under it. On the CPU the seconds are the processor's own, which others that use it hardly change.
Run: make bench NAME=training
"""

import argparse
import json
import platform
import statistics
import time
from typing import NamedTuple

import torch
from torch import Tensor

from trilift.lifter.inputs import number_of_features
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.skeletons import H36M17
from trilift.train.graphs import Step, graphed
from trilift.train.losses import switched_on
from trilift.train.samples import Rigs, Samples, Scaling
from trilift.train.settings import GEOMETRIC, AugmentationSettings, LossSettings, TrainingSettings
from trilift.train.training import training_step

VIEWS, JOINTS = 4, len(H36M17)
INPUTS, OUTPUTS = number_of_features(H36M17), 3 * (JOINTS - 1)
TWO = LossSettings()
FOUR = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 1.0))
PLAIN = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0)
AUGMENTED = AugmentationSettings()
PUBLISHED = NetworkSettings(kind="encoder_decoder", width=1024, dropout=0.5)
RESIDUAL = NetworkSettings(kind="residual", width=256)
TEMPORAL = NetworkSettings(kind="temporal", width=512, frames=27)


class Case(NamedTuple):
    frames: int  # of a batch
    network: NetworkSettings
    losses: LossSettings
    augmentation: AugmentationSettings


CASES = {
    "published, 2048, two losses": Case(2048, PUBLISHED, TWO, PLAIN),
    "published, 2048, four losses": Case(2048, PUBLISHED, FOUR, PLAIN),
    "published, 2048, four losses, augmented": Case(2048, PUBLISHED, FOUR, AUGMENTED),
    "residual 256, 2048, four losses": Case(2048, RESIDUAL, FOUR, PLAIN),
    "residual 256, 2048, four losses, augmented": Case(2048, RESIDUAL, FOUR, AUGMENTED),
    "residual 256, 2048, two losses, augmented": Case(2048, RESIDUAL, TWO, AUGMENTED),
    "residual 256, 128, two losses, augmented": Case(128, RESIDUAL, TWO, AUGMENTED),
    "temporal 27 x 512, 256, two losses, augmented": Case(256, TEMPORAL, TWO, AUGMENTED),
}


def make_samples(frames: int, device: torch.device, missing: float = 0.01) -> Samples:
    """Random poses seen by rigs of four cameras 5 m away; a share of the views does not see the root."""
    generator = torch.Generator().manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(5, VIEWS, 3, 3, generator=generator))[0]
    rotations = rotations * torch.linalg.det(rotations)[..., None, None]
    translations = torch.tensor([0.0, 0.0, 5.0]).expand(5, VIEWS, 3).clone()
    poses = 0.3 * torch.randn(frames, JOINTS, 3, generator=generator)
    capture = torch.randint(5, (frames,), generator=generator)
    seen = poses[:, None] @ rotations[capture].mT + translations[capture][:, :, None]
    number = torch.arange(frames)
    return Samples(
        rays=seen[..., :2] / seen[..., 2:] + 0.01 * torch.randn(frames, VIEWS, JOINTS, 2, generator=generator),
        confidence=torch.rand(frames, VIEWS, JOINTS, generator=generator),
        poses=poses,
        trust=torch.ones(frames, JOINTS),
        rooted=torch.ones(frames, dtype=torch.bool),
        visible=torch.rand(frames, VIEWS, generator=generator) >= missing,
        capture=capture,
        person=capture,
        first=torch.zeros_like(number),
        last=torch.full_like(number, frames - 1),
        every=torch.ones_like(number),
        chosen=number,
        rigs=Rigs(
            rotations=rotations,
            translations=translations,
            focal=torch.full((5, VIEWS, 2), 1100.0),
            distortion=torch.zeros(5, VIEWS, 5),
        ),
        skeleton=H36M17,
    ).to(device)


def measure(case: Case, device: torch.device, repeats: int, missing: float) -> dict[str, float]:
    """Median seconds of each kind of step, and their ratios: medians over turns."""
    on_gpu = device.type == "cuda"
    samples = make_samples(8 * case.frames, device, missing)
    settings = TrainingSettings(
        network=case.network,
        losses=case.losses,
        augmentation=case.augmentation,
        precision="bfloat16" if on_gpu else "float32",
    )
    scaling = Scaling(torch.zeros(INPUTS, device=device), torch.ones(INPUTS, device=device))
    order = torch.randperm(len(samples), device=device)[: case.frames]
    steps: dict[str, Step] = {}
    for kind in ("eager", "replayed") if on_gpu else ("eager",):
        network = build(INPUTS, OUTPUTS, case.network).to(device).train()
        rate = torch.tensor(1e-3, device=device)
        optimiser = torch.optim.Adam(network.parameters(), rate, fused=True, capturable=on_gpu)
        rows = torch.randn(case.frames * VIEWS, case.network.frames, INPUTS, device=device)
        rows = rows if case.network.frames > 1 else rows[:, 0]

        def ours(which: Tensor, on: tuple[str, ...], network=network, optimiser=optimiser) -> None:
            training_step(network, optimiser, samples.batch(which, case.network.frames), scaling, settings, on)

        def bare(_: Tensor, __: tuple[str, ...], network=network, optimiser=optimiser, rows=rows) -> None:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
                numbers = network(rows)
            numbers.float().square().mean().backward()
            optimiser.step()

        for name, step in (("ours", ours), ("bare", bare)):
            steps[f"{name}, {kind}"] = graphed(step, device) if kind == "replayed" else step

    now = time.perf_counter if on_gpu else time.process_time

    def timed(step: Step, number: int = 20 if on_gpu else 1) -> float:
        if on_gpu:
            torch.cuda.synchronize(device)
        start = now()
        for _ in range(number):
            step(order, switched_on(case.losses))
        if on_gpu:
            torch.cuda.synchronize(device)
        return (now() - start) / number

    for step in steps.values():
        timed(step)
    turns = [{name: timed(step) for name, step in steps.items()} for _ in range(repeats)]
    found = {f"{name} (ms)": 1000 * statistics.median(turn[name] for turn in turns) for name in steps}
    for kind in ("eager", "replayed") if on_gpu else ("eager",):
        ratios = [turn[f"ours, {kind}"] / turn[f"bare, {kind}"] for turn in turns]
        found[f"ratio, {kind}"] = statistics.median(ratios)
    return found


def table(device: torch.device, repeats: int, missing: float, only: str = "") -> dict[str, dict[str, float]]:
    """Measure all cases, and print them as they come."""
    results: dict[str, dict[str, float]] = {}
    for name, case in CASES.items():
        if only not in name:
            continue
        results[name] = measure(case, device, repeats, missing)
        if len(results) == 1:
            print(f"{'network, frames x 4 views':<47}" + "".join(f"{column:>21}" for column in results[name]))
        print(f"{name:<47}" + "".join(f"{value:>21.3f}" for value in results[name].values()), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--missing", type=float, default=0.01, help="share of the views that do not see the root")
    parser.add_argument("--only", default="", help="part of the names of some cases, such as residual")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(f"{where}, torch {torch.__version__}, {platform.machine()}; {options.missing:.1%} of the views missing")
    results = table(device, options.repeats, options.missing, options.only)
    print(json.dumps({name: {key: round(value, 4) for key, value in row.items()} for name, row in results.items()}))


if __name__ == "__main__":
    main()

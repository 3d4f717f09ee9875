"""What a training step costs beyond the network itself.

Compares, in one run and in turns, our whole step (batch of 2048 frames in 4 views = 8192 rows, all four losses, once
without and once with augmentation) with the bare forward, backward and optimiser step of the same network on rows of
the same size. Run: make bench NAME=training
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch

from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.skeletons import H36M17
from trilift.train.samples import Rigs, Samples, Scaling
from trilift.train.settings import GEOMETRIC, AugmentationSettings, LossSettings, TrainingSettings
from trilift.train.training import training_step

FRAMES, VIEWS, JOINTS = 2048, 4, len(H36M17)
INPUTS, OUTPUTS = 3 * JOINTS, 3 * (JOINTS - 1)
LOSSES = LossSettings.model_validate(dict.fromkeys(GEOMETRIC, 1.0))
PLAIN = AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0)
PUBLISHED = NetworkSettings(kind="encoder_decoder", width=1024, dropout=0.5)
LEAN = NetworkSettings(kind="residual", width=256)
CASES = {
    "published (10.6 million)": (PUBLISHED, PLAIN),
    "published, augmented": (PUBLISHED, AugmentationSettings()),
    "lean (0.3 million)": (LEAN, PLAIN),
    "lean, augmented": (LEAN, AugmentationSettings()),
}


def make_samples(frames: int, device: torch.device) -> Samples:
    """Random poses seen by rigs of four cameras 5 m away."""
    generator = torch.Generator().manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(5, VIEWS, 3, 3, generator=generator))[0]
    rotations = rotations * torch.linalg.det(rotations)[..., None, None]
    translations = torch.tensor([0.0, 0.0, 5.0]).expand(5, VIEWS, 3).clone()
    poses = 0.3 * torch.randn(frames, JOINTS, 3, generator=generator)
    capture = torch.randint(5, (frames,), generator=generator)
    seen = poses[:, None] @ rotations[capture].mT + translations[capture][:, :, None]
    every = torch.arange(frames)
    return Samples(
        rays=seen[..., :2] / seen[..., 2:] + 0.01 * torch.randn(frames, VIEWS, JOINTS, 2, generator=generator),
        confidence=torch.rand(frames, VIEWS, JOINTS, generator=generator),
        poses=poses,
        trust=torch.ones(frames, JOINTS),
        visible=torch.rand(frames, VIEWS, generator=generator) > 0.01,
        capture=capture,
        person=capture,
        first=torch.zeros_like(every),
        last=torch.full_like(every, frames - 1),
        chosen=every,
        rigs=Rigs(
            rotations=rotations,
            translations=translations,
            focal=torch.full((5, VIEWS, 2), 1100.0),
            distortion=torch.zeros(5, VIEWS, 5),
        ),
        skeleton=H36M17,
    ).to(device)


def timed(step: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(
    network_settings: NetworkSettings, augmentation: AugmentationSettings, device: torch.device, repeats: int
) -> dict[str, float]:
    samples = make_samples(8 * FRAMES, device)
    settings = TrainingSettings(network=network_settings, losses=LOSSES, augmentation=augmentation)
    network = build(INPUTS, OUTPUTS, network_settings).to(device)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    scaling = Scaling(torch.zeros(INPUTS, device=device), torch.ones(INPUTS, device=device))
    order = torch.randperm(len(samples), device=device)
    batches = iter(order.repeat(repeats).split(FRAMES))
    rows = torch.randn(FRAMES * VIEWS, INPUTS, device=device)

    def ours() -> None:
        training_step(network, optimiser, samples.batch(next(batches), 1), scaling, settings, GEOMETRIC)

    def bare() -> None:
        optimiser.zero_grad(set_to_none=True)
        network(rows).square().mean().backward()
        optimiser.step()

    for step in (ours, bare):
        step()
    pairs = [(timed(ours, device), timed(bare, device)) for _ in range(repeats)]
    return {
        "ours_s": statistics.median(a for a, _ in pairs),
        "bare_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(f"{where}, torch {torch.__version__}, {platform.machine()}; batch of {FRAMES} frames x {VIEWS} views")
    print(f"{'network':<26}{'our step (s)':>14}{'bare step (s)':>15}{'ratio':>8}")
    results = {}
    for name, (network, augmentation) in CASES.items():
        results[name] = measure(network, augmentation, device, options.repeats)
        print(
            f"{name:<26}{results[name]['ours_s']:>14.3f}{results[name]['bare_s']:>15.3f}{results[name]['ratio']:>8.3f}"
        )
    print(json.dumps({name: round(result["ratio"], 4) for name, result in results.items()}))


if __name__ == "__main__":
    main()

"""What a training step costs beyond the network itself.

Compares, in one run and in turns, our whole step (batch of 2048 frames in 4 views = 8192 rows, both losses) with the
bare forward, backward and optimiser step of the same network on rows of the same size. Run: make bench NAME=training
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch

from trilift.lifting.losses import LossSettings
from trilift.lifting.networks import EncoderDecoder, NetworkSettings
from trilift.lifting.training import Samples, training_step

FRAMES, VIEWS, FEATURES, JOINTS = 2048, 4, 51, 16
NETWORKS = {
    "published (width 1024)": NetworkSettings(),
    "demo (width 192)": NetworkSettings(width=192, latent=192, blocks=2, dropout=0.1),
}


def make_samples(frames: int, device: torch.device) -> Samples:
    generator = torch.Generator().manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(5, VIEWS, 3, 3, generator=generator))[0]
    return Samples(
        features=torch.randn(frames, VIEWS, FEATURES, generator=generator),
        visible=torch.rand(frames, VIEWS, generator=generator) > 0.01,
        labels=0.3 * torch.randn(frames, JOINTS, 3, generator=generator),
        rotations=rotations,
        capture=torch.randint(5, (frames,), generator=generator),
    ).to(device)


def timed(step: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(settings: NetworkSettings, device: torch.device, repeats: int) -> dict[str, float]:
    samples = make_samples(8 * FRAMES, device)
    network = EncoderDecoder(FEATURES, 3 * JOINTS, settings).to(device)
    optimiser = torch.optim.Adam(network.parameters())
    order = torch.randperm(len(samples), device=device)
    batches = iter(order.repeat(repeats).split(FRAMES))
    rows = samples.features[:FRAMES].flatten(0, 1)

    def ours() -> None:
        training_step(network, optimiser, samples.select(next(batches)), LossSettings())

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
    print(f"{'network':<24}{'our step (s)':>14}{'bare step (s)':>15}{'ratio':>8}")
    results = {}
    for name, settings in NETWORKS.items():
        results[name] = measure(settings, device, options.repeats)
        print(
            f"{name:<24}{results[name]['ours_s']:>14.3f}{results[name]['bare_s']:>15.3f}{results[name]['ratio']:>8.3f}"
        )
    print(json.dumps({name: round(result["ratio"], 4) for name, result in results.items()}))


if __name__ == "__main__":
    main()

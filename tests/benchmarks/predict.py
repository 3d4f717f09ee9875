"""Speed of prediction from one camera on one core: many frames at once, and live, frame by frame.

Simulated detections of a walking person, with a lens that distorts; networks of random weights in the sizes that are
trained: residual of width 256 (the demo's) and 1024, and a temporal one. Placing the root is included, reading and
writing files are not; "flip" is with the second, mirrored prediction, "smooth" with smoothing as well: what
`trilift predict` does by default.
Run: make bench NAME=predict
"""

import argparse
import json
import time

import cmu_mocap
import numpy as np
import torch

from trilift.formats import Camera
from trilift.lifter.inputs import number_of_features
from trilift.lifter.lifter import Lifter
from trilift.lifter.networks import build
from trilift.lifter.settings import NetworkSettings
from trilift.lifter.smoothing import Smoothing
from trilift.predict.predictor import Predictor
from trilift.simulate.body import sample_body
from trilift.simulate.detector import LEVELS
from trilift.simulate.motions import simulate_motion
from trilift.skeletons import H36M17

MOST_MS, FEWEST_FRAMES_PER_S = 2.0, 20_000
NETWORKS = {
    "residual 256": NetworkSettings(kind="residual", width=256, blocks=2, dropout=0.1),
    "residual 1024": NetworkSettings(kind="residual", width=1024, blocks=2, dropout=0.1),
    "temporal 27 x 256": NetworkSettings(kind="temporal", width=256, frames=27, dropout=0.1),
}


def make_lifter(network: NetworkSettings) -> Lifter:
    torch.manual_seed(0)
    size = number_of_features(H36M17)
    numbers = torch.zeros(size), torch.ones(size), torch.zeros(len(H36M17), 3)
    facts = {"dataset": "none", "settings": {"augmentation": {}}, "layouts": ["h36m17"]}
    return Lifter(build(size, 3 * (len(H36M17) - 1), network).eval(), network, H36M17, *numbers, facts)


def see(frames: int) -> tuple[Camera, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    joints = simulate_motion("walking", sample_body(rng), frames, 50.0, rng)
    motion = cmu_mocap.Motion(joints, np.zeros(frames, int), np.full(frames, "one"), 50.0, "walking")
    seen, (cameras, image_size) = cmu_mocap.see(motion, LEVELS["off-the-shelf"]), cmu_mocap.rig()
    arrays = (getattr(cameras, name)[0].numpy() for name in ("K", "distortion", "R", "t"))
    return Camera("view1", *arrays, image_size[0]), seen.pixels[:, 0].numpy(), seen.confidence[:, 0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--live-frames", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    camera, pixels, confidence = see(options.frames)
    ratios = {}
    print(f"{'network':20} {'':7} {'batch':>15} {'live, median':>13} {'99th percentile':>16}")
    for name, network in NETWORKS.items():
        for added, smoothing in (("", None), ("flip", None), ("smooth", Smoothing(50.0))):
            predictor = Predictor(make_lifter(network), flip=bool(added))
            predictor.predict(pixels[:3000], camera, confidence[:3000], fps=50.0)
            times = []
            for _ in range(3):
                start = time.perf_counter()
                predictor.predict(pixels, camera, confidence, smoothing=smoothing, fps=50.0)
                times.append(time.perf_counter() - start)
            per_s = options.frames / np.median(times)
            ms = []
            frames = iter(zip(pixels[: options.live_frames], confidence, strict=False))
            live, start = predictor.live(frames, camera, smoothing=smoothing, fps=50.0), time.perf_counter()
            for _ in live:
                ms.append(1e3 * (time.perf_counter() - start))
                start = time.perf_counter()
            median, high = np.percentile(ms[50:], [50, 99])
            print(
                f"{name:20} {added:7} {per_s:9,.0f} per s {median:10.2f} ms {high:13.2f} ms",
                flush=True,
            )
            key = f"{name} {added}".strip()
            ratios[key] = {
                "over_20000_per_s": round(per_s / FEWEST_FRAMES_PER_S, 2),
                "of_2_ms": round(median / MOST_MS, 2),
            }
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()

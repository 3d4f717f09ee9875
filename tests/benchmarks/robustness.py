"""How far the lifters that come with trilift can be trusted: their error over what a camera is and where it stands.

People and motions that they did not learn from (a file of CMU motion capture that was left out of `pretrained`, given
to new bodies; without it, the demo's motion) are filmed by SIMULATED cameras and detectors. One thing at a time is
changed: focal length, distance, height, roll; all else stays in the middle of what was learnt. Errors are MPJPE
over the joints but the root, in every view alone, with the mirrored prediction. --figure draws the curves, too.

Run: make bench NAME=robustness
"""

import argparse
import json
from pathlib import Path

import cmu_mocap
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from trilift import skeletons
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.lifter.inputs import rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.simulate.body import sample_body
from trilift.simulate.captured import pieces, read
from trilift.simulate.filming import draw_detector, film
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.simulate.retargeting import retarget
from trilift.simulate.rigs import draw_rig
from trilift.simulate.settings import Detectors, MotionFile, Rigs
from trilift.skeletons import H36M17

FPS, PEOPLE = 50.0, 12
MIDDLE = {"focal": 1.0, "distance_m": 4.0, "height_m": 1.5, "roll_deg": 0.0}
CHANGED = {
    "focal": [0.45, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0],
    "distance_m": [0.7, 1.0, 1.5, 2.5, 4.0, 5.5, 7.0, 10.0],
    "height_m": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
    "roll_deg": [0.0, 10.0, 30.0, 60.0, 90.0, 180.0],
}
LEARNT = {  # what `Rigs` draws; rolls of 10 degrees around upright and around either side
    name: tuple(getattr(Rigs(), name)) for name in ("focal", "distance_m", "height_m")
}
LABELS = {
    "focal": "focal length (longer sides of the image)",
    "distance_m": "distance (m)",
    "height_m": "height of the camera (m)",
    "roll_deg": "roll (degrees)",
}


def motions(rng: np.random.Generator) -> list[np.ndarray]:
    """Poses (frame, 17, 3) of people who are not in the training."""
    file = cmu_mocap.FOLDER / "cmu_h36m17_60hz.npz"
    if not file.exists():
        names = list(MOTIONS)
        return [simulate_motion(names[i % len(names)], sample_body(rng), 300, FPS, rng) for i in range(PEOPLE)]
    clips = [piece for clip in read(file, MotionFile(path=file.name)) for piece in pieces(clip, FPS, 6.0)]
    chosen = rng.permutation(len(clips))[:PEOPLE]
    return [retarget(clips[index].poses, sample_body(rng), FPS, rng) for index in chosen]


def error(lifter: Lifter, people: list[np.ndarray], rigs: Rigs) -> float:
    """MPJPE (mm) over all people, each before two cameras of their own."""
    total = number = 0.0
    rng = np.random.default_rng(1)
    for poses in people:
        rig = draw_rig(rigs, rng)
        detector = draw_detector(Detectors(layouts=["h36m17"], hidden=0.0, without_confidence=0.0), rng)
        seen = film(rig, poses, detector, FPS, rng)
        cameras = Cameras.stack(rig)
        mapping = skeletons.mapping(detector.layout, H36M17)
        rays, confidence = rays_of_joints(
            torch.as_tensor(seen.pixels), torch.as_tensor(seen.confidence), cameras, mapping
        )
        every = lifter.network_settings.every(FPS)
        predicted = lifter.predict(rays, confidence, flip=True, every=every)
        truth = world_to_camera(cameras, torch.as_tensor(poses))
        truth = truth - truth[..., H36M17.root_index, None, :]
        distance = (predicted - truth).norm(dim=-1)[..., 1:]
        known = distance.isfinite()
        total, number = total + float(distance[known].sum()), number + int(known.sum())
    return 1000 * total / number if number else np.nan


def measure(names: list[str]) -> pd.DataFrame:
    people = motions(np.random.default_rng(0))
    rows = []
    for name in names:
        lifter = Lifter.load(folder_of(name))
        for changed, values in CHANGED.items():
            for value in values:
                fixed = {key: [at, at] for key, at in (MIDDLE | {changed: value}).items()}
                rigs = Rigs(cameras=[2, 2], turned=0.0, off_centre=0.2, image_sizes=[[1000, 1000]], **fixed)
                low, high = LEARNT.get(changed, (-100.0, 100.0))
                rows.append(
                    {
                        "lifter": name,
                        "changed": changed,
                        "value": value,
                        "learnt": low <= value <= high and not (changed == "roll_deg" and 10 < value < 80),
                        "mpjpe_mm": error(lifter, people, rigs),
                    }
                )
    table = pd.DataFrame(rows)
    best = table[table["learnt"]].groupby("lifter")["mpjpe_mm"].min()
    table["over_best"] = table["mpjpe_mm"] / table["lifter"].map(best)
    return table


def draw(table: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axes, (changed, label) in zip(figure.subplots(1, 4, sharey=True), LABELS.items(), strict=True):
        own = table[table["changed"] == changed]
        for name, curve in own.groupby("lifter", sort=False):
            axes.plot(curve["value"], curve["mpjpe_mm"], "o-", markersize=3, label=name)
        for low, high in [LEARNT[changed]] if changed in LEARNT else [(-10, 10), (80, 100)]:
            axes.axvspan(max(low, own["value"].min()), high, color="0.92", zorder=0)
        axes.set_xlabel(label)
    figure.axes[0].set(ylabel="MPJPE (mm)", ylim=(0, 1.05 * table["mpjpe_mm"].max()))
    figure.axes[0].legend(frameon=False, title="SIMULATED; learnt: grey")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="also draw the curves")
    options = parser.parse_args()
    table = measure(list(SHIPPED))
    print(table.to_string(index=False, float_format="%.2f"))
    if options.figure:
        draw(table, options.figure)
    worst = table[table["learnt"]].groupby("lifter")["over_best"].max()
    print(json.dumps({f"{name}: worst over best where it learnt": round(value, 3) for name, value in worst.items()}))


if __name__ == "__main__":
    main()

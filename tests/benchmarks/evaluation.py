"""Time and memory of `trilift evaluate` on a test set of the size of Human3.6M's: 540,000 poses.

Writes captures, references, pseudo-labels and a lifter of random weights into a temporary project, and runs the stage
as a process of its own: prediction, all metrics, tables. A tenth of the frames besides shows what the start costs.
Run: make bench NAME=evaluation
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing heavy is imported here: on Linux the peak of a child includes what its parent had when it forked.

DATASET, MOST_SECONDS = "h36m_sized", 30
RECORDINGS = 60


def write_project(project: Path, frames: int) -> None:
    """Write what the stage reads: a person who walks, the same one in every recording."""
    import cmu_mocap
    import numpy as np
    import torch
    import yaml

    from trilift.captures import writing
    from trilift.captures.schema import Recording
    from trilift.lifter.inputs import number_of_features
    from trilift.lifter.lifter import Lifter
    from trilift.lifter.networks import build
    from trilift.lifter.settings import NetworkSettings
    from trilift.project.layout import Layout
    from trilift.simulate.body import sample_body
    from trilift.simulate.detector import LEVELS
    from trilift.simulate.motions import simulate_motion
    from trilift.skeletons import H36M17

    layout = Layout(DATASET, project)
    layout.params.write_text("evaluate: {flip: false}\n")
    split = {"by": "subject", "test": ["S9"]}
    layout.dataset_file.parent.mkdir(parents=True)
    layout.dataset_file.write_text(yaml.safe_dump({"split": split}))
    rng = np.random.default_rng(0)
    length = frames // RECORDINGS
    poses = simulate_motion("walking", sample_body(rng), length, 50.0, rng)
    motion = cmu_mocap.Motion(poses, np.zeros(length, int), np.full(length, "one"), 50.0, "walking")
    seen = cmu_mocap.see(motion, LEVELS["off-the-shelf"])
    cameras, image_size = cmu_mocap.rig()
    table = [Recording(f"S9 walking {n}", "S9", f"walking {n}", 50.0, n * length, length) for n in range(RECORDINGS)]
    views = [f"view{i + 1}" for i in range(len(cameras))]
    facts = {"detections_from": "simulated", "simulated": "yes"}
    with (
        writing.create(layout.captures, "captures", dataset=DATASET, **facts) as captures_file,
        writing.create(layout.references, "references", dataset=DATASET) as references_file,
        writing.create(layout.pseudo_labels, "pseudo_labels", dataset=DATASET) as labels_file,
    ):
        common = {"recordings": table, "skeleton": H36M17}
        capture = captures_file.add_capture("S9", views=views, attributes={"confidence_source": "detector"}, **common)
        reference = references_file.add_capture("S9", **common)
        labels = labels_file.add_capture("S9", views=views, **common)
        for name in ("K", "distortion", "R", "t"):
            capture.write(name, getattr(cameras, name).numpy())
        capture.write("image_size", image_size)
        for row in table:
            capture.write_block(row.frames, pixels=seen.pixels.numpy(), confidence=seen.confidence.numpy())
            reference.write_block(row.frames, poses=seen.poses)
            labels.write_block(row.frames, training_poses=seen.poses + rng.normal(0, 0.01, seen.poses.shape))
    torch.manual_seed(0)
    network = NetworkSettings(kind="residual", width=256, blocks=2, dropout=0.1)
    size = number_of_features(H36M17)
    mean_pose = torch.as_tensor(seen.poses[0] - seen.poses[0, :1]).float()
    lifter = Lifter(
        build(size, 3 * (len(H36M17) - 1), network).eval(),
        network,
        H36M17,
        torch.zeros(size),
        torch.ones(size),
        mean_pose,
        {"layouts": ["h36m17"]},
    )
    lifter.save(layout.results)


def run_stage(project: Path) -> tuple[float, float, float]:
    """Give its time in seconds, start included, that of the processors, and the peak of its memory in MiB."""
    command = [sys.executable, "-m", "trilift", "evaluate", DATASET, "--project", str(project), "--device", "cpu"]
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            printed.seek(0)
            sys.exit(printed.read())
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=135_000, help="of four views each")
    options = parser.parse_args()
    found = {}
    for frames in (options.frames // 10, options.frames):
        with tempfile.TemporaryDirectory() as folder:
            writing = [sys.executable, __file__, "--write", folder, "--frames", str(frames)]
            subprocess.run(writing, check=True)
            found[frames] = run_stage(Path(folder))
        seconds, processors, peak = found[frames]
        print(
            f"{4 * frames:9,d} poses: {seconds:6.1f} s, {processors:6.1f} s of all processors together "
            f"({4 * frames / seconds:9,.0f} poses/s), peak {peak:5.0f} MiB"
        )
    (few, (short, _, low)), (many, (long, processors, high)) = found.items()
    print(f"bar: {MOST_SECONDS} s")
    ratios = {
        "poses": 4 * many,
        "seconds": round(long, 1),
        "seconds_of_processors": round(processors, 1),
        "peak_mib": round(high),
        "over_bar": round(long / MOST_SECONDS, 3),
    }
    ratios |= {
        "memory_growth": round(high / low, 3),
        "poses_per_s_without_start": round(4 * (many - few) / (long - short)),
    }
    print(json.dumps(ratios))


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_project(Path(sys.argv[2]), int(sys.argv[4]))
    else:
        main()

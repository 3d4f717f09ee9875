"""Time and memory of `trilift ingest` on a file of the size of Human3.6M's published 2D detections.

Writes the file in its layout, with simulated people in the published rig: 7 people x 30 recordings x 4 cameras, 2.1
million frames of a camera. Runs the stage as a process of its own, and then one that only loads the file with numpy's
pickle. The file is as numpy writes it today; with --published it is compressed and of pickle protocol 2, as at the
time.
Run: make bench NAME=ingest, or with options: python tests/benchmarks/ingest.py --published
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# Nothing heavy is imported here: on Linux the peak of a child includes what its parent had when it forked.

DATASET = "h36m_sized"
SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
MOST_SECONDS, MOST_MIB = 60, 1024
H36M = Path(__file__).parents[2] / "workflow" / "datasets" / "h36m.yaml"
PLAIN = "import sys, numpy; numpy.load(sys.argv[1], allow_pickle=True)['positions_2d'].item()"


class Run(NamedTuple):
    seconds: float  # wall, start included
    busy: float  # seconds of the processor
    peak: float  # resident, MiB


def write_project(project: Path, frames: int, published: bool) -> None:
    """Write the settings and the detections, `frames` in each recording."""
    import numpy as np
    import torch
    import yaml

    sys.path.insert(0, str(Path(__file__).parents[1]))
    import human36m_standin
    from trilift.formats import human36m, videopose3d
    from trilift.geometry.cameras import Cameras
    from trilift.geometry.cameras import project as see
    from trilift.project.layout import Layout
    from trilift.simulate.body import sample_body
    from trilift.simulate.motions import simulate_motion

    layout = Layout(DATASET, project)
    layout.params.write_text("ingest: {}\n")
    layout.dataset_file.parent.mkdir(parents=True)
    sections = yaml.safe_load(H36M.read_text("utf-8"))
    del sections["ingest"]["reference"]
    layout.dataset_file.write_text(yaml.safe_dump(sections))

    rng, rigs, detections = np.random.default_rng(0), human36m.read_cameras(), {}
    for subject in SUBJECTS:
        body, cameras, detections[subject] = sample_body(rng), Cameras.stack(rigs[subject]), {}
        for action, takes in human36m_standin.TAKES.items():
            for take in takes:
                joints = simulate_motion(human36m_standin.MOTION_OF[action], body, frames, human36m_standin.FPS, rng)
                pixels = see(cameras, torch.as_tensor(joints)).numpy()
                found = (pixels + rng.normal(0, 2, pixels.shape)).astype(np.float32)
                detections[subject][take] = list(np.ascontiguousarray(found.swapaxes(0, 1)))
    layout.raw.mkdir(parents=True)
    if published:
        human36m_standin.write(
            layout.raw, human36m_standin.StandIn({subject: {} for subject in SUBJECTS}, detections)
        )
    else:
        videopose3d.write_detections(layout.raw / sections["ingest"]["detections"]["path"], detections)


def run(*arguments: str) -> Run:
    """Run Python in a process of its own, which must not print a warning."""
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode or "WARNING" in text:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{text[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2500, help="of each of the 210 recordings")
    parser.add_argument("--published", action="store_true", help="compressed, pickle protocol 2")
    parser.add_argument("--folder", type=Path, help="where the temporary files go (700 MB)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        project = Path(temporary)
        arguments = (project, options.frames, options.published)
        writer = multiprocessing.get_context("spawn").Process(target=write_project, args=arguments)
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit(f"writing the detections ended with {writer.exitcode}")
        (file,) = (project / "data" / "raw" / DATASET).glob("data_2d*.npz")
        size = file.stat().st_size / 2**20
        runs = {
            "trilift ingest": run("-m", "trilift", "ingest", DATASET, "--project", temporary),
            "numpy.load": run("-c", PLAIN, str(file)),
        }
    view_frames = len(SUBJECTS) * 30 * 4 * options.frames
    print(f"{view_frames} frames of a camera, {size:.0f} MiB, {os.cpu_count()} CPUs")
    print(f"{'':<16}{'seconds':>12}{'CPU seconds':>12}{'peak MiB':>12}")
    for name, measured in runs.items():
        print(f"{name:<16}{measured.seconds:>12.1f}{measured.busy:>12.1f}{measured.peak:>12.0f}")
    ingest, plain = runs.values()
    print(f"bars: {MOST_SECONDS} s, {MOST_MIB} MiB")
    figures = {
        "seconds": round(ingest.seconds, 1),
        "peak_mib": round(ingest.peak),
        "over_plain_load": round(ingest.seconds / plain.seconds, 2),
        "view_frames": view_frames,
        "within_bars": ingest.seconds < MOST_SECONDS and ingest.peak < MOST_MIB,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

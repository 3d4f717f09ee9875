"""Memory and speed of `trilift triangulate` on long recordings.

Writes a file of captures, made block by block in a temporary folder on disk, runs the stage on it as a process of its
own, and reports the peak of that process's resident memory. With several lengths it shows whether memory grows.
Run: make bench NAME=streaming, or with options: python tests/benchmarks/streaming.py --frames 100000 400000
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

# Nothing heavy is imported here: on Linux the peak of a child includes what its parent had when it forked.

FPS = 60.0
DATASET = "long"


def write_project(project: Path, frames: int, settings: str) -> None:
    """Write the settings and the detections of a person who walks, the same ones in every block."""
    import cmu_mocap
    import numpy as np

    from trilift.captures import reading, writing
    from trilift.captures.schema import Recording
    from trilift.project.layout import Layout
    from trilift.simulate.body import sample_body
    from trilift.simulate.detector import LEVELS
    from trilift.simulate.motions import simulate_motion
    from trilift.skeletons import H36M17

    layout = Layout(DATASET, project)
    layout.params.write_text(f"triangulate: {settings}\n")
    rng = np.random.default_rng(0)
    size = min(frames, reading.FRAMES_PER_BLOCK)
    joints = simulate_motion("walking", sample_body(rng), size, FPS, rng)
    motion = cmu_mocap.Motion(joints, np.zeros(size, int), np.full(size, "one"), FPS, "walking")
    seen = cmu_mocap.see(motion, LEVELS["off-the-shelf"])
    cameras, image_size = cmu_mocap.rig()
    keypoints, confidence = seen.pixels.numpy(), seen.confidence.numpy()

    layout.captures.parent.mkdir(parents=True)
    with writing.create(layout.captures, "captures", dataset=DATASET) as file:
        capture = file.add_capture(
            cmu_mocap.SUBJECT,
            recordings=[Recording("walking", cmu_mocap.SUBJECT, "walking", FPS, 0, frames)],
            skeleton=H36M17,
            views=[f"view{i + 1}" for i in range(len(cameras))],
            attributes={"detections_from": "simulated", "confidence_source": "detector"},
        )
        for name in ("K", "distortion", "R", "t"):
            capture.write(name, getattr(cameras, name).numpy())
        capture.write("image_size", image_size)
        for block in reading.blocks(frames):
            length = block.stop - block.start
            capture.write_block(block, pixels=keypoints[:length], confidence=confidence[:length])


def run_stage(project: Path, device: str) -> tuple[float, float]:
    """Run the stage; returns its time in seconds, start included, and the peak of its resident memory in MiB."""
    command = [sys.executable, "-m", "trilift", "triangulate", DATASET, "--project", str(project), "--device", device]
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            printed.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{printed.read()[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return seconds, usage.ru_maxrss * unit / 2**20


def measure(frames: int, folder: Path | None, device: str, settings: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        project = Path(temporary)
        writer = multiprocessing.get_context("spawn").Process(target=write_project, args=(project, frames, settings))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit(f"writing the captures ended with {writer.exitcode}")
        seconds, peak = run_stage(project, device)
        read, written = (
            sum(file.stat().st_size for file in (project / "data" / kind).iterdir()) / 2**20
            for kind in ("captures", "pseudo_labels")
        )
    return {"seconds": seconds, "peak_MiB": peak, "read_MiB": read, "written_MiB": written}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[200_000, 2_000_000], help="lengths, in frames")
    parser.add_argument("--folder", type=Path, help="where the temporary files go (about 4 kB per frame)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--settings", default="{}", help="of the stage, as YAML: '{smoothing: null}'")
    options = parser.parse_args()
    print(f"4 views x 17 keypoints, {options.device}, {os.cpu_count()} CPUs, settings {options.settings}")
    heads = ("frames", "read MiB", "written MiB", "seconds", "frames/s", "points/s", "peak MiB")
    print("".join(f"{head:>12}" for head in heads))
    results = {}
    for frames in options.frames:
        result = measure(frames, options.folder, options.device, options.settings)
        speed = frames / result["seconds"]
        row = (
            frames,
            result["read_MiB"],
            result["written_MiB"],
            result["seconds"],
            speed,
            17 * speed,
            result["peak_MiB"],
        )
        print("".join(f"{value:>12.0f}" for value in row), flush=True)
        results[frames] = {"frames_per_second": round(speed), "peak_MiB": round(result["peak_MiB"])}
    peaks = [result["peak_MiB"] for result in results.values()]
    print(json.dumps({"lengths": results, "peak_of_last_over_first": round(peaks[-1] / peaks[0], 3)}))


if __name__ == "__main__":
    main()

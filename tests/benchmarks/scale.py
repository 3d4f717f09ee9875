"""How time and memory grow with the size of the data, and with the number of data sets and runs.

Part `data`: `trilift ingest` and `trilift triangulate` on 2, 20 and 200 captures of 25,000 frames, the last 5 million
in all. A frame is one instant, seen by all 4 cameras in 17 keypoints.
Part `engines`: what Snakemake and DVC cost, with many data sets, and with a sweep. The stages are stand-ins that do
nothing but write their files. All is made by `snakemake --cores 2`; then, where there is nothing left to do,
`snakemake -n`, `dvc status`, and `snakemake -n` when it has to take everything over from dvc.lock (after `dvc pull`).
Last, how long a job of each real stage takes to start.
Run: make bench NAME=scale, or with options: python tests/benchmarks/scale.py --part data --captures 2 20
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from conftest import Project, make_project

# Nothing heavy is imported here: on Linux the peak of a child includes what its parent had when it forked.

FPS = 50.0
DATASET = "many"
SINGLE_FRAMES = {"smoothing": None, "diagnose": False}
MIB = 2**20


class Run(NamedTuple):
    seconds: float  # wall, start included
    busy: float  # seconds of the processors
    peak: float  # resident, MiB


def run(*arguments: str) -> Run:
    """Run Python in a process of its own."""
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            printed.seek(0)
            raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{printed.read()[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / MIB)


def write_project(project: Path, captures: int, frames: int) -> None:
    """Write raw files: one capture is simulated, and written under as many names, each with its calibration."""
    import numpy as np
    import torch
    import yaml
    from scipy.spatial.transform import Rotation

    from trilift.formats import human36m, videopose3d
    from trilift.geometry.cameras import Cameras
    from trilift.geometry.cameras import project as see
    from trilift.project.layout import Layout
    from trilift.simulate.body import sample_body
    from trilift.simulate.detector import LEVELS, detect
    from trilift.simulate.motions import simulate_motion
    from trilift.skeletons import H36M17

    layout = Layout(DATASET, project)
    rng, rig = np.random.default_rng(0), human36m.read_cameras()["S1"]
    joints = simulate_motion("walking", sample_body(rng), frames, FPS, rng)
    pixels = see(Cameras.stack(rig), torch.as_tensor(joints)).numpy()
    image_size = np.stack([camera.image_size for camera in rig])
    found = detect(pixels, image_size, H36M17, FPS, LEVELS["off-the-shelf"], rng)
    seen = np.concatenate([found.pixels, found.confidence[..., None]], -1).astype(np.float32)
    views, poses = list(np.ascontiguousarray(seen.swapaxes(0, 1))), joints.astype(np.float32)
    calibration = "".join(
        f"[camera_{camera.name}]\nname = '{camera.name}'\nsize = {camera.image_size.tolist()}\n"
        f"matrix = {camera.K.tolist()}\ndistortions = {camera.distortion.tolist()}\n"
        f"rotation = {Rotation.from_matrix(camera.R).as_rotvec().tolist()}\ntranslation = {camera.t.tolist()}\n\n"
        for camera in rig
    )
    for number in range(captures):
        name = f"person{number:03}"
        folder = layout.raw / name
        folder.mkdir(parents=True)
        (folder / "calibration.toml").write_text(calibration)
        videopose3d.write_detections(folder / "detections.npz", {name: {"walking": views}})
        with (folder / "reference.npz").open("wb") as file:
            np.savez(file, positions_3d=np.array({name: {"walking": poses}}, dtype=object))
    layout.params.write_text("ingest: {}\n")
    layout.dataset_file.parent.mkdir(parents=True)
    source = {
        "detections": {"format": "videopose3d", "path": "*/detections.npz", "detector": "simulated detector"},
        "cameras": {"format": "toml", "path": "*/calibration.toml"},
        "reference": {"format": "videopose3d", "path": "*/reference.npz"},
        "fps": FPS,
        "simulated": True,
    }
    layout.dataset_file.write_text(yaml.safe_dump({"ingest": source}))


def mebibytes(*folders: Path) -> float:
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()) / MIB


def measure_data(captures: int, frames: int, smooth: bool, folder: Path | None) -> dict[str, dict[str, float]]:
    """Write a data set, run both stages on it, print a line for each; with `smooth`, once more with the defaults."""
    figures = {}
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        project, data = Path(temporary), Path(temporary) / "data"
        writer = multiprocessing.get_context("spawn").Process(target=write_project, args=(project, captures, frames))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit(f"writing the raw files ended with {writer.exitcode}")
        stages = [("ingest", "ingest", {}), ("triangulate, single frames", "triangulate", SINGLE_FRAMES)]
        if smooth:
            stages.append(("triangulate, defaults", "triangulate", {}))
        for label, stage, settings in stages:
            (project / "params.yaml").write_text(json.dumps({stage: settings}))
            measured = run("-m", "trilift", stage, DATASET, "--project", temporary)
            read, written = (
                ((data / "raw",), (data / "captures", data / "references"))
                if stage == "ingest"
                else ((data / "captures",), (data / "pseudo_labels",))
            )
            figures[label] = {
                "read_MiB": round(mebibytes(*read)),
                "written_MiB": round(mebibytes(*written)),
                "seconds": round(measured.seconds, 1),
                "cpu_seconds": round(measured.busy, 1),
                "peak_MiB": round(measured.peak),
            }
            values = (captures, captures * frames, *figures[label].values())
            print(f"{label:<28}" + "".join(f"{value:>12}" for value in values), flush=True)
    return figures


def part_data(options: argparse.Namespace) -> dict[str, object]:
    fewest, *_, most = numbers = sorted(options.captures) if len(options.captures) > 1 else options.captures * 2
    print(f"{options.frames} frames a capture, 4 views x 17 keypoints at an instant, {os.cpu_count()} CPUs")
    print(
        "single frames: {smoothing: null, diagnose: false}; the defaults, which smooth, only on the fewest captures"
    )
    heads = ("captures", "frames", "read MiB", "written MiB", "seconds", "CPU seconds", "peak MiB")
    print(f"{'':<28}" + "".join(f"{head:>12}" for head in heads))
    measured = {
        number: measure_data(number, options.frames, number == fewest, options.folder)
        for number in dict.fromkeys(numbers)
    }
    growth = {
        label: {
            figure: round(last[figure] / measured[fewest][label][figure], 2) for figure in ("seconds", "peak_MiB")
        }
        for label, last in measured[most].items()
    }
    print(f"with {most / fewest:g} times as many captures: {growth}")
    return {"captures": {str(number): figures for number, figures in measured.items()}, "growth": growth}


def seconds(project: Project, *command: str) -> float:
    start = time.perf_counter()
    project.run(*command)
    return time.perf_counter() - start


def measure_engines(project: Project, times: int) -> dict[str, float]:
    """Let Snakemake make everything, then see what it costs to find nothing to do."""
    listed = project.run("snakemake", "-n").stdout
    jobs = int(next(line for line in listed.splitlines() if line.startswith("total")).split()[1])
    whole = seconds(project, "snakemake", "--cores", "2")
    commands = {"snakemake -n": ("snakemake", "-n"), "dvc status": ("dvc", "status")}
    idle = {name: median(seconds(project, *command) for _ in range(times)) for name, command in commands.items()}
    (project.path / ".snakemake/trilift_bridge.json").unlink()
    idle["taken over"] = seconds(project, "snakemake", "-n")
    if left := project.jobs() | project.changed():
        raise SystemExit(f"not all is up to date: {left}")
    figures = {"jobs": jobs, "whole run": whole, "per job": whole / jobs, **idle}
    return {name: round(value, 2) for name, value in figures.items()}


def with_data_sets(start: Project, folder: Path, number: int) -> Project:
    project = start.copy(folder / f"data_sets_{number}")
    names = ["demo", *(f"copy{i}" for i in range(1, number))]
    for name in names[1:]:
        shutil.copytree(project.path / "data/raw/demo", project.path / "data/raw" / name)
        shutil.copy(project.path / "workflow/datasets/demo.yaml", project.path / f"workflow/datasets/{name}.yaml")
    project.set("datasets", names)
    return project


def with_sweep(start: Project, folder: Path, runs: int) -> Project:
    project = start.copy(folder / "sweep")
    weights = {f"consistency{i}": {"multi_view_consistency": 0.1 * i} for i in range(1, 7)}
    project.set("sweep", {"seeds": list(range(runs // len(weights))), "losses": weights})
    return project


def part_engines(options: argparse.Namespace) -> dict[str, object]:
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        start = make_project(folder / "start", stand_in=True)
        start.snakemake("--until", "simulate")
        cases = [(f"{n} data sets", with_data_sets(start, folder, n)) for n in options.data_sets]
        cases.append((f"sweep of {options.runs} runs", with_sweep(start, folder, options.runs)))
        for number, (label, project) in enumerate(cases):
            measured = measure_engines(project, options.times)
            if not number:
                print("seconds" + " " * 21 + "".join(f"{head:>14}" for head in measured))
            print(f"{label:<28}" + "".join(f"{value:>14}" for value in measured.values()), flush=True)
            figures[label] = measured
    print("start of a job (seconds), and whether it loads torch")
    for stage in ("simulate", "ingest", "triangulate", "train", "evaluate", "plot"):
        program = f"import sys, trilift.cli, trilift.{stage}.stage; sys.exit(7 * ('torch' in sys.modules))"
        starts = []
        for _ in range(options.times):
            begun = time.perf_counter()
            with_torch = subprocess.run([sys.executable, "-c", program]).returncode == 7
            starts.append(time.perf_counter() - begun)
        figures[f"start of {stage}"] = round(median(starts), 2)
        print(f"{stage:<28}{median(starts):>14.2f}{'torch' if with_torch else '':>14}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["data", "engines", "both"], default="both")
    parser.add_argument("--captures", type=int, nargs="+", default=[2, 20, 200])
    parser.add_argument("--frames", type=int, default=25_000, help="of each capture")
    parser.add_argument("--folder", type=Path, help="where the temporary files go (data: 15 GB)")
    parser.add_argument("--data-sets", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--runs", type=int, default=60, help="of the sweep")
    parser.add_argument("--times", type=int, default=3, help="how often the commands that do nothing are run")
    options = parser.parse_args()
    parts = {"data": part_data, "engines": part_engines}
    print(json.dumps({name: part(options) for name, part in parts.items() if options.part in (name, "both")}))


if __name__ == "__main__":
    main()

"""Cameras placed by the people that they see: how far off, how sure of it, how fast; beside a chain of `recoverPose`.

SIMULATED: a minute of motion capture before Human3.6M's rig and drawn ones (`rigs_by_people`), with known intrinsics;
with unknown focal lengths (the first guess is 1.2 longer sides for all; principal point and distortion are known);
and with cameras that are up to 2 s late or early. Rotations are those between every two cameras. Positions are
compared after the similarity (scale, rotation, shift) that fits the centres best, by least squares. Ellipsoids are
tested on the errors that are left after the similarity that fits centres and rotations best, a radian counting as
much as the person's distance in metres: a share of 95 % of rotations and positions should lie within. Pseudo-labels
are triangulated with the scales that their errors were drawn with and compared with the truth after that same
similarity. Cameras that were not placed and rigs that were refused are counted, and left out of all errors.

REAL: two recordings, against the calibrations of their files (`rigs_recorded`).

SPEED: 4 cameras and 10,000 frames; the memory that is added to what the program holds before, compiled code and all,
over that for 2,500.

HumanCalib is run on the same detections, with known intrinsics, if a Python that has it is named (--humancalib; see
`humancalib_beside`).

Run: make bench NAME=calibrate
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import humancalib_beside
import numpy as np
import rigs_by_people as people
import rigs_recorded
import torch

from trilift.geometry.calibration.calibrate import calibrate
from trilift.geometry.calibration.findings import Rig, Undetermined
from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import triangulate_robust
from trilift.skeletons import H36M17

CASES = ("known", "focal", "late")
GUESS, MAX_OFFSET_S = 1.2, 2.0
CHI2_95 = 7.815  # three degrees of freedom
BARS = {
    "rotation_deg": (0.0, 0.15),
    "position_mm": (0.0, 10.0),
    "worst_rig_deg": (0.0, 0.5),
    "within_rotation": (0.90, 0.98),
    "within_position": (0.90, 0.98),
    "focal_percent": (0.0, 1.0),
    "worst_late_frames": (0.0, 0.2),
    "labels_over_true_rig": (0.0, 1.05),
}
"""What is aimed at, least and most: with known intrinsics; and the errors of what else is sought."""


def guessed(scene: people.Scene) -> Cameras:
    """Take all focal lengths for the same number of longer sides of the image."""
    K = scene.cameras.K.clone()
    K[:, [0, 1], [0, 1]] = torch.as_tensor(GUESS * scene.image_size.max(1)).double()[:, None]
    return replace(scene.cameras, K=K)


def solve(scene: people.Scene, case: str) -> tuple[Rig, float]:
    """Calibrate; gives the seconds, too."""
    given = people.unplaced(guessed(scene) if case == "focal" else scene.cameras)
    begin = time.perf_counter()
    rig = calibrate(
        given,
        torch.as_tensor(scene.pixels),
        torch.as_tensor(scene.confidence),
        H36M17,
        scene.fps,
        scale=scene.scale,
        image_size=torch.as_tensor(scene.image_size),
        segments=torch.as_tensor(scene.clip),
        focal_groups=list(range(len(scene.rig))) if case == "focal" else (),
        max_offset_s=MAX_OFFSET_S,
        find_offsets=case == "late",
    )
    return rig, time.perf_counter() - begin


def label_errors(scene: people.Scene, rigs: Sequence[tuple[Cameras, list[int]]], reach: float) -> list[float]:
    """Mean error (m) of pseudo-labels by each of several rigs, over the points that all of them give."""
    errors = []
    for cameras, views in rigs:
        pixels = torch.as_tensor(scene.pixels[:, views]).double()
        points = triangulate_robust(cameras, pixels, scene.error_scale[:, views].double()).poses
        placed = people.align(cameras, scene.cameras[views], reach).place(points)
        errors.append((placed - torch.as_tensor(scene.poses)).norm(dim=-1))
    shared = torch.stack([error.isfinite() for error in errors]).all(0)
    return [float(error[shared].mean()) for error in errors]


def measure(scene: people.Scene, case: str, python: str | None) -> dict[str, Any]:
    """Calibrate a scene and compare with the truth; errors that are not of a single number are lists."""
    naive = people.naive(guessed(scene) if case == "focal" else scene.cameras, scene.pixels, scene.confidence)
    row: dict[str, Any] = {"case": case, "cameras": len(scene.rig), "refused": ""}
    kept = people.placed(naive)
    for name, compare in (("naive_deg", people.rotation_errors), ("naive_mm", people.position_errors)):
        row[name] = compare(naive[kept], scene.cameras[kept]).tolist() if len(kept) > 1 else []
    if python and case == "known":
        row["humancalib_failed"] = 0
        try:
            placed, row["humancalib_seconds"] = humancalib_beside.place(python, scene)
            row["humancalib_deg"] = people.rotation_errors(placed, scene.cameras).tolist()
            row["humancalib_mm"] = people.position_errors(placed, scene.cameras).tolist()
        except humancalib_beside.Failed:
            row["humancalib_failed"] = 1
    try:
        rig, row["seconds"] = solve(scene, case)
    except Undetermined as error:
        return row | {"refused": str(error)}
    views = people.placed(rig.cameras)
    found, true = rig.cameras[views], scene.cameras[views]
    row["not_placed"] = len(scene.rig) - len(views)
    row["weak"] = sum(camera.verdict == "weak" for camera in rig.found)
    row["problems"] = list(rig.problems)
    row["deg"] = people.rotation_errors(found, true).tolist()
    row["mm"] = people.position_errors(found, true).tolist()
    reach = people.reach(true, scene.poses)
    aligned = people.align(found, true, reach)
    row["size_percent"] = 100 * abs(aligned.scale - 1)
    if len(views) > 2:  # two cameras have fewer errors than their ellipsoids have axes
        covariance = np.stack([rig.found[view].covariance.numpy() for view in views])
        within = people.standardised(aligned.cameras, true, covariance) < CHI2_95
        row["within_rotation"], row["within_position"] = within.T.tolist()
    if case == "focal":
        row["focal_percent"] = (100 * (found.K[:, 0, 0] / true.K[:, 0, 0] - 1).abs()).tolist()
    if case == "late":
        expected = scene.late - scene.late[0]
        row["late_frames"] = [abs(rig.found[view].late_frames - expected[view]) for view in views if view]
    else:
        everywhere = list(range(len(scene.rig)))
        errors = label_errors(scene, [(scene.cameras, everywhere), (found, views)], reach)
        row["labels_over_true_rig"] = errors[1] / errors[0]
    return row


def pooled(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """All values of a name, over all rigs."""
    return np.concatenate([np.ravel(row[name]) for row in rows if name in row] or [np.empty(0)])


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    solved = [row for row in rows if not row["refused"]]
    if not solved:
        return {"rigs": len(rows), "refused": len(rows)}
    line = {
        "rigs": len(rows),
        "refused": len(rows) - len(solved),
        "not_placed": sum(row["not_placed"] for row in solved),
        "weak": sum(row["weak"] for row in solved),
        "rotation_deg": np.median(pooled(solved, "deg")),
        "worst_rig_deg": max(np.median(row["deg"]) for row in solved),
        "worst_pair_deg": pooled(solved, "deg").max(),
        "position_mm": np.median(pooled(solved, "mm")),
        "worst_rig_mm": max(np.median(row["mm"]) for row in solved),
        "worst_camera_mm": pooled(solved, "mm").max(),
        "size_percent": np.median(pooled(solved, "size_percent")),
        "within_rotation": pooled(solved, "within_rotation").mean(),
        "within_position": pooled(solved, "within_position").mean(),
        "seconds": np.median(pooled(solved, "seconds")),
        "naive_rotation_deg": np.median(pooled(rows, "naive_deg")),
        "naive_worst_rig_deg": max(np.median(row["naive_deg"]) for row in rows if row["naive_deg"]),
        "naive_position_mm": np.median(pooled(rows, "naive_mm")),
    }
    for name in ("focal_percent", "late_frames", "labels_over_true_rig"):
        if len(values := pooled(solved, name)):
            line |= {name: np.median(values), f"worst_{name}": values.max()}
    if len(values := pooled(rows, "humancalib_deg")):
        with_it = [row for row in rows if "humancalib_deg" in row]
        line |= {
            "humancalib_failed": len(rows) - len(with_it),
            "humancalib_rotation_deg": np.median(values),
            "humancalib_worst_rig_deg": max(np.median(row["humancalib_deg"]) for row in with_it),
            "humancalib_position_mm": np.median(pooled(rows, "humancalib_mm")),
            "humancalib_seconds": np.median(pooled(rows, "humancalib_seconds")),
        }
    return {name: value if isinstance(value, int) else round(float(value), 4) for name, value in line.items()}


def told(row: dict[str, Any], name: str) -> str:
    """One line on one rig."""
    begin = f"{name:11}{row['cameras']:8d} {row['case']:6}"
    naive = f"{np.median(row['naive_deg']):8.2f} {np.median(row['naive_mm']):6.0f}" if row["naive_deg"] else ""
    if row["refused"]:
        return f"{begin} refused: {row['refused'][:60]} | {naive}"
    within = sum(row.get("within_rotation", [])) + sum(row.get("within_position", []))
    extra = {
        "focal": lambda: f"focal {np.median(row['focal_percent']):.2f} %",
        "late": lambda: f"late {max(row['late_frames'], default=np.nan):.2f} frames",
        "known": lambda: "",
    }[row["case"]]()
    if "humancalib_deg" in row:
        other = np.median(row["humancalib_deg"]), np.median(row["humancalib_mm"]), row["humancalib_seconds"]
        extra = "HumanCalib {:.2f} deg {:.0f} mm {:.0f} s".format(*other)
    flags = f"{row['weak']} weak, {row['not_placed']} not placed; " if row["weak"] or row["not_placed"] else ""
    errors = f"{np.median(row['deg']):7.3f} {max(row['deg']):6.3f} {np.median(row['mm']):8.1f} {max(row['mm']):6.1f}"
    labels = row.get("labels_over_true_rig", np.nan)
    return (
        f"{begin} {errors} {row['size_percent']:6.2f} {within:4d}/{2 * len(row['mm']):<3d} {labels:6.3f} "
        f"{row['seconds']:6.1f} | {naive} | {flags}{extra}{'; '.join(['', *row['problems']])}"
    )


def simulated(rigs: int, seconds: float, cases: Sequence[str], python: str | None) -> dict[str, Any]:
    print(
        "SIMULATED   cameras case  deg: median worst  mm: median worst size % within  labels seconds | chain: deg mm"
    )
    rows = []
    for number in range(rigs + 1):
        rng = np.random.default_rng(number)
        walk = people.minute(number, seconds)
        rig = people.draw(3 + (number - 1) % 6, walk.poses, rng) if number else people.human36m_rig()
        late = np.append(0, rng.uniform(-MAX_OFFSET_S, MAX_OFFSET_S, len(rig) - 1) * walk.fps)
        for case in cases:
            scene = people.see(rig, walk, np.random.default_rng(number), late if case == "late" else None)
            rows.append(measure(scene, case, python))
            print(told(rows[-1], f"drawn {number}" if number else "Human3.6M"), flush=True)
    line = {case: summarise([row for row in rows if row["case"] == case]) for case in cases}
    for name in dict.fromkeys(name for found in line.values() for name in found):
        values = {case: found[name] for case, found in line.items() if name in found}
        low, high = BARS.get(name, (-np.inf, np.inf))
        missed = [case for case, value in values.items() if not low <= value <= high]
        verdict = f"MISSED: {', '.join(missed)}" if missed else "ok"
        aim = f" ({low:g} to {high:g}: {verdict})" if name in BARS else ""
        print(f"{name:28} " + "  ".join(f"{case} {value:<8g}" for case, value in values.items()) + aim)
    return line


def _timed(frames: int) -> tuple[float, int]:
    """Seconds for so many frames, and bytes beside them; a short run comes first, so that all is compiled."""
    rig, rng = people.human36m_rig(), np.random.default_rng(0)
    scene = people.see(rig, people.long_walk(frames), rng)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("VmRSS")
    solve(people.see(rig, people.minute(0, 10), rng), "known")
    seconds = solve(scene, "known")[1]
    return seconds, _resident("VmHWM") - before


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


def speed() -> dict[str, float]:
    line = {}
    for frames in (2_500, 10_000):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory = pool.apply(_timed, (frames,))
        line |= {f"seconds_{frames}": round(seconds, 2), f"mib_{frames}": round(memory / 2**20, 1)}
        print(f"SPEED: 4 cameras, {frames} frames: {seconds:.1f} s, {memory / 2**20:.0f} MiB", flush=True)
    return line | {"memory_ratio": round(line["mib_10000"] / max(line["mib_2500"], 1), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rigs", type=int, default=20, help="drawn, beside Human3.6M's")
    parser.add_argument("--seconds", type=float, default=60.0, help="of motion")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="of the simulated part")
    parser.add_argument("--quick", action="store_true", help="6 rigs and half a minute")
    parser.add_argument("--humancalib", metavar="PYTHON", help="a Python that has HumanCalib, to run it beside")
    parser.add_argument("--only", choices=["simulated", "real", "speed"])
    options = parser.parse_args()
    if options.quick:
        options.rigs, options.seconds = min(options.rigs, 6), min(options.seconds, 30.0)
    cv2.setNumThreads(1)
    line: dict[str, Any] = {}
    if options.only in (None, "simulated"):
        line["simulated"] = simulated(options.rigs, options.seconds, options.cases, options.humancalib)
    if options.only in (None, "real"):
        line["real"] = rigs_recorded.compare()
    if options.only in (None, "speed"):
        line["speed"] = speed()
    print(json.dumps(line))


if __name__ == "__main__":
    main()

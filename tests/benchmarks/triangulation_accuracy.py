"""How far triangulated points are from the truth, method by method, on real motion.

Real motion in Human3.6M's rig seen by the simulated detector at its two levels, and the same with noise that is
uncorrelated over time. All methods are compared on the same points: those that at least two views found and for
which every method finds a place.

The oracle is the robust solver told what no solver can know: of each detection the scale that its error was drawn
with, and whether it is an outlier. It is not told the error. An outlier, the joints of a swapped frame among them,
gets the 60 px of the detector model's outliers; its Student t part is small beside them. The scales are those of a
Student t with 3 degrees of freedom, the solver assumes another number: the oracle's covariance is not its aim.

"Time and body" does what the stage does by default: swapped views are exchanged back, then every clip is solved over
time and with constant bone lengths. Those and the correlation over time come from all frames, not from a part.

The covariance is tested on the points all of whose detections count as inliers by the solver's own flags. With e the
error and C the covariance, e^T C^-1 e of a correct one has the median 2.366, and 90 % lie below 6.251 (chi-square
with three degrees of freedom).

Run: snakemake --cores all results/benchmarks/triangulation_accuracy.csv
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import cmu_mocap
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trilift.geometry.noise import inflation, learn
from trilift.geometry.triangulation import Solution, triangulate, triangulate_robust
from trilift.simulate.detector import LEVELS, DetectorModel
from trilift.skeletons import H36M17
from trilift.triangulate.bones import bone_lengths
from trilift.triangulate.settings import Smoothing
from trilift.triangulate.smoothing import smooth
from trilift.triangulate.swaps import exchange, find_swaps

DETECTORS: dict[str, DetectorModel] = LEVELS | {
    f"{name}, uncorrelated": replace(level, correlation_time_s=1e-6) for name, level in LEVELS.items()
}

CHI2_MEDIAN, CHI2_90 = 2.366, 6.251

FORMATS = {
    column: lambda value, digits=digits: "" if np.isnan(value) else f"{value:.{digits}f}"
    for columns, digits in (
        (("mean_mm", "median_mm", "p90_mm"), 2),
        (("tested_points",), 0),
        (("calibration_median", "within_90_percent"), 3),
    )
    for column in columns
}

DLT = "DLT"
CONFIDENCE = "DLT, confidence"
EQUAL = "robust, equal scale"
LEARNT = "robust, learnt noise"
REPAIRED = "robust, swaps exchanged"
BODY = "robust, time and body"
ORACLE = "robust, oracle"


def solve(seen: cmu_mocap.Seen) -> dict[str, Callable[[], tuple[Tensor, Solution | None]]]:
    """The methods; each gives the points and, if it has them, covariance and inliers."""
    cameras, pixels, confidence = seen.cameras, seen.pixels, seen.confidence
    sample = cmu_mocap.sample_frames(len(pixels))
    scale = learn(cameras, pixels[sample], confidence[sample]).scale(confidence)
    # One scale of the right size: which of the detections are good is all that it does not know.
    equal = torch.where(scale.isfinite(), scale[scale.isfinite()].median(), torch.inf)

    def robust(scale: Tensor) -> tuple[Tensor, Solution]:
        solution = triangulate_robust(cameras, pixels, scale.to(pixels.dtype))
        return solution.poses, solution

    @cache
    def robust_repaired() -> tuple[tuple[Tensor, Tensor], Tensor, Solution]:
        swapped = find_swaps(cameras, pixels, scale, robust(scale)[1], H36M17.mirrored)
        repaired = [exchange(values, swapped, H36M17.mirrored) for values in (pixels, scale)]
        solution = triangulate_robust(cameras, *repaired)
        return (repaired[0], repaired[1]), solution.poses, solution

    def smoothed() -> Tensor:
        (pixels, scale), points, solution = robust_repaired()
        settings = Smoothing()
        follows = torch.as_tensor(np.diff(seen.clip, prepend=-1) == 0)
        correlated = inflation(cameras, pixels, scale, points, follows)
        lengths = {}
        for person in np.unique(seen.person):
            own = torch.as_tensor(seen.person == person)
            lengths[person] = bone_lengths(points[own], solution.covariance[own], H36M17.bone_indices)
        found = []
        for clip in np.unique(seen.clip):
            frames = torch.as_tensor(seen.clip == clip)
            found.append(
                smooth(
                    cameras,
                    pixels[frames],
                    scale[frames],
                    points[frames],
                    bones=H36M17.bone_indices,
                    lengths=lengths[seen.person[seen.clip == clip][0]],
                    fps=seen.fps,
                    acceleration=settings.acceleration,
                    bone_spread=settings.bone_spread_mm / 1e3,
                    inflation=correlated,
                )
            )
        return torch.cat(found)

    return {
        DLT: lambda: (triangulate(cameras, pixels)[0], None),
        CONFIDENCE: lambda: (triangulate(cameras, pixels, confidence)[0], None),
        EQUAL: lambda: robust(equal),
        LEARNT: lambda: robust(scale),
        REPAIRED: lambda: robust_repaired()[1:],
        BODY: lambda: (smoothed(), None),
        ORACLE: lambda: robust(seen.true_scale),
    }


def measure(name: str, seen: cmu_mocap.Seen) -> pd.DataFrame:
    truth = torch.as_tensor(seen.poses)
    counts = torch.as_tensor(seen.views >= 2)
    errors, calibration = {}, {}
    for method, run in solve(seen).items():
        points, solution = run()
        errors[method] = 1000 * (points - truth).norm(dim=-1)
        counts &= errors[method].isfinite()
        if solution is not None:
            calibration[method] = calibrate(solution, truth, seen)
    rows = []
    for method, of_method in errors.items():
        known = of_method[counts].numpy()
        rows.append(
            {
                "detector": name,
                "method": method,
                "points": len(known),
                "mean_mm": known.mean(),
                "median_mm": np.median(known),
                "p90_mm": np.quantile(known, 0.9),
                **calibration.get(method, {}),
            }
        )
    return pd.DataFrame(rows).astype({"tested_points": "Int64"})


def calibrate(solution: Solution, truth: Tensor, seen: cmu_mocap.Seen) -> dict[str, float]:
    """Test the covariance of the points all of whose detections are inliers."""
    detected = seen.confidence > 0
    tested = (solution.inlier == detected).all(1) & (detected.sum(1) >= 2) & solution.poses.isfinite().all(-1)
    error = (solution.poses - truth)[tested]
    squared = (error * torch.linalg.solve(solution.covariance[tested].double(), error)).sum(-1)
    return {
        "tested_points": int(tested.sum()),
        "calibration_median": float(squared.median()),
        "within_90_percent": float((squared <= CHI2_90).double().mean()),
    }


def summarise(table: pd.DataFrame) -> dict[str, float]:
    """Ratios of mean errors and calibration, by detector."""
    ratios = {}
    for name, rows in table.set_index("method").groupby("detector", sort=False):
        mean = rows["mean_mm"]
        key = str(name).replace(", ", "_").replace("-", "_")
        ratios |= {
            f"{key}_learnt_over_dlt": mean[LEARNT] / mean[DLT],
            f"{key}_learnt_over_confidence": mean[LEARNT] / mean[CONFIDENCE],
            f"{key}_learnt_over_equal": mean[LEARNT] / mean[EQUAL],
            f"{key}_learnt_over_oracle": mean[LEARNT] / mean[ORACLE],
            f"{key}_body_over_learnt": mean[BODY] / mean[LEARNT],
            f"{key}_body_over_dlt": mean[BODY] / mean[DLT],
            f"{key}_body_over_oracle": mean[BODY] / mean[ORACLE],
            f"{key}_calibration_median_over_expected": rows["calibration_median"][LEARNT] / CHI2_MEDIAN,
            f"{key}_within_90_percent": rows["within_90_percent"][LEARNT],
        }
    return {name: round(float(value), 4) for name, value in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="CSV file to write")
    parser.add_argument("--limit-frames", type=int, help="of every clip only so many frames")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        motion = cmu_mocap.read_motion(options.limit_frames)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None

    tables = []
    for name in options.detectors:
        tables.append(measure(name, cmu_mocap.see(motion, DETECTORS[name])))
        print(tables[-1].astype({"tested_points": float}).to_string(index=False, formatters=FORMATS), flush=True)
    table = pd.concat(tables)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.output, index=False, float_format="%.4f", lineterminator="\n")
    for name, rows in table[table["method"] == LEARNT].groupby("detector", sort=False):
        median, share = rows["calibration_median"].item() / CHI2_MEDIAN, rows["within_90_percent"].item()
        verdict = "ok" if abs(median - 1) <= 0.15 and 0.85 <= share <= 0.95 else "MISSED"
        print(
            f"{name}: covariance: median {median:.3f} of the expected (0.85 to 1.15), "
            f"{share:.1%} within the 90 % ellipsoid (85 to 95 %): {verdict}"
        )
    print(json.dumps(summarise(table)))


if __name__ == "__main__":
    main()

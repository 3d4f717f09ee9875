"""How fast and how exact triangulation is beside what else there is.

Real motion in Human3.6M's rig (4 views with distortion) seen by the simulated off-the-shelf detector; a simulated
motion of the same size where the real one is missing. All methods take turns on the same points in one process, on
the same number of CPUs; a ratio is the median over the turns. The slow ones get an even sample of the points: their
errors are to be compared with ours on that sample. Memory is the growth of the peak during a call, in a process of
its own. Run: make bench NAME=triangulation

It wants a quiet machine: the threads of PyTorch wait for each other in a busy loop, and where other processes take
turns on the same CPUs that is up to 50 times slower (OMP_WAIT_POLICY=PASSIVE in the environment avoids it).
"""

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import cmu_mocap
import cv2
import numpy as np
import torch

from trilift.formats import human36m
from trilift.geometry.cameras import Cameras
from trilift.geometry.noise import learn
from trilift.geometry.triangulation import triangulate, triangulate_robust
from trilift.simulate.detector import LEVELS

SVD_POINTS, RANSAC_POINTS = 20_000, 200

PLAIN = "trilift plain"
ROBUST = "trilift robust + learnt noise"
ROBUST_LEARNT = "  the same, noise learnt before"
FLOOR = "fused loop of plain (numba)"
ANIPOSE = "aniposelib triangulate"
ANIPOSE_FAST = "aniposelib triangulate, fast"
RANSAC = "aniposelib triangulate_ransac"
PAIRS = "OpenCV, mean over pairs of views"
SVD = "SVD per point (numpy)"

INSTALL = 'pip install -c constraints.txt -e ".[bench]"'


@dataclass(frozen=True)
class Detections:
    """What every method starts from: pixels (frame, view, keypoint, 2) and confidence (frame, view, keypoint)."""

    pixels: np.ndarray
    confidence: np.ndarray

    @cached_property
    def cameras(self) -> Cameras:
        return cmu_mocap.rig().cameras

    @cached_property
    def by_view(self) -> np.ndarray:
        """The pixels as (view, point, 2) in double precision, which is how the others take them."""
        frames, views, keypoints, _ = self.pixels.shape
        by_view = self.pixels.swapaxes(0, 1).reshape(views, frames * keypoints, 2)
        return np.ascontiguousarray(by_view, dtype=np.float64)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The points that at least two views found, as positions on the axis of points."""
        return np.flatnonzero((self.confidence > 0).sum(1).ravel() >= 2)

    def sample(self, size: int) -> np.ndarray:
        return self.numbers[np.linspace(0, len(self.numbers) - 1, min(size, len(self.numbers))).astype(int)]


@dataclass(frozen=True)
class Method:
    """A way to triangulate.

    `solve` gives the points (point, 3); `numbers` says which, all if it is None. `prepare` comes before and is not
    measured.
    """

    solve: Callable[[], np.ndarray]
    numbers: np.ndarray | None = None
    prepare: Callable[[], None] = lambda: None


def trilift_methods(detections: Detections) -> dict[str, Method]:
    cameras = detections.cameras
    pixels, confidence = torch.as_tensor(detections.pixels), torch.as_tensor(detections.confidence)
    sample = cmu_mocap.sample_frames(len(pixels))
    learnt = []

    def learn_noise() -> None:
        learnt[:] = [learn(cameras, pixels[sample], confidence[sample])]

    def robust_learnt() -> np.ndarray:
        return triangulate_robust(cameras, pixels, learnt[0].scale(confidence)).poses.numpy().reshape(-1, 3)

    def robust() -> np.ndarray:
        learn_noise()
        return robust_learnt()

    return {
        PLAIN: Method(lambda: triangulate(cameras, pixels)[0].numpy().reshape(-1, 3)),
        ROBUST: Method(robust),
        ROBUST_LEARNT: Method(robust_learnt, prepare=learn_noise),
    }


def aniposelib_methods(detections: Detections) -> dict[str, Method]:
    from aniposelib.cameras import Camera, CameraGroup

    group = CameraGroup(
        [
            Camera(
                matrix=view.K,
                dist=view.distortion,
                size=view.image_size,
                rvec=cv2.Rodrigues(view.R)[0].ravel(),
                tvec=view.t,
                name=view.name,
            )
            for view in human36m.read_cameras()[cmu_mocap.SUBJECT]
        ]
    )
    points, few = detections.by_view, detections.sample(RANSAC_POINTS)
    return {
        ANIPOSE: Method(lambda: group.triangulate(points)),
        ANIPOSE_FAST: Method(lambda: group.triangulate(points, fast=True)),
        RANSAC: Method(lambda: group.triangulate_ransac(points[:, few])[0], few),
    }


def opencv_methods(detections: Detections) -> dict[str, Method]:
    cameras = detections.cameras
    projections = torch.cat([cameras.R, cameras.t[..., None]], -1).numpy()
    points, some = detections.by_view, detections.sample(SVD_POINTS)

    def undistorted(points: np.ndarray) -> np.ndarray:
        lenses = zip(points, cameras.K.numpy(), cameras.distortion.numpy(), strict=True)
        return np.stack([cv2.undistortPoints(seen[:, None], K, distortion)[:, 0] for seen, K, distortion in lenses])

    def mean_over_pairs() -> np.ndarray:
        rays = undistorted(points)
        found = []
        for a, b in itertools.combinations(range(len(rays)), 2):
            homogeneous = cv2.triangulatePoints(projections[a], projections[b], rays[a].T, rays[b].T)
            found.append((homogeneous[:3] / homogeneous[3]).T)
        return np.nanmean(found, 0)

    def svd_per_point() -> np.ndarray:
        found = []
        for point in undistorted(points[:, some]).swapaxes(0, 1):
            seen = np.isfinite(point[:, 0])
            equations = point[seen, :, None] * projections[seen, 2:] - projections[seen, :2]
            homogeneous = np.linalg.svd(equations.reshape(-1, 4))[2][-1]
            found.append(homogeneous[:3] / homogeneous[3])
        return np.array(found)

    return {PAIRS: Method(mean_over_pairs), SVD: Method(svd_per_point, some)}


def floor_method(detections: Detections, threads: int) -> dict[str, Method]:
    """The arithmetic of plain triangulation as one loop that a compiler sees whole: about the least it can cost.

    Undistortion in single precision (inverse radial polynomial, tangential part, one step of Newton's method) and
    normal equations in double, as in the package, but nothing written to memory between them and no check for lenses
    that fold over.
    """
    import numba

    numba.set_num_threads(threads)
    frames_at_once = 16
    one, two, three, six = (np.float32(number) for number in (1, 2, 3, 6))

    # NaN marks what is missing, so "no NaN" is not among the liberties.
    @numba.njit(parallel=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz", "afn"})
    def loop(pixels, lens, inverse, forms, out):  # type: ignore[no-untyped-def]
        frames, views, keypoints, _ = pixels.shape
        for block in numba.prange((frames + frames_at_once - 1) // frames_at_once):
            first = block * frames_at_once
            last = min(frames, first + frames_at_once)
            size = (last - first) * keypoints
            x_of, y_of, counts = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
            normal = np.zeros((9, size))
            solution = out[first:last].reshape(size, 3)
            for view in range(views):
                cx, cy, per_fx, per_fy = lens[view, 0], lens[view, 1], lens[view, 2], lens[view, 3]
                k1, k2, p1, p2, k3 = lens[view, 4], lens[view, 5], lens[view, 6], lens[view, 7], lens[view, 8]
                c1, c2, c3, c4 = inverse[view, 0], inverse[view, 1], inverse[view, 2], inverse[view, 3]
                c5, c6, c7, c8 = inverse[view, 4], inverse[view, 5], inverse[view, 6], inverse[view, 7]
                c9, largest = inverse[view, 8], inverse[view, 9]
                i = 0
                for frame in range(first, last):
                    for keypoint in range(keypoints):
                        x_of[i], y_of[i] = pixels[frame, view, keypoint, 0], pixels[frame, view, keypoint, 1]
                        i += 1
                for i in range(size):
                    x, y = (x_of[i] - cx) * per_fx, (y_of[i] - cy) * per_fy
                    seen = x == x
                    x = x if seen else np.float32(0)
                    y = y if seen else np.float32(0)
                    q = x * x + y * y
                    q = q if q < largest else largest
                    g = one + q * (
                        c1 + q * (c2 + q * (c3 + q * (c4 + q * (c5 + q * (c6 + q * (c7 + q * (c8 + q * c9)))))))
                    )
                    ux, uy = x * g, y * g
                    xx, xy, yy = ux * ux, two * ux * uy, uy * uy
                    ux, uy = ux - g * (p1 * xy + p2 * (three * xx + yy)), uy - g * (p2 * xy + p1 * (three * yy + xx))
                    xx, xy, yy = ux * ux, ux * uy, uy * uy
                    r2 = xx + yy
                    radial = one + r2 * (k1 + r2 * (k2 + r2 * k3))
                    slope = two * (k1 + r2 * (two * k2 + three * k3 * r2))
                    error_x = x - (ux * radial + two * p1 * xy + p2 * (r2 + two * xx))
                    error_y = y - (uy * radial + p1 * (r2 + two * yy) + two * p2 * xy)
                    dxdx = radial + slope * xx + two * p1 * uy + six * p2 * ux
                    dydy = radial + slope * yy + six * p1 * uy + two * p2 * ux
                    dxdy = slope * xy + two * p1 * ux + two * p2 * uy
                    per_determinant = one / (dxdx * dydy - dxdy * dxdy)
                    x_of[i] = ux + (dydy * error_x - dxdy * error_y) * per_determinant
                    y_of[i] = uy + (dxdx * error_y - dxdy * error_x) * per_determinant
                    counts[i] = one if seen else np.float32(0)
                for k in range(9):
                    f0, f1, f2, f3 = forms[view, k, 0], forms[view, k, 1], forms[view, k, 2], forms[view, k, 3]
                    for i in range(size):
                        x, y = np.float64(x_of[i]), np.float64(y_of[i])
                        normal[k, i] += counts[i] * (f0 * (x * x + y * y) + f1 * x + f2 * y + f3)
            for i in range(size):
                a, b, c, u = normal[0, i], normal[1, i], normal[2, i], normal[3, i]
                d, e, v, f, w = normal[4, i], normal[5, i], normal[6, i], normal[7, i], normal[8, i]
                ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
                cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
                scale = -1 / (a * ca + b * cb + c * cc)
                solution[i, 0] = (ca * u + cb * v + cc * w) * scale
                solution[i, 1] = (cb * u + cd * v + ce * w) * scale
                solution[i, 2] = (cc * u + ce * v + cf * w) * scale

    cameras = detections.cameras
    distortion = cameras.distortion.numpy()
    lens = np.concatenate([cameras.centre.numpy(), 1 / cameras.focal.numpy(), distortion], 1)
    k1, k2, k3 = distortion[:, [0]], distortion[:, [1]], distortion[:, [4]]
    r2 = np.linspace(0, 1, 101) ** 2  # up to 45 degrees off the axis; these lenses do not fold there
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    q = r2 * radial**2
    fits = [np.linalg.lstsq(x[:, None] ** np.arange(1, 10), 1 / y - 1, rcond=None)[0] for x, y in zip(q, radial)]  # noqa: B905
    inverse = np.column_stack([fits, q[:, -1]])

    p1, p2, p3 = torch.cat([cameras.R, cameras.t[..., None]], -1).numpy().swapaxes(0, 1)
    rows, columns = (0, 0, 0, 0, 1, 1, 1, 2, 2), (0, 1, 2, 3, 1, 2, 3, 2, 3)

    def form(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a[:, rows] * b[:, columns]

    forms = np.stack(
        [form(p3, p3), -form(p3, p1) - form(p1, p3), -form(p3, p2) - form(p2, p3), form(p1, p1) + form(p2, p2)], -1
    )

    def solve() -> np.ndarray:
        frames, _, keypoints, _ = detections.pixels.shape
        out = np.empty((frames, keypoints, 3))
        loop(detections.pixels, lens.astype(np.float32), inverse.astype(np.float32), forms, out)
        return out.reshape(-1, 3)

    return {FLOOR: Method(solve)}


def all_methods(detections: Detections, threads: int) -> dict[str, Method]:
    methods = trilift_methods(detections)
    if find_spec("numba"):
        methods |= floor_method(detections, threads)
    if find_spec("aniposelib"):
        methods |= aniposelib_methods(detections)
    return methods | opencv_methods(detections)


def use_threads(threads: int) -> None:
    """Leave this process as many CPUs as threads, which every library respects, whatever its own settings are."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    # Points without a solution are counted, not warned of.
    warnings.filterwarnings(
        "ignore", message="(All-NaN slice|Mean of empty slice|invalid value)", category=RuntimeWarning
    )


def peak_memory(name: str, pixels: np.ndarray, confidence: np.ndarray, threads: int) -> float:
    """Give by how much (MiB) a call raises this process's memory at its peak. Linux only, elsewhere NaN."""
    use_threads(threads)
    few = all_methods(Detections(pixels[:60], confidence[:60]), threads)[name]
    few.prepare()
    few.solve()  # compiles, makes threads
    method = all_methods(Detections(pixels, confidence), threads)[name]
    method.prepare()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    except OSError:
        return float("nan")
    before = _resident("VmRSS")
    method.solve()
    return max(_resident("VmHWM") - before, 0) / 1024


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure_memory(names: list[str], detections: Detections, threads: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as executor:
        jobs = {
            name: executor.submit(peak_memory, name, detections.pixels, detections.confidence, threads)
            for name in names
        }
        return {name: job.result() for name, job in jobs.items()}


def measure_speed(
    methods: dict[str, Method], points: int, turns: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Let the methods take turns; gives the points per second of each turn, and the points found."""
    speed: dict[str, list[float]] = {name: [] for name in methods}
    found = {}
    for turn in range(turns + 1):
        for name, method in methods.items():
            method.prepare()
            start = time.perf_counter()
            found[name] = method.solve()
            seconds = time.perf_counter() - start
            if turn:  # the first one compiles
                speed[name].append((points if method.numbers is None else len(method.numbers)) / seconds)
    return speed, found


def errors_mm(
    methods: dict[str, Method], found: dict[str, np.ndarray], joints: np.ndarray, detections: Detections
) -> dict[str, np.ndarray]:
    """Give the error of every point; NaN where a method was not given the point.

    Points for which a method that was given all finds no place count for none.
    """
    truth = joints.reshape(-1, 3)
    counts = np.zeros(len(truth), bool)
    counts[detections.numbers] = True
    errors = {}
    for name, method in methods.items():
        numbers = np.arange(len(truth)) if method.numbers is None else method.numbers
        errors[name] = np.full(len(truth), np.nan)
        errors[name][numbers] = 1000 * np.linalg.norm(found[name] - truth[numbers], axis=-1)
        if method.numbers is None:
            counts &= np.isfinite(errors[name])
    return {name: np.where(counts, values, np.nan) for name, values in errors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--limit-frames", type=int, help="of every clip only so many frames")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="do not measure memory")
    options = parser.parse_args()
    use_threads(options.threads)

    motion = cmu_mocap.read_or_make_motion(options.limit_frames)
    seen = cmu_mocap.see(motion, LEVELS["off-the-shelf"])
    detections = Detections(seen.pixels.numpy(), seen.confidence.numpy())
    methods = all_methods(detections, options.threads)
    points = seen.poses.shape[0] * seen.poses.shape[1]
    print(f"{motion.name}, {len(seen.poses)} frames, {points} points in {len(seen.cameras)} views; {describe()}")
    if ANIPOSE not in methods:
        print(f"aniposelib is missing, and with it what is compared to it: {INSTALL}")
    elif version("aniposelib") != "0.8.0":
        print(f"aniposelib is {version('aniposelib')}; the project compares itself to 0.8.0: {INSTALL}")

    speed, found = measure_speed(methods, points, options.turns)
    errors = errors_mm(methods, found, seen.poses, detections)
    memory = measure_memory(list(methods), detections, options.threads) if options.memory else {}

    print(
        f"{int(np.isfinite(errors[PLAIN]).sum())} points have a place by every method; mean errors in mm are of those"
    )
    print(
        f"{'method':<33}{'points':>8}{'points/s':>12}{'x aniposelib':>14}{'error mm':>10}"
        f"{'our plain':>11}{'our robust':>12}{'peak MiB':>10}"
    )
    for name, method in methods.items():
        same = np.isfinite(errors[name])
        number = points if method.numbers is None else len(method.numbers)
        print(
            f"{name:<33}{number:>8}{statistics.median(speed[name]):>12.0f}{ratio(speed, name, ANIPOSE):>14.4g}"
            f"{errors[name][same].mean():>10.2f}{errors[PLAIN][same].mean():>11.2f}{errors[ROBUST][same].mean():>12.2f}"
            f"{memory.get(name, float('nan')):>10.0f}"
        )

    def error_ratio(ours: str, other: str) -> float:
        if other not in errors:
            return float("nan")
        same = np.isfinite(errors[other]) & np.isfinite(errors[ours])
        return errors[ours][same].mean() / errors[other][same].mean()

    ratios = {
        "plain_speed_over_aniposelib": ratio(speed, PLAIN, ANIPOSE),
        "plain_error_over_aniposelib": error_ratio(PLAIN, ANIPOSE),
        "plain_speed_over_aniposelib_fast": ratio(speed, PLAIN, ANIPOSE_FAST),
        "plain_speed_over_opencv_pairs": ratio(speed, PLAIN, PAIRS),
        "plain_speed_over_svd": ratio(speed, PLAIN, SVD),
        "plain_speed_over_fused_loop": ratio(speed, PLAIN, FLOOR),
        "fused_loop_speed_over_aniposelib": ratio(speed, FLOOR, ANIPOSE),
        "robust_speed_over_plain": ratio(speed, ROBUST, PLAIN),
        "robust_learnt_speed_over_plain": ratio(speed, ROBUST_LEARNT, PLAIN),
        "robust_error_over_plain": error_ratio(ROBUST, PLAIN),
        "robust_speed_over_aniposelib": ratio(speed, ROBUST, ANIPOSE),
        "robust_speed_over_ransac": ratio(speed, ROBUST, RANSAC),
        "robust_error_over_ransac": error_ratio(ROBUST, RANSAC),
    }
    expected = {
        "plain_speed_over_aniposelib": (40, np.inf),
        "plain_error_over_aniposelib": (0, 1.01),
        "robust_speed_over_plain": (0.25, np.inf),
        "robust_speed_over_ransac": (5000, np.inf),
        "robust_error_over_ransac": (0, 1),
    }
    for name, (low, high) in expected.items():
        verdict = "not measured" if np.isnan(ratios[name]) else "ok" if low <= ratios[name] <= high else "MISSED"
        print(f"{name} = {ratios[name]:.4g}, expected {low} to {high}: {verdict}")
    print(json.dumps({name: None if np.isnan(value) else float(f"{value:.4g}") for name, value in ratios.items()}))


def ratio(speed: dict[str, list[float]], ours: str, other: str) -> float:
    if ours not in speed or other not in speed:
        return float("nan")
    return statistics.median(a / b for a, b in zip(speed[ours], speed[other], strict=True))


def describe() -> str:
    versions = []
    for package in ("torch", "opencv-python-headless", "numba", "aniposelib"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{torch.get_num_threads()} threads, {platform.machine()}, {', '.join(versions)}"


if __name__ == "__main__":
    main()

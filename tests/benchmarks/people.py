"""How well several people in a room are told apart, beside a frame-by-frame matching, and how fast.

People move as in CMU motion capture, before drawn rigs and the simulated detector (`rooms.py`). For every number of
people and cameras: precision and recall of the grouping of detections, changes of identity per person and 10 minutes,
and the error of the poses triangulated from the groups over that of the true groups. The naive way matches detections
greedily by their distance from each other's epipolar lines, each frame for itself, and takes the nearest person of
the frame before. Last, the time for 5 cameras, 4 people and 10,000 frames, and the memory that it takes beside the
detections themselves, over that for half as many frames. Run: make bench NAME=people
"""

import argparse
import json
import time
import tracemalloc
import warnings
from collections import defaultdict

import numpy as np
import rooms
import torch
from scipy.optimize import linear_sum_assignment

from trilift.geometry.tracks import sizes
from trilift.geometry.triangulation import triangulate_robust
from trilift.ingest.people.everybody import follow_everybody
from trilift.ingest.people.grouping import votes_of
from trilift.simulate.detector import error_scale
from trilift.skeletons import H36M17

PEOPLE, VIEWS = (1, 2, 4, 6), (3, 4, 5, 6)
_NEAREST_M = 0.5  # to whom the naive way takes somebody for


def followed(scene: rooms.Scene) -> np.ndarray:
    return follow_everybody(scene.cameras, scene.pixels, H36M17, rooms.FPS)


def poses_of(scene: rooms.Scene, person: np.ndarray) -> np.ndarray:
    """Triangulate everybody of a grouping: (frame, person, keypoint, 3)."""
    poses = []
    for one in range(person.max() + 1):
        has = (person == one).any(2)
        index = (person == one).argmax(2)[:, :, None, None]
        pixels = np.take_along_axis(scene.pixels, index[..., None], 2)[:, :, 0]
        confidence = np.take_along_axis(scene.confidence, index, 2)[:, :, 0]
        scale = torch.as_tensor(np.where(has[..., None] & (confidence > 0), error_scale(confidence), np.inf))
        poses.append(
            triangulate_robust(scene.cameras, torch.as_tensor(pixels).double(), scale.double()).poses.numpy()
        )
    return np.stack(poses, 1) if poses else np.empty((len(person), 0, 17, 3))


def naive(scene: rooms.Scene) -> np.ndarray:
    """Match detections frame by frame, greedily, and people with those of the frame before by where they are."""
    votes = votes_of(scene.cameras, scene.pixels, sizes(scene.pixels))
    frames, views, detections = scene.who.shape
    person = np.full(scene.who.shape, -1)
    order = np.lexsort((-votes.vote, votes.frame))
    pairs = np.searchsorted(votes.frame[order], np.arange(frames + 1))
    group = np.full((frames, views * detections), -1)
    for frame in range(frames):
        groups: list[dict[int, int]] = []
        of: dict[int, int] = {}
        for pair in order[pairs[frame] : pairs[frame + 1]]:
            if votes.vote[pair] <= 0:
                break
            one, other = (int(place) % (views * detections) for place in (votes.one[pair], votes.other[pair]))
            a = groups[of[one]] if one in of else {one // detections: one}
            b = groups[of[other]] if other in of else {other // detections: other}
            if a is b or set(a) & set(b):
                continue
            groups.append({**a, **b})
            of |= dict.fromkeys(groups[-1].values(), len(groups) - 1)
        for one, number in of.items():
            group[frame, one] = number
        group[frame] = np.unique(np.append(-1, group[frame]), return_inverse=True)[1][1:] - 1
    group = group.reshape(scene.who.shape)
    middles = np.nanmean(poses_of(scene, group), 2)
    last = np.empty((0, 3))
    for frame in range(frames):
        here = np.flatnonzero(np.isfinite(middles[frame, :, 0]))
        away = np.linalg.norm(middles[frame, here][:, None] - last, axis=-1)
        rows, columns = linear_sum_assignment(np.where(np.isfinite(away), away, 1e3))
        name = dict(zip(here[rows], columns, strict=True)) if len(last) else {}
        name = {one: to for one, to in name.items() if np.linalg.norm(middles[frame, one] - last[to]) < _NEAREST_M}
        for one in here:
            if one not in name:
                name[one] = len(last)
                last = np.concatenate([last, middles[frame, one][None]])
            last[name[one]] = middles[frame, one]
            person[frame][group[frame] == one] = name[one]
    return person


def error_ratio(scene: rooms.Scene, person: np.ndarray) -> tuple[float, float]:
    """Give the mean error (m) of poses by the true grouping and by another, where both have one."""
    true, found = poses_of(scene, scene.who), poses_of(scene, person)
    counts = np.zeros((true.shape[1], found.shape[1]), int)
    both = (scene.who >= 0) & (person >= 0)
    np.add.at(counts, (scene.who[both], person[both]), 1)
    rows, columns = linear_sum_assignment(-counts)
    errors = [np.linalg.norm(poses - scene.poses[:, rows], axis=-1) for poses in (true[:, rows], found[:, columns])]
    shared = np.isfinite(errors[0]) & np.isfinite(errors[1])
    return float(errors[0][shared].mean()), float(errors[1][shared].mean())


def memory_beside(scene: rooms.Scene) -> int:
    tracemalloc.start()
    followed(scene)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=900, help="of a scene (default: half a minute)")
    parser.add_argument("--seeds", type=int, default=2, help="scenes of each number of people and cameras")
    parser.add_argument("--people", type=int, nargs="*", default=PEOPLE)
    parser.add_argument("--views", type=int, nargs="*", default=VIEWS)
    parser.add_argument("--long", type=int, default=10_000, help="frames of the scene that is timed; 0: none")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Mean of empty slice")
    results: dict[str, dict[str, float]] = {}
    print("people  views | precision  recall  switches  error ratio | naive: precision  recall  switches")
    for people in options.people:
        for views in options.views:
            sums = defaultdict(list)
            for seed in range(options.seeds):
                scene = rooms.make(people, views, options.frames, seed)
                person = followed(scene)
                true, found = error_ratio(scene, person)
                sums["error_ratio"].append(found / true)
                for name, grouping in (("", person), ("naive_", naive(scene))):
                    for key, value in vars(rooms.score(scene.who, grouping)).items():
                        sums[name + key].append(float(value))
            mean = {key: float(np.mean(values)) for key, values in sums.items()}
            results[f"{people} people, {views} views"] = mean
            print(
                f"{people:6d} {views:6d} | {mean['precision']:9.2%} {mean['recall']:7.2%} {mean['switches']:9.1f} "
                f"{mean['error_ratio']:12.3f} | {mean['naive_precision']:16.2%} {mean['naive_recall']:7.2%} "
                f"{mean['naive_switches']:9.1f}",
                flush=True,
            )
    line: dict[str, object] = {"cases": results}
    if options.long:
        scene = rooms.make(4, 5, options.long, 0)
        begin = time.perf_counter()
        followed(scene)
        line["seconds"] = time.perf_counter() - begin
        half = scene._replace(
            pixels=scene.pixels[: options.long // 2], confidence=scene.confidence[: options.long // 2]
        )
        line["memory_ratio"] = memory_beside(scene) / memory_beside(half)
        print(f"5 cameras, 4 people, {options.long} frames: {line['seconds']:.1f} s", end="; ")
        print(f"memory {line['memory_ratio']:.2f} x that for half as many frames")
    print(json.dumps(line))


if __name__ == "__main__":
    main()

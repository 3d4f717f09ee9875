"""``trilift predict`` live: a line of JSON for each frame in, a line out."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from trilift import skeletons
from trilift.errors import InputError
from trilift.lifter.smoothing import Smoothing
from trilift.predict.prediction import Prediction
from trilift.predict.predictor import Predictor
from trilift.predict.sources import is_in_world, no_pose, open_camera

_Frame = tuple[np.ndarray, np.ndarray]


def run(options: argparse.Namespace, predictor: Predictor, smoothing: Smoothing | None, fps: float) -> None:
    """Read a line for each frame, and write one as soon as it is predicted.

    What the first line holds, one person or several, all lines hold.

    Raises
    ------
    InputError
        If a line cannot be read, something does not fit, or no frame has a pose.
    """
    if options.subject is not None:
        raise InputError("--subject: live everybody is followed; leave it out, or send one person in each line")
    camera = open_camera(options, None)
    in_world = is_in_world(options)
    skeleton = skeletons.get(options.skeleton) if options.skeleton else predictor.skeleton
    lines = ((number, line) for number, line in enumerate(sys.stdin, 1) if line.strip())
    first = next(lines, None)
    several = first is not None and '"people"' in first[1]
    frames = _parse(chain([] if first is None else [first], lines), len(skeleton), several)
    of_one = (predictor.live, predictor.live_people)[several]
    number = found = 0
    for prediction in of_one(frames, camera, skeleton, smoothing, fps):
        if isinstance(prediction, dict):
            answer = {"people": [{"person": who} | _answer(its, in_world) for who, its in prediction.items()]}
        else:
            answer = _answer(prediction, in_world)
        print(json.dumps({"frame": number} | answer), flush=True)
        number += 1
        found += any(person["joints"] is not None for person in answer.get("people", [answer]))
    if not found:
        raise no_pose(options.detections, number, skeleton, predictor)


def _answer(prediction: Prediction, in_world: bool) -> dict[str, Any]:
    poses = (prediction.in_world if in_world else prediction.in_camera)[0]
    known = np.isfinite(poses).all(-1)
    rounded = poses.astype(float).round(5).tolist()
    pose = [place if its else None for place, its in zip(rounded, known, strict=True)] if known.any() else None
    return {"joints": pose} | ({"filled": True} if prediction.filled[0] else {})


def _parse(lines: Iterator[tuple[int, str]], keypoints: int, several: bool) -> Iterator[_Frame]:
    """Give pixels ([person,] keypoint, 2) and confidence ([person,] keypoint) of each line."""
    form = '{"people": [{"keypoints": [[x, y, confidence], ...]}, ...]}' if several else (
        '{"keypoints": [[x, y, confidence], ...]}'
    )  # fmt: skip
    for number, line in lines:
        try:
            content = json.loads(line)
            people = content["people"] if several else [content]
            points = [
                [[np.nan] * 3 if point is None else [*point, 1.0][:3] for point in person["keypoints"]]
                for person in people
            ]
            values = np.array(points or np.empty((0, keypoints, 3)), np.float64)
            if values.shape[1:] != (keypoints, 3):
                raise ValueError(f"{values.shape[1]} keypoints instead of {keypoints}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"standard input, line {number}: expected {form}, null for a missing one "
                f"({type(error).__name__}: {error!s:.200})"
            ) from None
        pixels, confidence = values[..., :2], np.nan_to_num(values[..., 2])
        yield (pixels, confidence) if several else (pixels[0], confidence[0])

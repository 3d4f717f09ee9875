"""Recordings of real people, calibrated without the poses of their files, beside these and a chain of `recoverPose`.

Only the distance of the first two cameras is told. Cameras are placed by the even blocks of 10 frames. On the odd
blocks each detection is compared with the point that the other views give, and with the one that all give (median,
px), for this rig, the file's and the chain's; points are robust ones, and all detections count as much.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rigs_by_people as people
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from real_data import DATA, SOURCES, capture_of
from trilift.geometry.calibration.calibrate import calibrate
from trilift.geometry.calibration.findings import Scale, Undetermined
from trilift.geometry.cameras import Cameras
from trilift.geometry.triangulation import triangulate_robust, triangulate_without

BLOCK = 10  # frames


def held_out_errors(cameras: Cameras, pixels: torch.Tensor, confidence: torch.Tensor) -> tuple[float, float]:
    """Median distance (px) of detections from the points that the other views give, and that all views give."""
    views = people.placed(cameras)
    pixels, confidence = pixels[:, views], confidence[:, views]
    scale = torch.where(confidence > 0, 10.0, torch.inf).double()
    found = cameras[views]
    of_others = [triangulate_without(found, pixels, scale, view).error[:, view] for view in range(len(views))]
    of_all = triangulate_robust(found, pixels, scale).error
    return float(torch.stack(of_others).nanmedian()), float(of_all.nanmedian())


def _shown(value: Any) -> Any:
    """Round numbers; JSON knows no NaN."""
    return value if not isinstance(value, float) else round(value, 3) if np.isfinite(value) else None


def compare() -> dict[str, Any]:
    print("REAL: px in held-out frames; degrees and mm against the file, the median and the worst")
    line = {}
    for recording, left_out in (("caliscope_4cam", None), ("pose2sim_demo", None), ("pose2sim_demo", 2)):
        name = recording + (f" without camera {left_out + 1}" if left_out is not None else "")
        if not (DATA / recording).exists():
            print(f"{name}: not there: {DATA / recording} (TRILIFT_REAL_DATA)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            capture = capture_of(recording, Path(folder))
        (clip,) = capture.recordings
        views = [view for view in range(len(capture.to_tensors())) if view != left_out]
        cameras = capture.to_tensors()[views]
        pixels = torch.as_tensor(clip.pixels[:, views]).double()
        confidence = torch.as_tensor(clip.confidence[:, views]).double()
        image_size = np.stack([camera.image_size for camera in capture.cameras])[views]
        block = np.arange(len(pixels)) // BLOCK
        used, held = (torch.as_tensor(np.flatnonzero(block % 2 == part)) for part in (0, 1))
        baseline = np.linalg.norm(np.diff(people.centres(cameras)[:2], axis=0))
        chain = people.naive(cameras, pixels[used].numpy(), confidence[used].numpy())
        rigs = {"file": cameras, "chain": chain}
        found: dict[str, Any] = {}
        try:
            begin = time.perf_counter()
            rig = calibrate(
                people.unplaced(cameras),
                pixels[used],
                confidence[used],
                capture.skeleton,
                SOURCES[recording]["fps"],
                scale=Scale(baseline=(0, 1, float(baseline))),
                image_size=torch.as_tensor(image_size),
                segments=torch.as_tensor(block)[used],
                find_offsets=False,
            )
            rigs["ours"] = rig.cameras
            found |= {"seconds": time.perf_counter() - begin, "stature_m": rig.stature_m}
            found |= {"verdicts": [camera.verdict for camera in rig.found], "problems": list(rig.problems)}
        except Undetermined as error:
            found["refused"] = str(error)
        for whose, placed in rigs.items():
            errors = held_out_errors(placed, pixels[held], confidence[held])
            found |= {f"{whose}_px": errors[0], f"{whose}_of_all_px": errors[1]}
            both = people.placed(placed)
            if len(both) < 2:
                continue
            for unit, errors_of in (("deg", people.rotation_errors), ("mm", people.position_errors)):
                errors = errors_of(placed[both], cameras[both])
                found |= {f"{whose}_{unit}": float(np.median(errors)), f"{whose}_worst_{unit}": float(errors.max())}
        found = {key: _shown(value) for key, value in found.items()}
        print(f"{name}: {found}", flush=True)
        line[name] = found
    return line

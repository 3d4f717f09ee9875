"""What smoothing and a known stature do to the predictions of the finished demo (simulated), view by view.

Every test recording is predicted from every view alone, as `trilift predict` does: each frame for itself, smoothed,
and live, without and with the stature of the person. That is what a tape would tell: the height of the person's
highest pose. Below stands what that cannot pass: the same with the true lengths of all bones, and true poses, placed
by the detections. Errors are means over the joints but the root. Needs results/demo/main (`snakemake --cores all`).
Run: make bench NAME=steady
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from trilift import skeletons
from trilift.captures import reading
from trilift.formats import Camera
from trilift.geometry.cameras import Cameras, world_to_camera
from trilift.geometry.motion import smooth as over_time
from trilift.lifter.inputs import rays_of_joints
from trilift.lifter.placement import place
from trilift.lifter.smoothing import Smoothing, bone_lengths, with_lengths
from trilift.predict.predictor import Predictor, load
from trilift.project.layout import Layout
from trilift.skeletons import H36M17

ANKLE_HEIGHT = 0.039  # of the stature (Winter, Biomechanics and Motor Control of Human Movement)
JOINTS = [joint for joint in range(len(H36M17)) if joint != H36M17.root_index]


@dataclass
class Clip:
    """One recording in one view, and the truth (frame, joint, 3) in its camera's frame."""

    pixels: np.ndarray
    confidence: np.ndarray
    camera: Camera
    truth: np.ndarray
    fps: float
    stature: float

    @property
    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rays and confidence."""
        one_view = (torch.as_tensor(values).unsqueeze(1) for values in (self.pixels, self.confidence))
        rays, confidence = rays_of_joints(*one_view, Cameras.stack([self.camera]), skeletons.mapping(H36M17, H36M17))
        return rays[:, 0], confidence[:, 0]


def clips(layout: Layout) -> Iterator[Clip]:
    with (
        reading.read(layout.captures, "captures") as captures,
        reading.read(layout.references, "references") as references,
        reading.read(layout.results / "predictions.nc", "predictions") as predictions,
    ):
        for name in predictions:
            capture, world = captures[name], references[name]["poses"].values.astype(float)
            up = {joint: world[:, H36M17.index(joint), 2] for joint in ("head_top", "left_ankle", "right_ankle")}
            height = np.nanmax(up["head_top"] - np.minimum(up["left_ankle"], up["right_ankle"]))
            truth = world_to_camera(Cameras.from_arrays(capture), torch.tensor(world)).numpy()
            for recording in reading.recordings(capture):
                pixels, confidence = reading.load_frames(capture, recording.frames, "pixels", "confidence")
                for view, of_view in enumerate(capture["view"].values.tolist()):
                    arrays = (capture[field].values[view] for field in ("K", "distortion", "R", "t", "image_size"))
                    yield Clip(
                        pixels[:, view],
                        confidence[:, view],
                        Camera(of_view, *arrays),
                        truth[recording.frames, view],
                        recording.fps,
                        float(height / (1 - ANKLE_HEIGHT)),
                    )


def rows(predictor: Predictor, clip: Clip) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Poses and roots of one clip in all ways."""
    known, sized = (clip.camera, clip.confidence), Smoothing(clip.fps, stature=clip.stature)
    smooth = Smoothing(clip.fps)
    alone = predictor.predict(clip.pixels, *known, fps=clip.fps)
    yield "each frame for itself", alone.poses, alone.root
    smoothed = predictor.predict(clip.pixels, *known, smoothing=smooth)
    yield "smoothed", smoothed.poses, smoothed.root
    found = predictor.predict(clip.pixels, *known, smoothing=sized)
    yield "smoothed, stature known", found.poses, found.root
    for name, settings in (("live", smooth), ("live, stature known", sized)):
        frames = zip(clip.pixels, clip.confidence, strict=True)
        live = list(predictor.live(frames, clip.camera, smoothing=settings, fps=clip.fps))
        yield name, np.concatenate([one.poses for one in live]), np.concatenate([one.root for one in live])
    root = clip.truth[:, [H36M17.root_index]]
    lengths = np.median(bone_lengths(clip.truth, H36M17), 0)
    scaled = smoothed.poses * (lengths.sum() / np.nanmedian(bone_lengths(smoothed.poses, H36M17).sum(-1)))
    rays, confidence = clip.seen
    for name, poses in (
        ("smoothed, true bone lengths", with_lengths(scaled, lengths, H36M17)),
        ("true poses", clip.truth - root),
    ):
        placed = place(torch.tensor(poses), rays, confidence).numpy()
        yield name, poses, over_time(placed[:, None], clip.fps, smooth.acceleration)[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="of the recordings in a view take each such one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    layout = Layout("demo")
    predictor, errors = load(layout.results), defaultdict[str, list[tuple[np.ndarray, ...]]](list)
    for clip in islice(clips(layout), 0, None, options.every):
        poses = predictor.predict(clip.pixels, clip.camera, clip.confidence, fps=clip.fps).poses
        predicted = np.isfinite(poses).all((1, 2))
        root = clip.truth[:, [H36M17.root_index]]
        for name, poses, placed in rows(predictor, clip):
            poses = np.where(predicted[:, None, None], poses, np.nan)
            off = poses - (clip.truth - root)
            absolute = off + placed[:, None] - root
            errors[name].append(
                tuple(values[:, JOINTS].ravel() for values in map(length, (off, np.diff(off, axis=0), absolute)))
            )
    print(f"{'':28} {'MPJPE':>9} {'MPJVE':>15} {'absolute MPJPE':>15}")
    found = {}
    for name, parts in errors.items():
        found[name] = [1e3 * float(np.nanmean(np.concatenate(values))) for values in zip(*parts, strict=True)]
        print(f"{name:28} {found[name][0]:6.1f} mm {found[name][1]:6.2f} mm/frame {found[name][2]:12.1f} mm")
    first = found["each frame for itself"]
    print(
        json.dumps(
            {
                "mpjve_smoothed": round(found["smoothed"][1] / first[1], 3),
                "mpjve_live": round(found["live"][1] / first[1], 3),
                "absolute_with_stature": round(found["smoothed, stature known"][2] / first[2], 3),
            }
        )
    )


def length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


if __name__ == "__main__":
    main()

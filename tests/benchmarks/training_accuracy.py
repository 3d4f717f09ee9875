"""What lifters learn from pseudo-labels of real motion, choice by choice.

Real motion (CMU motion capture) in Human3.6M's rig, seen by the simulated off-the-shelf detector. Lifters are trained
on people 01 and 03 and tested on 02, on every view alone, against the true joints: MPJPE over the 16 joints that are
predicted. All trainings have the same number of steps, batch size and seeds, but for the temporal one, whose batches
are a quarter. Nothing but the labels of the `oracle` cases comes from the truth.

`published` is what the release of Bouazizi et al. does by default (input triangulation and multi-view consistency,
plain DLT labels, Adam at one rate, no augmentation, the weights of the last step), but with the network of the others
and without its defects; the table of defects switches these on again, one at a time.

Virtual cameras add to a label what the detector missed it by. `oracle-missed` asks what that alone does: the labels
are the true joints, but virtual cameras add what the detector missed the *pseudo-label* by. In `oracle-shuffled` the
true joints have the errors of the pseudo-labels, but each frame those of another frame.

The cases of the table `budgets` ask what minutes of a processor buy: networks, steps, and whether the
training begins with the lifter that comes with the package, which saw none of these three people. `few` has ten
runs of 50 frames of one person to learn from, all over her recordings, and `short` one run of 500.

Run: snakemake --cores all results/benchmarks/training_accuracy.csv
and: snakemake --cores all results/benchmarks/budgets.csv
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

import cmu_mocap
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trilift import style
from trilift.geometry.cameras import Cameras, to_rays
from trilift.geometry.noise import learn as learn_noise
from trilift.geometry.triangulation import triangulate, triangulate_robust
from trilift.lifter.lifter import Lifter
from trilift.lifter.settings import NetworkSettings
from trilift.lifter.shipped import folder_of
from trilift.simulate.detector import LEVELS
from trilift.skeletons import H36M17
from trilift.train import augmentation, training
from trilift.train.samples import Batch, Rigs, Samples, Scaling, trust
from trilift.train.settings import AugmentationSettings, TrainingSettings
from trilift.train.training import fit
from trilift.triangulate.labels import Sample, learn
from trilift.triangulate.settings import Smoothing

TESTED_ON = "02"
STEPS, BATCH_FRAMES = 1000, 128
NETWORK = NetworkSettings(kind="residual", width=256, blocks=2, dropout=0.1)
DEFAULT = TrainingSettings(network=NETWORK, steps=STEPS, batch_frames=BATCH_FRAMES, threads=1)
PUBLISHED = TrainingSettings(
    network=NETWORK,
    augmentation=AugmentationSettings(flips=0.0, virtual_cameras=0.0, aim_deg=0.0),
    steps=STEPS,
    batch_frames=BATCH_FRAMES,
    schedule="constant",
    largest_gradient=0.0,
    averaging=0.0,
    keep="last",
    threads=1,
)


@dataclass(frozen=True)
class Case:
    """A training: its labels, settings, and what is done otherwise than in our code."""

    table: str
    labels: str = "time and body"
    settings: TrainingSettings = DEFAULT
    otherwise: str = ""
    few: str = ""


def changed(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    return settings.model_copy(update=changes)


def with_losses(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    return changed(settings, losses=settings.losses.model_copy(update=changes))


def with_augmentation(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    return changed(settings, augmentation=settings.augmentation.model_copy(update=changes))


MISSED = "virtual cameras add the miss of the pseudo-label"
LAST = "only the last layer learns"
SINGLE = NetworkSettings(kind="residual", width=256, blocks=2, dropout=0.1)
NARROW = NetworkSettings(kind="temporal", width=128, frames=9, dropout=0.1)
WIDE = NetworkSettings(kind="temporal", width=256, frames=9, dropout=0.1)


def budget(network: NetworkSettings, steps: int, batch_frames: int, few: str = "", **changes: Any) -> Case:
    """Settings of today for a budget."""
    given = {"learning_rate": 3e-3} | changes
    settings = TrainingSettings(network=network, steps=steps, batch_frames=batch_frames, threads=1, **given)
    return Case("budgets", settings=settings, few=few)


FROM_OURS = {"start_from": "pretrained", "learning_rate": 3e-4}
BUDGETS = {
    "single-1min": budget(SINGLE, 800, 64),
    "narrow-1min": budget(NARROW, 1000, 32),
    "wide-1min": budget(WIDE, 400, 64),
    "wide-5min": budget(WIDE, 2000, 64),
    "wide-20min": budget(WIDE, 8000, 64),
    "tuned-1min": budget(WIDE, 400, 64, **FROM_OURS),
    "tuned-5min": budget(WIDE, 2000, 64, **FROM_OURS),
    "tuned-slowly-2min": budget(WIDE, 800, 64, **FROM_OURS | {"learning_rate": 1e-4}),
    "tuned-slowly-5min": budget(WIDE, 2000, 64, **FROM_OURS | {"learning_rate": 1e-4, "averaging": 0.999}),
    "tuned-faster-1min": budget(WIDE, 400, 64, **FROM_OURS | {"learning_rate": 1e-3}),
    "tuned-fastest-1min": budget(WIDE, 400, 64, **FROM_OURS | {"learning_rate": 3e-3}),
    "tuned-last-1min": replace(budget(WIDE, 400, 64, **FROM_OURS | {"learning_rate": 3e-3}), otherwise=LAST),
    "few-1min": budget(WIDE, 400, 64, "ten runs"),
    "few-tuned-1min": budget(WIDE, 400, 64, "ten runs", **FROM_OURS),
    "short-1min": budget(WIDE, 400, 64, "one run"),
    "short-tuned-1min": budget(WIDE, 400, 64, "one run", **FROM_OURS),
    "short-tuned-bent-1min": budget(
        WIDE,
        400,
        64,
        "one run",
        augmentation=AugmentationSettings(other_poses=0.5, bend_deg=10.0),
        **FROM_OURS,
    ),
}
TEMPORAL = NetworkSettings(kind="temporal", width=128, frames=27, dropout=0.1)
CASES = {
    "default": Case("labels"),
    "oracle": Case("labels", "truth"),
    "oracle-missed": Case("labels", "truth", otherwise=MISSED),
    "oracle-shuffled": Case("labels", "shuffled"),
    "oracle-no-cameras": Case("labels", "truth", with_augmentation(DEFAULT, virtual_cameras=0.0)),
    "robust-labels": Case("labels", "robust"),
    "dlt-labels": Case("labels", "DLT"),
    "published": Case("labels", "DLT", PUBLISHED),
    "published-new-adam": Case("defects", "DLT", PUBLISHED, "Adam made anew for every batch"),
    "published-one-loss": Case("defects", "DLT", with_losses(PUBLISHED, multi_view_consistency=0.0)),
    "published-no-lens": Case("defects", "DLT without distortion", PUBLISHED),
    "published-in-order": Case("defects", "DLT", PUBLISHED, "samples never shuffled"),
    "no-cameras": Case("choices", settings=with_augmentation(DEFAULT, virtual_cameras=0.0)),
    "no-flips": Case("choices", settings=with_augmentation(DEFAULT, flips=0.0)),
    "averaging": Case("choices", settings=changed(DEFAULT, averaging=0.999)),
    "trust": Case("choices", settings=with_losses(DEFAULT, trust_labels=True)),
    "mpjpe": Case("choices", settings=with_losses(DEFAULT, norm="mpjpe")),
    "reprojection": Case("choices", settings=with_losses(DEFAULT, reprojection=1.0)),
    "encoder-decoder": Case(
        "choices",
        settings=changed(DEFAULT, network=NETWORK.model_copy(update={"kind": "encoder_decoder", "blocks": 1})),
    ),
    # A batch of a quarter: every frame of a batch brings its 26 neighbours along.
    "temporal": Case("choices", settings=changed(DEFAULT, network=TEMPORAL, batch_frames=BATCH_FRAMES // 4)),
} | BUDGETS


def make_labels(limit_frames: int | None) -> dict[str, np.ndarray]:
    """Triangulate the motion in every way; all arrays are (frame, joint, 3) in metres, NaN where missing."""
    seen = cmu_mocap.see(cmu_mocap.read_or_make_motion(limit_frames), LEVELS["off-the-shelf"])
    cameras, pixels, confidence = seen.cameras, seen.pixels, seen.confidence
    frames = cmu_mocap.sample_frames(len(pixels))
    noise = learn_noise(cameras, pixels[frames], confidence[frames])
    straight = replace_distortion(cameras)
    people = list(dict.fromkeys(seen.person))
    person = torch.tensor([people.index(name) for name in seen.person])
    runs = torch.cat(
        [torch.arange(first, first + 128) for first in np.linspace(0, len(pixels) - 128, 16).astype(int)]
    )
    sample = Sample(pixels[runs], confidence[runs], torch.arange(16).repeat_interleave(128), person[runs])
    labeller = learn(cameras, H36M17, noise, sample, Smoothing(), repair_swaps=True)
    smoothed, covariance = [], []
    for clip in np.unique(seen.clip):
        own = torch.as_tensor(seen.clip == clip).nonzero()[:, 0]
        made = labeller.label(pixels[own], confidence[own], int(person[own[0]]), seen.fps, slice(0, len(own)))
        smoothed.append(made.poses)
        covariance.append(made.covariance)
    pseudo_labels = torch.cat(smoothed).numpy()
    return {
        "time and body": pseudo_labels,
        "shuffled": with_errors_of_others(pseudo_labels, seen),
        "covariance": torch.cat(covariance).numpy(),
        "robust": triangulate_robust(cameras, pixels, noise.scale(confidence)).poses.numpy(),
        "DLT": triangulate(cameras, pixels)[0].numpy(),
        "DLT without distortion": triangulate(straight, pixels)[0].numpy(),
        "truth": seen.poses,
    }


def with_errors_of_others(labels: np.ndarray, seen: cmu_mocap.Seen) -> np.ndarray:
    """Give the truth with the errors of labels, each frame's being those of another frame of the same person."""
    rng, errors = np.random.default_rng(0), labels - seen.poses
    for person in np.unique(seen.person):
        own = np.flatnonzero(seen.person == person)
        errors[own] = errors[rng.permutation(own)]
    return seen.poses + errors


def replace_distortion(cameras: Cameras) -> Cameras:
    return replace(cameras, distortion=torch.zeros_like(cameras.distortion))


def load_samples(
    labels: dict[str, np.ndarray], name: str, limit_frames: int | None, network: NetworkSettings
) -> tuple[Samples, cmu_mocap.Seen]:
    """All frames; which of them are drawn is for the caller."""
    seen = cmu_mocap.see(cmu_mocap.read_or_make_motion(limit_frames), LEVELS["off-the-shelf"])
    cameras = seen.cameras
    rays = to_rays(cameras, seen.pixels.double()).float()
    confidence = torch.where(rays.isfinite().all(-1), seen.confidence, 0.0)
    number = np.arange(len(rays))
    first = np.searchsorted(seen.clip, seen.clip)
    last = np.searchsorted(seen.clip, seen.clip, side="right") - 1
    # The last tenth of every clip is for validation; windows do not look across.
    border = first + np.round(0.9 * (last + 1 - first)).astype(int)
    first, last = np.where(number < border, first, border), np.where(number < border, border - 1, last)
    variance = torch.as_tensor(labels["covariance"]).diagonal(dim1=-2, dim2=-1).mean(-1)
    weights = trust(variance).nan_to_num(0.0).float()
    people = list(dict.fromkeys(seen.person))
    samples = Samples(
        rays=rays,
        confidence=confidence,
        poses=torch.as_tensor(labels[name]).float(),
        trust=weights if name == "time and body" else torch.ones_like(weights),
        rooted=torch.ones(len(rays), dtype=torch.bool),  # what has none is not drawn
        visible=rays[:, :, H36M17.root_index].isfinite().all(-1),
        capture=torch.zeros(len(rays), dtype=torch.int64),
        person=torch.tensor([people.index(person) for person in seen.person]),
        first=torch.as_tensor(first),
        last=torch.as_tensor(last),
        every=torch.full((len(rays),), network.every(seen.fps)),
        chosen=torch.as_tensor(number[number >= border]),  # for the caller: validation
        rigs=Rigs.of(cameras),
        skeleton=H36M17,
    )
    return samples, seen


@dataclass(frozen=True, kw_only=True)
class SamplesMissed(Samples):
    """Samples that know of other labels, (frame, joint, 3): the ones that virtual cameras are to miss."""

    missed: Tensor

    def batch(self, which: Tensor, window: int) -> "BatchMissed":
        assert window == 1
        return BatchMissed(**vars(super().batch(which, window)), missed=self.missed[self.chosen[which]][:, None])


@dataclass(frozen=True, kw_only=True)
class BatchMissed(Batch):
    missed: Tensor  # (B, 1, joint, 3)


@contextmanager
def done_otherwise(what: str) -> Iterator[None]:
    """Bring a defect of the published code back, or let virtual cameras miss other labels."""
    if what == MISSED:
        see = augmentation._see_by_virtual_cameras

        def see_missed(batch: BatchMissed, settings: AugmentationSettings) -> Batch:
            state = torch.get_rng_state()
            real = see(batch, settings)
            torch.set_rng_state(state)
            true, other = (
                augmentation._project(poses, batch.rotations, batch.translations)
                for poses in (batch.poses, batch.missed)
            )
            virtual = see(replace(batch, rays=batch.rays - other + true), settings)
            moved = (virtual.rotations != batch.rotations).any(-1).any(-1)[:, None, :, None]
            return replace(
                real,
                rays=torch.where(moved[..., None], virtual.rays, real.rays),
                confidence=torch.where(moved, virtual.confidence, real.confidence),
            )

        with mock.patch.object(augmentation, "_see_by_virtual_cameras", see_missed):
            yield
    elif what == LAST:
        build = training.build

        def frozen(*arguments: Any) -> torch.nn.Module:
            network = build(*arguments).requires_grad_(False)
            network.last.requires_grad_(True)
            return network

        with mock.patch.object(training, "build", frozen):
            yield
    elif what == "Adam made anew for every batch":
        step = training.training_step

        def forgetful(network: Any, optimiser: torch.optim.Optimizer, *others: Any) -> Any:
            optimiser.state.clear()
            return step(network, optimiser, *others)

        with mock.patch.object(training, "training_step", forgetful):
            yield
    elif what == "samples never shuffled":

        def in_order(step: int, frames: int, batch_frames: int, *_: Any) -> Iterator[Tensor]:
            parts = torch.arange(frames).tensor_split(-(-frames // batch_frames))
            return islice(cycle(parts), step, None)

        with mock.patch.object(training, "batches_from", in_order):
            yield
    else:
        yield


def few_runs(seen: cmu_mocap.Seen, which: str) -> list[range]:
    """Choose 500 frames of one person: ten runs, evenly spread over all her recordings, or one in the middle."""
    own = np.flatnonzero(seen.person == seen.person[seen.person != TESTED_ON][0])
    if which == "one run":
        longest = np.bincount(seen.clip[own]).argmax()
        middle = int(np.flatnonzero(seen.clip == longest).mean())
        return [range(middle - 250, middle + 250)]
    return [range(own[start], own[start] + 50) for start in np.linspace(0, len(own) - 50, 10).astype(int)]


def train(
    case: Case, seed: int, labels: dict[str, np.ndarray], limit_frames: int | None, steps: int | None
) -> dict[str, Any]:
    torch.set_num_threads(1)
    settings = changed(case.settings, steps=steps) if steps else case.settings
    samples, seen = load_samples(labels, case.labels, limit_frames, settings.network)
    is_validation = torch.zeros(len(seen.person), dtype=torch.bool)
    is_validation[samples.chosen] = True
    usable = samples.poses[:, H36M17.root_index].isfinite().all(-1) & samples.visible.any(1)
    usable &= torch.as_tensor(seen.person != TESTED_ON)
    if case.few:
        within = torch.zeros_like(usable)
        for run in few_runs(seen, case.few):
            within[run] = True
            samples.first[run] = samples.first[run].clamp(min=run.start)
            samples.last[run] = samples.last[run].clamp(max=run.stop - 1)
        usable &= within
    drawn = replace(samples, chosen=(usable & ~is_validation).nonzero()[:, 0])
    watched = (usable & is_validation).nonzero()[:, 0]
    begun = Lifter.load(folder_of(settings.start_from)) if settings.start_from else None
    scaling = Scaling(begun.mean, begun.spread) if begun else Scaling.of(drawn)
    weights = begun.network.state_dict() if begun else None
    start = time.process_time()
    if case.otherwise == MISSED:
        pseudo_labels = torch.as_tensor(labels[Case.labels]).float()
        drawn = SamplesMissed(
            **{field.name: getattr(drawn, field.name) for field in fields(Samples)}, missed=pseudo_labels
        )
    with done_otherwise(case.otherwise):
        network, history = fit(drawn, watched, scaling, settings, seed, torch.device("cpu"), start=weights)
    seconds = time.process_time() - start
    lifter = Lifter(network, settings.network, H36M17, scaling.mean, scaling.spread, torch.zeros(17, 3), {})
    every = settings.network.every(seen.fps)
    totals, number = np.zeros(2), 0
    truth = torch.as_tensor(seen.poses)
    truth = truth - truth[:, H36M17.root_index, None]
    for clip in np.unique(seen.clip[seen.person == TESTED_ON]):
        own = torch.as_tensor(seen.clip == clip)
        expected = truth[own].unsqueeze(1) @ seen.cameras.R.mT
        for flip in (False, True):
            predicted = lifter.predict(samples.rays[own], samples.confidence[own], flip, every)
            error = (predicted - expected).norm(dim=-1)[..., 1:]
            known = error.isfinite()
            totals[int(flip)] += float(error[known].sum())
        number += int(known.sum())
    curve = [row.get("validation_mpjpe_mm", np.nan) for row in history]
    return {
        "mpjpe_mm": 1000 * totals[0] / number,
        "with_flip_mm": 1000 * totals[1] / number,
        "validation_mm": curve[-1],
        # How much the validation error still fell in the last tenth of the training.
        "still_falling": curve[-min(len(curve), max(2, len(curve) // 10))] / curve[-1] - 1,
        "seconds": seconds,
    }


def summarise(files: list[Path]) -> pd.DataFrame:
    """Mean and spread over seeds, and the ratios to the cases they are to be compared with."""
    results = pd.DataFrame(
        [
            {"case": (parts := file.stem.rsplit("-s", 1))[0], "seed": int(parts[1])} | json.loads(file.read_text())
            for file in files
        ]
    )
    table = results.groupby("case", sort=False).agg(
        seeds=("seed", "count"),
        mpjpe_mm=("mpjpe_mm", "mean"),
        spread_mm=("mpjpe_mm", "std"),
        with_flip_mm=("with_flip_mm", "mean"),
        still_falling=("still_falling", "mean"),
        seconds=("seconds", "mean"),
    )
    table.insert(0, "table", [CASES[name].table for name in table.index])
    for column, base in (("over_default", "default"), ("over_oracle", "oracle"), ("over_published", "published")):
        if base in table.index:
            table[column] = table["mpjpe_mm"] / table.loc[base, "mpjpe_mm"]
    return table.loc[[name for name in CASES if name in table.index]].reset_index()


CURVES = {
    "temporal, from nothing": ("wide-1min", "wide-5min", "wide-20min"),
    "temporal, from pretrained": ("tuned-1min", "tuned-slowly-2min", "tuned-slowly-5min"),
    "one frame, from nothing": ("single-1min",),
}
MINUTES = (0.5, 1, 2, 4, 8, 16)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the error over the minutes of a core, where there is plenty to learn from."""
    style.use()
    figure = style.new_figure(2.4, "Real motion (CMU), SIMULATED cameras and detector; a person not trained on")
    axes, rows = figure.subplots(), table.set_index("case")
    for name, cases in CURVES.items():
        own = rows.loc[[case for case in cases if case in rows.index]].sort_values("seconds")
        axes.errorbar(own["seconds"] / 60, own["mpjpe_mm"], own["spread_mm"].fillna(0), fmt="o-", ms=4, label=name)
    axes.set(xlabel="minutes of one core", ylabel="MPJPE (mm)", xscale="log")
    axes.set_xticks(MINUTES, map(str, MINUTES))
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-frames", type=int, help="of every clip only so many frames")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("labels", help="triangulate the motion in every way")
    making.add_argument("output", type=Path)
    one = commands.add_parser("train", help="train one case with one seed")
    one.add_argument("case", choices=CASES)
    one.add_argument("seed", type=int)
    one.add_argument("labels", type=Path)
    one.add_argument("output", type=Path)
    one.add_argument("--steps", type=int, help="instead of the case's own")
    table = commands.add_parser("table", help="put the results of trainings together")
    table.add_argument("results", type=Path, nargs="+")
    table.add_argument("--output", type=Path, required=True)
    table.add_argument("--figure", type=Path, help="also draw the error over minutes, of the cases of `budgets`")
    options = parser.parse_args()
    if options.command == "labels":
        np.savez(options.output, **make_labels(options.limit_frames))
    elif options.command == "train":
        with np.load(options.labels) as content:
            labels = dict(content)
        result = train(CASES[options.case], options.seed, labels, options.limit_frames, options.steps)
        print(options.case, options.seed, {name: round(value, 4) for name, value in result.items()})
        options.output.write_text(json.dumps(result) + "\n")
    else:
        found = summarise(options.results)
        found.to_csv(options.output, index=False, float_format="%.4f")
        print(found.to_string(index=False, float_format="%.3f"))
        if options.figure:
            draw(found, options.figure)


if __name__ == "__main__":
    main()

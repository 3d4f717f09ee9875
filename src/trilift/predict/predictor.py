"""Predicting poses from arrays of keypoints: many frames at once, or one after the other."""

import logging
import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trilift import skeletons
from trilift.errors import InputError, listed
from trilift.evaluate.settings import Settings
from trilift.formats import Camera
from trilift.geometry.cameras import Cameras
from trilift.lifter.inputs import appearance, features, rays_of_joints
from trilift.lifter.lifter import Lifter
from trilift.lifter.placement import place
from trilift.lifter.shipped import folder_of
from trilift.lifter.smoothing import Live, Smoothed, Smoothing, steady
from trilift.predict.following import Follower
from trilift.predict.prediction import Prediction
from trilift.skeletons import Mapping, Skeleton

log = logging.getLogger(__name__)

_FRAMES_PER_BLOCK, _ON_GPU = 2048, 32768
_STRANGE = 4.0  # times the spread of the training
_FLIP = Settings().flip  # as lifters are measured

_Frame = tuple[np.ndarray, np.ndarray | None]


class Predictor:
    """A trained lifter, ready for keypoints of any camera.

    Parameters
    ----------
    lifter
        As training wrote it.
    device
        Where to compute.
    flip
        Predict the mirrored keypoints too, and take the mean of both poses.

    Examples
    --------
    >>> lifter = trilift.load("results/demo/main")                     # doctest: +SKIP
    >>> camera = trilift.pinhole(1150, (1920, 1080))                   # doctest: +SKIP
    >>> prediction = lifter.predict(pixels, camera, skeleton="coco17")  # doctest: +SKIP
    >>> prediction.in_camera.shape                                     # doctest: +SKIP
    (1000, 17, 3)
    """

    def __init__(self, lifter: Lifter, device: torch.device | str = "cpu", flip: bool = _FLIP):
        self.device = torch.device(device)
        self.lifter = lifter.to(self.device)
        self.flip = flip
        self._warned_of: set[str] = set()
        if lifter.unlearnt:
            log.warning("The training had no label of %s: it is missing in all poses", listed(lifter.unlearnt))

    def __repr__(self) -> str:
        network, facts = self.lifter.network_settings, self.lifter.facts
        sees = "one frame" if network.frames == 1 else f"{network.frames} frames, {network.interval_s:g} s apart"
        weights = sum(values.numel() for values in self.lifter.network.parameters())
        return f"""Lifter trained on the data set {facts["dataset"]} (detections: {listed(facts["layouts"])})
  sees      {sees}
  predicts  the {len(self.skeleton)} joints of {self.skeleton.name}
  network   {network.kind}, {weights:,} weights"""

    @property
    def skeleton(self) -> Skeleton:
        """The joints of the poses, their names in `skeleton.keypoints`."""
        return self.lifter.skeleton

    def predict(
        self,
        pixels: np.ndarray,
        camera: Camera,
        confidence: np.ndarray | None = None,
        skeleton: str | Skeleton | None = None,
        smoothing: Smoothing | None = None,
        fps: float | None = None,
    ) -> Prediction:
        """Predict the poses of frames that follow each other.

        Parameters
        ----------
        pixels
            (frame, keypoint, 2), pixels; NaN where missing.
        camera
            The camera that saw them.
        confidence
            (frame, keypoint), 0 to 1; by default 1.
        skeleton
            Layout of the keypoints, such as ``coco17`` or the path of a file with one's own; by default the lifter's.
        smoothing
            Makes the poses of one person steady, as ``trilift predict`` does: ``trilift.Smoothing(fps=50)``. By
            default every frame stands for itself.
        fps
            Frames per second, for temporal lifters; by default those of `smoothing`.

        Raises
        ------
        InputError
            If the layout lacks joints that the lifter has learnt to see, arrays do not fit, or a temporal lifter is
            not told the frames per second.
        """
        parts = list(self.blocks(pixels, camera, confidence, skeleton, smoothing, fps))
        if not parts:
            return self._nothing(camera)
        poses, root, filled = (
            np.concatenate([getattr(part, field) for part in parts]) for field in ("poses", "root", "filled")
        )
        return Prediction(poses, root, filled, camera)

    def blocks(
        self,
        pixels: np.ndarray,
        camera: Camera,
        confidence: np.ndarray | None = None,
        skeleton: str | Skeleton | None = None,
        smoothing: Smoothing | None = None,
        fps: float | None = None,
    ) -> Iterator[Prediction]:
        """Predict as `predict` does, and give the poses block by block: with `smoothing` after the last frame."""
        mapping = self._mapping(skeleton)
        pixels, confidence = _checked(pixels, confidence, mapping.source)
        every, around = self._every(fps, smoothing)
        cameras = Cameras.stack([camera]).to(self.device)
        size = _FRAMES_PER_BLOCK if self.device.type == "cpu" else _ON_GPU
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, len(pixels), size):
            stop = min(start + size, len(pixels))
            seen = slice(max(0, start - around), stop + around)
            core = slice(start - seen.start, stop - seen.start)
            rays, of_joints = self._input(pixels[seen], confidence[seen], cameras, mapping)
            if start == 0:
                self._warn_of_strange_views(rays, of_joints)
            part = self.lifter.predict(rays, of_joints, self.flip, every)[core], rays[core], of_joints[core]
            if smoothing is None:
                yield _prediction(_alone(*part), camera)
            else:
                parts.append(part)
        if smoothing is not None and parts:
            poses, rays, of_joints = (torch.cat(values) for values in zip(*parts, strict=True))
            smoothed = steady(poses, rays, of_joints, self.skeleton, smoothing)
            for block in zip(*(values.split(size) for values in smoothed), strict=True):
                yield _prediction(Smoothed(*block), camera)

    def live(
        self,
        frames: Iterable[tuple[np.ndarray, np.ndarray | None]],
        camera: Camera,
        skeleton: str | Skeleton | None = None,
        smoothing: Smoothing | None = None,
        fps: float | None = None,
    ) -> Iterator[Prediction]:
        """Predict frame by frame, as they come.

        A temporal lifter sees the frames before, and takes the newest for those to come. Smoothing looks back only.

        Parameters
        ----------
        frames
            For each frame pixels (keypoint, 2) and confidence (keypoint,) or None.
        camera, skeleton, smoothing, fps
            As for `predict`.

        Yields
        ------
        Prediction
            Of one frame.
        """
        person = self._person(camera, skeleton, smoothing, fps)
        for frame in frames:
            yield person.send(frame)

    def live_people(
        self,
        frames: Iterable[tuple[np.ndarray, np.ndarray | None]],
        camera: Camera,
        skeleton: str | Skeleton | None = None,
        smoothing: Smoothing | None = None,
        fps: float | None = None,
    ) -> Iterator[dict[int, Prediction]]:
        """Follow everybody and predict frame by frame, as they come (`trilift.predict.following.Follower`).

        Parameters
        ----------
        frames
            For each frame pixels (person, keypoint, 2), in any order of people, and confidence (person, keypoint) or
            None.
        camera, skeleton, smoothing, fps
            As for `predict`. The frames per second are needed, here or in `smoothing`.

        Yields
        ------
        dict
            Number, from 1, and prediction of one frame of each who is followed; without a pose for who is unseen.

        Raises
        ------
        InputError
            If the frames per second are not told, or a stature is.
        """
        fps = smoothing.fps if fps is None and smoothing is not None else fps
        if fps is None:
            raise InputError("to follow people, how far apart frames are must be known: give fps=")
        if smoothing is not None and smoothing.stature is not None:
            raise InputError("a stature is that of one person: leave it out to follow everybody")
        follower, people = Follower(fps), dict[int, Generator[Prediction, _Frame]]()
        source = self._mapping(skeleton).source
        for given in frames:
            pixels, confidence = _checked(*given, source)
            numbers = follower.step(pixels).tolist()
            people = {
                number: people.get(number) or self._person(camera, source, smoothing, fps)
                for number in follower.people
            }
            nothing = np.full(pixels.shape[1:], np.nan), None
            seen = dict(zip(numbers, zip(pixels, confidence, strict=True), strict=True))
            yield {number: person.send(seen.get(number, nothing)) for number, person in people.items()}

    def _person(
        self, camera: Camera, skeleton: str | Skeleton | None, smoothing: Smoothing | None, fps: float | None
    ) -> Generator[Prediction, _Frame]:
        """Make what takes one person's frames, by `send`, and gives the prediction of each."""
        person = self._frame_by_frame(camera, skeleton, smoothing, fps)
        next(person)
        return person

    def _frame_by_frame(
        self, camera: Camera, skeleton: str | Skeleton | None, smoothing: Smoothing | None, fps: float | None
    ) -> Generator[Prediction, _Frame]:
        mapping, cameras = self._mapping(skeleton), Cameras.stack([camera]).to(self.device)
        every, around = self._every(fps, smoothing)
        before: deque[tuple[Tensor, Tensor]] = deque(maxlen=around + 1)
        live = None if smoothing is None else Live(self.skeleton, smoothing)
        pixels, confidence = yield self._nothing(camera)
        while True:
            given = None if confidence is None else np.asarray(confidence)[None]
            before.append(self._input(*_checked(np.asarray(pixels)[None], given, mapping.source), cameras, mapping))
            rays, of_joints = (torch.cat(values) for values in zip(*before, strict=True))
            newest = self.lifter.predict(rays, of_joints, self.flip, every)[-1:], rays[-1:], of_joints[-1:]
            smoothed = _alone(*newest) if live is None else live.step(*newest)
            pixels, confidence = yield _prediction(smoothed, camera)

    def _warn_of_strange_views(self, rays: Tensor, confidence: Tensor) -> None:
        """Warn of people who appear much larger, smaller or farther aside than all that the lifter learnt from."""
        seen = appearance(features(rays.float(), confidence.float(), self.skeleton), self.skeleton)
        mean, spread = (appearance(values, self.skeleton) for values in (self.lifter.mean, self.lifter.spread))
        size, *ray = seen.nanmedian(0).values.sub(mean).tolist()
        allowed_size, *allowed_ray = (_STRANGE * spread).tolist()
        if abs(size) > allowed_size:
            log.warning(
                "In the image people are %.1f times %s than those that the lifter learnt from, for its focal length: "
                "expect larger errors, or is the camera another one?",
                math.exp(abs(size)),
                "larger" if size > 0 else "smaller",
            )
        if any(abs(off) > allowed for off, allowed in zip(ray, allowed_ray, strict=True)):
            log.warning(
                "People are farther from the optical axis than those that the lifter learnt from: expect larger "
                "errors, or is the camera another one?"
            )

    def _nothing(self, camera: Camera) -> Prediction:
        """Give a prediction of no frames."""
        poses = np.empty((0, len(self.skeleton), 3), np.float32)
        return Prediction(poses, poses[:, 0], np.zeros(0, bool), camera)

    def _every(self, fps: float | None, smoothing: Smoothing | None) -> tuple[int, int]:
        """Tell how far apart the frames are that the lifter sees, and how many on each side matter."""
        network = self.lifter.network_settings
        if fps is None and smoothing is not None:
            fps = smoothing.fps
        if network.frames == 1:
            return 1, 0
        if fps is None:
            raise InputError("this lifter sees several frames, and must know how far apart they are: give fps=")
        return network.every(fps), network.reach(fps)

    def _mapping(self, skeleton: str | Skeleton | None) -> Mapping:
        if skeleton is None:
            skeleton = self.skeleton
        source = skeletons.get(skeleton) if isinstance(skeleton, str) else skeleton
        mapping = skeletons.mapping(source, self.skeleton)
        elsewhere = self.lifter.check_fits(mapping)
        if elsewhere and source.name not in self._warned_of:
            self._warned_of.add(source.name)
            log.warning(
                "The lifter was trained on the layout %s. In %s other keypoints stand for %s: expect larger errors",
                " and ".join(self.lifter.facts["layouts"]),
                source.name,
                listed(elsewhere),
            )
        return mapping

    def _input(
        self, pixels: np.ndarray, confidence: np.ndarray, cameras: Cameras, mapping: Mapping
    ) -> tuple[Tensor, Tensor]:
        """Give rays (frame, joint, 2) and confidence (frame, joint) as the lifter takes them."""
        one_view, its = (torch.as_tensor(values, device=self.device).unsqueeze(1) for values in (pixels, confidence))
        rays, of_joints = rays_of_joints(one_view, its, cameras, mapping)
        return rays[:, 0], of_joints[:, 0]


def _alone(poses: Tensor, rays: Tensor, confidence: Tensor) -> Smoothed:
    """Place poses of which each stands for itself."""
    return Smoothed(poses, place(poses, rays, confidence), torch.zeros(len(poses), dtype=torch.bool))


def _prediction(frames: Smoothed, camera: Camera) -> Prediction:
    poses, root = (values.float().cpu().numpy() for values in (frames.poses, frames.root))
    return Prediction(poses, root, frames.filled.cpu().numpy(), camera)


def load(lifter: Path | str, device: torch.device | str = "cpu", flip: bool = _FLIP) -> Predictor:
    """Load a trained lifter.

    Parameters
    ----------
    lifter
        Folder of a run, such as ``results/demo/main``, or a lifter that comes with the package: ``pretrained``, which
        sees several frames, or ``pretrained-single``.
    device, flip
        As for `Predictor`.

    Raises
    ------
    InputError
        If there is no readable lifter in it.
    """
    return Predictor(Lifter.load(folder_of(lifter)), device, flip)


def _checked(pixels: np.ndarray, confidence: np.ndarray | None, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore"):  # what does not fit is then infinite, and missing
        pixels = np.asarray(pixels, np.float32)
    if pixels.ndim != 3 or pixels.shape[1:] != (len(skeleton), 2):
        raise InputError(
            f"pixels have the shape {pixels.shape}; expected (frame, {len(skeleton)}, 2) for the layout "
            f"{skeleton.name} (skeleton= chooses another: {', '.join(sorted(skeletons.SKELETONS))})"
        )
    confidence = np.asarray(np.ones(pixels.shape[:2]) if confidence is None else confidence, np.float32)
    if confidence.shape != pixels.shape[:2]:
        raise InputError(f"confidence has the shape {confidence.shape}; expected {pixels.shape[:2]}")
    missing = ~np.isfinite(pixels).all(-1) | ~(confidence > 0)
    pixels = np.where(missing[..., None], np.float32(np.nan), pixels)
    return pixels, np.where(missing, np.float32(0), confidence.clip(max=1))

"""A trained lifter: the network and all that is needed to use it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from trilift import skeletons
from trilift.errors import InputError
from trilift.lifter.inputs import features, insert_root, number_of_features, scale
from trilift.lifter.networks import Temporal, build
from trilift.lifter.settings import NetworkSettings
from trilift.project.files import replacing, write_text
from trilift.project.layout import LIFTER
from trilift.project.params import parse
from trilift.skeletons import Mapping, Skeleton
from trilift.skeletons.definition import of_definition


@dataclass(frozen=True)
class Lifter:
    """Lifts the keypoints of one view to a 3D pose.

    Attributes
    ----------
    network
        In evaluation mode.
    network_settings
        Its kind and size.
    skeleton
        Names and order of the joints, in and out.
    mean, spread
        (feature,): scaling of the inputs.
    mean_pose
        (joint, 3), metres, camera frame, root at 0: the mean of the training poses, a baseline. NaN for joints that
        none of them has; the network learnt nothing of these.
    facts
        How it was trained: data set, settings, seed, layouts of the detections and the definitions of one's own.
    """

    network: nn.Module
    network_settings: NetworkSettings
    skeleton: Skeleton
    mean: Tensor
    spread: Tensor
    mean_pose: Tensor
    facts: dict[str, Any]

    def to(self, device: torch.device) -> "Lifter":
        return Lifter(
            self.network.to(device),
            self.network_settings,
            self.skeleton,
            self.mean.to(device),
            self.spread.to(device),
            self.mean_pose.to(device),
            self.facts,
        )

    @property
    def unlearnt(self) -> list[str]:
        """Joints that no training pose has: they are never predicted."""
        return [
            joint
            for joint, place in zip(self.skeleton.keypoints, self.mean_pose, strict=True)
            if not place.isfinite().all()
        ]

    @torch.no_grad()
    def predict(self, rays: Tensor, confidence: Tensor, flip: bool = False, every: int = 1) -> Tensor:
        """Predict poses.

        Parameters
        ----------
        rays
            (frame, ..., joint, 2): undistorted, at depth 1, in this lifter's skeleton; NaN where missing. The
            frames follow each other if the network is temporal; before the first and after the last one these are
            repeated.
        confidence
            (frame, ..., joint), 0 where missing.
        flip
            Predict the mirrored points too, and take the mean of both poses.
        every
            A temporal network sees frames that lie so many frames apart (`NetworkSettings.every`).

        Returns
        -------
        Tensor
            (frame, ..., joint, 3) float32, metres, camera frame, root at 0; NaN where the root is missing in the
            input, and for joints of which nothing was learnt.
        """
        if flip:
            mirrored = self.predict(self._mirror(rays), confidence[..., self.skeleton.mirrored], every=every)
            poses, others = self.predict(rays, confidence, every=every), self._mirror(mirrored)
            return torch.where(others.isnan(), poses, (poses + others) / 2)  # learnt of one side alone
        raw = features(rays.float(), confidence.float(), self.skeleton)
        inputs = scale(raw, self.mean, self.spread)
        if isinstance(self.network, Temporal):
            around = every * (self.network.frames // 2)
            rows = inputs.reshape(len(inputs), -1, inputs.shape[-1]).transpose(0, 1)  # (row, frame, feature)
            ends = rows[:, :1].expand(-1, around, -1), rows[:, -1:].expand(-1, around, -1)
            numbers = self.network.slide(torch.cat([ends[0], rows, ends[1]], 1), every).transpose(0, 1)
        else:
            numbers = self.network(inputs.reshape(-1, inputs.shape[-1]))
        poses = insert_root(numbers.reshape(*raw.shape[:-1], len(self.skeleton) - 1, 3), self.skeleton)
        has_root = rays[..., self.skeleton.root_index, :].isfinite().all(-1)
        return torch.where(has_root[..., None, None] & self.mean_pose.isfinite(), poses, torch.nan)

    def _mirror(self, rays: Tensor) -> Tensor:
        """Exchange left and right and the sign of x: (..., joint, space)."""
        sign = rays.new_ones(rays.shape[-1])
        sign[0] = -1
        return rays[..., self.skeleton.mirrored, :] * sign

    def check_fits(self, mapping: Mapping) -> list[str]:
        """Compare a layout of keypoints with those that the lifter was trained on.

        Parameters
        ----------
        mapping
            From the detector's skeleton to this lifter's.

        Returns
        -------
        list of str
            Joints that are formed of other keypoints than in training, and so may lie elsewhere.

        Raises
        ------
        InputError
            If joints are lacking that detections had in training, unless some were hidden there, or the root.
        """
        own = self.facts.get("own_layouts", {})
        layouts = [
            of_definition(name, own[name], f"lifter.json, layout {name}") if name in own else skeletons.get(name)
            for name in self.facts["layouts"]
        ]
        trained = [skeletons.mapping(layout, self.skeleton).formed_of for layout in layouts]
        now = mapping.formed_of
        does_without = self.facts.get("settings", {}).get("augmentation", {}).get("hidden", 0) > 0
        lacking = [
            joint
            for joint in self.skeleton.keypoints
            if not now[joint]
            and (joint == self.skeleton.root or (not does_without and any(before[joint] for before in trained)))
        ]
        if lacking:
            raise InputError(
                f"the keypoints of {mapping.source.name} do not fit this lifter: {', '.join(lacking)} cannot be "
                "formed of them, but the detections of the training had them; train a lifter on this layout"
            )
        return [joint for joint, keypoints in now.items() if keypoints not in [before[joint] for before in trained]]

    def save(self, folder: Path) -> None:
        """Write the two files, `LIFTER`."""
        follows = {"blocks"} if self.network_settings.kind == "temporal" else {"interval_s"}
        about = {
            "architecture": self.network_settings.model_dump(exclude=follows),
            "skeleton": self.skeleton.name,
            "joints": list(self.skeleton.keypoints),
            "units": "metres, camera frame, relative to the root",
            "input_mean": self.mean.tolist(),
            "input_spread": self.spread.tolist(),
            "mean_pose": [row if all(map(math.isfinite, row)) else None for row in self.mean_pose.tolist()],
            "trained_with": self.facts,
        }
        with replacing(folder / LIFTER[0]) as temporary:
            weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
            temporary.write_bytes(save(weights))  # `save_file` would let nobody else read it
        write_text(folder / LIFTER[1], json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Lifter":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or damaged, or the two do not belong together.
        """
        path = folder / LIFTER[0]
        try:
            weights = load(path.read_bytes())
            path = folder / LIFTER[1]
            about = json.loads(path.read_text("utf-8"))
            settings = parse(NetworkSettings, about["architecture"], f"{path}, architecture")
            skeleton = skeletons.get(about["skeleton"])
            mean, spread = torch.tensor(about["input_mean"]), torch.tensor(about["input_spread"])
            mean_pose = torch.tensor([[math.nan] * 3 if row is None else row for row in about["mean_pose"]])
            joints, inputs = len(skeleton), number_of_features(skeleton)
            fits = (mean.shape, spread.shape, mean_pose.shape) == ((inputs,), (inputs,), (joints, 3))
            if not fits or about["joints"] != list(skeleton.keypoints):
                raise ValueError(f"it does not fit the skeleton {skeleton.name}")
            network = build(inputs, 3 * (joints - 1), settings)
            network.load_state_dict(weights)
            return cls(network.eval(), settings, skeleton, mean, spread, mean_pose, about["trained_with"])
        except PermissionError:
            raise
        except FileNotFoundError:
            raise InputError(
                f"{path}: not there; expected a lifter in the folder of a finished run, such as results/demo/main, "
                "which `snakemake --cores all results/demo/main/metrics.json` or `trilift train demo` makes"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{path}: no readable lifter ({type(error).__name__}: {error}); train it") from None

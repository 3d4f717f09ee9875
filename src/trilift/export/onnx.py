"""ONNX: a lifter as one model that other programs run without this package."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from trilift import __version__
from trilift.errors import InputError
from trilift.lifter.inputs import features, insert_root, scale
from trilift.lifter.lifter import Lifter
from trilift.project.files import replacing


def export_onnx(lifter: Lifter, path: Path) -> None:
    """Write a lifter as an ONNX model, with all that is done before and after its network.

    Inputs are ``rays`` (row, joint, 2), undistorted and at depth 1 (``x = (u - cx) / fx``), NaN where missing,
    and ``confidence`` (row, joint), 0 where missing; of a temporal lifter (row, frame, joint, 2) and (row, frame,
    joint). The output is ``poses`` (row, joint, 3), metres, camera frame, root at 0: of a temporal lifter the pose
    in the middle frame. It is NaN where the root is missing, and for joints of which nothing was learnt. All are
    float32, with any number of rows.

    The metadata of the file name the skeleton, the joints (as JSON), the units, the number of frames and the seconds
    from one to the next, the data set that the lifter was trained on, and the version of this package. The same
    lifter gives the same bytes.

    Raises
    ------
    InputError
        If onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError(
            f"{path}: needs the packages onnx and onnxscript; install them: "
            'pip install -c constraints.txt -e ".[export]"'
        ) from None
    frames, joints = lifter.network_settings.frames, len(lifter.skeleton)
    leading = (2, joints) if frames == 1 else (2, frames, joints)  # the number of rows is free
    example = torch.zeros(*leading, 2, device=lifter.mean.device), torch.zeros(leading, device=lifter.mean.device)
    row = torch.export.Dim("row")
    with _quiet():
        program = torch.onnx.export(
            _Model(lifter).eval(),
            example,
            input_names=["rays", "confidence"],
            output_names=["poses"],
            dynamic_shapes={"rays": {0: row}, "confidence": {0: row}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # where in this machine's files the node comes from
    program.model.metadata_props.update(
        {
            "skeleton": lifter.skeleton.name,
            "joints": json.dumps(lifter.skeleton.keypoints),
            "units": "metres, camera frame, relative to the root",
            "frames": str(frames),
            "interval_s": str(lifter.network_settings.interval_s),
            "trained_on": str(lifter.facts.get("dataset", "unknown")),
            "version": f"trilift {__version__}",
        }
    )
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)


class _Model(nn.Module):
    """What `Lifter.predict` does, from tensors to tensors."""

    mean: Tensor
    spread: Tensor
    learnt: Tensor

    def __init__(self, lifter: Lifter):
        super().__init__()
        self.network, self.skeleton = lifter.network, lifter.skeleton
        self.temporal = lifter.network_settings.kind == "temporal"
        self.register_buffer("mean", lifter.mean)
        self.register_buffer("spread", lifter.spread)
        self.register_buffer("learnt", lifter.mean_pose.isfinite())

    def forward(self, rays: Tensor, confidence: Tensor) -> Tensor:
        inputs = scale(features(rays, confidence, self.skeleton), self.mean, self.spread)
        numbers = self.network(inputs).reshape(-1, len(self.skeleton) - 1, 3)
        lifted = rays[:, rays.shape[1] // 2] if self.temporal else rays  # (row, joint, 2)
        has_root = lifted[:, self.skeleton.root_index].isfinite().all(-1)
        return torch.where(has_root[:, None, None] & self.learnt, insert_root(numbers, self.skeleton), torch.nan)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says about itself and about packages that it could use."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

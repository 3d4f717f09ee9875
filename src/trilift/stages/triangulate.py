"""triangulate: detections of several views -> 3D pseudo-labels."""

import logging
from typing import Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from pydantic import Field
from tqdm import tqdm

from trilift import captures, skeletons
from trilift.captures import CaptureWriter
from trilift.geometry.cameras import Cameras, to_normalised
from trilift.geometry.triangulation import reprojection_error, triangulate
from trilift.layout import Layout
from trilift.params import StrictModel, load

log = logging.getLogger(__name__)


class Settings(StrictModel):
    """The section ``triangulate`` of ``params.yaml``.

    Attributes
    ----------
    weights
        How much a view counts: by the detector's ``confidence``, or all the same (``equal``).
    min_confidence
        Detections with a lower confidence do not count.
    """

    weights: Literal["confidence", "equal"] = "confidence"
    min_confidence: float = Field(0.0, ge=0, le=1)


def run(layout: Layout, device: torch.device) -> None:
    """Triangulate all captures of a data set and log a recap of the errors."""
    settings = load(layout.params, "triangulate", Settings)
    with (
        captures.read(layout.captures, "captures") as opened,
        captures.create(layout.pseudo_labels, "pseudo_labels", dataset=layout.dataset) as file,
    ):
        total = sum(capture.sizes["frame"] for capture in opened.values())
        recap = []
        with tqdm(total=total, unit="frame", unit_scale=True, desc="triangulate", disable=None) as progress:
            for name, capture in opened.items():
                written = file.add_capture(
                    name,
                    recordings=captures.recordings(capture),
                    skeleton=skeletons.get(capture.attrs["skeleton"]),
                    views=capture["view"].values.tolist(),
                )
                recap.append(_triangulate_capture(name, capture, written, settings, device, progress))
    _log_recap(pd.concat(recap))


def _triangulate_capture(
    name: str,
    capture: xr.Dataset,
    written: CaptureWriter,
    settings: Settings,
    device: torch.device,
    progress: tqdm,
) -> pd.DataFrame:
    """Triangulate one capture; returns its errors per view, keypoint and step of the histogram."""
    cameras = Cameras.from_arrays(capture).to(device)
    mapping = skeletons.mapping(skeletons.get(capture.attrs["skeleton"]), skeletons.TRAINING_SKELETON)
    histogram = np.zeros((capture.sizes["view"], capture.sizes["keypoint"], len(_EDGES)), np.int64)
    for frames in captures.blocks(capture.sizes["frame"]):
        pixels, confidence = (
            torch.as_tensor(array, device=device).double()
            for array in captures.load_frames(capture, frames, "keypoints_2d", "confidence")
        )
        counts = (confidence > 0) & (confidence >= float(np.float32(settings.min_confidence)))  # stored as float32
        weights = torch.where(counts, confidence if settings.weights == "confidence" else 1.0, 0.0)
        points, views_used = triangulate(cameras, to_normalised(cameras, pixels), weights)
        error = reprojection_error(cameras, points, pixels).cpu().numpy()
        keypoints = points.cpu().numpy()
        written.write_block(
            frames,
            keypoints_3d=keypoints,
            joints_3d=mapping.apply(keypoints),
            reprojection_error=error,
            views_used=views_used.cpu().numpy(),
        )
        _count(histogram, error)
        progress.update(frames.stop - frames.start)
    index = pd.MultiIndex.from_product(
        [[name], capture["view"].values, capture["keypoint"].values], names=["capture", "view", "keypoint"]
    )
    return pd.DataFrame(histogram.reshape(len(index), -1), index=index)


# The recap's quantiles come from counts on fixed steps, so that it needs no memory per frame: 0.1 px up to 200 px
# and one last step for all above.
_EDGES = np.arange(0, 200.1, 0.1)


def _count(histogram: np.ndarray, error: np.ndarray) -> None:
    """Add errors (frame, view, keypoint) to the counts (view, keypoint, step)."""
    _, views, keypoints = error.shape
    step = np.minimum(np.nan_to_num(error) / _EDGES[1], len(_EDGES) - 1).astype(np.int64)
    cell = np.arange(views * keypoints).reshape(views, keypoints) * len(_EDGES) + step
    histogram += np.bincount(cell[np.isfinite(error)], minlength=histogram.size).reshape(histogram.shape)


def _quantile(counts: pd.DataFrame, share: float) -> pd.Series:
    cumulated = counts.to_numpy().cumsum(1)
    step = (cumulated < share * cumulated[:, -1:]).sum(1)
    middle = _EDGES[np.minimum(step, len(_EDGES) - 1)] + _EDGES[1] / 2
    return pd.Series(np.where(cumulated[:, -1] > 0, middle, np.nan), index=counts.index)


def _log_recap(counts: pd.DataFrame) -> None:
    """Log the median and 90th percentile of the reprojection error per view and per keypoint, the worst first."""
    for level in ("view", "keypoint"):
        summed = counts.groupby(level=["capture", level] if level == "view" else level, sort=False).sum()
        table = pd.DataFrame(
            {
                "median_px": _quantile(summed, 0.5),
                "p90_px": _quantile(summed, 0.9),
                "detections": summed.sum(axis=1),
            }
        )
        table = table.sort_values("median_px", ascending=False)
        log.info("reprojection error per %s, the worst first\n%s", level, table.to_string(float_format="%.1f"))
    overall = counts.sum().to_frame().T
    log.info(
        "reprojection error overall: median %.1f px, 90th percentile %.1f px",
        _quantile(overall, 0.5).item(),
        _quantile(overall, 0.9).item(),
    )

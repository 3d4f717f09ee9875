"""SLEAP's analysis HDF5: a file per view with ``tracks``, ``point_scores`` and ``node_names``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from trilift.captures.hdf5 import holds
from trilift.errors import InputError
from trilift.formats import MOST_PEOPLE, DetectedView, layouts, view_of_people
from trilift.formats.checks import check_not_infinite
from trilift.formats.layouts import Told
from trilift.formats.names import match_keypoints
from trilift.skeletons import Skeleton

BYTES_PER_BLOCK = 64 << 20
"""How much is in memory at a time, of files with hundreds of tracks. No result depends on it."""

_DATA_SETS = ("node_names", "tracks", "point_scores")

_Axes = tuple[tuple[int, ...], tuple[int, ...]]

_ORDERS: tuple[_Axes, ...] = (((0, 1, 2, 3), (0, 1, 2)), ((1, 3, 2, 0), (1, 2, 0)))
"""Where track, xy, node and frame are in `tracks`, and track, node and frame in `point_scores`: in SLEAP's files and
in those that sleap-io writes with the preset ``standard``."""


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format."""
    return holds(path, lambda file: all(name in file for name in _DATA_SETS))


def tell_layout(paths: Sequence[Path]) -> Told:
    """Tell the layout from the names of the nodes."""
    with _opened(paths[0]) as analysis:
        return layouts.of_names(analysis.nodes, str(paths[0]))


def read_view(path: Path, skeleton: Skeleton) -> DetectedView:
    """Read the view of a file; its nodes are matched with the skeleton's keypoints by name, tracks are the people.

    Frames are counted from the first of the video. The last is the last in which somebody was tracked.

    Raises
    ------
    InputError
        If the file is damaged, no such file, or no node is a keypoint of the skeleton.
    """
    with _opened(path) as analysis:
        keypoints = match_keypoints(analysis.nodes, skeleton, str(path))
        length = analysis.tracks.shape[analysis.axes[0][3]]
        step = max(1, BYTES_PER_BLOCK // max(1, analysis.tracks.nbytes // length))
        people = np.concatenate(
            [
                _read_people(analysis, slice(start, start + step), keypoints, skeleton, path)
                for start in range(0, length, step)
            ]
        )
    frames = dict(enumerate(people))
    return view_of_people(path.stem, frames, skeleton, str(path), lists_empty_frames=False)


class _Analysis(NamedTuple):
    nodes: list[str]
    tracks: h5py.Dataset
    scores: h5py.Dataset
    axes: _Axes


def _read_people(
    analysis: _Analysis, frames: slice, keypoints: dict[str, int], skeleton: Skeleton, path: Path
) -> np.ndarray:
    """Read (frame, person, keypoint, 3) of some frames: of many tracks the `MOST_PEOPLE` of whom most is seen."""
    tracks, scores = (
        _read_frames(dataset, axes, frames)
        for dataset, axes in zip((analysis.tracks, analysis.scores), analysis.axes, strict=True)
    )
    for array in (tracks, scores):
        check_not_infinite(array, str(path))
    scores[np.isnan(scores) & ~np.isnan(tracks).any(1)] = 1  # SLEAP gives no score to what a human has set.
    people = np.full((tracks.shape[3], len(tracks), len(skeleton), 3), np.nan, np.float32)
    for node, keypoint in keypoints.items():
        index = analysis.nodes.index(node)
        people[:, :, keypoint, :2] = tracks[:, :, index].transpose(2, 0, 1)
        people[:, :, keypoint, 2] = scores[:, index].T
    people[np.isnan(people).any(-1)] = np.nan
    if people.shape[1] <= MOST_PEOPLE:
        return people
    most = np.argsort(-np.nansum(people[..., 2], -1), axis=1, kind="stable")[:, :MOST_PEOPLE]
    return np.take_along_axis(people, most[..., None, None], 1)


def _read_frames(dataset: h5py.Dataset, axes: tuple[int, ...], frames: slice) -> np.ndarray:
    """Read some frames, their axis last."""
    wanted = tuple(frames if axis == axes[-1] else slice(None) for axis in range(len(axes)))
    with np.errstate(over="ignore"):  # what does not fit is then infinite, and refused
        return dataset[wanted].astype(np.float32).transpose(axes)


@contextmanager
def _opened(path: Path) -> Iterator[_Analysis]:
    try:
        with h5py.File(path, "r") as file:
            yield _checked(file, path)
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except InputError:
        raise
    except Exception as error:  # h5py fails in many ways
        raise InputError(
            f"{path}: no readable analysis HDF5 of SLEAP ({type(error).__name__}: {error!s:.200}); export it again "
            "(sleap-convert --format analysis)"
        ) from None


def _checked(file: h5py.File, path: Path) -> _Analysis:
    names, tracks, scores = (_dataset(file, path, name) for name in _DATA_SETS)
    # SLEAP and sleap-io write strings of fixed length. HDF5 believes the length of others, however damaged.
    if names.dtype.kind != "S" or tracks.dtype.kind != "f" or scores.dtype.kind != "f":
        raise InputError(
            f"{path}: expected `tracks` and `point_scores` as floating-point numbers and `node_names` as strings of "
            "fixed length; export the file again with SLEAP"
        )
    axes = _find_axes(tracks.shape, scores.shape, names.shape)
    if axes is None:
        raise InputError(
            f"{path}: `tracks` {tracks.shape}, `point_scores` {scores.shape} and `node_names` {names.shape} do not "
            "fit each other; export the file again"
        )
    return _Analysis([name.decode() for name in names[:]], tracks, scores, axes)


def _find_axes(tracks: tuple[int, ...], scores: tuple[int, ...], names: tuple[int, ...]) -> _Axes | None:
    """Tell from the shapes which of the orders of axes a file has."""
    if len(tracks) == 4 and len(scores) == 3 and 0 not in tracks:
        for axes in _ORDERS:
            people, space, nodes, frames = (tracks[axis] for axis in axes[0])
            if space == 2 and names == (nodes,) and [scores[axis] for axis in axes[1]] == [people, nodes, frames]:
                return axes
    return None


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Give a data set that lies in this file, and nowhere else."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: has no data set `{name}` of its own; export the analysis HDF5 again")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: `{name}` is no data set, or lies in another file; export the file again")
    return dataset

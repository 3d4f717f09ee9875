"""What became of the detections in triangulation: errors, gaps and bone lengths, counted without keeping frames.

``rejected`` is a share of the detections that another view has one beside, so that they can contradict each other,
``nobody`` one of all frames, and all others, ``rejected_of_frames`` among them, are shares of the frames in which
somebody is seen in a view. A share of nothing is missing.
"""

import numpy as np
import pandas as pd

from trilift.captures.schema import Recording
from trilift.skeletons import Skeleton
from trilift.triangulate.labels import Labels

_BADNESS = {
    "views": "median_px",
    "keypoints": "median_px",
    "bones": "single_frames_spread_mm",
    "recordings": "median_px",
}
_COUNTED = ("frames", "detected", "compared", "rejected", "swapped", "filled", "dropped")


class Histogram:
    """Counts of values from 0 on, in steps, for an array of quantities; the last step holds all above."""

    def __init__(self, shape: tuple[int, ...], step: float, steps: int):
        self.step = step
        self.counts = np.zeros((*shape, steps + 1), np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count values (frame, *shape); NaN does not count."""
        steps = self.counts.shape[-1]
        finite = np.isfinite(values)
        index = np.minimum(np.where(finite, values, 0) / self.step, steps - 1).astype(np.int64)
        cell = np.arange(self.counts[..., 0].size).reshape(self.counts.shape[:-1]) * steps + index
        self.counts += np.bincount(cell[finite], minlength=self.counts.size).reshape(self.counts.shape)

    def quantile(self, share: float, over: int | tuple[int, ...] = ()) -> np.ndarray:
        """Give a quantile of each quantity, those along the axes `over` taken together; NaN where there are none.

        Values are taken to be spread evenly within a step.
        """
        counts = self.counts.sum(over) if over != () else self.counts
        cumulated = counts.cumsum(-1)
        sought = share * cumulated[..., -1:]
        step = (cumulated < sought).sum(-1, keepdims=True)
        within, up_to = (np.take_along_axis(values, step, -1) for values in (counts, cumulated))
        with np.errstate(invalid="ignore"):
            return ((step + 1 - (up_to - sought) / within) * self.step)[..., 0]


class Recap:
    """Collects what became of the detections of one capture."""

    def __init__(self, capture: str, views: list[str], skeleton: Skeleton, recordings: list[Recording]):
        self.capture, self.views, self.skeleton, self.recordings = capture, views, skeleton, recordings
        shape = (len(views), len(skeleton))
        self._px = Histogram(shape, 0.1, 2000)
        self._mm = Histogram(shape, 0.5, 2000)
        self._bones = {r.subject: Histogram((2, len(skeleton.bones)), 0.5, 4000) for r in recordings}
        self._of_recording = {r.name: Histogram((), 0.1, 2000) for r in recordings}
        self._counts = {r.name: {what: np.zeros(shape, np.int64) for what in _COUNTED} for r in recordings}
        self._with_point = {r.name: np.zeros(len(skeleton), np.int64) for r in recordings}

    def add(self, recording: Recording, labels: Labels) -> None:
        """Take in the pseudo-labels of some frames of a recording."""
        poses, of_single_frames, _, error_px, error_mm, detected, used, swapped, filled = (
            values.numpy(force=True) for values in labels
        )
        self._px.add(error_px)
        self._mm.add(error_mm)
        self._of_recording[recording.name].add(error_px.reshape(-1))
        parents, children = np.array(self.skeleton.bone_indices).T
        both = np.stack([poses, of_single_frames], 1)
        lengths = np.linalg.norm(both[:, :, parents] - both[:, :, children], axis=-1)
        self._bones[recording.subject].add(1e3 * lengths)
        counts = self._counts[recording.name]
        watched = detected.any((1, 2))
        counts["frames"] += watched.sum()
        counts["detected"] += detected.sum(0)
        counts["swapped"] += swapped.sum(0)[:, None]
        counts["filled"] += filled.sum(0)
        compared, kept = np.isfinite(of_single_frames[..., 0]), np.isfinite(poses[..., 0])
        opposed = detected & compared[:, None]
        counts["compared"] += opposed.sum(0)
        counts["rejected"] += (opposed & ~used).sum(0)
        counts["dropped"] += (compared & ~(kept & ~filled)).sum(0)
        self._with_point[recording.name] += np.isfinite(poses[watched, :, 0]).sum(0)

    def _shares(self, over: int | tuple[int, ...]) -> dict[str, np.ndarray]:
        by_recording = self._counts.values()
        return _shares({what: np.sum([counts[what] for counts in by_recording], 0).sum(over) for what in _COUNTED})

    def tables(self) -> dict[str, pd.DataFrame]:
        """Give all tables by name: a thousandth of the memory of the counts that they are made of."""
        return {
            "views": self.views_table(),
            "keypoints": self.keypoints_table(),
            "bones": self.bones_table(),
            "recordings": self.recordings_table(),
        }

    def views_table(self) -> pd.DataFrame:
        """Give one row per view."""
        table = {
            "capture": self.capture,
            "view": self.views,
            "median_px": self._px.quantile(0.5, over=1),
            "p90_px": self._px.quantile(0.9, over=1),
            "median_mm": self._mm.quantile(0.5, over=1),
            "p90_mm": self._mm.quantile(0.9, over=1),
        }
        return pd.DataFrame(table | self._shares(1))

    def keypoints_table(self) -> pd.DataFrame:
        """Give one row per keypoint."""
        frames = sum(int(counts["frames"][0, 0]) for counts in self._counts.values())
        table = {
            "capture": self.capture,
            "keypoint": list(self.skeleton.keypoints),
            "median_px": self._px.quantile(0.5, over=0),
            "p90_px": self._px.quantile(0.9, over=0),
            "median_mm": self._mm.quantile(0.5, over=0),
            "p90_mm": self._mm.quantile(0.9, over=0),
        }
        shares = self._shares(0) | {"without_point": 1 - _share(np.sum(list(self._with_point.values()), 0), frames)}
        return pd.DataFrame(table | shares)

    def bones_table(self) -> pd.DataFrame:
        """Give one row per person and bone: its length and its spread over time, in single frames and in the end.

        The spread is the interquartile range over 1.349, a standard deviation that single wild frames do not move.
        """
        tables = []
        for subject, lengths in self._bones.items():
            middle = lengths.quantile(0.5)
            spread = (lengths.quantile(0.75) - lengths.quantile(0.25)) / 1.349
            table = pd.DataFrame(self.skeleton.bones, columns=["parent", "child"])
            table.insert(0, "capture", self.capture)
            table.insert(1, "subject", subject)
            table["median_mm"], table["single_frames_median_mm"] = middle
            table["spread_mm"], table["single_frames_spread_mm"] = spread
            tables.append(table)
        return pd.concat(tables)

    def recordings_table(self) -> pd.DataFrame:
        """Give one row per recording."""
        rows = []
        for recording in self.recordings:
            errors, counts = self._of_recording[recording.name], self._counts[recording.name]
            rows.append(
                {
                    "capture": self.capture,
                    "recording": recording.name,
                    "median_px": float(errors.quantile(0.5)),
                    "p90_px": float(errors.quantile(0.9)),
                }
                | {name: float(share) for name, share in _shares({k: v.sum() for k, v in counts.items()}).items()}
                | {
                    "without_point": 1 - _share(self._with_point[recording.name].sum(), counts["frames"][0].sum()),
                    "nobody": 1 - _share(counts["frames"][0, 0], recording.length),
                }
            )
        return pd.DataFrame(rows)


def worst_first(tables: list[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Put the tables of several captures into one of each name, its worst rows first.

    What has no error at all, since it was never found, is worse than any.
    """
    return {
        name: pd.concat([of_capture[name] for of_capture in tables]).sort_values(
            badness, ascending=False, kind="stable", na_position="first", ignore_index=True
        )
        for name, badness in _BADNESS.items()
    }


def _shares(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    frames = counts["frames"]
    return {
        "missing": 1 - _share(counts["detected"], frames),
        "rejected": _share(counts["rejected"], counts["compared"]),
        "rejected_of_frames": _share(counts["rejected"], frames),
        "swapped": _share(counts["swapped"], frames),
        "filled": _share(counts["filled"], frames),
        "dropped": _share(counts["dropped"], frames),
    }


def _share(part: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    """Divide numbers; NaN of nothing."""
    return part / np.where(np.equal(whole, 0), np.nan, whole)

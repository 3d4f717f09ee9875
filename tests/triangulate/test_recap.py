import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trilift.captures.schema import Recording
from trilift.skeletons import COCO17
from trilift.triangulate.labels import Labels
from trilift.triangulate.recap import Histogram, Recap, worst_first

VIEWS = ["left", "middle", "right"]
RECORDINGS = [
    Recording("walk", "anna", "walk", 50.0, 0, 60),
    Recording("sit", "anna", "sit", 50.0, 60, 40),
    Recording("jump", "bert", "jump", 50.0, 100, 50),
]


@given(st.integers(0, 10**6), st.integers(1, 300), st.floats(0.01, 0.99))
def test_quantiles_are_numpys_to_a_step(seed, number, share):
    values = np.random.default_rng(seed).gamma(2, 5, (number, 3, 2))
    histogram = Histogram((3, 2), 0.1, 2000)
    for part in np.array_split(values, 4):
        histogram.add(part)
    expected = np.quantile(values, share, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(histogram.quantile(share), expected, atol=0.1001)
    together = np.quantile(values, share, axis=(0, 2), method="inverted_cdf")
    np.testing.assert_allclose(histogram.quantile(share, over=1), together, atol=0.1001)
    assert histogram.counts.sum() == values.size


def test_a_single_quantity_has_a_histogram():
    histogram = Histogram((), 1.0, 10)
    histogram.add(np.array([2.5, 3.5, 4.5]))
    assert histogram.quantile(0.5) == 3.5


def test_values_of_one_step_are_taken_to_be_spread_evenly():
    histogram = Histogram((), 1.0, 10)
    histogram.add(np.array([2.1, 2.2, 2.3, 2.4]))
    assert [histogram.quantile(share) for share in (0.25, 0.5, 1)] == [2.25, 2.5, 3]


def test_missing_values_do_not_count_and_without_any_there_is_no_quantile():
    values = np.random.default_rng(0).uniform(0, 10, (50, 2))
    values[::3, 0], values[:, 1] = np.nan, np.nan
    histogram = Histogram((2,), 0.1, 200)
    histogram.add(values)
    median, nothing = histogram.quantile(0.5)
    assert median == pytest.approx(np.nanmedian(values[:, 0]), abs=0.2)
    assert np.isnan(nothing)
    assert histogram.counts.sum() == np.isfinite(values).sum()


def test_what_is_beyond_the_last_step_is_counted_there():
    histogram = Histogram((), 1.0, 10)
    histogram.add(np.array([1e9, 5e7, 3.0]))
    assert 10 < histogram.quantile(0.5) <= 11
    assert histogram.counts.sum() == 3


def test_a_histogram_does_not_grow():
    histogram = Histogram((4, 17), 0.1, 2000)
    before = histogram.counts.nbytes
    for _ in range(20):
        histogram.add(np.random.default_rng(0).uniform(0, 1e4, (100, 4, 17)))
    assert histogram.counts.nbytes == before
    assert (histogram.counts.sum(-1) == 2000).all()


def block(frames, error=2.0, size=1.0):
    """A person that stands still, seen by all views."""
    rng = np.random.default_rng(0)
    shape = (frames, len(VIEWS), len(COCO17))
    pose = size * rng.uniform(-0.5, 0.5, (len(COCO17), 3))
    return Labels(
        poses=np.repeat(pose[None], frames, 0),
        of_single_frames=np.repeat(pose[None], frames, 0),
        covariance=np.full((frames, len(COCO17), 3, 3), np.nan),
        error_px=np.full(shape, error),
        error_mm=np.full(shape, 3 * error),
        detected=np.ones(shape, bool),
        used=np.ones(shape, bool),
        swapped=np.zeros(shape[:2], bool),
        filled=np.zeros((frames, len(COCO17)), bool),
    )


def add(recap, recording, arrays):
    recap.add(recording, Labels(*map(torch.as_tensor, arrays)))


def recap_of(blocks, capture="lab"):
    recap = Recap(capture, VIEWS, COCO17, RECORDINGS)
    for recording, content in zip(RECORDINGS, blocks, strict=True):
        add(recap, recording, content)
    return recap


def plain():
    return [block(recording.length) for recording in RECORDINGS]


def test_of_perfect_detections_nothing_is_missing():
    recap = recap_of(plain())
    tables = [recap.views_table(), recap.keypoints_table(), recap.recordings_table()]
    assert [len(table) for table in tables] == [len(VIEWS), len(COCO17), len(RECORDINGS)]
    for table in tables:
        assert (table[["missing", "rejected", "swapped", "filled"]] == 0).to_numpy().all()
        assert table["median_px"].tolist() == pytest.approx([2] * len(table), abs=0.06)
        assert (table["capture"] == "lab").all()
    assert tables[0]["median_mm"].tolist() == pytest.approx([6] * 3, abs=0.26)


def test_the_worst_comes_first():
    blocks = plain()
    for content in blocks:
        content.error_px[:, 1] += 5
        content.error_px[:, 2] += 1
        content.error_px[:, :, 9] += 20
    blocks[2].error_px[:] += 3
    tables = worst_first([recap_of(blocks).tables()])
    assert tables["views"]["view"].tolist() == ["middle", "right", "left"]
    assert tables["keypoints"]["keypoint"].iloc[0] == COCO17.keypoints[9]
    assert tables["recordings"]["recording"].tolist() == ["jump", "walk", "sit"]
    for name in ("views", "keypoints", "recordings"):
        assert (tables[name]["median_px"].diff().dropna() <= 0).all()
    assert (tables["bones"]["single_frames_spread_mm"].diff().dropna() <= 0).all()


def test_the_worst_of_all_captures_comes_first_in_whichever_it_is():
    blocks = [plain() for _ in range(3)]
    for content in blocks[2]:
        content.error_px[:, 1] += 9
        content.error_px[:, :, 3] += 30
        content.of_single_frames[::2] *= 1.1
    for content in blocks[1]:
        content.error_px[:, 0] = np.nan  # a view that found nothing
    tables = worst_first([recap_of(content, f"day {day}").tables() for day, content in enumerate(blocks)])
    assert tables["views"][["capture", "view"]].head(2).values.tolist() == [["day 1", "left"], ["day 2", "middle"]]
    assert tables["keypoints"][["capture", "keypoint"]].values.tolist()[0] == ["day 2", COCO17.keypoints[3]]
    assert (tables["bones"]["capture"].head(2 * len(COCO17.bones)) == "day 2").all()
    assert (tables["recordings"]["capture"].head(3) == "day 2").all()
    for name, table in tables.items():
        assert table.index.tolist() == list(range(3 * len(recap_of(plain()).tables()[name])))


def test_shares_are_those_planted():
    blocks = plain()
    walk, sit, jump = blocks
    walk.detected[:15, 1] = walk.used[:15, 1] = False  # a quarter of 60 frames of one of three views
    jump.used[:10, 2] = False
    sit.swapped[:8, 0] = True
    sit.filled[:4, 5] = True
    jump.poses[:30, 3] = np.nan
    recap = recap_of(blocks)
    views = recap.views_table().set_index("view")
    assert views["missing"].to_dict() == pytest.approx({"left": 0, "middle": 15 / 150, "right": 0})
    assert views["rejected"].to_dict() == pytest.approx({"left": 0, "middle": 0, "right": 10 / 150})
    assert views["swapped"].to_dict() == pytest.approx({"left": 8 / 150, "middle": 0, "right": 0})
    keypoints = recap.keypoints_table().set_index("keypoint")
    names = COCO17.keypoints
    assert keypoints["missing"].to_numpy() == pytest.approx(15 / 450)
    assert keypoints.loc[names[5], "filled"] == pytest.approx(4 / 150)
    assert keypoints.loc[names[3], "without_point"] == pytest.approx(30 / 150)
    assert (keypoints["filled"] > 0).sum() == (keypoints["without_point"] > 0).sum() == 1
    recordings = recap.recordings_table().set_index("recording")
    assert recordings.loc["walk", "missing"] == pytest.approx(15 / 180)
    assert recordings.loc["jump", "rejected"] == pytest.approx(10 / 150)
    assert recordings.loc["sit", "swapped"] == pytest.approx(8 / 120)
    assert recordings.loc["jump", "without_point"] == pytest.approx(30 / 50 / len(COCO17))
    assert recordings.loc["walk", "rejected"] == 0


def test_rejected_is_a_share_of_what_was_detected():
    blocks = plain()
    for content in blocks:
        content.detected[::2, 0] = content.used[::2, 0] = False
        content.used[1::4, 0] = False
    detected = sum(content.detected[:, 0, 0].sum() for content in blocks)
    used = sum(content.used[:, 0, 0].sum() for content in blocks)
    views = recap_of(blocks).views_table().set_index("view")
    assert views.loc["left", "missing"] == pytest.approx(0.5)
    assert views.loc["left", "rejected"] == pytest.approx(1 - used / detected)


def test_errors_without_a_detection_do_not_count():
    blocks = plain()
    for content in blocks:
        content.error_px[::2, 0] = np.nan
        content.error_px[1::2, 0] = 7
    views = recap_of(blocks).views_table().set_index("view")
    assert views.loc["left", "median_px"] == pytest.approx(7, abs=0.06)


def test_quantiles_of_the_tables_are_those_of_the_errors():
    blocks = plain()
    rng = np.random.default_rng(1)
    for content in blocks:
        content.error_px[:] = rng.gamma(2, 3, content.error_px.shape)
        content.error_mm[:] = 2.5 * content.error_px
    errors = np.concatenate([content.error_px for content in blocks])
    recap = recap_of(blocks)
    views = recap.views_table().set_index("view").loc[VIEWS]
    keypoints = recap.keypoints_table().set_index("keypoint").loc[list(COCO17.keypoints)]
    for share, name in ((0.5, "median"), (0.9, "p90")):
        np.testing.assert_allclose(views[f"{name}_px"], np.quantile(errors, share, axis=(0, 2)), atol=0.1)
        np.testing.assert_allclose(views[f"{name}_mm"], 2.5 * np.quantile(errors, share, axis=(0, 2)), atol=0.4)
        np.testing.assert_allclose(keypoints[f"{name}_px"], np.quantile(errors, share, axis=(0, 1)), atol=0.1)
    recordings = recap.recordings_table().set_index("recording")
    assert recordings.loc["sit", "p90_px"] == pytest.approx(np.quantile(blocks[1].error_px, 0.9), abs=0.1)


def test_the_order_and_size_of_blocks_do_not_matter():
    content = [block(recording.length, error=1.0 + i) for i, recording in enumerate(RECORDINGS)]
    parts = Recap("lab", VIEWS, COCO17, RECORDINGS)
    for recording, whole in reversed(list(zip(RECORDINGS, content, strict=True))):
        for rows in (slice(7, None), slice(0, 7)):
            add(parts, recording, [values[rows] for values in whole])
    for table in ("views_table", "keypoints_table", "bones_table", "recordings_table"):
        assert getattr(parts, table)().equals(getattr(recap_of(content), table)())


def test_bones_are_measured_per_person_in_single_frames_and_in_the_end():
    rng = np.random.default_rng(2)
    blocks = plain()
    blocks[2] = block(50, size=1.3)
    blocks[2].poses[:] += rng.normal(0, 0.01, blocks[2].poses.shape)
    blocks[2].of_single_frames[:] += rng.normal(0, 0.03, blocks[2].poses.shape)
    bones = recap_of(blocks).bones_table()
    assert len(bones) == 2 * len(COCO17.bones)
    poses = {
        ("anna", ""): blocks[0].poses,
        ("anna", "single_frames_"): blocks[0].of_single_frames,
        ("bert", ""): blocks[2].poses,
        ("bert", "single_frames_"): blocks[2].of_single_frames,
    }
    for (subject, kind), points in poses.items():
        own = bones[bones["subject"] == subject].set_index(["parent", "child"])
        for (parent, child), (i, j) in zip(COCO17.bones, COCO17.bone_indices, strict=True):
            lengths = 1e3 * np.linalg.norm(points[:, i] - points[:, j], axis=-1)
            assert own.loc[(parent, child), f"{kind}median_mm"] == pytest.approx(np.median(lengths), abs=3)
            spread = np.subtract(*np.quantile(lengths, [0.75, 0.25])) / 1.349
            assert own.loc[(parent, child), f"{kind}spread_mm"] == pytest.approx(spread, abs=5)


def test_the_spread_of_bones_is_a_standard_deviation_that_outliers_do_not_move():
    rng = np.random.default_rng(0)
    recording = Recording("walk", "anna", "walk", 50.0, 0, 4000)
    content = block(4000)
    i, j = COCO17.bone_indices[0]
    content.poses[:, i] = 0
    content.poses[:, j] = [0.4, 0, 0]
    content.poses[:, j, 0] += rng.normal(0, 0.015, 4000)
    content.poses[::50, j, 0] += 1.5
    recap = Recap("lab", VIEWS, COCO17, [recording])
    add(recap, recording, content)
    bones = recap.bones_table().set_index(["parent", "child"])
    assert bones.loc[COCO17.bones[0], "spread_mm"] == pytest.approx(15, rel=0.08)


def test_a_recap_of_nothing_has_no_errors():
    recap = Recap("lab", VIEWS, COCO17, RECORDINGS[:1])
    shape = (60, len(VIEWS), len(COCO17))
    missing, nowhere = np.full(shape, np.nan), np.full((60, len(COCO17), 3), np.nan)
    no = np.zeros(shape, bool)
    covariance = np.full((60, len(COCO17), 3, 3), np.nan)
    add(recap, RECORDINGS[0], [nowhere, nowhere, covariance, missing, missing, no, no, no[..., 0], no[:, 0]])
    views = recap.views_table()
    assert views["median_px"].isna().all()
    assert views[["missing", "rejected", "rejected_of_frames", "swapped", "filled", "dropped"]].isna().all(axis=None)
    assert recap.bones_table()["median_mm"].isna().all()
    recordings = recap.recordings_table()
    assert recordings["without_point"].isna().all()
    assert (recordings["nobody"] == 1).all()


def test_of_what_was_never_detected_no_share_is_rejected():
    blocks = plain()
    for content in blocks:
        for array in (content.detected, content.used):
            array[:, 1] = array[:, :, 4] = False
    recap = recap_of(blocks)
    views, keypoints = recap.views_table().set_index("view"), recap.keypoints_table().set_index("keypoint")
    assert views["missing"].to_dict() == pytest.approx({"left": 1 / 17, "middle": 1, "right": 1 / 17})
    assert views["rejected"].isna().to_dict() == {"left": False, "middle": True, "right": False}
    assert keypoints["rejected"].isna().sum() == 1
    assert np.isnan(keypoints.loc[COCO17.keypoints[4], "rejected"])


def test_a_detection_beside_a_filled_point_was_not_compared():
    """A single view sees the first frames, and lies near the points that were filled in there."""
    blocks = plain()
    for content in blocks:
        content.of_single_frames[:8] = np.nan
        content.detected[:8, 1:] = content.used[:8, 1:] = False
        content.filled[:8] = True
        content.used[8:14, 2] = False
    views = recap_of(blocks).views_table().set_index("view")
    compared = sum(recording.length - 8 for recording in RECORDINGS)
    assert views["rejected"].to_dict() == pytest.approx({"left": 0, "middle": 0, "right": 18 / compared})

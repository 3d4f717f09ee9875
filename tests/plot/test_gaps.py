"""What figures show, read back from their axes, of a recording with missing keypoints and a view that sees nobody."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from synthetic import OPENPOSE_DATA_SET, make_project, write_openpose_data_set
from trilift import style
from trilift.captures.schema import Recording
from trilift.ingest.check_figure import camera_agreement
from trilift.plot.conditions import error_by_condition
from trilift.plot.distribution import error_distribution
from trilift.plot.per_action import error_per_action
from trilift.plot.per_joint import error_per_joint
from trilift.plot.per_view import error_per_view
from trilift.plot.pseudo_labels import pseudo_label_quality
from trilift.plot.series import Overall
from trilift.plot.training import training_curve
from trilift.project.layout import Layout
from trilift.skeletons import BODY25B, H36M17
from trilift.triangulate.labels import Labels
from trilift.triangulate.recap import Recap

NEVER_DETECTED, HARDLY_DETECTED = "left_wrist", "head_top"
BLIND, OTHERS = "cam4", ["cam1", "cam2", "cam3"]
PARAMS = {
    "train": {"network": {"width": 16, "blocks": 1}, "steps": 10, "batch_frames": 8, "threads": 1},
    "triangulate": {"diagnose": False, "smoothing": None},  # the bones of a waving person are not of one length
    "ingest": {},
    "evaluate": {},
}
PX = "other_views_reprojection_px"
NOTE = "data set tiny"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """What the stages wrote of a recording with gaps."""
    project = make_project(tmp_path_factory.mktemp("gaps") / "project", OPENPOSE_DATA_SET, yaml.safe_dump(PARAMS))
    write_openpose_data_set(project.layout.raw, frames=24, views=4)
    for path in (project.layout.raw / "pose").rglob("*.json"):
        _punch_gaps(path)
    for stage in ("ingest", "triangulate", "train", "evaluate"):
        code, said = project.run(stage)
        assert code == 0, said
    return project.layout


@pytest.fixture(scope="module")
def metrics(layout: Layout) -> dict[str, Any]:
    return json.loads((layout.results / "metrics.json").read_text())


@pytest.fixture(scope="module")
def tables(layout: Layout) -> dict[str, pd.DataFrame]:
    of_recap = {path.stem: path for path in layout.recap.glob("*.csv")}
    of_run = {path.stem: path for path in layout.results.glob("*.csv")}
    return {name: pd.read_csv(path) for name, path in (of_recap | of_run).items()}


def _punch_gaps(path: Path) -> None:
    content = json.loads(path.read_text())
    if path.parent.name == f"{BLIND}_json":
        content["people"] = []
    for person in content["people"]:
        keypoints = np.reshape(person["pose_keypoints_2d"], (-1, 3))
        keypoints[BODY25B.index(NEVER_DETECTED)] = 0
        if int(path.stem.split(".")[1]) % 3:
            keypoints[BODY25B.index(HARDLY_DETECTED)] = 0
        person["pose_keypoints_2d"] = keypoints.ravel().tolist()
    path.write_text(json.dumps(content))


def shown(
    axes: Axes, named_by: Axes | None = None, upright: bool = False
) -> dict[str, dict[str, tuple[float, float]]]:
    """Read bars back: for each label in the legend, and each name level with a bar, where the bar begins and ends."""
    axes.figure.draw_without_rendering()
    named_by = named_by or axes
    axis, of_screen = (named_by.xaxis, 0) if upright else (named_by.yaxis, 1)
    labels = [label.get_text() for label in axis.get_ticklabels()]
    ticks = np.array([axis.get_transform().transform(tick) for tick in axis.get_ticklocs()])
    places = named_by.transData.transform(np.stack([ticks, ticks], 1))[:, of_screen]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for bars in axes.containers:
        assert isinstance(bars, BarContainer)
        of_names = found.setdefault(str(bars.get_label()), {})
        for bar in bars:
            along, begin, length = (
                (bar.get_x() + bar.get_width() / 2, bar.get_y(), bar.get_height())
                if upright
                else (bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width())
            )
            place = axes.transData.transform((along, along))[of_screen]
            distance = np.abs(places - place)
            assert distance.min() < 0.5 * np.diff(np.sort(places)).min()  # grouped bars stand beside their tick
            name = labels[int(distance.argmin())]
            assert name not in of_names
            if np.isfinite(length):
                of_names[name] = (begin, begin + length)
    return found


def ends(bars: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {name: end for name, (_, end) in bars.items()}


def known(values: pd.Series) -> dict[str, float]:
    return pytest.approx({str(name).replace("_", " "): value for name, value in values.dropna().items()})


def test_the_recording_has_the_gaps(tables: dict[str, pd.DataFrame]) -> None:
    keypoints, views = tables["keypoints"].set_index("keypoint"), tables["views"].set_index("view")
    assert np.isnan(keypoints.loc[NEVER_DETECTED, "median_px"])
    assert keypoints.loc[NEVER_DETECTED, "missing"] == 1
    assert 0.7 < keypoints.loc[HARDLY_DETECTED, "missing"] < 0.8
    assert np.isnan(views.loc[BLIND, "median_px"])
    assert views.loc[OTHERS, "median_px"].notna().all()
    per_joint, per_view = tables["per_joint"].set_index("joint"), tables["per_view"].set_index("view")
    assert list(per_joint.index) == list(H36M17.keypoints)
    assert per_joint[PX].isna().to_dict() == {joint: joint == NEVER_DETECTED for joint in H36M17.keypoints}
    assert per_view[PX].isna().to_dict() == {BLIND: True} | dict.fromkeys(OTHERS, False)


def test_pseudo_labels_stand_beside_their_names(tables: dict[str, pd.DataFrame]) -> None:
    views, keypoints, bones = (tables[name] for name in ("views", "keypoints", "bones"))
    figure = pseudo_label_quality(views, keypoints, bones, NOTE)
    of_views, of_keypoints, shares, of_bones = figure.axes
    views, keypoints = views.set_index("view"), keypoints.set_index("keypoint")
    for axes, table in ((of_views, views), (of_keypoints, keypoints)):
        bars = shown(axes)
        assert ends(bars["median"]) == known(table["median_px"])
        assert ends(bars["90th percentile"]) == known(table["p90_px"])
        assert len(axes.get_yticks()) == len(table)
    bars = shown(shares, named_by=of_keypoints)
    missing, rejected = 100 * keypoints["missing"], 100 * keypoints["rejected_of_frames"]
    assert ends(bars["missing"]) == known(missing)
    assert len(bars["missing"]) == len(BODY25B)
    for name, (begin, end) in bars["rejected"].items():
        keypoint = name.replace(" ", "_")
        assert begin == pytest.approx(missing[keypoint])
        assert end - begin == pytest.approx(rejected[keypoint])
        assert end <= 100 + 1e-9
    (filled,) = shares.lines
    names = [label.get_text().replace(" ", "_") for label in of_keypoints.get_yticklabels()]
    np.testing.assert_allclose(filled.get_xdata(), 100 * keypoints["filled"][names])
    np.testing.assert_allclose(filled.get_ydata(), of_keypoints.get_yticks())
    bones = bones.set_index(bones["parent"] + " - " + bones["child"])
    bars = shown(of_bones)
    assert ends(bars["in the end"]) == known(bones["spread_mm"])
    assert ends(bars["single frames"]) == known(bones["single_frames_spread_mm"])


def test_missing_and_rejected_are_shares_of_the_same() -> None:
    """Half of the frames lack one of two detections; in the other half the other one is rejected."""
    recording, shape = Recording("walk", "anna", "walk", 50.0, 0, 40), (40, 2, len(BODY25B))
    detected, pose = np.ones(shape, bool), np.zeros((40, len(BODY25B), 3))
    detected[:20, 0] = False
    used = detected.copy()
    used[20:, 1] = False
    pose[:20] = np.nan  # one view alone
    errors = np.where(detected & np.isfinite(pose[:, None, :, 0]), 5.0, np.nan)
    recap = Recap("lab", ["left", "right"], BODY25B, [recording])
    covariance = np.zeros((*pose.shape, 3))
    arrays = (pose, pose, covariance, errors, errors, detected, used, detected[..., 0] & False, used[:, 0] & False)
    recap.add(recording, Labels(*map(torch.as_tensor, arrays)))
    tables = recap.tables()
    figure = pseudo_label_quality(tables["views"], tables["keypoints"], tables["bones"], NOTE)
    bars = shown(figure.axes[2], named_by=figure.axes[1])
    assert set(bars["missing"].values()) == {(0, 25)}
    assert set(bars["rejected"].values()) == {(25, 50)}


@pytest.fixture(scope="module")
def overall(metrics: dict[str, Any]) -> Overall:
    return Overall.of(metrics)


@pytest.mark.parametrize(("name", "draw"), [("joint", error_per_joint), ("view", error_per_view)])
def test_errors_of_rows_stand_beside_their_names(
    tables: dict[str, pd.DataFrame], overall: Overall, name: str, draw
) -> None:
    table = tables[f"per_{name}"].set_index(name)
    (axes,) = draw(table if name == "joint" else tables["per_view"], overall, NOTE).axes
    table = table[table.index != "pelvis"]
    bars = ends(shown(axes)["lifter (one view)"])
    number = "joints" if name == "joint" else "poses"
    assert bars.pop(f"all {number}") == pytest.approx(overall.means["lifter"])
    assert {bar.replace(" ", "_"): end for bar, end in bars.items()} == pytest.approx(table[PX].dropna().to_dict())
    names = [label.get_text().replace(" ", "_") for label in axes.get_yticklabels()][:-1]
    assert names == list(table.index)
    (labels,) = [line for line in axes.lines if line.get_label() == "pseudo-label (all views)"]
    np.testing.assert_allclose(labels.get_xdata()[:-1], table[f"pseudo_label_{PX}"])
    np.testing.assert_allclose(labels.get_ydata(), axes.get_yticks())
    written = [text.get_text() for text in axes.texts if "▶" not in text.get_text()]
    assert written[:-1] == [number, *(f"{of_row:,.0f}" for of_row in table[number])]


def test_one_action_is_said_with_the_error_of_all(metrics: dict[str, Any], tables: dict[str, pd.DataFrame]) -> None:
    figure = error_per_action(tables["per_action"].set_index("action"), Overall.of(metrics), NOTE)
    (measured, _) = tables["per_action"]["poses"]
    assert f"{metrics[PX]:.1f} px over {measured:.0f} poses." in (
        " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    )


def test_curves_and_conditions_are_those_of_their_tables(tables: dict[str, pd.DataFrame], overall: Overall) -> None:
    distribution, confidence, angle = (tables[name] for name in ("distribution", "by_confidence", "by_angle"))
    shares = error_distribution(distribution, NOTE, "px").axes[0]
    for line, column in zip(shares.lines, ("lifter", "mean_pose", "pseudo_label"), strict=True):
        np.testing.assert_allclose(line.get_xdata(), distribution["threshold"])
        np.testing.assert_allclose(line.get_ydata(), distribution[f"{column}_percent"])
    of_confidence, of_angle, joints, poses = error_by_condition(confidence, angle, overall, NOTE).axes
    for axes, counts, table, low, high, number in (
        (of_confidence, joints, confidence, "confidence_low", "confidence_high", "joints"),
        (of_angle, poses, angle, "angle_low_deg", "angle_high_deg", "poses"),
    ):
        (_, _, many, few), middle = axes.lines, (table[low] + table[high]) / 2
        at = np.concatenate([many.get_xdata()[np.isfinite(many.get_ydata())], few.get_xdata()])
        error = np.concatenate([many.get_ydata()[np.isfinite(many.get_ydata())], few.get_ydata()])
        np.testing.assert_allclose(np.sort(at), middle)
        np.testing.assert_allclose(error[at.argsort()], table["error"])
        np.testing.assert_allclose(few.get_xdata(), middle[table[number] < 100])
        np.testing.assert_allclose([bar.get_x() for bar in counts.patches], table[low])
        np.testing.assert_allclose([bar.get_height() for bar in counts.patches], table[number])
    history = tables["history"]
    losses, validation = training_curve(history, NOTE).axes
    assert {line.get_label(): list(line.get_ydata()) for line in losses.lines} == {
        name: pytest.approx(1000 * history[f"{name.replace(' ', '_')}_m"])
        for name in ("input triangulation", "multi view consistency")
    }
    np.testing.assert_allclose(validation.lines[0].get_ydata(), history["validation_mpjpe_mm"])


def boxes_of(figure: Figure) -> dict[str, float]:
    """Read the medians of boxes back by the names beside them."""
    axes = figure.axes[1]
    names = dict(zip(axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()], strict=True))
    medians = [line for line in axes.lines if line.get_color() == style.MIDDLE and len(line.get_xdata()) == 2]
    found = {}
    for line in medians:
        (x, _), y = line.get_xdata(), np.mean(line.get_ydata())
        if np.isfinite(x):
            found[names[y]] = x
    return found


def test_the_arrows_of_a_camera_have_a_legend() -> None:
    pixels, residuals = np.full((1, len(BODY25B), 2), 300.0), np.full((1, len(BODY25B), 2), 20.0)
    (legend,) = camera_agreement(pixels, residuals, np.array([1280, 720]), BODY25B, "walk, cam1", NOTE).legends
    said = {
        text.get_text(): handle.get_color()
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert said == {"left": style.LEFT, "right": style.RIGHT, "middle": style.MIDDLE}
    assert legend.get_title().get_text().split("\n") == [
        "walk, cam1",
        "arrows: from where the other views see a keypoint to where it was detected",
    ]


def test_distances_of_a_camera_stand_beside_their_keypoints() -> None:
    rng = np.random.default_rng(0)
    pixels, residuals = rng.uniform(0, 700, (40, len(BODY25B), 2)), rng.normal(0, 5, (40, len(BODY25B), 2))
    residuals[:, BODY25B.index(NEVER_DETECTED)] = np.nan
    residuals[::2, BODY25B.index(HARDLY_DETECTED)] = np.nan
    figure = camera_agreement(pixels, residuals, np.array([1280, 720]), BODY25B, "cam1", NOTE)
    medians = pd.DataFrame(np.linalg.norm(residuals, axis=-1), columns=BODY25B.keypoints).median()
    found = boxes_of(figure)
    for name, value in medians.dropna().items():
        assert found[name.replace("_", " ")] == pytest.approx(value)
    assert NEVER_DETECTED.replace("_", " ") not in found

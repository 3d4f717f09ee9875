from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from trilift import style
from trilift.plot import stage as plot
from trilift.plot import viewer
from trilift.plot.per_joint import error_per_joint
from trilift.plot.poses import Example, predicted_poses
from trilift.plot.training import training_curve
from trilift.project.layout import Layout
from trilift.skeletons import COCO17, H36M17
from trilift.sweep.figure import sweep_comparison, sweep_training

NOTE = "data set demo (SIMULATED)"
SERIES = ("", "mean_pose_", "pseudo_label_")


def make_history(**more: list[float]) -> pd.DataFrame:
    known = {"step": [10, 20], "epoch": [1.0, 2.0], "learning_rate": [1e-3, 0.0], "loss": [0.2, 0.1]}
    return pd.DataFrame(known | {"input_triangulation_m": [0.15, 0.04]} | more)


def make_table(measure: str) -> pd.DataFrame:
    values = {prefix + measure: np.arange(17) + 10.0 * i for i, prefix in enumerate(SERIES)}
    return pd.DataFrame(values, index=pd.Index(H36M17.keypoints, name="joint"))


def make_runs(measure: str = "mpjpe_mm", seeds: int = 3) -> pd.DataFrame:
    errors = {"input": 60.0, "consistency": 50.0, "all": 70.0}
    rows = [(name, seed, error + seed) for name, error in errors.items() for seed in range(seeds)]
    return pd.DataFrame(rows, columns=["losses", "seed", measure])


def make_example(seed: int = 0, rank: str = "") -> Example:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(200, 800, (17, 2))
    pixels[3] = np.nan
    predicted, target = rng.normal(size=(2, 17, 3))
    return Example(f"pose {seed}", pixels, COCO17, predicted, target, H36M17, rank)


def colours_of(axes: Axes) -> list[str]:
    return [to_hex(line.get_color()).upper() for line in axes.lines]


FIGURES = {
    "training": lambda: training_curve(make_history(validation_mpjpe_mm=[90, 50]), NOTE),
    "training without validation": lambda: training_curve(make_history(), NOTE),
    "error per joint": lambda: error_per_joint(make_table("mpjpe_mm"), NOTE),
    "error per joint without reference": lambda: error_per_joint(make_table("other_views_reprojection_px"), NOTE),
    "poses": lambda: predicted_poses([make_example(0), make_example(1)], "reference", NOTE),
    "training of a sweep": lambda: sweep_training(make_histories(), NOTE),
    "sweep": lambda: sweep_comparison(make_runs(), "mpjpe_mm", NOTE),
    "ranked poses": lambda: predicted_poses([make_example(0, "best"), make_example(1, "worst")], "reference", NOTE),
    "one pose": lambda: predicted_poses([make_example()], "pseudo-label", NOTE),
}


@pytest.fixture(params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Figure:
    return FIGURES[request.param]()


def test_a_figure_can_be_saved(figure: Figure) -> None:
    file = BytesIO()
    figure.savefig(file, format="png")
    assert plt.imread(BytesIO(file.getvalue())).std() > 0.01


def test_a_figure_says_where_its_data_come_from(figure: Figure) -> None:
    assert figure.get_supxlabel() == NOTE


def test_axes_have_labels_with_units(figure: Figure) -> None:
    for axes in figure.axes:
        of_losses = [label.get_text() for label in axes.get_yticklabels()][:1] == ["consistency"]
        assert of_losses or axes.get_ylabel().endswith(("(mm)", "(m)", "(px)"))
        of_joints = [label.get_text() for label in axes.get_xticklabels()][-1] == "right wrist"
        assert (
            of_joints or axes.get_xlabel() == "optimiser step" or axes.get_xlabel().endswith(("(mm)", "(m)", "(px)"))
        )


def test_the_training_curve_shows_losses_in_millimetres() -> None:
    training, validation = training_curve(
        make_history(validation_mpjpe_mm=[90, 50], reprojection_px=[9, 5]), NOTE
    ).axes
    shown = {str(line.get_label()): list(line.get_ydata()) for line in training.lines}
    assert shown == {"input triangulation": [150, 40], "reprojection (px)": [9, 5]}
    assert list(validation.lines[0].get_ydata()) == [90, 50]
    assert validation.lines[1].get_xdata()[0] == 20


def bands_of(axes: Axes) -> list[np.ndarray]:
    """Corners of the bands, in the order of x and then of y."""
    return [np.unique(band.get_paths()[0].vertices, axis=0) for band in axes.collections]


def make_histories() -> pd.DataFrame:
    """Two choices of losses with three seeds each; one training of the second stopped early."""
    values = {"input": ([90, 50], [80, 70], [100, 60]), "all": ([95, 45], [85], [90, 55])}
    parts = [
        make_history(validation_mpjpe_mm=[*mm, 0][:2]).iloc[: len(mm)].assign(losses=losses, seed=seed)
        for losses, seeds in values.items()
        for seed, mm in enumerate(seeds)
    ]
    return pd.concat(parts)


def test_seeds_are_a_line_of_their_mean_and_a_band_of_their_range() -> None:
    (axes,) = sweep_training(make_histories(), NOTE).axes
    shown = {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}
    assert shown == {"input": [90, 60], "all": [90, 50]}
    bands = bands_of(axes)
    np.testing.assert_allclose(bands[0], [[10, 80], [10, 100], [20, 50], [20, 70]])
    np.testing.assert_allclose(bands[1], [[10, 85], [10, 95], [20, 45], [20, 55]])
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 2


def test_validation_without_a_number_has_no_lowest() -> None:
    _, validation = training_curve(make_history(validation_mpjpe_mm=[np.nan, np.nan]), NOTE).axes
    assert len(validation.lines) == 1


def test_choices_of_losses_are_sorted_with_every_seed_and_their_mean() -> None:
    (axes,) = sweep_comparison(make_runs(), "mpjpe_mm", NOTE).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["consistency", "input", "all"]
    points = sorted(zip(axes.lines[0].get_ydata(), axes.lines[0].get_xdata(), strict=True))
    assert points == [(row, 50.0 + 10 * row + seed) for row in range(3) for seed in range(3)]
    assert list(axes.lines[1].get_xdata()) == [51, 61, 71]
    assert [text.get_text() for text in axes.texts] == ["51.0 ± 1.0", "61.0 ± 1.0", "71.0 ± 1.0"]
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_one_seed_has_no_deviation() -> None:
    (axes,) = sweep_comparison(make_runs(seeds=1), "mpjpe_mm", NOTE).axes
    assert [text.get_text() for text in axes.texts] == ["50.0", "60.0", "70.0"]


def test_errors_against_a_reference_leave_the_root_out() -> None:
    (axes,) = error_per_joint(make_table("mpjpe_mm"), NOTE).axes
    assert axes.get_ylabel() == "mean distance from the reference (mm)"
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        name.replace("_", " ") for name in H36M17.keypoints[1:]
    ]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [list(np.arange(1, 17) + 10.0 * i) for i in range(3)]


def test_errors_without_a_reference_are_called_agreement() -> None:
    (axes,) = error_per_joint(make_table("other_views_reprojection_px"), NOTE).axes
    assert axes.get_ylabel() == "mean distance in the other views (px)"
    assert "not accuracy" in axes.get_title()
    assert [len(bars) for bars in axes.containers] == [16] * 3


def test_bars_are_told_apart_by_the_legend() -> None:
    (axes,) = error_per_joint(make_table("mpjpe_mm"), NOTE).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "lifter (one view)",
        "mean training pose",
        "pseudo-label (all views)",
    ]
    assert len({bars[0].get_facecolor() for bars in axes.containers}) == 3


def test_left_and_right_have_their_colours() -> None:
    seen, front, side = predicted_poses([make_example()], "reference", NOTE).axes
    expected = [style.side_colour(COCO17.keypoints[child]) for _, child in COCO17.bone_indices]
    assert colours_of(seen) == expected
    of_poses = [style.side_colour(H36M17.keypoints[child]) for _, child in H36M17.bone_indices]
    for axes in (front, side):
        assert colours_of(axes) == [style.REFERENCE] * len(of_poses) + of_poses
    assert {style.LEFT, style.RIGHT, style.MIDDLE} == set(of_poses)


def test_the_poses_say_what_they_are_compared_with() -> None:
    (legend,) = predicted_poses([make_example()], "pseudo-label", NOTE).legends
    assert [text.get_text() for text in legend.get_texts()] == ["left", "right", "pseudo-label"]


def test_poses_stand_upright() -> None:
    example = make_example()
    seen, front, side = predicted_poses([example], "reference", NOTE).axes
    bottom, top = seen.get_ylim()
    assert bottom > top
    bone = H36M17.bone_indices[0]
    for axes, horizontal in ((front, 0), (side, 2)):
        line = axes.lines[len(H36M17.bones)]
        np.testing.assert_allclose(line.get_xdata(), example.predicted[list(bone), horizontal])
        np.testing.assert_allclose(line.get_ydata(), -example.predicted[list(bone), 1])


def test_every_example_has_its_row_and_title() -> None:
    axes = predicted_poses([make_example(i) for i in range(3)], "reference", NOTE).axes
    assert [row.get_title() for row in axes[::3]] == ["pose 0", "pose 1", "pose 2"]


def test_ranks_are_written_beside_their_rows() -> None:
    ranks = ["best, 45 mm", "median, 80 mm", "worst, 312 mm"]
    figure = predicted_poses([make_example(i, rank) for i, rank in enumerate(ranks)], "reference", NOTE)
    assert [row.texts[0].get_text() for row in figure.axes[::3]] == ranks
    figure.draw_without_rendering()
    for row in figure.axes[::3]:
        text, label = row.texts[0].get_window_extent(), row.yaxis.label.get_window_extent()
        assert 0 <= text.x0 < text.x1 <= label.x0


def test_the_detections_fill_a_square() -> None:
    example = make_example()
    seen = predicted_poses([example], "reference", NOTE).axes[0]
    (left, right), (bottom, top) = seen.get_xlim(), seen.get_ylim()
    assert right - left == pytest.approx(bottom - top)
    known = example.pixels[np.isfinite(example.pixels).all(-1)]
    assert (known > [left, top]).all()
    assert (known < [right, bottom]).all()
    assert right - left == pytest.approx(1.1 * np.ptp(known, axis=0).max())


def test_the_frame_of_the_video_lies_behind_the_detections() -> None:
    """Every pixel tells where it was in the whole image."""
    example = make_example()
    y, x = np.mgrid[:1000, :900]
    image = np.stack([x // 4, y // 4, 0 * x], -1).astype(np.uint8)
    seen, *others = predicted_poses([replace(example, image=image)], "reference", NOTE).axes
    plain = predicted_poses([example], "reference", NOTE).axes[0]
    assert (seen.get_xlim(), seen.get_ylim()) == (plain.get_xlim(), plain.get_ylim())
    (shown,) = seen.images
    left, right, bottom, top = shown.get_extent()
    content = np.asarray(shown.get_array())
    assert content.shape == (bottom - top, right - left, 3)
    known = example.pixels[np.isfinite(example.pixels).all(-1)].astype(int)
    for column, row in known:
        at = content[int(row - top - 0.5), int(column - left - 0.5)]
        assert at.tolist() == [column // 4, row // 4, 0]
    assert content.size < image.size / 1.5  # a figure holds what it shows
    assert shown.get_zorder() < min(line.get_zorder() for line in seen.lines)
    assert not any(axes.images for axes in others)


@pytest.mark.parametrize("at", [(-5000, 0), (0, 3000)])
def test_detections_outside_of_the_image_have_nothing_behind_them(at) -> None:
    example = replace(make_example(), pixels=make_example().pixels + at, image=np.zeros((1000, 900, 3), np.uint8))
    assert not predicted_poses([example], "reference", NOTE).axes[0].images


def test_a_frame_in_which_nobody_is_detected_is_shown_whole() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    example = replace(make_example(), pixels=np.full((17, 2), np.nan), image=image)
    seen = predicted_poses([example], "reference", NOTE).axes[0]
    assert (seen.get_xlim(), seen.get_ylim()) == ((0, 90), (60, 0))
    assert np.asarray(seen.images[0].get_array()).shape == image.shape


def test_a_pose_without_detections_can_be_shown() -> None:
    example = replace(make_example(), pixels=np.full((17, 2), np.nan))
    predicted_poses([example], "reference", NOTE).draw_without_rendering()


@pytest.mark.parametrize(
    ("name", "colour"), [("left_knee", style.LEFT), ("right_ear", style.RIGHT), ("head_top", style.MIDDLE)]
)
def test_a_side_has_one_colour(name: str, colour: str) -> None:
    assert style.side_colour(name) == colour


def test_names_in_figures_are_no_formulas():
    style.use()
    figure = style.new_figure(3, 2, "camera $x_{, camera y$")
    figure.canvas.draw()


def test_names_that_look_missing_are_names(tmp_path):
    table = pd.DataFrame({"view": ["NA", "null", "007"], "error_px": [1.0, np.nan, 2.0]})
    table.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(plot._read(tmp_path / "a.csv"), table)


def test_the_animation_shows_the_view_of_which_most_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a joint is never predicted."""
    predicted = np.zeros((6, 3, 17, 3))
    predicted[:, :, 4] = predicted[:5, 0] = predicted[:2, 2] = np.nan
    clip = viewer.Clip(
        *("walk", "anna", "walk", 50.0, 0.0, ["left", "middle", "right"]),
        image_sizes=np.full((3, 2), 1000),
        pixels=np.zeros((6, 3, 17, 2)),
        predicted=predicted,
        target=np.zeros((6, 17, 3)),
        skeleton_2d=COCO17,
        skeleton_3d=H36M17,
    )
    titles = []
    monkeypatch.setattr(plot, "animate", lambda *given: (titles.append(given[8]), given[10].touch()))
    plot._animate(clip, Layout("demo", tmp_path), "reference", NOTE)
    assert titles == ["walk, camera middle"]

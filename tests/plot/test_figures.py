from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from trilift import style
from trilift.plot import stage as plot
from trilift.plot import viewer
from trilift.plot.per_joint import error_per_joint
from trilift.plot.poses import Example, predicted_poses
from trilift.plot.series import Overall
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
    return pd.DataFrame(values | {"joints": 1000}, index=pd.Index(H36M17.keypoints, name="joint"))


def make_overall(measure: str = "mpjpe_mm", **more: float) -> Overall:
    means = {f"{prefix}{measure}": 8.0 + 10 * i for i, prefix in enumerate(SERIES)}
    return Overall.of(means | more)


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


FIGURES = {
    "training": lambda: training_curve(make_history(validation_mpjpe_mm=[90, 50]), NOTE),
    "training without validation": lambda: training_curve(make_history(), NOTE),
    "error per joint": lambda: error_per_joint(make_table("mpjpe_mm"), make_overall(), NOTE),
    "error per joint without reference": lambda: error_per_joint(
        make_table("other_views_reprojection_px"), make_overall("other_views_reprojection_px"), NOTE
    ),
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


def scale_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text().endswith((" m", " px"))]


def test_axes_have_labels_with_units(figure: Figure) -> None:
    for axes in figure.axes:
        of_rows = axes.get_yticklabels() and axes.get_yticklabels()[0].get_text() in ("consistency", "right hip")
        if not scale_of(axes):  # in the figure of poses a bar is the scale
            assert of_rows or axes.get_ylabel().endswith(("(mm)", "(px)"))
            assert axes.get_xlabel() == "optimiser step" or axes.get_xlabel().endswith(("(mm)", "(px)"))


def test_a_figure_is_made_for_a_column_in_print(figure: Figure) -> None:
    """Of 8.5 cm, where no text is below 6 pt, and nothing is cut off."""
    assert figure.get_figwidth() == pytest.approx(8.5 / 2.54)
    assert figure.get_figheight() < 9.5  # of a page
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6
    figure.draw_without_rendering()
    inside = figure.get_tightbbox()
    assert (inside.x0, inside.y0) > (-0.02, -0.02)
    assert inside.x1 < figure.get_figwidth() + 0.02
    assert inside.y1 < figure.get_figheight() + 0.02


def test_the_training_curve_shows_losses_in_millimetres() -> None:
    training, validation = training_curve(
        make_history(validation_mpjpe_mm=[90, 50], reprojection_px=[9, 5]), NOTE
    ).axes
    shown = {str(line.get_label()): list(line.get_ydata()) for line in training.lines}
    assert shown == {"input triangulation": [150, 40], "reprojection (px)": [9, 5]}
    assert list(validation.lines[0].get_ydata()) == [90, 50]
    assert validation.lines[1].get_xdata()[0] == 20


def test_no_two_losses_look_the_same() -> None:
    losses = {f"loss_{number}_m": [number + 1.0, 1.0] for number in range(6)}
    lines = training_curve(make_history(**losses), NOTE).axes[0].lines
    assert len(lines) >= 6
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines)


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


def test_a_legend_has_the_columns_that_fit() -> None:
    for names in (["a", "b"], ["cam 1"] * 9, ["a rather long name of a camera"] * 3, ["x" * 70]):
        figure = style.new_figure(2, NOTE)
        for name in names:
            figure.add_subplot().plot([0, 1], label=name)
        legend = figure.legend(ncols=style.columns(names))
        figure.draw_without_rendering()
        width = legend.get_window_extent().width / figure.dpi
        assert width < figure.get_figwidth() or style.columns(names) == 1


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


def names_of(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_errors_against_a_reference_leave_the_root_out() -> None:
    (axes,) = error_per_joint(make_table("mpjpe_mm"), make_overall(), NOTE).axes
    assert axes.get_xlabel() == "mean distance from the reference (mm)"
    assert names_of(axes) == [*(name.replace("_", " ") for name in H36M17.keypoints[1:]), "all joints"]
    assert [bar.get_width() for bar in axes.containers[0]] == [*range(1, 17), 8]


def test_errors_without_a_reference_are_called_agreement() -> None:
    measure = "other_views_reprojection_px"
    (axes,) = error_per_joint(make_table(measure), make_overall(measure), NOTE).axes
    assert axes.get_xlabel() == "mean distance in the other views (px)"
    assert "not accuracy" in axes.get_title()


def test_one_size_of_numbers_along_the_axes() -> None:
    for axes in training_curve(make_history(validation_mpjpe_mm=[90, 50]), NOTE).axes:
        labels = [*axes.get_xticklabels(), *axes.get_yticklabels(which="both")]
        assert len({label.get_fontsize() for label in labels}) == 1


def test_losses_are_told_apart_without_colours() -> None:
    training = training_curve(make_history(reprojection_px=[9, 5]), NOTE).axes[0]
    assert len({line.get_linestyle() for line in training.lines}) == 2


def test_24_lines_are_told_apart_and_neighbours_without_colours() -> None:
    strokes = [style.stroke(number) for number in range(24)]
    assert len({tuple(stroke.values()) for stroke in strokes}) == 24
    assert all(one["linestyle"] != other["linestyle"] for one, other in pairwise(strokes))


def body_of(axes: Axes) -> list[Line2D]:
    """The lines of the skeletons, without the bar that is the scale."""
    return [line for line in axes.lines if line.get_gid() != "scale"]


def colours_of(axes: Axes) -> list[str]:
    return [to_hex(line.get_color()).upper() for line in body_of(axes)]


def test_left_and_right_have_their_colours() -> None:
    seen, front, side = predicted_poses([make_example()], "reference", NOTE).axes
    names = COCO17.keypoints
    expected = [style.side_colour(names[one], names[other]) for one, other in COCO17.drawn_indices]
    assert colours_of(seen) == expected
    of_poses = [style.side_colour(H36M17.keypoints[child]) for _, child in H36M17.bone_indices]
    for axes in (front, side):
        assert colours_of(axes) == [style.REFERENCE] * len(of_poses) + of_poses
    assert {style.LEFT, style.RIGHT, style.MIDDLE} == set(of_poses)


def test_left_and_right_are_told_apart_without_colours() -> None:
    for axes in predicted_poses([make_example()], "reference", NOTE).axes:
        strokes = {side: set() for side in (style.LEFT, style.RIGHT)}
        for line in body_of(axes):
            strokes.get(to_hex(line.get_color()).upper(), set()).add(line.is_dashed())
        assert strokes == {style.LEFT: {False}, style.RIGHT: {True}}


def test_the_trunk_is_closed() -> None:
    example = make_example()
    seen = predicted_poses([example], "reference", NOTE).axes[0]
    drawn = {tuple(map(tuple, line.get_xydata())): to_hex(line.get_color()).upper() for line in body_of(seen)}
    for part in ("shoulder", "hip"):
        ends = [tuple(example.pixels[COCO17.index(f"{side}_{part}")]) for side in ("left", "right")]
        assert drawn[tuple(ends)] == style.MIDDLE


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
def test_the_bar_of_poses_is_as_long_as_it_says(scale: float) -> None:
    example = make_example()
    poses = {"predicted": scale * example.predicted, "target": scale * example.target}
    example = replace(example, pixels=scale * example.pixels, **poses)
    for axes in predicted_poses([example], "reference", NOTE).axes:
        (bar,) = [line for line in axes.lines if line.get_gid() == "scale"]
        (text,) = scale_of(axes)
        length, unit = text.split()
        assert np.ptp(bar.get_xdata()) == pytest.approx(float(length))
        assert 0.15 < float(length) / np.ptp(axes.get_xlim()) <= 0.5
        assert unit == ("px" if axes.get_ylim()[0] > axes.get_ylim()[1] else "m")


def test_all_poses_are_shown_whole_and_on_one_scale() -> None:
    small, large = make_example(0), make_example(1)
    small = replace(small, predicted=0.2 * small.predicted, target=0.2 * small.target)
    axes = predicted_poses([small, large], "reference", NOTE).axes
    panels = [axes[at] for at in (1, 2, 4, 5)]
    assert len({round(float(np.ptp(panel.get_xlim())), 9) for panel in panels}) == 1
    for panel in panels:
        points = np.concatenate([line.get_xydata() for line in body_of(panel)])
        (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
        assert (points >= [left, bottom]).all()
        assert (points <= [right, top]).all()


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
        line = body_of(axes)[len(H36M17.bones)]
        np.testing.assert_allclose(line.get_xdata(), example.predicted[list(bone), horizontal])
        np.testing.assert_allclose(line.get_ydata(), -example.predicted[list(bone), 1])


def test_every_example_has_its_row_and_its_title_begins_with_its_rank() -> None:
    ranks = ["best, 45 mm", "", "worst, 312 mm"]
    axes = predicted_poses([make_example(i, rank) for i, rank in enumerate(ranks)], "reference", NOTE).axes
    titles = [row.texts[-1].get_text() for row in axes[::3]]
    assert titles == ["best, 45 mm: pose 0", "pose 1", "worst, 312 mm: pose 2"]


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
    figure = style.new_figure(2, "camera $x_{, camera y$")
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

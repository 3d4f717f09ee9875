from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from trilift.plot.conditions import error_by_condition
from trilift.plot.distribution import error_distribution
from trilift.plot.per_action import error_per_action
from trilift.plot.per_view import error_per_view
from trilift.plot.series import Overall

NOTE = "data set demo (SIMULATED)"
MM, PX = "mpjpe_mm", "other_views_reprojection_px"
ERRORS = {"lifter": 28.0, "mean_pose": 75.0, "pseudo_label": 9.0}


def make_errors(length: int, measure: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(length)
    columns = (measure, f"mean_pose_{measure}", f"pseudo_label_{measure}")
    found = {name: rng.uniform(low, low + 30, length) for name, low in zip(columns, (50, 150, 10), strict=True)}
    return found | {"poses": 1000.0 * np.arange(1, length + 1)}


def make_overall(measure: str = MM, **more: float | None) -> Overall:
    means = {measure: 65.0, f"mean_pose_{measure}": 165.0, f"pseudo_label_{measure}": 25.0}
    interval = {f"{measure}_ci95_low": 60.0, f"{measure}_ci95_high": 72.0}
    return Overall.of(means | interval | more)


def alone(measure: str = MM) -> Overall:
    """One recording: there is no interval."""
    return make_overall(measure, **{f"{measure}_ci95_low": None, f"{measure}_ci95_high": None})


def make_actions(length: int, measure: str = MM) -> pd.DataFrame:
    index = pd.Index([f"Action{i}" for i in range(length)], name="action")
    table = pd.DataFrame(make_errors(length, measure), index=index)
    table.loc["average"] = table.mean()
    table.loc["average", "poses"] = table["poses"].iloc[:-1].sum()
    return table


def make_views(captures: Sequence[str], views: int, measure: str = MM) -> pd.DataFrame:
    pairs = [(capture, f"cam{view}") for capture in captures for view in range(views)]
    return pd.DataFrame(pairs, columns=["capture", "view"]).assign(**make_errors(len(pairs), measure))


def sample_errors(name: str) -> np.ndarray:
    return np.random.default_rng(0).gamma(2, ERRORS[name], 5000)


def make_shares(unit: str = "mm", **replaced: float) -> pd.DataFrame:
    thresholds = np.arange(0, 501, 5)
    shares = {
        f"{name}_percent": [100 * (sample_errors(name) <= threshold).mean() for threshold in thresholds]
        for name in ERRORS
    }
    return pd.DataFrame({"threshold": thresholds} | shares).assign(**replaced)


def make_confidence(unit: str = "mm") -> pd.DataFrame:
    edges = {"confidence_low": [0, 0.5], "confidence_high": [0.5, 1.0]}
    return pd.DataFrame(edges | {"error": [120.0, 60.0], "joints": [2_000, 1_500_000]})


def make_angles(unit: str = "mm") -> pd.DataFrame:
    edges = {"angle_low_deg": [0, 60, 120], "angle_high_deg": [60, 120, 180]}
    return pd.DataFrame(edges | {"error": [50.0, np.nan, 70.0], "poses": [300, 0, 100]})


FIGURES: dict[str, Callable[[], Figure]] = {
    "actions": lambda: error_per_action(make_actions(15), make_overall(), NOTE),
    "actions without reference": lambda: error_per_action(make_actions(15, PX), make_overall(PX), NOTE),
    "one action": lambda: error_per_action(make_actions(1), make_overall(), NOTE),
    "no action": lambda: error_per_action(make_actions(0), make_overall(), NOTE),
    "views": lambda: error_per_view(make_views(["S9", "S11"], 4), make_overall(), NOTE),
    "one view": lambda: error_per_view(make_views(["S9"], 1, PX), alone(PX), NOTE),
    "40 views": lambda: error_per_view(make_views(["S9"], 40), make_overall(), NOTE),
    "40 views of captures": lambda: error_per_view(make_views(["S9", "S11"], 40, PX), alone(PX), NOTE),
    "distribution": lambda: error_distribution(make_shares(), NOTE, "mm"),
    "distribution without reference": lambda: error_distribution(make_shares("px"), NOTE, "px"),
    "distribution of nothing": lambda: error_distribution(
        make_shares("px", **{f"{name}_percent": np.nan for name in ERRORS}), NOTE, "px"
    ),
    "conditions": lambda: error_by_condition(make_confidence(), make_angles(), make_overall(), NOTE),
    "no conditions": lambda: error_by_condition(
        make_confidence().iloc[:0], make_angles().iloc[:0], make_overall(PX), NOTE
    ),
}


@pytest.fixture(params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Figure:
    return FIGURES[request.param]()


@pytest.mark.parametrize(
    ("kind", "metadata"), [("png", {}), ("pdf", {"CreationDate": None}), ("svg", {"Date": None})]
)
def test_a_figure_is_saved_without_its_date(figure: Figure, kind: str, metadata: dict[str, None]) -> None:
    file = BytesIO()
    figure.savefig(file, format=kind, metadata=metadata)
    assert len(file.getvalue()) > 1000
    assert b"Date" not in file.getvalue()
    assert b"dc:date" not in file.getvalue()


def test_nothing_reaches_over_the_edge(figure: Figure) -> None:
    figure.draw_without_rendering()
    inside = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert inside.x0 > -0.02
    assert inside.y0 > -0.02
    assert inside.x1 < width + 0.02
    assert inside.y1 < height + 0.02


def test_a_figure_is_made_for_a_column_in_print(figure: Figure) -> None:
    assert figure.get_figwidth() == pytest.approx(8.5 / 2.54)
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6


def test_a_figure_says_what_it_shows_in_which_unit_and_where_its_data_come_from(figure: Figure) -> None:
    assert figure.get_supxlabel() == NOTE
    for axes in figure.axes:
        if not axes.get_ylabel().startswith("number of"):  # of the axes behind others
            assert axes.get_title()
            assert axes.get_xlabel().endswith(("(mm)", "(px)", "(no unit)", "(degrees)"))


def test_a_long_note_is_not_cut_off() -> None:
    note = "data set human36m (SIMULATED) · detections: a detector of a long name · the person was seen in training"
    figure = error_per_action(make_actions(3), make_overall(), note)
    assert figure.get_supxlabel().replace("\n", " ") == note
    figure.draw_without_rendering()
    assert figure.get_tightbbox().x0 > -0.02


def names_of(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def written_at_the_right(axes: Axes) -> list[str]:
    """Numbers beside the rows, without those of mean poses beyond the axes."""
    return [text.get_text() for text in axes.texts if "▶" not in text.get_text()]


def markers_of(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return list(line.get_xdata()), list(line.get_ydata())


def assert_rows_show(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    """Bars, markers and counts are those of the table, in its order, and the last row is of all."""
    places = axes.get_yticks()
    overall = make_overall(measure)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [*table[measure], overall.means["lifter"]])
    np.testing.assert_allclose([bar.get_y() + bar.get_height() / 2 for bar in axes.patches], places)
    x, y = markers_of(axes, "pseudo-label (all views)")
    np.testing.assert_allclose(x, [*table[f"pseudo_label_{measure}"], overall.means["pseudo_label"]])
    np.testing.assert_allclose(y, places)
    mean_poses = dict(zip(places, [*table[f"mean_pose_{measure}"], overall.means["mean_pose"]], strict=True))
    x, y = markers_of(axes, "mean training pose")
    shown = dict(zip(y, x, strict=True))
    beyond = {text.xy[1]: text.get_text() for text in axes.texts if "▶" in text.get_text()}
    assert shown.keys() | beyond.keys() == mean_poses.keys()
    assert all(value == mean_poses[place] for place, value in shown.items())
    assert all(text == f"{mean_poses[place]:.0f} ▶" for place, text in beyond.items())
    numbers = [f"{number:,.0f}" for number in table["poses"]]
    assert written_at_the_right(axes)[:-1] == ["poses", *numbers]
    assert names_of(axes)[-1] == "all poses"


@pytest.mark.parametrize("measure", [MM, PX])
def test_actions_are_sorted_and_the_average_comes_last_and_apart(measure: str) -> None:
    table = make_actions(5, measure)
    (axes,) = error_per_action(table, make_overall(measure), NOTE).axes
    expected = table.loc[[*table[measure].iloc[:-1].sort_values().index, "average"]]
    assert names_of(axes) == [*expected.index, "all poses"]
    assert_rows_show(axes, expected, measure)
    np.testing.assert_allclose(np.diff(axes.get_yticks()), [1, 1, 1, 1, 1.4, 1])
    assert ("agreement, not accuracy" in axes.get_title()) == (measure == PX)
    assert axes.get_xlabel().endswith("(px)" if measure == PX else "(mm)")


def test_an_action_without_errors_keeps_its_row() -> None:
    table = make_actions(3)
    table.iloc[0] = [np.nan, np.nan, np.nan, 0]
    (axes,) = error_per_action(table, make_overall(), NOTE).axes
    assert names_of(axes)[-3:] == ["Action0", "average", "all poses"]
    assert np.isnan(axes.patches[2].get_width())
    assert written_at_the_right(axes)[3] == "0"


def test_the_legend_of_rows_names_what_is_there() -> None:
    series = ["lifter (one view)", "pseudo-label (all views)", "mean training pose"]
    table = make_actions(2)
    assert legend_of(error_per_action(table, make_overall(), NOTE)) == [*series, "95 % interval of the mean"]
    assert legend_of(error_per_action(table, alone(), NOTE)) == series
    table.loc["Action1", "poses"] = 99
    assert legend_of(error_per_action(table, alone(), NOTE)) == [*series, "of fewer than 100 poses"]


def test_the_last_row_has_the_interval_of_the_metrics() -> None:
    (axes,) = error_per_view(make_views(["S9"], 3), make_overall(), NOTE).axes
    bars = next(container for container in axes.containers if isinstance(container, ErrorbarContainer))
    ((begin, end),) = bars.lines[2][0].get_segments()
    np.testing.assert_allclose([begin, end], [[60, axes.get_yticks()[-1]], [72, axes.get_yticks()[-1]]])
    (axes,) = error_per_view(make_views(["S9"], 3), alone(), NOTE).axes
    assert not any(isinstance(container, ErrorbarContainer) for container in axes.containers)


def test_means_of_a_handful_are_hollow() -> None:
    table = make_views(["S9"], 4).assign(poses=[99, 100, 5000, 0])
    (axes,) = error_per_view(table, make_overall(), NOTE).axes
    hollow = [to_hex(bar.get_facecolor()) == "#ffffff" for bar in axes.patches]
    assert hollow == [True, False, False, True, False]


@pytest.mark.parametrize("mean_pose", [80.0, 300.0, 5000.0])
def test_the_mean_pose_does_not_squeeze_the_scale(mean_pose: float) -> None:
    table = make_views(["S9"], 4).assign(mean_pose_mpjpe_mm=mean_pose)
    (axes,) = error_per_view(table, make_overall(), NOTE).axes
    largest = max(table[MM].max(), 72)
    assert largest < axes.get_xlim()[1] < 1.6 * largest
    at_the_edge = [text.get_text() for text in axes.texts if "▶" in text.get_text()]
    assert at_the_edge == ([] if mean_pose == 80 else [f"{mean_pose:.0f} ▶"] * 4) + ["165 ▶"]


def test_one_action_is_a_sentence() -> None:
    figure = error_per_action(make_actions(1), make_overall(), NOTE)
    assert not figure.axes
    (text,) = [
        text.get_text() for text in figure.texts if "action" in text.get_text() and "MPJPE" not in text.get_text()
    ]
    assert text.replace("\n", " ") == "There is one action, Action0: 65.0 [60.0, 72.0] mm over 1,000 poses."
    assert figure.get_figheight() < 1


@pytest.mark.parametrize("measure", [MM, PX])
def test_views_of_few_captures_have_a_row_each(measure: str) -> None:
    table = make_views(["S9", "S11"], 8, measure)
    (axes,) = error_per_view(table, make_overall(measure), NOTE).axes
    assert names_of(axes)[:-1:8] == ["S9 cam0", "S11 cam0"]
    assert_rows_show(axes, table, measure)
    assert "lowest to highest" not in " ".join(legend_of(axes.figure))


def test_views_of_one_capture_go_by_their_own_names() -> None:
    table = make_views(["S9"], 17)
    (axes,) = error_per_view(table, make_overall(), NOTE).axes
    assert names_of(axes)[:-1] == table["view"].tolist()
    assert_rows_show(axes, table, MM)


def test_views_named_by_numbers_are_shown() -> None:
    (axes,) = error_per_view(make_views(["S9"], 2).assign(view=[7, 3]), make_overall(), NOTE).axes
    assert names_of(axes)[:-1] == ["7", "3"]


def test_views_of_many_captures_are_medians_with_their_range() -> None:
    table = make_views([f"S{i}" for i in range(5)], 4)
    table.loc[0, MM] = np.nan
    (axes,) = error_per_view(table, make_overall(), NOTE).axes
    errors = table[MM].to_numpy().reshape(5, 4)
    expected = pd.DataFrame(
        {name: np.nanmedian(table[name].to_numpy().reshape(5, 4), 0) for name in table.columns[2:]}
    )
    expected["poses"] = table["poses"].to_numpy().reshape(5, 4).sum(0)
    assert names_of(axes)[:-1] == [f"cam{i}" for i in range(4)]
    assert_rows_show(axes, expected, MM)
    ranges = [np.array(line)[:, 0] for line in axes.collections[0].get_segments()]
    np.testing.assert_allclose(ranges, np.stack([np.nanmin(errors, 0), np.nanmax(errors, 0)], -1))
    assert "medians of 5 captures" in axes.get_title()


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_the_curves_go_through_the_shares_and_the_densities_add_up_to_them() -> None:
    table = make_shares()
    shares, densities = error_distribution(table, NOTE, "mm").axes
    for index, name in enumerate(ERRORS):
        np.testing.assert_allclose(shares.lines[index].get_xdata(), table["threshold"])
        percent = table[f"{name}_percent"]
        np.testing.assert_allclose(shares.lines[index].get_ydata(), percent)
        density = np.asarray(densities.lines[index].get_ydata())
        assert 5 * density.sum() == pytest.approx(percent.iloc[-1] - percent.iloc[0])
        highest = np.asarray(densities.lines[index].get_xdata())[density.argmax()]
        assert highest == pytest.approx(ERRORS[name], abs=0.4 * ERRORS[name])  # the mode of this gamma distribution
    assert shares.lines[3].get_xdata() == pytest.approx([150, 150])


def test_the_legend_gives_pck_and_auc_of_the_errors_themselves() -> None:
    for text, name in zip(legend_of(error_distribution(make_shares(), NOTE, "mm")), ERRORS, strict=True):
        errors = sample_errors(name)
        pck = 100 * np.mean(errors <= 150)
        auc = 100 * np.mean([errors <= threshold for threshold in np.linspace(0, 150, 31)])
        assert text.endswith(f": PCK@150 {pck:.1f} %, AUC 0-150 {auc:.1f} %")


def test_in_pixels_the_legend_gives_medians_and_there_is_no_pck() -> None:
    table = make_shares("px")
    table["mean_pose_percent"] *= 0.4
    figure = error_distribution(table, NOTE, "px")
    medians = [float(text.split()[-2]) for text in legend_of(figure)]
    assert medians[0] == pytest.approx(np.median(sample_errors("lifter")), abs=1)
    assert medians[2] == pytest.approx(np.median(sample_errors("pseudo_label")), abs=1)
    assert legend_of(figure)[1].endswith("median above 500 px")
    assert len(figure.axes[0].lines) == 3
    assert "PCK" not in figure.axes[0].get_title()
    assert "not accuracy" in figure.axes[1].get_title()


def test_a_series_without_errors_is_left_out() -> None:
    figure = error_distribution(make_shares(pseudo_label_percent=np.nan), NOTE, "mm")
    assert [text.split(":")[0] for text in legend_of(figure)] == ["lifter (one view)", "mean training pose"]


def test_the_axes_end_where_nearly_all_errors_are() -> None:
    for axes in error_distribution(make_shares(), NOTE, "mm").axes:
        assert axes.get_xlim()[1] == pytest.approx(np.quantile(sample_errors("mean_pose"), 0.95), abs=5)


def curves_of(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """All joined, those of many and those of a handful, of a panel of conditions."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines[1:]]


def test_conditions_are_points_before_bars_of_their_numbers() -> None:
    confidence, angle, joints, poses = error_by_condition(make_confidence(), make_angles(), make_overall(), NOTE).axes
    np.testing.assert_equal(curves_of(confidence)[1:], [([0.25, 0.75], [120, 60]), ([], [])])
    np.testing.assert_equal(curves_of(angle)[1:], [([30, 90, 150], [50, np.nan, 70]), ([90], [np.nan])])
    assert [bar.get_height() for bar in joints.patches] == [2_000, 1_500_000]
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in poses.patches] == [
        (0, 60, 300),
        (60, 60, 0),
        (120, 60, 100),
    ]
    assert joints.get_ylabel() == "number of joints (bars)"
    assert poses.get_ylabel() == "number of poses (bars)"
    assert confidence.get_zorder() > joints.get_zorder()
    assert confidence.get_ylim()[0] == angle.get_ylim()[0] == 0


def test_points_of_a_handful_are_hollow_and_have_their_number() -> None:
    angles = make_angles().assign(poses=[60_000, 12, 99], error=[50.0, 300.0, 70.0])
    figure = error_by_condition(make_confidence(), angles, make_overall(), NOTE)
    _, angle, *_ = figure.axes
    few = angle.lines[-1]
    assert (list(few.get_xdata()), few.get_markerfacecolor()) == ([90, 150], "white")
    assert [text.get_text() for text in angle.texts] == ["12", "99"]
    assert legend_of(figure) == ["all: 65.0 [60.0, 72.0] mm", "of fewer than 100 (the number)"]


def test_empty_ranges_are_not_bridged() -> None:
    angles = make_angles().assign(error=[50.0, 60.0, 70.0]).iloc[[0, 2]]
    _, angle, *_ = error_by_condition(make_confidence(), angles, make_overall(), NOTE).axes
    np.testing.assert_equal(curves_of(angle)[0], ([30, np.nan, 150], [50, np.nan, 70]))


def test_the_error_of_all_and_its_interval_lie_behind_the_points() -> None:
    for axes in error_by_condition(make_confidence(), make_angles(), make_overall(), NOTE).axes[:2]:
        assert set(axes.lines[0].get_ydata()) == {65.0}
        (band,) = axes.patches
        assert (band.get_y(), band.get_y() + band.get_height()) == (60, 72)


@pytest.mark.parametrize("empty", [0, 1])
def test_a_condition_that_is_not_known_has_no_panel_and_says_why(empty: int) -> None:
    tables = [make_confidence(), make_angles()]
    tables[empty] = tables[empty].iloc[:0]
    panel, bars = error_by_condition(*tables, make_overall(), NOTE).axes
    names = ["confidence", "viewing direction"]
    why = ["the detector gives no confidence", "no pose tells where the person faces"]
    assert panel.get_title() == f"Error by {names[1 - empty]}\n(not by {names[empty]}: {why[empty]})"
    assert bars.get_ylabel().startswith("number of")


def test_conditions_without_a_reference_are_in_pixels() -> None:
    axes = error_by_condition(make_confidence("px"), make_angles("px"), make_overall(PX), NOTE).axes
    assert axes[0].get_ylabel() == axes[1].get_ylabel() == "mean distance\nin the other views (px)"


def test_a_condition_without_any_error_can_be_shown(tmp_path: Path) -> None:
    figure = error_by_condition(make_confidence().assign(error=np.nan), make_angles(), make_overall(), NOTE)
    figure.savefig(tmp_path / "figure.png")
    assert plt.imread(tmp_path / "figure.png").std() > 0.01

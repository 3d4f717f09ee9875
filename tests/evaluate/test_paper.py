"""Tables for a paper."""

import re

import pytest

from trilift.evaluate.paper import HUMAN36M, main_table, to_latex, to_markdown

METRICS = {
    "mpjpe_mm": 61.24,
    "mean_pose_mpjpe_mm": 200.0,
    "pseudo_label_mpjpe_mm": 30.06,
    "pa_mpjpe_mm": 45.0,
    "mean_pose_pa_mpjpe_mm": float("nan"),
    "pseudo_label_pa_mpjpe_mm": 20.0,
    "mpjve_mm_per_frame": 5.0,
    "absolute_mpjpe_mm": 100.0,
}
NOTE = "Data set a_b (SIMULATED); 100 % of the poses."


def rows_of(markdown: str) -> list[list[str]]:
    """Read a table of Markdown."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_markdown_table_has_ours_side_by_side() -> None:
    head, rule, *rows = rows_of(to_markdown(main_table(METRICS, is_human36m=False), NOTE))
    assert head == ["method", "MPJPE (mm)", "PA-MPJPE (mm)", "MPJVE (mm/frame)"]
    assert all(re.fullmatch(r"-{3}:?", cell) for cell in rule)
    assert rows == [
        ["lifter, one view", "61.2", "45.0", "5.0"],
        ["mean training pose", "200.0", "-", "-"],
        ["pseudo-label, all views", "30.1", "20.0", "-"],
    ]


@pytest.mark.parametrize("is_human36m", [False, True])
def test_published_numbers_stand_beside_ours_only_for_human36m(is_human36m: bool) -> None:
    text = to_markdown(main_table(METRICS, is_human36m), NOTE)
    for method, source in zip(HUMAN36M["method"], HUMAN36M["source"], strict=True):
        assert (method in text) == (source in text) == is_human36m
    assert len(rows_of(text)) == 5 + is_human36m * len(HUMAN36M)


def test_the_latex_table_is_one_of_booktabs() -> None:
    lines = to_latex(main_table(METRICS, is_human36m=True), NOTE).splitlines()
    assert lines[0] == f"% {NOTE}"
    assert lines[1] == r"\begin{tabular}{lrrr}"
    assert lines[-1] == r"\end{tabular}"
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 4 + len(HUMAN36M)
    assert all(row.count("&") == 3 for row in rows)


def test_what_latex_would_read_as_commands_is_escaped() -> None:
    table = main_table(METRICS, is_human36m=False)
    table.loc[0, "method"] = r"50 % of A_1 & B#2 {x} ~ ^ $ \\"
    row = next(line for line in to_latex(table, NOTE).splitlines() if "50" in line)
    expected = (
        r"50 \% of A\_1 \& B\#2 \{x\} \textasciitilde{} \textasciicircum{} \$ \textbackslash{}\textbackslash{} & "
    )
    assert row.startswith(expected)


def test_a_bar_in_a_name_does_not_split_a_cell_of_markdown() -> None:
    table = main_table(METRICS, is_human36m=False)
    table.loc[0, "method"] = "a|b"
    assert r"a\|b" in to_markdown(table, NOTE)


def test_without_a_reference_the_agreement_stands_there() -> None:
    metrics = {"other_views_reprojection_px": 11.0, "mean_pose_other_views_reprojection_px": 90.0}
    head, _, lifter, *_ = rows_of(to_markdown(main_table(metrics, is_human36m=False), NOTE))
    assert head == ["method", "other views (px)"]
    assert lifter == ["lifter, one view", "11.0"]


def test_a_note_of_several_lines_stays_a_comment() -> None:
    lines = to_latex(main_table(METRICS, is_human36m=False), "made by\nan \\input{x}\r\nthing").splitlines()
    assert lines[:2] == [r"% made by an \input{x} thing", r"\begin{tabular}{lrrr}"]

"""Tables for a paper: Markdown and LaTeX."""

import pandas as pd

_COLUMNS = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "n_mpjpe_mm": "N-MPJPE (mm)",
    "mpjve_mm_per_frame": "MPJVE (mm/frame)",
    "pck_150mm_percent": "PCK (%)",
    "auc_150mm_percent": "AUC (%)",
    "other_views_reprojection_px": "other views (px)",
}
_ROWS = {
    "": "lifter, one view",
    "mean_pose_": "mean training pose",
    "pseudo_label_": "pseudo-label, all views",
}


def main_table(metrics: dict[str, float], is_human36m: bool) -> pd.DataFrame:
    """Put the lifter, the mean pose and the pseudo-label side by side; of Human3.6M published numbers below them."""
    columns = {name: title for name, title in _COLUMNS.items() if name in metrics}
    rows = [
        {"method": label} | {title: metrics.get(prefix + name) for name, title in columns.items()}
        for prefix, label in _ROWS.items()
    ]
    table = pd.DataFrame(rows)
    if is_human36m:
        published = HUMAN36M.assign(method=HUMAN36M["method"] + " [" + HUMAN36M["source"] + "]")
        table = pd.concat([table, published.drop(columns="source")], ignore_index=True)
    return table


def to_markdown(table: pd.DataFrame, note: str) -> str:
    """Write a table as Markdown, numbers with one decimal, what is not known as a dash."""
    cells = _cells(table)
    lines = [cells[0], ["---", *["---:"] * (len(cells[0]) - 1)], *cells[1:]]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped) + f"\n\n{' '.join(note.split())}\n"


def to_latex(table: pd.DataFrame, note: str) -> str:
    """Write a table as LaTeX for the package booktabs, numbers with one decimal, what is not known as a dash."""
    cells = [[_for_latex(cell) for cell in line] for line in _cells(table)]
    head, *rows = [" & ".join(line) + r" \\" for line in cells]
    columns = "l" + "r" * (len(cells[0]) - 1)
    comment = f"% {' '.join(note.split())}"
    lines = [comment, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _cells(table: pd.DataFrame) -> list[list[str]]:
    def text(value: object) -> str:
        if isinstance(value, float) or value is None:
            return "-" if value is None or pd.isna(value) else f"{value:.1f}"
        return str(value)

    return [
        [str(name) for name in table.columns],
        *([text(value) for value in row] for row in table.to_numpy(object)),
    ]


def _for_latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, "\\" + letter if letter in "&%$#_{}" else letter) for letter in text)


HUMAN36M = pd.DataFrame(
    [
        ("fully supervised, single frame, same detections", 53.0, 41.3, "mmpose model zoo"),
        ("fully supervised, 243 frames, same detections", 46.8, None, "Pavllo et al., CVPR 2019 (VideoPose3D)"),
        ("EpipolarPose, self-supervised, cameras known", 76.6, None, "Kocabas et al., CVPR 2019, its README"),
    ],
    columns=["method", "MPJPE (mm)", "PA-MPJPE (mm)", "source"],
)
"""Human3.6M, S9 and S11, one view, MPJPE relative to the root and PA-MPJPE, averaged as their authors do."""

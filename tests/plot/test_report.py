"""The page of a run, and the page of all runs: what they say, and how they look in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from plot.browser import errors_logged, needs_browser, set_page_size
from synthetic import OPENPOSE_DATA_SET, write_openpose_data_set
from trilift.cli import main
from trilift.plot import pages, report, stage
from trilift.plot.pages import number

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ run }}|é"
WARNING = f"capture {HOSTILE}: camera 2 is late"
SETTINGS = {
    "seed": 0,
    "simulate": {"seconds": 0.4},
    "ingest": {"check": "skip"},
    "triangulate": {"method": "dlt", "repair_swaps": False, "smoothing": None, "diagnose": False},
    "train": {"network": {"width": 8, "blocks": 1}, "steps": 3, "batch_frames": 64},
    "evaluate": {},
    "plot": {"examples": 1, "viewer_recordings": 1, "viewer_seconds": 0.2},
}
STAGES = ("ingest", "triangulate", "train", "evaluate", "plot")


def run(project: Path, *command: str) -> None:
    device = ["--device", "cpu"] if command[0] in ("triangulate", "train", "evaluate") else []
    assert main([*command, "--project", str(project), *device]) == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, small, and a recording without a reference that has a hostile name."""
    project = tmp_path_factory.mktemp("report")
    (project / "workflow/datasets").mkdir(parents=True)
    (project / "params.yaml").write_text(json.dumps(SETTINGS))
    shutil.copy(Path(__file__).parents[2] / "workflow/datasets/demo.yaml", project / "workflow/datasets")
    run(project, "simulate", "demo")
    write_openpose_data_set(project / "data/raw/mine")
    content = yaml.safe_load(OPENPOSE_DATA_SET)
    content["ingest"]["detections"]["detector"] = HOSTILE
    (project / "workflow/datasets/mine.yaml").write_text(json.dumps(content))
    for dataset in ("demo", "mine"):
        for name in STAGES[:-1]:
            run(project, name, dataset)
    record = project / "results/mine/provenance/triangulate.json"
    record.write_text(json.dumps(json.loads(record.read_text("utf-8")) | {"warnings": [WARNING]}))
    for dataset in ("demo", "mine"):
        run(project, "plot", dataset)
    run(project, "report")
    return project


class Content(HTMLParser):
    """The text of a page, its elements, what its `data` elements stand for, and the cells of its tables."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.numbers: dict[str, float] = {}
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._cell = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "data" and found.get("id"):
            self.numbers[str(found["id"])] = float(str(found["value"]))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self._cell = tag in ("td", "th") or (self._cell and tag == "a")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data


def facts_of(project: Path, dataset: str) -> dict[str, Any]:
    return json.loads((project / f"results/{dataset}/main/metrics.json").read_text("utf-8"))


def page_of(project: Path, dataset: str) -> Content:
    return Content(project / f"results/{dataset}/main/report.html")


def bars(page: Content) -> dict[str, str]:
    """What stands beside the bars of the first number."""
    return {row[0]: row[-1] for row in page.tables[0]}


def test_the_main_number_is_that_of_the_metrics(project: Path) -> None:
    page, facts = page_of(project, "demo"), facts_of(project, "demo")
    low, high = facts["mpjpe_mm_ci95_low"], facts["mpjpe_mm_ci95_high"]
    assert page.numbers == {"main-number": facts["mpjpe_mm"], "main-low": low, "main-high": high}
    assert f"{facts['mpjpe_mm']:,.1f} mm" in page.text
    assert f"95 % interval {low:,.1f} to {high:,.1f} mm" in page.text
    assert bars(page) == {
        "lifter (one view)": f"{facts['mpjpe_mm']:,.1f} mm",
        "mean training pose": f"{facts['mean_pose_mpjpe_mm']:,.1f} mm",
        "pseudo-label (all views)": f"{facts['pseudo_label_mpjpe_mm']:,.1f} mm",
    }


def test_without_a_reference_the_main_number_is_the_agreement_with_other_views(project: Path) -> None:
    page, facts = page_of(project, "mine"), facts_of(project, "mine")
    assert page.numbers == {"main-number": facts["other_views_reprojection_px"]}
    assert "There is no reference, so no accuracy can be told" in page.text
    assert "No interval: it takes at least two test recordings" in page.text
    assert bars(page)["mean training pose"] == f"{facts['mean_pose_other_views_reprojection_px']:,.1f} px"
    assert "of people who are in the training too" in page.text


def test_says_what_was_trained_on_what(project: Path) -> None:
    text = re.sub(r"\s+", " ", page_of(project, "demo").text)
    # 0.4 s of each of five motions, 50 frames per second.
    assert "Trained on5 people (S1, S5, S6, S7, S8), 25 recordings, 4 cameras, 500 frames (10 s)" in text
    assert "2 people (S9, S11), 10 recordings, 4 cameras, 200 frames (4 s), of people who are not in" in text
    assert "residual network, 3 steps" in text
    assert "SIMULATED people and detections: the numbers say nothing about real recordings" in text
    assert "SIMULATED" not in page_of(project, "mine").text


def test_the_table_is_that_of_the_paper(project: Path) -> None:
    lines = (project / "results/demo/main/table.md").read_text("utf-8").splitlines()
    expected = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5] if "---" not in line]
    page = page_of(project, "demo")
    assert expected in page.tables
    assert lines[-1] in page.text


def test_the_tables_are_those_that_were_written(project: Path) -> None:
    found = {table[0][0]: table for table in page_of(project, "demo").tables if len(table[0]) > 5}
    joints = pd.read_csv(project / "results/demo/main/per_joint.csv")
    assert [row[:2] for row in found["joint"][1:]] == [
        [joint, f"{error:,.1f}"] for joint, error in zip(joints["joint"], joints["mpjpe_mm"], strict=True)
    ]


def test_every_figure_has_its_caption_beside_it(project: Path) -> None:
    page = page_of(project, "demo")
    images = [about for tag, about in page.tags if tag == "img"]
    assert len(images) == len(stage._FIGURES) + 1
    assert all(str(about["src"]).startswith("data:image/") for about in images)
    assert {*report._FIGURES} == {*stage._FIGURES, "animation"}
    for name in report._FIGURES:
        caption = re.sub(r"<[^>]+>|\s+", " ", pages.caption(name).unescape()).split()
        assert " ".join(caption[:12]) in re.sub(r"\s+", " ", page.text)


def test_warnings_of_triangulation_and_training_are_on_the_page(project: Path) -> None:
    for dataset in ("demo", "mine"):
        records = [f"results/{dataset}/provenance/triangulate.json", f"results/{dataset}/main/provenance/train.json"]
        warnings = [
            warning
            for path in records
            for warning in json.loads((project / path).read_text("utf-8")).get("warnings", [])
        ]
        text = page_of(project, dataset).text
        assert all(warning in text for warning in warnings)
        assert (f"{len(warnings)} warning" in text) == bool(warnings)
        assert (WARNING in text) == (dataset == "mine")


def test_it_is_said_how_many_frames_were_learnt_from(project: Path) -> None:
    for dataset in ("demo", "mine"):
        learnt = json.loads((project / f"results/{dataset}/main/lifter.json").read_text("utf-8"))["trained_with"][
            "frames"
        ]
        assert f"learnt from {learnt:,} of the frames" in page_of(project, dataset).text


def test_names_stay_text(project: Path) -> None:
    for path in project.glob("results/**/report.html"):
        page = Content(path)
        assert not [tag for tag, about in page.tags if "onerror" in about or tag in ("script", "link", "iframe")]
        assert all(str(about["src"]).startswith("data:") for tag, about in page.tags if tag == "img")
    assert HOSTILE in page_of(project, "mine").text


def test_links_lead_to_what_is_there(project: Path) -> None:
    for path in project.glob("results/**/report.html"):
        page = Content(path)
        ids = {about.get("id") for _, about in page.tags}
        links = [str(about["href"]) for tag, about in page.tags if tag == "a"]
        assert len(links) > 1
        for link in links:
            assert link[1:] in ids if link.startswith("#") else (path.parent / link).is_file(), link


def test_the_page_is_the_same_bytes_again(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    run(copy, "plot", "mine")
    run(copy, "report")
    for name in ("results/mine/main/report.html", "results/mine/main/viewer.html", "results/report.html"):
        assert (copy / name).read_bytes() == (project / name).read_bytes()
        assert str(copy) not in (copy / name).read_text("utf-8")


def test_all_runs_stand_side_by_side(project: Path) -> None:
    page = Content(project / "results/report.html")
    (demo,), (mine,) = (table[1:] for table in page.tables if table[0][0] == "run")
    facts = facts_of(project, "demo")
    low, high = facts["mpjpe_mm_ci95_low"], facts["mpjpe_mm_ci95_high"]
    assert demo[:3] == ["main", f"{facts['mpjpe_mm']:,.1f}", f"{low:,.1f} to {high:,.1f}"]
    assert mine[:3] == ["main", f"{facts_of(project, 'mine')['other_views_reprojection_px']:,.1f}", "–"]
    assert "demo (SIMULATED)" in page.text
    assert "agreement and not accuracy" in page.text


def test_without_results_there_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--project", str(tmp_path)]) == 2
    assert "no results yet" in capsys.readouterr().err
    folder = tmp_path / "results/mine/main"
    folder.mkdir(parents=True)
    for content in ("{", "[]", "{}", '{"mpjpe_mm": 3}'):
        (folder / "metrics.json").write_text(content)
        assert main(["report", "--project", str(tmp_path)]) == 2
        assert "metrics.json: no readable metrics" in capsys.readouterr().err
    assert not (tmp_path / "results/report.html").exists()


def test_numbers_that_are_not_known_are_dashes() -> None:
    assert [number(value) for value in (None, float("nan"), 0.04, -1234.56)] == ["–", "–", "0.0", "-1,234.6"]


@needs_browser
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_on_any_screen_without_a_network(project: Path, driver: Any, width: int, scheme: str) -> None:
    set_page_size(driver, width, 844, phone=width < 500)
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    errors_logged(driver)
    for path in sorted(project.glob("results/**/report.html")):
        driver.get(path.as_uri())
        asked, wide, clear = driver.execute_script(
            """
            for (const details of document.querySelectorAll("details")) details.open = true;
            const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
            const colours = ["color", "backgroundColor"].map((name) => getComputedStyle(document.body)[name]);
            const light = colours.map((text) => text.match(/\\d+/g).map(Number).reduce((sum, one) => sum + one, 0));
            return [performance.getEntriesByType("resource").filter((one) => !one.name.startsWith("data:")).length,
                    wide, light[1] - light[0]];
            """
        )
        assert errors_logged(driver) == []
        assert asked == 0
        assert wide == 0
        assert (clear > 300) if scheme == "light" else (clear < -300)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    set_page_size(driver, 1200, 800)

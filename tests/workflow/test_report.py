"""The report says of everything what it is, and holds what made the files of each stage."""

import json
import re

import pytest

from plot.browser import errors_logged, needs_browser, open_browser

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def reported(real_finished, tmp_path_factory):
    project = real_finished.copy(tmp_path_factory.mktemp("report") / "project")
    project.run("snakemake", "--report", "results/workflow.html")
    return project


def results_of(page):
    found = re.search(r"var results = (\{.*?\});?\n", page, re.DOTALL)
    return json.loads(found[1])


def test_every_caption_of_simulated_data_says_so(reported):
    results = results_of((reported.path / "results/workflow.html").read_text("utf-8"))
    assert len(results) > 15
    assert all("SIMULATED" in result["caption"] for result in results.values())


def test_the_report_shows_what_made_the_files_of_every_stage(reported):
    page = (reported.path / "results/workflow.html").read_text("utf-8")
    records = [
        *reported.path.glob("results/demo/provenance/*.json"),
        *reported.path.glob("results/demo/*/provenance/*"),
    ]
    assert len(records) == 6
    for path in records:
        record = json.loads(path.read_text("utf-8"))
        assert record["code"] in page
        assert all(digest in page for digest in record["outputs"].values())
        assert len(re.findall(re.escape(record["libraries"]["trilift"]), page)) >= 6


@needs_browser
def test_the_report_opens_without_a_network_and_without_errors(reported):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    with open_browser() as driver:
        driver.get((reported.path / "results/workflow.html").as_uri())
        for text in ("Results", "demo (SIMULATED)", "figures"):
            found = WebDriverWait(driver, 20).until(
                lambda driver, text=text: [
                    element for element in driver.find_elements(By.XPATH, f"//*[text()='{text}']")
                    if element.is_displayed()
                ]
            )  # fmt: skip
            found[-1].click()
        WebDriverWait(driver, 20).until(lambda driver: "poses.png" in driver.page_source)
        assert errors_logged(driver) == []

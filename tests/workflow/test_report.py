"""The report holds what made the files of each stage, readable without opening anything else."""

import json

import pytest


@pytest.mark.engines
def test_the_report_shows_what_made_the_files_of_every_stage(project):
    project.run("snakemake", "--report", "results/report.html")
    page = (project.path / "results/report.html").read_text("utf-8")
    records = sorted((project.path / "results").rglob("provenance/*.json"))
    assert len(records) == 6
    for path in records:
        record = json.loads(path.read_text("utf-8"))
        assert record["code"] in page
        assert all(digest in page for digest in record["outputs"].values())

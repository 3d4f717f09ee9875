"""Several people, several data sets."""

import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.engines
DOCS = Path(__file__).parents[2] / "docs/sharing.md"


def steps_in_docs(section: str) -> list[str]:
    """Give the commands of a section, line by line, without comments."""
    text = DOCS.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    lines = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    return [line.split("  #")[0].rstrip() for line in lines]


def test_share_and_restore_as_written(fresh, tmp_path):
    owner = fresh.copy(tmp_path / "owner")
    owner.run("git", "init", "--quiet", "--bare", "-b", "main", str(tmp_path / "repository"))
    owner.run("git", "remote", "add", "origin", str(tmp_path / "repository"))
    owner.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    names = {
        "/mnt/lab/trilift": str(tmp_path / "storage"),
        "<repository> && cd <repository>": f"{tmp_path}/repository {tmp_path}/restored && cd {tmp_path}/restored",
        "make .venv/run.installed && source .venv/bin/activate": "true",  # the environment of the tests
    }
    steps = steps_in_docs("Share and restore")
    for written, here in names.items():
        assert sum(written in step for step in steps) == 1
        steps = [step.replace(written, here) for step in steps]
    clone = next(number for number, step in enumerate(steps) if step.startswith("git clone"))
    owner.run("bash", "-ec", "\n".join(steps[:clone]))
    assert owner.changed() == set()
    (tmp_path / "elsewhere").mkdir()
    output = type(owner)(tmp_path / "elsewhere").run("bash", "-ec", "\n".join(steps[clone:])).stdout
    assert "Nothing to be done" in output
    restored = type(owner)(tmp_path / "restored")
    restored.run("git", "config", "user.email", "test@example.org")
    assert restored.made() == owner.made()
    assert restored.changed() == set()

    restored.set("triangulate.min_confidence", 0.1)
    assert restored.jobs() == {"triangulate", "train", "evaluate", "plot"}
    restored.run("git", "checkout", "-q", "--", "params.yaml")
    restored.set("plot.examples", 2)
    assert restored.jobs() == {"plot"}


def test_data_sets_are_added_and_taken_out_without_a_loss(project):
    before = project.hashes()
    for name in ("second", "third"):
        shutil.copytree(project.path / "data/raw/demo", project.path / "data/raw" / name)
        shutil.copy(project.path / "workflow/datasets/demo.yaml", project.path / f"workflow/datasets/{name}.yaml")
    project.set("datasets", ["demo", "second"])
    assert project.jobs() == {"ingest", "triangulate", "train", "evaluate", "plot"}
    output = project.snakemake()
    assert set(re.findall(r"^\w+ +(demo|second)\b", output, re.MULTILINE)) == {"second"}
    assert project.changed() == set()
    assert before.items() < project.hashes().items()

    project.snakemake("results/third/main/metrics.json")  # by name: it is not listed
    assert project.changed() == set()
    project.set("datasets", ["demo", "second", "third"])
    output = project.run("dvc", "repro").stdout
    assert "@demo'\n" not in "\n".join(re.findall(r"Running stage.*", output)) + "\n"
    assert project.jobs() == project.changed() == set()
    project.set("datasets", ["demo"])
    assert project.jobs() == project.changed() == set()
    assert (project.path / "results/third/main/metrics.json").exists()

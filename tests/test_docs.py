"""What README.md and docs/ say exists: links, commands, settings, files; and their code examples run."""

import importlib
import re
import shlex
import tomllib
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from formats.camera_writers import read_all
from trilift import cli
from trilift.captures.splits import Split
from trilift.errors import InputError
from trilift.formats.source import Source
from trilift.project import params
from trilift.project.stages import SECTIONS, STAGES
from trilift.train.runs import Sweep

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/**/*.md"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTINGS = {stage: STAGES[stage].load_settings() for stage in SECTIONS}


def all_pages(test):
    names = [page.relative_to(ROOT).as_posix() for page in (ROOT / "README.md", *PAGES)]
    return pytest.mark.parametrize("page", [ROOT / name for name in names], ids=names)(test)


def prose(page):
    return FENCE.sub("", page.read_text("utf-8"))


def blocks(page, *languages):
    return [code for language, code in FENCE.findall(page.read_text("utf-8")) if language in languages]


def anchors(page):
    """The anchors of a page: those that a git host and Python-Markdown both make, and those given by hand."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        given = re.search(r"\{#([\w-]+)\}$", title)
        if given:
            found.add(given[1])
            continue
        plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title).replace("`", "").strip().lower()
        on_host = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        on_site = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip())
        found |= {on_host} & {on_site}
    return found


def test_the_pages_are_those_of_the_navigation():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for part in (entry.values() if isinstance(entry, dict) else entry) for file in files(part)]

    listed = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert sorted(listed) == [page.relative_to(ROOT / "docs").as_posix() for page in PAGES]


@all_pages
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.is_file(), target
        assert file.resolve().is_relative_to(ROOT / "docs") or page.name == "README.md", f"{target} leaves the site"
        if anchor:
            assert file.suffix == ".md", target
            assert anchor in anchors(file), target


@all_pages
def test_nothing_is_shown_that_is_elsewhere(page):
    assert not re.findall(r"!\[[^\]]*\]\(https?:|<(?:script|img|link|iframe)\b", prose(page))


@all_pages
def test_commands_are_understood(page, capsys):
    parser = cli._parser()
    known = next(action.choices for action in parser._actions if action.dest == "command")
    text = page.read_text("utf-8")
    lines = [line for code in blocks(page, "bash", "sh", "") for line in code.splitlines()]
    lines += re.findall(r"`((?:trilift|[\w= ]*python -m trilift) [^`]+)`", FENCE.sub("", text))
    for line in lines:
        words = shlex.split(line.replace(";", " ; "), comments=True)
        for start in (number for number, word in enumerate(words) if word == "trilift"):
            end = next((n for n in range(start, len(words)) if words[n] in ("&&", "|", ";", ">")), len(words))
            command = words[start + 1 : end]
            if command and command[0] in known and len(command) > 1:
                try:
                    parser.parse_args(command)
                except SystemExit:
                    pytest.fail(f"{line}: {capsys.readouterr().err}")


@all_pages
def test_settings_are_known(page):
    for code in blocks(page, "yaml"):
        content = yaml.safe_load(code)
        for name, section in content.items():
            where = f"{page.name}, {name}"
            if name == "ingest" and "detections" in section:
                params.parse(Source, section, where)
            elif name == "split":
                params.parse(Split, section, where)
            elif name == "sweep":
                params.parse(Sweep, section, where)
            elif name in SETTINGS:
                params.parse(SETTINGS[name], section, where)


@all_pages
def test_files_of_the_repository_are_there(page):
    for path in re.findall(r"`((?:src|workflow|tests|docs)/[^`\s]*)`", prose(page)):
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", path))), path


@all_pages
def test_modules_of_the_reference_are_there(page):
    for name in re.findall(r"^::: (\S+)$", prose(page), re.MULTILINE):
        importlib.import_module(name)


@pytest.fixture(scope="module")
def examples():
    """What the code of docs/extending.md defines."""
    names: dict[str, object] = {"__name__": "example"}
    for code in blocks(ROOT / "docs/extending.md", "python"):
        exec(compile(code, "docs/extending.md", "exec"), names)
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("__")})


def test_the_example_of_a_detection_format_reads_what_it_says(examples, tmp_path):
    rows = [(7, "nose", 10, 20, 0.9), (7, "left_hip", 11, 21, 0.8), (9, "nose", 12, 22, 0.0)]
    file = tmp_path / "left.csv"
    pd.DataFrame(rows, columns=["frame", "keypoint", "x", "y", "confidence"]).to_csv(file, index=False)
    skeleton = importlib.import_module("trilift.skeletons").COCO17
    view = examples.read_view(file, skeleton)
    assert (view.name, view.first_frame, view.keypoints.shape) == ("left", 7, (3, 1, 17, 2))
    np.testing.assert_allclose(view.keypoints[0, 0, skeleton.index("left_hip")], [11, 21])
    np.testing.assert_allclose(view.confidence[0, 0, skeleton.index("left_hip")], 0.8)
    assert np.isfinite(view.keypoints).all(-1).sum() == 2
    for text in ("", "frame,x\n1,2\n", "frame,keypoint,x,y,confidence\n", file.read_text().replace("nose", "tail")):
        file.write_text(text)
        with pytest.raises(InputError, match=r"left\.csv"):
            examples.read_view(file, skeleton)


def test_the_example_of_a_camera_format_reads_what_it_says(examples, tmp_path):
    file = tmp_path / "rig.json"
    file.write_text(
        '[{"name": "a", "K": [[900, 0, 320], [0, 900, 240], [0, 0, 1]], "distortion": [0, 0, 0, 0, 0],'
        ' "rotation": [0, 0, 0], "translation": [0, 0, 3000], "size": [640, 480]}]'
    )
    (camera,) = read_all(examples.list_cameras(file))
    assert (camera.name, camera.t.tolist(), camera.image_size.tolist()) == ("a", [0, 0, 3], [640, 480])
    for text in ("", "{}", "[1]", "[]", file.read_text().replace("900", "-900")):
        file.write_text(text)
        with pytest.raises(InputError, match=r"rig\.json"):
            read_all(examples.list_cameras(file))


def test_the_example_of_a_layout_gives_all_joints(tmp_path):
    skeletons = importlib.import_module("trilift.skeletons")
    (text,) = [code for code in blocks(ROOT / "docs/extending.md", "yaml") if "keypoints:" in code]
    (tmp_path / "crowdpose14.yaml").write_text(text)
    skeleton = skeletons.get("crowdpose14.yaml", tmp_path)
    mapping = skeletons.mapping(skeleton, skeletons.TRAINING_SKELETON)
    derived = {name for name, kind in zip(mapping.target.keypoints, mapping.kind, strict=True) if kind == "derived"}
    assert derived == {"pelvis", "spine", "thorax", "nose"}
    assert "absent" not in mapping.kind
    assert (len(skeleton), len(skeleton.bones)) == (14, 13)


def test_the_example_of_a_loss_is_one(examples):
    from train.batches import complete, make_batch, truth
    from trilift.train.settings import LossSettings

    batch = complete(make_batch())
    exact = truth(batch)
    moved = exact + torch.tensor([0.0, 0.0, 0.4])
    sideways = exact + torch.tensor([0.1, 0.0, 0.0])
    for predicted, expected in ((exact, 0.0), (moved, 0.0), (sideways, 0.05)):
        assert float(examples.across_the_axis(predicted, batch, LossSettings())) == pytest.approx(expected, abs=1e-9)


def test_the_example_of_a_network_is_one(examples):
    settings = importlib.import_module("trilift.lifter.settings").NetworkSettings(width=8)
    assert examples.Gated(51, 48, settings)(torch.zeros(5, 51)).shape == (5, 48)


def test_the_example_of_a_figure_is_one(examples):
    figure = examples.error_per_recording(pd.DataFrame({"mpjpe_mm": [60.0, 50.0]}, index=["b", "a"]), "a test")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_the_example_of_a_setting_is_the_real_one(examples):
    ours, theirs = examples.Settings.model_fields["viewer_seconds"], SETTINGS["plot"].model_fields["viewer_seconds"]
    assert (ours.default, ours.metadata) == (theirs.default, theirs.metadata)


def test_the_architecture_has_a_line_for_every_folder_and_the_floors_that_are_linted():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    package = ROOT / "src/trilift"
    folders = {file.parent.relative_to(package).as_posix() for file in package.rglob("*/*.py")}
    assert set(re.findall(r"^\| `([\w/]+)/` \|", text.partition("## Around it")[0], re.MULTILINE)) == folders
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    floors = text.partition("```text\ncli\n")[2].partition("```")[0].split("\n")[:-1]
    assert ["cli", *(floor.replace(":", "|") for floor in floors)] == contract["layers"]

"""What README.md and docs/ say exists: links, commands, settings, files; and their code examples run."""

import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
import unicodedata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import trilift
from formats import test_damage
from formats.camera_writers import read_all
from synthetic import make_project, project_with_opencv, ring_of_cameras, waving_person
from trilift import cli, skeletons
from trilift.captures import reading
from trilift.captures.schema import SCHEMAS
from trilift.captures.splits import Split
from trilift.errors import InputError
from trilift.formats.registry import CAMERAS, DETECTIONS
from trilift.formats.source import Source
from trilift.project import params, provenance
from trilift.project.layout import Layout
from trilift.project.stages import SECTIONS, STAGES
from trilift.simulate.settings import Studio
from trilift.skeletons import BODY25B, COCO17
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
            elif name == "simulate" and "captures" in section:
                params.parse(Studio, section, where)
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


def test_every_command_is_on_the_page_of_commands():
    text = (ROOT / "docs/commands.md").read_text("utf-8")
    known = next(action.choices for action in cli._parser()._actions if action.dest == "command")
    assert sorted(re.findall(r"^### trilift (\w+)\n\n<!-- command: \w+ -->$", text, re.MULTILINE)) == sorted(known)
    assert all(
        title == command for title, command in re.findall(r"^### trilift (\w+)\n\n<!-- command: (\w+)", text, re.M)
    )


def test_every_format_is_in_the_reference_and_in_the_table():
    of_code = {f"trilift.formats.{kind.module}" for kinds in (DETECTIONS, CAMERAS) for kind in kinds.values()}
    assert of_code <= set(re.findall(r"^::: (\S+)$", (ROOT / "docs/api/formats.md").read_text("utf-8"), re.MULTILINE))
    text = (ROOT / "docs/recordings.md").read_text("utf-8")
    for field, known in (("detections", {*DETECTIONS}), ("cameras", {*CAMERAS, "human36m", "trilift", "people"})):
        table = text.partition(f"| `{field}: format:` |")[2].partition("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == known


EXTENDING = (ROOT / "docs/extending.md").read_text("utf-8")


def titled(title):
    """The code of docs/extending.md with a title, the name of its file."""
    (found,) = re.findall(rf'^ *```\w+ title="{re.escape(title)}"\n(.*?)^ *```$', EXTENDING, re.DOTALL | re.MULTILINE)
    return textwrap.dedent(found)


def module(name):
    found = ModuleType(name)
    exec(compile(titled(f"src/trilift/{name}.py"), name, "exec"), vars(found))
    return found


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the code with the formats and the stage of docs/extending.md, entered as it says."""
    package = shutil.copytree(ROOT / "src", tmp_path_factory.mktemp("extended") / "src") / "trilift"
    (package / "coverage").mkdir()
    (package / "coverage/__init__.py").write_text('"""The stage coverage."""\n')
    for name in ("formats/tidy.py", "formats/studio_json.py", "coverage/settings.py", "coverage/stage.py"):
        (package / name).write_text(titled(f"src/trilift/{name}"), "utf-8")
    (detections,) = re.findall(r'`("tidy": ViewFormat\(.*?\))`', EXTENDING)
    (cameras,) = re.findall(r'`("studio": CameraFormat\(.*?\))`', EXTENDING)
    stage, declared = (
        re.search(rf"^ +```python\n( +{begin}.*?)^ +```$", EXTENDING, re.DOTALL | re.MULTILINE)[1]
        for begin in ('"coverage": ', "@property\n")
    )
    for name, before, entry in (
        ("formats/registry.py", '    "trilift": ', f"    {detections},\n"),
        ("formats/registry.py", '    "toml": ', f"    {cameras},\n"),
        ("project/stages.py", '    "train": ', stage),
        ("project/layout.py", "    @property\n    def results", f"{declared}\n"),
    ):
        text = (package / name).read_text("utf-8")
        assert text.count(before) == 1
        (package / name).write_text(text.replace(before, entry + before), "utf-8")
    return package.parent


def test_the_examples_of_formats_and_of_a_stage_are_found_by_the_commands(extended, tmp_path):
    folder, cameras = tmp_path / "gait", ring_of_cameras(2)
    folder.mkdir()
    poses = skeletons.mapping(BODY25B, COCO17).apply(waving_person(20))
    for camera in cameras:
        frames = [zip(COCO17.keypoints, frame, strict=True) for frame in project_with_opencv(camera, poses)]
        rows = [(number, name, *xy, 0.9) for number, frame in enumerate(frames) for name, xy in frame]
        table = pd.DataFrame(rows, columns=["frame", "keypoint", "x", "y", "confidence"])
        table.to_csv(folder / f"{camera.name}.csv", index=False)
    entries = [
        {
            "name": camera.name,
            "K": camera.K.tolist(),
            "distortion": camera.distortion.tolist(),
            "rotation": camera.R.tolist(),
            "translation": (1000 * camera.t).tolist(),
            "size": camera.image_size.tolist(),
        }
        for camera in cameras
    ]
    (folder / "rig.json").write_text(json.dumps(entries))
    project = make_project(tmp_path / "project").layout.project
    for command in (("new", folder), ("ingest", "gait"), ("coverage", "gait")):
        subprocess.run(
            [sys.executable, "-m", "trilift", *command, "--project", project],
            env=os.environ | {"PYTHONPATH": str(extended)},
            check=True,
        )
    stated = yaml.safe_load((project / "workflow/datasets/gait.yaml").read_text("utf-8"))["ingest"]
    detections = {"format": "tidy", "path": ".", "skeleton": "coco17", "detector": "TidyPose (coco17)"}
    assert stated["detections"] == detections
    assert stated["cameras"] == {"format": "studio", "path": "rig.json"}
    with reading.read(Layout("gait", project).captures, "captures") as opened:
        np.testing.assert_allclose(opened["gait"]["t"], [camera.t for camera in cameras])
    seen = pd.read_csv(project / "results/gait/coverage.csv")
    assert seen.values.tolist() == [["gait", "cam1", 1.0], ["gait", "cam2", 1.0]]
    assert (project / "results/gait/provenance/coverage.json").is_file()


def test_the_example_of_a_stage_is_the_same_for_both_engines(extended):
    made = re.findall(r'"(results/\S+)"', titled("workflow/rules/coverage.smk"))
    assert made == ["results/{dataset}/coverage.csv", "results/{dataset}/provenance/coverage.json"]
    stated = titled("dvc.yaml").replace("*kept", "{}").replace("${item.dataset}", "{dataset}")
    stage = yaml.safe_load(stated)["coverage"]
    assert [next(iter(out)) for out in stage["outs"]] == stage["cmd"].split()[-2:] == made
    files = provenance.code_of(["trilift.coverage.stage"], extended).files
    rooms = {"/".join(("src", *Path(file).parts[:2])) for file in files}
    assert {dep for dep in stage["deps"] if dep.startswith("src/")} == rooms


@pytest.fixture(scope="module")
def examples():
    """What the code of docs/extending.md without a title defines."""
    names: dict[str, object] = {"__name__": "example"}
    for code in re.findall(r"^```python\n(.*?)^```$", EXTENDING, re.DOTALL | re.MULTILINE):
        exec(compile(code, "docs/extending.md", "exec"), names)
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("__")})


def test_the_example_of_a_detection_format_reads_what_it_says(tmp_path):
    rows = [(7, "nose", 10, 20, 0.9), (7, "left_hip", 11, 21, 0.8), (9, "nose", 12, 22, 0.0)]
    file = tmp_path / "left.csv"
    pd.DataFrame(rows, columns=["frame", "keypoint", "x", "y", "confidence"]).to_csv(file, index=False)
    tidy = module("formats/tidy")
    assert tidy.recognises(file)
    view = tidy.read_view(file, COCO17)
    assert (view.name, view.first_frame, view.pixels.shape) == ("left", 7, (3, 1, 17, 2))
    np.testing.assert_allclose(view.pixels[0, 0, COCO17.index("left_hip")], [11, 21])
    np.testing.assert_allclose(view.confidence[0, 0, COCO17.index("left_hip")], 0.8)
    assert np.isfinite(view.pixels).all(-1).sum() == 2
    for text in ("", "frame,x\n1,2\n", "frame,keypoint,x,y,confidence\n", file.read_text().replace("nose", "tail")):
        file.write_text(text)
        with pytest.raises(InputError, match=r"left\.csv"):
            tidy.read_view(file, COCO17)


STUDIO = (
    '[{"name": "a", "K": [[900, 0, 320], [0, 900, 240], [0, 0, 1]], "distortion": [0, 0, 0, 0, 0],'
    ' "rotation": [0, 0, 0], "translation": [0, 0, 3000], "size": [640, 480]}]'
)


def test_the_example_of_a_camera_format_reads_what_it_says(tmp_path):
    file = tmp_path / "rig.json"
    file.write_text(STUDIO)
    studio = module("formats/studio_json")
    assert studio.recognises(file) == file
    (camera,) = read_all(studio.list_cameras(file))
    assert (camera.name, camera.t.tolist(), camera.image_size.tolist()) == ("a", [0, 0, 3], [640, 480])
    for text in ("", "{}", "[1]", "[]", STUDIO.replace("900", "-900")):
        file.write_text(text)
        with pytest.raises(InputError, match=r"rig\.json"):
            read_all(studio.list_cameras(file))
    for name in ("coco", "mmpose"):
        test_damage.FORMATS[name][1](file)
        assert studio.recognises(file) is None


def test_the_example_of_a_layout_gives_all_joints(tmp_path):
    (text,) = [code for code in blocks(ROOT / "docs/extending.md", "yaml") if "keypoints:" in code]
    (tmp_path / "crowdpose14.yaml").write_text(text)
    skeleton = skeletons.get("crowdpose14.yaml", tmp_path)
    mapping = skeletons.mapping(skeleton, skeletons.TRAINING_SKELETON)
    derived = {name for name, kind in zip(mapping.target.keypoints, mapping.kind, strict=True) if kind == "derived"}
    assert derived == {"pelvis", "spine", "thorax", "nose"}
    assert "absent" not in mapping.kind
    assert (len(skeleton), len(skeleton.bones)) == (14, 13)


def test_the_example_of_a_detector_is_one():
    shirts = module("detect/detectors/shirts")
    image = np.zeros((40, 60, 3), np.uint8)
    detect = shirts.make(None)
    assert len(detect(image).boxes) == 0
    image[10:21, 30:41, 0] = 200
    people = detect(image)
    assert people.boxes.tolist() == [[30, 10, 40, 20]]
    assert people.keypoints.shape == (1, len(skeletons.SKELETONS[shirts.SKELETON]), 3)
    assert people.keypoints[0, 0].tolist() == [35, 15, 1]
    assert shirts.COLOURS in ("rgb24", "bgr24")


def test_the_example_of_a_loss_is_one(examples):
    from train.batches import complete, make_batch, truth
    from trilift.train.losses import Predicted
    from trilift.train.settings import LossSettings

    batch = complete(make_batch())
    exact = truth(batch)
    moved = exact + torch.tensor([0.0, 0.0, 0.4])
    sideways = exact + torch.tensor([0.1, 0.0, 0.0])
    for predicted, expected in ((exact, 0.0), (moved, 0.0), (sideways, 0.05)):
        loss = examples.across_the_axis(Predicted(predicted, batch.rotations, predicted), batch, LossSettings())
        assert float(loss) == pytest.approx(expected, abs=1e-9)


def test_the_example_of_a_network_is_one(examples):
    settings = importlib.import_module("trilift.lifter.settings").NetworkSettings(width=8)
    assert examples.Gated(51, 48, settings)(torch.zeros(5, 51)).shape == (5, 48)


def test_the_example_of_a_figure_is_one():
    figure = module("plot/per_recording").error_per_recording(
        pd.DataFrame({"mpjpe_mm": [60.0, 50.0]}, index=["b", "a"]), "a test"
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_the_example_of_a_setting_is_the_real_one(examples):
    ours, theirs = examples.Settings.model_fields["viewer_seconds"], SETTINGS["plot"].model_fields["viewer_seconds"]
    assert (ours.default, ours.metadata) == (theirs.default, theirs.metadata)


def test_the_way_of_the_pixels_leads_through_functions_that_are_there():
    text = (ROOT / "docs/architecture.md").read_text("utf-8").partition("```text\nformats.")[2].partition("```")[0]
    names = re.findall(r"^([\w.]+)  ?", f"formats.{text}", re.MULTILINE)
    assert len(names) == 22
    for name in names:
        assert callable(pkgutil.resolve_name(f"trilift.{name}")), name


def test_what_files_hold_is_called_as_the_architecture_says():
    text = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Names of things")[2].partition("```")[0]
    assert {"pixels", "confidence", "poses"} <= set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    of_keypoints = {
        name
        for variables in SCHEMAS.values()
        for name, about in variables.items()
        if {"keypoint", "joint"} & set(about.dims) and "space" in about.dims
    }
    assert of_keypoints == {"pixels", "poses", "training_poses"}


def test_the_architecture_has_a_line_for_every_folder_and_the_floors_that_are_linted():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    package = ROOT / "src/trilift"
    folders = {file.parent.relative_to(package).as_posix() for file in package.rglob("*/*.py")}
    assert set(re.findall(r"^\| `([\w/]+)/` \|", text.partition("## Around it")[0], re.MULTILINE)) == folders
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    floors = text.partition("```text\ncli\n")[2].partition("```")[0].split("\n")[:-1]
    assert ["cli", *(floor.replace(":", "|") for floor in floors)] == contract["layers"]


def test_the_version_is_that_of_the_citation_and_of_the_newest_changes():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == trilift.__version__
    assert re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == trilift.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]

"""Every remedy that a message names is followed here, and works.

Those of the engines are followed in tests/workflow, those of exports in tests/exports.
"""

import argparse
import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from formats import camera_writers, test_damage
from formats.test_damage import coco_file, mmpose_file, videopose3d_file
from synthetic import (
    Project,
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift.errors import InputError
from trilift.formats import videopose3d
from trilift.formats.calibration import METRES
from trilift.formats.source import Source
from trilift.ingest.assemble import assemble
from trilift.ingest.assembled import AssembledCapture
from trilift.lifter import settings as network
from trilift.predict import command, sources
from trilift.project.layout import within_project
from trilift.project.params import parse, read_yaml
from trilift.skeletons import BODY25B, COCO17
from trilift.train import settings as train
from trilift.triangulate import settings as triangulate

ROOT = Path(__file__).parents[1]
FRAMES = 12
CAMERAS = ring_of_cameras(3)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(test_damage, "POINTS", test_damage.POINTS * np.float32([1, 1, 1e-3]))
    project = make_project(tmp_path)
    write_openpose_data_set(project.layout.raw, FRAMES)
    return project


def merged(section: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change settings; None removes one."""
    changed = dict(section)
    for name, value in changes.items():
        changed[name] = merged(changed.get(name, {}), value) if isinstance(value, dict) else value
    return {name: value for name, value in changed.items() if value is not None}


def read(project: Project, *changes: dict[str, Any]) -> list[AssembledCapture]:
    section = read_yaml(project.layout.dataset_file)["ingest"]
    for change in changes:
        section = merged(section, change)
    return list(assemble(project.layout, parse(Source, section, "test")))


def edit(file: Path, old: str, new: str, count: int = 1) -> None:
    text = file.read_text()
    assert re.search(old, text)
    file.write_text(re.sub(old, new, text, count=count))


def to_paste(text: str) -> dict[str, Any]:
    """What a message says to put under `ingest:`, read as it stands there."""
    found = re.search(r"(cameras: )?(exclude_cameras|names|views|max_length_difference): (\[.*?\]|\{.*?\})", text)
    assert found, text
    value = {found[2]: yaml.safe_load(found[3])}
    return {"cameras": value} if found[1] else value


# Reading a data set: what a message says to state in its file, or to do to its files


@dataclass(frozen=True)
class Case:
    """A fault, what the message says, and what it says to do: settings to state, or to mend in the files."""

    break_files: Callable[[Path], object]
    says: str
    state: dict[str, Any] | Callable[[str], dict[str, Any]] = field(default_factory=dict)
    mend: Callable[[Path], object] = lambda raw: None
    already: dict[str, Any] = field(default_factory=dict)


def toml(pattern: str, new: str, count: int = 1) -> Callable[[Path], None]:
    return lambda raw: edit(raw / "calibration.toml", pattern, new, count)


def frame(raw: Path, camera: int, number: int) -> Path:
    return raw / "pose" / f"cam{camera}_json" / f"cam{camera}.{number:04}.json"


def calibration(name: str, edit_file: Callable[[Path], object]) -> Callable[[Path], None]:
    """Write the calibration in another format, and break it."""

    def write(raw: Path) -> None:
        fmt, path = camera_writers.FORMATS[name], raw / "other"
        lenses = [
            replace(camera, distortion=camera.distortion * (np.arange(5) < fmt.distortion)) for camera in CAMERAS
        ]
        fmt.write(path, lenses)
        edit_file(path)

    return write


def stated(name: str) -> dict[str, Any]:
    return {"cameras": {"format": name, "path": "other"}}


def views_as(name: str, write: Callable[[Path], object], suffix: str) -> Callable[[Path], None]:
    def break_files(raw: Path) -> None:
        shutil.rmtree(raw / "pose")
        (raw / "pose").mkdir()
        for camera in CAMERAS:
            write(raw / "pose" / f"{camera.name}{suffix}")

    return break_files


def lengthen(raw: Path, camera: int, frames: int) -> None:
    for number in range(FRAMES, FRAMES + frames):
        shutil.copy(frame(raw, camera, 0), frame(raw, camera, number))


UNDISTORTED = {"detections": {"undistorted": True}}
SIZE = {"cameras": {"image_size": [1280, 720]}}
OPENCV_8 = (
    "distortion_coefficients: !!opencv-matrix\n   rows: 8\n   cols: 1\n   dt: d\n   data: [1, 2, 3, 4, 5, 6, 7, 8]"
)
CASES = {
    "a camera is damaged": Case(toml("matrix = .*", "matrix = [0]"), "exclude_cameras", to_paste),
    "a view is damaged": Case(lambda raw: frame(raw, 2, 3).write_text("{"), "exclude_cameras", to_paste),
    "a frame is damaged": Case(
        lambda raw: frame(raw, 2, 3).write_text("{}"),
        "remove its frame from all views",
        mend=lambda raw: [frame(raw, camera, 3).unlink() for camera in (1, 2, 3)],
    ),
    "a frame is there twice": Case(
        lambda raw: shutil.copy(frame(raw, 2, 3), raw / "pose/cam2_json/other.0003.json"),
        "remove one of them",
        mend=lambda raw: (raw / "pose/cam2_json/other.0003.json").unlink(),
    ),
    "a fisheye lens": Case(toml("fisheye = false", "fisheye = true"), "undistorted: true", UNDISTORTED),
    "a lens of 8 coefficients": Case(
        toml(r"distortions = \[", "distortions = [0, 0, 0, 0, "), "undistorted: true", UNDISTORTED
    ),
    "a fisheye lens of OpenCV": Case(
        calibration("opencv", lambda path: edit(path / "cam2.yml", "fisheye_model: 0", "fisheye_model: 1")),
        "undistorted: true",
        UNDISTORTED,
        already=stated("opencv"),
    ),
    "a lens of 8 coefficients of OpenCV": Case(
        calibration(
            "opencv", lambda path: edit(path / "cam2.yml", "distortion_coefficients(.*\n){5}", OPENCV_8 + "\n")
        ),
        "undistorted: true",
        UNDISTORTED,
        already=stated("opencv"),
    ),
    "a lens of 8 coefficients of EasyMocap": Case(
        calibration(
            "easymocap",
            lambda path: edit(
                path / "intri.yml",
                r"dist_cam2(.*\n){2}   cols: 5\n(.*\n)   data: \[",
                r"dist_cam2: !!opencv-matrix\n   rows: 1\n   cols: 8\n\2   data: [1, 2, 3, ",
            ),
        ),
        "undistorted: true",
        UNDISTORTED,
        already=stated("opencv"),
    ),
    "a lens of 8 coefficients of Panoptic": Case(
        calibration("panoptic", lambda path: edit(path, r'"distCoef": \[', '"distCoef": [1, 2, 3, ')),
        "undistorted: true",
        UNDISTORTED,
        already=stated("panoptic"),
    ),
    "a radial lens of MPI-INF-3DHP": Case(
        calibration("mpi_inf_3dhp", lambda path: edit(path, "radial      0", "radial      0.1")),
        "undistorted: true",
        UNDISTORTED,
        already=stated("mpi_inf_3dhp"),
    ),
    "a fisheye lens of MPI-INF-3DHP": Case(
        calibration("mpi_inf_3dhp", lambda path: edit(path, "radial      0", "polynomial 1 2 3")),
        "undistorted: true",
        UNDISTORTED,
        already=stated("mpi_inf_3dhp"),
    ),
    "no size": Case(toml("size = .*", ""), "image_size: [width, height]", SIZE),
    "a size that cannot be": Case(toml("size = .*", "size = [-1, 720]"), "image_size: [width, height]", SIZE),
    "no size of HumanEva": Case(
        calibration("humaneva", lambda path: None), "image_size: [width, height]", SIZE, already=stated("humaneva")
    ),
    "two names of cameras that cannot be told apart": Case(
        toml('name = "cam2"', 'name = "cam_1"'), "rename", mend=toml('name = "cam_1"', 'name = "cam2"')
    ),
    "two cameras of one name": Case(
        toml('name = "cam2"', 'name = "cam1"'),
        "rename one",
        mend=lambda raw: edit(raw / "calibration.toml", r'\[cam2\]\nname = "cam1"', '[cam2]\nname = "cam2"'),
    ),
    "a view without a camera": Case(
        lambda raw: shutil.copytree(raw / "pose/cam1_json", raw / "pose/00_01_json"),
        'views: {"00_01": <camera>}, or leave it out',
        lambda text: to_paste(text.partition("leave it out")[2]),
    ),
    "a view of another name": Case(
        lambda raw: (raw / "pose/cam1_json").rename(raw / "pose/00_01_json"),
        'views: {"00_01": <camera>}',
        {"views": {"00_01": "cam1"}},
    ),
    "two views of a camera": Case(
        lambda raw: (raw / "pose/cam2_json").rename(raw / "pose/CAM1_json"),
        "state the camera of each",
        {"views": {"CAM1": "cam2"}},
    ),
    "a camera without a view": Case(lambda raw: shutil.rmtree(raw / "pose/cam2_json"), "exclude_cameras", to_paste),
    "many cameras without a view": Case(
        lambda raw: write_pose2sim(raw / "calibration.toml", ring_of_cameras(9)), "cameras: names", to_paste
    ),
    "an unknown camera is excluded": Case(
        lambda raw: None,
        "but the cameras are cam1, cam2, cam3",
        {"exclude_cameras": ["cam2"]},
        already={"exclude_cameras": ["cam9"]},
    ),
    "an unknown camera is late": Case(
        lambda raw: None,
        "but the cameras are cam1, cam2, cam3",
        {"offsets": {"cam9": None, "cam2": 1}},
        already={"offsets": {"cam9": 1}},
    ),
    "an unknown camera is chosen": Case(
        lambda raw: None,
        "there are cam1, cam2, cam3",
        {"cameras": {"names": None}},
        already={"cameras": {"names": ["cam9"]}},
    ),
    "views of different length": Case(
        lambda raw: lengthen(raw, 2, 30), "max_length_difference", {"max_length_difference": 30}
    ),
    "another layout of OpenPose": Case(
        lambda raw: None,
        "State the layout",
        {"detections": {"skeleton": "body25b"}},
        already={"detections": {"skeleton": "coco17"}},
    ),
    "another layout of MMPose": Case(
        views_as("mmpose", mmpose_file, ".json"),
        "state the layout",
        {"detections": {"skeleton": "coco17"}},
        already={"detections": {"format": "mmpose", "skeleton": "halpe26"}},
    ),
    "another layout of COCO results": Case(
        views_as("coco", coco_file, ".json"),
        "state the layout",
        {"detections": {"skeleton": "coco17"}},
        already={"detections": {"format": "coco", "skeleton": "halpe26"}},
    ),
    "views without names and other cameras": Case(
        lambda raw: videopose3d_file(raw / "a.npz"),
        "list those of the views, in their order, under ingest: cameras: names: [...]",
        {"cameras": {"names": ["cam1", "cam3"]}},
        already={"detections": {"format": "videopose3d", "path": "a.npz", "skeleton": None}},
    ),
    "projected truth": Case(
        lambda raw: videopose3d_file(raw / "data_2d_gt.npz"),
        "State `ground_truth: true`",
        {"detections": {"ground_truth": True}},
        already={
            "detections": {"format": "videopose3d", "path": "data_2d_gt.npz", "skeleton": None},
            "cameras": {"names": ["cam1", "cam3"]},
        },
    ),
    "no calibration of a recording": Case(
        lambda raw: [
            (raw / "a").mkdir(),
            shutil.copytree(raw / "pose", raw / "b/pose"),
            shutil.copy(raw / "calibration.toml", raw / "a"),
        ],
        "a calibration whose path has no stars serves all",
        {"cameras": {"path": "calibration.toml"}},
        already={"detections": {"path": "*/pose"}, "cameras": {"path": "*/calibration.toml"}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_message_says_to_do_mends_a_data_set(project, name):
    case = CASES[name]
    case.break_files(project.layout.raw)
    with pytest.raises(InputError) as caught:
        read(project, case.already)
    text = str(caught.value)
    assert case.says in text
    case.mend(project.layout.raw)
    settings = case.state(text) if callable(case.state) else case.state
    (capture,) = read(project, case.already, settings)
    assert len(capture.cameras) >= 2


def test_what_is_left_out_already_stays_so(project):
    write_openpose_data_set(project.layout.raw / "four", FRAMES, views=4)
    paths = {"detections": {"path": "four/pose"}, "cameras": {"path": "four/calibration.toml"}}
    edit(project.layout.raw / "four/calibration.toml", "matrix = .*", "matrix = [0]")
    with pytest.raises(InputError) as caught:
        read(project, paths, {"exclude_cameras": ["cam3"]})
    assert to_paste(str(caught.value)) == {"exclude_cameras": ["cam3", "cam1"]}


# Settings that do not fit


DETECTIONS = {"format": "openpose", "path": "pose", "detector": "x", "skeleton": "body25b"}
SETTINGS = {
    "no layout": (
        Source,
        {"detections": DETECTIONS | {"skeleton": None}, "cameras": {"format": "human36m"}, "fps": 50.0},
        "`skeleton` is needed",
        {"detections": {"skeleton": "body25b"}},
    ),
    "a layout that the format fixes": (
        Source,
        {"detections": DETECTIONS | {"format": "mediapipe"}, "cameras": {"format": "human36m"}, "fps": 50.0},
        "leave `skeleton` out",
        {"detections": {"skeleton": None}},
    ),
    "a unit where there is none": (
        Source,
        {"detections": DETECTIONS, "cameras": {"format": "human36m", "unit": "mm"}, "fps": 50.0},
        "leave `unit` out",
        {"cameras": {"unit": None}},
    ),
    "a path that is built in": (
        Source,
        {"detections": DETECTIONS, "cameras": {"format": "toml"}, "fps": 50.0},
        "`path` is needed",
        {"cameras": {"path": "a.toml"}},
    ),
    "the dlt": (triangulate.Settings, {"method": "dlt"}, "set smoothing: null and repair_swaps: false", "paste"),
    "no loss": (
        train.Settings,
        {"losses": dict.fromkeys(train.GEOMETRIC, 0.0)},
        "give one of",
        {"losses": {train.GEOMETRIC[0]: 1.0}},
    ),
    "frames of a network that sees one": (
        network.NetworkSettings,
        {"kind": "residual", "frames": 27},
        "remove frames",
        {"frames": None},
    ),
    "blocks of a temporal network": (
        network.NetworkSettings,
        {"kind": "temporal", "frames": 27, "blocks": 2},
        "remove blocks",
        {"blocks": None},
    ),
    "frames of a temporal network": (
        network.NetworkSettings,
        {"kind": "temporal", "frames": 10},
        "set frames to one of these",
        {"frames": 27},
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_message_says_to_set_is_taken(name):
    model, settings, says, change = SETTINGS[name]
    with pytest.raises(InputError) as caught:
        parse(model, settings, "settings")
    text = str(caught.value)
    assert says in text
    if change == "paste":
        pairs = re.findall(r"(\w+): (null|false)", text)
        parse(model, settings | {key: yaml.safe_load(value) for key, value in pairs}, "settings")
    else:
        parse(model, merged(settings, change), "settings")


# What the check says


def problems(capture: AssembledCapture) -> list[str]:
    from trilift.ingest.examine import examine

    return [problem.text for problem in examine(capture).problems]


@pytest.mark.parametrize(
    ("name", "unit"),
    [("pose2sim", "mm"), ("pose2sim", "inch"), ("panoptic", "mm"), ("humaneva", "cm"), ("opencv", "foot")],
)
def test_the_unit_that_is_named_is_taken(project, name, unit):
    fmt, own = camera_writers.FORMATS[name], {"panoptic": "cm", "humaneva": "mm"}.get(name, "m")
    factor = METRES[own] / METRES[unit]  # what the file holds, as its format is read
    cameras = [replace(camera, t=camera.t * factor) for camera in CAMERAS]
    fmt.write(project.layout.raw / "other", [replace(c, distortion=np.zeros(5)) for c in cameras])
    settings = {"cameras": {"format": {"pose2sim": "toml"}.get(name, name), "path": "other"} | SIZE["cameras"]}
    (capture,) = read(project, settings)
    np.testing.assert_allclose(capture.cameras[0].t, cameras[0].t, rtol=1e-9)
    (mended,) = read(project, settings, {"cameras": {"unit": unit}})
    np.testing.assert_allclose(mended.cameras[0].t, CAMERAS[0].t, rtol=1e-9)


def test_a_layout_that_fits_better_can_be_stated_for_an_archive_too(project):
    joints = [BODY25B.index(name) for name in COCO17.keypoints]
    points = waving_person(40)
    views = [project_with_opencv(camera, points)[:, joints].astype(np.float32) for camera in CAMERAS]
    videopose3d._write(project.layout.raw / "a.npz", positions_2d={"S1": {"Walk": views}})
    settings = {"detections": {"format": "videopose3d", "path": "a.npz", "skeleton": None}}
    (capture,) = read(project, settings)
    assert capture.skeleton.name == "h36m17"
    assert any("coco17" in text and "skeleton" in text for text in problems(capture))
    (mended,) = read(project, settings, {"detections": {"skeleton": "coco17"}})
    assert mended.skeleton is COCO17
    assert not problems(mended)


def without_names(raw: Path) -> dict[str, Any]:
    points = waving_person(60)[:, [BODY25B.index(name) for name in COCO17.keypoints]]
    views = [project_with_opencv(camera, points).astype(np.float32) for camera in FOUR]
    videopose3d._write(raw / "a.npz", positions_2d={"S1": {"Walk": [views[which] for which in (1, 0, 2, 3)]}})
    return {"detections": {"format": "videopose3d", "path": "a.npz", "skeleton": "coco17"}}


def with_names(raw: Path) -> dict[str, Any]:
    write_openpose(
        raw / "four", [replace(FOUR[which], name=name) for name, which in ORDER.items()], waving_person(60)
    )
    return {"detections": {"path": "four"}, "views": {"right": "cam3"}}


FOUR = ring_of_cameras(4)
ORDER = {"cam1": 1, "cam2": 0, "right": 2, "cam4": 3}


@pytest.mark.parametrize("write", [without_names, with_names])
@pytest.mark.parametrize("excluded", [[], ["cam4"]])
def test_the_order_of_views_that_is_named_is_taken(project, write, excluded):
    write_pose2sim(project.layout.raw / "calibration.toml", FOUR)
    settings = write(project.layout.raw) | {"exclude_cameras": excluded}
    (capture,) = read(project, settings)
    (text,) = problems(capture)
    (stated,) = re.findall(r"`((?:names|views): .*?)`", text)
    value = yaml.safe_load(stated)
    (mended,) = read(project, settings, {"cameras": value} if "names" in value else value)
    assert not problems(mended)


# Clocks


def test_what_is_late_can_be_stated(project, caplog):
    for number in range(FRAMES):
        frame(project.layout.raw, 2, number).rename(frame(project.layout.raw, 2, number + 50))
    with pytest.raises(InputError):
        read(project)
    assert "(ingest: offsets)" in caplog.text
    caplog.clear()
    (capture,) = read(project, {"offsets": {"cam2": 50}})
    assert len(capture.recordings[0].pixels) == FRAMES
    assert "(ingest: offsets)" not in caplog.text


# Predicting


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.describe(parser)
    return parser.parse_args([str(argument) for argument in ("--lifter", "none", *arguments)])


def one_camera(path: Path) -> None:
    write_pose2sim(path, CAMERAS[:1])


PREDICT = {
    "several cameras": (
        lambda path: write_pose2sim(path, CAMERAS),
        [],
        "--camera-name: name one of cam1",
        ["--camera-name", "cam2"],
    ),
    "a fisheye lens": (
        lambda path: [one_camera(path), edit(path, "fisheye = false", "fisheye = true")],
        [],
        "predict --undistorted",
        ["--undistorted"],
    ),
    "no size": (
        lambda path: [one_camera(path), edit(path, "size = .*", "")],
        [],
        "predict --image-size",
        ["--image-size", "1280x720"],
    ),
    "a size that cannot be": (
        lambda path: [one_camera(path), edit(path, "size = .*", "size = [0, 720]")],
        [],
        "predict --image-size",
        ["--image-size", "1280x720"],
    ),
    "a damaged camera beside it": (
        lambda path: [write_pose2sim(path, CAMERAS), edit(path, "matrix = .*", "matrix = [0]")],
        ["--camera-name", "cam1"],
        "`matrix` must be",
        ["--camera-name", "cam2"],
    ),
}


@pytest.mark.parametrize("name", PREDICT)
def test_what_predict_says_to_give_opens_the_camera(tmp_path, name):
    write, already, says, more = PREDICT[name]
    path = tmp_path / "rig.toml"
    write(path)
    given = ["--detections", "x", "--camera", path, *already]
    with pytest.raises(InputError, match=re.escape(says)):
        sources.open_camera(options(*given), None)
    sources.open_camera(options(*given, *more), None)


def test_a_camera_without_pose_can_be_given_as_a_focal_length(tmp_path):
    write_pose2sim(tmp_path / "rig.toml", CAMERAS[:2])
    edit(tmp_path / "rig.toml", "rotation = .*", "")
    given = ["--detections", "x", "--camera-name", "cam1", "--image-size", "1280x720"]
    with pytest.raises(InputError, match="--camera PIXELS"):
        sources.open_camera(options(*given, "--camera", tmp_path / "rig.toml"), None)
    sources.open_camera(options(*given, "--camera", "1150"), None)


def test_a_focal_length_takes_the_image_size_that_is_asked_for():
    with pytest.raises(InputError, match="needs --image-size, as 1920x1080"):
        sources.open_camera(options("--detections", "x", "--camera", "1150"), None)
    sources.open_camera(options("--detections", "x", "--camera", "1150", "--image-size", "1920x1080"), None)


def test_the_recording_the_view_and_the_layout_that_predict_asks_for_are_taken(tmp_path):
    files = {"a.npz": {"S1": {"Walk": 2, "Sit": 2}}, "b.npz": {"S1": {"Walk": 2}}}
    for name, actions in files.items():
        views = {
            subject: {a: [np.ones((3, 17, 3), np.float32)] * n for a, n in of.items()}
            for subject, of in actions.items()
        }
        videopose3d.write_detections(tmp_path / name, views)
    given = ["--camera", "1150", "--detections", tmp_path / "a.npz"]
    with pytest.raises(InputError, match="--recording: name one of S1 Walk, S1 Sit"):
        sources.read_view(options(*given))
    given += ["--recording", "S1 Sit"]
    with pytest.raises(InputError, match="--view: name one of 1, 2"):
        sources.read_view(options(*given))
    assert sources.read_view(options(*given, "--view", "2")).skeleton.name == "h36m17"
    assert sources.read_view(options(*given, "--view", "2", "--skeleton", "coco17")).skeleton is COCO17
    with pytest.raises(InputError, match=r"--format bvh: unknown; known are .*videopose3d"):
        sources.read_view(options(*given, "--format", "bvh"))
    sources.read_view(options(*given, "--format", "videopose3d", "--view", "2"))


# What is named: rules, packages, pages


def test_the_rule_that_is_named_makes_the_file(tmp_path):
    rules = "\n".join(file.read_text("utf-8") for file in (ROOT / "workflow/rules").glob("*.smk"))
    for folder in (tmp_path, Path()):
        for file in (
            "data/captures/x.nc",
            "data/references/x.nc",
            "data/pseudo_labels/x.nc",
            "results/x/main/predictions.nc",
        ):
            target = within_project(folder / file)
            assert target == file
            assert target.replace("x.nc", "{dataset}.nc").replace("/x/main", "/{dataset}/{run}") in rules


def test_the_packages_that_are_to_be_installed_are_named_where_pip_looks():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    said = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    asked = re.findall(r"needs the packages? ([\w, ]+?); install .*?\n?.*?\[(\w+)\]", said)
    assert len(asked) == 2
    for packages, extra in asked:
        for package in re.split(", | and ", packages):
            assert any(requirement.startswith(package) for requirement in extras[extra])
    assert (ROOT / "constraints.txt").exists()


def test_the_pages_that_messages_name_are_there():
    said = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    pages = set(re.findall(r"docs/[\w/]+\.md", said))
    assert pages
    assert not [page for page in pages if not (ROOT / page).exists()]


def test_where_nobody_is_seen_there_is_nothing_to_predict(tmp_path):
    (tmp_path / "cam1.json").write_text("[]")
    stated = ("--detections", tmp_path / "cam1.json", "--camera", "1000", "--format", "coco", "--skeleton", "coco17")
    with pytest.raises(InputError, match="nobody is seen in any frame"):
        sources.read_view(options(*stated))

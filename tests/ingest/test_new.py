"""Starting a data set from a folder, and checking it."""

import contextlib
import io
import json
import logging
import tempfile
import unicodedata
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from filming import film
from formats.camera_writers import write_panoptic
from real_data import DATA, needs
from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_openpose_data_set,
    write_pose2sim,
)
from trilift import cli
from trilift.captures.reading import read, recordings
from trilift.formats import reading
from trilift.formats.names import plain
from trilift.formats.recognise import look_at
from trilift.formats.source import Source
from trilift.formats.videopose3d import write_detections
from trilift.ingest import check
from trilift.project.layout import Layout
from trilift.project.params import load_dataset, read_yaml
from trilift.skeletons import BODY25B, COCO17, OPENPOSE25, mapping


def run(*arguments):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            code = cli.main([str(argument) for argument in arguments])
    finally:
        root.handlers[:], root.level = handlers, level
    return code, printed.getvalue()


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    return make_project(tmp_path / "project")


def begin(project, folder, *options):
    return run("new", folder, "--project", project.layout.project, *options)


def test_a_folder_of_openpose_becomes_a_data_set_that_ingest_reads(project, tmp_path):
    folder = tmp_path / "My gait, 2nd"
    write_openpose_data_set(folder, 40)
    code, printed = begin(project, folder)
    assert code == 0, printed
    assert "the keypoints are those of body25b" in printed
    layout = project.layout.__class__("My_gait_2nd", project.layout.project)
    assert layout.raw.resolve() == folder.resolve()
    code, printed = run("ingest", layout.dataset, "--project", layout.project)
    assert code == 0, printed
    with read(layout.captures, "captures") as opened:
        assert opened["My_gait_2nd"]["pixels"].shape == (40, 3, 25, 2)


def test_nothing_that_is_there_is_overwritten(project, tmp_path):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 8)
    assert begin(project, folder)[0] == 0
    code, printed = begin(project, folder)
    assert code == 2
    assert "gait.yaml: there already" in printed
    (project.layout.project / "data" / "raw" / "other").mkdir()
    code, printed = begin(project, folder, "--name", "other")
    assert code == 2
    assert "there already, and not this folder" in printed


@pytest.mark.parametrize("name", ["../x", "a b", "", "-x"])
def test_a_name_that_is_no_file_name_is_refused(project, tmp_path, name):
    (tmp_path / "---").mkdir()
    code, printed = begin(project, tmp_path / "---", f"--name={name}")
    assert code == 2
    assert "a name has letters" in printed


def test_a_folder_without_detections_is_refused_with_what_is_missing(project, tmp_path):
    (tmp_path / "empty").mkdir()
    code, printed = begin(project, tmp_path / "empty")
    assert code == 2
    assert "no detections of a known format" in printed
    assert not (project.layout.project / "workflow" / "datasets" / "empty.yaml").exists()


def test_without_a_calibration_people_are_to_make_it(project, tmp_path):
    write_openpose(tmp_path / "bare" / "pose", ring_of_cameras(2), waving_person(3))
    code, printed = begin(project, tmp_path / "bare")
    assert code == 0, printed
    assert "1.7 m is a guess of how tall the person is" in printed
    assert "snakemake --cores all data/raw/bare/cameras_of_people.toml" in printed
    text = (project.layout.project / "workflow" / "datasets" / "bare.yaml").read_text()
    assert "stature_m: 1.7 # A GUESS: how tall the person is" in text
    stated = yaml.safe_load(text)["ingest"]
    assert stated["cameras"] == {"format": "people", "stature_m": 1.7}
    assert stated["detections"]["path"] == "recorded/pose"
    raw = project.layout.project / "data" / "raw" / "bare"
    assert not raw.is_symlink()
    assert (raw / "recorded").resolve() == tmp_path / "bare"


def test_with_a_stature_only_the_lenses_of_a_calibration_are_taken(project, tmp_path):
    write_openpose_data_set(tmp_path / "knocked", 4)
    code, printed = begin(project, tmp_path / "knocked", "--stature", "1.83")
    assert code == 0, printed
    assert "guess of how tall" not in printed
    text = (project.layout.project / "workflow" / "datasets" / "knocked.yaml").read_text()
    lenses = {"format": "toml", "path": "recorded/calibration.toml"}
    assert yaml.safe_load(text)["ingest"]["cameras"] == {"format": "people", "stature_m": 1.83, "intrinsics": lenses}
    code, printed = begin(project, tmp_path / "knocked", "--stature", "183", "--name", "tall")
    assert code == 2
    assert "stature_m: Input should be less than 3" in printed
    assert not (project.layout.project / "data" / "raw" / "tall").exists()


def test_outside_of_a_project_it_says_so(tmp_path):
    write_openpose_data_set(tmp_path / "gait", 4)
    code, printed = run("new", tmp_path / "gait", "--project", tmp_path)
    assert code == 2
    assert "params.yaml: not there" in printed


def test_several_recordings_are_told_by_a_star(tmp_path):
    cameras = ring_of_cameras(2)
    write_pose2sim(tmp_path / "calibration.toml", cameras)
    for name in ("jump", "walk"):
        write_openpose(tmp_path / name / "pose", cameras, waving_person(3))
    found = look_at(tmp_path)
    assert found.recordings == 2
    assert (found.detections.path, found.cameras.path) == ("*/pose", "calibration.toml")


def test_a_calibration_beside_each_recording_is_told_by_a_star(tmp_path):
    for name in ("jump", "walk"):
        write_openpose(tmp_path / name / "pose", ring_of_cameras(2), waving_person(3))
        write_pose2sim(tmp_path / name / "calibration.toml", ring_of_cameras(2))
    assert look_at(tmp_path).cameras.path == "*/calibration.toml"


def write_mmpose(path, skeleton, pixels):
    frames = [
        {"frame_id": n + 1, "instances": [{"keypoints": p.tolist(), "keypoint_scores": [0.9] * len(skeleton)}]}
        for n, p in enumerate(pixels)
    ]
    path.write_text(json.dumps({"meta_info": {}, "instance_info": frames}))


def test_mmpose_files_are_told_from_their_content(tmp_path):
    poses = mapping(BODY25B, COCO17).apply(waving_person(4))
    for camera in ring_of_cameras(2):
        write_mmpose(tmp_path / f"{camera.name}.json", COCO17, project_with_opencv(camera, poses))
    found = look_at(tmp_path)
    assert (found.detections.format, found.detections.path) == ("mmpose", ".")
    assert found.detections.skeleton == "coco17"


def test_one_archive_is_recognised(tmp_path):
    views = [np.zeros((3, 17, 3), np.float32)] * 2
    write_detections(tmp_path / "some.npz", {"S1": {"Walk": views}})
    assert look_at(tmp_path).detections.path == "some.npz"


@pytest.mark.parametrize("damage", [b"", b"{", b"\x00\xff" * 50, b'{"people": [{"pose_keypoints_2d": [1, 2]}]}'])
def test_damaged_files_end_in_a_message_or_are_passed_over(project, tmp_path, damage):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 4)
    for file in (folder / "pose" / "cam1_json").glob("*.json"):
        file.write_bytes(damage)
    (folder / "some.npz").write_bytes(damage)
    (folder / "some.h5").write_bytes(damage)
    code, printed = begin(project, folder)
    assert code in (0, 2)
    assert "Traceback" not in printed


def test_check_prints_errors_and_draws_every_camera(project, tmp_path):
    write_openpose_data_set(project.layout.raw, 20)
    code, printed = project.run("check")
    assert code == 0, printed
    assert "none of the usual mistakes is in it" in printed
    assert "left_knee - left_ankle" in printed
    made = sorted(file.name for file in project.layout.check.iterdir())
    assert made == ["tiny-cam1.png", "tiny-cam2.png", "tiny-cam3.png", "tiny.csv"]
    assert project.made() == []


def test_check_shows_its_progress(project, monkeypatch):
    write_openpose_data_set(project.layout.raw, 20)
    monkeypatch.setattr(check, "tqdm", lambda **options: tqdm(**options | {"disable": False}))
    _, printed = project.run("check")
    assert "check: 100%" in printed
    assert "4/4" in printed  # one comparison, three cameras drawn


def test_the_exit_codes_of_check_are_in_its_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    assert "Exit code: 0 where nothing looks wrong, 1 where something does" in capsys.readouterr().out
    assert run("check", "nowhere")[0] == 2


@pytest.mark.parametrize("name", ["turned", "scaled", "mirrored"])
def test_stating_what_was_done_to_images_as_the_message_says_mends_it(project, name):
    """The setting is put into the data set's file as it stands in the message."""
    write_openpose_data_set(project.layout.raw, 20)
    change = {
        "turned": lambda xy: np.stack([720 - xy[:, 1], xy[:, 0]], -1),
        "scaled": lambda xy: xy / 2,
        "mirrored": lambda xy: (xy * [-1, 1] + [1280, 0])[list(BODY25B.mirrored)],
    }[name]
    for file in (project.layout.raw / "pose").glob("*/*.json" if name == "scaled" else "cam3_json/*.json"):
        content = json.loads(file.read_text())
        keypoints = np.reshape(content["people"][0]["pose_keypoints_2d"], (-1, 3))
        keypoints[:, :2] = change(keypoints[:, :2])
        content["people"][0]["pose_keypoints_2d"] = keypoints.ravel().tolist()
        file.write_text(json.dumps(content))
    code, printed = project.run("ingest")
    assert code == 2
    assert f"{name} images" in printed
    setting = printed.split("state `")[1].split("`")[0]
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("ingest:\n", f"ingest:\n  {setting}\n"))
    code, printed = project.run("check")
    assert code == 0, printed
    assert project.run("ingest")[0] == 0


def test_check_and_ingest_name_the_skeleton_that_fits(project):
    write_openpose_data_set(project.layout.raw, 20)
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("body25b", OPENPOSE25.name))
    code, printed = project.run("check")
    assert code == 1
    assert "1 problems, see above" in printed
    assert "look like those of body25b, not of openpose25" in printed
    code, printed = project.run("ingest")
    assert code == 2
    assert "look like those of body25b, not of openpose25" in printed
    assert project.made() == []


def test_a_calibration_in_millimetres_is_named(project):
    write_openpose_data_set(project.layout.raw, 20)
    path = project.layout.raw / "calibration.toml"
    cameras = ring_of_cameras(3)
    write_pose2sim(path, [camera.__class__(**(vars(camera) | {"t": camera.t * 1000})) for camera in cameras])
    code, printed = project.run("ingest")
    assert code == 2
    assert "its lengths are probably millimetres" in printed
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("path: calibration.toml", "path: calibration.toml\n    unit: mm"))
    assert project.run("ingest")[0] == 0


def test_all_that_is_certainly_wrong_is_said_at_once(project):
    write_openpose_data_set(project.layout.raw, 20)
    write_pose2sim(
        project.layout.raw / "calibration.toml",
        [camera.__class__(**(vars(camera) | {"t": camera.t * 1000})) for camera in ring_of_cameras(3)],
    )
    file = project.layout.dataset_file
    file.write_text(file.read_text().replace("body25b", OPENPOSE25.name))
    code, printed = project.run("ingest")
    assert code == 2
    assert "look like those of body25b, not of openpose25" in printed
    assert "its lengths are probably millimetres" in printed


def test_a_mistake_can_be_passed_over(project):
    write_openpose_data_set(project.layout.raw, 20)
    write_pose2sim(
        project.layout.raw / "calibration.toml",
        [camera.__class__(**(vars(camera) | {"t": camera.t * 1000})) for camera in ring_of_cameras(3)],
    )
    project.layout.params.write_text("ingest: {check: warn}")
    code, printed = project.run("ingest")
    assert code == 0
    assert "probably millimetres" in printed
    project.layout.params.write_text("ingest: {check: skip}")
    code, printed = project.run("ingest")
    assert code == 0
    assert "probably millimetres" not in printed


@pytest.mark.parametrize(
    ("recording", "format", "views"),
    [
        pytest.param("pose2sim_demo", "openpose", 4, marks=needs("pose2sim_demo")),
        pytest.param("caliscope_4cam", "mediapipe", 4, marks=needs("caliscope_4cam")),
    ],
)
def test_the_real_recordings_are_recognised_and_nothing_looks_wrong(project, recording, format, views):
    code, printed = begin(project, DATA / recording)
    assert code == 0, printed
    layout = project.layout.__class__(recording, project.layout.project)
    assert read_yaml(layout.dataset_file)["ingest"]["detections"]["format"] == format
    code, printed = run("ingest", recording, "--project", layout.project)
    assert code == 0, printed
    assert "mistake" not in printed
    with read(layout.captures, "captures") as opened:
        assert opened[recording].sizes["view"] == views


AWKWARD = st.sampled_from(["yes", "2026", "2026-01-01", "00_00", "1e5", "007", "null", "~", "Übung 1", "a: b", "#1"])
letters = st.characters(exclude_categories=["C", "Z"], exclude_characters="/")
letters |= st.sampled_from(" :#*'\"[]{}&!|>%@`,?")
names = AWKWARD | st.text(letters, min_size=1, max_size=12).map(str.strip).filter(lambda name: name.strip(". "))


def without_dots(name):
    return name if not name.startswith(".") else f"x{name}"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    folder=names, recordings=st.lists(names, min_size=1, max_size=3), cameras=st.lists(names, min_size=3, max_size=3)
)
def test_names_come_back_as_they_were(folder, recordings, cameras):
    recordings = {unicodedata.normalize("NFC", without_dots(name)) for name in recordings}
    cameras = {plain(name): without_dots(name) for name in cameras if plain(name)}
    assume(len(cameras) == 3)
    *seen, _ = sorted(cameras.values())
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary) / "project")
        raw = Path(temporary) / "raw" / without_dots(folder)
        every = zip(ring_of_cameras(3), sorted(cameras.values()), strict=True)
        rig = [replace(camera, name=name) for camera, name in every]
        write_panoptic(Path(temporary) / "rig.json", rig)
        for recording in recordings:
            write_openpose(raw / "deeper" / recording, rig[:2], waving_person(2))
        (Path(temporary) / "rig.json").rename(raw / f"{recording}.json")
        code, printed = begin(project, raw, "--name", "data")
        assert code == 0, printed
        layout = project.layout.__class__("data", project.layout.project)
        source = load_dataset(layout.dataset_file, "ingest", Source)
        read = list(reading.read_detections(source, layout.raw, "data"))
        assert source.cameras.names == seen
        (used,) = reading.read_cameras(source, layout.raw).values()
    assert {recording.name for recording in read} == (recordings if len(recordings) > 1 else {"data"})
    assert [camera.name for camera in used] == seen
    assert sorted(view.name for view in read[0].views) == seen


def test_a_copy_is_of_all_that_the_folder_holds_and_leads_to(project, tmp_path):
    write_openpose_data_set(tmp_path / "disk", 4)
    folder = tmp_path / "gait"
    folder.mkdir()
    for part in (tmp_path / "disk").iterdir():
        (folder / part.name).symlink_to(part)
    code, printed = begin(project, folder, "--copy")
    assert code == 0, printed
    layout = Layout("gait", project.layout.project)
    assert f"copied {layout.raw}" in printed
    copied = {path.relative_to(layout.raw): path for path in layout.raw.rglob("*")}
    originals = {path.relative_to(tmp_path / "disk"): path for path in (tmp_path / "disk").rglob("*")}
    assert set(copied) == set(originals)
    assert not any(path.is_symlink() for path in (layout.raw, *copied.values()))
    assert all(path.is_dir() or path.read_bytes() == originals[name].read_bytes() for name, path in copied.items())


def test_a_copy_that_fails_leaves_nothing(project, tmp_path):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 4)
    (folder / "notes.txt").symlink_to(tmp_path / "gone")
    code, printed = begin(project, folder, "--copy")
    assert code == 2
    assert f"{folder / 'notes.txt'}: cannot be copied to" in printed
    layout = Layout("gait", project.layout.project)
    assert not layout.dataset_file.exists()
    assert list(layout.raw.parent.glob("*gait*")) == []


def test_a_link_is_no_copy(project, tmp_path):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 4)
    assert begin(project, folder)[0] == 0
    layout = Layout("gait", project.layout.project)
    layout.dataset_file.unlink()
    code, printed = begin(project, folder, "--copy")
    assert code == 2
    assert f"{layout.raw}: a link to this folder already" in printed


def test_a_project_is_not_copied_into_itself(project, tmp_path):
    write_openpose_data_set(tmp_path / "detections", 4)
    code, printed = begin(project, tmp_path, "--copy", "--name", "gait")
    assert code == 2
    assert f"{tmp_path}: holds the project" in printed
    assert not Layout("gait", project.layout.project).dataset_file.exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Übung 1", "Ubung_1"), ("Straße", "Strasse"), ("Ørsted-ærlig", "Orsted-aerlig"), ("naïve café", "naive_cafe")],
)
def test_letters_of_a_folders_name_are_kept(project, tmp_path, folder, name):
    for form in ("NFC", "NFD"):
        write_openpose_data_set(tmp_path / form / unicodedata.normalize(form, folder), 4)
        code, printed = begin(project, tmp_path / form / unicodedata.normalize(form, folder))
        assert code == 0, printed
        project.layout.dataset_file.with_name(f"{name}.yaml").unlink()
        (project.layout.project / "data" / "raw" / name).unlink()


def test_a_name_in_other_letters_is_asked_for(project, tmp_path):
    write_openpose_data_set(tmp_path / "歩行 1", 4)
    code, printed = begin(project, tmp_path / "歩行 1")
    assert code == 2
    assert "say how to write its name in letters from a to z (--name)" in printed
    assert begin(project, tmp_path / "歩行 1", "--name", "walking")[0] == 0


def test_what_was_guessed_or_chosen_is_said_on_the_screen(project, tmp_path):
    folder = tmp_path / "gait"
    write_openpose_data_set(folder, 4)
    write_pose2sim(folder / "old.toml", ring_of_cameras(3))
    (folder / "notes.txt").touch()
    code, printed = begin(project, folder)
    assert code == 0, printed
    assert "30 frames per second are a guess" in printed
    assert "not used: notes.txt, old.toml" in printed
    assert "taken is the calibration calibration.toml (toml), and not old.toml (toml)" in printed
    text = project.layout.dataset_file.with_name("gait.yaml").read_text()
    assert "fps: 30  # A GUESS" in text
    assert "# not taken: old.toml (toml)" in text


def test_several_recordings_are_ingested_as_they_were_found(project, tmp_path):
    write_openpose_data_set(tmp_path / "gait", 4)
    (tmp_path / "gait" / "pose").rename(tmp_path / "gait" / "walk")
    (tmp_path / "gait" / "T1").mkdir()
    (tmp_path / "gait" / "walk").rename(tmp_path / "gait" / "T1" / "pose")
    write_openpose(tmp_path / "gait" / "T2" / "pose", ring_of_cameras(3), waving_person(4))
    code, printed = begin(project, tmp_path / "gait")
    assert code == 0, printed
    code, printed = run("ingest", "gait", "--project", project.layout.project)
    assert code == 0, printed
    with read(project.layout.__class__("gait", project.layout.project).captures, "captures") as opened:
        assert [recording.name for recording in recordings(opened["gait"])] == ["T1", "T2"]


def test_truth_in_a_folder_is_written_as_such(project, tmp_path):
    (tmp_path / "h36m").mkdir()
    write_detections(
        tmp_path / "h36m" / "data_2d_h36m_gt.npz", {"S1": {"Walk": [np.zeros((3, 17, 3), np.float32)] * 2}}
    )
    write_pose2sim(tmp_path / "h36m" / "rig.toml", ring_of_cameras(2))
    code, printed = begin(project, tmp_path / "h36m")
    assert code == 0, printed
    file = project.layout.dataset_file.with_name("h36m.yaml")
    assert load_dataset(file, "ingest", Source).detections.ground_truth


def folder_of_videos(folder, rates=(30, 30), size=(64, 48), sizes_in_calibration=True):
    folder.mkdir()
    for number, rate in enumerate(rates, 1):
        film(folder / f"cam{number}.mp4", range(5), rate, size=size)
    write_pose2sim(folder / "calibration.toml", ring_of_cameras(len(rates)))
    if not sizes_in_calibration:
        text = (folder / "calibration.toml").read_text()
        (folder / "calibration.toml").write_text(
            "".join(line for line in text.splitlines(True) if "size" not in line)
        )
    return folder


def of_videos(project, folder, capsys):
    assert cli.main(["new", str(folder), "--project", str(project.layout.project)]) == 0
    layout = Layout(folder.name, project.layout.project)
    return layout, yaml.safe_load(layout.dataset_file.read_text())["ingest"], capsys.readouterr().err


def test_of_videos_nothing_is_a_guess(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    folder = folder_of_videos(tmp_path / "gait", (Fraction(30000, 1001),) * 2)
    layout, stated, said = of_videos(project, folder, capsys)
    assert stated["detections"] == {"format": "video", "path": "videos"}
    assert stated["cameras"] == {"format": "toml", "path": "videos/calibration.toml"}
    assert stated["fps"] == pytest.approx(29.97003, abs=1e-5)
    assert "GUESS" not in layout.dataset_file.read_text()
    assert "WARNING" not in said
    assert layout.videos.resolve() == folder
    assert not layout.raw.is_symlink()
    assert "snakemake --cores all data/raw/gait/detections_of_videos.nc" in said


def test_of_videos_of_several_rates_the_lowest_is_taken(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    _, stated, said = of_videos(project, folder_of_videos(tmp_path / "gait", (60, 25)), capsys)
    assert stated["fps"] == 25
    assert "the videos have 25, 60 frames per second; the lowest is taken" in said


def test_sizes_that_the_calibration_lacks_are_those_of_the_videos(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    folder = folder_of_videos(tmp_path / "gait", size=(128, 72), sizes_in_calibration=False)
    _, stated, _ = of_videos(project, folder, capsys)
    assert stated["cameras"]["image_size"] == [128, 72]


def test_videos_beside_detections_are_no_data_set(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    folder = folder_of_videos(tmp_path / "gait")
    write_openpose_data_set(folder, views=2)
    _, stated, said = of_videos(project, folder, capsys)
    assert stated["detections"]["format"] == "openpose"
    assert "not used: *.mp4 (2 files)" in said


def test_videos_that_lie_where_what_is_made_of_them_goes_are_moved_first(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    folder = folder_of_videos(project.layout.raw.parent / "gait")
    assert cli.main(["new", str(folder), "--project", str(project.layout.project)]) == 2
    assert f"move the videos, and all that belongs to them, into {folder / 'videos'}" in capsys.readouterr().err
    within = folder / "videos"
    within.mkdir()
    for file in [file for file in folder.iterdir() if file.is_file()]:
        file.rename(within / file.name)
    assert cli.main(["new", str(within), "--name", "gait", "--project", str(project.layout.project)]) == 0
    assert not within.is_symlink()


def test_a_text_that_is_named_as_a_video_is_not_taken_for_one(tmp_path, capsys):
    project = make_project(tmp_path / "project")
    folder = folder_of_videos(tmp_path / "gait")
    for number in (1, 2):
        (folder / f"cam{number}.mp4").write_text("no video")
    assert cli.main(["new", str(folder), "--project", str(project.layout.project)]) == 2
    assert "no detections of a known format in it" in capsys.readouterr().err

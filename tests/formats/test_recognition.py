"""What a folder holds: the code that reads a format also tells it, and of several one is taken with a word."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from formats import camera_writers, test_damage, test_deeplabcut
from synthetic import ring_of_cameras, waving_person, write_openpose, write_pose2sim
from trilift import skeletons
from trilift.errors import InputError
from trilift.formats import reading, registry, source
from trilift.formats.recognise import look_at, look_at_calibration, look_at_view
from trilift.skeletons import COCO17

VIEW_FILES = ("mmpose", "coco", "deeplabcut", "sleap")


def write_views(folder, name, views=2):
    """Write the same recording as several views."""
    file, write, _ = test_damage.FORMATS[name]
    for number in range(views):
        path = folder / f"{number}{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def readable(folder, skeleton=None):
    """Whether the readers take every recording that was recognised."""
    detections = look_at(folder, skeleton).detections
    read = list(read_detections(detections, folder))
    assert all(recording.views for recording in read)
    return detections.format, len(read)


def read_detections(detections, folder):
    anything = source.Calibration(format="human36m")
    return reading.read_detections(source.Source(detections=detections, cameras=anything, fps=30), folder, "data")


# One piece of code for both

REWRITTEN = {
    "pretty": lambda text: json.dumps(json.loads(text), indent="\t").encode(),
    "compact": lambda text: json.dumps(json.loads(text), separators=(",", ":")).encode(),
    "byte-order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "white space first": lambda text: b"\n\t " + text.encode(),
    "Windows line ends": lambda text: text.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("name", ["openpose", "mmpose", "coco"])
@pytest.mark.parametrize("how", REWRITTEN)
def test_json_is_recognised_however_it_is_written(name, how, tmp_path):
    write_views(tmp_path, name)
    for file in files_of(tmp_path):
        file.write_bytes(REWRITTEN[how](file.read_text()))
    assert readable(tmp_path, "coco17") == (name, 1)


@pytest.mark.parametrize("name", ["mediapipe", "deeplabcut"])
@pytest.mark.parametrize("how", ["byte-order mark", "Windows line ends"])
def test_csv_is_recognised_however_it_is_written(name, how, tmp_path):
    write_views(tmp_path, name, views=1 if name == "mediapipe" else 2)
    for file in files_of(tmp_path):
        file.write_bytes(REWRITTEN[how](file.read_text()))
    assert readable(tmp_path) == (name, 1)


@pytest.mark.parametrize("name", ["mediapipe", "deeplabcut"])
@pytest.mark.parametrize(("separator", "decimal"), [(";", "."), (";", ","), ("\t", ".")])
def test_csv_of_other_countries_gives_the_same_numbers(name, separator, decimal, tmp_path):
    write_views(tmp_path / "usual", name, views=1 if name == "mediapipe" else 2)
    write_views(tmp_path / "other", name, views=1 if name == "mediapipe" else 2)
    for file in files_of(tmp_path / "other"):
        text = file.read_text().replace(",", separator)
        file.write_text(text.replace(".", decimal))
    usual, other = (
        next(iter(read_detections(look_at(tmp_path / folder).detections, tmp_path / folder)))
        for folder in ("usual", "other")
    )
    for one, same in zip(usual.views, other.views, strict=True):
        np.testing.assert_array_equal(one.pixels, same.pixels)


def test_columns_of_caliscope_may_come_in_another_order(tmp_path):
    test_damage.mediapipe_file(tmp_path / "xy.csv")
    rows = pd.read_csv(tmp_path / "xy.csv")
    rows[rows.columns[::-1]].to_csv(tmp_path / "xy.csv", index=False)
    assert readable(tmp_path) == ("mediapipe", 1)


@pytest.mark.parametrize("name", test_damage.FORMATS)
def test_endings_may_be_in_capitals(name, tmp_path):
    write_views(tmp_path, name)
    for file in files_of(tmp_path):
        file.rename(file.with_name(file.name.upper()))
    of_views = isinstance(registry.DETECTIONS[name], registry.ViewFormat)
    assert readable(tmp_path, "coco17" if of_views else None) == (name, 1 if of_views else 2)


@pytest.mark.parametrize("name", camera_writers.FORMATS)
def test_endings_of_calibrations_may_be_in_capitals(name, tmp_path):
    ending = {"panoptic": ".json", "mpi_inf_3dhp": ".calibration", "qualisys": ".qca.txt"}.get(name, ".toml")
    path = tmp_path / "rig" if name in ("easymocap", "opencap", "opencv", "humaneva") else tmp_path / f"rig{ending}"
    camera_writers.FORMATS[name].write(path, ring_of_cameras(2))
    for file in files_of(tmp_path):
        if file.stem not in ("intri", "extri"):  # names that EasyMocap fixes
            file.rename(file.with_suffix(file.suffix.upper()))
    folder, calibration = look_at_calibration(tmp_path if path.is_file() or path.suffix else path)
    calibration = calibration.model_copy(update={"image_size": [1280, 720]})
    entries = reading.list_cameras(calibration, folder)["*"]
    assert [reading.read_camera(entry, calibration, undistorted=False).name for entry in entries] == ["cam1", "cam2"]


def test_sleaps_other_ending_is_read(tmp_path):
    write_views(tmp_path, "sleap")
    for file in files_of(tmp_path):
        file.rename(file.with_suffix(".hdf5"))
    assert readable(tmp_path) == ("sleap", 1)


def test_what_identifies_a_file_may_come_late(tmp_path):
    for camera in "ab":
        frames = [{"frame_id": number, "instances": []} for number in range(1, 30_000)]
        person = {"keypoints": [[1.0, 2.0]] * 17, "keypoint_scores": [0.5] * 17}
        about = {"sigmas": ["x" * 80] * 5000}
        content = {"meta_info": about, "instance_info": [*frames, {"frame_id": 30_000, "instances": [person]}]}
        (tmp_path / f"{camera}.json").write_text(json.dumps(content, indent=1))
    assert look_at(tmp_path, "coco17").detections.format == "mmpose"


def test_an_entry_longer_than_the_beginning_is_recognised(tmp_path):
    for camera in "ab":
        entry = {"image_id": 1, "keypoints": [1.0, 2.0, 0.5] * 17, "segmentation": [0] * 300_000}
        (tmp_path / f"{camera}.json").write_text(json.dumps([entry] * 2))
    assert look_at(tmp_path).detections.format == "coco"


def test_frames_without_anybody_come_first(tmp_path):
    write_openpose(tmp_path / "pose", ring_of_cameras(2), waving_person(3))
    for view in (tmp_path / "pose").iterdir():
        (view / "a.0000007.json").write_text('{"people": []}')
        (view / "a.0000008.json").write_text('{"people": [{}]}')
    assert look_at(tmp_path).detections.format == "openpose"
    assert look_at_view(tmp_path / "pose" / "cam1_json") == "openpose"


@pytest.mark.parametrize("content", ["", "[]", "{}", "[[[[[[[", '{"a": ' * 2000, "null", "\x00"])
def test_a_file_that_is_something_else_may_come_first(content, tmp_path):
    write_views(tmp_path / "coco", "coco")
    (tmp_path / "coco" / "a.json").write_text(content)
    (tmp_path / "coco" / "0.json").write_text(content)
    found = look_at(tmp_path)
    assert found.detections.format == "coco"
    assert any("coco/0.json, coco/a.json: among the views" in doubt for doubt in found.doubts)
    write_openpose(tmp_path / "openpose", ring_of_cameras(2), waving_person(3))
    (tmp_path / "openpose" / "cam1_json" / "0009.json").write_text(content)
    assert look_at_view(tmp_path / "openpose" / "cam1_json") == "openpose"


def test_hidden_files_are_no_views(tmp_path):
    write_views(tmp_path, "coco")
    (tmp_path / "._0cam.json").write_bytes(b"\0\5\26\7")  # as macOS leaves them on other systems' discs
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert readable(tmp_path) == ("coco", 1)
    assert look_at(tmp_path).unused == []


def test_files_of_mpi_inf_3dhp_are_told_by_content(tmp_path):
    test_damage.mpi_inf_3dhp_file(tmp_path / "S1_Seq1.mat")
    import scipy.io

    content = scipy.io.loadmat(tmp_path / "S1_Seq1.mat")
    content = {name: value for name, value in content.items() if name.startswith("annot")}
    scipy.io.savemat(tmp_path / "packed.mat", content, do_compression=True)
    (tmp_path / "others").mkdir()
    scipy.io.savemat(tmp_path / "others" / "other.mat", {"a": np.zeros(3)})
    found = look_at(tmp_path)
    assert found.detections.format == "mpi_inf_3dhp"
    assert found.recordings == 2
    assert found.detections.ground_truth
    assert found.unused == ["others/other.mat"]


def test_projected_truth_is_stated(tmp_path):
    test_damage.videopose3d_file(tmp_path / "data_2d_h36m_gt.npz")
    assert look_at(tmp_path).detections.ground_truth


@pytest.mark.parametrize("name", ["dlc.h5", "labels.slp.h5"])
def test_other_hdf5_is_no_sleap(name, tmp_path):
    for camera in "ab":
        with h5py.File(tmp_path / f"{camera}{name}", "w") as file:
            file["tracks"] = np.zeros((1, 2, 3, 4))
    assert look_at(tmp_path).detections is None


# Several found


def openpose(folder, *places, frames=2):
    for place in places:
        write_openpose(folder / place, ring_of_cameras(2), waving_person(frames))


def test_of_stages_of_processing_the_last_is_taken(tmp_path):
    openpose(tmp_path, *(f"session/{trial}/{stage}" for trial in ("T1", "T2") for stage in ("pose", "pose-sync")))
    (tmp_path / "session" / "calibration").mkdir()
    write_pose2sim(tmp_path / "session" / "calibration" / "Calib.toml", ring_of_cameras(2))
    found = look_at(tmp_path)
    assert found.detections.path == "session/*/pose-sync"
    assert found.cameras.path == "session/calibration/Calib.toml"
    names = [recording.name for recording in read_detections(found.detections, tmp_path)]
    assert names == ["T1", "T2"]
    assert [place.path for place in found.other_detections] == ["session/*/pose"]
    assert any("session/*/pose (openpose)" in doubt for doubt in found.doubts)


def test_of_a_camera_that_was_processed_further_the_last_is_taken_and_the_other_named(tmp_path):
    people = np.random.default_rng(0).uniform(0, 500, (3, 1, 17, 3))
    for name in ("cam1DLC", "cam1DLC_filtered", "cam2DLC"):
        (tmp_path / "pose").mkdir(exist_ok=True)
        test_deeplabcut.write(tmp_path / "pose" / f"{name}.csv", people)
    write_pose2sim(tmp_path / "Calib.toml", ring_of_cameras(2))
    found = look_at(tmp_path)
    (recording,) = registry.DETECTIONS["deeplabcut"].recordings(tmp_path, found.detections.path).values()
    assert [view.name for view in recording] == ["cam1DLC_filtered", "cam2DLC"]
    assert any("not taken is pose/cam1DLC.csv" in doubt for doubt in found.doubts)


def test_the_stage_that_most_recordings_have_is_taken(tmp_path):
    openpose(tmp_path, "T1/pose", "T1/pose_filtered", "T2/pose", "T3/pose")
    found = look_at(tmp_path)
    assert (found.detections.path, found.recordings) == ("*/pose", 3)
    assert [place.path for place in found.other_detections] == ["T1/pose_filtered"]


def test_conditions_of_several_people_are_all_recordings(tmp_path):
    openpose(tmp_path, *(f"{person}/{action}" for person in ("Ann", "Bob") for action in ("run", "walk")))
    found = look_at(tmp_path)
    assert (found.detections.path, found.recordings) == ("*/*", 4)
    assert found.other_detections == []


@pytest.mark.parametrize("stray", ["calibration", "T3/pose"])
def test_a_path_with_stars_stands_for_recordings_only(stray, tmp_path):
    openpose(tmp_path, "T1/pose", "T2/pose")
    (tmp_path / stray).mkdir(parents=True)
    found = look_at(tmp_path)
    assert found.recordings == 2
    assert len(list(read_detections(found.detections, tmp_path))) == 2


def test_recordings_at_another_depth_are_mentioned(tmp_path):
    openpose(tmp_path, "A/pose", "B/C/pose", "B/D/pose")
    found = look_at(tmp_path)
    assert (found.detections.path, found.recordings) == ("B/*/pose", 2)
    assert [place.path for place in found.other_detections] == ["A/pose"]


def test_a_calibration_beside_each_recording_is_taken_for_it(tmp_path):
    openpose(tmp_path, "T1/pose", "T2/pose")
    for trial in ("T1", "T2"):
        write_pose2sim(tmp_path / trial / "Calib.toml", ring_of_cameras(2))
    write_pose2sim(tmp_path / "old.toml", ring_of_cameras(2))
    found = look_at(tmp_path)
    assert found.cameras.path == "*/Calib.toml"
    assert [place.path for place in found.other_cameras] == ["old.toml"]


@pytest.mark.parametrize("recordings", [1, 2])
def test_of_two_calibrations_one_is_taken_and_both_are_named(recordings, tmp_path):
    openpose(tmp_path, *(f"T{number}/pose" for number in range(recordings)))
    (tmp_path / "calibration").mkdir()
    for name in ("a.toml", "b.toml"):
        write_pose2sim(tmp_path / "calibration" / name, ring_of_cameras(2))
    found = look_at(tmp_path)
    assert found.cameras.path == "calibration/a.toml"
    assert any("calibration/a.toml" in doubt and "calibration/b.toml" in doubt for doubt in found.doubts)
    with pytest.raises(InputError, match=r"several calibrations; name one of a.toml \(toml\), b.toml \(toml\)"):
        look_at_calibration(tmp_path / "calibration")


def test_the_calibration_with_the_views_cameras_is_taken(tmp_path):
    openpose(tmp_path, "pose")
    write_pose2sim(tmp_path / "a.toml", [replace(camera, name=f"x{camera.name}") for camera in ring_of_cameras(2)])
    write_pose2sim(tmp_path / "b.toml", ring_of_cameras(2))
    assert look_at(tmp_path).cameras.path == "b.toml"


def test_a_dome_of_many_cameras_is_cut_to_those_with_views(tmp_path):
    dome = [
        replace(camera, name=f"{panel:02d}_{number:02d}")
        for panel in range(20)
        for number, camera in enumerate(ring_of_cameras(26))
    ]
    views = [replace(camera, name=name) for camera, name in zip(dome, ("00_00", "00_07", "03_12"), strict=False)]
    write_openpose(tmp_path / "pose", views, waving_person(2))
    camera_writers.write_panoptic(tmp_path / "calibration_171204.json", dome)
    found = look_at(tmp_path)
    assert found.cameras.names == ["00_00", "00_07", "03_12"]
    assert any("no view for the cameras 00_01, " in doubt and "507 more" in doubt for doubt in found.doubts)
    assert max(map(len, [*found.doubts, *found.described])) < 400


def test_views_without_a_camera_are_named(tmp_path):
    openpose(tmp_path, "pose")
    write_pose2sim(tmp_path / "a.toml", [replace(camera, name=f"x{camera.name}") for camera in ring_of_cameras(2)])
    found = look_at(tmp_path)
    assert any("no camera for the views cam1, cam2 (there are xcam1, xcam2)" in doubt for doubt in found.doubts)


def test_a_calibration_after_many_views_is_found(tmp_path):
    write_views(tmp_path, "coco", views=120)
    camera_writers.write_panoptic(tmp_path / "zz_calibration.json", ring_of_cameras(2))
    assert look_at(tmp_path).cameras.path == "zz_calibration.json"


def test_a_calibration_among_the_views_is_none_of_them(tmp_path):
    write_views(tmp_path, "coco")
    camera_writers.write_panoptic(tmp_path / "rig.json", ring_of_cameras(2))
    found = look_at(tmp_path)
    assert found.cameras.path == "rig.json"
    assert readable(tmp_path) == ("coco", 1)


def test_what_is_among_the_views_and_no_view_is_named(tmp_path):
    write_views(tmp_path, "coco")
    (tmp_path / "notes.json").write_text("{}")
    assert any("notes.json" in doubt for doubt in look_at(tmp_path).doubts)


def test_files_that_are_not_used_are_listed_by_kind(tmp_path):
    openpose(tmp_path, "pose")
    write_pose2sim(tmp_path / "Calib.toml", ring_of_cameras(2))
    (tmp_path / "videos").mkdir()
    for number in range(3):
        (tmp_path / "videos" / f"{number}.mp4").touch()
    (tmp_path / "pose" / "cam1_json" / "notes.txt").touch()
    assert look_at(tmp_path).unused == ["pose/cam1_json/notes.txt", "videos/*.mp4 (3 files)"]


# Links


def test_folders_behind_links_are_seen_once(tmp_path):
    openpose(tmp_path / "elsewhere", "walk/pose")
    openpose(tmp_path / "data", "jump/pose")
    data = tmp_path / "data"
    (data / "walk").symlink_to(tmp_path / "elsewhere" / "walk")
    (data / "a_second_time").symlink_to(data / "jump")
    (data / "jump" / "back").symlink_to(data)
    (data / "itself").symlink_to(data / "itself")
    found = look_at(data)
    assert found.recordings == 2
    names = {recording.name for recording in read_detections(found.detections, data)}
    assert len(names) == 2


def test_pipes_and_broken_links_are_passed_over(tmp_path):
    import os

    write_views(tmp_path, "coco")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    assert readable(tmp_path) == ("coco", 1)


# Paths with stars


@pytest.mark.parametrize("name", ["a*b", "[x]", "what?", "a[*]b", "**"])
def test_signs_of_patterns_in_names_are_letters(name, tmp_path):
    openpose(tmp_path, f"{name}/pose", "aab/pose", "x/pose")
    write_pose2sim(tmp_path / name / "Calib.toml", ring_of_cameras(2))
    found = look_at(tmp_path)
    read = {recording.name for recording in read_detections(found.detections, tmp_path)}
    assert read == {name, "aab", "x"}
    assert [camera.name for camera in reading.list_cameras(found.cameras, tmp_path)["*"]] == ["cam1", "cam2"]
    found = look_at(tmp_path / name)
    assert (found.detections.path, found.cameras.path) == ("pose", "Calib.toml")


def test_two_recordings_of_one_name_are_refused(tmp_path):
    openpose(tmp_path, "a-b/c", "a/b-c")
    with pytest.raises(InputError, match=r"would be called a-b-c, as .*; rename a folder"):
        look_at(tmp_path)


def test_skeletons_of_a_camera_that_sees_nobody(tmp_path):
    """The first view tells nothing of the layout; the others do."""
    write_views(tmp_path, "coco", views=3)
    (tmp_path / "0cam.json").write_text("[]")
    assert look_at(tmp_path).detections.format == "coco"
    assert len(skeletons.get(look_at(tmp_path).detections.skeleton)) == len(COCO17)

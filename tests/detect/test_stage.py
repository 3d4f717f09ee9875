"""The stage detect, with a detector that reads what `filming` writes into frames."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from filming import DATA_SET, film, with_index_first
from synthetic import make_project, ring_of_cameras, write_pose2sim
from trilift.captures import reading
from trilift.detect import looking
from trilift.detect.running import Worker
from trilift.errors import InputError
from trilift.formats import detected

PARAMS = "{detect: {}, ingest: {check: skip}, triangulate: {}}"


@pytest.fixture(autouse=True)
def reader(monkeypatch, tmp_path):
    """Run the reader of stripes, without an environment of its own, in place of MediaPipe."""

    def worker(python, name, options):
        made = Worker(Path(sys.executable), name, options)
        made._command = [sys.executable, str(Path(__file__).parent / "reader_of_stripes.py")]
        return made

    monkeypatch.setattr(looking, "python_for", lambda *_: None)
    monkeypatch.setattr(looking, "Worker", worker)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def project(tmp_path):
    project = make_project(tmp_path / "project", DATA_SET, PARAMS)
    videos = project.layout.videos
    videos.mkdir()
    write_pose2sim(videos / "calibration.toml", ring_of_cameras(2))
    film(videos / "cam1.mp4", range(1, 21))
    film(videos / "cam2.mp4", range(101, 121))
    return project


def detect(project, *options):
    code, printed = project.run("detect", "--device", "cpu", *options)
    assert code == 0, printed
    return printed


def views(project):
    (recording,) = detected.read_detections(project.layout.detections, "tiny")
    return {view.name: view for view in recording.views}


def test_everybody_in_every_frame_is_found(project):
    detect(project)
    found = views(project)
    assert found.keys() == {"cam1", "cam2"}
    for name, first in (("cam1", 1), ("cam2", 101)):
        view = found[name]
        assert view.pixels.shape == (20, 3, 33, 2)
        for frame in range(20):
            people = (first + frame) % 4
            expected = [[first + frame, person] for person in range(people)]
            assert view.pixels[frame, :people, 0].tolist() == expected
            assert np.isnan(view.pixels[frame, people:]).all()
            np.testing.assert_allclose(view.confidence[frame, :people, 5], [0.9, 0.7, 0.5][:people])
            assert not view.confidence[frame, people:].any()
    with h5py.File(project.layout.detections) as file:
        assert [file[group].attrs["view"] for group in file] == ["cam1", "cam2"]
        assert file["000000/box"][0].tolist() == [0, 0, 10, 20]
        assert file["000000/score"][0] == pytest.approx(0.9)
        assert file["000000"].attrs["image_size"].tolist() == [64, 48]
        assert file["000000/pixels"].dims[1].label or file["000000/keypoint"][0] == b"nose"


def test_the_record_names_videos_networks_and_settings(project):
    detect(project)
    record = json.loads(project.layout.provenance("detect").read_text())
    assert set(record["inputs"]) == {f"data/raw/tiny/videos/cam{number}.mp4" for number in (1, 2)}
    assert list(record["outputs"]) == ["data/raw/tiny/detections_of_videos.nc"]
    assert list(record["weights"]) == ["stripes.bin"]
    assert record["settings"]["params.yaml"]["detect"]["detector"] == "mediapipe"
    assert not list(project.layout.part("cam1").parent.iterdir())


def test_ingest_reads_it_as_any_other_detections(project):
    detect(project)
    code, printed = project.run("ingest")
    assert code == 0, printed
    with reading.read(project.layout.captures, "captures") as opened:
        assert opened["tiny"].sizes["frame"] == 20
        assert opened["tiny"].attrs["detections_from"] == "MediaPipe 0.10.21"
        assert opened["tiny"].attrs["skeleton"] == "mediapipe33"


def test_a_calibration_of_other_images_is_warned_of(project):
    detect(project)
    cameras = [replace(camera, image_size=np.array([64, 48])) for camera in ring_of_cameras(2)]
    write_pose2sim(project.layout.videos / "calibration.toml", cameras)
    code, printed = project.run("ingest")
    assert code == 0, printed
    assert "images of" not in printed
    cameras[1] = replace(cameras[1], image_size=np.array([72, 48]))
    write_pose2sim(project.layout.videos / "calibration.toml", cameras)
    code, printed = project.run("ingest")
    assert code == 0, printed
    assert "the images of cam2 are 64 x 48 pixels, but its calibration is of 72 x 48" in printed
    assert "the images of cam1" not in printed


def test_each_video_by_itself_gives_the_same_file(project):
    detect(project)
    together = project.layout.detections.read_bytes()
    project.layout.detections.unlink()
    for name in ("cam2", "cam1"):
        assert "somebody is seen in 15 of 20 frames" in detect(project, "--video", name)
    assert not project.layout.detections.exists()
    printed = detect(project)
    assert printed.count("found before, in ") == 2
    assert project.layout.detections.read_bytes() == together


def test_what_was_found_before_is_taken_and_what_changed_is_looked_at_again(project):
    detect(project)
    film(project.layout.videos / "cam3.mp4", range(201, 221))
    film(project.layout.videos / "cam2.mp4", range(51, 71))
    printed = detect(project)
    assert "cam1: found before" in printed
    assert "cam2: somebody is seen" in printed
    assert "cam3: somebody is seen" in printed
    assert views(project)["cam2"].pixels[0, 0, 0, 0] == 51
    project.layout.params.write_text(PARAMS.replace("detect: {}", "detect: {size: lightweight}"))
    assert "found before" not in detect(project)


def test_a_part_of_other_settings_is_not_taken(project):
    detect(project, "--video", "cam1")
    stale = project.layout.part("cam1")
    project.layout.dataset_file.write_text(DATA_SET.replace("fps: 30", "fps: 15"))
    assert stale.exists()
    assert "found before" not in detect(project)
    assert len(views(project)["cam1"].pixels) == 10


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b""])
def test_a_damaged_part_is_made_again(project, damage):
    detect(project)
    intact = project.layout.detections.read_bytes()
    project.layout.detections.unlink()
    detect(project, "--video", "cam1")
    part = project.layout.part("cam1")
    part.write_bytes(damage(part.read_bytes()))
    detect(project)
    assert project.layout.detections.read_bytes() == intact


def test_recordings_and_views_are_named_by_the_path(project):
    for recording in ("walk", "run"):
        (project.layout.videos / recording).mkdir()
        for view in ("cam1", "cam2"):
            film(project.layout.videos / recording / f"{view}.mp4", range(5))
    project.layout.dataset_file.write_text(DATA_SET.replace("path: videos\n", 'path: "videos/*"\n'))
    detect(project)
    found = list(detected.read_detections(project.layout.detections, "tiny"))
    assert [(recording.name, [view.name for view in recording.views]) for recording in found] == [
        ("run", ["cam1", "cam2"]), ("walk", ["cam1", "cam2"]),
    ]  # fmt: skip


def test_an_excluded_camera_is_not_looked_at(project):
    film(project.layout.videos / "cam3.mp4", [1])
    (project.layout.videos / "cam3.mp4").write_text("no video")
    code, printed = project.run("detect", "--device", "cpu")
    assert code == 2
    assert "cam3.mp4: no video that can be read" in printed
    assert not project.layout.detections.exists()
    project.layout.dataset_file.write_text(DATA_SET.replace("  fps:", "  exclude_cameras: [cam3]\n  fps:"))
    detect(project)
    assert views(project).keys() == {"cam1", "cam2"}


def test_a_video_that_is_cut_off_is_taken_as_far_as_it_goes_with_a_warning(project):
    whole = film(project.layout.project / "whole.mp4", [number % 70 for number in range(300)])
    cut = with_index_first(whole, project.layout.videos / "cam1.mp4")
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) * 3 // 4])
    printed = detect(project)
    assert "cam1.mp4: it is cut off: its last" in printed
    view = views(project)["cam1"]
    assert len(view.pixels) == 300
    assert np.isnan(view.pixels[-30:]).all()


def test_views_of_other_rates_fit_together(project):
    film(project.layout.videos / "cam2.mp4", range(101, 141), rate=60)
    detect(project)
    found = views(project)
    assert len(found["cam1"].pixels) == len(found["cam2"].pixels) == 20
    assert found["cam1"].pixels[4, 0, 0, 0] == 5
    assert found["cam2"].pixels[4, 0, 0, 0] == 109  # the ninth of twice as many


def test_a_detector_that_fails_says_why_and_leaves_nothing_half_written(project):
    film(project.layout.videos / "cam2.mp4", [1, 2, 77, 3])
    code, printed = project.run("detect", "--device", "cpu")
    assert code == 2
    assert "mediapipe: ValueError: 77 is too much" in printed
    assert not project.layout.detections.exists()
    assert [file.name for file in project.layout.part("cam2").parent.iterdir()] == ["cam1.nc"]


def test_a_data_set_without_videos_is_refused(project):
    text = DATA_SET.replace("format: video", "format: coco\n    skeleton: coco17\n    detector: x")
    project.layout.dataset_file.write_text(text)
    code, printed = project.run("detect", "--device", "cpu")
    assert (code, "not to be made of videos" in printed) == (2, True)


def test_videos_and_names_that_are_not_there_are_named(project):
    code, printed = project.run("detect", "--device", "cpu", "--video", "cam9")
    assert (code, "--video cam9: not there; there are cam1, cam2" in printed) == (2, True)
    project.layout.dataset_file.write_text(DATA_SET.replace("path: videos\n", "path: videos/gone\n"))
    code, printed = project.run("detect", "--device", "cpu")
    assert (code, "not there, or no videos in it" in printed) == (2, True)


def test_ingest_before_detect_says_what_to_make(project):
    code, printed = project.run("ingest")
    assert code == 2
    assert "make it first (snakemake --cores all data/raw/tiny/detections_of_videos.nc)" in printed


@pytest.mark.parametrize(("change", "reason"), [
    ({"path": "elsewhere"}, "must lie in the folder videos"),
    ({"detector": "X"}, "`detector` is known to the stage detect"),
    ({"skeleton": "coco17"}, "`skeleton` is known to the stage detect"),
])  # fmt: skip
def test_what_videos_do_not_need_is_refused(project, change, reason):
    content = yaml.safe_load(DATA_SET)
    content["ingest"]["detections"] |= change
    project.layout.dataset_file.write_text(yaml.safe_dump(content))
    code, printed = project.run("detect", "--device", "cpu")
    assert (code, reason in printed) == (2, True)


def test_rows_that_are_out_of_order_are_refused(project):
    detect(project)
    with h5py.File(project.layout.detections, "r+") as file:
        file["000000/frame"][0] = 19
    with pytest.raises(InputError, match="its frames are not in order"):
        list(detected.read_detections(project.layout.detections, "tiny"))

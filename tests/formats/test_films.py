"""The images of videos at the frames of a capture: numbers that the images show are those of the frames."""

import numpy as np
import pytest
from PIL import Image

from filming import film, image_of, number_in
from trilift.captures.schema import Recording
from trilift.formats.films import Film, Films
from trilift.formats.source import Source
from trilift.project.params import parse

RECORDING = Recording("walk", "1", "walk", 30.0, start=100, length=20, first_frame=4)


def source_of(path="videos", kind="video", **changes):
    content = {
        "detections": {"format": kind, "path": path},
        "cameras": {"format": "toml", "path": "Calib.toml"},
        "fps": 30,
    }
    return parse(Source, content | changes, "tiny.yaml")


def shown(opened, frames):
    return [None if image is None else number_in(image) for image in opened.images(frames)]


@pytest.mark.parametrize("late", [0, 3, -2])
def test_a_frame_of_the_capture_is_that_of_the_video_which_was_detected_then(tmp_path, late):
    """A camera that is late by some frames filmed it as many frames later."""
    path = film(tmp_path / "cam1.mp4", range(30))
    opened = Film(path, RECORDING, source_of(offsets={"cam1": late}), "cam1")
    frames = [100, 101, 105, 119]
    assert shown(opened, frames) == [frame - 100 + 4 + late for frame in frames]


def test_what_the_video_lacks_is_missing(tmp_path):
    path = film(tmp_path / "cam1.mkv", range(8), times=[number / 30 for number in (0, 1, 2, 3, 4, 5, 8, 9)])
    opened = Film(path, RECORDING, source_of(), "cam1")
    assert shown(opened, range(100, 108)) == [4, 5, None, None, 6, 7, None, None]


def test_images_count_from_the_number_in_the_first_ones_name(tmp_path):
    (tmp_path / "cam1").mkdir()
    for number in range(2, 8):
        Image.fromarray(image_of(number)).save(tmp_path / "cam1" / f"frame_{number:04d}.png")
    opened = Film(tmp_path / "cam1", RECORDING, source_of(kind="images"), "cam1")
    assert shown(opened, [100, 102, 103, 104]) == [4, 6, 7, None]


def test_mirrored_images_are_mirrored_back_as_detections_are(tmp_path):
    path = film(tmp_path / "cam1.mp4", [37] * 5)
    opened = Film(path, RECORDING, source_of(images={"cam1": {"mirrored": True}}), "cam1")
    (image,) = opened.images([100])
    assert number_in(image[:, ::-1]) == 37
    assert np.abs(image.astype(int) - image_of(37)[:, ::-1]).mean() < 12


def test_videos_are_found_by_recording_and_camera(tmp_path):
    for recording in ("walk", "run"):
        (tmp_path / "videos" / recording).mkdir(parents=True)
        for view in ("Cam_1", "side"):
            film(tmp_path / "videos" / recording / f"{view}.mp4", [1 if recording == "run" else 2] * 25)
    films = Films(source_of("videos/*", views={"side": "cam2"}), tmp_path, "tiny")
    assert films
    assert sorted(path.relative_to(tmp_path / "videos").as_posix() for path in films.digests()) == [
        *("run/Cam_1.mp4", "run/side.mp4", "walk/Cam_1.mp4", "walk/side.mp4")
    ]
    assert len(set(films.digests().values())) == 2
    for camera in ("cam1", "cam2"):
        assert shown(films.open(RECORDING, camera), [100]) == [2]
    assert films.open(RECORDING, "cam3") is None


def test_videos_of_one_recording_have_the_data_sets_name(tmp_path):
    (tmp_path / "videos").mkdir()
    for view in ("cam1", "cam2"):
        film(tmp_path / "videos" / f"{view}.mp4", [3])
    films = Films(source_of(), tmp_path, "tiny")
    assert films.open(Recording("tiny", "1", "tiny", 30.0, 0, 1), "cam1") is not None
    assert films.open(RECORDING, "cam1") is None


def test_detections_from_files_have_no_videos(tmp_path):
    detections = {"format": "openpose", "path": "pose", "skeleton": "body25b", "detector": "OpenPose"}
    assert not Films(source_of(detections=detections), tmp_path, "tiny")

"""Folders of cameras that hold recordings, as OpenCap lays them out, in place of recordings that hold cameras."""

import json

import numpy as np
import pytest

from formats.camera_writers import write_opencap
from synthetic import ring_of_cameras, waving_person, write_openpose
from trilift.errors import InputError
from trilift.formats.calibration import Calibration
from trilift.formats.reading import read_detections
from trilift.formats.recognise import look_at
from trilift.formats.source import Detections, Source
from trilift.project.params import parse
from trilift.skeletons import BODY25B


def write_session(folder, trials=("squat", "walk"), views=3):
    """Write OpenCap's folders: Videos/<camera>/OutputJsons/<trial>/<frames>."""
    cameras = ring_of_cameras(views)
    write_opencap(folder / "Videos", cameras)
    for seed, trial in enumerate(trials):
        write_openpose(folder / trial, cameras, waving_person(4 + seed, seed))
        for camera in cameras:
            place = folder / "Videos" / camera.name / "OutputJsons"
            place.mkdir(exist_ok=True)
            (folder / trial / f"{camera.name}_json").rename(place / trial)
        (folder / trial).rmdir()


@pytest.mark.parametrize("trials", [("squat", "walk"), ("walk",)])
def test_a_session_is_recognised(tmp_path, trials):
    write_session(tmp_path, trials)
    found = look_at(tmp_path)
    last = "*" if len(trials) > 1 else "walk"
    assert (found.detections.format, found.detections.path) == ("openpose", f"Videos/{{view}}/OutputJsons/{last}")
    assert (found.cameras.format, found.cameras.path) == ("opencap", "Videos")
    assert (found.recordings, found.doubts, found.unused) == (len(trials), [], [])


def source(path, **more):
    detections = Detections(format="openpose", path=path, detector="OpenPose", skeleton="body25b")
    return Source(detections=detections, cameras=Calibration(format="opencap", path="Videos"), fps=30, **more)


def test_recordings_are_read_by_camera(tmp_path):
    write_session(tmp_path)
    squat, walk = read_detections(source("Videos/{view}/OutputJsons/*"), tmp_path, "session")
    assert (squat.name, walk.name) == ("squat", "walk")
    for recording, frames in ((squat, 4), (walk, 5)):
        assert [view.name for view in recording.views] == ["cam1", "cam2", "cam3"]
        assert [len(view.pixels) for view in recording.views] == [frames] * 3
    expected = json.loads((tmp_path / "Videos/cam2/OutputJsons/walk/cam2.0003.json").read_text())["people"][0]
    keypoints = np.array(expected["pose_keypoints_2d"], np.float32).reshape(len(BODY25B), 3)
    np.testing.assert_array_equal(walk.views[1].pixels[3, 0], keypoints[:, :2])


def test_all_files_count_for_what_is_up_to_date(tmp_path):
    write_session(tmp_path)
    session = source("Videos/{view}/OutputJsons/*")
    before = session.digest(tmp_path)
    (tmp_path / "Videos/cam2/OutputJsons/walk/cam2.0003.json").write_text('{"people": []}')
    assert session.digest(tmp_path) != before
    assert len(session.files(tmp_path)) == 3  # of the calibration


def test_one_recording_is_called_as_the_data_set_is(tmp_path):
    write_session(tmp_path)
    (walk,) = read_detections(source("Videos/{view}/OutputJsons/walk"), tmp_path, "session")
    assert (walk.name, len(walk.views)) == ("session", 3)


def test_excluded_cameras_are_not_read(tmp_path):
    write_session(tmp_path)
    (tmp_path / "Videos/cam2/OutputJsons/walk/cam2.0003.json").write_text("damaged")
    _, walk = read_detections(source("Videos/{view}/OutputJsons/*", exclude_cameras=["cam2"]), tmp_path, "session")
    assert [view.name for view in walk.views] == ["cam1", "cam3"]


def test_cameras_first_in_files(tmp_path):
    for camera in ("left", "right"):
        (tmp_path / camera).mkdir()
        for trial in ("a", "b"):
            (tmp_path / camera / f"{trial}.json").write_text(json.dumps([{"image_id": 0, "keypoints": [5.0] * 51}]))
    detections = Detections(format="coco", path="{view}/*.json", detector="AlphaPose", skeleton="coco17")
    several = source("any").model_copy(update={"detections": detections})
    a, b = read_detections(several, tmp_path, "session")
    assert [(recording.name, [view.name for view in recording.views]) for recording in (a, b)] == [
        ("a", ["left", "right"]),
        ("b", ["left", "right"]),
    ]


@pytest.mark.parametrize(("format", "path"), [("openpose", "{view}/{view}/*"), ("mediapipe", "{view}/xy.csv")])
def test_the_name_of_a_view_stands_once_in_a_path_of_views(format, path):
    stated = {"format": format, "path": path, "detector": "any"} | (
        {"skeleton": "coco17"} if format != "mediapipe" else {}
    )
    with pytest.raises(InputError, match="can stand in `path` once"):
        parse(Detections, stated, "gait.yaml")

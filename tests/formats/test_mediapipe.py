import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats.mediapipe import frame_rate, read_detections
from trilift.formats.recognise import look_at
from trilift.skeletons import COCO17, COCO133, HALPE26, MEDIAPIPE33

N = len(MEDIAPIPE33)
COLUMNS = ["sync_index", "port", "frame_index", "frame_time", "point_id", "img_loc_x", "img_loc_y"]
ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("TRILIFT_REAL_DATA", ROOT.parent / "shared" / "data")) / "caliscope_4cam"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "xy_HOLISTIC.csv"


def row(sync, port, point, x=1.0, y=2.0):
    return [sync, port, sync, 0.04 * sync, point, x, y]


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def read(path):
    (recording,) = read_detections(path, "trial")
    return recording


def message(path):
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_points_come_back_by_camera_and_frame(path):
    points = np.random.default_rng(0).uniform(1, 1000, (2, 3, N, 2)).round(2)
    rows = [
        row(sync + 5, port, point, *points[view, sync, point])
        for view, port in enumerate((3, 1))
        for sync in range(3)
        for point in range(N)
    ]
    write(path, rows)
    recording = read(path)
    assert recording.skeleton is MEDIAPIPE33
    assert (recording.capture, recording.name, recording.subject, recording.action) == (
        "trial",
        "trial",
        "1",
        "trial",
    )
    assert [view.name for view in recording.views] == ["cam_1", "cam_3"]
    assert [view.confidence for view in recording.views] == [None, None]
    for view, expected in zip(recording.views, points[::-1], strict=True):
        np.testing.assert_array_equal(view.pixels, expected[:, None].astype(np.float32))


def test_the_camera_may_be_called_cam_id(path):
    """As Caliscope writes it now, whatever else is there."""
    rows = [
        [x, 2.0, sync, cam, point, None] for sync in (4, 5) for cam, x in ((0, 10.0), (2, 20.0)) for point in (0, 32)
    ]
    write(path, rows, ["img_loc_x", "img_loc_y", "sync_index", "cam_id", "point_id", "obj_loc_z"])
    views = read(path).views
    assert [view.name for view in views] == ["cam_0", "cam_2"]
    assert [view.pixels[1, 0, 32].tolist() for view in views] == [[10, 2], [20, 2]]
    assert look_at(path.parent).detections.format == "mediapipe"


def test_points_of_hands_and_face_are_left_out(path):
    write(path, [row(0, 0, 4), row(0, 0, 33), row(0, 0, 500), row(0, 0, -1)])
    (view,) = read(path).views
    assert view.pixels.shape == (1, 1, N, 2)
    assert (~np.isnan(view.pixels)).all(-1)[0, 0].nonzero()[0].tolist() == [4]


def test_views_have_the_same_length_even_where_nobody_is_seen(path):
    write(path, [row(2, 0, 500), row(3, 0, 1), row(6, 1, 1)])
    for view, frame in zip(read(path).views, (1, 4), strict=True):
        assert (view.first_frame, view.lists_empty_frames) == (2, False)
        assert (~np.isnan(view.pixels)).any((1, 2, 3)).nonzero()[0].tolist() == [frame]
        assert len(view.pixels) == 5


@pytest.mark.parametrize(("x", "y"), [("", 2), (1, ""), ("nan", 2), ("", "")])
def test_a_point_of_which_a_number_is_missing_is_missing(path, x, y):
    write(path, [row(0, 0, 0), row(0, 0, 1, x, y)])
    (view,) = read(path).views
    assert np.isnan(view.pixels[0, 0, 1]).all()


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 40)),
        st.tuples(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32)),
        min_size=1,
        max_size=20,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_row_is_found_and_nothing_else(path, points):
    write(path, [row(*key, *map(float, xy)) for key, xy in points.items()])
    views = read(path).views
    ports, start = sorted({port for _, port, _ in points}), min(sync for sync, _, _ in points)
    found = {
        (int(frame) + start, ports[number], int(point)): tuple(view.pixels[frame, 0, point].tolist())
        for number, view in enumerate(views)
        for frame, point in np.argwhere(~np.isnan(view.pixels[:, 0, :, 0]))
    }
    assert found == {key: xy for key, xy in points.items() if key[2] < N}


@pytest.mark.parametrize("sync", [10**9, -(10**9), 2**63 - 1, -(2**63)])
def test_frame_numbers_far_beyond_the_number_of_rows_are_refused(path, sync):
    write(path, [row(0, 0, 0), row(sync, 0, 0)])
    assert "check the frame numbers" in message(path)


def test_of_many_cameras_each_may_see_somebody_seldom(path):
    length, cameras = 20_000, 20
    write(path, [row(sync, camera, 0) for camera in range(cameras) for sync in range(camera, length, 50)])
    assert [len(view.pixels) for view in read(path).views] == [19_970] * cameras


def test_many_cameras_do_not_fill_the_memory(path):
    write(path, [row(number, number, 0) for number in range(1000)])
    assert "sync_index of 1000 cameras: 1000 entries, but they count 1000000 frames" in message(path)


@pytest.mark.parametrize("number", ["inf", "-inf", "1e300"])
def test_infinite_numbers_are_refused(path, number):
    write(path, [row(0, 0, 0, 1, number)])
    assert "holds an infinite number" in message(path)


def test_a_row_that_is_there_twice_is_refused(path):
    write(path, [row(0, 0, 0), row(0, 0, 1), row(0, 0, 1, 5, 5)])
    assert "row 4: the same sync_index, camera and point_id" in message(path)


@pytest.mark.parametrize("column", ["sync_index", "port", "point_id", "img_loc_x", "img_loc_y"])
def test_a_missing_column_is_named(path, column):
    write(path, [row(0, 0, 0)], ["x" if name == column else name for name in COLUMNS])
    assert column in message(path)


@pytest.mark.parametrize("column", [0, 1, 4, 5, 6])
@pytest.mark.parametrize("value", ["x", "9" * 30 + "x"])
def test_what_is_no_number_is_refused(path, column, value):
    damaged = row(1, 0, 0)
    damaged[column] = value
    write(path, [row(0, 0, 0), damaged])
    assert "no CSV of Caliscope" in message(path)


@pytest.mark.parametrize("column", [0, 1, 4])
@pytest.mark.parametrize("value", ["", "1.5", "9" * 30])
def test_what_is_no_whole_number_is_refused(path, column, value):
    damaged = row(1, 0, 0)
    damaged[column] = value
    write(path, [row(0, 0, 0), damaged])
    assert "no CSV of Caliscope" in message(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\xfd", b"\x00" * 100, b'"', b"a,b\n1,2,3\n"])
def test_a_file_that_is_no_csv_is_refused(path, content):
    path.write_bytes(content)
    assert "no CSV of Caliscope" in message(path)


def test_a_file_without_rows_is_refused(path):
    write(path, [])
    assert "holds no rows" in message(path)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)


@pytest.mark.skipif(not REAL.exists(), reason=f"needs the recording {REAL} (TRILIFT_REAL_DATA)")
def test_the_real_recording_is_read_as_its_rows_say():
    views = {view.name: view.pixels for view in read(REAL / "xy_HOLISTIC.csv").views}
    assert list(views) == ["cam_0", "cam_1", "cam_2", "cam_3"]
    assert len({len(view) for view in views.values()}) == 1
    expected = {name: np.full(view.shape, np.nan, np.float32) for name, view in views.items()}
    with (REAL / "xy_HOLISTIC.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    start = min(int(entry["sync_index"]) for entry in rows)
    for entry in rows:
        if int(entry["point_id"]) < N:
            place = int(entry["sync_index"]) - start, 0, int(entry["point_id"])
            expected[f"cam_{entry['port']}"][place] = float(entry["img_loc_x"]), float(entry["img_loc_y"])
    for name, view in views.items():
        np.testing.assert_array_equal(view, expected[name])
        assert np.isfinite(view).mean() > 0.5


@pytest.mark.parametrize("time", [None, "soon", "inf"])
def test_a_file_without_usable_times_is_recognised_without_its_rate(path, time):
    columns = [column for column in COLUMNS if time or column != "frame_time"]
    rows = [dict(zip(COLUMNS, row(sync, 0, 0), strict=True)) | {"frame_time": time} for sync in range(3)]
    write(path, [[entry[column] for column in columns] for entry in rows], columns)
    found = look_at(path.parent)
    assert found.detections.format == "mediapipe"
    assert found.fps is None


@given(st.floats(5, 240), st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_rate_is_the_mean_one_whatever_was_dropped_and_however_times_are_rounded(rate, seed):
    kept = np.flatnonzero(np.random.default_rng(seed).random(300) < 0.8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "xy_HOLISTIC.csv"
        rows = [
            dict(zip(COLUMNS, row(sync, 0, 0), strict=True)) | {"frame_time": round(sync / rate, 3)} for sync in kept
        ]
        write(path, [[entry[column] for column in COLUMNS] for entry in rows], COLUMNS)
        assert frame_rate(path) == pytest.approx(rate, abs=0.1, rel=1e-3)


@pytest.mark.parametrize("skeleton", [COCO17, HALPE26, COCO133, MEDIAPIPE33], ids=lambda one: one.name)
def test_all_points_of_a_tracker_tell_which_it_is(tmp_path, skeleton):
    rows = [
        f"{frame},{port},{point},{point}.5,{frame}"
        for frame in (0, 1)
        for port in (0, 1)
        for point in range(len(skeleton))
    ]
    path = tmp_path / "xy.csv"
    path.write_text("\n".join(["sync_index,port,point_id,img_loc_x,img_loc_y", *rows, ""]))
    (recording,) = read_detections(path, "walk")
    assert recording.skeleton is skeleton
    np.testing.assert_array_equal(recording.views[1].pixels[1, 0, :, 0], np.arange(len(skeleton)) + 0.5)

"""Motions in every format, read back by readers that are not ours."""

import math
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import c3d
import ezc3d
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation
from trc import TRCData

from trilift.captures import reading
from trilift.errors import InputError
from trilift.export import FORMATS, Motion, NoPoints, write
from trilift.export.motion import UP_AXES, turn_up
from trilift.skeletons import H36M17

MOTION = Motion(
    name="S1 Walk",
    keypoints=("pelvis", "left knee", "right_knee"),
    fps=29.97,
    length=7,
    frame_of_reference="world",
    source="pseudo-labels of gait",
    simulated=True,
    bones=(("pelvis", "left knee"), ("pelvis", "right_knee")),
)
ALL = pytest.mark.parametrize("suffix", FORMATS)


def make_points(length: int = 7, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(-3, 3, (length, 3, 3)).astype(np.float32)
    points[1:3, 1] = np.nan
    points[-1:] = np.nan
    return points


def read(path: Path, motion: Motion = MOTION) -> np.ndarray:
    """Read the points (frame, keypoint, 3), in metres, and check their names and the frame rate."""
    return {"nc": read_nc, "csv": read_csv, "npz": read_npz, "trc": read_trc, "c3d": read_c3d}[path.suffix[1:]](
        path, motion
    )


def read_nc(path: Path, motion: Motion) -> np.ndarray:
    with h5py.File(path) as file:
        group = file[motion.name]
        assert [name.decode() for name in group["keypoint"]] == list(motion.keypoints)
        assert group["recording_fps"][0] == motion.fps
        assert group["poses"].attrs["units"] == "m"
        return group["poses"][:]


def read_csv(path: Path, motion: Motion) -> np.ndarray:
    table = pd.read_csv(path, comment="#")
    assert list(table)[2:] == [f"{name}_{axis}_m" for name in motion.keypoints for axis in "xyz"]
    assert table["frame"].tolist() == list(range(motion.first_frame, motion.first_frame + len(table)))
    np.testing.assert_allclose(
        table["time_s"].to_numpy(float), table["frame"].to_numpy(float) / motion.fps, atol=1e-6
    )
    return table.iloc[:, 2:].to_numpy(float).reshape(len(table), len(motion.keypoints), 3)


def read_npz(path: Path, motion: Motion) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        assert tuple(file["keypoints"]) == motion.keypoints
        assert (file["fps"], file["recording"], file["units"]) == (motion.fps, motion.name, "m")
        assert [tuple(file["keypoints"][bone]) for bone in file["bones"]] == list(motion.bones)
        return file["poses"]


def read_trc(path: Path, motion: Motion) -> np.ndarray:
    data = TRCData()
    data.load(path)
    assert data["FileName"] == path.name
    assert data["Markers"] == [name.replace(" ", "_") for name in motion.keypoints]
    assert (data["DataRate"], data["Units"], data["NumFrames"]) == (motion.fps, "m", motion.length)
    assert data["OrigDataStartFrame"] == motion.first_frame + 1
    assert data["Frame#"] == list(range(motion.first_frame + 1, motion.first_frame + 1 + motion.length))
    np.testing.assert_allclose(data["Time"], (np.array(data["Frame#"]) - 1) / motion.fps, atol=1e-6)
    points = np.array([data[name] for name in data["Markers"]], float)
    return points.reshape(len(motion.keypoints), motion.length, 3).swapaxes(0, 1)


def read_c3d(path: Path, motion: Motion) -> np.ndarray:
    file = ezc3d.c3d(str(path))
    about = file["parameters"]["POINT"]
    assert about["LABELS"]["value"] == list(motion.keypoints)
    assert about["UNITS"]["value"] == ["mm"]
    assert about["RATE"]["value"][0] == pytest.approx(motion.fps, rel=1e-6)
    points = file["data"]["points"]
    missing = np.isnan(points[0])
    np.testing.assert_array_equal(file["data"]["meta_points"]["residuals"][0], np.where(missing, -1, 0))
    return points[:3].transpose(2, 1, 0) / 1e3


def close(read: np.ndarray, written: np.ndarray) -> None:
    np.testing.assert_allclose(read, written, rtol=0, atol=1e-6)  # a hundredth of what anyone measures


@ALL
def test_other_readers_find_the_same_points(tmp_path: Path, suffix: str) -> None:
    points = make_points()
    path = tmp_path / "deep" / f"S1 Walk.{suffix}"
    write(path, MOTION, [points[:3], points[3:3], points[3:]])
    close(read(path), points)


@ALL
@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_motion_without_any_point_is_refused_and_leaves_what_was_there(
    tmp_path: Path, suffix: str, length: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("earlier")
    points = np.full((length, 3, 3), np.nan)
    points[:, :, 0] = 1.0
    with pytest.raises(NoPoints, match=f"S1 Walk, world.*: none of its {length} frames has a point"):
        write(path, replace(MOTION, length=length), [points], up="z")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "earlier"


@settings(max_examples=12)
@given(data=st.data())
@ALL
def test_any_points_come_back(suffix: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 5))
    points = data.draw(arrays(np.float32, (length, 3, 3), elements=st.floats(-20, 20, width=32)))
    points[data.draw(arrays(np.bool_, (length, 3)))] = np.nan
    points[data.draw(st.integers(0, length - 1)), 2] = 1.0
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=3)))
    first_frame = data.draw(st.integers(0, 1000))
    motion = replace(MOTION, length=length, first_frame=first_frame)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"any.{suffix}"
        write(path, motion, np.split(points, cuts))
        close(read(path, motion), points)


@ALL
def test_one_frame(tmp_path: Path, suffix: str) -> None:
    motion, points = replace(MOTION, length=1), make_points(7)[:1]
    path = tmp_path / f"short.{suffix}"
    write(path, motion, [points])
    assert read(path, motion).shape == (1, 3, 3)
    close(read(path, motion), points)


@ALL
def test_all_the_project_s_keypoints(tmp_path: Path, suffix: str) -> None:
    motion = replace(MOTION, keypoints=H36M17.keypoints, bones=H36M17.bones)
    points = np.random.default_rng(0).normal(size=(7, 17, 3))
    write(tmp_path / f"a.{suffix}", motion, [points])
    close(read(tmp_path / f"a.{suffix}", motion), points)


@ALL
def test_a_point_without_a_coordinate_is_missing(tmp_path: Path, suffix: str) -> None:
    points = make_points()
    points[0, 0, 1], points[4, 2, 2] = np.nan, np.inf
    path = tmp_path / f"a.{suffix}"
    write(path, MOTION, [points])
    points[0, 0] = points[4, 2] = np.nan
    close(read(path), points)


@ALL
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    points = make_points()
    write(tmp_path / "one" / f"a.{suffix}", MOTION, [points])
    write(tmp_path / "two" / f"a.{suffix}", MOTION, [points[:2], points[2:]])
    assert (tmp_path / "one" / f"a.{suffix}").read_bytes() == (tmp_path / "two" / f"a.{suffix}").read_bytes()


@ALL
@pytest.mark.parametrize("frames", [6, 8])
def test_another_number_of_frames_than_announced_leaves_no_file(tmp_path: Path, suffix: str, frames: int) -> None:
    with pytest.raises(ValueError, match="the 7 that were announced"):
        write(tmp_path / f"a.{suffix}", MOTION, [make_points(frames)])
    assert list(tmp_path.iterdir()) == []


@ALL
def test_blocks_of_another_shape_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        write(tmp_path / f"a.{suffix}", MOTION, [np.zeros((7, 4, 3))])
    assert list(tmp_path.iterdir()) == []


@ALL
def test_an_error_half_way_leaves_the_file_that_was_there(tmp_path: Path, suffix: str) -> None:
    def stopping() -> Iterator[np.ndarray]:
        yield make_points()[:3]
        raise KeyboardInterrupt

    path = tmp_path / f"a.{suffix}"
    write(path, MOTION, [make_points()])
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(path, MOTION, stopping())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["nc", "csv", "trc"])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, suffix: str) -> None:
    def peak(blocks: int) -> int:
        block = np.zeros((100, 3, 3), np.float32)
        tracemalloc.start()
        write(tmp_path / f"a.{suffix}", replace(MOTION, length=100 * blocks), (block.copy() for _ in range(blocks)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what libraries allocate once
    assert peak(30) - peak(10) < 20 * 100 * 3 * 3 * 4 / 4


@ALL
@pytest.mark.parametrize("up", UP_AXES)
def test_the_axis_that_is_up_becomes_y(tmp_path: Path, suffix: str, up: str) -> None:
    euler = {"x": ("z", 90), "-x": ("z", -90), "y": ("x", 0), "-y": ("x", 180), "z": ("x", -90), "-z": ("x", 90)}
    rotation = Rotation.from_euler(*euler[up], degrees=True)
    points = make_points()
    write(tmp_path / f"a.{suffix}", MOTION, [points[:4], points[4:]], up=up)
    close(read(tmp_path / f"a.{suffix}"), rotation.apply(points.reshape(-1, 3)).reshape(points.shape))


@pytest.mark.parametrize("up", UP_AXES)
def test_turning_keeps_left_and_right(up: str) -> None:
    turned = turn_up(np.eye(3), up).T
    assert np.linalg.det(turned) == 1
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up.startswith("-") else 1
    np.testing.assert_array_equal(turned @ axis, [0, 1, 0])


def test_an_unknown_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no axis 'up'; up can be x, -x, y"):
        write(tmp_path / "a.csv", MOTION, [make_points()], up="up")


@pytest.mark.parametrize("name", ["a.bvh", "a", "a.nc.gz"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"unknown format .*\.nc, \.csv, \.npz, \.trc, \.c3d"):
        write(tmp_path / name, MOTION, [make_points()])


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf])
def test_a_motion_needs_a_frame_rate(fps: float) -> None:
    with pytest.raises(InputError, match="frames per second"):
        replace(MOTION, fps=fps)


def test_names_that_would_break_a_table_are_refused() -> None:
    with pytest.raises(InputError, match="control characters"):
        replace(MOTION, keypoints=("a\tb", "c", "d"))
    with pytest.raises(InputError, match="same name"):
        replace(MOTION, keypoints=("a", "b", "a"))


@pytest.mark.parametrize(("simulated", "expected"), [(True, "yes"), (False, "no"), (None, "unknown")])
def test_files_say_what_they_hold(tmp_path: Path, simulated: bool | None, expected: str) -> None:
    motion, points = replace(MOTION, simulated=simulated, first_frame=3), make_points()
    for suffix in FORMATS:
        write(tmp_path / f"a.{suffix}", motion, [points], up="z")
    turned = "world, turned so that its z is y (up)"
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        said = [str(file[name]) for name in ("source", "frame_of_reference", "simulated")]
        assert said == [motion.source, turned, expected]
        assert file["first_frame"] == 3
    with reading.read(tmp_path / "a.nc", "poses") as opened:
        (capture,) = opened.values()
        said = [capture.attrs[name] for name in ("source", "frame_of_reference", "simulated")]
        assert said == [motion.source, turned, expected]
        assert reading.recordings(capture)[0].first_frame == 3
    about = ezc3d.c3d(str(tmp_path / "a.c3d"))
    assert about["header"]["points"]["first_frame"] == 3
    said = [
        about["parameters"]["TRILIFT"][name]["value"][0] for name in ("SOURCE", "FRAME_OF_REFERENCE", "SIMULATED")
    ]
    assert said == [motion.source, turned, expected]
    first_line = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert f"{motion.source}{' (SIMULATED)' if simulated else ''}, recording S1 Walk" in first_line
    assert turned in first_line


def test_a_known_skeleton_is_named_in_netcdf(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", replace(MOTION, keypoints=H36M17.keypoints), [np.zeros((7, 17, 3))])
    write(tmp_path / "b.nc", MOTION, [make_points()])
    for name, skeleton in (("a", "h36m17"), ("b", "custom")):
        with reading.read(tmp_path / f"{name}.nc", "poses") as opened:
            assert opened["S1 Walk"].attrs["skeleton"] == skeleton


def test_an_empty_cell_marks_what_is_missing_in_a_table(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", MOTION, [make_points()])
    assert (tmp_path / "a.csv").read_text().splitlines()[-1] == "6,0.200200,,,,,,,,,"


def test_another_c3d_reader_agrees(tmp_path: Path) -> None:
    points = make_points()
    write(tmp_path / "a.c3d", replace(MOTION, first_frame=10), [points])
    with (tmp_path / "a.c3d").open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is nothing analog
        reader = c3d.Reader(file)
        frames = list(reader.read_frames())
    assert [number for number, _, _ in frames] == list(range(11, 18))
    found = np.stack([values for _, values, _ in frames])  # (frame, point, x y z residual cameras)
    np.testing.assert_array_equal(found[..., 3] < 0, np.isnan(points[..., 0]))
    close(np.where(found[..., 3:4] < 0, np.nan, found[..., :3] / 1e3), points)


def test_more_frames_than_c3d_can_count_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends at frame 65536 and C3D can count 65535; export to trc"):
        write(tmp_path / "a.c3d", replace(MOTION, length=65536), iter([]))
    assert list(tmp_path.iterdir()) == []


def test_without_ezc3d_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    with pytest.raises(InputError, match=r"ezc3d; install it: pip install .*\[export\]"):
        write(tmp_path / "a.c3d", MOTION, [make_points()])

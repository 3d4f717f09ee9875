import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5netcdf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilift.captures import reading
from trilift.captures.reading import blocks, load_frames, read
from trilift.captures.schema import SCHEMAS, Recording, spread_runs
from trilift.captures.writing import create
from trilift.errors import InputError
from trilift.skeletons import COCO17, H36M17

RECORDINGS = [
    Recording("S1 Walk", "S1", "Walk", 50.0, 0, 7),
    Recording("S1 Sit", "S1", "Sit", 29.97, 7, 5, 370),
]
VIEWS = ["left", "right"]
KINDS = pytest.mark.parametrize("kind", SCHEMAS)


def random_values(kind, seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"frame": 12, "view": 2, "keypoint": len(COCO17), "joint": len(H36M17), "row": 3, "column": 3, "side": 2}
    sizes |= {"coefficient": 5, "entry": 6, "space": 2 if kind == "captures" else 3}
    return {
        name: rng.uniform(0, 100, [sizes[dim] for dim in about.dims]).astype(about.dtype)
        for name, about in SCHEMAS[kind].items()
    }


def add(file, kind, values, name="S1"):
    capture = file.add_capture(
        name,
        recordings=RECORDINGS,
        skeleton=COCO17,
        views=VIEWS if any("view" in about.dims for about in SCHEMAS[kind].values()) else None,
        attributes={"confidence_source": "detector"},
    )
    for variable, array in values.items():
        capture.write(variable, array)
    return capture


def write(path, kind, values, name="S1"):
    with create(path, kind, dataset="tiny") as file:
        add(file, kind, values, name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "tiny.nc"


def test_a_frame_has_a_number_in_the_video_and_an_index_in_the_capture():
    walk = Recording("walk", "Ann", "walk", 50.0, 7, 5, 370)
    assert [walk.number_of(index) for index in range(*walk.part(0, 5).indices(100))] == [370, 371, 372, 373, 374]


@KINDS
def test_what_was_written_is_read(path, kind):
    values = random_values(kind)
    write(path, kind, values)
    with read(path, kind) as opened:
        assert list(opened) == ["S1"]
        for name, array in values.items():
            assert opened["S1"][name].dims == SCHEMAS[kind][name].dims
            assert opened["S1"][name].dtype == array.dtype
            np.testing.assert_array_equal(opened["S1"][name].values, array)


@KINDS
def test_facts_names_and_recordings_are_read(path, kind):
    write(path, kind, random_values(kind))
    with read(path, kind) as opened:
        capture = opened["S1"]
        facts = {"kind": kind, "dataset": "tiny", "skeleton": "coco17", "confidence_source": "detector"}
        assert {name: capture.attrs[name] for name in facts} == facts
        assert reading.recordings(capture) == RECORDINGS
        for axis, names in (("keypoint", COCO17.keypoints), ("joint", H36M17.keypoints), ("view", VIEWS)):
            if axis in capture.dims:
                assert capture[axis].values.tolist() == list(names)


def test_frames_know_their_recording(path):
    write(path, "references", random_values("references"))
    with read(path, "references") as opened:
        assert opened["S1"]["recording_of_frame"].values.tolist() == [0] * 7 + [1] * 5


def test_the_entries_of_a_covariance_are_named(path):
    write(path, "pseudo_labels", random_values("pseudo_labels"))
    with read(path, "pseudo_labels") as opened:
        assert opened["S1"]["entry"].values.tolist() == ["xx", "xy", "xz", "yy", "yz", "zz"]


def test_variables_state_units_and_meaning(path):
    write(path, "captures", random_values("captures"))
    with read(path, "captures") as opened:
        for name, about in SCHEMAS["captures"].items():
            assert opened["S1"][name].attrs["units"] == about.units
            assert opened["S1"][name].attrs["long_name"] == about.meaning


def test_captures_of_a_file_are_told_apart(path):
    values = {name: random_values("references", seed) for seed, name in enumerate(["S9", "S11", "S1"])}
    with create(path, "references") as file:
        for name, content in values.items():
            add(file, "references", content, name)
    with read(path, "references") as opened:
        assert set(opened) == set(values)
        for name, content in values.items():
            np.testing.assert_array_equal(opened[name]["poses"].values, content["poses"])


def test_files_with_the_same_content_have_the_same_bytes_whenever_written(tmp_path):
    for kind in SCHEMAS:
        write(tmp_path / "early" / kind, kind, random_values(kind))
    time.sleep(1.05)
    for kind in SCHEMAS:
        write(tmp_path / "late" / kind, kind, random_values(kind))
        assert (tmp_path / "early" / kind).read_bytes() == (tmp_path / "late" / kind).read_bytes()


def test_files_with_different_content_have_different_bytes(tmp_path):
    write(tmp_path / "a.nc", "references", random_values("references"))
    write(tmp_path / "b.nc", "references", random_values("references", seed=1))
    assert (tmp_path / "a.nc").read_bytes() != (tmp_path / "b.nc").read_bytes()


def test_a_failed_write_leaves_nothing(path):
    with pytest.raises(KeyError), create(path, "references") as file:
        add(file, "references", {"no such variable": np.zeros(3)})
    assert list(path.parent.iterdir()) == []


def test_a_failed_write_keeps_the_file_of_before(path):
    write(path, "references", random_values("references"))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), create(path, "references"):
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_write_leaves_no_file_of_that_name_and_does_not_hinder_the_next(path):
    script = (
        "import sys, time; from pathlib import Path; from trilift.captures.schema import create\n"
        f"with create(Path({str(path)!r}), 'references'): print('writing', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    values = random_values("references")
    write(path, "references", values)
    with read(path, "references") as opened:
        np.testing.assert_array_equal(opened["S1"]["poses"].values, values["poses"])
    assert list(path.parent.iterdir()) == [path]


def test_missing_values_stay_missing(path):
    values = random_values("references")
    values["poses"][3, 5] = np.nan
    write(path, "references", values)
    with read(path, "references") as opened:
        np.testing.assert_array_equal(opened["S1"]["poses"].values, values["poses"])


def test_zeros_stay_zeros(path):
    values = random_values("captures")
    for name in ("pixels", "confidence", "distortion", "image_size"):
        values[name][:] = 0
    write(path, "captures", values)
    with read(path, "captures") as opened:
        assert (opened["S1"]["pixels"].values == 0).all()
        assert (opened["S1"]["image_size"].values == 0).all()


def test_frames_that_were_never_written_are_missing(path):
    values = random_values("pseudo_labels")
    with create(path, "pseudo_labels") as file:
        capture = add(file, "pseudo_labels", {})
        capture.write_block(slice(3, 5), **{name: array[3:5] for name, array in values.items()})
    with read(path, "pseudo_labels") as opened:
        written = np.isin(np.arange(12), [3, 4])
        for name in ("poses", "training_poses", "covariance", "reprojection_error"):
            array = opened["S1"][name].values
            assert np.isnan(array[~written]).all()
            np.testing.assert_array_equal(array[written], values[name][written])
        for name in ("inlier", "views_used", "swapped", "filled"):
            array = opened["S1"][name].values
            assert (array[~written] == 0).all()
            np.testing.assert_array_equal(array[written], values[name][written])


def test_double_precision_blocks_are_rounded_to_the_type_of_the_file(path):
    poses = np.random.default_rng(0).normal(size=(12, len(COCO17), 3))
    with create(path, "references") as file:
        add(file, "references", {}).write_block(slice(0, 12), poses=poses)
    with read(path, "references") as opened:
        np.testing.assert_array_equal(opened["S1"]["poses"].values, poses.astype(np.float32))


@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_blocks_cover_every_frame_once(size):
    assert [frame for block in blocks(12, size) for frame in range(12)[block]] == list(range(12))


def test_there_are_no_blocks_of_no_frames():
    assert list(blocks(0)) == []


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(1, 20), st.integers(1, 130))
def test_runs_take_no_frame_twice_and_are_from_all_over(lengths, most, frames):
    runs = list(spread_runs(lengths, most, frames))
    taken = [(recording, frame) for recording, first, last in runs for frame in range(first, last)]
    assert len(taken) == len(set(taken)) == min(sum(lengths), most * frames)
    assert taken == sorted(taken)
    assert all(0 <= first < last <= min(lengths[recording], first + frames) for recording, first, last in runs)
    # No gap is longer than twice what an even choice leaves out.
    starts = np.cumsum([0, *lengths])
    number = np.array([-1, *(starts[recording] + frame for recording, frame in taken), sum(lengths)])
    assert np.diff(number).max() <= max(1, sum(lengths) / most - frames) + 3


def test_runs_of_301_frames_are_301_frames():
    assert list(spread_runs([301], 16, 128)) == [(0, 0, 100), (0, 100, 200), (0, 200, 301)]


@pytest.mark.parametrize("size", [1, 5, 12])
def test_blocks_hold_the_same_as_the_whole(path, size):
    values = random_values("captures")
    with create(path, "captures") as file:
        capture = add(file, "captures", {})
        for frames in blocks(12, size):
            capture.write_block(frames, pixels=values["pixels"][frames])
    with read(path, "captures") as opened:
        parts = [load_frames(opened["S1"], frames, "pixels")[0] for frames in blocks(12, size)]
    np.testing.assert_array_equal(np.concatenate(parts), values["pixels"])


def test_texts_are_no_values(path):
    with pytest.raises(TypeError), create(path, "references") as file:
        add(file, "references", {"poses": np.full((12, 17, 3), "x")})


def test_recordings_are_slices_of_frames():
    assert RECORDINGS[1].frames == slice(7, 12)
    assert replace(RECORDINGS[1], length=1).frames == slice(7, 8)


def opening_fails(path, kind="references"):
    with pytest.raises(InputError) as caught, read(path, kind):
        pass
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_not_there_is_named_with_the_way_to_make_it(path):
    assert "snakemake" in opening_fails(path)


def test_a_file_of_another_kind_is_refused(path):
    write(path, "captures", random_values("captures"))
    message = opening_fails(path)
    assert "holds captures" in message
    assert "expected references" in message


def test_a_netcdf_file_from_elsewhere_is_refused(path):
    path.parent.mkdir()
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"x": 3}
    assert "something else" in opening_fails(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(path, share):
    write(path, "references", random_values("references"))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    opening_fails(path)


def test_a_file_with_a_changed_bit_is_read_or_refused(path):
    write(path, "captures", random_values("captures"))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    messages = []
    for place in rng.integers(0, len(content), 1000):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with read(path, "captures") as opened:
                for capture in opened.values():
                    load_frames(capture, slice(0, 12), "pixels", "confidence")
        except InputError as error:
            messages.append(str(error))
    assert messages
    assert all(str(path) in message for message in messages)


@KINDS
@pytest.mark.parametrize("length", [0, 8, 2**63, 2**64 - 16])
def test_strings_and_attributes_that_hdf5_would_read_forever_are_refused(path, kind, length):
    write(path, kind, random_values(kind))
    content = bytearray(path.read_bytes())
    begin = content.index(b"GCOL")
    place = begin + 16
    while content[place : place + 2] != b"\0\0":  # object 0 is the free space at the end
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    content[place + 8 : place + 16] = length.to_bytes(8, "little")
    path.write_bytes(content)
    assert f"damaged at byte {place}" in opening_fails(path, kind)


def test_a_text_is_no_netcdf_file(path):
    path.parent.mkdir()
    path.write_text("not a netCDF file at all\n" * 100)
    opening_fails(path)


def test_a_folder_is_no_netcdf_file(path):
    path.mkdir(parents=True)
    opening_fails(path)


@KINDS
def test_a_missing_variable_is_named_with_its_capture(path, kind):
    lost = next(iter(SCHEMAS[kind]))
    write(path, kind, random_values(kind))
    with h5netcdf.File(path, "a") as file:
        del file["S1"]._h5group[lost]
    message = opening_fails(path, kind)
    assert f"capture S1: lacks {lost}" in message


def test_a_variable_with_other_axes_is_refused(path):
    axes = ("keypoint", "frame", "space")
    path.parent.mkdir()
    with h5netcdf.File(path, "w") as file:
        file.attrs["kind"] = "references"
        file.create_group("S1").dimensions = dict.fromkeys(axes, 3)
        file["S1"].create_variable("poses", axes, "f4")
    assert "lacks poses with axes ('frame', 'keypoint', 'space')" in opening_fails(path)

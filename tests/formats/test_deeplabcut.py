import csv
import logging
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats.deeplabcut import read_view
from trilift.skeletons import COCO17

N = len(COCO17)
XYL = ("x", "y", "likelihood")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cam01.csv"


def write(path, people, parts=COCO17.keypoints, index=None, coords=XYL, individuals=None):
    """People (frame, person, part, coord); one person only unless `individuals` names them."""
    names = individuals or [""]
    columns = [(name, part, coord) for name in names for part in parts for coord in coords]
    header = [["scorer", *["DLC_resnet50"] * len(columns)]]
    if individuals:
        header.append(["individuals", *[name for name, _, _ in columns]])
    header.append(["bodyparts", *[part for _, part, _ in columns]])
    header.append(["coords", *[coord for _, _, coord in columns]])
    rows = [["" if np.isnan(v) else repr(float(v)) for v in frame.ravel()] for frame in np.asarray(people)]
    numbers = range(len(rows)) if index is None else index
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*header, *([number, *row] for number, row in zip(numbers, rows, strict=True))])


def values(frames=3, people=1, parts=N, coords=3, seed=0):
    found = np.random.default_rng(seed).uniform(0.1, 1, (frames, people, parts, coords))
    found[..., :2] *= 1000
    return found.astype(np.float32)


def message(path):
    with pytest.raises(InputError) as caught:
        read_view(path, COCO17)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
    return str(caught.value)


def assert_is(view, expected):
    np.testing.assert_array_equal(view.pixels, expected[..., :2])
    np.testing.assert_array_equal(view.confidence, expected[..., 2])


def test_a_file_of_one_animal_is_read(path):
    expected = values()
    write(path, expected)
    view = read_view(path, COCO17)
    assert view.name == "cam01"
    assert (view.first_frame, view.lists_empty_frames) == (0, True)
    assert_is(view, expected)


def test_individuals_are_the_people(path):
    """Its file begins with the first and ends with the last frame in which one of them is seen."""
    expected = values(people=3)
    write(path, expected, individuals=["mickey", "minnie", "bianca"], index=[370, 371, 372])
    view = read_view(path, COCO17)
    assert (view.first_frame, view.lists_empty_frames) == (370, False)
    assert_is(view, expected)


def test_parts_that_belong_to_nobody_are_no_person(path):
    path.write_text(
        "scorer,me,me,me,me\nindividuals,mickey,mickey,single,single\nbodyparts,nose,nose,corner,corner\n"
        "coords,x,y,x,y\n0,1,2,3,4\n"
    )
    view = read_view(path, COCO17)
    assert view.pixels.shape == (1, 1, N, 2)
    assert view.pixels[0, 0, 0].tolist() == [1, 2]


def test_body_parts_are_matched_by_name_in_any_order(path, caplog):
    caplog.set_level(logging.WARNING)
    found = values(parts=3)
    write(path, found, parts=["RightKnee", "tail", "left_eye"])
    view = read_view(path, COCO17)
    expected = np.full((3, 1, N, 3), np.nan, np.float32)
    expected[:, :, COCO17.index("right_knee")] = found[:, :, 0]
    expected[:, :, COCO17.index("left_eye")] = found[:, :, 2]
    np.testing.assert_array_equal(view.pixels, expected[..., :2])
    np.testing.assert_array_equal(view.confidence, np.nan_to_num(expected[..., 2]))
    assert caplog.messages == [f"{path}: body parts that coco17 lacks, not used: 'tail'"]


def test_a_missing_number_makes_its_keypoint_missing(path):
    found = values(frames=1)
    found[0, 0, 2, 0] = found[0, 0, 3, 2] = np.nan
    write(path, found)
    view = read_view(path, COCO17)
    assert np.isnan(view.pixels).all(-1)[0, 0].nonzero()[0].tolist() == [2, 3]
    assert (view.confidence == 0)[0, 0].nonzero()[0].tolist() == [2, 3]


@pytest.mark.parametrize(
    "name", ["img{:02d}.png", "labeled-data/cam_03/img{:04d}.png", r"labeled-data\cam_03\{}.png"]
)
def test_labelled_frames_have_no_likelihood_and_their_images_tell_the_numbers(path, name):
    found = values(coords=2)
    write(path, found, coords=("x", "y"), index=[name.format(number) for number in (7, 11, 12)])
    view = read_view(path, COCO17)
    assert (view.first_frame, len(view.pixels), view.lists_empty_frames) == (7, 6, False)
    np.testing.assert_array_equal(view.pixels[[0, 4, 5]], found)
    assert np.isnan(view.pixels[1:4]).all()
    assert view.confidence is None


@pytest.mark.parametrize("individuals", ["", "individuals,,,mickey,mickey\n"])
def test_labelled_data_with_three_columns_of_names_are_read(path, individuals):
    path.write_text(
        f"scorer,,,me,me\n{individuals}bodyparts,,,nose,nose\ncoords,,,x,y\nlabeled-data,clip2,img005.png,1,2\n"
        "labeled-data,clip2,img015.png,,\nlabeled-data,clip2,img020.png,3,4\n"
    )
    view = read_view(path, COCO17)
    assert (view.first_frame, len(view.pixels)) == (5, 16)
    assert view.pixels[[0, 15], 0, 0].tolist() == [[1, 2], [3, 4]]
    assert np.isnan(view.pixels[1:15]).all()


def test_labelled_frames_of_several_videos_are_refused(path):
    write(
        path,
        values(),
        index=[f"labeled-data/cam_{video}/img{number}.png" for video, number in ((1, 3), (1, 4), (2, 5))],
    )
    assert "rows are of several videos; export a file for each" in message(path)


def test_labelled_frames_without_numbers_are_refused(path):
    write(path, values(), index=["a.png", "b.png", "c.png"])
    assert "a different frame number in each row" in message(path)


def test_rows_carry_the_numbers_of_their_frames(path):
    found = values()
    write(path, found, index=[5, 2, 4])
    view = read_view(path, COCO17)
    assert view.first_frame == 2
    np.testing.assert_array_equal(view.pixels[[3, 0, 2]], found[..., :2])
    assert np.isnan(view.pixels[1]).all()


def test_a_mark_of_the_byte_order_is_no_part_of_the_header(path):
    write(path, values())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_view(path, COCO17).pixels) == 3


@given(st.integers(1, 5), st.integers(1, 4), st.permutations(COCO17.keypoints), st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_was_written_is_read(path, frames, people, parts, seed):
    expected = values(frames, people, seed=seed)
    order = [COCO17.index(part) for part in parts]
    write(path, expected[:, :, order], parts, individuals=list(string.ascii_letters[:people]))
    assert_is(read_view(path, COCO17), expected)


def test_another_body_is_refused(path):
    write(path, values(parts=2), parts=["tail", "snout"])
    assert "no body part is a keypoint of coco17; found 'tail', 'snout'" in message(path)


def test_a_column_that_is_there_twice_is_refused(path):
    write(path, values(parts=2), parts=["nose", "nose"])
    assert "column 5: 'nose' has a column x already" in message(path)


def test_the_hdf5_of_deeplabcut_is_refused(path):
    assert "holds pickles, which can run code, and is not read; give its CSV" in message(path.with_suffix(".h5"))


def test_frame_numbers_far_beyond_the_number_of_rows_are_refused(path):
    write(path, values(), index=[0, 1, 10**9])
    assert "3 entries, but they count 1000000001 frames" in message(path)


@pytest.mark.parametrize(("index", "found"), [([0, 1, 1], "'1'"), ([0, 1, "x"], "'x'"), ([0, 1, -2], "'-2'")])
def test_frame_numbers_that_are_none_or_there_already_are_refused(path, index, found):
    write(path, values(), index=index)
    assert f"a different frame number in each row, found {found}" in message(path)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
def test_infinite_numbers_are_refused(path, number):
    found = values().astype(float)
    found[1, 0, 3, 1] = number
    write(path, found)
    assert "holds an infinite number" in message(path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("3,1,2", "row 7: 3 columns, expected 52"),
        ("3" + ",1" * 50 + ",x", "row 7: could not convert"),
        ('"', "row 7"),
    ],
)
def test_a_damaged_row_is_named(path, row, expected):
    write(path, values())
    path.write_text(path.read_text() + row + "\n")
    assert expected in message(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n" * 10,
        b"1,2,3\n" * 10,
        b"scorer,me\nbodyparts,nose\n",
        b"scorer,me\nbodyparts,nose\ncoords,x,y\n",
        b"\xff\xfe\xfd",
        b"\x00" * 100,
        b'"' + b"x" * 200_000,
    ],
    ids=range(8),
)
def test_a_file_that_is_no_csv_of_deeplabcut_is_refused(path, content):
    path.write_bytes(content)
    message(path)


def test_a_file_without_frames_is_refused(path):
    write(path, values(frames=0))
    assert "holds no frames" in message(path)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)

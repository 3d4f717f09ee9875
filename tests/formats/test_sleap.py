import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trilift.errors import InputError
from trilift.formats import MOST_PEOPLE, sleap
from trilift.formats.sleap import read_view
from trilift.skeletons import COCO17

N = len(COCO17)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cam01.h5"


def values(frames=4, people=1, nodes=N, seed=0):
    """(frame, person, node, 3)."""
    found = np.random.default_rng(seed).uniform(0.1, 1, (frames, people, nodes, 3))
    found[..., :2] *= 1000
    return found.astype(np.float32)


def entries(found, nodes=COCO17.keypoints):
    return {
        "tracks": found[..., :2].astype(np.float64).transpose(1, 3, 2, 0),
        "point_scores": found[..., 2].astype(np.float64).transpose(1, 2, 0),
        "node_names": np.array([node.encode() for node in nodes]),
        "track_occupancy": np.ones(found.shape[:2], np.uint8),
    }


def write(path, **contents):
    with h5py.File(path, "w") as file:
        for name, content in contents.items():
            packed = {"compression": "gzip"} if np.ndim(content) > 1 else {}
            file.create_dataset(name, data=content, **packed)


def message(path):
    with pytest.raises(InputError) as caught:
        read_view(path, COCO17)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def assert_is(view, expected):
    np.testing.assert_array_equal(view.pixels, expected[..., :2])
    np.testing.assert_array_equal(view.confidence, expected[..., 2])


@given(st.integers(1, 5), st.integers(1, 3), st.permutations(COCO17.keypoints), st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_tracks_are_read_as_people(path, frames, people, nodes, seed):
    expected = values(frames, people, seed=seed)
    write(path, **entries(expected[:, :, [COCO17.index(node) for node in nodes]], nodes))
    view = read_view(path, COCO17)
    assert view.name == "cam01"
    assert_is(view, expected)


def test_the_last_frame_of_a_file_is_not_the_end_of_the_video(path):
    write(path, **entries(values()))
    view = read_view(path, COCO17)
    assert view.first_frame == 0
    assert not view.lists_empty_frames


def test_names_of_variable_length_are_refused(path):
    write(path, **entries(values()) | {"node_names": list(COCO17.keypoints)})
    assert "`node_names` as strings of fixed length" in message(path)


def test_the_other_order_of_axes_is_read(path):
    expected = values(people=2)
    contents = entries(expected)
    contents["tracks"], contents["point_scores"] = expected[..., :2], expected[..., 2]
    write(path, **contents)
    assert_is(read_view(path, COCO17), expected)


@pytest.mark.parametrize("order", ["sleap", "standard"])
def test_files_are_read_piece_by_piece(path, order, monkeypatch):
    """Files of half an hour with hundreds of tracks would fill the memory otherwise."""
    expected = values(frames=50, people=MOST_PEOPLE + 4)
    expected[np.random.default_rng(1).random(expected.shape[:2]) < 0.8] = np.nan
    contents = entries(expected)
    if order == "standard":
        contents["tracks"], contents["point_scores"] = expected[..., :2], expected[..., 2]
    write(path, **contents)
    whole = read_view(path, COCO17)
    monkeypatch.setattr(sleap, "BYTES_PER_BLOCK", 7 * contents["tracks"][0].nbytes)
    pieces = read_view(path, COCO17)
    np.testing.assert_array_equal(pieces.pixels, whole.pixels)
    np.testing.assert_array_equal(pieces.confidence, whole.confidence)
    seen = np.isfinite(expected).all((-1, -2))
    assert (np.isfinite(whole.pixels).all((-1, -2)).sum(1) == seen.sum(1).clip(max=MOST_PEOPLE)).all()


def test_nodes_are_matched_by_name(path):
    found = values(nodes=2)
    write(path, **entries(found, ["tail", "RightKnee"]))
    view = read_view(path, COCO17)
    knee = COCO17.index("right_knee")
    np.testing.assert_array_equal(view.pixels[:, :, knee], found[:, :, 1, :2])
    assert np.isnan(np.delete(view.pixels, knee, 2)).all()


def test_another_body_is_refused(path):
    write(path, **entries(values(nodes=2), ["tail", "snout"]))
    assert "no body part is a keypoint of coco17; found 'tail', 'snout'" in message(path)


def test_where_a_track_is_not_seen_it_is_missing(path):
    found = values(people=2)
    found[1, 0] = found[2, 1, 5, 0] = np.nan
    write(path, **entries(found))
    view = read_view(path, COCO17)
    missing = np.isnan(found).any(-1)
    np.testing.assert_array_equal(np.isnan(view.pixels).all(-1), missing)
    np.testing.assert_array_equal(view.confidence == 0, missing)


def test_what_a_human_has_set_has_no_score_and_is_certain(path):
    found = values()
    found[1, 0, :, 2] = np.nan
    write(path, **entries(found))
    view = read_view(path, COCO17)
    assert (view.confidence[1] == 1).all()
    np.testing.assert_array_equal(view.pixels, found[..., :2])


def test_of_many_tracks_those_present_are_kept(path):
    """A tracker that loses people makes a new track each time."""
    tracks = 3 * MOST_PEOPLE
    found = np.full((tracks, tracks, N, 3), np.nan, np.float32)
    for frame in range(tracks):
        found[frame, frame] = values(1, seed=frame)[0, 0]
    write(path, **entries(found))
    view = read_view(path, COCO17)
    assert view.pixels.shape[1] == MOST_PEOPLE
    for frame in range(tracks):
        (person,) = (~np.isnan(view.pixels[frame])).all((1, 2)).nonzero()[0]
        np.testing.assert_array_equal(view.pixels[frame, person], found[frame, frame, :, :2])


@pytest.mark.parametrize("name", ["tracks", "point_scores", "node_names"])
def test_a_missing_data_set_is_named(path, name):
    contents = entries(values())
    del contents[name]
    write(path, **contents)
    assert f"has no data set `{name}`" in message(path)


@pytest.mark.parametrize("name", ["tracks", "point_scores", "node_names"])
@pytest.mark.parametrize("link", ["soft", "external"])
def test_links_are_not_followed(path, name, link):
    other = path.with_name("other.h5")
    write(other, **entries(values()))
    write(path, **entries(values()))
    with h5py.File(path, "a") as file:
        file["moved"] = file.pop(name)
        file[name] = h5py.SoftLink("/moved") if link == "soft" else h5py.ExternalLink(other, name)
    assert f"has no data set `{name}` of its own" in message(path)


def test_data_in_other_files_are_not_read(path):
    contents = entries(values())
    other = path.with_name("other.h5")
    write(other, **contents)
    tracks = contents.pop("tracks")
    path.with_name("raw").write_bytes(tracks.tobytes())
    write(path, **contents)
    with h5py.File(path, "a") as file:
        file.create_dataset("tracks", tracks.shape, tracks.dtype, external=str(path.with_name("raw")))
    assert "`tracks` is no data set, or lies in another file" in message(path)
    layout = h5py.VirtualLayout(tracks.shape, tracks.dtype)
    layout[:] = h5py.VirtualSource(other, "tracks", tracks.shape)
    with h5py.File(path, "a") as file:
        del file["tracks"]
        file.create_virtual_dataset("tracks", layout)
    assert "`tracks` is no data set, or lies in another file" in message(path)


def test_a_group_is_no_data_set(path):
    contents = entries(values())
    del contents["tracks"]
    write(path, **contents)
    with h5py.File(path, "a") as file:
        file.create_group("tracks")
    assert "`tracks` is no data set" in message(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tracks", lambda tracks: tracks[0]),
        ("tracks", lambda tracks: tracks[:, :1]),
        ("tracks", lambda tracks: tracks[..., :-1]),
        ("tracks", lambda tracks: tracks[..., :0]),
        ("tracks", lambda tracks: tracks.astype(int)),
        ("point_scores", lambda scores: scores[:, 1:]),
        ("point_scores", lambda scores: scores.astype("S8")),
        ("node_names", lambda names: names[1:]),
        ("node_names", lambda names: np.arange(len(names))),
        ("node_names", lambda names: np.char.add(names, b"\xff")),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, name, change):
    contents = entries(values())
    contents[name] = change(contents[name])
    write(path, **contents)
    message(path)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("column", [1, 2])
def test_infinite_numbers_are_refused(path, number, column):
    found = values().astype(float)
    found[1, 0, 3, column] = number
    write(path, **entries(found))
    assert "holds an infinite number" in message(path)


@pytest.mark.parametrize("content", [b"", b"no\n" * 50, b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_a_file_that_is_no_hdf5_is_refused(path, content):
    path.write_bytes(content)
    assert "no readable analysis HDF5 of SLEAP" in message(path)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)

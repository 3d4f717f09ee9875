"""What `ingest` says of who is seen, in a table and a figure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from synthetic import add_person, make_project, ring_of_cameras, waving_person, write_openpose_data_set
from trilift.formats.source import Source
from trilift.ingest.assemble import assemble
from trilift.ingest.assembled import AssembledRecording
from trilift.ingest.people.seen import MOST_CLIPS, Seen, runs
from trilift.ingest.people.seen_figure import who_is_seen
from trilift.project.params import parse, read_yaml

FRAMES = 60
FPS = 30
VIEWS = ["cam1", "cam2", "cam3"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A project with an adult, and a child of 0.6 times the size."""
    project = make_project(tmp_path_factory.mktemp("two"))
    write_openpose_data_set(project.layout.raw, FRAMES)
    child = waving_person(FRAMES, seed=3) * 0.6 + np.array([0.9, 0.4, 0.0])
    add_person(project.layout.raw / "pose", ring_of_cameras(3), child)
    code, printed = project.run("ingest")
    assert code == 0, printed
    return project


def assembled(project, **changes):
    """The capture of a project, with changes to the section `ingest`."""
    section = read_yaml(project.layout.dataset_file)["ingest"] | changes
    (capture,) = assemble(project.layout, parse(Source, section, "test"))
    return capture


def table_of(project):
    return pd.read_csv(project.layout.people / "people.csv", keep_default_na=False)


def test_each_of_several_people_has_a_row(two):
    table = table_of(two)
    assert list(table) == [
        *("capture", "clip", "person", "subject", "first_frame", "last_frame", "seconds", "stature_m"),
        *("by_two_views", "by_cam1", "by_cam2", "by_cam3"),
    ]
    assert table["person"].tolist() == ["person_1", "person_2"]
    assert table["clip"].tolist() == table["capture"].tolist() == ["tiny", "tiny"]
    assert table["subject"].tolist() == ["tiny/person_1", "tiny/person_2"]
    assert table["last_frame"].tolist() == [FRAMES - 1] * 2
    np.testing.assert_allclose(table["seconds"], FRAMES / FPS)
    assert (table[["by_two_views", "by_cam1", "by_cam2", "by_cam3"]] == 1).all(axis=None)
    small, large = sorted(table["stature_m"])
    assert small / large == pytest.approx(0.6, abs=0.02)


def test_who_is_alone_has_a_row_without_a_name(tmp_path):
    project = make_project(tmp_path)
    write_openpose_data_set(project.layout.raw, FRAMES)
    assert project.run("ingest")[0] == 0
    (row,) = table_of(project).itertuples()
    assert (row.clip, row.person, row.last_frame) == ("tiny", "", FRAMES - 1)
    assert (project.layout.people / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_files_are_the_same_table_and_figure(two):
    files = [two.layout.people / name for name in ("people.csv", "seen.png")]
    before = [file.read_bytes() for file in files]
    assert two.run("ingest")[0] == 0
    assert [file.read_bytes() for file in files] == before


def test_people_have_the_names_that_the_data_set_file_states(two):
    grown, small = {}, {"stature_m": 0.6 * float(table_of(two)["stature_m"].max())}
    capture = assembled(two, people={"Ann": grown, "Bob": small}, subjects={"tiny/Ann": "Anna"})
    seen = Seen()
    seen.add(capture)
    table = seen.table().set_index("person")
    assert table.loc["Bob", "stature_m"] < table.loc["Ann", "stature_m"]
    assert table["subject"].to_dict() == {"Ann": "Anna", "Bob": "Bob"}
    assert sorted(person.name for person in seen.clips[0].people) == ["Ann (Anna)", "Bob"]


def recording(name, detection, first_frame=0):
    """Somebody of whom nothing matters but where they are seen; a name such as `walk/Ann` has the person in it."""
    pixels = np.full((*np.shape(detection), 25, 2), np.nan, np.float32)
    return AssembledRecording(
        name=name,
        subject=name,
        action="",
        first_frame=first_frame,
        pixels=pixels,
        confidence=np.zeros(pixels.shape[:-1], np.float32),
        detection=np.asarray(detection, np.int16),
        reference=None,
        cut=0,
        crowded=np.zeros(len(VIEWS)),
        person=name.partition("/")[2],
    )


@pytest.fixture
def capture_of(two):
    capture = assembled(two)

    def make(*recordings, name="studio"):
        return replace(capture, name=name, recordings=list(recordings))

    return make


def test_shares_are_of_the_frames_in_which_somebody_is_there(capture_of):
    detection = np.zeros((10, 3), int)
    detection[:, 0] = 2
    detection[:4, 1] = 1
    seen = Seen()
    seen.add(capture_of(recording("walk/Ann", detection, first_frame=370)))
    (row,) = seen.table().itertuples()
    assert (row.first_frame, row.last_frame) == (370, 379)
    assert row.seconds == pytest.approx(10 / FPS)
    assert (row.by_two_views, row.by_cam1, row.by_cam2, row.by_cam3) == (0.4, 1, 0.4, 0)
    assert np.isnan(row.stature_m)  # none of it is placed


def bars_of(axes):
    """By line, (bar, 2): from and until in seconds, and (bar,): the row."""
    found = []
    for collection in axes.collections:
        corners = np.array([path.vertices[:4] for path in collection.get_paths()]).reshape(-1, 4, 2)
        found.append((corners[:, [0, 1], 0], corners[:, :, 1].mean(1).round()))
    return found


def test_the_figure_shows_when_each_view_sees_whom(capture_of):
    ann, bob = np.zeros((2, 60, 3), int)
    ann[:, 0] = 1
    ann[20:30, 0] = 0
    bob[15:, 1] = 2
    seen = Seen()
    seen.add(capture_of(recording("walk/Ann", ann, first_frame=30), recording("walk/Bob", bob, first_frame=60)))
    figure = who_is_seen(seen.clips, seen.left_out, "data set x (SIMULATED)")
    (axes,) = figure.axes
    (first, rows), (second, rows_of_second), (third, _) = bars_of(axes)
    np.testing.assert_allclose(first, np.array([[30, 50], [60, 90]]) / FPS)
    np.testing.assert_allclose(second, np.array([[75, 120]]) / FPS)
    assert (rows.tolist(), rows_of_second.tolist(), len(third)) == ([0, 0], [1], 0)
    np.testing.assert_allclose(axes.get_xlim(), (1, 4))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Ann", "Bob"]
    assert axes.get_title(loc="left") == "walk"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == VIEWS
    assert figure.get_supxlabel() == "data set x (SIMULATED)"
    plt.close(figure)


def test_the_lines_of_a_row_stand_in_the_order_of_the_legend(capture_of):
    seen = Seen()
    seen.add(capture_of(recording("walk/Ann", np.ones((9, 3)))))
    figure = who_is_seen(seen.clips, 0, "")
    (axes,) = figure.axes
    middles = [axes.transData.transform(one.get_paths()[0].vertices[:4])[:, 1].mean() for one in axes.collections]
    assert middles == sorted(middles, reverse=True)  # pixels count from below
    plt.close(figure)


def test_the_clips_with_the_most_people_are_drawn_and_the_others_counted(capture_of):
    one = np.ones((5, 3))
    seen = Seen()
    for number in range(MOST_CLIPS + 3):
        seen.add(capture_of(recording(f"alone {number}", one), name=f"a{number}"))
    seen.add(capture_of(recording("pair/Ann", one), recording("pair/Bob", one)))
    assert (len(seen.clips), seen.left_out) == (MOST_CLIPS, 4)
    assert seen.clips[0].name == "pair"
    assert [clip.name for clip in seen.clips[1:3]] == ["alone 0", "alone 1"]
    assert len(seen.table()) == MOST_CLIPS + 5
    figure = who_is_seen(seen.clips, seen.left_out, "")
    (legend,) = figure.legends
    assert "12 clips, those with the most people first; 4 others are left out" in legend.get_title().get_text()
    assert len(figure.axes) == MOST_CLIPS
    plt.close(figure)


@given(st.lists(st.booleans(), max_size=200))
def test_runs_are_the_frames_that_are_seen(seen):
    again = np.zeros(len(seen), bool)
    for begin, end in runs(np.array(seen, bool)):
        assert not again[max(0, begin - 1) : end].any()  # they do not touch
        again[begin:end] = True
    assert again.tolist() == seen


def test_what_is_kept_does_not_grow_with_the_length():
    flickering = np.arange(400_000) % 7 < 4
    flickering[100_000:150_000] = False
    np.testing.assert_array_equal(runs(flickering), [[0, 99_999], [150_003, 399_998]])
    assert len(runs(np.arange(400_000) % 300 < 4)) <= 2001

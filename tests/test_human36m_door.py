"""Who holds the licence puts the published files into data/raw/h36m: the same with a stand-in for them."""

import json
import logging
import pickletools
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5netcdf
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import human36m_standin
from human36m_standin import ACTIONS, ONLY_2D, TAKES, TEST, TRAIN, StandIn
from synthetic import Project
from trilift.captures import reading
from trilift.captures.splits import Split, check_names, frames_of, frames_to_test
from trilift.evaluate.tables import action_of_take
from trilift.project.layout import Layout
from trilift.project.params import load_dataset

DATA_SET_FILE = Path(__file__).parents[1] / "workflow/datasets/h36m.yaml"
CAMERAS = ["54138969", "55011271", "58860488", "60457274"]
FILE_2D, FILE_3D = "data_2d_h36m_cpn_ft_h36m_dbb.npz", "data_3d_h36m.npz"
PARAMS = {
    "seed": 0,
    "ingest": {},
    "triangulate": {"smoothing": None},
    "train": {"network": {"width": 16, "blocks": 1}, "steps": 20, "batch_frames": 64, "threads": 1},
    "evaluate": {},
    "plot": {"examples": 2},
}


def start(folder: Path) -> Project:
    project = Project(Layout("h36m", folder))
    project.layout.dataset_file.parent.mkdir(parents=True)
    shutil.copy(DATA_SET_FILE, project.layout.dataset_file)
    project.layout.params.write_text(yaml.safe_dump(PARAMS))
    return project


@pytest.fixture(scope="module")
def put_in() -> StandIn:
    return human36m_standin.make(frames=20)


@pytest.fixture(scope="module")
def ingested(put_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project whose raw files are ingested, and what ingest said."""
    project = start(tmp_path_factory.mktemp("h36m"))
    human36m_standin.write(project.layout.raw, put_in)
    code, said = project.run("ingest")
    assert code == 0, said
    return project, said


@pytest.fixture(scope="module")
def detections(ingested: tuple[Project, str]) -> Iterator[dict[str, xr.Dataset]]:
    with reading.read(ingested[0].layout.captures, "captures") as opened:
        yield {name: capture.load() for name, capture in opened.items()}


@pytest.fixture(scope="module")
def references(ingested: tuple[Project, str]) -> Iterator[dict[str, xr.Dataset]]:
    with reading.read(ingested[0].layout.references, "references") as opened:
        yield {name: capture.load() for name, capture in opened.items()}


@pytest.fixture(scope="module")
def split() -> Split:
    return load_dataset(DATA_SET_FILE, "split", Split)


@pytest.mark.parametrize(("file", "entry"), [(FILE_2D, "positions_2d"), (FILE_3D, "positions_3d")])
def test_the_stand_in_is_pickled_as_the_published_files(file: str, entry: str, ingested: tuple[Project, str]) -> None:
    with zipfile.ZipFile(ingested[0].layout.raw / file) as archive, archive.open(f"{entry}.npy") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        operations = [(code.name, value) for code, value, _ in pickletools.genops(stream.read())]
    assert operations[0] == ("PROTO", 2)
    named = {value for code, value in operations if code == "GLOBAL"}
    assert named == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}


def test_the_stand_in_has_the_shapes_of_the_published_files(ingested: tuple[Project, str]) -> None:
    raw = ingested[0].layout.raw
    metadata = np.load(raw / FILE_2D, allow_pickle=True)["metadata"].item()
    assert set(metadata) == {"layout_name", "num_joints", "keypoints_symmetry"}
    in_2d = np.load(raw / FILE_2D, allow_pickle=True)["positions_2d"].item()
    in_3d = np.load(raw / FILE_3D, allow_pickle=True)["positions_3d"].item()
    assert set(in_2d) - set(in_3d) == set(ONLY_2D)
    assert set(in_2d["S11"]) - set(in_3d["S11"]) == {"Directions"}
    assert {take for actions in in_2d.values() for take in actions} == {t for takes in TAKES.values() for t in takes}
    assert all(poses.shape == (20, 32, 3) for actions in in_3d.values() for poses in actions.values())
    views = [view for actions in in_2d.values() for views in actions.values() for view in views]
    assert all(view.shape[1:] == (17, 2) and np.isfinite(view).all() for view in views)
    assert any(len({len(view) for view in views}) > 1 for views in in_2d["S1"].values())


def test_every_person_has_all_takes_and_all_cameras_by_name(detections: dict[str, xr.Dataset]) -> None:
    assert set(detections) == {*TRAIN, *TEST, *ONLY_2D}
    for person, capture in detections.items():
        assert capture["view"].values.tolist() == CAMERAS
        rows = reading.recordings(capture)
        assert [row.name for row in rows] == [f"{person} {take}" for takes in TAKES.values() for take in takes]
        assert {row.subject for row in rows} == {person}
        assert {row.fps for row in rows} == {50.0}
        assert list(dict.fromkeys(action_of_take(row.action) for row in rows)) == list(ACTIONS)


def test_detections_are_cut_to_the_shortest(put_in: StandIn, detections: dict[str, xr.Dataset]) -> None:
    lengths = set()
    for person, capture in detections.items():
        assert capture.attrs["confidence_source"] == "none"
        for row in reading.recordings(capture):
            views = put_in.detections[person][row.action]
            poses = put_in.poses.get(person, {}).get(row.action)
            shortest = min(len(part) for part in (*views, *([] if poses is None else [poses])))
            assert row.length == shortest
            lengths.add(shortest)
            expected = np.stack([view[:shortest] for view in views], 1)
            np.testing.assert_array_equal(capture["pixels"][row.frames], expected)
            assert (capture["confidence"][row.frames] == 1).all()
    assert len(lengths) > 2  # a camera shorter than the 3D, the 3D the shortest, people without 3D


def test_the_references_are_what_was_put_in(put_in: StandIn, references: dict[str, xr.Dataset]) -> None:
    assert set(references) == {*TRAIN, *TEST}
    compared = 0
    for person, reference in references.items():
        for row in reading.recordings(reference):
            if (person, row.action) != ("S11", "Directions"):
                expected = put_in.poses[person][row.action][: row.length]
                np.testing.assert_allclose(reference["poses"][row.frames], expected, rtol=0, atol=1e-6)
                compared += 1
    assert compared == 30 * 7 - 1


def test_the_references_fit_the_published_cameras(
    detections: dict[str, xr.Dataset], references: dict[str, xr.Dataset]
) -> None:
    for person, reference in references.items():
        capture = detections[person]
        K, R, t = (capture[name].values for name in ("K", "R", "t"))
        world = reference["poses"].values.astype(float)
        image = np.einsum("vab,vbc,fjc->fvja", K, R, world) + np.einsum("vab,vb->va", K, t)[:, None]
        error = np.linalg.norm(image[..., :2] / image[..., 2:] - capture["pixels"].values, axis=-1)
        # Lens distortion is left out here and the detector errs; with two cameras exchanged it would be above 20.
        assert np.nanmedian(error, axis=(0, 2)).max() < 8


def test_the_recording_without_3d_has_no_reference_and_ingest_says_so(
    ingested: tuple[Project, str], references: dict[str, xr.Dataset]
) -> None:
    lacking = [
        row.name
        for reference in references.values()
        for row in reading.recordings(reference)
        if np.isnan(reference["poses"][row.frames]).all()
    ]
    assert lacking == ["S11 Directions"]
    assert "recordings without a reference: S11 Directions\n" in ingested[1]


def test_people_in_neither_list_are_neither_trained_on_nor_tested(
    detections: dict[str, xr.Dataset], split: Split
) -> None:
    check_names(detections, split, "here")
    for person, capture in detections.items():
        assert frames_of(capture, split, "train").all() == (person in TRAIN)
        assert frames_of(capture, split, "train").any() == (person in TRAIN)
        assert frames_of(capture, split, "test").all() == (person in TEST)
        assert frames_of(capture, split, "test").any() == (person in TEST)


def test_the_recording_without_3d_is_left_out_of_the_evaluation_with_a_notice(
    detections: dict[str, xr.Dataset],
    references: dict[str, xr.Dataset],
    split: Split,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="trilift"):
        chosen, compared = frames_to_test(detections, split, references)
    assert compared
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["S11 Directions"]
    assert not any(chosen[person].any() for person in (*TRAIN, *ONLY_2D))
    assert chosen["S9"].all()
    (directions,) = (row for row in reading.recordings(detections["S11"]) if row.action == "Directions")
    assert np.flatnonzero(~chosen["S11"]).tolist() == list(range(len(chosen["S11"])))[directions.frames]


def test_without_any_reference_all_recordings_are_evaluated(detections: dict[str, xr.Dataset], split: Split) -> None:
    chosen, compared = frames_to_test(detections, split, {})
    assert not compared
    assert chosen["S11"].all()


def test_training_recordings_without_a_reference_are_not_mentioned(
    detections: dict[str, xr.Dataset],
    references: dict[str, xr.Dataset],
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen, _ = frames_to_test(detections, Split(by="subject", test=["S9"]), references)
    assert not chosen["S11"].any()
    assert not caplog.records


def test_missing_raw_files_are_named(put_in: StandIn, tmp_path: Path) -> None:
    project = start(tmp_path)
    code, said = project.run("ingest")
    assert code == 2
    assert "data/raw/h36m: not there" in said
    human36m_standin.write(project.layout.raw, put_in)
    (project.layout.raw / FILE_3D).unlink()
    code, said = project.run("ingest")
    assert code == 2
    assert f"data/raw/h36m/{FILE_3D}: not there" in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def finished(ingested: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which all stages have run."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    project = Project(Layout("h36m", shutil.copytree(ingested[0].layout.project, folder)))
    for stage in ("triangulate", "train", "evaluate"):
        code, said = project.run(stage, "--device", "cpu")
        assert code == 0, said
    code, said = project.run("plot")
    assert code == 0, said
    return project


def test_all_stages_run(finished: Project) -> None:
    found = json.loads((finished.layout.results / "metrics.json").read_text())
    assert found["detections_from"] == "CPN fine-tuned on Human3.6M"
    assert found["simulated"] is False
    assert found["seen_in_training"] is False
    assert 0 < found["pseudo_label_mpjpe_mm"] < 60 < found["mpjpe_mm"]
    figures = list((finished.layout.results / "figures").glob("*.png"))
    assert len(figures) == 8
    assert all(plt.imread(file).std() > 0.01 for file in figures)


def test_the_errors_are_of_the_test_recordings_with_3d(finished: Project) -> None:
    table = pd.read_csv(finished.layout.results / "per_recording.csv", index_col="recording")
    expected = {f"{person} {take}" for person in TEST for takes in TAKES.values() for take in takes}
    assert set(table.index) == expected - {"S11 Directions"}


def test_people_in_neither_list_never_reach_the_lifter(finished: Project, tmp_path: Path) -> None:
    copy = Project(Layout("h36m", shutil.copytree(finished.layout.project, tmp_path / "copy")))
    for path, variables in (
        (copy.layout.captures, ("pixels", "confidence")),
        (copy.layout.pseudo_labels, ("training_poses",)),
    ):
        with h5netcdf.File(path, "a") as file:
            for name in variables:
                for person in ONLY_2D:
                    file[person][name][...] = 7.0
    code, said = copy.run("train", "--device", "cpu")
    assert code == 0, said
    for name in ("lifter.safetensors", "history.csv"):
        assert (copy.layout.results / name).read_bytes() == (finished.layout.results / name).read_bytes()

"""The command `trilift export` on files of the flow."""

import argparse
import logging
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.export import FORMATS, Motion, command, write
from trilift.skeletons import COCO17, H36M17, Skeleton

RECORDINGS = [Recording("S1 Walk", "S1", "Walk", 50.0, 0, 6), Recording("S1 Sit", "S1", "Sit", 25.0, 6, 4, 370)]
RNG = np.random.default_rng(0)


def export(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.describe(parser.add_subparsers().add_parser("export"))
    command.run(parser.parse_args(["export", *map(str, arguments)]))


def read(path: Path, keypoints: int) -> np.ndarray:
    return pd.read_csv(path, comment="#").iloc[:, 2:].to_numpy(float).reshape(-1, keypoints, 3)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def write_world(
    path: Path, kind: str, recordings: list[Recording] = RECORDINGS, captures_named: tuple[str, ...] = ("S1",)
) -> np.ndarray:
    """Write pseudo-labels or a reference of one capture or several: (frame, keypoint, 3), the same in all."""
    points = RNG.normal(size=(sum(recording.length for recording in recordings), len(COCO17), 3))
    with writing.create(path, kind, dataset="gait") as file:
        for name in captures_named:
            capture = file.add_capture(name, recordings=recordings, skeleton=COCO17, views=["left", "right"])
            capture.write("poses", points)
    return points


def write_captures(path: Path, skeleton: Skeleton = COCO17, simulated: str = "yes") -> None:
    with writing.create(path, "captures", simulated=simulated) as file:
        file.add_capture("S1", recordings=RECORDINGS, skeleton=skeleton, views=["left", "right"])


def write_predictions(path: Path, frames: list[int]) -> np.ndarray:
    """Write predictions of some frames of the capture; returns absolute poses (frame, view, joint, 3)."""
    joints = RNG.normal(size=(len(frames), 2, len(H36M17), 3))
    root = RNG.normal(size=(len(frames), 2, 3))
    with writing.create(path, "predictions", dataset="gait") as file:
        capture = file.add_capture(
            "S1", recordings=RECORDINGS, skeleton=H36M17, views=["left", "right"], frames=len(frames)
        )
        capture.write_block(slice(0, len(frames)), poses=joints, root=root, frame_of_capture=np.array(frames))
    return joints + root[:, :, None]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pseudo_labels" / "gait.nc"


@pytest.mark.parametrize("kind", ["pseudo_labels", "references"])
def test_every_recording_becomes_a_file(
    labels: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", 3)
    points = write_world(labels, kind)
    with caplog.at_level(logging.INFO):
        export(labels, "--to", "csv")
    folder = labels.parent / "export"
    assert names(folder) == ["gait_S1_Sit.csv", "gait_S1_Walk.csv"]
    np.testing.assert_allclose(read(folder / "gait_S1_Walk.csv", len(COCO17)), points[:6], atol=1e-6)
    np.testing.assert_allclose(read(folder / "gait_S1_Sit.csv", len(COCO17)), points[6:], atol=1e-6)
    table = pd.read_csv(folder / "gait_S1_Sit.csv", comment="#")
    assert table["frame"].tolist() == [370, 371, 372, 373]
    assert table["time_s"].tolist() == [14.8, 14.84, 14.88, 14.92]
    what = "pseudo-labels" if kind == "pseudo_labels" else "reference"
    assert caplog.messages[0] == f"Wrote {folder / 'gait_S1_Walk.csv'}: {what} of gait, world, 6 frames, 0 to 5"


def test_a_recording_and_a_folder_can_be_chosen(labels: Path, tmp_path: Path) -> None:
    points = write_world(labels, "pseudo_labels")
    export(labels, "--to", "csv", "--output", tmp_path / "for me", "--recording", "S1 Sit", "--up=z")
    assert names(tmp_path / "for me") == ["gait_S1_Sit.csv"]
    turned = points[6:][..., [0, 2, 1]] * [1, 1, -1]
    np.testing.assert_allclose(read(tmp_path / "for me" / "gait_S1_Sit.csv", len(COCO17)), turned, atol=1e-6)


@pytest.mark.parametrize(("simulated", "expected"), [("yes", "yes"), ("no", "no"), (None, "unknown")])
def test_whether_labels_are_simulated_is_in_the_captures(labels: Path, simulated: str | None, expected: str) -> None:
    write_world(labels, "pseudo_labels")
    if simulated is not None:
        write_captures(labels.parents[1] / "captures" / "gait.nc", simulated=simulated)
    export(labels, "--to", "npz")
    with np.load(labels.parent / "export" / "gait_S1_Walk.npz", allow_pickle=False) as file:
        assert (file["simulated"], file["source"]) == (expected, "pseudo-labels of gait")
        assert [tuple(file["keypoints"][bone]) for bone in file["bones"]] == list(COCO17.bones)


def test_predictions_are_absolute_and_per_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", 2)
    path = tmp_path / "predictions.nc"
    poses = write_predictions(path, [1, 2, 3, 6, 7, 8, 9])
    export(path, "--to", "csv")
    folder = tmp_path / "export"
    assert names(folder) == [
        f"predictions_S1_{recording}_{view}.csv" for recording in ("Sit", "Walk") for view in ("left", "right")
    ]
    for view, name in enumerate(("left", "right")):
        walk, sit = folder / f"predictions_S1_Walk_{name}.csv", folder / f"predictions_S1_Sit_{name}.csv"
        np.testing.assert_allclose(read(walk, len(H36M17)), poses[:3, view], atol=1e-6)
        np.testing.assert_allclose(read(sit, len(H36M17)), poses[3:, view], atol=1e-6)
        assert f"frame of reference: camera {name}" in walk.read_text().splitlines()[0]


def test_predicted_frames_keep_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", 2)
    path = tmp_path / "predictions.nc"
    poses = write_predictions(path, [1, 4])
    with caplog.at_level(logging.INFO):
        export(path, "--to", "csv", "--view", "right")
    assert names(tmp_path / "export") == ["predictions_S1_Walk_right.csv"]  # nothing of S1 Sit was predicted
    written = tmp_path / "export" / "predictions_S1_Walk_right.csv"
    table = pd.read_csv(written, comment="#")
    assert table["frame"].tolist() == [1, 2, 3, 4]
    assert table["time_s"].tolist() == [0.02, 0.04, 0.06, 0.08]
    found = read(written, len(H36M17))
    np.testing.assert_allclose(found[[0, 3]], poses[:, 1], atol=1e-6)
    assert np.isnan(found[1:3]).all()
    assert caplog.messages == [f"Wrote {written}: predictions of gait, camera right, 4 frames, 1 to 4"]


def test_predictions_count_as_the_video_does(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.nc", [7, 9])
    export(tmp_path / "predictions.nc", "--to", "csv", "--view", "left")
    (written,) = (tmp_path / "export").iterdir()
    table = pd.read_csv(written, comment="#")
    assert table["frame"].tolist() == [371, 372, 373]
    assert table["time_s"].tolist() == [14.84, 14.88, 14.92]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_view_without_a_point_is_left_out_and_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "predictions.nc"
    write_predictions(path, list(range(10)))
    with h5py.File(path, "a") as file:
        file["S1/root"][:6, 1] = np.nan  # of S1 Walk from the right
    export(path, "--to", suffix)
    there = ["S1_Sit_left", "S1_Sit_right", "S1_Walk_left"]
    assert names(tmp_path / "export") == [f"predictions_{name}.{suffix}" for name in there]
    assert "Not written: S1 Walk, camera right: none of its 6 frames has a point" in caplog.messages
    with pytest.raises(InputError, match=r"predictions.nc: nothing to write: S1 Walk, camera right"):
        export(path, "--to", suffix, "--view", "right", "--recording", "S1 Walk")


def test_pseudo_labels_without_a_point_are_refused(labels: Path) -> None:
    write_world(labels, "pseudo_labels")
    with h5py.File(labels, "a") as file:
        file["S1/poses"][...] = np.nan
    with pytest.raises(
        InputError, match="nothing to write: S1 Walk, world: none of its 6 frames has a point; S1 Sit"
    ):
        export(labels, "--to", "trc")
    assert not list(labels.parent.glob("export/*"))


def test_predictions_out_of_order_are_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.nc", [3, 1])
    with pytest.raises(InputError, match="out of order"):
        export(tmp_path / "predictions.nc", "--to", "csv")


def test_exported_poses_can_be_exported_again(tmp_path: Path) -> None:
    motion = Motion("S1/Walk", ("a b", "c"), 30.0, 3, "camera left", "predictions of gait", True, first_frame=5)
    points = RNG.normal(size=(3, 2, 3))
    write(tmp_path / "poses.nc", motion, [points])
    export(tmp_path / "poses.nc", "--to", "csv")
    (written,) = (tmp_path / "export").iterdir()
    assert written.name == "poses_S1_Walk.csv"
    np.testing.assert_allclose(read(written, 2), points, atol=1e-6)
    assert pd.read_csv(written, comment="#")["frame"].tolist() == [5, 6, 7]
    assert written.read_text().splitlines()[0] == (
        "# predictions of gait (SIMULATED), recording S1/Walk, frame of reference: camera left"
    )


def test_recordings_of_several_captures_with_the_same_name_get_different_files(labels: Path) -> None:
    write_world(labels, "pseudo_labels", captures_named=("Anna", "Ben"))
    export(labels, "--to", "csv", "--recording", "S1 Sit")
    assert names(labels.parent / "export") == ["gait_Anna_S1_Sit.csv", "gait_Ben_S1_Sit.csv"]


def test_names_of_files_do_not_repeat_the_data_set(labels: Path) -> None:
    names_of_recordings = ("gait", "gait 2", "gaits", "walk")
    recordings = [Recording(name, "", "", 50.0, 2 * at, 2) for at, name in enumerate(names_of_recordings)]
    write_world(labels, "pseudo_labels", recordings)
    export(labels, "--to", "csv")
    assert names(labels.parent / "export") == ["gait.csv", "gait_2.csv", "gait_gaits.csv", "gait_walk.csv"]


def test_recordings_that_would_share_a_file_are_refused_before_anything_is_written(labels: Path) -> None:
    recordings = [Recording("a b", "", "", 50.0, 0, 2), Recording("A?b", "", "", 50.0, 2, 2)]
    write_world(labels, "pseudo_labels", recordings)
    with pytest.raises(InputError, match="one after the other, with --recording"):
        export(labels, "--to", "csv")
    assert not (labels.parent / "export").exists()
    export(labels, "--to", "csv", "--recording", "A?b")
    assert names(labels.parent / "export") == ["gait_S1_A_b.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recording", "S2 Walk", "S3"], "no recording S2 Walk, S3; there are S1 Walk, S1 Sit"),
        (["--view", "left"], "only predictions have views; leave out --view"),
        (["--output", __file__], "no folder; --output names the folder"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(labels: Path, arguments: list[str], message: str) -> None:
    write_world(labels, "pseudo_labels")
    with pytest.raises(InputError, match=message):
        export(labels, "--to", "csv", *arguments)


def test_an_unknown_view_is_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.nc", [0])
    with pytest.raises(InputError, match="no view 'top'; there are left, right"):
        export(tmp_path / "predictions.nc", "--to", "csv", "--view", "top")


def test_other_sources_are_refused(labels: Path, tmp_path: Path) -> None:
    def refused(source: Path, *arguments: str) -> str:
        with pytest.raises(InputError) as caught:
            export(source, *(arguments or ("--to", "csv")))
        assert str(source) in str(caught.value)
        return str(caught.value)

    assert "no such file; expected pseudo-labels" in refused(labels)
    write_captures(tmp_path / "captures.nc")
    assert "holds captures, expected" in refused(tmp_path / "captures.nc")
    (tmp_path / "text.nc").write_text("text")
    assert "no readable netCDF file" in refused(tmp_path / "text.nc")
    with writing.create(tmp_path / "empty.nc", "references"):
        pass
    assert "no recordings" in refused(tmp_path / "empty.nc")
    assert "a folder; expected a file" in refused(tmp_path)
    assert "holds no lifter.json" in refused(tmp_path, "--to", "onnx")


def test_an_unknown_format_or_axis_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--to", "bvh"], ["--to", "csv", "--up", "up"]):
        with pytest.raises(SystemExit) as caught:
            export("a.nc", *arguments)
        assert caught.value.code == 2
        assert "invalid choice" in capsys.readouterr().err

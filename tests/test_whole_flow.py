import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import trilift
from synthetic import OPENPOSE_DATA_SET, write_openpose_data_set
from trilift.captures import reading, writing
from trilift.cli import main
from trilift.evaluate import capture
from trilift.geometry import chunks
from trilift.lifter.lifter import Lifter
from trilift.skeletons import H36M17
from trilift.train.checkpoint import Checkpoint

STAGES = ("simulate", "ingest", "triangulate", "train", "evaluate", "plot")
WITH_DEVICE = {"triangulate", "train", "evaluate"}
REPOSITORY = Path(__file__).parents[1]
PARAMS: dict[str, Any] = {
    "seed": 0,
    "simulate": {"seconds": 0.6},
    "ingest": {},
    "triangulate": {},
    "evaluate": {},
    "train": {
        "network": {"kind": "residual", "width": 16, "blocks": 1, "dropout": 0.1},
        "steps": 20,
        "batch_frames": 64,
        "threads": 1,
    },
    "plot": {"examples": 2, "viewer_seconds": 0.5},
}


def run(project: Path, stage: str, dataset: str, *more: str) -> int:
    device = ["--device", "cpu"] if stage in WITH_DEVICE else []
    return main([stage, dataset, "--project", str(project), *device, *more])


def start(project: Path) -> Path:
    (project / "workflow" / "datasets").mkdir(parents=True)
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    shutil.copy(REPOSITORY / "workflow/datasets/demo.yaml", project / "workflow/datasets")
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which all stages of the demo have run."""
    project = start(tmp_path_factory.mktemp("demo"))
    for stage in STAGES:
        assert run(project, stage, "demo") == 0
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def metrics(project: Path, dataset: str = "demo") -> dict[str, Any]:
    return json.loads((project / "results" / dataset / "main" / "metrics.json").read_text())


def trained(project: Path) -> dict[str, bytes]:
    folder = project / "results/demo/main"
    return {name: (folder / name).read_bytes() for name in ("lifter.safetensors", "lifter.json", "history.csv")}


def test_the_demo_is_measured_against_its_reference_and_called_simulated(finished: Path) -> None:
    found = metrics(finished)
    assert found["simulated"] is True
    assert found["detections_from"] == "simulated detector"
    assert found["seen_in_training"] is False
    assert 0 < found["other_views_reprojection_px"] < 2000
    for measure in ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm"):
        for prefix in ("", "mean_pose_", "pseudo_label_"):
            assert 0 < found[prefix + measure] < 2000


def test_only_the_test_people_are_predicted(finished: Path) -> None:
    with reading.read(finished / "results/demo/main/predictions.nc", "predictions") as predictions:
        assert {name: capture.sizes["frame"] for name, capture in predictions.items()} == {"S9": 150, "S11": 150}
        for capture in predictions.values():
            assert capture["frame_of_capture"].values.tolist() == list(range(150))
    assert metrics(finished)["test_frames"] == 300
    assert metrics(finished)["test_poses"] == 4 * 300


def poses_of(project: Path) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Predictions and references of the demo, per capture, both (frame, view, joint, 3) with the root at 0."""
    with (
        reading.read(project / "data/captures/demo.nc", "captures") as cameras,
        reading.read(project / "data/references/demo.nc", "references") as references,
        reading.read(project / "results/demo/main/predictions.nc", "predictions") as predictions,
    ):
        for name, capture in predictions.items():
            world = references[name]["poses"].values[capture["frame_of_capture"].values].astype(float)
            relative = world - world[:, :1]
            truth = np.einsum("vxy,fjy->fvjx", cameras[name]["R"].values, relative)
            yield capture["poses"].values.astype(float), truth


def test_the_mpjpe_is_the_mean_distance_of_the_16_joints(finished: Path) -> None:
    distances = [np.linalg.norm(predicted - truth, axis=-1)[..., 1:] for predicted, truth in poses_of(finished)]
    expected = 1000 * np.nanmean(np.concatenate(distances))
    assert metrics(finished)["mpjpe_mm"] == pytest.approx(expected, rel=1e-5)


def test_the_mean_pose_is_measured_where_there_is_a_prediction(finished: Path) -> None:
    mean_pose = Lifter.load(finished / "results/demo/main").mean_pose.numpy().astype(float)
    distances = [
        np.linalg.norm(mean_pose - truth, axis=-1)[np.isfinite(predicted[..., 0, 0]), 1:]
        for predicted, truth in poses_of(finished)
    ]
    expected = 1000 * np.mean(np.concatenate(distances))
    assert metrics(finished)["mean_pose_mpjpe_mm"] == pytest.approx(expected, rel=1e-5)


def test_the_pa_mpjpe_is_that_of_scipys_alignment(finished: Path) -> None:
    distances = []
    for predicted, truth in poses_of(finished):
        for frame, view in np.argwhere(np.isfinite(predicted[..., 0, 0])):
            a, b = predicted[frame, view], truth[frame, view]
            a, b = a - a.mean(0), b - b.mean(0)
            turned = Rotation.align_vectors(b, a)[0].apply(a)
            distances.append(np.linalg.norm((turned * b).sum() / (turned**2).sum() * turned - b, axis=1))
    assert metrics(finished)["pa_mpjpe_mm"] == pytest.approx(1000 * np.mean(distances), rel=1e-4)


def test_poses_without_a_prediction_are_counted(finished: Path) -> None:
    missing = sum(np.isnan(predicted).all((-1, -2)).sum() for predicted, _ in poses_of(finished))
    assert metrics(finished)["test_poses_without_prediction"] == missing > 0


def test_the_tables_have_the_test_recordings_and_all_joints(finished: Path) -> None:
    folder = finished / "results/demo/main"
    per_recording = pd.read_csv(folder / "per_recording.csv", index_col="recording")
    assert len(per_recording) == 10
    per_joint = pd.read_csv(folder / "per_joint.csv", index_col="joint")
    assert list(per_joint.index) == list(H36M17.keypoints)
    assert (per_joint.loc["pelvis", ["mpjpe_mm", "mean_pose_mpjpe_mm"]] == 0).all()


def test_the_runs_of_a_sweep_are_put_side_by_side(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {"seeds": [0, 1], "losses": {"input": {"multi_view_consistency": 0.0}, "both": {}}}
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"sweep": sweep}))
    assert run(project, "sweep", "demo") == 2  # nothing is trained yet
    assert "metrics.json: not there; train and evaluate the run both-s0 first" in capsys.readouterr().err
    found = {}
    for name in ("input-s0", "input-s1", "both-s0", "both-s1"):
        assert run(project, "train", "demo", "--run", name) == 0
        assert run(project, "evaluate", "demo", "--run", name) == 0
        found[name] = json.loads((project / f"results/demo/{name}/metrics.json").read_text())["mpjpe_mm"]
    assert len(set(found.values())) == 4
    # The main run has seed 0 and the same losses as `both`.
    assert found["both-s0"] == metrics(project)["mpjpe_mm"]
    assert run(project, "sweep", "demo") == 0
    table = pd.read_csv(project / "results/demo/sweep/table.csv", index_col="losses")
    for losses in ("input", "both"):
        values = [found[f"{losses}-s{seed}"] for seed in (0, 1)]
        assert table.loc[losses, "mpjpe_mm_mean"] == pytest.approx(np.mean(values), abs=1e-4)
        assert table.loc[losses, "mpjpe_mm_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
    for figure in ("mpjpe", "training"):
        assert plt.imread(project / f"results/demo/sweep/{figure}.png").std() > 0.01


def test_a_run_that_is_not_in_the_sweep_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project, "train", "demo", "--run", "all-s9") == 2
    assert "no run all-s9" in capsys.readouterr().err


def test_a_temporal_lifter_sees_beyond_the_blocks_that_it_is_evaluated_in(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = PARAMS["train"] | {"network": {"kind": "temporal", "width": 8, "frames": 9}}
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"train": train}))
    assert run(project, "train", "demo") == 0
    found = []
    for size in (reading.FRAMES_PER_BLOCK, 7):
        monkeypatch.setattr(reading, "FRAMES_PER_BLOCK", size)
        assert run(project, "evaluate", "demo") == 0
        with reading.read(project / "results/demo/main/predictions.nc", "predictions") as predictions:
            found.append(np.concatenate([one["poses"].values for one in predictions.values()]))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    assert np.isfinite(found[0]).any()


FIGURES = [
    "error_by_condition",
    "error_distribution",
    "error_per_action",
    "error_per_joint",
    "error_per_view",
    "poses",
    "pseudo_labels",
    "training",
]


def test_there_are_figures_with_something_in_them(finished: Path) -> None:
    folder = finished / "results/demo/main/figures"
    names = [f"{name}.{ending}" for name in FIGURES for ending in ("pdf", "png")]
    assert sorted(file.name for file in folder.iterdir()) == ["animation.gif", *names]
    for name in FIGURES:
        assert plt.imread(folder / f"{name}.png").std() > 0.01
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_viewer_and_the_table_say_that_the_demo_is_simulated(finished: Path) -> None:
    results = finished / "results/demo/main"
    assert "SIMULATED data" in (results / "viewer.html").read_text("utf-8")
    for name in ("table.md", "table.tex"):
        assert "SIMULATED" in (results / name).read_text("utf-8")


def compared_with(project: Path) -> str:
    page = (project / "results/demo/main/viewer.html").read_text("utf-8")
    (name,) = re.findall(r'"comparedWith": ?"([^"]*)"', page)
    return name


@pytest.mark.parametrize("lost", ["the capture", "its poses"])
def test_a_capture_without_a_reference_is_left_out_with_a_notice(
    finished: Path, project: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(project / "data/references/demo.nc", "a") as file:
        if lost == "the capture":
            del file["S11"]
        else:
            file["S11/poses"][:, 0] = np.nan  # without a root nothing can be compared
    assert run(project, "evaluate", "demo") == 0
    said = capsys.readouterr().err
    assert "capture S11: no reference, so it is left out of the evaluation" in said
    assert "S9: no reference" not in said
    found, both = metrics(project), metrics(finished)
    assert (found["test_frames"], found["test_poses"]) == (150, 600)
    of_both = pd.read_csv(finished / "results/demo/main/per_view.csv")
    of_one = pd.read_csv(project / "results/demo/main/per_view.csv")
    pd.testing.assert_frame_equal(of_one, of_both[of_both["capture"] == "S9"].reset_index(drop=True))
    expected = np.average(of_one["mpjpe_mm"], weights=of_one["poses"])
    assert found["mpjpe_mm"] == pytest.approx(expected, abs=1e-3) != both["mpjpe_mm"]
    with reading.read(project / "results/demo/main/predictions.nc", "predictions") as predictions:
        assert list(predictions) == ["S9"]
        assert predictions["S9"]["pose_error"].attrs["units"] == "mm"
    assert run(project, "plot", "demo") == 0
    assert compared_with(project) == "reference"


def test_a_reference_of_training_people_only_is_no_reference_of_the_test(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(project / "data/references/demo.nc", "a") as file:
        del file["S11"]
        file["S9/poses"][:] = np.nan
    assert run(project, "evaluate", "demo") == 0
    assert "The reference has no pose of the test frames" in capsys.readouterr().err
    found = metrics(project)
    assert found["test_frames"] == 300
    assert "mpjpe_mm" not in found
    assert found["pseudo_label_other_views_reprojection_px"] > 0
    distribution = pd.read_csv(project / "results/demo/main/distribution.csv")
    assert set(distribution["unit"]) == {"px"}
    assert distribution["threshold"].max() == 100
    assert run(project, "plot", "demo") == 0
    assert compared_with(project) == "pseudo-label"


def test_poses_are_not_shown_beside_another_reference_than_they_were_measured_with(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(project / "data/references/demo.nc", "a") as file:
        del file["S9"]
    assert run(project, "plot", "demo") == 2
    assert "predictions.nc: made from other recordings of 'S9'" in capsys.readouterr().err


def test_a_view_without_a_prediction_keeps_its_row(project: Path) -> None:
    with h5py.File(project / "data/captures/demo.nc", "a") as file:
        names = file["S9/view"].asstr()[:].tolist()
        file["S9/pixels"][:, 1] = np.nan
        file["S9/confidence"][:, 1] = 0
        file["S11/pixels"][:30] = np.nan  # the first of its recordings
        file["S11/confidence"][:30] = 0
    assert run(project, "evaluate", "demo") == 0
    folder = project / "results/demo/main"
    per_view = pd.read_csv(folder / "per_view.csv", dtype={"view": str}).set_index(["capture", "view"])
    assert per_view.index.tolist() == [(capture, name) for capture in ("S9", "S11") for name in names]
    unseen = per_view.loc["S9", names[1]]
    assert unseen["poses"] == 0
    assert unseen.drop("poses").isna().all()
    assert (per_view.drop(("S9", names[1]))["poses"] > 0).all()
    per_recording = pd.read_csv(folder / "per_recording.csv")
    assert per_recording["poses"].eq(0).tolist() == [False] * 5 + [True] + [False] * 4
    assert per_recording["mpjpe_mm"].isna().tolist() == [False] * 5 + [True] + [False] * 4
    assert not any(value is None for value in metrics(project).values())
    assert run(project, "plot", "demo") == 0


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (["captures/pixels"], "no view has detected the pelvis"),
        (["references/poses", "pseudo_labels/training_poses"], "there is no reference"),
    ],
)
def test_test_poses_of_which_none_can_be_measured_are_refused(
    project: Path, variables: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("metrics.json", "predictions.nc"):
        (project / "results/demo/main" / name).unlink()
    for variable in variables:
        kind, _, name = variable.partition("/")
        with h5py.File(project / f"data/{kind}/demo.nc", "a") as file:
            for person in ("S9", "S11"):
                file[person][name][...] = np.nan
    assert run(project, "evaluate", "demo") == 2
    said = capsys.readouterr().err
    assert "none of the 1200 test poses can be measured" in said
    assert reason in said
    for name in ("metrics.json", "predictions.nc"):
        assert not (project / "results/demo/main" / name).exists()


def test_tables_name_their_units(finished: Path, without_reference: Path) -> None:
    for project, dataset, unit in ((finished, "demo", "mm"), (without_reference, "mine", "px")):
        folder = project / "results" / dataset / "main"
        tables = {name: pd.read_csv(folder / f"{name}.csv") for name in CONDITIONS}
        assert {name: list(table) for name, table in tables.items()} == {
            "by_confidence": ["confidence_low", "confidence_high", "error", "joints", "unit"],
            "by_angle": ["angle_low_deg", "angle_high_deg", "error", "poses", "unit"],
            "distribution": ["threshold", "lifter_percent", "mean_pose_percent", "pseudo_label_percent", "unit"],
        }
        assert {each for table in tables.values() for each in table["unit"]} == {unit}
        distribution = tables["distribution"].drop(columns=["threshold", "unit"])
        assert (distribution.diff().dropna() >= 0).all(axis=None)
        assert 1 < distribution.max().max() <= 100
        with reading.read(folder / "predictions.nc", "predictions") as predictions:
            assert {capture["pose_error"].attrs["units"] for capture in predictions.values()} == {unit}


CONDITIONS = ("by_confidence", "by_angle", "distribution")


def test_dvc_plots_what_the_tables_hold(finished: Path, without_reference: Path) -> None:
    stages = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text("utf-8"))["stages"]
    plots = [plot for stage in stages.values() for plot in stage.get("plots", [])]
    stated = {path: plot for entry in plots for path, plot in entry.items() if path.endswith(".csv")}
    assert len(stated) == 4
    for path, plot in stated.items():
        for project, dataset in ((finished, "demo"), (without_reference, "mine")):
            columns = set(pd.read_csv(project / path.replace("${item.dataset}", dataset)))
            assert {plot["x"], plot["y"]} <= columns, path


def test_the_table_counts_the_poses_that_it_is_a_mean_of(finished: Path) -> None:
    facts = metrics(finished)
    without = facts["test_poses_without_prediction"]
    assert without > 0
    note = (finished / "results/demo/main/table.md").read_text().splitlines()[-1]
    assert (
        f"{facts['test_poses'] - without} poses, each from one view ({without} more had too few detections)" in note
    )


def test_a_lifter_may_be_read_by_whoever_may_read_the_rest(finished: Path) -> None:
    folder = finished / "results/demo/main"
    assert (folder / "lifter.safetensors").stat().st_mode == (folder / "lifter.json").stat().st_mode


def test_an_unknown_protocol_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"evaluate": {"protocol": "h36m"}}))
    assert run(project, "evaluate", "demo") == 2
    message = capsys.readouterr().err
    assert "section evaluate" in message
    assert all(name in message for name in ("protocol", "human36m", "mpi_inf_3dhp", "humaneva", "'h36m'"))


def test_a_reference_of_another_skeleton_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(project / "data/references/demo.nc", "a") as file:
        file["S9"].attrs["skeleton"] = "humaneva15"
    assert run(project, "evaluate", "demo") == 2
    message = capsys.readouterr().err
    assert "references/demo.nc" in message
    assert "humaneva15" in message


def test_a_reference_of_another_length_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "data/references/demo.nc"
    with reading.read(path, "references") as references:
        content = {name: capture.load() for name, capture in references.items()}
    with writing.create(path, "references", dataset="demo") as file:
        for name, capture in content.items():
            recordings = reading.recordings(capture)
            if name == "S9":
                recordings[-1] = replace(recordings[-1], length=recordings[-1].length - 3)
            written = file.add_capture(name, recordings=recordings, skeleton=H36M17)
            length = recordings[-1].frames.stop
            written.write_block(slice(0, length), poses=capture["poses"].values[:length])
    assert run(project, "evaluate", "demo") == 2
    message = capsys.readouterr().err
    assert "references/demo.nc" in message
    assert "S9" in message


def predicted_poses(project: Path) -> NDArray[np.float32]:
    with reading.read(project / "results/demo/main/predictions.nc", "predictions") as predictions:
        return predictions["S9"]["poses"].values


def used_poses(project: Path, **options: bool) -> NDArray[np.float32]:
    """What a user gets of the same detections, view by view."""
    predictor = trilift.load(project / "results/demo/main", **options)
    with reading.read(project / "data/captures/demo.nc", "captures") as opened:
        capture = opened["S9"].load()
        recordings = reading.recordings(capture)
    cameras = [
        trilift.Camera(name, *(capture[part].values[view] for part in ("K", "distortion", "R", "t", "image_size")))
        for view, name in enumerate(capture["view"].values.tolist())
    ]
    return np.concatenate(
        [
            np.stack(
                [
                    predictor.predict(
                        capture["pixels"].values[recording.frames, view],
                        camera,
                        capture["confidence"].values[recording.frames, view],
                        capture.attrs["skeleton"],
                    ).poses
                    for view, camera in enumerate(cameras)
                ],
                1,
            )
            for recording in recordings
        ]
    )


def test_what_is_measured_is_what_users_get(finished: Path) -> None:
    assert metrics(finished)["flip"] is True
    np.testing.assert_allclose(predicted_poses(finished), used_poses(finished), atol=1e-5)


def test_flips_can_be_left_out(project: Path) -> None:
    twice = metrics(project)
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"evaluate": {"flip": False}}))
    assert run(project, "evaluate", "demo") == 0
    once = metrics(project)
    np.testing.assert_allclose(predicted_poses(project), used_poses(project, flip=False), atol=1e-5)
    assert (once["flip"], twice["flip"]) == (False, True)
    assert twice["mpjpe_mm"] != once["mpjpe_mm"]
    assert twice["pseudo_label_mpjpe_mm"] == once["pseudo_label_mpjpe_mm"]


def test_labels_without_covariance_cannot_be_weighted_by_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"method": "dlt", "smoothing": None, "repair_swaps": False, "diagnose": False}
    train = PARAMS["train"] | {"losses": {"trust_labels": True}}
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"triangulate": plain, "train": train}))
    assert run(project, "triangulate", "demo") == 0
    assert run(project, "train", "demo") == 2
    assert "set trust_labels: false, or make them with triangulate.method: robust" in capsys.readouterr().err
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"triangulate": plain}))
    assert run(project, "train", "demo") == 0


def test_training_again_gives_the_same_bytes(finished: Path, project: Path) -> None:
    assert run(project, "train", "demo") == 0
    assert trained(project) == trained(finished)


def test_the_reference_never_reaches_the_lifter(finished: Path, project: Path) -> None:
    with h5netcdf.File(project / "data/references/demo.nc", "a") as file:
        for capture in file.groups.values():
            capture["poses"][...] = 7.0
    assert run(project, "train", "demo") == 0
    assert trained(project) == trained(finished)


def test_the_people_for_testing_never_reach_the_lifter(finished: Path, project: Path) -> None:
    for kind, variables in {"captures": ["pixels", "confidence"], "pseudo_labels": ["training_poses"]}.items():
        with h5netcdf.File(project / f"data/{kind}/demo.nc", "a") as file:
            for name in variables:
                for person in ("S9", "S11"):
                    file[person][name][...] = 7.0
    assert run(project, "train", "demo") == 0
    assert trained(project) == trained(finished)


def test_a_training_whose_lifter_was_not_saved_is_not_lost(
    finished: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt  # not by a signal, which a shell lets what runs in the background ignore

    monkeypatch.setattr(Checkpoint.__init__, "__defaults__", (0.0,))
    with monkeypatch.context() as broken:
        broken.setattr(Lifter, "save", interrupt)
        assert run(project, "train", "demo") != 0
    (checkpoint,) = (project / ".trilift/checkpoints").iterdir()
    capsys.readouterr()
    assert run(project, "train", "demo") == 0
    assert "going on from" in capsys.readouterr().err
    assert trained(project) == trained(finished)
    assert not checkpoint.exists()


@pytest.mark.parametrize(("steps", "warned"), [(20, False), (2000, True)])
def test_few_frames_that_are_seen_many_times_are_warned_of(
    without_reference: Path, tmp_path: Path, steps: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Path(shutil.copytree(without_reference, tmp_path / "copy"))
    tiny = {"kind": "residual", "width": 2, "blocks": 0}
    train = PARAMS["train"] | {"steps": steps, "network": tiny, "losses": {"multi_view_consistency": 0.0}}
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"train": train}))
    assert run(project, "train", "mine") == 0
    assert ("15 frames to train on, each seen 2000 times" in capsys.readouterr().err) == warned


def test_validation_frames_that_cannot_be_compared_are_remarked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(project / "data/pseudo_labels/demo.nc", "a") as file:
        for person in ("S1", "S5", "S6", "S7", "S8"):
            file[person]["training_poses"][:, 1:] = np.where(np.arange(150) % 30 < 27, 1.0, np.nan)[:, None, None]
    assert run(project, "train", "demo") == 0
    assert "none of the 75 frames to validate on has a pseudo-label beside the pelvis's" in capsys.readouterr().err
    assert "validation_mpjpe_mm" not in pd.read_csv(project / "results/demo/main/history.csv")
    assert run(project, "evaluate", "demo") == run(project, "plot", "demo") == 0


def test_a_joint_that_is_never_labelled_has_no_mean_and_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrist = H36M17.index("left_wrist")
    with h5py.File(project / "data/pseudo_labels/demo.nc", "a") as file:
        for person in file:
            file[person]["training_poses"][:, wrist] = np.nan
    assert run(project, "train", "demo") == 0
    assert (
        "no training frame has a pseudo-label of left_wrist: the lifter never predicts it" in capsys.readouterr().err
    )
    mean_pose = Lifter.load(project / "results/demo/main").mean_pose
    assert mean_pose.isnan().any(1).nonzero().tolist() == [[wrist]]
    assert run(project, "evaluate", "demo") == 0
    assert "training had no label of left_wrist: all means are over the other joints" in capsys.readouterr().err
    results = project / "results/demo/main"
    per_joint = pd.read_csv(results / "per_joint.csv").set_index("joint")
    for source in ("", "mean_pose_", "pseudo_label_"):
        assert np.isnan(per_joint.loc["left_wrist", f"{source}mpjpe_mm"])
        assert per_joint[f"{source}mpjpe_mm"].isna().sum() == 1
    assert metrics(project)["joints_never_predicted"] == "left_wrist"
    assert "never predicted: left_wrist" in (results / "table.md").read_text()
    assert run(project, "plot", "demo") == 0


def test_what_no_run_of_a_sweep_could_measure_is_not_known(project: Path) -> None:
    sweep = {"seeds": [0], "losses": {"input": {"multi_view_consistency": 0.0}}}
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"sweep": sweep}))
    with h5py.File(project / "data/pseudo_labels/demo.nc", "a") as file:
        for person in ("S9", "S11"):
            file[person]["training_poses"][...] = np.nan  # where other views see the root is not known
    for stage in ("train", "evaluate"):
        assert run(project, stage, "demo", "--run", "input-s0") == 0
    found = json.loads((project / "results/demo/input-s0/metrics.json").read_text())
    assert found["other_views_reprojection_px"] is found["pseudo_label_mpjpe_mm"] is None
    assert found["mpjpe_mm"] > 0
    assert run(project, "sweep", "demo") == 0
    table = pd.read_csv(project / "results/demo/sweep/table.csv")
    assert table["other_views_reprojection_px_mean"].isna().all()
    assert table["mpjpe_mm_mean"].tolist() == [found["mpjpe_mm"]]


def test_another_seed_gives_another_lifter(finished: Path, project: Path) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"seed": 1}))
    assert run(project, "train", "demo") == 0
    assert trained(project)["lifter.safetensors"] != trained(finished)["lifter.safetensors"]


@pytest.fixture(scope="module")
def without_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = start(tmp_path_factory.mktemp("mine"))
    (project / "workflow/datasets/mine.yaml").write_text(OPENPOSE_DATA_SET)
    write_openpose_data_set(project / "data/raw/mine")
    for stage in STAGES[1:]:
        assert run(project, stage, "mine") == 0
    return project


def test_without_a_reference_the_agreement_with_the_other_views_is_measured(without_reference: Path) -> None:
    found = metrics(without_reference, "mine")
    assert found["other_views_reprojection_px"] > 0
    assert not [name for name in found if "mpjpe" in name]
    assert found["simulated"] is False
    assert found["seen_in_training"] is True
    assert found["test_frames"] == 7


def test_without_a_reference_the_end_of_the_recording_is_predicted(without_reference: Path) -> None:
    with reading.read(without_reference / "results/mine/main/predictions.nc", "predictions") as predictions:
        (capture,) = predictions.values()
        assert capture["frame_of_capture"].values.tolist() == list(range(17, 24))
        assert np.isfinite(capture["poses"].values).all()


def test_without_a_reference_there_are_figures(without_reference: Path) -> None:
    assert len(list((without_reference / "results/mine/main/figures").glob("*.png"))) == len(FIGURES)


@pytest.mark.parametrize("stage", STAGES)
def test_an_unknown_data_set_is_named(stage: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(finished, stage, "nosuch") == 2
    said = capsys.readouterr().err
    assert "nosuch" in said
    assert said.startswith(f"trilift {stage}: ")
    assert "Traceback" not in said


def test_an_unknown_setting_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"train": {"step": 20}}))
    assert run(project, "train", "demo") == 2
    said = capsys.readouterr().err
    assert said.count("trilift train: ") == 1
    assert "params.yaml, section train" in said
    assert "step: unknown setting" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_pseudo_labels_of_other_recordings_are_refused(
    stage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"simulate": {"seconds": 0.5}}))
    assert run(project, "simulate", "demo") == run(project, "ingest", "demo") == 0
    assert run(project, stage, "demo") == 2
    assert "pseudo_labels/demo.nc: made from other recordings of 'S1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "lost"),
    [
        ("plot", "results/demo/main/metrics.json"),
        ("plot", "results/demo/main/history.csv"),
        ("plot", "results/demo/main/per_joint.csv"),
        ("plot", "results/demo/main/predictions.nc"),
        ("evaluate", "results/demo/main/lifter.json"),
        ("evaluate", "data/pseudo_labels/demo.nc"),
        ("train", "data/captures/demo.nc"),
        ("triangulate", "data/captures/demo.nc"),
        ("ingest", "data/raw/demo/detections.npz"),
    ],
)
def test_a_missing_input_is_named(stage: str, lost: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / lost).unlink()
    assert run(project, stage, "demo") == 2
    said = capsys.readouterr().err
    assert Path(lost).stem in said
    assert "Traceback" not in said


def test_an_unknown_device_is_named(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "demo", "--project", str(finished), "--device", "abacus"]) == 2
    assert "--device abacus" in capsys.readouterr().err


def test_messages_are_also_written_to_the_log(project: Path) -> None:
    log = project / "logs" / "train.log"
    assert run(project, "train", "nosuch", "--log", str(log)) == 2
    assert "nosuch" in log.read_text()


@pytest.mark.parametrize("stage", STAGES)
def test_help_shows_an_example(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([stage, "--help"])
    assert ended.value.code == 0
    assert f"Example:\n  trilift {stage} demo" in capsys.readouterr().out


def test_help_shows_the_stages_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    order = [shown.index(f"trilift {stage} demo") for stage in STAGES]
    assert order == sorted(order)


def hashes(project: Path) -> dict[str, str]:
    """Hash all that the stages have made."""
    files = [file for folder in ("data", "results") for file in (project / folder).rglob("*") if file.is_file()]
    return {file.relative_to(project).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("number", [1, 2, 5])
def test_no_result_depends_on_the_number_of_threads(
    finished: Path, project: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Of those that Snakemake gives all cores. The finished project was made with one thread, in few parts."""
    monkeypatch.setattr(chunks, "_DETECTIONS_PER_CHUNK", 4 * 17 * 8)
    monkeypatch.setattr(capture, "_FRAMES_PER_PART", 8)
    before = torch.get_num_threads()
    try:
        for stage in ("ingest", "triangulate", "evaluate"):
            torch.set_num_threads(number)
            assert run(project, stage, "demo") == 0
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert hashes(project) == hashes(finished)

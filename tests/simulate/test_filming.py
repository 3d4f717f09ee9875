"""Data sets that their files describe: people, rigs and detectors, drawn for each capture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from synthetic import Project, make_project
from trilift.captures import reading
from trilift.project.layout import Layout
from trilift.simulate.body import sample_body
from trilift.simulate.detector import DetectorModel
from trilift.simulate.filming import Detector, draw_detector, film
from trilift.simulate.motions import simulate_motion
from trilift.simulate.retargeting import keypoints_of
from trilift.simulate.rigs import draw_rig, look, magnification
from trilift.simulate.settings import Detectors, Rigs
from trilift.skeletons import COCO17, H36M17, HALPE26

FPS = 25
PERFECT = DetectorModel(scale=1e-9, outlier_share=0, missed_share=0, swapped_share=0)
SETTINGS: dict[str, Any] = {"captures": 3, "recordings": 2, "seconds": 1.0}
INGEST = {
    "detections": {"format": "trilift", "path": "simulated_detections.nc", "detector": "simulated"},
    "cameras": {"format": "trilift", "path": "simulated_detections.nc"},
    "reference": {"format": "trilift", "path": "simulated_poses.nc"},
    "fps": FPS,
    "simulated": True,
}


def captured(scale: float = 1.0) -> dict[str, Any]:
    """Two clips as in a file."""
    rng = np.random.default_rng(0)
    poses = [simulate_motion("reaching", sample_body(rng), 90, 30, rng) for _ in range(2)]
    return {"joints": scale * np.concatenate(poses), "clip": np.arange(2).repeat(90), "fps": 30}


def project_of(folder: Path, seed: int = 0, motion: dict[str, Any] | None = None, **changes: Any) -> Project:
    sections = {"simulate": SETTINGS | changes, "ingest": INGEST, "split": {"by": "subject", "test": ["P003"]}}
    if motion:
        sections["simulate"]["motion"] = [{"path": "motion/clips.npz"}]
    project = make_project(folder, yaml.safe_dump(sections), yaml.safe_dump({"seed": seed}))
    if motion:
        (project.layout.raw / "motion").mkdir()
        np.savez(project.layout.raw / "motion/clips.npz", **motion)
    return project


def simulate(folder: Path, **changes: Any) -> Layout:
    project = project_of(folder, **changes)
    code, printed = project.run("simulate")
    assert code == 0, printed
    return project.layout


def refused(project: Project) -> str:
    code, printed = project.run("simulate")
    assert code == 2
    assert not list(project.layout.raw.glob("*.nc"))
    return printed


def contents(layout: Layout) -> tuple[bytes, bytes]:
    return tuple((layout.raw / f"simulated_{name}.nc").read_bytes() for name in ("detections", "poses"))


def test_a_seed_is_a_data_set(tmp_path: Path) -> None:
    first, again = (contents(simulate(tmp_path / name)) for name in ("a", "b"))
    assert first == again
    other = contents(simulate(tmp_path / "c", seed=1))
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_a_capture_is_the_same_whatever_others_there_are(tmp_path: Path) -> None:
    few, many = (simulate(tmp_path / str(captures), captures=captures) for captures in (1, 2))
    with (
        reading.read(few.raw / "simulated_detections.nc", "captures") as one,
        reading.read(many.raw / "simulated_detections.nc", "captures") as two,
    ):
        assert list(one) == ["P001"]
        assert list(two) == ["P001", "P002"]
        for name, values in one["P001"].variables.items():
            np.testing.assert_array_equal(values, two["P001"][name])
        assert not np.array_equal(two["P001"]["K"][0], two["P002"]["K"][0])


def test_it_is_read_like_anybodys(tmp_path: Path) -> None:
    """Through ingest, every detection lies where its keypoint is seen, and the reference is the true pose."""
    layout = simulate(tmp_path, motion=captured(), procedural=0.5, captures=4)
    code, printed = Project(layout).run("ingest")
    assert code == 0, printed
    with (
        reading.read(layout.captures, "captures") as captures,
        reading.read(layout.references, "references") as references,
    ):
        assert list(captures) == list(references) == ["P001", "P002", "P003", "P004"]
        actions = set()
        for name, capture in captures.items():
            recordings = reading.recordings(capture)
            assert recordings == reading.recordings(references[name])
            assert {recording.subject for recording in recordings} == {name}
            assert len({recording.name for recording in recordings}) == 2
            actions |= {recording.action for recording in recordings}
            assert capture.attrs["simulated"] == "yes"
            pixels, confidence = (capture[field].values for field in ("pixels", "confidence"))
            assert ((confidence > 0) == np.isfinite(pixels).all(-1)).all()
            skeleton = reading.skeleton_of(capture)
            keypoints = keypoints_of(references[name]["poses"].values.astype(float), skeleton)
            projected = keypoints @ capture["R"].values[0].T + capture["t"].values[0]
            x, y = (projected[..., :2] / projected[..., 2:]).transpose(2, 0, 1)
            radial = 1 + capture["distortion"].values[0, 0] * (x**2 + y**2)
            expected = np.stack([x * radial, y * radial, np.ones_like(x)], -1) @ capture["K"].values[0].T
            error = np.linalg.norm(pixels[:, 0] - expected[..., :2], axis=-1)
            assert np.nanmedian(error) < 30
        assert actions & {"clips-0", "clips-1"}
        assert actions & {"walking", "reaching", "bending", "sitting", "turning"}


def test_people_sit_and_balance_and_are_filmed_from_close_by(tmp_path: Path) -> None:
    shares = {"seated": 0.4, "balancing": 0.3, "close": 0.5, "captures": 20, "recordings": 4}
    layout = simulate(tmp_path, motion=captured(), **shares)
    with (
        reading.read(layout.raw / "simulated_detections.nc", "captures") as captures,
        reading.read(layout.raw / "simulated_poses.nc", "references") as references,
    ):
        actions, far_too = [], 0
        for name, capture in captures.items():
            centres = -np.einsum("vyx,vy->vx", capture["R"].values, capture["t"].values)
            distance = np.hypot(*centres[:, :2].T)
            close = distance.max() < 2.3
            far_too += not close
            poses = references[name]["poses"].values
            for recording in reading.recordings(capture):
                actions.append(recording.action.split()[0])
                way = poses[recording.frames, H36M17.root_index]
                assert not close or np.hypot(*way[:, :2].T).max() < 0.6
                if actions[-1] == "seated":
                    assert way[:, 2].max() < 0.75
            assert close or distance.min() >= 2.5
    assert 5 <= far_too <= 15
    assert {"seated", "balancing", "clips-0", "clips-1"} <= set(actions)
    assert 0.35 < actions.count("seated") / len(actions) < 0.65  # 0.6 where cameras are close


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rigs": {"focal": [2.0, 1.0]}}, "rigs.focal: must be the lowest and the highest value: [low, high]"),
        ({"detectors": {"layouts": ["coco"]}}, "detectors.layouts.0: must be one of h36m17, coco17"),
        ({"recordings": 0}, "recordings"),
        ({"captures": 0}, "captures"),
    ],
)
def test_what_cannot_be_filmed_is_said(tmp_path: Path, changes: dict, expected: str) -> None:
    assert expected in refused(project_of(tmp_path, **changes))


def test_missing_motion_is_said(tmp_path: Path) -> None:
    project = project_of(tmp_path, motion=captured())
    (project.layout.raw / "motion/clips.npz").unlink()
    assert "clips.npz: not there. docs/simulating.md says where to get motion" in refused(project)


def test_motion_of_another_unit_is_noticed(tmp_path: Path) -> None:
    assert "is the unit wrong?" in refused(project_of(tmp_path, motion=captured(1000.0)))


def test_a_data_set_that_is_not_simulated(tmp_path: Path) -> None:
    assert "section simulate:\n  captures: missing" in refused(make_project(tmp_path))


def scene(seed: int = 0) -> tuple[list, np.ndarray]:
    rng = np.random.default_rng(seed)
    return draw_rig(Rigs(distance_m=[4.0, 6.0]), rng), simulate_motion("reaching", sample_body(rng), 40, FPS, rng)


def test_errors_are_as_large_as_people_are() -> None:
    rig, poses = scene()
    model = DetectorModel(outlier_share=0, missed_share=0, swapped_share=0)
    seen = look(rig, poses)
    found = film(rig, poses, Detector(H36M17, model, 0.0, True), FPS, np.random.default_rng(0))
    inside = found.confidence > 0
    error = np.where(inside, np.linalg.norm(found.pixels - seen, axis=-1), np.nan)
    relative = np.nanmedian(error, (0, 2)) / magnification(rig)
    assert relative.max() < 1.3 * relative.min()
    assert relative.mean() == pytest.approx(
        8.0 / 220, rel=0.2
    )  # the model's median, at the size of Human3.6M's people


def test_without_confidence_it_is_1_where_something_is_found() -> None:
    rig, poses = scene()
    found = film(
        rig, poses, Detector(COCO17, DetectorModel(missed_share=0.1), 0.0, False), FPS, np.random.default_rng(0)
    )
    assert set(np.unique(found.confidence)) == {0, 1}
    np.testing.assert_array_equal(found.confidence > 0, np.isfinite(found.pixels).all(-1))


def test_hidden_parts_are_missing_in_a_view_all_the_time() -> None:
    rig, poses = scene(3)
    args = (rig, poses)
    whole = film(*args, Detector(HALPE26, PERFECT, 0.0, True), FPS, np.random.default_rng(0)).confidence > 0
    hidden = film(*args, Detector(HALPE26, PERFECT, 1.0, True), FPS, np.random.default_rng(0)).confidence > 0
    assert not (hidden & ~whole).any()
    for view in range(len(rig)):
        gone = {
            HALPE26.keypoints[number] for number in np.flatnonzero(whole[:, view].any(0) & ~hidden[:, view].any(0))
        }
        assert gone
        assert all(name.endswith(("hip", "knee", "ankle", "elbow", "wrist")) for name in gone)
        np.testing.assert_array_equal(hidden[:, view], whole[:, view] & ~np.isin(HALPE26.keypoints, sorted(gone)))


def test_detectors_are_drawn_within_their_limits() -> None:
    limits = Detectors(
        scale=[0.5, 0.7], outlier_share=[0.01, 0.01], missed_share=[0, 0.2], layouts=["coco17", "h36m17"]
    )
    drawn = [draw_detector(limits, np.random.default_rng(seed)) for seed in range(200)]
    assert {detector.layout for detector in drawn} == {COCO17, H36M17}
    assert all(0.5 <= detector.model.scale <= 0.7 for detector in drawn)
    assert {detector.model.outlier_share for detector in drawn} == {0.01}
    assert np.ptp([detector.model.missed_share for detector in drawn]) > 0.15
    assert np.mean([detector.gives_confidence for detector in drawn]) == pytest.approx(0.85, abs=0.08)
    assert drawn[0].model.correlation_time_s == DetectorModel().correlation_time_s

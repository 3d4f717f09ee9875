"""Predictions from arrays of keypoints."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import trilift
from predict.lifters import JOINTS, KINDS, make_lifter, seen
from synthetic import project_with_opencv, ring_of_cameras
from trilift.errors import InputError
from trilift.lifter.placement import place
from trilift.lifter.smoothing import Smoothing, steady
from trilift.predict import predictor as module
from trilift.predict.prediction import pinhole
from trilift.predict.predictor import Predictor
from trilift.skeletons import BODY25B, COCO17, H36M17, Skeleton

CAMERA = ring_of_cameras(1)[0]
FPS = 50.0  # a temporal lifter sees every third frame
ROOT = H36M17.root_index
of_kinds = pytest.mark.parametrize("kind", KINDS)


@of_kinds
def test_a_prediction_is_the_lifters_of_undistorted_keypoints(kind: str) -> None:
    lifter, keypoints = make_lifter(kind), seen(CAMERA, H36M17)
    scores = np.random.default_rng(1).random((30, JOINTS))
    prediction = Predictor(lifter, flip=False).predict(keypoints, CAMERA, scores, fps=FPS)
    rays = cv2.undistortPoints(keypoints.reshape(-1, 1, 2), CAMERA.K, CAMERA.distortion)
    points = torch.tensor(rays.reshape(keypoints.shape))
    missing = points.isnan().any(-1)
    every = lifter.network_settings.every(FPS)
    expected = lifter.predict(points, torch.tensor(scores).masked_fill(missing, 0), every=every)
    np.testing.assert_allclose(prediction.poses, expected, atol=1e-4)
    root = place(expected, points, torch.tensor(scores).masked_fill(missing, 0))
    np.testing.assert_allclose(prediction.root, root, rtol=1e-3, atol=1e-3)
    assert np.isnan(prediction.poses[missing[:, ROOT]]).all()
    assert np.isfinite(prediction.poses[~missing[:, ROOT]]).all()


def test_positions_are_seen_where_they_were_detected() -> None:
    """A lifter that knows the truth: its poses, placed and seen by the camera again, are the keypoints."""
    rng = np.random.default_rng(0)
    truth = np.array([0.1, -0.2, 1.0]) + rng.normal(0, 0.3, (5, JOINTS, 3))
    keypoints = project_with_opencv(CAMERA, truth)
    in_camera = truth @ CAMERA.R.T + CAMERA.t
    relative = torch.tensor(in_camera - in_camera[:, ROOT, None]).float()
    predictor = Predictor(make_lifter(), flip=False)
    object.__setattr__(predictor, "lifter", type("Known", (), {
        "skeleton": H36M17, "network_settings": KINDS["residual"], "check_fits": lambda *_: [],
        "predict": lambda *_: relative, "mean": torch.zeros(100), "spread": torch.full((100,), 100.0),
    })())  # fmt: skip
    prediction = predictor.predict(keypoints, CAMERA)
    np.testing.assert_allclose(prediction.in_camera, in_camera, atol=1e-3)
    np.testing.assert_allclose(prediction.in_world, truth, atol=1e-3)


@of_kinds
def test_with_flips_a_mirrored_person_gets_the_mirrored_pose(kind: str) -> None:
    camera = pinhole(1000, (1280, 720))
    keypoints = seen(camera, H36M17)
    mirrored = (keypoints * [-1, 1] + [camera.image_size[0], 0])[:, H36M17.mirrored]
    predictor = Predictor(make_lifter(kind))
    expected = predictor.predict(keypoints, camera, fps=FPS).poses[:, H36M17.mirrored] * [-1, 1, 1]
    np.testing.assert_allclose(predictor.predict(mirrored, camera, fps=FPS).poses, expected, atol=1e-5)


@of_kinds
@pytest.mark.parametrize("size", [1, 7, 30])
@pytest.mark.parametrize("smoothing", [None, Smoothing(fps=50, max_gap_s=1)], ids=["alone", "smooth"])
def test_the_size_of_blocks_changes_nothing(
    kind: str, size: int, smoothing: Smoothing | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints, predictor = seen(CAMERA, H36M17), Predictor(make_lifter(kind))
    expected = predictor.predict(keypoints, CAMERA, smoothing=smoothing, fps=FPS)
    monkeypatch.setattr(module, "_FRAMES_PER_BLOCK", size)
    found = predictor.predict(keypoints, CAMERA, smoothing=smoothing, fps=FPS)
    np.testing.assert_array_equal(found.filled, expected.filled)
    assert found.filled.any() == (smoothing is not None)
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-5)
    np.testing.assert_allclose(found.root, expected.root, rtol=1e-3, atol=1e-3)


@of_kinds
def test_live_each_frame_is_the_last_of_those_before(kind: str) -> None:
    keypoints, predictor = seen(CAMERA, H36M17, frames=20), Predictor(make_lifter(kind))
    live = list(predictor.live(((frame, None) for frame in keypoints), CAMERA, fps=FPS))
    assert len(live) == 20
    for number, prediction in enumerate(live, 1):
        expected = predictor.predict(keypoints[:number], CAMERA, fps=FPS).poses[-1:]
        np.testing.assert_allclose(prediction.poses, expected, atol=1e-5)


def test_smoothing_is_of_what_the_lifter_predicts() -> None:
    keypoints, predictor, smoothing = seen(CAMERA, H36M17), Predictor(make_lifter()), Smoothing(fps=50, stature=1.8)
    alone = predictor.predict(keypoints, CAMERA)
    assert not alone.filled.any()
    rays = cv2.undistortPoints(keypoints.reshape(-1, 1, 2), CAMERA.K, CAMERA.distortion).reshape(keypoints.shape)
    points = torch.tensor(rays)
    expected = steady(torch.tensor(alone.poses), points, points.isfinite().all(-1).double(), H36M17, smoothing)
    found = predictor.predict(keypoints, CAMERA, smoothing=smoothing)
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-3)
    np.testing.assert_allclose(found.root, expected.root, rtol=1e-2, atol=1e-2)


def test_live_a_frame_comes_out_before_the_next_goes_in() -> None:
    taken = []

    def frames():
        for number, frame in enumerate(seen(CAMERA, H36M17, frames=3)):
            taken.append(number)
            yield frame, None

    for number, _ in enumerate(Predictor(make_lifter("temporal")).live(frames(), CAMERA, fps=FPS)):
        assert taken[-1] == number


@given(st.floats(0.5, 2.0), st.floats(-100, 100))
@settings(max_examples=20)
def test_another_focal_length_and_image_size_change_nothing(factor: float, offset: float) -> None:
    """A camera with other intrinsics in the same place sees the same rays."""
    camera = pinhole(1000, (1280, 720))
    keypoints = seen(camera, H36M17, frames=4)
    other = pinhole(1000 * factor, (1280, 720))
    other.K[:2, 2] += offset
    moved = (keypoints - camera.K[:2, 2]) * factor + other.K[:2, 2]
    predictor = Predictor(make_lifter())
    expected, found = predictor.predict(keypoints, camera), predictor.predict(moved, other)
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-4)


def test_other_layouts_are_mapped_by_name() -> None:
    keypoints = seen(CAMERA, COCO17)
    pose = Predictor(make_lifter("residual", "coco17")).predict(keypoints, CAMERA, skeleton="coco17").poses
    hips = [COCO17.index("left_hip"), COCO17.index("right_hip")]
    np.testing.assert_array_equal(np.isfinite(pose).all((1, 2)), np.isfinite(keypoints[:, hips]).all((1, 2)))


UPPER_BODY = Skeleton(
    "upper_body", tuple(name for name in COCO17.keypoints if "knee" not in name and "ankle" not in name), ()
)


def test_a_layout_that_lacks_what_the_lifter_learnt_to_see_is_refused() -> None:
    predictor, keypoints = Predictor(make_lifter("residual", "coco17")), np.zeros((1, len(UPPER_BODY), 2))
    with pytest.raises(InputError, match=r"upper_body do not fit this lifter: .*right_knee, .*left_ankle"):
        predictor.predict(keypoints, CAMERA, skeleton=UPPER_BODY)


def test_joints_from_other_keypoints_than_in_training_are_named(caplog: pytest.LogCaptureFixture) -> None:
    keypoints = seen(CAMERA, COCO17)
    Predictor(make_lifter("residual", "coco17")).predict(keypoints, CAMERA, skeleton="coco17")
    assert not caplog.messages
    Predictor(make_lifter("residual", "h36m17")).predict(keypoints, CAMERA, skeleton="coco17")
    assert "pelvis, spine, thorax" in caplog.text
    assert "left_knee" not in caplog.text


@pytest.mark.parametrize(
    ("keypoints", "confidence", "message"),
    [
        (np.zeros((3, 5, 2)), None, r"expected \(frame, 17, 2\)"),
        (np.zeros((17, 2)), None, r"expected \(frame, 17, 2\)"),
        (np.zeros((3, 17, 2)), np.zeros((3, 16)), r"confidence has the shape \(3, 16\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(keypoints, confidence, message) -> None:
    with pytest.raises(InputError, match=message):
        Predictor(make_lifter()).predict(keypoints, CAMERA, confidence)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(InputError, match="unknown skeleton 'coco'"):
        Predictor(make_lifter()).predict(np.zeros((1, 17, 2)), CAMERA, skeleton="coco")


def test_following_asks_how_far_apart_frames_are_and_knows_no_stature() -> None:
    predictor, frames = Predictor(make_lifter()), [(np.empty((0, JOINTS, 2)), None)]
    with pytest.raises(InputError, match="give fps="):
        next(predictor.live_people(frames, CAMERA))
    with pytest.raises(InputError, match="a stature is that of one person"):
        next(predictor.live_people(frames, CAMERA, smoothing=Smoothing(fps=FPS, stature=1.7)))
    assert list(predictor.live_people(frames, CAMERA, fps=FPS)) == [{}]


@pytest.mark.parametrize(
    ("factor", "offset", "warned"),
    [
        (1.0, 0.0, []),
        (12.0, 0.0, ["times larger"]),
        (1 / 12, 0.0, ["times smaller"]),
        (1.0, 3.0, ["farther from the optical axis"]),
    ],
)
def test_people_who_appear_as_nobody_did_in_training_are_warned_of(
    factor: float, offset: float, warned: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    camera = pinhole(1000, (1280, 720))
    rays = 0.3 * np.random.default_rng(0).normal(size=(50, JOINTS, 2))  # as in training
    rays = rays[:, ROOT, None] + factor * (rays - rays[:, ROOT, None]) + offset
    Predictor(make_lifter()).predict(1000 * rays + [640, 360], camera)
    assert len(caplog.messages) == len(warned)
    assert all(part in message for part, message in zip(warned, caplog.messages, strict=True))


def test_a_temporal_lifter_asks_how_far_apart_frames_are() -> None:
    keypoints, predictor = seen(CAMERA, H36M17), Predictor(make_lifter("temporal"))
    with pytest.raises(InputError, match="give fps="):
        predictor.predict(keypoints, CAMERA)
    twice = predictor.predict(keypoints.repeat(2, 0), CAMERA, fps=120).poses[::2]
    np.testing.assert_allclose(twice, predictor.predict(keypoints, CAMERA, fps=60).poses, atol=1e-5)


@of_kinds
def test_no_frames_give_no_poses(kind: str) -> None:
    prediction = Predictor(make_lifter(kind)).predict(np.empty((0, 17, 2)), CAMERA, fps=FPS)
    assert prediction.in_camera.shape == (0, JOINTS, 3)


def test_what_has_no_confidence_is_missing() -> None:
    keypoints = seen(CAMERA, BODY25B)
    scores = np.random.default_rng(0).random((30, 25))
    scores[:, 3] = 0
    predictor = Predictor(make_lifter("residual", "body25b"))
    expected = predictor.predict(keypoints, CAMERA, scores, BODY25B).poses
    keypoints[:, 3] = 1e6
    np.testing.assert_array_equal(predictor.predict(keypoints, CAMERA, scores, BODY25B).poses, expected)


def test_a_saved_run_is_loaded_by_the_package(tmp_path) -> None:
    make_lifter().save(tmp_path)
    keypoints = seen(CAMERA, H36M17)
    predicted = trilift.load(tmp_path).predict(keypoints, CAMERA)
    np.testing.assert_allclose(predicted.poses, Predictor(make_lifter()).predict(keypoints, CAMERA).poses, atol=1e-6)
    with pytest.raises(InputError, match=r"nothing/lifter\.safetensors: not there; .* makes"):
        trilift.load(tmp_path / "nothing")


def test_a_lifter_says_what_it_is() -> None:
    lines = str(trilift.load("pretrained")).splitlines()
    assert lines[0].startswith("Lifter trained on the data set pretrained (detections: body25b, coco17, ")
    assert [line.split(maxsplit=1) for line in lines[1:3]] == [
        ["sees", "9 frames, 0.05 s apart"],
        ["predicts", "the 17 joints of h36m17"],
    ]
    weights = sum(values.detach().numpy().size for values in trilift.load("pretrained").lifter.network.parameters())
    assert lines[3] == f"  network   temporal, {weights:,} weights"


def test_the_package_is_imported_without_its_libraries() -> None:
    code = "import sys, trilift.cli; print([name for name in ('torch', 'numpy', 'pydantic') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_what_is_infinite_or_does_not_fit_is_missing() -> None:
    keypoints = seen(CAMERA, H36M17)
    predictor = Predictor(make_lifter())
    lost = keypoints.copy()
    lost[3, ROOT] = np.nan
    expected = predictor.predict(lost, CAMERA)
    for number in (np.inf, 1e300):
        keypoints[3, ROOT, 0] = number
        np.testing.assert_array_equal(predictor.predict(keypoints, CAMERA).poses, expected.poses)

"""The command line: detections of one camera in, files of poses out."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from predict.lifters import make_lifter
from synthetic import project_with_opencv, ring_of_cameras, waving_person, write_openpose, write_pose2sim
from trilift import cli
from trilift.captures import reading
from trilift.export import FORMATS
from trilift.lifter.lifter import Lifter
from trilift.lifter.smoothing import Smoothing
from trilift.predict.prediction import pinhole
from trilift.predict.predictor import Predictor
from trilift.skeletons import BODY25B, H36M17

CAMERAS = ring_of_cameras(2)
FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lifter, a calibration, and OpenPose's files of two cameras."""
    folder = tmp_path_factory.mktemp("predict")
    make_lifter("residual", "body25b").save(folder / "lifter")
    write_pose2sim(folder / "calibration.toml", CAMERAS)
    write_openpose(folder / "pose", CAMERAS, waving_person(FRAMES))
    return folder


def predict(folder: Path, *more: object, detections: object = None, camera: object = None) -> int:
    detections = folder / "pose" / "cam2_json" if detections is None else detections
    camera = folder / "calibration.toml" if camera is None else camera
    known = ["--lifter", folder / "lifter", "--detections", detections, "--camera", camera]
    return cli.main(["predict", *map(str, [*known, *more])])


def read(path: Path) -> np.ndarray:
    return pd.read_csv(path, comment="#").iloc[:, 2:].to_numpy(float).reshape(-1, len(H36M17), 3)


def detected(camera: int) -> np.ndarray:
    """What `write_openpose` wrote."""
    rng = np.random.default_rng(0)
    for one in CAMERAS[: camera + 1]:
        pixels = project_with_opencv(one, waving_person(FRAMES)) + rng.normal(0, 1, (FRAMES, len(BODY25B), 2))
    return pixels.round(3)


def test_poses_of_a_calibrated_camera_are_in_the_world(folder: Path, tmp_path: Path) -> None:
    assert predict(folder, tmp_path / "walk.csv") == 0
    assert predict(folder, "--no-smooth", tmp_path / "shaky.csv") == 0
    predictor, known = (
        Predictor(make_lifter("residual", "body25b")),
        (CAMERAS[1], np.full((FRAMES, 25), 0.8), BODY25B),
    )
    expected = predictor.predict(detected(1), *known, Smoothing(fps=30)).in_world
    np.testing.assert_allclose(read(tmp_path / "walk.csv"), expected, atol=2e-3)
    expected = predictor.predict(detected(1), *known).in_world
    np.testing.assert_allclose(read(tmp_path / "shaky.csv"), expected, atol=2e-3)


def test_poses_of_a_focal_length_are_in_the_camera(folder: Path, tmp_path: Path) -> None:
    arguments = ("--image-size", "1280x720", "--no-flip", "--no-smooth", tmp_path / "walk.csv")
    assert predict(folder, *arguments, camera=1100) == 0
    predictor = Predictor(make_lifter("residual", "body25b"), flip=False)
    camera = pinhole(1100, (1280, 720))
    expected = predictor.predict(detected(1), camera, np.full((FRAMES, 25), 0.8), BODY25B).in_camera
    np.testing.assert_allclose(read(tmp_path / "walk.csv"), expected, atol=2e-3)
    assert "camera" in (tmp_path / "walk.csv").read_text().splitlines()[0]


def test_networks_are_run_in_one_thread(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so small ones more threads wait for each other, on a busy machine ten times as long as they work."""
    seen, lift = [], Lifter.predict

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(torch.get_num_threads())
        return lift(*arguments, **named)

    monkeypatch.setattr(Lifter, "predict", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert predict(folder, tmp_path / "walk.trc") == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_a_named_camera_a_frame_and_an_axis_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    chosen = ("--camera-name", "cam1", "--frame", "camera")
    assert predict(folder, *chosen, tmp_path / "plain.csv") == 0
    assert predict(folder, *chosen, "--up=-y", tmp_path / "up.csv") == 0
    np.testing.assert_allclose(read(tmp_path / "up.csv"), read(tmp_path / "plain.csv") * [1, -1, -1], atol=1e-5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_written(folder: Path, tmp_path: Path, suffix: str) -> None:
    assert predict(folder, tmp_path / f"walk.{suffix}") == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"walk.{suffix}"]


def test_by_default_the_output_is_named_after_the_detections(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict(folder) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cam2_json_3d.nc"]


def test_poses_keep_the_frame_numbers_of_the_video(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cam2_json").mkdir()
    for number, path in enumerate(sorted((folder / "pose" / "cam2_json").iterdir()), 370):
        (tmp_path / "cam2_json" / f"clip_{number:012}_keypoints.json").write_bytes(path.read_bytes())
    for name in ("walk.csv", "walk.nc"):
        assert predict(folder, "--fps", 50, tmp_path / name, detections=tmp_path / "cam2_json") == 0
    table = pd.read_csv(tmp_path / "walk.csv", comment="#")
    assert table["frame"].tolist() == list(range(370, 370 + FRAMES))
    assert table["time_s"][0] == 7.4
    with reading.read(tmp_path / "walk.nc", "poses") as opened:
        (capture,) = opened.values()
        assert reading.recordings(capture)[0].first_frame == 370


def two_people(folder: Path, tmp_path: Path, there: Sequence[int] = range(FRAMES)) -> dict[str, Path]:
    """Files of somebody, of a second person, smaller and seen less surely, and of both, the second first."""
    paths = {name: tmp_path / f"{name}_json" for name in ("one", "other", "both")}
    for path in paths.values():
        path.mkdir()
    for number, path in enumerate(sorted((folder / "pose" / "cam1_json").iterdir())):
        (one,) = json.loads(path.read_text())["people"]
        other = np.array(one["pose_keypoints_2d"]).reshape(-1, 3) * [0.5, 0.5, 0.5] + [400, 10, 0]
        others = [{"pose_keypoints_2d": other.ravel().tolist()}] if number in there else []
        for name, people in (("one", [one]), ("other", others), ("both", [*others, one])):
            (paths[name] / path.name).write_text(json.dumps({"people": people}))
    return paths


def test_of_two_people_the_subject_is_taken(folder: Path, tmp_path: Path) -> None:
    paths = two_people(folder, tmp_path)
    assert predict(folder, "--camera-name", "cam1", tmp_path / "one.csv", detections=paths["one"]) == 0
    for subject in ("confidence", "size"):
        more = ("--camera-name", "cam1", "--subject", subject, "--stature", "1.7")
        for name in ("one", "both"):
            assert predict(folder, *more, tmp_path / f"{name}.csv", detections=paths[name]) == 0
        np.testing.assert_array_equal(read(tmp_path / "one.csv"), read(tmp_path / "both.csv"))


def test_of_two_people_each_gets_a_file_with_all_frames(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [2, 3, 4, *range(6, 11)]
    paths = two_people(folder, tmp_path, there)
    known = ("--format", "openpose", "--skeleton", "body25b", "--camera-name", "cam1", "--fill-gaps", "1")
    for name in paths:
        assert predict(folder, *known, tmp_path / f"{name}.csv", detections=paths[name]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == [
        *("both_person_1.csv", "both_person_2.csv", "one.csv", "other.csv")
    ]
    said = capsys.readouterr().err
    assert "person_1 is seen in 12 of the frames 0 to 11" in said
    assert "person_2 is seen in 8 of the frames 2 to 10" in said
    for number, name in enumerate(("one", "other"), 1):
        alone, both = tmp_path / f"{name}.csv", tmp_path / f"both_person_{number}.csv"
        pd.testing.assert_frame_equal(pd.read_csv(both, comment="#"), pd.read_csv(alone, comment="#"))
    table = pd.read_csv(tmp_path / "both_person_2.csv", comment="#")
    assert table["frame"].tolist() == list(range(FRAMES))
    assert table["pelvis_x_m"].notna().tolist() == [number in (*there, 5) for number in range(FRAMES)]
    assert table["filled"].tolist() == [number == 5 for number in range(FRAMES)]
    assert predict(folder, *known, tmp_path / "both.nc", detections=paths["both"]) == 0
    with reading.read(tmp_path / "both_person_2.nc", "poses") as opened:
        (capture,) = opened.values()
        assert reading.recordings(capture)[0].name == "both_json/person_2"


def test_a_stature_is_of_one_person(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = two_people(folder, tmp_path)
    more = ("--camera-name", "cam1", "--stature", "1.7")
    assert predict(folder, *more, tmp_path / "both.csv", detections=paths["both"]) == 2
    assert "--stature 1.7: 2 people are seen; take one of them (--subject)" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.csv"))


def test_who_has_no_pose_gets_no_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = two_people(folder, tmp_path)
    for path in paths["both"].iterdir():
        content = json.loads(path.read_text())
        content["people"][0]["pose_keypoints_2d"][3 * BODY25B.index("left_hip")] = 0
        content["people"][0]["pose_keypoints_2d"][3 * BODY25B.index("left_hip") + 2] = 0
        path.write_text(json.dumps(content))
    known = ("--format", "openpose", "--skeleton", "body25b", "--camera-name", "cam1")
    assert predict(folder, *known, tmp_path / "both.csv", detections=paths["both"]) == 0
    assert "person_2: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*.csv")] == ["both_person_1.csv"]


def test_live_everybody_in_a_line_is_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two people who change places in the line; the second is missing in frame 6, and comes with the first."""
    one, other = detected(0), detected(0) * 0.5 + [400, 10]
    lines = []
    for number in range(FRAMES):
        both = [np.column_stack([pixels[number], np.full(25, 0.8)]).tolist() for pixels in (one, other)]
        people = both[:1] if number == 6 else both[::-1] if number % 2 else both
        lines.append(json.dumps({"people": [{"keypoints": keypoints} for keypoints in people]}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert predict(folder, "--skeleton", "body25b", "--camera-name", "cam1", detections="-") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[person["person"] for person in answer["people"]] for answer in answers] == [[], []] + 10 * [[1, 2]]
    other[6] = np.nan
    predictor = Predictor(make_lifter("residual", "body25b"))
    for number, pixels in enumerate((one, other)):
        frames = ((frame, np.full(25, 0.8)) for frame in pixels[2:])
        live = predictor.live(frames, CAMERAS[0], BODY25B, Smoothing(fps=30))
        for frame, prediction in enumerate(live, 2):
            joints, expected = answers[frame]["people"][number]["joints"], prediction.in_world[0]
            if np.isfinite(expected).all():
                np.testing.assert_allclose(joints, expected, atol=2e-3)
            else:
                assert joints is None
    assert answers[6]["people"][1]["joints"] is None
    assert answers[11]["people"][1]["joints"] is not None


def test_live_a_line_in_is_a_line_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = detected(0)
    lines = [{"keypoints": np.column_stack([frame, np.full(25, 0.8)]).tolist()} for frame in pixels]
    lines[2]["keypoints"] = [None] * 25
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, lines)) + "\n"))
    assert predict(folder, "--skeleton", "body25b", "--camera-name", "cam1", detections="-") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["frame"] for answer in answers] == list(range(FRAMES))
    assert answers[2]["joints"] is None
    predictor = Predictor(make_lifter("residual", "body25b"))
    pixels[2] = np.nan
    frames = ((frame, np.full(25, 0.8)) for frame in pixels)
    live = predictor.live(frames, CAMERAS[0], BODY25B, Smoothing(fps=30))
    expected = np.concatenate([prediction.in_world for prediction in live])
    placed = np.isfinite(expected).all((1, 2))
    assert placed.sum() > 3
    for number in set(range(FRAMES)) - {2}:
        if placed[number]:
            np.testing.assert_allclose(answers[number]["joints"], expected[number], atol=2e-3)
        else:
            assert answers[number]["joints"] is None


@pytest.mark.parametrize("suffix", ["csv", "npz", "nc", "trc", "c3d"])
def test_filled_frames_are_marked_where_the_format_can(
    folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames 4 and 5 are of nobody, and the first is: that one has none before it."""
    (tmp_path / "cam1_json").mkdir()
    for number, path in enumerate(sorted((folder / "pose" / "cam1_json").iterdir())):
        content = json.loads(path.read_text())
        content["people"] = [] if number in (0, 4, 5) else content["people"]
        (tmp_path / "cam1_json" / path.name).write_text(json.dumps(content))
    written = tmp_path / f"walk.{suffix}"
    more = ("--format", "openpose", "--skeleton", "body25b", "--fps", "50", "--fill-gaps", "0.04")
    assert predict(folder, *more, written, detections=tmp_path / "cam1_json") == 0
    assert "11 of 12 frames have a pose, 2 of them filled" in capsys.readouterr().err
    expected = [number in (4, 5) for number in range(FRAMES)]
    if suffix == "csv":
        table = pd.read_csv(written, comment="#")
        assert table["filled"].tolist() == expected
        assert table["pelvis_x_m"].isna().tolist() == [True] + [False] * (FRAMES - 1)
    elif suffix == "npz":
        assert np.load(written)["filled"].tolist() == expected
    elif suffix == "nc":
        with reading.read(written, "poses") as opened:
            (capture,) = opened.values()
            assert capture["filled"].values.tolist() == expected
        assert cli.main(["export", str(written), "--to", "csv", "--output", str(tmp_path)]) == 0
        assert pd.read_csv(next(tmp_path.glob("*.csv")), comment="#")["filled"].tolist() == expected


def test_live_filled_frames_are_marked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"keypoints": np.column_stack([frame, np.full(25, 0.8)]).tolist()} for frame in detected(0)]
    for number in (4, 5, 6):
        lines[number]["keypoints"] = [None] * 25
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, lines))))
    more = ("--skeleton", "body25b", "--camera-name", "cam1", "--fps", "50", "--fill-gaps", "0.04")
    assert predict(folder, *more, detections="-") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["frame"] for answer in answers if "filled" in answer] == [4, 5]
    assert answers[6]["joints"] is None


def test_a_joint_without_a_label_is_missing_and_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrist, lifter = H36M17.index("left_wrist"), make_lifter("residual", "body25b")
    lifter.mean_pose[wrist] = np.nan
    lifter.save(tmp_path / "lifter")
    more = ("--skeleton", "body25b", "--camera-name", "cam1", "--lifter", tmp_path / "lifter")
    assert predict(folder, *more, tmp_path / "walk.csv") == 0
    assert "training had no label of left_wrist: it is missing in all poses" in capsys.readouterr().err
    known = np.isfinite(read(tmp_path / "walk.csv")).all(-1)
    assert known.any(0).tolist() == [joint != wrist for joint in range(len(H36M17))]
    lines = [{"keypoints": np.column_stack([frame, np.full(25, 0.8)]).tolist()} for frame in detected(0)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, lines))))
    assert predict(folder, *more, detections="-") == 0
    answers = [json.loads(line)["joints"] for line in capsys.readouterr().out.splitlines()]
    poses = [joints for joints in answers if joints]
    assert len(poses) > 3
    assert all([place is None for place in joints].index(True) == wrist for joints in poses)


def blind(folder: Path, target: Path, lost: str) -> Path:
    """The files of a camera in which a keypoint was never detected."""
    target.mkdir()
    for path in (folder / "pose" / "cam1_json").iterdir():
        content = json.loads(path.read_text())
        keypoints = np.reshape(content["people"][0]["pose_keypoints_2d"], (-1, 3))
        keypoints[BODY25B.index(lost)] = 0
        content["people"][0]["pose_keypoints_2d"] = keypoints.ravel().tolist()
        (target / path.name).write_text(json.dumps(content))
    return target


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_any_pose_nothing_is_written(
    folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = blind(folder, tmp_path / "cam1_json", "left_hip")
    written = tmp_path / "poses"
    written.mkdir()
    known = ("--format", "openpose", "--skeleton", "body25b", "--camera-name", "cam1")
    assert predict(folder, *known, written / f"walk.{suffix}", detections=detections) == 2
    said = capsys.readouterr().err
    assert f"none of the {FRAMES} frames has a pose" in said
    assert "pelvis (formed of left_hip, right_hip)" in said
    assert "Traceback" not in said
    assert not list(written.iterdir())


def test_live_without_any_pose_is_said_at_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = 3 * [json.dumps({"keypoints": [None] * 25})]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert predict(folder, "--skeleton", "body25b", "--camera-name", "cam1", detections="-") == 2
    answers = capsys.readouterr()
    assert [json.loads(line)["joints"] for line in answers.out.splitlines()] == [None] * 3
    assert "standard input: none of the 3 frames has a pose" in answers.err


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", '{"keypoints": [[1, 2]]}', '{"keypoints": [["a", 2, 3]]}', '{"keypoints": 3}', "[" * 9999],
)
def test_live_a_wrong_line_is_named(
    folder: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(line + "\n"))
    assert predict(folder, "--skeleton", "body25b", "--camera-name", "cam1", detections="-") == 2
    assert "standard input, line 1: expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "more", "message"),
    [
        ('{"keypoints": [null]}', (), 'line 2: expected {"people": [{"keypoints"'),
        ('{"people": [{"keypoints": [null]}]}', (), "line 2: expected"),
        ('{"people": 3}', (), "line 2: expected"),
        ("", ("--stature", "1.7"), "a stature is that of one person"),
        ("", ("--subject", "size"), "--subject: live everybody is followed"),
    ],
)
def test_live_what_is_wrong_with_several_people_is_said(
    folder: Path, line: str, more: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(f'{{"people": []}}\n{line}\n'))
    assert predict(folder, "--skeleton", "body25b", "--camera-name", "cam1", *more, detections="-") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"camera": 1100}, "needs --image-size"),
        ({"camera": "nothing.toml"}, "nothing.toml: not there"),
        ({"detections": "nothing"}, "nothing: not there"),
        ({"more": ("--camera-name", "cam9")}, "no cam9; there are cam1, cam2"),
        ({"more": ("--format", "pose")}, "--format pose: unknown; known are coco"),
        ({"more": ("--skeleton", "body")}, "unknown skeleton 'body'"),
        ({"more": ("walk.txt",)}, "unknown format '.txt'"),
        ({"camera": 1100, "more": ("--image-size", "1280")}, "--image-size 1280: expected width and height"),
        ({"camera": 1100, "more": ("--image-size", "1280x720", "--frame", "world")}, "give a calibration"),
        ({"more": ("--fps", "0", "walk.trc")}, "frames per second"),
        ({"more": ("--stature", "178")}, "expected metres, such as 1.78"),
        ({"more": ("--no-smooth", "--stature", "1.78")}, "--no-smooth: the stature and gaps need"),
    ],
)
def test_what_is_wrong_is_said(
    folder: Path, tmp_path: Path, arguments: dict, message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    more = arguments.pop("more", ())
    assert predict(folder, *more, **arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_assumed_and_where_up_is_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, tmp_path / "walk.nc") == 0
    said = capsys.readouterr().err
    assert "30 frames per second are assumed" in said
    assert "People stand along z (--up=z" in said
    assert predict(folder, "--fps", "50", "--up", "z", tmp_path / "walk.nc") == 0
    said = capsys.readouterr().err
    assert "30 frames per second" not in said
    assert "stand along" not in said


def test_detections_outside_the_image_are_remarked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, "--image-size", "320x180", tmp_path / "walk.nc", camera=1100) == 0
    assert "lie outside the camera's image of 320 x 180 pixels" in capsys.readouterr().err


def test_a_folder_without_detections_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert predict(folder, detections=tmp_path / "empty") == 2
    assert "no detections of a known format" in capsys.readouterr().err

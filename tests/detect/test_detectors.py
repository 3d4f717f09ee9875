"""The real detectors, each in the environment that the stage makes for it, beside their libraries called directly."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from filming import DATA_SET, film
from real_data import DATA, needs
from synthetic import make_project, ring_of_cameras, write_pose2sim
from trilift.detect import detectors, running
from trilift.detect.detectors.serving import Options
from trilift.detect.environment import python_for
from trilift.errors import InputError
from trilift.formats import detected
from trilift.formats.video import Video
from trilift.project.layout import Layout

ROOT = Path(__file__).parents[2]
OF_RTMPOSE = {
    "yolox_tiny_8xb8-300e_humanart-6f3252f9": (3, 416, 416),
    "rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605": (3, 256, 192),
}


def python_of(name):
    """The environment of this checkout, which is made once."""
    if name == "mediapipe" and sys.version_info >= (3, 13):
        pytest.skip("there is no MediaPipe 0.10.21 for this Python")
    return python_for(Layout("", ROOT), name, detectors.get(name).requirements("cpu"))


def worker(name, cache=""):
    return running.Worker(python_of(name), name, Options("lightweight", "cpu", str(cache)))


DIRECTLY = """
import json, sys
import numpy as np
from mediapipe.python.solutions.pose import Pose

found = []
for images in np.load(sys.argv[1]).values():
    pose = Pose(model_complexity=1, smooth_landmarks=False)
    for image in images:
        height, width, _ = image.shape
        landmarks = pose.process(image).pose_landmarks
        found.append([[point.x * width, point.y * height, point.visibility] for point in landmarks.landmark])
json.dump(found, open(sys.argv[2], "w"))
"""


@needs("pose2sim_videos")
@pytest.mark.parametrize("recording", ["one_person", "two_people"])
def test_what_mediapipe_finds_is_what_its_library_called_directly_finds(tmp_path, recording):
    videos = [Video(path, 60) for path in sorted((DATA / "pose2sim_videos" / recording).glob("*.mp4"))]
    images = {video.path.stem: [image for _, image in islice(video.frames(), 3)] for video in videos}
    np.savez(tmp_path / "images.npz", **images)
    arguments = [tmp_path / "images.npz", tmp_path / "found.json"]
    subprocess.run([python_of("mediapipe"), "-c", DIRECTLY, *arguments], check=True, env=running.alone())
    expected = np.array(json.loads((tmp_path / "found.json").read_text()), np.float32).reshape(-1, 3, 33, 3)
    for video, people_of_video in zip(videos, expected, strict=True):
        found = list(islice(worker("mediapipe").people_in(video), 3))
        assert [number for number, _ in found] == [0, 1, 2]
        for (_, people), person in zip(found, people_of_video, strict=True):
            np.testing.assert_array_equal(people.keypoints, person[None])
            np.testing.assert_array_equal(people.boxes[0, :2], person[:, :2].min(0))


def write_tiny_boxes(path, size):
    """A network with the inputs and outputs of YOLOX: two boxes, left and right, as sure as their half is bright."""
    _, height, width = size
    half = width // 2
    boxes = np.array([[[0, 0, half, height], [half, 0, width, height]]], np.float32)
    parts = {"from": [[0], [half]], "to": [[half], [width]], "axis": [[3]]}
    constants = [numpy_helper.from_array(boxes, "boxes"), numpy_helper.from_array(np.float32([1]), "scale")]
    constants += [
        numpy_helper.from_array(np.array(value, np.int64), f"{name}{number}")
        for name, values in parts.items()
        for number, value in enumerate(values)
    ]
    nodes = []
    for number in range(2):
        nodes += [
            helper.make_node("Slice", ["image", f"from{number}", f"to{number}", "axis0"], [f"half{number}"]),
            helper.make_node("ReduceMean", [f"half{number}"], [f"mean{number}"], axes=[1, 2, 3], keepdims=0),
        ]
    nodes += [
        helper.make_node("Concat", ["mean0", "mean1"], ["means"], axis=0),
        helper.make_node("Mul", ["means", "scale"], ["scores"]),
        helper.make_node("Reshape", ["scores", "as_column"], ["column"]),
        helper.make_node("Concat", ["boxes", "column"], ["dets"], axis=2),
    ]
    constants.append(numpy_helper.from_array(np.array([1, 2, 1], np.int64), "as_column"))
    write_network(path, nodes, size, {"dets": [1, 2, 5]}, constants)


def write_tiny_keypoints(path, size):
    """A network with the inputs and outputs of RTMPose: all 26 keypoints are where the crop is brightest."""
    _, height, width = size
    nodes, constants, outputs = [], [], {}
    for axis, reduced, length in (("x", 2, width), ("y", 3, height)):
        constants.append(numpy_helper.from_array(np.array([1, 26, 2 * length], np.int64), f"shape_{axis}"))
        constants.append(numpy_helper.from_array(np.array([1.0, 1.0, 2.0], np.float32), f"twice_{axis}"))
        nodes += [
            helper.make_node("ReduceMean", ["image"], [f"grey_{axis}"], axes=[1], keepdims=0),
            helper.make_node("ReduceMax", [f"grey_{axis}"], [f"line_{axis}"], axes=[reduced - 1], keepdims=1),
            helper.make_node("Reshape", [f"line_{axis}", f"flat_{axis}"], [f"row_{axis}"]),
            helper.make_node("Resize", [f"row_{axis}", "", f"twice_{axis}"], [f"long_{axis}"], mode="nearest"),
            helper.make_node("Expand", [f"long_{axis}", f"shape_{axis}"], [f"simcc_{axis}"]),
        ]
        constants.append(numpy_helper.from_array(np.array([1, 1, length], np.int64), f"flat_{axis}"))
        outputs[f"simcc_{axis}"] = [1, 26, 2 * length]
    write_network(path, nodes, size, outputs, constants)


def write_network(path, nodes, size, outputs, constants):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *size])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "tiny", [image], results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    (boxes, of_boxes), (keypoints, of_keypoints) = OF_RTMPOSE.items()
    write_tiny_boxes(folder / f"{boxes}.onnx", of_boxes)
    write_tiny_keypoints(folder / f"{keypoints}.onnx", of_keypoints)
    return folder


class Shown:
    """What a detector takes for a video."""

    def __init__(self, images):
        self.size, self._images = images[0].shape[1::-1], images

    def frames(self):
        return enumerate(self._images)


def spots(*centres, size=(416, 416)):
    """Draw bright spots on a dark image."""
    y, x = np.mgrid[: size[1], : size[0]]
    image = np.zeros((size[1], size[0]))
    for at in centres:
        image += 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 25.0**2))
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def test_rtmpose_finds_everybody_and_nobody(networks):
    centres = [[], [(110, 250)], [(80, 300), (330, 120)], [(300, 200)]]
    found = list(worker("rtmpose", networks).people_in(Shown([spots(*frame) for frame in centres])))
    assert [len(people.boxes) for _, people in found] == [len(frame) for frame in centres]
    for (_, people), frame in zip(found, centres, strict=True):
        for keypoints, box, centre in zip(people.keypoints, people.boxes, frame, strict=False):
            left = 0 if centre[0] < 208 else 208
            assert box.tolist() == [left, 0, left + 208, 416]
            # A crop is 1.25 times as large as its box, 192 x 256 px: 520 / 256 px of the image for each of its own.
            np.testing.assert_allclose(keypoints[:, :2], np.tile(centre, (26, 1)), atol=2 * 520 / 256)
            assert keypoints.shape == (26, 3)
            assert (keypoints[:, 2] > 0).all()


def test_boxes_of_rtmpose_are_of_the_image_as_it_was_filmed(networks):
    large = spots((160, 600), size=(832, 832))
    ((_, people),) = worker("rtmpose", networks).people_in(Shown([large]))
    assert people.boxes.tolist() == [[0, 0, 416, 832]]
    np.testing.assert_allclose(people.keypoints[0, :, :2], np.tile([160, 600], (26, 1)), atol=2 * 1040 / 256)


def test_networks_that_are_there_need_no_network(networks):
    found = worker("rtmpose", networks).weights()
    assert found == {f"{name}.onnx": networks / f"{name}.onnx" for name in OF_RTMPOSE}


def test_without_a_network_a_message_says_where_to_put_the_files(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(InputError) as refused:
        worker("rtmpose", tmp_path).weights()
    message = str(refused.value)
    assert f"rtmpose: {tmp_path}/yolox_tiny_8xb8-300e_humanart-6f3252f9.onnx: not there, and https://" in message
    assert "the archive holds an end2end.onnx: put that there under this name" in message
    assert "\n" not in message


def test_the_stage_runs_rtmpose(networks, tmp_path, monkeypatch):
    project = make_project(tmp_path / "project", DATA_SET, "{detect: {detector: rtmpose, size: lightweight}}")
    python_of("rtmpose")
    project.layout.environments.parent.mkdir(exist_ok=True)
    project.layout.environments.symlink_to(Layout("", ROOT).environments)
    (tmp_path / "cache/trilift").mkdir(parents=True)
    (tmp_path / "cache/trilift/networks").symlink_to(networks)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project.layout.videos.mkdir()
    write_pose2sim(project.layout.videos / "calibration.toml", ring_of_cameras(2))
    for name in ("cam1", "cam2"):
        film(project.layout.videos / f"{name}.mp4", [255, 255], size=(416, 416))
    code, printed = project.run("detect", "--device", "cpu")
    assert code == 0, printed
    (recording,) = detected.read_detections(project.layout.detections, "tiny")
    assert recording.skeleton.name == "halpe26"
    assert recording.views[0].pixels.shape == (2, 2, 26, 2)
    record = json.loads(project.layout.provenance("detect").read_text())
    assert record["weights"].keys() == {f"{name}.onnx" for name in OF_RTMPOSE}


def test_the_environment_of_a_detector_does_not_see_ours(tmp_path):
    command = [python_of("rtmpose"), "-c", "import numpy; print(numpy.__version__)"]
    version = subprocess.run(command, capture_output=True, text=True, check=True, env=running.alone()).stdout
    assert version.strip() == "2.2.6"
    assert "PYTHONPATH" not in running.alone() or os.environ.get("PYTHONPATH") is None

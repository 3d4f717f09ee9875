"""RTMPose through rtmlib: everybody, with networks that it loads when it first runs."""

import sys
from pathlib import Path
from urllib.parse import urlparse

import numpy as np

from trilift.detect.detectors import serving
from trilift.detect.detectors.serving import Detect, Options, People

NAME = "RTMPose (rtmlib 0.0.16)"
SKELETON = "halpe26"
COLOURS = "bgr24"


def requirements(device: str) -> list[str]:
    """List the packages of its environment: rtmlib by itself asks for an OpenCV with windows."""
    common = ["rtmlib==0.0.16", "numpy==2.2.6", "opencv-python-headless==4.12.0.88", "tqdm==4.67.1"]
    if not device.startswith("cuda"):
        return [*common, "onnxruntime==1.22.0"]
    libraries = (
        "cublas~=12.0",
        "cuda-nvrtc~=12.0",
        "cuda-runtime~=12.0",
        "cudnn~=9.0",
        "cufft~=11.0",
        "curand~=10.0",
    )
    of_cuda = (f"nvidia-{library.replace('~', '-cu12~')}" for library in (*libraries, "nvjitlink~=12.0"))
    return [*common, "onnxruntime-gpu==1.22.0", *of_cuda]


def weights(options: Options) -> dict[str, Path]:
    """Find the networks in the cache, and load those that are not there."""
    from rtmlib.tools.file import download_checkpoint
    from rtmlib.tools.solution.body_with_feet import BodyWithFeet

    found = {}
    for network in ("det", "pose"):
        url = BodyWithFeet.MODE[options.size][network]
        file = Path(options.cache) / f"{Path(urlparse(url).path).stem}.onnx"
        if not file.exists():
            try:
                download_checkpoint(url, options.cache)
            except OSError as error:
                sys.exit(
                    f"{file}: not there, and {url} cannot be loaded ({error}). Load it where there is a network; the "
                    "archive holds an end2end.onnx: put that there under this name"
                )
        found[file.name] = file
    return found


def make(options: Options) -> Detect:
    """Start the detector: boxes of people, and the keypoints in each."""
    import onnxruntime
    from rtmlib import YOLOX, RTMPose
    from rtmlib.tools.solution.body_with_feet import BodyWithFeet

    mode = BodyWithFeet.MODE[options.size]
    in_boxes, of_pose = weights(options).values()
    if options.device.startswith("cuda"):
        onnxruntime.preload_dlls()  # of its environment
    where = {"backend": "onnxruntime", "device": options.device}
    find_boxes = YOLOX(str(in_boxes), model_input_size=mode["det_input_size"], **where)
    find_keypoints = RTMPose(str(of_pose), model_input_size=mode["pose_input_size"], **where)

    def detect(image: np.ndarray) -> People:
        boxes = np.reshape(find_boxes(image), (-1, 4))
        if not len(boxes):  # where there is no box, it would take the whole image for one
            return People(np.empty((0, 26, 3)), boxes)
        keypoints, scores = find_keypoints(image, bboxes=boxes)
        return People(np.concatenate([keypoints, scores[..., None]], -1), boxes)

    return detect


if __name__ == "__main__":
    serving.main(weights, make)

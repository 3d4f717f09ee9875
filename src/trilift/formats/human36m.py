"""The published calibration of Human3.6M: 4 cameras, 11 subjects, whose poses of the cameras differ a little."""

import json
from functools import cache
from importlib import resources

import numpy as np

from trilift.formats import Camera


@cache
def _table() -> dict:
    return json.loads(resources.files("trilift.formats").joinpath("human36m_cameras.json").read_text("utf-8"))


def read_cameras() -> dict[str, list[Camera]]:
    """Give the cameras of every subject, in the order that published detections use.

    Examples
    --------
    >>> [camera.name for camera in read_cameras()["S9"]]
    ['54138969', '55011271', '58860488', '60457274']
    """
    intrinsics = _table()["cameras"]
    return {
        subject: [
            Camera(
                name=name,
                K=np.array(intrinsics[name]["K"]),
                distortion=np.array(intrinsics[name]["distortion"]),
                R=np.array(pose["R"]),
                t=np.array(pose["t"]),
                image_size=np.array(intrinsics[name]["image_size"]),
            )
            for name, pose in poses.items()
        ]
        for subject, poses in _table()["extrinsics"].items()
    }

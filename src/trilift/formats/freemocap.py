"""FreeMoCap's 2D data: an array (camera, frame, point, 2 or 3) of pixels for all views of a recording.

Its files are called ``mediapipe_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy``, or with another tracker's
name in front. Cameras are in the order of the calibration; there is no confidence, and NaN is missing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trilift.errors import InputError
from trilift.formats import DetectedRecording, DetectedView
from trilift.formats.checks import check_not_infinite
from trilift.skeletons import COCO17, COCO133, MEDIAPIPE33

_LAYOUTS = {33: MEDIAPIPE33, 75: MEDIAPIPE33, 543: MEDIAPIPE33, 553: MEDIAPIPE33, 17: COCO17, 133: COCO133}
"""By the number of points: MediaPipe's body comes before hands and face, which are not read."""


def recognises(path: Path) -> bool:
    """Tell whether a file is of this format: its name does."""
    return True


def read_detections(path: Path, name: str) -> Iterator[DetectedRecording]:
    """Read the recording of a file.

    Raises
    ------
    InputError
        If the file is damaged, or holds another array.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except Exception as error:  # a damaged header makes numpy fail in many ways
        raise InputError(f"{path}: no complete array of numpy ({error!s:.200}); copy it again") from None
    if array.ndim != 4 or array.dtype.kind != "f" or array.shape[3] not in (2, 3):
        raise InputError(f"{path}: expected an array (cameras, frames, points, 2 or 3) of floating-point numbers")
    skeleton = _LAYOUTS.get(array.shape[2])
    if skeleton is None:
        known = ", ".join(map(str, _LAYOUTS))
        raise InputError(f"{path}: {array.shape[2]} points of an unknown tracker; those that are known have {known}")
    with np.errstate(over="ignore"):  # what does not fit is then infinite, and refused
        pixels = np.array(array[:, :, : len(skeleton), :2], np.float32)
    check_not_infinite(pixels, str(path))
    pixels[np.isnan(pixels).any(-1)] = np.nan
    views = [DetectedView(None, view[:, None], None) for view in pixels]
    yield DetectedRecording.of_its_own(name, skeleton, views)

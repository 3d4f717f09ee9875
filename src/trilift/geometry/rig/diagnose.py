"""What is wrong with a rig, told from the detections alone: cameras out of time, moved, or of another focal length.

Every camera is compared with the others: their points, projected into it, should lie where it sees them. Which camera
to blame is decided by the rig as a whole: that one whose correction makes all views agree best. A fault common to all
cameras (scale, position of the world) cannot be seen, and more than half of the cameras cannot be outvoted.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trilift.geometry.cameras import Cameras
from trilift.geometry.rig.blame import CameraFinding, Trials, find
from trilift.geometry.rig.settings import Settings
from trilift.geometry.rig.timing import TimeOffset, shift_view, time_offsets


def diagnose(
    cameras: Cameras,
    pixels: Tensor,
    scale: Tensor,
    segments: Tensor | None = None,
    settings: Settings | None = None,
    names: Sequence[str] | None = None,
) -> list[CameraFinding]:
    """Diagnose the cameras of one capture.

    Parameters
    ----------
    cameras
        The cameras.
    pixels
        (frame, view, keypoint, 2), as detected (distorted). NaN is missing.
    scale
        (frame, view, keypoint), pixels: scale of the error of each detection (see `trilift.geometry.noise`).
        Infinite or NaN where a detection does not count.
    segments
        (frame,) integers: frames of equal number are consecutive in time. By default all are. The offset in time
        needs segments of more than twice `Settings.max_offset_frames`.
    settings
        What counts as a fault.
    names
        Of the cameras, for the messages; by default they are numbered from 1.

    Returns
    -------
    list of CameraFinding
        One per camera, in their order.

    Notes
    -----
    Time: the points of the other cameras, projected into a camera, are compared with its detections some frames
    later, each keypoint's median residual of each segment removed. The camera whose shift lowers the robust cost most
    is shifted, by parts of a frame, until nothing changes; offsets are relative to the median camera.

    Geometry: pose and focal length of one camera are refitted to the points of the others by iteratively reweighted
    Gauss-Newton; all views are triangulated again with the refitted camera, and the robust cost decides. Sets of
    cameras grow by one, the best few of each size being kept. In a set, each camera must pass `Settings.min_share`
    and `Settings.min_shift_m`.

    Pose or focal length: of the refit of both, the Wald statistics of either being right, within the tolerance of a
    calibration. The covariance takes the errors of a keypoint's detections as correlated in time and as biased alike
    in all frames, and the bias of near keypoints as alike.
    """
    settings = settings or Settings()
    pixels, scale = pixels.detach().double(), scale.detach().double()
    cameras = cameras.to(torch.float64)
    if segments is None:
        segments = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    scale = torch.where(pixels.isfinite().all(-1) & (scale > 0), scale, torch.inf).nan_to_num(torch.inf, torch.inf)
    trusted, timings = cameras, [TimeOffset("in time", 0.0, 0.0)] * len(cameras)
    for _ in range(2):
        # A camera in the wrong place disturbs the timing of all, so that is done again with it corrected.
        before, timings = timings, time_offsets(trusted, pixels, scale, segments, settings)
        if trusted is not cameras and all(a.verdict == b.verdict for a, b in zip(before, timings, strict=True)):
            break
        aligned, aligned_scale = pixels, scale
        for view, timing in enumerate(timings):
            if timing.verdict in ("late", "early"):
                aligned, aligned_scale = shift_view(aligned, aligned_scale, segments, view, timing.offset)
        geometry = Trials(cameras, aligned, aligned_scale, settings)
        blamed = geometry.blame()
        if not blamed:
            break
        trusted = geometry.sets[blamed].cameras
    names = names or [f"camera {view + 1}" for view in range(len(cameras))]
    return [find(geometry, blamed, view, timing, names[view]) for view, timing in enumerate(timings)]

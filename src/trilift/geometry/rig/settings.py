"""How strict the diagnosis of a rig is."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What counts as a fault.

    The defaults come from faults put into two real recordings of four cameras and into simulated ones. In the sound
    ones a refit shifted the image of the person by up to 2.1 cm (real) and 0.3 cm (simulated) and lowered the cost of
    the rig by up to 0.3 % (simulated), and cameras were up to 0.95 frames off the middle. Where one sound camera had
    been moved sideways by 10 cm, its own refit shifted by at least 6.9 cm and that of a second by up to 3.2 cm.

    Attributes
    ----------
    max_offset_frames
        Offsets in time are searched up to here, in both directions.
    min_offset_frames
        A camera is out of time if its offset from the middle of the others is larger, by two standard errors.
        Detectors that smooth over time lag differently in different views, and cheap cameras by parts of a frame.
    max_offset_error_frames
        With a larger standard error there is too little motion to tell.
    min_shift_m
        A camera is at fault if its refit moves its image of the person by at least this much (median over the
        detections, measured at the person), or by `min_shift_of_bias` times what is left of the bias of its
        detections, whichever is less. Detectors place a joint 1-2 cm elsewhere when seen from another side, and a
        refit explains part of that.
    min_shift_of_bias
        See `min_shift_m`.
    shift_growth
        Factor on the shift for each further camera at fault, since fewer are left to judge it by.
    min_share
        A camera is at fault if its refit lowers the robust cost of the whole rig by at least this share.
    tolerance_rad, tolerance_depth, tolerance_focal
        How far a calibration may be off without being wrong: rotation (rad), displacement (in units of the distance
        of the person), focal length (relative).
    max_points
        Number of points (frames x keypoints) of which each fit uses about this many.
    """

    max_offset_frames: int = 10
    min_offset_frames: float = 1.75
    max_offset_error_frames: float = 0.5
    min_shift_m: float = 0.027
    min_shift_of_bias: float = 3.0
    shift_growth: float = 1.25
    min_share: float = 0.02
    tolerance_rad: float = math.radians(0.3)
    tolerance_depth: float = 0.005
    tolerance_focal: float = 0.01
    max_points: int = 6000

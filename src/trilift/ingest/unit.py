"""Whether lengths are in the unit that is stated, by the limbs of the people seen."""

import math

from torch import Tensor

from trilift.ingest.mistakes import Mistake

_LIMBS_M = {"legs": (0.35, 1.25), "arms": (0.25, 0.85)}  # from small children to the tallest


_FEWEST_LIMBS = 5


_UNITS = {  # by how a data set's file states them
    "m": ("metres", 1.0),
    "mm": ("millimetres", 1e-3),
    "cm": ("centimetres", 1e-2),
    "dm": ("decimetres", 0.1),
    "inch": ("inches", 0.0254),
    "foot": ("feet", 0.3048),
}


def wrong_unit(lengths: dict[str, Tensor], read_as: float = 1.0) -> Mistake | None:
    """Tell from the length of limbs if the unit of length is wrong.

    Parameters
    ----------
    lengths
        Of ``legs`` (hip to knee to ankle) and ``arms`` (shoulder to elbow to wrist), metres, NaN where not known. The
        first of which enough is known decides.
    read_as
        The unit, in metres, in which the calibration was read.
    """
    for limb, values in lengths.items():
        known = values[values.isfinite()]
        if len(known) < _FEWEST_LIMBS:
            continue
        length, (low, high) = float(known.median()), _LIMBS_M[limb]
        if low <= length <= high:
            return None
        off = {unit: abs(math.log(length * one[1] / read_as / math.sqrt(low * high))) for unit, one in _UNITS.items()}
        fitting = [unit for unit in sorted(off, key=off.__getitem__) if off[unit] <= math.log(high / low) / 2]
        named = " or ".join(f"{_UNITS[unit][0]} (`unit: {unit}`)" for unit in fitting)
        likely = (
            f"its lengths are probably {named}: state the unit under `ingest: cameras:` in the data set's file, or "
            "convert the file"
            if fitting
            else "its unit is neither of the usual ones"
        )
        return Mistake("unit of length", f"{limb} are {length:.3g} m long by this calibration; {likely}")
    return None

"""One clock for the views of a recording and its reference, and the frames that they have in common."""

import logging
from dataclasses import dataclass, replace

from trilift.errors import InputError, listed
from trilift.formats import DetectedView, ReferenceRecording
from trilift.formats.source import Source
from trilift.project.yaml_text import in_yaml

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """When a recording is, as the cameras count that have no offset.

    Attributes
    ----------
    begins
        To which frame the first of each view belongs.
    first_pose
        To which frame the first pose of the reference belongs.
    first
        Number of the first frame of the recording.
    length
        Number of its frames.
    cut
        How many frames of the longest view, or of the reference, are left out at the end.
    """

    begins: dict[str, int]
    first_pose: int
    first: int
    length: int
    cut: int


def set_clock(
    views: dict[str, DetectedView], reference: ReferenceRecording | None, source: Source, where: str
) -> Clock:
    """Bring the views of a recording, by the names of their cameras, and its reference to one clock.

    The recording ends where the first view does. Where files leave out frames in which nobody is seen, a view may
    have been recorded on after its last detection, and the recording ends with the last of all.

    Raises
    ------
    InputError
        If views or reference have no frames in common, differ by more than the data set's file allows, or it is not
        clear to which frame the reference's first pose belongs.
    """
    seeing = {name: view for name, view in views.items() if len(view.pixels) or view.lists_empty_frames}
    if len(seeing) < len(views):
        nobody = [name for name in views if name not in seeing]
        if not seeing:
            raise InputError(f"{where}: nobody is seen by any camera ({listed(nobody)}); are these the right files?")
        log.warning("%s: nobody is seen by %s in any frame", where, listed(nobody))
        clock = set_clock(seeing, reference, source, where)
        return replace(clock, begins=clock.begins | dict.fromkeys(nobody, clock.first))
    begins = {name: view.first_frame - source.offsets.get(name, 0) for name, view in views.items()}
    seen_until = {name: begin + len(views[name].pixels) for name, begin in begins.items()}
    known = [seen_until[name] for name, view in views.items() if view.lists_empty_frames]
    end = min(known, default=max(seen_until.values()))
    # A view that was recorded on after its last detection ends with the others.
    ends = {name: last if views[name].lists_empty_frames else max(last, end) for name, last in seen_until.items()}
    if not known:
        _tell_of_early_ends(seen_until, source, where)
    first, first_pose = _first_frame(views, begins, source, where), 0
    if reference is not None:
        first_pose = _first_pose(reference, views, end, bool(known), source, where)
        first, last = max(first, first_pose), first_pose + len(reference.poses)
        ends["reference"] = last if known else min(last, end)
    lengths = {name: end - first for name, end in ends.items()}
    length = _common_length(lengths, source.max_length_difference, where)
    return Clock(begins, first_pose, first, length, max(lengths.values()) - length)


def _first_frame(views: dict[str, DetectedView], begins: dict[str, int], source: Source, where: str) -> int:
    """Give the first frame that is recorded, or in which somebody is seen.

    A view whose file begins later than others is missing until then.
    """
    recorded = {name: view.first_frame for name, view in views.items() if view.lists_empty_frames}
    if len(set(recorded.values())) > 1 and len({begins[name] for name in recorded}) > 1:
        log.warning(
            "%s: the views start at different frame numbers, taken as the same clock: %s. If they began at the same "
            "time, state the differences (ingest: offsets)",
            where,
            recorded,
        )
    start = min(view.first_frame for view in views.values()) if recorded else 0
    # A camera that runs ahead has not recorded the first frames of the others.
    ahead = max(0, *(-source.offsets.get(name, 0) for name in views))
    return max(start + ahead, min(begins.values()))


def _tell_of_early_ends(ends: dict[str, int], source: Source, where: str) -> None:
    last = max(ends.values())
    early = [f"{name} {end - 1}" for name, end in ends.items() if last - end > source.max_length_difference]
    if early:
        log.warning(
            "%s: the last frames in which somebody is seen differ: %s, others up to %d. What comes after is taken as "
            "recorded, with nobody in view",
            where,
            listed(early),
            last - 1,
        )


def _first_pose(
    reference: ReferenceRecording,
    views: dict[str, DetectedView],
    end: int,
    end_is_known: bool,
    source: Source,
    where: str,
) -> int:
    """Tell to which frame the first pose belongs: the first of the video, or of the part of it that was detected.

    Where these are not the same, the number of poses says which, or the data set's file.
    """
    stated = source.reference.first_frame if source.reference else {}
    first, poses = min(view.first_frame for view in views.values()), len(reference.poses)
    if reference.name in stated:
        return stated[reference.name]
    if first == 0:
        return 0
    if end_is_known:
        too_many = {begin: abs(begin + poses - end) for begin in (0, first)}
        exact = [begin for begin, frames in too_many.items() if frames == 0]
        fitting = exact or [begin for begin, frames in too_many.items() if frames <= source.max_length_difference]
    else:  # somebody is seen from the first frame on only where programs count from 1
        fitting = [begin for begin in {0, first} & {0, 1} if begin + poses >= end]
    if len(fitting) != 1:
        raise InputError(
            f"{where}: detections of the frames {first} to {end - 1}, and {poses} poses of a reference. State in the "
            "data set's file to which frame its first pose belongs (ingest: reference: first_frame: "
            f"{{{in_yaml(reference.name)}: {first}}}, or 0 or 1)"
        )
    log.info("%s: the reference's first pose is taken for frame %d (reference: first_frame)", where, fitting[0])
    return fitting[0]


def _common_length(lengths: dict[str, int], max_difference: int, where: str) -> int:
    shortest, longest = min(lengths.values()), max(lengths.values())
    frames = listed(f"{name} {length}" for name, length in lengths.items())
    if shortest <= 0:
        raise InputError(f"{where}: no frames in one of its views, or none in common ({frames})")
    if longest - shortest > max_difference:
        raise InputError(
            f"{where}: the views differ by {longest - shortest} frames ({frames}); at most {max_difference} are cut "
            "off (ingest: max_length_difference in the data set's file). Are these the same clip?"
        )
    return shortest

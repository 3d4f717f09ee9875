"""Views of detections and cameras brought together, by name or by order."""

from collections import Counter
from collections.abc import Iterable

from trilift.errors import InputError, listed
from trilift.formats import Camera, DetectedRecording, DetectedView, LeftOut
from trilift.formats.names import plain
from trilift.formats.source import Source
from trilift.project.layout import Layout
from trilift.project.yaml_text import in_yaml

Rig = list[Camera | LeftOut]


def names_unknown(setting: str, stated: Iterable[str], what: str, known: Iterable[str]) -> str:
    """Say which names a setting has that are none; empty where there are no such."""
    unknown = sorted(set(stated) - set(known))
    return f"{setting} names {listed(unknown)}, but the {what} are {listed(sorted(known))}" if unknown else ""


def refuse_names(layout: Layout, *problems: str) -> None:
    if any(problems):
        raise InputError(f"{layout.dataset_file}: {'; '.join(filter(None, problems))}")


def match_views(
    recording: DetectedRecording, rig: Rig, source: Source, layout: Layout
) -> list[tuple[Camera | LeftOut, DetectedView]]:
    """Pair views with cameras, in the order of the cameras."""
    where = f"{layout.raw}, '{recording.name}'"
    if any(view.name is None for view in recording.views):
        pairs = _match_order(recording.views, rig, where)
    else:
        pairs = _match_names(recording.views, rig, source, where, layout)
    kept = sum(isinstance(camera, Camera) for camera, _ in pairs)
    if kept < 2:
        left_out = [f"{camera.name} {camera.reason}" for camera in rig if isinstance(camera, LeftOut)]
        raise InputError(
            f"{where}: {kept} views left, but triangulation needs at least 2"
            + (f" (left out: {listed(left_out)})" if left_out else "")
        )
    return pairs


def _match_order(views: list[DetectedView], rig: Rig, where: str) -> list[tuple[Camera | LeftOut, DetectedView]]:
    """Pair views without names with all cameras, or with those that are not left out."""
    for cameras in (rig, [camera for camera in rig if isinstance(camera, Camera)]):
        if len(views) == len(cameras):
            return list(zip(cameras, views, strict=True))
    raise InputError(
        f"{where}: {len(views)} views, but the calibration has {len(rig)} cameras "
        f"({listed(camera.name for camera in rig)}); list those of the views, in their order, under ingest: cameras: "
        "names: [...]"
    )


def _match_names(
    views: list[DetectedView], rig: Rig, source: Source, where: str, layout: Layout
) -> list[tuple[Camera | LeftOut, DetectedView]]:
    by_plain_name = {plain(camera.name): camera for camera in rig}
    if len(by_plain_name) < len(rig):
        names = listed(camera.name for camera in rig)
        raise InputError(
            f"{where}: the names of the cameras ({names}) do not differ in letters and digits; rename them"
        )
    named = [(source.camera_of(str(view.name)), view) for view in views]
    named = [(plain(name), view) for name, view in named if not source.is_excluded(name)]
    if unknown := [str(view.name) for name, view in named if name not in by_plain_name]:
        stated = ", ".join(f"{in_yaml(name)}: <camera>" for name in unknown)
        raise InputError(
            f"{where}: no camera for the view {listed(map(repr, unknown))} (the calibration has "
            f"{listed(camera.name for camera in rig)}); state it in {layout.dataset_file} under ingest: "
            f"views: {{{stated}}}, or leave it out: {source.excluding(unknown)}"
        )
    pairs = [(by_plain_name[name], view) for name, view in named]
    seen = Counter(camera.name for camera, _ in pairs)
    if twice := [name for name, number in seen.items() if number > 1]:
        raise InputError(
            f"{where}: two views for the camera {listed(twice)}; remove one, or state the camera of each in "
            f"{layout.dataset_file} under ingest: views:"
        )
    used = [camera.name for camera in rig if camera.name in seen]
    unseen = [camera.name for camera in rig if isinstance(camera, Camera) and camera.name not in seen]
    if unseen:
        choice = source.excluding(unseen) if len(unseen) <= len(used) else f"cameras: names: {in_yaml(used)}"
        raise InputError(
            f"{where}: no view for the camera {listed(unseen)} of the calibration; add its detections, or do without "
            f"in {layout.dataset_file}: ingest: {choice}"
        )
    return sorted(pairs, key=lambda pair: used.index(pair[0].name))

"""calibrate: raw detections -> where the cameras are, where nobody calibrated them or something moved."""

import dataclasses
import logging
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from trilift import style
from trilift.calibrate.figure import rig_from_above_and_aside
from trilift.calibrate.gather import Gathered, gather
from trilift.calibrate.table import table_of
from trilift.errors import InputError, listed
from trilift.formats import Camera, people_cameras, reading, registry
from trilift.formats.by_people import NOT_PLACED, About
from trilift.formats.calibration import PEOPLE
from trilift.formats.source import Source
from trilift.geometry.calibration.calibrate import calibrate
from trilift.geometry.calibration.findings import Rig, Undetermined
from trilift.geometry.upright import upright
from trilift.project import provenance
from trilift.project.files import replacing
from trilift.project.layout import Layout
from trilift.project.params import load_dataset
from trilift.project.yaml_text import in_yaml
from trilift.skeletons import H36M17, Skeleton, mapping

log = logging.getLogger(__name__)

_READERS = [f"trilift.formats.{kind.module}" for kind in (*registry.DETECTIONS.values(), *registry.CAMERAS.values())]


def run(layout: Layout, refine: bool = False) -> None:
    """Place the cameras of a data set, or with `refine` those of its calibration anew."""
    source = load_dataset(layout.dataset_file, "ingest", Source)
    if source.cameras.by_people == refine:
        raise InputError(f"{layout.dataset_file}: {_OTHER_WAY[refine].format(layout.dataset)}")
    if layout.raw.is_symlink() and not refine:
        raise InputError(
            f"{layout.raw}: a link, into which nothing is written; make it a folder, and link what was recorded to "
            f"{layout.recorded}"
        )
    gathered = gather(layout, source)
    try:
        rig = calibrate(
            gathered.cameras,
            gathered.pixels,
            gathered.confidence,
            gathered.skeleton,
            source.fps,
            scale=gathered.scale,
            image_size=gathered.image_size,
            segments=gathered.segments,
            focal_groups=gathered.focal_groups,
            find_offsets=source.cameras.offsets == "find",
            refine=refine,
            names=gathered.names,
            progress=lambda doing: log.info("%s", doing),
        )
    except Undetermined as error:
        raise InputError(
            f"{layout.raw}: the people in the data set {layout.dataset} do not tell where its cameras are: {error}"
        ) from None
    made = layout.rig / "cameras.toml" if refine else layout.cameras
    placed = [number for number, found in enumerate(rig.found) if found.verdict != NOT_PLACED]
    if len(placed) < 2:
        why = listed(f"{name}: {found.reason}" for name, found in zip(gathered.names, rig.found, strict=True))
        raise InputError(f"{layout.raw}: fewer than two cameras can be placed ({why})")
    about = _about(gathered, rig)
    table = table_of(gathered.names, rig, refine)
    shown = table.drop(columns="why").set_index("camera").round(2).T.to_string()
    log.info("where the cameras of %s are\n%s", layout.dataset, shown)
    log.info("By what is not known of the cameras points are off by about %.0f mm", 1e3 * rig.points_m)
    if math.isfinite(rig.stature_m):
        log.info("The person comes out %.2f m tall", rig.stature_m)
    warnings = _warnings(gathered, rig)
    for warning in warnings:
        log.warning("%s", warning)
    people_cameras.write(made, [_camera(gathered, rig, number) for number in placed], about)
    with replacing(layout.rig / "cameras.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    style.use()
    drawn = _upright(rig, gathered.skeleton) if refine else rig
    figure = rig_from_above_and_aside(gathered.names, drawn, gathered.image_size.numpy(), _note(layout, source))
    with replacing(layout.rig / "rig.png") as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)
    if refine:
        _say_how_to_use(made, about, layout, source)
        return
    _record(layout, source, made, warnings)


_OTHER_WAY = {
    False: "its cameras are calibrated. `trilift calibrate --refine {}` looks whether one has moved; for cameras "
    f"that nobody calibrated state `cameras: {{{{format: {PEOPLE}, stature_m: 1.78}}}}`",
    True: "its cameras are calibrated by people already: `trilift calibrate {}`",
}


def _upright(rig: Rig, skeleton: Skeleton) -> Rig:
    """Turn the world of a calibration, of which any axis may be up, so that z is."""
    turn = torch.as_tensor(upright(mapping(skeleton, H36M17).apply(rig.poses.numpy()), H36M17))
    cameras = dataclasses.replace(rig.cameras, R=rig.cameras.R @ turn.T)
    return dataclasses.replace(rig, cameras=cameras, poses=rig.poses @ turn.T)


def _about(gathered: Gathered, rig: Rig) -> About:
    return About(
        cameras=gathered.names,
        verdicts=[found.verdict for found in rig.found],
        late_frames=[round(found.late_frames, 3) for found in rig.found],
        rotation_error_deg=[round(found.rotation_deg, 4) for found in rig.found],
        position_error_mm=[round(1e3 * found.position_m, 2) for found in rig.found],
        points_error_mm=round(1e3 * rig.points_m, 2),
        problems=rig.problems,
    )


def _camera(gathered: Gathered, rig: Rig, number: int) -> Camera:
    K, distortion, R, t = (getattr(rig.cameras, name)[number].numpy() for name in ("K", "distortion", "R", "t"))
    return Camera(gathered.names[number], K, distortion, R, t, gathered.image_size[number].numpy().astype(int))


def _warnings(gathered: Gathered, rig: Rig) -> list[str]:
    lost = [
        f"the camera {name} is {found.verdict}: {found.reason}"
        for name, found in zip(gathered.names, rig.found, strict=True)
        if found.verdict != "well determined"
    ]
    return [*lost, *rig.problems]


def _note(layout: Layout, source: Source) -> str:
    simulated = " (SIMULATED)" if source.simulated else ""
    return f"data set {layout.dataset}{simulated} · detections: {reading.made_by(source, layout.detections)}"


def _say_how_to_use(made: Path, about: About, layout: Layout, source: Source) -> None:
    offsets = source.offsets | {name: source.offsets.get(name, 0) + late for name, late in about.offsets.items()}
    changed = any(change.turned or change.size for change in source.images.values())
    name = f"{layout.dataset}_refined.toml"
    log.info(
        "Wrote %s; the calibration that is used is as it was. To use the new one:\n"
        "  cp %s %s\nand in %s `cameras: {format: toml, path: %s}`%s%s",
        made,
        made,
        layout.raw / name,
        layout.dataset_file,
        name,
        f" and `offsets: {in_yaml(offsets)}`" if about.offsets else "",
        ", without `turned` and `size` under `images`: it is of the images as they are now" if changed else "",
    )


def _record(layout: Layout, source: Source, made: Path, warnings: list[str]) -> None:
    many_files = source.digest(layout.raw)
    provenance.write(
        layout,
        "calibrate",
        params={},
        dataset={"ingest": source},
        inputs=[path for path in source.files_to_calibrate(layout.raw) if path.is_file()],
        digests={layout.raw / source.detections.place: many_files} if many_files else None,
        outputs=[made, layout.rig / "cameras.csv", layout.rig / "rig.png"],
        loads=_READERS,
        warnings=warnings,
    )

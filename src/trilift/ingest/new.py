"""Starting a data set: look at a folder of recordings and write a data set file for it."""

import argparse
import logging
import re
import shutil
import unicodedata
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted
from tqdm import tqdm

from trilift import skeletons
from trilift.errors import InputError, listed
from trilift.formats import recognise, video
from trilift.formats.calibration import Calibration
from trilift.formats.found import Found, Place
from trilift.formats.paths import has_stars
from trilift.formats.reading import list_cameras, read_camera
from trilift.formats.source import Source
from trilift.project.files import replacing
from trilift.project.layout import RECORDED, VIDEOS, Layout, within_project
from trilift.project.params import parse, read_yaml

log = logging.getLogger(__name__)

_FILE = """\
# Written by `trilift new`. Lines that are commented out are what else can be said.
ingest:
  detections:
    format: detections
    path: detections
    skeleton: detections # layout of the keypoints
    detector: detections # what made them, for tables and figures
    # undistorted: true # if the coordinates are of undistorted images
    ground_truth: true # these are no detections: every table and figure will say so
  cameras: CAMERAS
  # views: {name_of_a_view: name_of_its_camera} # where the names do not tell
  # exclude_cameras: [name]
  # offsets: {name_of_a_camera: 3} # by how many frames it is late
  # max_length_difference: 10 # by how many frames views may differ in length; they are cut to the shortest
  # people: one # where several people are seen, follow one of them; by default each becomes a recording
  # subject: size # the one is the largest; by default the one with the most confident detections
  # subjects: {name_of_a_recording: person} # where there are several people
  fps: 0
split:
  by: time # the end of every recording is for testing; or by: recording, or by: subject, and their names under test:
  test_share: 0.3
"""
_CALIBRATED = """
    format: cameras
    names: [] # those of the views; the calibration has more
    path: cameras
    # unit: mm # of lengths, where the file is not in metres
    # image_size: [1920, 1080] # width and height, where the file does not hold them"""
_BY_PEOPLE = """
    format: people # nobody calibrated them: `trilift calibrate` does, by the people whom they see
    stature_m: 1.7 # how tall the person is
    # bone: [left_hip, left_knee, 0.42] # (m) in place of the stature; or baseline: [one_camera, another, 3.2]
    # image_size: [1920, 1080] # width and height, where neither videos nor `intrinsics` tell
    intrinsics: {format: toml, path: recorded/lenses.toml} # matrices and lenses, which are known
    # focal: each # where no two cameras are of one kind
    # offsets: none # where the cameras are in step"""
_GUESSED_FPS, _GUESSED_STATURE = 30, 1.7
_LATIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
)
"""Letters that are no others with a mark."""


def describe(command: argparse.ArgumentParser) -> None:
    """Add what the command line says of this command, and its arguments."""
    command.description = (
        "Look at a folder with detections and a calibration, recognise their formats, link it to "
        "data/raw or copy it there, and write a commented file in workflow/datasets."
    )
    command.epilog = (
        "Examples:\n  trilift new ~/recordings/gait --name gait\n"
        "  trilift new ~/recordings/gait --copy && dvc add data/raw/gait"
    )
    command.add_argument("folder", type=Path, help="holds the detections and the calibration")
    command.add_argument("--name", help="of the data set (default: the folder's)")
    command.add_argument(
        "--skeleton",
        help="layout of the keypoints, a name or a .yaml file in the folder (default: told from names or poses)",
    )
    command.add_argument(
        "--stature",
        type=float,
        metavar="METRES",
        help="of the person who is seen: the cameras are then placed by people, whatever calibration there is",
    )
    command.add_argument(
        "--copy", action="store_true", help="copy the folder, so that DVC can version it (default: link it)"
    )
    command.add_argument("--project", type=Path, default=Path(), help="folder of params.yaml (default: this one)")


def run(options: argparse.Namespace) -> None:
    """Run ``trilift new``."""
    start(options.folder, options.name, options.project, options.skeleton, options.copy, options.stature)


def start(
    folder: Path,
    name: str | None,
    project: Path,
    skeleton: str | None = None,
    copy: bool = False,
    stature_m: float | None = None,
) -> None:
    """Recognise what is in a folder, link or copy it to the raw data and write the data set's file.

    Where there is no calibration, or the stature of a person is given, people are to calibrate the cameras.

    Raises
    ------
    InputError
        If the folder holds nothing that is known, or the data set exists.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no folder")
    name = name or _name_of(folder)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"'{name}': a name has letters, digits, _ and -, and begins with a letter or digit (--name)")
    layout = Layout(name, project)
    if not layout.params.exists():
        raise InputError(f"{layout.params}: not there; run in the project's folder, or name it with --project")
    if layout.dataset_file.exists():
        raise InputError(f"{layout.dataset_file}: there already; remove it, or take another name (--name)")
    if skeleton:
        skeleton = _in_folder(skeleton, folder) if skeletons.is_file(skeleton) else skeleton
        skeletons.get(skeleton, folder)
    found = recognise.look_at(folder, skeleton)
    for line in found.described:
        log.info("%s", line)
    if found.videos:
        _look_at_videos(found, folder)
    by_people = stature_m is not None or found.cameras is None
    # Beside what was recorded lies what is made of it.
    raw = layout.videos if found.videos else layout.recorded if by_people else layout.raw
    taken = raw if raw.exists() or raw.is_symlink() else layout.raw
    if (taken.exists() or taken.is_symlink()) and taken.resolve() != folder.resolve():
        raise InputError(f"{taken}: there already, and not this folder; remove it, or take another name (--name)")
    if raw != layout.raw and layout.raw.resolve() == folder.resolve():
        what = "the videos" if found.videos else "the detections"
        raise InputError(f"{folder}: move {what}, and all that belongs to them, into {raw}, and name that folder")
    if copy and raw.is_symlink():
        raise InputError(f"{raw}: a link to this folder already; remove it, and its folder is copied")
    text = _text(found, folder, by_people, stature_m)
    with replacing(layout.dataset_file) as temporary:
        temporary.write_text(text, "utf-8")
        parse(Source, read_yaml(temporary)["ingest"], str(layout.dataset_file))
        if not raw.exists():
            raw.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                _copy(folder, raw)
            else:
                raw.symlink_to(folder.resolve(), target_is_directory=True)
    if found.unused:
        log.info("not used: %s", listed(found.unused))
    for doubt in found.doubts:
        log.warning("%s", doubt)
    if by_people and not stature_m:
        log.warning(
            "no calibration of a known format: people are to calibrate the cameras. %s m is a guess of how tall the "
            "person is, which gives the size of everything: state it (stature_m:)",
            _GUESSED_STATURE,
        )
    if not found.fps:
        log.warning("%s frames per second are a guess: state those of the videos (fps:)", _GUESSED_FPS)
    made = layout.cameras if by_people else layout.detections if found.videos else None
    first = f"  snakemake --cores all {within_project(made)}\n" if made else ""
    log.info(
        "Wrote %s and %s %s. Look through the file, then:\n"
        "%s  trilift check %s\n  snakemake --cores all results/%s/main/report.html",
        layout.dataset_file,
        "copied" if copy else "linked",
        raw,
        first,
        name,
        name,
    )


def _copy(folder: Path, raw: Path) -> None:
    """Copy a folder, and what its links lead to, to the raw data: whole, or not at all."""
    if raw.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{folder}: holds the project, so that it cannot be copied into it; name the recordings' folder"
        )
    number = sum(path.is_file() for path in folder.rglob("*"))
    part = raw.with_name(f".{raw.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with tqdm(total=number, unit="file", desc="copy", disable=None) as progress:

            def one(source: str, target: str) -> None:
                shutil.copy2(source, target)
                progress.update()

            shutil.copytree(folder, part, copy_function=one)
        part.rename(raw)
    except shutil.Error as error:
        source, _, reason = error.args[0][0]
        raise InputError(f"{source}: cannot be copied to {raw} ({reason}); nothing was") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _look_at_videos(found: Found, folder: Path) -> None:
    """Take from the videos what a data set's file says of them."""
    about = {path: video.about(path) for path in found.videos}
    rates = sorted({each.rate for each in about.values() if each.rate})
    if rates:
        found.fps = rates[0]
    if len(rates) > 1:
        found.doubts.append(
            f"the videos have {listed(rates)} frames per second; the lowest is taken (fps:), which all can give"
        )
    sizes = {each.size for each in about.values()}
    if len(sizes) == 1 and found.cameras is not None and _lacks_sizes(found.cameras, folder):
        (found.image_size,) = sizes


def _lacks_sizes(cameras: Calibration, folder: Path) -> bool:
    """Tell whether a calibration can be read with a stated size of the images only."""
    try:
        rigs = list_cameras(cameras, folder).values()
        read = [read_camera(camera, cameras, undistorted=True) for rig in rigs for camera in rig]
    except InputError:
        return True
    return not read


def _in_folder(skeleton: str, folder: Path) -> str:
    """Give the path of a layout's file as a data set's file states it."""
    path = Path(skeleton).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"--skeleton {skeleton}: lies outside of {folder}; put it there, with the recordings")
    return path.relative_to(folder.resolve()).as_posix()


def _name_of(folder: Path) -> str:
    """Make a data set's name of a folder's: accents go, and what is neither letter nor digit becomes ``_``."""
    name = folder.resolve().name
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name.translate(_LATIN))
        if not unicodedata.combining(letter)
    )
    if any(letter.isalnum() and not letter.isascii() for letter in plain):
        raise InputError(f"{folder}: say how to write its name in letters from a to z (--name)")
    return re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-")


def _text(found: Found, folder: Path, by_people: bool, stature_m: float | None) -> str:
    """Write the data set's file. Names are quoted, so that none reads as a number, a date or a sign of YAML."""
    detections, cameras = found.detections, found.cameras
    if detections is None:
        raise InputError(
            f"{folder}: no detections of a known format in it. There must be 2D keypoints of every camera, for "
            "example a folder of OpenPose's JSON files per camera; docs/recordings.md lists the formats"
        )
    yaml = YAML()
    yaml.width = 10_000  # no line is broken
    lenses = cameras is not None and not has_stars(str(cameras.path))
    content = yaml.load(_FILE.replace(" CAMERAS", _of_people(stature_m, lenses) if by_people else _CALIBRATED))
    source = content["ingest"]
    within = Path(VIDEOS if found.videos else RECORDED if by_people else "")
    path = detections.path if found.videos else (within / detections.path).as_posix()
    source["detections"].update(format=detections.format, path=Quoted(path))
    if cameras is not None and (lenses or not by_people):
        calibration = source["cameras"]["intrinsics"] if by_people else source["cameras"]
        calibration.update(format=cameras.format, path=Quoted((within / str(cameras.path)).as_posix()))
    for key in ("skeleton", "detector"):  # of videos, the stage detect knows them
        if stated := getattr(detections, key):
            source["detections"][key] = stated
        else:
            del source["detections"][key]
    if not detections.ground_truth:
        del source["detections"]["ground_truth"]
    if found.image_size:
        of_lenses = by_people and lenses
        place = source["cameras"]["intrinsics"] if of_lenses else source["cameras"]
        place["image_size"] = list(found.image_size)
    if not by_people:
        if cameras is not None and cameras.names:
            source["cameras"]["names"].extend(Quoted(name) for name in cameras.names)
        else:
            del source["cameras"]["names"]
        _mention(source["cameras"], found.other_cameras)
    _mention(source["detections"], found.other_detections)
    if found.fps:
        source["fps"] = found.fps
    else:
        source["fps"] = _GUESSED_FPS
        source.yaml_add_eol_comment("A GUESS: frames per second of the videos", "fps")
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()


def _of_people(stature_m: float | None, lenses: bool) -> str:
    """Give the lines on cameras that people calibrate: without `lenses` these are not known."""
    text = (
        _BY_PEOPLE
        if lenses
        else _BY_PEOPLE.replace("    intrinsics", "    # intrinsics").replace(", which", ", if they")
    )
    if stature_m is None:
        return text.replace("# how tall", "# A GUESS: how tall")
    return text.replace(str(_GUESSED_STATURE), str(stature_m))


def _mention(section: CommentedMap, others: list[Place]) -> None:
    if others:
        text = "".join(letter if letter.isprintable() else "?" for letter in listed(others))
        section.yaml_set_comment_before_after_key("path", before=f"not taken: {text}", indent=4)

"""Recordings of formats that leave out frames: what is in view comes to the frame in which it was seen."""

import csv
import json

import h5py
import numpy as np
import pytest

from synthetic import make_project, project_with_opencv, ring_of_cameras, waving_person, write_pose2sim
from trilift.errors import InputError
from trilift.formats.source import Source
from trilift.formats.videopose3d import write_reference
from trilift.ingest.assemble import assemble
from trilift.project.params import parse
from trilift.skeletons import BODY25B

FRAMES = 150
CAMERAS = ring_of_cameras(4)
PIXELS = np.stack([project_with_opencv(camera, waving_person(FRAMES)) for camera in CAMERAS], 1)
ALWAYS = np.ones((FRAMES, 4), bool)
NAME = "S1 Walk"
POSES = np.random.default_rng(1).normal(size=(FRAMES, 17, 3)).astype(np.float32)


def write_coco(folder, seen, first=0):
    for view, camera in enumerate(CAMERAS):
        entries = [
            {
                "image_id": f"{frame + first}.jpg",
                "keypoints": np.insert(PIXELS[frame, view], 2, 0.8, 1).ravel().tolist(),
            }
            for frame in np.flatnonzero(seen[:, view]).tolist()
        ]
        (folder / f"{camera.name}.json").write_text(json.dumps(entries))


def write_sleap(folder, seen):
    for view, camera in enumerate(CAMERAS):
        length = int(np.flatnonzero(seen[:, view])[-1]) + 1
        found = np.where(seen[:length, view, None, None], PIXELS[:length, view], np.nan)
        with h5py.File(folder / f"{camera.name}.h5", "w") as file:
            file["tracks"] = found.transpose(2, 1, 0)[None]
            file["point_scores"] = np.where(np.isnan(found[..., 0]), np.nan, 0.8).T[None]
            file["node_names"] = np.array([name.encode() for name in BODY25B.keypoints])


def write_labelled(folder, seen):
    for view, camera in enumerate(CAMERAS):
        columns = [(part, coord) for part in BODY25B.keypoints for coord in "xy"]
        header = [["scorer", *["me"] * len(columns)], ["bodyparts", *[part for part, _ in columns]]]
        rows = [
            [f"labeled-data/{camera.name}/img{frame:04d}.png", *PIXELS[frame, view].ravel().tolist()]
            for frame in np.flatnonzero(seen[:, view]).tolist()
        ]
        with (folder / f"{camera.name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([*header, ["coords", *[coord for _, coord in columns]], *rows])


WRITERS = {"coco": write_coco, "sleap": write_sleap, "deeplabcut": write_labelled}


@pytest.fixture
def project(tmp_path):
    project = make_project(tmp_path)
    (project.layout.raw / NAME / "pose").mkdir(parents=True)
    write_pose2sim(project.layout.raw / "calibration.toml", CAMERAS)
    write_reference(project.layout.raw / "reference.npz", {"S1": {"Walk": POSES}})
    return project


def recording_of(project, kind, seen, first=0, reference=None):
    """Write detections where somebody is seen (frame, view), and read them."""
    WRITERS[kind](project.layout.raw / NAME / "pose", seen, **({"first": first} if first else {}))
    section = {
        "detections": {"format": kind, "path": "*/pose", "skeleton": "body25b", "detector": "synthetic"},
        "cameras": {"format": "toml", "path": "calibration.toml"},
        "fps": 30,
    }
    if reference is not None:
        section["reference"] = {"format": "videopose3d", "path": "reference.npz"} | reference
    ((recording,),) = ([*one.recordings] for one in assemble(project.layout, parse(Source, section, "test")))
    return recording


def is_right(recording, seen):
    frames = slice(recording.first_frame, recording.first_frame + len(recording.pixels))
    expected = np.where(seen[frames, :, None, None], PIXELS[frames], np.nan)
    np.testing.assert_allclose(recording.pixels, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_person_who_leaves_one_view_early_does_not_end_the_recording(project, kind):
    seen = ALWAYS.copy()
    seen[100:, 1] = False
    recording = recording_of(project, kind, seen)
    assert (recording.first_frame, len(recording.pixels), recording.cut) == (0, FRAMES, 0)
    is_right(recording, seen)


@pytest.mark.parametrize("kind", ["coco", "deeplabcut"])
def test_a_person_who_enters_views_at_different_times_is_seen_at_the_right_ones(project, kind):
    seen = ALWAYS.copy()
    for view, first in enumerate((9, 7, 40, 8)):
        seen[:first, view] = False
    recording = recording_of(project, kind, seen)
    assert (recording.first_frame, len(recording.pixels)) == (7, FRAMES - 7)
    is_right(recording, seen)


def test_of_labelled_images_every_fifth_is_a_frame(project):
    seen = np.zeros_like(ALWAYS)
    seen[::5] = True
    seen[15, 2] = False
    recording = recording_of(project, "deeplabcut", seen)
    assert len(recording.pixels) == 146
    is_right(recording, seen)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(("lead", "tail"), [(0, 0), (7, 0), (0, 30), (7, 30)])
def test_a_pose_is_compared_with_the_reference_of_its_frame(project, lead, tail, first):
    """That images are counted from 1 is known where somebody is seen from the first to the last; else it is said."""
    seen = ALWAYS.copy()
    seen[:lead] = seen[FRAMES - tail :] = False
    reference = {"first_frame": {NAME: 1}} if first and (lead or tail) else {}
    recording = recording_of(project, "coco", seen, first, reference)
    assert recording.first_frame == lead + first
    assert len(recording.pixels) == FRAMES - lead - tail
    np.testing.assert_array_equal(recording.reference.poses, POSES[lead : FRAMES - tail])


def test_more_frames_than_poses_are_asked_about(project):
    seen = ALWAYS.copy()
    seen[:7] = False
    with pytest.raises(InputError, match=r'frames 8 to 150, and 150 poses .* first_frame: {"S1 Walk": 8}, or 0'):
        recording_of(project, "coco", seen, 1, {})


def test_a_first_pose_of_no_recording_is_refused(project):
    with pytest.raises(InputError, match="first_frame names S1 Run, but the recordings are S1 Walk"):
        recording_of(project, "coco", ALWAYS, 0, {"first_frame": {"S1 Run": 3}})

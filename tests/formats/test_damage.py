"""Whatever happens to the bytes of a file, its reader ends with recordings or with a clear message."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.camera_writers import read_all
from synthetic import ring_of_cameras
from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.detect import archive
from trilift.detect.detectors.serving import People
from trilift.errors import InputError
from trilift.formats import (
    coco_results,
    deeplabcut,
    detected,
    easymocap,
    freemocap,
    mediapipe,
    mmpose,
    mpi_inf_3dhp,
    openpose,
    registry,
    sleap,
    trilift_nc,
    videopose3d,
)
from trilift.skeletons import COCO17

FREEMOCAP = "_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"

N = len(COCO17)
POINTS = np.random.default_rng(0).uniform(1, 1000, (3, N, 3)).astype(np.float32)


def openpose_file(path):
    people = [{"pose_keypoints_2d": frame.ravel().tolist()} for frame in POINTS[:2]]
    path.write_text(json.dumps({"version": 1.3, "people": people}))


def easymocap_file(path):
    people = [{"personID": number, "keypoints": frame.tolist()} for number, frame in enumerate(POINTS[:2])]
    path.write_text(json.dumps({"filename": "images/cam/000000.jpg", "height": 720, "width": 1280, "annots": people}))


def mmpose_file(path):
    frames = [
        {"frame_id": n, "instances": [{"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist()}]}
        for n, p in enumerate(POINTS, 1)
    ]
    path.write_text(
        json.dumps({"meta_info": {"keypoint_id2name": dict(enumerate(COCO17.keypoints))}, "instance_info": frames})
    )


def coco_file(path):
    entries = [{"image_id": f"{n}.jpg", "keypoints": p.ravel().tolist()} for n, p in enumerate(POINTS)]
    path.write_text(json.dumps(entries))


def mediapipe_file(path):
    rows = [f"{frame},{port},{point},{point}.5,7" for frame in range(3) for port in range(2) for point in range(35)]
    path.write_text("\n".join(["sync_index,port,point_id,img_loc_x,img_loc_y", *rows, ""]))


def freemocap_file(path):
    np.save(path, np.stack([POINTS, POINTS])[..., :2].astype(float))


def deeplabcut_file(path):
    header = [
        ["scorer", *["me"] * 3 * N],
        ["individuals", *["a"] * 3 * N],
        ["bodyparts", *(name for name in COCO17.keypoints for _ in range(3))],
        ["coords", *["x", "y", "likelihood"] * N],
    ]
    rows = [[str(n), *map(str, frame.ravel())] for n, frame in enumerate(POINTS)]
    path.write_text("".join(",".join(row) + "\n" for row in header + rows))


def sleap_file(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("tracks", data=POINTS[None, ..., :2].transpose(0, 3, 2, 1), compression="gzip")
        file.create_dataset("point_scores", data=POINTS[None, ..., 2].transpose(0, 2, 1), compression="gzip")
        file.create_dataset("node_names", data=np.array(COCO17.keypoints, "S"))


def mpi_inf_3dhp_file(path):
    for_cameras = np.empty((2, 2, 1), object)
    for number in range(2):
        for_cameras[0, number, 0] = np.arange(3 * 56.0).reshape(3, 56)
        for_cameras[1, number, 0] = np.arange(3 * 84.0).reshape(3, 84)
    scipy.io.savemat(path, {"annot2": for_cameras[0], "annot3": for_cameras[1]})


def captures_file(path):
    rig = ring_of_cameras(2)
    with writing.create(path, "captures") as file:
        capture = file.add_capture(
            "S1", recordings=[Recording("a", "S1", "a", 50.0, 0, 3)], skeleton=COCO17, views=["1", "2"]
        )
        capture.write("pixels", np.stack([POINTS, POINTS], 1)[..., :2])
        capture.write("confidence", np.stack([POINTS, POINTS], 1)[..., 2])
        for field in ("K", "distortion", "R", "t", "image_size"):
            capture.write(field, np.stack([getattr(camera, field) for camera in rig]))


def detected_file(path):
    with archive.create(path, COCO17, "a detector", 50.0) as file:
        people = [(number, People(frame[None], np.array([[0, 0, 9, 9]]))) for number, frame in enumerate(POINTS)]
        about = {"recording": "", "frames": 3, "first_frame": 0, "image_size": [1280, 720], "made_of": ""}
        for view in ("a", "b"):
            file.add(people, lambda view=view: about | {"view": view})


def videopose3d_file(path):
    videopose3d.write_detections(path, {"S1": {"Walk": [POINTS, POINTS]}})


def view_by(module):
    return lambda path: module.read_view(path, COCO17)


def archive_by(module):
    return lambda path: list(module.read_detections(path, "S1"))


def both_of_mpi_inf_3dhp(path):
    list(mpi_inf_3dhp.read_detections(path, "S1"))
    list(mpi_inf_3dhp.read_reference(path, "S1", [replace(ring_of_cameras(1)[0], name="0")]))


def both_of_trilift(path):
    list(trilift_nc.read_detections(path, "S1"))
    for rig in trilift_nc.list_cameras(path).values():
        read_all(rig)


FORMATS = {
    "openpose": ("view/x.0000.json", openpose_file, lambda path: openpose.read_view(path.parent, COCO17)),
    "easymocap": ("view/0000.json", easymocap_file, lambda path: easymocap.read_view(path.parent, COCO17)),
    "mmpose": ("cam.json", mmpose_file, view_by(mmpose)),
    "coco": ("cam.json", coco_file, view_by(coco_results)),
    "mediapipe": ("xy.csv", mediapipe_file, archive_by(mediapipe)),
    "freemocap": (f"mediapipe{FREEMOCAP}", freemocap_file, archive_by(freemocap)),
    "deeplabcut": ("cam.csv", deeplabcut_file, view_by(deeplabcut)),
    "detect": ("detections_of_videos.nc", detected_file, archive_by(detected)),
    "sleap": ("cam.analysis.h5", sleap_file, view_by(sleap)),
    "mpi_inf_3dhp": ("annot.mat", mpi_inf_3dhp_file, both_of_mpi_inf_3dhp),
    "trilift": ("captures.nc", captures_file, both_of_trilift),
    "videopose3d": ("data.npz", videopose3d_file, archive_by(videopose3d)),
}


# h5netcdf complains when a file goes away that it could not open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=FORMATS)
def intact(request, tmp_path):
    name, write, read = FORMATS[request.param]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write(path)
    return path, path.read_bytes(), read


def read_damaged(path, content, read):
    path.write_bytes(content)
    problem = None
    try:
        read(path)
    except InputError as error:
        problem = str(error)
    assert problem is None or (str(path.parent) in problem and problem.isprintable())


def test_every_format_of_detections_has_a_file():
    assert set(FORMATS) == set(registry.DETECTIONS)


def test_the_intact_files_are_read(intact):
    path, _, read = intact
    read(path)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_wrong_bytes_end_in_a_message(intact, changes):
    path, content, read = intact
    damaged = bytearray(content)
    for where, byte in changes:
        damaged[int(where * len(damaged))] = byte
    read_damaged(path, damaged, read)


@given(st.floats(0, 1), st.floats(0, 1), st.binary(max_size=10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_cut_out_or_added_piece_ends_in_a_message(intact, first, last, piece):
    path, content, read = intact
    begin, end = sorted(int(share * len(content)) for share in (first, last))
    read_damaged(path, content[:begin] + piece + content[end:], read)

"""Qualisys's ``.qca.txt``: a written one, and the real one of Pose2Sim's demo, whose rig is there as a TOML too."""

import json

import cv2
import numpy as np
import pytest

from formats.camera_writers import read_all
from real_data import DATA, needs
from trilift.errors import InputError
from trilift.formats import LeftOut, Stated, toml_cameras
from trilift.formats.qualisys import list_cameras, recognises

CAMERA = """
    <camera active="1" calibrated="true" serial="26580" model="Miqus Video" viewrotation="0">
      <fov_marker left="0" top="0" right="1919" bottom="1087"/>
      <fov_video left="0" top="0" right="1919" bottom="1087"/>
      <fov_video_max left="0" top="0" right="1919" bottom="1087"/>
      <transform x="5000" y="0" z="1500" r11="0" r12="1" r13="0" r21="0" r22="0" r23="1" r31="1" r32="0" r33="0"/>
      <intrinsic focallength="9.3" sensorMinU="0" sensorMaxU="122879" sensorMinV="0" sensorMaxV="69631" skew="0"
        focalLengthU="107520" focalLengthV="107584" centerPointU="60800" centerPointV="32640"
        radialDistortion1="-0.04"
        radialDistortion2="0.14" radialDistortion3="0.5" tangentalDistortion1="0.001" tangentalDistortion2="-0.002"/>
    </camera>"""
FILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<calibration qtm-version="2024.3 (build 14360)" type="regular">
  <results std-dev="0.43" min-max-diff="2.6"/>
  <cameras>{CAMERA}
  </cameras>
</calibration>
"""
BOMB = """<!DOCTYPE calibration [<!ENTITY a "0"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<calibration"""
EXTERNAL = '<!DOCTYPE calibration SYSTEM "file:///etc/hostname"><calibration'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "Calib.qca.txt"


def read_cameras(path, text, **stated):
    path.write_text(text)
    return read_all(list_cameras(path), **stated)


def message(path, text):
    with pytest.raises(InputError) as caught:
        read_cameras(path, text)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_camera_that_looks_at_the_origin(path):
    """It stands on the x axis, 5 m away, and looks along it: what is left of the origin for it is at y < 0."""
    (camera,) = read_cameras(path, FILE)
    assert camera.name == "26580"
    assert camera.K.tolist() == [[1680, 0, 950], [0, 1681, 510], [0, 0, 1]]
    assert camera.distortion.tolist() == [-0.04, 0.14, 0.001, -0.002, 0.5]
    assert camera.image_size.tolist() == [1920, 1088]
    inside = camera.R @ [[0, 0.0, 0], [0, -1, 0], [1.5, 1.5, 2]] + camera.t[:, None]
    np.testing.assert_allclose(inside.T, [[0, 0, 5], [-1, 0, 5], [0, -0.5, 5]], atol=1e-12)


def test_a_smaller_video_field_is_cut_out_of_the_sensor(path):
    old = '<fov_video left="0" top="0" right="1919" bottom="1087"/>'
    assert old in FILE
    new = '<fov_video left="320" top="100" right="1599" bottom="819"/>'
    (camera,) = read_cameras(path, FILE.replace(old, new))
    assert camera.image_size.tolist() == [1280, 720]
    assert camera.K[:2, 2].tolist() == [950 - 320, 510 - 100]


def test_the_stated_image_size_comes_first(path):
    (camera,) = read_cameras(path, FILE, image_size=(1920, 1080))
    assert camera.image_size.tolist() == [1920, 1080]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('active="1"', 'active="0"', "was not active in the calibration"),
        ('calibrated="true"', 'calibrated="false"', "has no pose"),
        ("<transform", "<moved", "has no pose"),
    ],
)
def test_cameras_without_a_pose_are_left_out(path, old, new, reason):
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    (entry,) = list_cameras(path)
    assert entry.read(Stated()) == LeftOut("26580", reason)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<calibration", "<rig", "no <calibration> in it"),
        ("</camera>", "", "no valid XML (mismatched tag"),
        ("<calibration", BOMB, "has a document type, which QTM does not write"),
        ("<calibration", EXTERNAL, "has a document type, which QTM does not write"),
        (CAMERA, "", "no camera found"),
        (CAMERA, CAMERA * 2, "two cameras are named 26580"),
        ('serial="26580"', "", "the name of a camera must be short text, found None"),
        ('r23="1"', 'r23="up"', "camera 26580, <transform>: `r23` must be 1 finite numbers, found 'up'"),
        ('x="5000" ', "", "<transform>: lacks `x`"),
        ('focalLengthU="107520"', "", "<intrinsic>: lacks `focalLengthU`"),
        ("<fov_video ", "<fov_other ", "<fov_video>: lacks `left`"),
        ('sensorMaxU="122879"', 'sensorMaxU="1919"', "its intrinsics are not in 64ths of a pixel"),
        ('skew="0"', 'skew="640"', "K has a skew of 10 px"),
        ('r11="0"', 'r11="1"', "R is no rotation matrix"),
        ('x="5000"', 'x="1e300"', "t holds NaN, infinity or a number beyond"),
    ],
)
def test_faults_are_named(path, old, new, expected):
    assert old in FILE
    assert expected in message(path, FILE.replace(old, new, 1))


def test_what_is_none_is_not_recognised(path):
    path.write_text("Skeletool Camera Calibration File V1.0\n")
    assert recognises(path) is None
    path.write_bytes(b"\x80<calibration")
    assert recognises(path) is None


# The real file. Its rig as a TOML was written by another program.

DEMO = DATA / "pose2sim_demo"


@needs("pose2sim_demo")
def test_the_real_rig_is_that_of_the_toml_but_for_its_distortion():
    """The TOML's distortion was divided by 64 as if it were in 64ths of a pixel, which has no meaning."""
    ours = read_all(list_cameras(DEMO / "Calib.qca.txt"))
    theirs = read_all(toml_cameras.list_cameras(DEMO / "Calib_qualisys.toml"))
    for camera, other in zip(ours, theirs, strict=True):
        assert camera.name == other.name
        assert camera.image_size.tolist() == other.image_size.tolist()
        np.testing.assert_allclose(camera.K, other.K, atol=1e-9)
        np.testing.assert_allclose(camera.R, other.R, atol=1e-12)
        np.testing.assert_allclose(camera.t, other.t, atol=1e-12)
        np.testing.assert_allclose(camera.distortion, 64 * other.distortion, atol=1e-12)


def real_detections():
    """What OpenPose saw with some confidence in all four views: (point, view, 2) px."""
    found = []
    for number in range(1, 5):
        frames = []
        for file in sorted((DEMO / "balancing_trial" / "pose" / f"cam{number:02d}_json").glob("*.json")):
            people = [person["pose_keypoints_2d"] for person in json.loads(file.read_text())["people"]]
            whole = [np.reshape(person, (25, 3)) for person in people if len(person) == 75]
            frames.append(whole[0] if whole else np.zeros((25, 3)))
        found.append(np.concatenate(frames))
    points = np.stack(found, 1)
    return points[(points[..., 2] > 0.5).all(1), :, :2]


def median_error(cameras, pixels):
    """Triangulate by a linear system on rays from OpenCV, and project by OpenCV, px."""
    rows = []
    for view, camera in enumerate(cameras):
        rays = cv2.undistortPoints(pixels[:, None, view], camera.K, camera.distortion)[:, 0]
        P = np.column_stack([camera.R, camera.t])
        rows += [rays[:, :1] * P[2] - P[0], rays[:, 1:] * P[2] - P[1]]
    points = np.linalg.svd(np.stack(rows, 1))[2][:, -1]
    points = points[:, :3] / points[:, 3:]
    errors = []
    for view, camera in enumerate(cameras):
        seen, _ = cv2.projectPoints(points, cv2.Rodrigues(camera.R)[0], camera.t, camera.K, camera.distortion)
        errors.append(np.linalg.norm(seen[:, 0] - pixels[:, view], axis=1))
    return np.median(errors)


@needs("pose2sim_demo")
def test_real_detections_agree_about_the_rig_and_about_no_other_convention(tmp_path):
    text, pixels = (DEMO / "Calib.qca.txt").read_text(), real_detections()
    assert len(pixels) > 1000
    assert median_error(read_cameras(tmp_path / "a.qca.txt", text), pixels) < 15  # one of its cameras is off by 19 px
    transposed = text
    for a, b in ("12", "21"), ("13", "31"), ("23", "32"):
        transposed = transposed.replace(f"r{a}=", "r00=").replace(f"r{b}=", f"r{a}=").replace("r00=", f"r{b}=")
    assert transposed != text
    assert median_error(read_cameras(tmp_path / "b.qca.txt", transposed), pixels) > 100


@needs("pose2sim_videos")
def test_the_file_beside_the_videos_is_the_same_rig():
    beside = read_all(list_cameras(DATA / "pose2sim_videos" / "one_person" / "Calib.qca.txt"))
    demo = read_all(list_cameras(DEMO / "Calib.qca.txt"))
    assert [camera.name for camera in beside] == ["cam01", "cam02", "cam03", "cam04"]
    for camera, other in zip(beside, demo, strict=True):
        for field in ("K", "distortion", "R", "t", "image_size"):
            np.testing.assert_array_equal(getattr(camera, field), getattr(other, field))

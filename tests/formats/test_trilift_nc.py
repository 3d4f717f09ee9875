import h5py
import numpy as np
import pytest

from formats.camera_writers import read_all
from synthetic import ring_of_cameras
from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.formats.recognise import look_at
from trilift.formats.trilift_nc import list_cameras, read_detections, read_reference
from trilift.skeletons import COCO17, H36M17

RIG = ring_of_cameras(3)
FIELDS = ("K", "distortion", "R", "t", "image_size")
RECORDINGS = [Recording("S1 Walk", "S1", "Walk", 50.0, 0, 7), Recording("S1 Sit", "S1", "Sit", 50.0, 7, 5)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "captures.nc"


def values(skeleton=COCO17, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.1, 1, (12, len(RIG), len(skeleton))).astype(np.float32)
    keypoints = rng.uniform(1, 1000, (*confidence.shape, 2)).astype(np.float32)
    keypoints[3, 1], confidence[3, 1] = np.nan, 0
    return keypoints, confidence


def write(path, skeletons, recordings=RECORDINGS):
    """A capture for each name and skeleton."""
    with writing.create(path, "captures", dataset="tiny") as file:
        for seed, (name, skeleton) in enumerate(skeletons.items()):
            capture = file.add_capture(
                name, recordings=recordings, skeleton=skeleton, views=[camera.name for camera in RIG], frames=12
            )
            keypoints, confidence = values(skeleton, seed)
            capture.write("pixels", keypoints)
            capture.write("confidence", confidence)
            for field in FIELDS:
                capture.write(field, np.stack([getattr(camera, field) for camera in RIG]))


def message(path, read=lambda path: list(read_detections(path, "unused"))):
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def read_all_references(path):
    return list(read_reference(path))


def test_recordings_come_back(path):
    write(path, {"S1": COCO17, "S2": H36M17})
    found = list(read_detections(path, "unused"))
    assert [(r.capture, r.name, r.subject, r.action) for r in found] == [
        (capture, recording.name, recording.subject, recording.action)
        for capture in ("S1", "S2")
        for recording in RECORDINGS
    ]
    for number, recording in enumerate(found):
        assert recording.skeleton is (COCO17, H36M17)[number // 2]
        keypoints, confidence = values(recording.skeleton, number // 2)
        frames = RECORDINGS[number % 2].frames
        assert [view.name for view in recording.views] == [camera.name for camera in RIG]
        for index, view in enumerate(recording.views):
            np.testing.assert_array_equal(view.pixels, keypoints[frames, index, None])
            np.testing.assert_array_equal(view.confidence, confidence[frames, index, None])


def read_cameras(path):
    return {name: read_all(rig) for name, rig in list_cameras(path).items()}


def test_cameras_come_back(path):
    write(path, {"S1": COCO17, "S2": H36M17})
    rigs = read_cameras(path)
    assert list(rigs) == ["S1", "S2"]
    for rig in rigs.values():
        for camera, expected in zip(rig, RIG, strict=True):
            assert camera.name == expected.name
            for field in FIELDS:
                np.testing.assert_allclose(getattr(camera, field), getattr(expected, field), rtol=0, atol=1e-15)


def test_names_hold_no_slash(path):
    write(path, {"S1": COCO17}, [Recording("Walk/1", "S1", "Walk", 50.0, 0, 12)])
    (recording,) = read_detections(path, "unused")
    assert recording.name == "Walk-1"


def test_another_kind_of_file_is_refused(path):
    with writing.create(path, "references"):
        pass
    assert "holds references, expected captures" in message(path)
    assert "holds references, expected captures" in message(path, read_cameras)


def test_a_missing_file_is_named(path):
    assert "not there" in message(path)


def write_reference(path):
    poses = np.random.default_rng(0).uniform(-1, 2, (12, len(H36M17), 3)).astype(np.float32)
    poses[3, 4] = np.nan
    with writing.create(path, "references") as file:
        for name in ("S1", "S2"):
            capture = file.add_capture(name, recordings=RECORDINGS, skeleton=H36M17)
            capture.write_block(slice(0, 12), poses=poses)
    return poses


def test_references_come_back(path):
    poses = write_reference(path)
    found = list(read_reference(path))
    assert [(r.capture, r.name) for r in found] == [
        (capture, recording.name) for capture in ("S1", "S2") for recording in RECORDINGS
    ]
    for reference, recording in zip(found, 2 * RECORDINGS, strict=True):
        assert reference.skeleton == H36M17
        np.testing.assert_array_equal(reference.poses, poses[recording.frames])


def test_damaged_references_are_refused(path):
    write(path, {"S1": COCO17})
    assert "holds captures, expected references" in message(path, read_all_references)
    write_reference(path)
    with h5py.File(path, "a") as file:
        file["S1/poses"][8] = np.inf
    assert "recording S1 Sit: holds an infinite number" in message(path, read_all_references)
    with h5py.File(path, "a") as file:
        file["S1/recording_length"][1] = 6
    assert "recording S1 Sit: damaged, lies outside its capture" in message(path, read_all_references)


@pytest.mark.parametrize(("first", "length"), [(8, 5), (-1, 3), (0, -1), (0, 2**62)])
def test_a_recording_outside_its_capture_is_refused(path, first, length):
    write(path, {"S1": COCO17})
    with h5py.File(path, "a") as file:
        file["S1/recording_start"][1] = first
        file["S1/recording_length"][1] = length
    assert "recording S1 Sit: damaged, lies outside its capture" in message(path)


def test_strings_that_hdf5_would_read_forever_are_refused(path):
    write(path, {"S1": COCO17})
    content = bytearray(path.read_bytes())
    # Behind the last string of the collection lies its free space, object 0.
    begin = content.rindex(b"right_ankle") + 16
    while content[begin : begin + 2] != b"\0\0":
        begin += 16 + -(-int.from_bytes(content[begin + 8 : begin + 16], "little") // 8) * 8
    content[begin : begin + 16] = bytes(16)
    path.write_bytes(content)
    assert f"damaged at byte {begin}" in message(path)
    assert look_at(path.parent).detections is None


def test_strings_longer_than_the_file_are_refused_before_memory_is_spent(path):
    write(path, {"S1": COCO17})
    with h5py.File(path) as file:
        begin = file["S1/keypoint"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[begin : begin + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    for read in (lambda path: list(read_detections(path, "unused")), read_cameras):
        assert "`S1/keypoint` holds strings longer than the file" in message(path, read)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("K", np.nan, "K must be upper triangular"),
        ("distortion", np.inf, "distortion holds NaN, infinity"),
        ("R", np.nan, "R holds NaN, infinity"),
        ("R", 1.0, "R is no rotation matrix"),
        ("t", np.nan, "t holds NaN, infinity"),
        ("image_size", -1, "width and height must be numbers"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(path, field, value, expected):
    write(path, {"S1": COCO17})
    with h5py.File(path, "a") as file:
        file["S1"][field][1] = value
    text = message(path, read_cameras)
    assert "capture S1, camera cam2: " in text
    assert expected in text


@pytest.mark.parametrize("name", ["pixels", "confidence"])
def test_infinite_detections_are_refused(path, name):
    write(path, {"S1": COCO17})
    with h5py.File(path, "a") as file:
        file["S1"][name][8] = np.inf
    assert "recording S1 Sit: holds an infinite number" in message(path)


@pytest.mark.parametrize("name", ["recording_name", "recording_length"])
def test_a_missing_table_is_refused(path, name):
    write(path, {"S1": COCO17})
    with h5py.File(path, "a") as file:
        del file["S1"][name]
    assert "no table of its recordings" in message(path)


@pytest.mark.parametrize("skeleton", ["h36m18", "openpose25", None])
def test_another_skeleton_is_refused(path, skeleton):
    write(path, {"S1": COCO17})
    with h5py.File(path, "a") as file:
        del file["S1"].attrs["skeleton"]
        if skeleton:
            file["S1"].attrs["skeleton"] = skeleton
    with pytest.raises(InputError):
        list(read_detections(path, "unused"))

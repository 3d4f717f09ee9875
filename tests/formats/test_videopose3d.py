import tracemalloc
import zipfile

import numpy as np
import pytest

from trilift.errors import InputError
from trilift.formats.videopose3d import KEPT_OF_32, read_detections, read_reference, write_detections, write_reference
from trilift.skeletons import COCO17, H36M17, HUMANEVA15, MPII16

# Human3.6M's own numbers of the joints that the field keeps.
NUMBER_OF = {
    "pelvis": 0,
    "right_hip": 1,
    "right_knee": 2,
    "right_ankle": 3,
    "left_hip": 6,
    "left_knee": 7,
    "left_ankle": 8,
    "spine": 12,
    "thorax": 13,
    "nose": 14,
    "head_top": 15,
    "left_shoulder": 17,
    "left_elbow": 18,
    "left_wrist": 19,
    "right_shoulder": 25,
    "right_elbow": 26,
    "right_wrist": 27,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def views(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(1, 1000, shape).astype(np.float32) for shape in shapes]


def save(path, **entries):
    np.savez(path, allow_pickle=True, **{name: np.array(value, dtype=object) for name, value in entries.items()})


def message(read, path):
    with pytest.raises(InputError) as caught:
        list(read(path) if read is read_reference else read(path, "unused"))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_17_of_32_joints_are_those_of_the_field():
    assert KEPT_OF_32.tolist() == [NUMBER_OF[name] for name in H36M17.keypoints]


def test_detections_come_back_with_their_confidence(path):
    walk, sit = views((5, 17, 3), (6, 17, 3)), views((4, 17, 3), (4, 17, 3), seed=1)
    write_detections(path, {"S1": {"Walk 1": walk}, "S9": {"Sit": sit}})
    first, second = read_detections(path, "unused")
    assert (first.capture, first.name, first.subject, first.action) == ("S1", "S1 Walk 1", "S1", "Walk 1")
    assert (second.capture, second.name) == ("S9", "S9 Sit")
    assert first.skeleton is H36M17
    for view, array in zip(first.views, walk, strict=True):
        assert view.name is None
        np.testing.assert_array_equal(view.pixels, array[:, None, :, :2])
        np.testing.assert_array_equal(view.confidence, array[:, None, :, 2])


def test_published_files_have_no_confidence(path):
    (array,) = views((5, 17, 2))
    save(path, positions_2d={"S1": {"Walk": [array]}})
    (recording,) = read_detections(path, "unused")
    assert recording.views[0].confidence is None
    np.testing.assert_array_equal(recording.views[0].pixels, array[:, None])


def test_a_missing_keypoint_stays_missing(path):
    (array,) = views((5, 17, 3))
    array[2, 3] = np.nan
    write_detections(path, {"S1": {"Walk": [array]}})
    (recording,) = read_detections(path, "unused")
    np.testing.assert_array_equal(np.isnan(recording.views[0].pixels[:, 0]), np.isnan(array[..., :2]))


def test_written_files_have_the_metadata_that_others_expect(path):
    write_detections(path, {"S1": {"Walk": views((5, 17, 3))}})
    metadata = np.load(path, allow_pickle=True)["metadata"].item()
    assert metadata["num_joints"] == 17
    assert metadata["keypoints_symmetry"] == [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]


def test_files_with_the_same_content_have_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_detections(tmp_path / name, {"S1": {"Walk": views((5, 17, 3))}})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_reference_poses_come_back(path):
    (poses,) = views((5, 17, 3))
    write_reference(path, {"S1": {"Walk": poses}})
    (reference,) = read_reference(path)
    assert (reference.capture, reference.name) == ("S1", "S1 Walk")
    assert reference.skeleton is H36M17
    np.testing.assert_array_equal(reference.poses, poses)


def test_written_references_have_all_32_joints(path):
    (poses,) = views((5, 17, 3))
    write_reference(path, {"S1": {"Walk": poses}})
    full = np.load(path, allow_pickle=True)["positions_3d"].item()["S1"]["Walk"]
    assert full.shape == (5, 32, 3)
    np.testing.assert_array_equal(full[:, NUMBER_OF["left_wrist"]], poses[:, H36M17.index("left_wrist")])
    assert np.isnan(full[:, 31]).all()


def test_published_references_are_reduced_to_17_joints(path):
    (poses,) = views((5, 32, 3))
    save(path, positions_3d={"S1": {"Walk": poses}})
    (reference,) = read_reference(path)
    for joint, name in enumerate(H36M17.keypoints):
        np.testing.assert_array_equal(reference.poses[:, joint], poses[:, NUMBER_OF[name]])


@pytest.mark.parametrize("skeleton", [H36M17, MPII16, HUMANEVA15], ids=lambda skeleton: skeleton.name)
def test_the_number_of_keypoints_tells_the_layout(path, skeleton):
    arrays = views((5, len(skeleton), 2), (5, len(skeleton), 2))
    save(path, positions_2d={"S1": {"Walk": arrays}})
    (recording,) = read_detections(path, "unused")
    assert recording.skeleton is skeleton
    for view, array in zip(recording.views, arrays, strict=True):
        np.testing.assert_array_equal(view.pixels, array[:, None])


OF_COCO = {
    "layout_name": "coco",
    "num_joints": 17,
    "keypoints_symmetry": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]],
    "video_metadata": {"walk.mp4": {"w": 1920, "h": 1080}},
}
"""As VideoPose3D's own script for custom videos writes it."""


@pytest.mark.parametrize(
    ("metadata", "skeleton"),
    [
        (OF_COCO, COCO17),
        (OF_COCO | {"layout_name": "h36m"}, COCO17),
        ({"layout_name": "coco"}, COCO17),
        ({"layout_name": "h36m", "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]}, H36M17),
        ({"layout_name": "any", "keypoints_symmetry": ((11, 12, 13, 4, 5, 6), (1, 2, 3, 14, 15, 16))}, H36M17),
    ],
)
def test_what_the_file_says_of_its_keypoints_tells_the_layout(path, metadata, skeleton):
    arrays = views((5, 17, 2), (5, 17, 2))
    save(path, positions_2d={"walk.mp4": {"custom": arrays}}, metadata=metadata)
    (recording,) = read_detections(path, "unused")
    assert recording.skeleton is skeleton


@pytest.mark.parametrize("sides", [[[1, 2], [3, 4]], [[1, "a"]], 5, [5]])
def test_a_layout_that_is_not_known_is_refused(path, sides):
    save(
        path,
        positions_2d={"S1": {"Walk": views((5, 17, 2))}},
        metadata={"layout_name": "own", "keypoints_symmetry": sides},
    )
    assert "a layout 'own' with other sides" in message(read_detections, path)


def test_an_array_over_cameras_is_read_as_a_list(path):
    arrays = np.stack(views((5, 17, 2), (5, 17, 2), (5, 17, 2)))
    of_other_lengths = np.empty(2, object)
    of_other_lengths[:] = views((5, 17, 2), (6, 17, 2))
    save(path, positions_2d={"S1": {"Walk": arrays, "Sit": of_other_lengths}})
    walk, sit = read_detections(path, "unused")
    for recording, expected in ((walk, arrays), (sit, of_other_lengths)):
        for view, array in zip(recording.views, expected, strict=True):
            np.testing.assert_array_equal(view.pixels, array[:, None])


def test_references_of_humaneva_are_read(path):
    (poses,) = views((5, 15, 3))
    save(path, positions_3d={"Train/S1": {"Walking 1 chunk0": poses}})
    (reference,) = read_reference(path)
    assert (reference.capture, reference.name) == ("Train-S1", "Train-S1 Walking 1 chunk0")
    assert reference.skeleton is HUMANEVA15
    np.testing.assert_array_equal(reference.poses, poses)


def test_names_hold_no_slash(path):
    save(path, positions_2d={"Train/S1": {"Walk/fast": views((5, 15, 2))}})
    (recording,) = read_detections(path, "unused")
    assert (recording.capture, recording.name) == ("Train-S1", "Train-S1 Walk-fast")
    assert (recording.subject, recording.action) == ("Train-S1", "Walk-fast")


@pytest.mark.parametrize("name", ["", ".", "..", "a\x00b", "\ud800", " "])
def test_a_name_that_no_file_can_hold_is_refused(path, name):
    save(path, positions_2d={name: {"Walk": views((5, 17, 2))}})
    text = message(read_detections, path)
    assert "cannot be the name of a capture" in text
    assert text.isprintable()


def test_cameras_of_different_layouts_are_refused(path):
    save(path, positions_2d={"S1": {"Walk": views((5, 17, 2), (5, 16, 2))}})
    assert "S1 'Walk': cameras with different numbers of keypoints" in message(read_detections, path)


@pytest.mark.parametrize("number", [np.inf, -np.inf])
def test_infinite_numbers_are_refused(path, number):
    flat, poses = views((5, 17, 2), (5, 17, 3))
    flat[1, 2, 0] = poses[1, 2, 0] = number
    save(path, positions_2d={"S1": {"Walk": [flat]}}, positions_3d={"S1": {"Walk": poses}})
    assert "S1 'Walk', camera 1: holds an infinite number" in message(read_detections, path)
    assert "S1 'Walk': holds an infinite number" in message(read_reference, path)


def test_recordings_leave_the_memory_when_they_are_done(path):
    array = np.zeros((20_000, 17, 2), np.float32)
    save(path, positions_2d={"S1": {f"Walk {n}": [array + n] for n in range(8)}})
    tracemalloc.start()
    seen = []
    for _ in read_detections(path, "unused"):
        seen.append(tracemalloc.get_traced_memory()[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen[-1] < 2.5 * array.nbytes
    assert peak < 11 * array.nbytes


@pytest.mark.parametrize("shape", [(5, 18, 2), (5, 32, 2), (5, 17, 4), (5, 17), (17, 2)])
def test_detections_of_another_shape_are_refused_by_recording_and_camera(path, shape):
    save(path, positions_2d={"S1": {"Walk": [*views((5, 17, 2)), *views(shape)]}})
    text = message(read_detections, path)
    assert "S1 'Walk', camera 2" in text
    assert str(shape) in text


@pytest.mark.parametrize("shape", [(5, 16, 3), (5, 17, 2), (17, 3)])
def test_reference_poses_of_another_shape_are_refused_by_recording(path, shape):
    save(path, positions_3d={"S1": {"Walk": views(shape)[0]}})
    text = message(read_reference, path)
    assert "S1 'Walk'" in text
    assert str(shape) in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "expected a dict subject -> action"),
        ({"S1": [1, 2]}, "S1: expected a dict of actions"),
        ({"S1": {"Walk": []}}, "S1 'Walk': expected a list over cameras"),
        ({"S1": {"Walk": {"cam": 1}}}, "S1 'Walk': expected a list over cameras"),
        ({"S1": {"Walk": ["cam"]}}, "camera 1: expected an array"),
        ({"S1": {"Walk": [np.zeros((5, 17, 2), int)]}}, "camera 1: expected an array of floating-point numbers"),
        ({"S1": {"Walk": [np.zeros((5, 17, 2), object)]}}, "camera 1: expected an array of floating-point numbers"),
    ],
)
def test_another_structure_is_refused(path, content, expected):
    save(path, positions_2d=content)
    assert expected in message(read_detections, path)


def test_a_file_of_references_holds_no_detections(path):
    write_reference(path, {"S1": {"Walk": views((5, 17, 3))[0]}})
    assert "no entry 'positions_2d' (it has: positions_3d)" in message(read_detections, path)


def test_a_failed_write_leaves_nothing(path):
    with pytest.raises(ValueError):
        write_reference(path, {"S1": {"Walk": np.zeros((5, 16, 3))}})
    assert not list(path.parent.iterdir())

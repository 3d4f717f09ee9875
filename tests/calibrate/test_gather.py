"""What cameras are calibrated from: whose views, on which clock, with what is known of each camera."""

import json

import numpy as np
import pytest
import yaml

from synthetic import (
    make_project,
    project_with_opencv,
    ring_of_cameras,
    waving_person,
    write_openpose,
    write_pose2sim,
)
from trilift.calibrate.gather import gather
from trilift.detect import archive
from trilift.detect.detectors.serving import People
from trilift.errors import InputError
from trilift.formats import videopose3d
from trilift.formats.source import Source
from trilift.project.params import parse
from trilift.skeletons import BODY25B

OPENPOSE = {"format": "openpose", "path": "recorded/pose", "skeleton": "body25b", "detector": "synthetic"}
PEOPLE = {"format": "people", "stature_m": 1.7}
LENSES = {"format": "toml", "path": "recorded/lenses.toml"}
SIZE = [1280, 720]
FRAMES = 12


@pytest.fixture
def layout(tmp_path):
    made = make_project(tmp_path / "project").layout
    made.recorded.mkdir()
    write_openpose(made.recorded / "pose", ring_of_cameras(3), waving_person(FRAMES), noise_px=0)
    write_pose2sim(made.recorded / "lenses.toml", ring_of_cameras(3))
    return made


def gathered(layout, cameras, detections=OPENPOSE, **others):
    source = {"detections": detections, "cameras": PEOPLE | cameras, "fps": 30}
    return gather(layout, parse(Source, source | others, "the data set's file"))


def test_pixels_are_those_that_were_detected(layout):
    found = gathered(layout, {"image_size": SIZE})
    assert found.names == ["cam1", "cam2", "cam3"]
    for view, camera in enumerate(ring_of_cameras(3)):
        expected = project_with_opencv(camera, waving_person(FRAMES))
        np.testing.assert_allclose(found.pixels[:, view], expected, atol=1e-3)
    assert (found.confidence == np.float32(0.8)).all()


def test_of_a_whole_body_what_bones_join_is_taken(layout):
    """A hundred points of a face and fingers would take most of the time, and tell what a nose and wrists tell."""
    definition = BODY25B.definition
    for joining in ("bones", "lines"):
        definition[joining] = [pair for pair in definition[joining] if not any("toe" in name for name in pair)]
    (layout.recorded / "whole.yaml").write_text(yaml.safe_dump(definition))
    kept = [index for index, name in enumerate(BODY25B.keypoints) if "toe" not in name]
    assert len(kept) < len(BODY25B)
    all_of_it = gathered(layout, {"image_size": SIZE})
    found = gathered(layout, {"image_size": SIZE}, OPENPOSE | {"skeleton": "recorded/whole.yaml"})
    assert found.skeleton.keypoints == tuple(BODY25B.keypoints[index] for index in kept)
    np.testing.assert_array_equal(found.pixels, all_of_it.pixels[:, :, kept])
    np.testing.assert_array_equal(found.confidence, all_of_it.confidence[:, :, kept])


def test_an_excluded_camera_is_not_there(layout):
    found = gathered(layout, {"image_size": SIZE}, exclude_cameras=["cam2"])
    assert found.names == ["cam1", "cam3"]


def test_offsets_that_are_stated_shift_frames(layout):
    found = gathered(layout, {"image_size": SIZE}, offsets={"cam2": 2})
    expected = [project_with_opencv(camera, waving_person(FRAMES)) for camera in ring_of_cameras(3)]
    np.testing.assert_allclose(found.pixels[:, 0], expected[0][:10], atol=1e-3)
    np.testing.assert_allclose(found.pixels[:, 1], expected[1][2:], atol=1e-3)


def test_lenses_are_of_the_images_as_they_are(layout):
    changes = {"*": {"size": [640, 360]}, "cam3": {"mirrored": True}}
    found = gathered(layout, {"intrinsics": LENSES}, images=changes)
    assert found.image_size.tolist() == [[640, 360], [640, 360], [1280, 720]]
    assert found.cameras.K[0, 0, 0] == 550
    assert found.cameras.K[2, 0, 0] == 1100
    here = BODY25B.keypoints.index("left_hip")
    there = BODY25B.keypoints.index("right_hip")
    expected = project_with_opencv(ring_of_cameras(3)[2], waving_person(FRAMES))[:, there]
    np.testing.assert_allclose(found.pixels[:, 2, here], [1280, 0] + expected * [-1, 1], atol=1e-2)


def test_undistorted_detections_have_no_distortion(layout):
    found = gathered(layout, {"intrinsics": LENSES}, OPENPOSE | {"undistorted": True})
    assert not found.cameras.distortion.any()


def test_cameras_share_a_focal_length_if_their_images_are_of_one_size(layout):
    text = (layout.recorded / "lenses.toml").read_text()
    (layout.recorded / "lenses.toml").write_text(text[: text.index("[cam3]")])
    found = gathered(layout, {"intrinsics": LENSES, "image_size": [800, 600]})
    assert found.focal_groups == [-1, -1, 2]
    assert gathered(layout, {"image_size": SIZE}).focal_groups == [0, 0, 0]
    assert gathered(layout, {"image_size": SIZE, "focal": "each"}).focal_groups == [0, 1, 2]


def test_baselines_and_bones_are_handed_on(layout):
    found = gathered(layout, {"stature_m": None, "baseline": ["cam3", "cam1", 6.9], "image_size": SIZE})
    assert found.scale.baseline == (2, 0, 6.9)
    found = gathered(layout, {"stature_m": None, "bone": ["left_hip", "left_knee", 0.42], "image_size": SIZE})
    assert found.scale.bone == ("left_hip", "left_knee", 0.42)


def test_the_offset_of_an_excluded_camera_may_stay_but_a_baseline_to_it_is_refused(layout):
    others = {"exclude_cameras": ["cam2"], "offsets": {"cam2": 3}}
    assert gathered(layout, {"image_size": SIZE}, **others).names == ["cam1", "cam3"]
    with pytest.raises(InputError, match="baseline names cam2, but the cameras are cam1, cam3"):
        gathered(layout, {"stature_m": None, "baseline": ["cam1", "cam2", 3.2], "image_size": SIZE}, **others)


@pytest.mark.parametrize("length", [{"bone": ["nose", "nose", 0.4]}, {"baseline": ["cam1", "cam1", 3.2]}])
def test_a_length_is_between_two_different_things(layout, length):
    with pytest.raises(InputError, match=f"`{next(iter(length))}` is the distance of two different ones"):
        gathered(layout, {"stature_m": None, "image_size": SIZE, **length})


def test_cameras_may_start_apart_where_offsets_are_found(layout):
    longer = OPENPOSE | {"path": "recorded/longer"}
    write_openpose(layout.recorded / "longer", ring_of_cameras(3), waving_person(40), noise_px=0)
    for path in sorted((layout.recorded / "longer" / "cam2_json").iterdir())[-20:]:
        path.unlink()
    assert len(gathered(layout, {"image_size": SIZE}, longer).pixels) == 20
    with pytest.raises(InputError, match="20 frames"):
        gathered(layout, {"image_size": SIZE, "offsets": "none"}, longer)


def test_recordings_are_segments_of_their_own(layout):
    write_openpose(layout.recorded / "walk" / "pose", ring_of_cameras(3), waving_person(5))
    write_openpose(layout.recorded / "run" / "pose", ring_of_cameras(2), waving_person(4))
    found = gathered(layout, {"image_size": SIZE}, OPENPOSE | {"path": "recorded/*/pose"})
    assert np.bincount(found.segments).tolist() == [4, 5]
    assert found.names == ["cam1", "cam2", "cam3"]
    assert found.pixels[:4, 2].isnan().all()  # which the third camera did not see


def test_views_without_names_are_numbered_or_named_by_the_lenses(layout):
    views = [np.random.default_rng(0).uniform(0, 500, (20, 17, 2)) for _ in range(2)]
    videopose3d.write_detections(layout.recorded / "detections.npz", {"S1": {"walk": views}})
    arrays = {"format": "videopose3d", "path": "recorded/detections.npz", "detector": "synthetic"}
    assert gathered(layout, {"image_size": SIZE}, arrays).names == ["cam1", "cam2"]
    named = LENSES | {"names": ["cam3", "cam1"]}
    assert gathered(layout, {"intrinsics": named}, arrays).names == ["cam3", "cam1"]
    with pytest.raises(InputError, match="2 views without names, but 3 cameras"):
        gathered(layout, {"intrinsics": LENSES}, arrays)


def test_videos_know_their_size(layout):
    layout.videos.mkdir()
    with archive.create(layout.detections, BODY25B, "synthetic", 30) as file:
        for number, camera in enumerate(ring_of_cameras(2)):
            (layout.videos / f"{camera.name}.mp4").write_bytes(b"")
            pixels = project_with_opencv(camera, waving_person(FRAMES))
            people = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 0.8)], -1)
            found = [(i, People(one[None], np.zeros((1, 4)))) for i, one in enumerate(people)]
            about = {"recording": "", "view": camera.name, "frames": FRAMES, "first_frame": 0, "made_of": "nothing"}
            file.add(iter(found), lambda about=about, w=1280 - number: about | {"image_size": [w, 720]})
    found = gathered(layout, {}, {"format": "video", "path": "videos"})
    assert found.image_size.tolist() == [[1280, 720], [1279, 720]]
    assert found.focal_groups == [0, 1]


def test_lenses_without_a_size_of_the_images_ask_for_it(layout):
    text = (layout.recorded / "lenses.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("size")]
    (layout.recorded / "lenses.toml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="holds no size of the images"):
        gathered(layout, {"intrinsics": LENSES})
    assert gathered(layout, {"intrinsics": LENSES | {"image_size": SIZE}}).image_size[0].tolist() == SIZE


def test_two_views_of_one_camera_are_refused(layout):
    with pytest.raises(InputError, match="two views for the camera cam1"):
        gathered(layout, {"image_size": SIZE}, views={"cam2": "cam1"})


def test_nobody_in_a_view_is_no_fault_of_the_files(layout):
    for file in (layout.recorded / "pose" / "cam3_json").iterdir():
        file.write_text(json.dumps({"people": []}))
    found = gathered(layout, {"image_size": SIZE})
    assert not found.confidence[:, 2].any()


def test_several_rigs_are_refused(layout):
    (layout.raw / "other").mkdir()
    for name in ("recorded", "other"):
        write_pose2sim(layout.raw / name / "rig.toml", ring_of_cameras(3))
    source = yaml.safe_load("{detections: {}, cameras: {format: toml, path: '*/rig.toml'}, fps: 30}")
    with pytest.raises(InputError, match="make a data set of those with one calibration"):
        gather(layout, parse(Source, source | {"detections": OPENPOSE}, "the data set's file"))

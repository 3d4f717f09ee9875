"""``trilift render`` on a small data set whose poses are known: where they are seen, their colours are."""

import av
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from synthetic import make_project, project_with_opencv, ring_of_cameras, waving_person
from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.render.encoding import mp4
from trilift.render.overlay import _LABEL, _PREDICTED
from trilift.skeletons import BODY25B, H36M17, mapping
from trilift.style import LEFT, PEOPLE, RIGHT

DATA_SET = """
ingest:
  detections: {format: video, path: "videos/*"}
  cameras: {format: toml, path: Calib.toml}
  offsets: {cam2: 2}
  fps: 30
split: {by: time}
"""
FRAMES, TESTED, FIRST, LATE = 12, 8, 1, {"cam1": 0, "cam2": 2}
CAMERAS = ring_of_cameras(2)
POSES = waving_person(2 * FRAMES)
LABELS = np.ascontiguousarray(
    mapping(BODY25B, H36M17).apply(POSES) + np.array([0, 0, 0.25])
)  # apart, so that colours can be told apart
ASIDE = np.array([0.35, 0, 0])
RECORDINGS = [
    Recording("run", "1", "run", 30.0, 0, FRAMES),
    Recording("walk", "1", "walk", 30.0, FRAMES, FRAMES, FIRST),
]


def brightness(number):
    return 40 + 8 * number


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Of its recordings only walk, the second, has videos; each of their frames has a brightness of its own."""
    return make(tmp_path_factory.mktemp("render"), RECORDINGS)


def make(folder, recordings):
    project = make_project(folder, DATA_SET, "{}")
    layout = project.layout
    for camera in CAMERAS:
        with mp4(layout.videos / "walk" / f"{camera.name}.mp4", 30, (1280, 720)) as add:
            for number in range(FIRST + FRAMES + LATE[camera.name]):
                add(np.full((720, 1280, 3), brightness(number), np.uint8))
    views = [camera.name for camera in CAMERAS]
    with writing.create(layout.captures, "captures", dataset="tiny") as file:
        capture = file.add_capture("tiny", recordings=recordings, skeleton=BODY25B, views=views)
        for name in ("K", "distortion", "R", "t", "image_size"):
            capture.write(name, np.stack([getattr(camera, name) for camera in CAMERAS]))
        pixels = np.stack([project_with_opencv(camera, POSES) for camera in CAMERAS], 1)
        capture.write_block(slice(None), pixels=pixels, confidence=np.ones(pixels.shape[:-1]))
    with writing.create(layout.pseudo_labels, "pseudo_labels", dataset="tiny") as file:
        capture = file.add_capture("tiny", recordings=recordings, skeleton=BODY25B, views=views)
        capture.write_block(slice(None), poses=POSES, training_poses=LABELS)
    with writing.create(layout.results / "predictions.nc", "predictions", dataset="tiny") as file:
        capture = file.add_capture("tiny", recordings=recordings, skeleton=H36M17, views=views, frames=4)
        tested = np.arange(FRAMES + TESTED, 2 * FRAMES)
        in_camera = np.stack([LABELS[tested] @ c.R.T + c.t + ASIDE for c in CAMERAS], 1)
        root = in_camera[:, :, H36M17.root_index]
        capture.write_block(
            slice(None),
            poses=in_camera - root[:, :, None],
            root=root,
            pose_error=root[..., 0],
            frame_of_capture=tested,
        )
    return project


@pytest.fixture(scope="module")
def rendered(project):
    code, said = project.run("render")
    assert code == 0, said
    folder = project.layout.results / "render"
    videos = {}
    for path in folder.iterdir():
        with av.open(str(path)) as container:
            videos[path.name] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return videos, said


def share_of_colour(image, points, *colours):
    """Of points within the image that are under no legend, the share that has one of the colours."""
    x, y = np.rint(points).astype(int).T
    inside = (x >= 0) & (x < 1280) & (y >= 160) & (y < 720)
    found = image[y[inside], x[inside]].astype(int)
    expected = [255 * np.array(to_rgb(colour)) for colour in colours]
    return np.mean([min(np.abs(pixel - colour).max() for colour in expected) < 60 for pixel in found])


def test_a_video_for_each_view_of_a_recording_that_has_some(rendered):
    videos, said = rendered
    assert sorted(videos) == ["walk_cam1.mp4", "walk_cam2.mp4"]
    assert [len(frames) for frames in videos.values()] == [FRAMES, FRAMES]
    assert "run, view cam1: its video is not there any more" in said


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
def test_frames_are_those_in_which_was_detected(rendered, camera):
    shown = [np.median(image) for image in rendered[0][f"walk_{camera.name}.mp4"]]
    expected = [brightness(FIRST + frame + LATE[camera.name]) for frame in range(FRAMES)]
    np.testing.assert_allclose(shown, expected, atol=3)


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
def test_skeletons_are_drawn_where_opencv_projects_them(rendered, camera):
    images = rendered[0][f"walk_{camera.name}.mp4"]
    for frame in (0, TESTED - 1, TESTED, FRAMES - 1):
        index = FRAMES + frame
        moved = LABELS[index] + ASIDE @ camera.R
        label, predicted, detected = (
            project_with_opencv(camera, points) for points in (LABELS[index], moved, POSES[index])
        )
        assert share_of_colour(images[frame], detected, LEFT, RIGHT, "#333333") > 0.9
        assert share_of_colour(images[frame], label, _LABEL) > 0.6  # others are drawn over it
        seen = share_of_colour(images[frame], predicted, _PREDICTED)
        assert seen > 0.6 if frame >= TESTED else seen == 0


def test_everybody_of_a_clip_is_drawn_while_there_with_a_name(tmp_path):
    """Ann is there in frames 1 to 12, Bob in frames 9 to 18 of a video that ends with 12."""
    bob = Recording("walk/Bob", "Bob", "walk", 30.0, 0, 10, 9, "Bob")
    ann = Recording("walk/Ann", "Ann", "walk", 30.0, FRAMES, FRAMES, FIRST, "Ann")
    project = make(tmp_path, [bob, Recording("run", "1", "run", 30.0, 10, 2), ann])
    code, said = project.run("render", "--recording", "walk", "--view", "cam1")
    assert code == 0, said
    assert [path.name for path in (project.layout.results / "render").iterdir()] == ["walk_cam1.mp4"]
    with av.open(str(project.layout.results / "render" / "walk_cam1.mp4")) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(images) == 18
    for number, image in enumerate(images, 1):
        for start, there in ((FRAMES - 1, number <= 12), (-9, number >= 9)):
            place = project_with_opencv(CAMERAS[0], POSES[(start + number) % len(POSES)])
            share = share_of_colour(image, place, LEFT, RIGHT, "#333333")
            if there:
                assert share > (0.4 if 9 <= number <= 12 else 0.6), number  # Bob stands before Ann
        colours = [255 * np.array(to_rgb(colour)) for colour in PEOPLE[:2]]
        names = [(np.abs(image - colour).max(-1) < 40).sum() for colour in colours]
        assert [found > 20 for found in names] == [number <= 12, number >= 9], (number, names)


def test_some_are_chosen_and_put_elsewhere(project, tmp_path):
    code, said = project.run(
        "render", "--recording", "walk", "--view", "cam2", "--output", str(tmp_path / "new folder")
    )
    assert (code, [path.name for path in (tmp_path / "new folder").iterdir()]) == (0, ["walk_cam2.mp4"])
    assert "Wrote" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--view", "cam9"], "tiny: no view cam9; there are cam1, cam2"),
        (["--recording", "swim"], "tiny: no recording swim; there are run, walk"),
        (["--run", "all-s0"], "predictions.nc: not there; run the stage that makes it first"),
    ],
)
def test_what_is_not_there_is_named(project, options, expected):
    code, said = project.run("render", *options)
    assert code == 2
    assert expected in said


def test_detections_from_files_have_nothing_to_draw_over(tmp_path):
    code, said = make_project(tmp_path).run("render")
    assert code == 2
    assert "tiny.yaml: no videos are known; render draws over those that detections are made of" in said

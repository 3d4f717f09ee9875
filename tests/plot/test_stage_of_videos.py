"""The stage plot on a data set that begins with videos: whose frames it shows, and whose it does not."""

import base64
import io
import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from synthetic import make_project, project_with_opencv, ring_of_cameras, waving_person, write_pose2sim
from trilift.detect import archive
from trilift.detect.detectors.serving import People
from trilift.detect.settings import Settings
from trilift.plot import stage
from trilift.plot.poses import predicted_poses
from trilift.project import provenance
from trilift.render.encoding import mp4
from trilift.skeletons import BODY25B

DATA_SET = """
ingest:
  detections: {format: video, path: videos}
  cameras: {format: toml, path: videos/calibration.toml}
  offsets: {cam2: 3}
  fps: 30
split: {by: time}
"""
PARAMS = {
    "train": {"network": {"width": 16, "blocks": 1}, "steps": 10, "batch_frames": 8, "threads": 1},
    "triangulate": {"diagnose": False, "smoothing": None},  # the bones of a waving person are not of one length
    "ingest": {},
    "evaluate": {},
}
FRAMES, SIZE = 24, (1280, 720)
LATE = {"cam1": 0, "cam2": 3, "cam3": 0}


def brightness(number):
    return 60 + 6 * number


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("filmed") / "project", DATA_SET, yaml.safe_dump(PARAMS))
    layout, cameras, points = project.layout, ring_of_cameras(3), waving_person(FRAMES)
    layout.videos.mkdir()
    write_pose2sim(layout.videos / "calibration.toml", cameras)
    with archive.create(layout.detections, BODY25B, "synthetic", 30) as file:
        for camera in cameras:
            late = LATE[camera.name]
            with mp4(layout.videos / f"{camera.name}.mp4", 30, SIZE) as add:
                for number in range(FRAMES + late):
                    add(np.full((*SIZE[::-1], 3), brightness(number), np.uint8))
            pixels = project_with_opencv(camera, points)
            people = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 0.8)], -1)
            found = [(late + i, People(one[None], np.zeros((1, 4)))) for i, one in enumerate(people)]
            about = {"recording": "", "view": camera.name, "frames": FRAMES + late, "first_frame": 0}
            file.add(iter(found), lambda about=about: about | {"image_size": list(SIZE), "made_of": "nothing"})
    provenance.write(layout, "detect", params={"detect": Settings()}, outputs=[layout.detections])
    for name in ("ingest", "triangulate", "train", "evaluate"):
        code, said = project.run(name)
        assert code == 0, said
    return project


def plotted(project, **settings):
    """Give the viewer's only clip, the examples of the figure of poses, the files that were read, what was said."""
    examples = []
    project.layout.params.write_text(yaml.safe_dump(PARAMS | {"plot": settings}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "predicted_poses", lambda *given: examples.extend(given[0]) or predicted_poses(*given))
        code, said = project.run("plot")
    assert code == 0, said
    page = (project.layout.results / "viewer.html").read_text("utf-8")
    (clip,) = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["clips"]
    return clip, examples, json.loads(project.layout.provenance("plot").read_text())["inputs"], said


def test_frames_are_those_in_which_was_detected_and_not_more_than_fit(project):
    clip, examples, inputs, said = plotted(project, viewer_frames_mb=0.1)
    first, every = round(clip["begin"] * 30), clip["imageEvery"]
    assert every > 1
    for view, images in zip(clip["views"], clip["images"], strict=True):
        shown = []
        for image in images:
            with Image.open(io.BytesIO(base64.b64decode(image))) as opened:
                assert opened.size == (320, 180)
                shown.append(np.median(np.asarray(opened)))
        expected = [brightness(first + LATE[view] + i) for i in range(0, clip["frames"], every)]
        np.testing.assert_allclose(shown, expected, atol=2.5)
    assert sum(len(image) for images in clip["images"] for image in images) <= 0.1e6
    assert len(examples) == 3
    for example in examples:
        frame = int(re.search(r"frame (\d+)", example.title)[1])
        view = example.title.rpartition(" ")[2]
        assert np.median(example.image) == pytest.approx(brightness(frame + LATE[view]), abs=2.5)
    assert {f"data/raw/tiny/videos/{view}.mp4" for view in clip["views"]} <= inputs.keys()
    assert "in which people can be recognised; `video_frames: false`" in said


def test_no_frame_is_shown_where_none_is_wanted(project):
    clip, examples, inputs, said = plotted(project, video_frames=False)
    assert clip["images"] == [[], [], []]
    assert [example.image for example in examples] == [None] * 3
    assert not any(name.endswith(".mp4") for name in inputs)
    assert "recognised" not in said

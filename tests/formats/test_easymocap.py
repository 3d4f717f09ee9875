import json

import numpy as np
import pytest

from formats.camera_writers import write_easymocap
from synthetic import project_with_opencv, ring_of_cameras, waving_person
from trilift.errors import InputError
from trilift.formats.easymocap import read_view
from trilift.formats.recognise import look_at
from trilift.skeletons import BODY25B, OPENPOSE25, mapping


def person(seed):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(1, 1000, (25, 2)), rng.uniform(0.1, 1, 25)]).astype(np.float32)


def write(folder, frames):
    """Write frames, lists of people, as EasyMocap does."""
    folder.mkdir(parents=True)
    for number, people in enumerate(frames):
        annots = [
            {"bbox": [0, 0, 10, 10, 0.9], "personID": index, "keypoints": keypoints.tolist(), "isKeyframe": False}
            for index, keypoints in enumerate(people)
        ]
        content = {"filename": f"images/{number:06d}.jpg", "height": 720, "width": 1280, "annots": annots}
        (folder / f"{number:06d}.json").write_text(json.dumps(content | {"isKeyframe": False}))


def test_everybody_is_read(tmp_path):
    people = [person(number) for number in range(3)]
    write(tmp_path / "1", [people[:1], [], people[1:]])
    view = read_view(tmp_path / "1", OPENPOSE25)
    assert view.name == "1"
    np.testing.assert_array_equal(view.pixels[0, 0], people[0][:, :2])
    np.testing.assert_array_equal(view.confidence[0, 0], people[0][:, 2])
    assert np.isnan(view.pixels[1]).all()
    np.testing.assert_array_equal(view.pixels[2], [people[1][:, :2], people[2][:, :2]])


@pytest.mark.parametrize("entry", [{}, {"keypoints": []}, {"keypoints": None}])
def test_an_entry_without_keypoints_is_nobody(tmp_path, entry):
    write(tmp_path / "1", [[person(0)]])
    (tmp_path / "1" / "000001.json").write_text(json.dumps({"annots": [entry]}))
    assert np.isnan(read_view(tmp_path / "1", OPENPOSE25).pixels[1]).all()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"annots": 5}', '{"annots": [5]}', '{"annots": [{"keypoints": "a"}]}']
)
def test_another_file_is_named(tmp_path, content):
    write(tmp_path / "1", [[person(0)]])
    (tmp_path / "1" / "000001.json").write_text(content)
    with pytest.raises(InputError, match=r"000001\.json"):
        read_view(tmp_path / "1", OPENPOSE25)


def test_a_folder_of_easymocap_is_recognised(tmp_path):
    cameras = ring_of_cameras(2)
    write_easymocap(tmp_path, cameras)
    poses = mapping(BODY25B, OPENPOSE25).apply(waving_person(3))
    for camera in cameras:
        pixels = project_with_opencv(camera, poses)
        frames = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 0.9)], -1)
        frames[np.isnan(frames).any(-1)] = 0
        write(tmp_path / "annots" / camera.name, frames[:, None])
    found = look_at(tmp_path)
    assert (found.detections.format, found.detections.path, found.detections.skeleton) == (
        "easymocap",
        "annots",
        "openpose25",
    )
    assert (found.cameras.format, found.doubts, found.unused) == ("opencv", [], [])

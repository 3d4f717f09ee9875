"""Several people of a clip in one room: which frames of whom are of one time, where they are, and what is drawn."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from plot.browser import errors_logged, needs_browser
from plot.test_viewer import Page, embedded, make_clip, make_page
from synthetic import ring_of_cameras, waving_person
from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.plot.settings import Settings
from trilift.plot.stage import _clips, _Shown
from trilift.plot.viewer import Clip
from trilift.skeletons import BODY25B, H36M17, mapping
from trilift.style import PEOPLE

CAMERAS = ring_of_cameras(2)
FPS, FIRST = 60.0, {"Ann": 100, "Bob": 121}
PLACES = {"Ann": np.array([-1.0, 0.5, 0]), "Bob": np.array([1.0, 0.5, 0])}
ROOT = H36M17.root_index
UNKNOWN = 70  # in the capture, where Bob has no label: frame 130 of the video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Of a clip with Ann from frame 100 on and Bob from 121 to 160, and of one with one person, at 60 frames/s."""
    folder = tmp_path_factory.mktemp("room")
    lengths = {"walk/Ann": 61, "walk/Bob": 40, "run": 30}
    starts = np.cumsum([0, *lengths.values()]).tolist()
    recordings = [
        Recording(
            name, name[-3:], "walk", FPS, start, length, FIRST.get(name[5:], 7), name[5:] if "/" in name else ""
        )
        for start, (name, length) in zip(starts, lengths.items(), strict=False)
    ]
    poses = waving_person(starts[-1]) + np.concatenate(
        [np.tile(PLACES.get(name[5:], np.zeros(3)), (length, 1, 1)) for name, length in lengths.items()]
    )
    labels = mapping(BODY25B, H36M17).apply(poses)
    views = [camera.name for camera in CAMERAS]
    with writing.create(folder / "captures.nc", "captures", dataset="tiny") as file:
        capture = file.add_capture("tiny", recordings=recordings, skeleton=BODY25B, views=views)
        for name in ("K", "distortion", "R", "t", "image_size"):
            capture.write(name, np.stack([getattr(camera, name) for camera in CAMERAS]))
        pixels = np.broadcast_to(np.arange(starts[-1], dtype=float)[:, None, None, None], (starts[-1], 2, 25, 2))
        capture.write_block(slice(None), pixels=pixels, confidence=np.ones(pixels.shape[:-1]))
    with writing.create(folder / "labels.nc", "pseudo_labels", dataset="tiny") as file:
        capture = file.add_capture("tiny", recordings=recordings, skeleton=BODY25B, views=views)
        known = np.arange(starts[-1]) != UNKNOWN
        capture.write_block(slice(None), poses=poses, training_poses=np.where(known[:, None, None], labels, np.nan))
    with writing.create(folder / "predictions.nc", "predictions", dataset="tiny") as file:
        frames = np.arange(starts[-1])
        capture = file.add_capture("tiny", recordings=recordings, skeleton=H36M17, views=views, frames=len(frames))
        turned = np.stack([(labels - labels[:, [ROOT]]) @ camera.R.T for camera in CAMERAS], 1)
        capture.write_block(
            slice(None),
            poses=turned,
            root=np.stack([labels[:, ROOT] @ camera.R.T + camera.t for camera in CAMERAS], 1),
            pose_error=turned[:, :, 0, 0],
            frame_of_capture=frames,
        )
    with (
        reading.read(folder / "captures.nc", "captures") as detections,
        reading.read(folder / "labels.nc", "pseudo_labels") as targets,
        reading.read(folder / "predictions.nc", "predictions") as predictions,
    ):
        shown = [_Shown(detections["tiny"], targets["tiny"], predictions["tiny"])]
        return list(_clips(shown, None, Settings(viewer_recordings=9, viewer_seconds=0.9)))


def test_people_of_a_clip_share_a_room_and_its_time(clips: list[Clip]) -> None:
    assert [(clip.title, clip.person) for clip in clips] == [("walk/Ann", "Ann"), ("walk/Bob", "Bob"), ("run", "")]
    assert clips[0].room == clips[1].room is not None
    assert clips[2].room is None
    # Every second frame, of the 54 from frame 100 on; Bob's first is 122.
    assert [round(clip.begin * FPS) for clip in clips] == [100, 122, 7]
    assert [len(clip.target) for clip in clips] == [27, 16, 15]
    assert clips[1].pixels[:2, 0, 0, 0].tolist() == [62, 64]


def test_they_are_where_they_are_and_one_alone_is_in_the_middle(clips: list[Clip]) -> None:
    ann, bob, alone = (clip.target[:, ROOT] for clip in clips)
    apart = np.linalg.norm(bob[:, :2] - ann[11:27, :2], axis=1)
    np.testing.assert_allclose(apart[np.arange(16) != 4], 2, atol=0.2)  # waving_person sways
    assert (alone == 0).all()
    assert np.isnan(clips[1].target[4]).all()  # there each view places him
    around = (clips[1].target[3] + clips[1].target[5]) / 2
    np.testing.assert_allclose(clips[1].predicted[4, :, ROOT], [around[ROOT]] * 2, atol=0.05)
    for clip in clips:
        known = np.isfinite(clip.target).all((1, 2))
        np.testing.assert_allclose(clip.predicted[known], np.repeat(clip.target[known, None], 2, 1), atol=1e-5)
        assert np.nanmax(clip.errors()) < 0.1


def in_room(person: str, begin: float, frames: int, moved: float) -> Clip:
    clip = make_clip(f"walk/{person}", frames, begin=begin, person=person, room=0)
    shift = [0, moved, 0]
    return replace(
        clip, target=clip.target + shift, predicted=clip.predicted + shift, pixels=clip.pixels + 60 * moved
    )


def test_each_has_a_colour_and_a_name_in_the_page() -> None:
    content = embedded(make_page(in_room("Ann", 2, 40, 0), in_room("Bob", 3, 10, 1), make_clip("run")))
    found = [(clip["person"], clip["room"], clip["colour"]) for clip in content["clips"]]
    assert found[:2] == [("Ann", 0, PEOPLE[0]), ("Bob", 0, PEOPLE[1])]
    assert found[2][:2] == ("", None)


@needs_browser
class TestInABrowser:
    """Ann from 2 s on for 40 frames, Bob from 2.8 s, her frame 20, for 10 frames, and somebody elsewhere."""

    @pytest.fixture
    def page(self, driver: Any, tmp_path: Path) -> Iterator[Page]:
        path = tmp_path / "poses.html"
        path.write_text(make_page(in_room("Ann", 2, 40, -1), in_room("Bob", 2.8, 10, 1), make_clip("run")), "utf-8")
        errors_logged(driver)
        yield Page(driver, path)
        assert errors_logged(driver) == []

    @staticmethod
    def count(page: Page, canvas: str, colour: str) -> int:
        """Of the picture, how many pixels have a colour."""
        page.settle()
        return page.driver.execute_script(
            """
            const canvas = document.getElementById(arguments[0]), [red, green, blue] = arguments[1];
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4) {
              found += Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue) < 6;
            }
            return found;
            """,
            canvas,
            [round(255 * part) for part in to_rgb(colour)],
        )

    @pytest.mark.parametrize(
        ("state", "ann", "bob"),
        [
            *[("recording=0&frame=19", "name", ""), ("recording=0&frame=20", "name", "all")],
            *[("recording=0&frame=29", "name", "all"), ("recording=0&frame=30", "name", "")],
            *[("recording=1&frame=0", "all", "name"), ("recording=2&frame=5", "", "")],
        ],
    )
    def test_others_are_drawn_while_they_are_there(self, page: Page, state: str, ann: str, bob: str) -> None:
        """The chosen person has the colours of the sides; a name takes few pixels, a whole person many."""
        page.open(f"#{state}")
        for canvas, many in (("image", 250), ("scene", 500)):
            for colour, shown in zip(PEOPLE, (ann, bob), strict=False):
                found = self.count(page, canvas, colour)
                assert (found == 0) == (shown == ""), (canvas, found)
                assert (found > many) == (shown == "all"), (canvas, found)

    def test_the_time_stays_when_another_person_of_the_room_is_chosen(self, page: Page) -> None:
        page.open("#recording=0&frame=25")
        page.choose("recording", 1)
        assert (page.frame(), page.text("time")) == (5, "3.00 s")
        page.choose("recording", 0)
        assert page.frame() == 25
        page.choose("recording", 2)
        assert page.frame() == 0

    def test_others_predictions_are_hidden_with_the_chosen_ones(self, page: Page) -> None:
        page.open("#recording=0&frame=25")
        page.element("show-predicted").click()
        assert self.count(page, "scene", PEOPLE[1]) < 500
        page.element("show-compared").click()
        assert self.count(page, "scene", PEOPLE[1]) == 0

import base64
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plot.browser import errors_logged, needs_browser, set_page_size
from synthetic import project_with_opencv, ring_of_cameras, waving_person
from trilift.plot.viewer import MISSING, Clip, viewer_page
from trilift.skeletons import BODY25B, COCO17, H36M17, mapping
from trilift.style import LEFT, MIDDLE, REFERENCE, RIGHT, side_colour

HOSTILE = "</script><script>alert(1)</script><!--<b>\"'&{{ data }}\u2028é"


def make_clip(title: str = "walk", frames: int = 40, views: int = 2, seed: int = 0, **changes: Any) -> Clip:
    rng = np.random.default_rng(seed)
    cameras = ring_of_cameras(views)
    points = waving_person(frames, seed)
    target = mapping(BODY25B, H36M17).apply(points)
    target = target - target[:, [H36M17.root_index]]
    predicted = target[:, None] + rng.normal(0, 0.03, (frames, views, len(H36M17), 3))
    predicted[:, :, H36M17.root_index] = 0
    clip = Clip(
        title=title,
        subject="S1",
        action="waving",
        fps=25.0,
        begin=14.8,
        views=[camera.name for camera in cameras],
        image_sizes=np.stack([camera.image_size for camera in cameras]),
        pixels=np.stack([project_with_opencv(camera, points) for camera in cameras], 1),
        predicted=predicted,
        target=target,
        skeleton_2d=BODY25B,
        skeleton_3d=H36M17,
    )
    return replace(clip, **changes)


def make_page(
    *clips: Clip, compared_with: str = "reference", note: str = "data set tiny", simulated: bool = False
) -> str:
    return viewer_page(list(clips), compared_with, note, simulated)


RED, BLUE = (200, 0, 0), (0, 0, 200)


def jpeg_of(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(file, "JPEG")
    return file.getvalue()


class Elements(HTMLParser):
    """Collects the elements and the text within each script, as a browser takes them apart."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def embedded(page: str) -> dict[str, Any]:
    return json.loads(Elements(page).scripts[0])


def unpacked(numbers: dict[str, Any], *shape: int) -> np.ndarray:
    integers = np.frombuffer(base64.b64decode(numbers["base64"]), "<i2").reshape(shape)
    return np.where(integers == MISSING, np.nan, integers * numbers["unit"])


def test_the_page_asks_for_nothing_else():
    page = make_page(make_clip())
    assert not re.search(r"https?:|\bsrc\s*=|\burl\(|@import|\bfetch\(|XMLHttpRequest|\bimport\b", page)
    elements = Elements(page)
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in elements.tags}
    policies = [a["content"] for _, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';")
    assert "{{" not in page


@pytest.mark.parametrize("place", ["title", "subject", "action", "view", "compared_with", "note"])
def test_hostile_names_stay_text(place):
    clip = make_clip()
    if place == "view":
        clip.views[1] = HOSTILE
    elif place in ("title", "subject", "action"):
        clip = replace(clip, **{place: HOSTILE})
    texts = {place: HOSTILE} if place in ("compared_with", "note") else {}
    harmless, hostile = Elements(make_page(make_clip())), Elements(make_page(clip, **texts))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in harmless.tags]
    assert hostile.scripts[1] == harmless.scripts[1]
    content = json.loads(hostile.scripts[0])
    found = {key: content["clips"][0][key] for key in ("title", "subject", "action")}
    found |= {"view": content["clips"][0]["views"][1], "compared_with": content["comparedWith"], "note": hostile.text}
    assert HOSTILE in found[place]


@pytest.mark.parametrize("simulated", [True, False])
def test_says_simulated_only_where_it_is(simulated):
    page = make_page(make_clip(), simulated=simulated)
    assert ("SIMULATED" in page) == simulated
    assert ('<p class="banner" role="note">SIMULATED data</p>' in page) == simulated


def test_colours_are_those_of_the_figures():
    content = embedded(make_page(make_clip()))
    assert content["colours"] == {"left": LEFT, "right": RIGHT, "middle": MIDDLE, "target": REFERENCE}
    skeleton = content["clips"][0]["skeleton3d"]
    assert skeleton["colours"][H36M17.index("left_knee")] == LEFT
    assert skeleton["colours"][H36M17.index("right_knee")] == RIGHT
    names = H36M17.keypoints
    assert skeleton["bones"] == [[*bone, side_colour(names[bone[0]], names[bone[1]])] for bone in H36M17.bone_indices]


def test_numbers_survive_up_to_their_unit():
    clip = make_clip()
    clip.pixels[3, 1, 4] = np.nan
    clip.predicted[5, 0] = np.nan
    clip.predicted[6, 0, 2] = np.inf
    clip.target[7] = np.nan
    packed = embedded(make_page(clip))["clips"][0]
    for name, values, unit in (
        ("pixels", clip.pixels, 0.25),
        ("predicted", clip.predicted, 1e-3),
        ("target", clip.target, 1e-3),
        ("errors", clip.errors(), 0.1),
    ):
        assert packed[name]["unit"] == unit
        values = np.where(np.isfinite(values), values, np.nan)
        assert np.isnan(values).any()
        np.testing.assert_allclose(unpacked(packed[name], *values.shape), values, atol=unit / 2 + 1e-9, err_msg=name)


def test_images_are_those_that_were_given():
    images = [[jpeg_of(RED), None, jpeg_of(BLUE)], []]
    packed = embedded(make_page(make_clip(images=images, image_every=3)))["clips"][0]
    assert packed["imageEvery"] == 3
    assert [[image and base64.b64decode(image) for image in view] for view in packed["images"]] == images
    assert embedded(make_page(make_clip()))["clips"][0]["images"] == []


def test_what_is_too_far_away_stays_far_away():
    clip = make_clip()
    clip.predicted[0, 0, 3] = [1000, -1000, 0]
    packed = embedded(make_page(clip))["clips"][0]
    np.testing.assert_allclose(unpacked(packed["predicted"], *clip.predicted.shape)[0, 0, 3], [32.767, -32.767, 0])


def test_huge_images_get_coarser_pixels():
    clip = make_clip(image_sizes=np.array([[12000, 9000], [640, 480]]))
    clip.pixels[0, 0, 0] = [11999, -3000]
    packed = embedded(make_page(clip))["clips"][0]["pixels"]
    np.testing.assert_allclose(unpacked(packed, *clip.pixels.shape)[0, 0, 0], [11999, -3000], atol=0.4)


def test_errors_leave_out_the_root_and_what_is_missing():
    clip = make_clip(frames=3)
    clip.predicted[:] = clip.target[:, None]
    clip.predicted[0, 1, 1:, 2] += 0.05
    clip.predicted[1, 0, 1] += [0.03, 0.04, 0]
    clip.predicted[1, 0, 3:] = np.nan
    clip.target[2] = np.nan
    expected = [[0, 50], [25, 0], [np.nan, np.nan]]
    np.testing.assert_allclose(clip.errors(), expected, atol=1e-9)


def test_twenty_recordings_take_less_than_ten_megabytes():
    clip = make_clip(frames=400, views=4)
    assert len(make_page(*[clip] * 20).encode()) < 10e6


def test_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="no clips"):
        make_page()
    with pytest.raises(ValueError, match=r"walk: predicted has shape \(40, 2, 17, 3\), expected \(40, 3, 17, 3\)"):
        make_clip(views=3, predicted=make_clip().predicted)
    with pytest.raises(ValueError, match="pixels"):
        make_clip(skeleton_2d=COCO17)
    empty = make_clip()
    with pytest.raises(ValueError, match="expected"):
        replace(empty, pixels=empty.pixels[:0], predicted=empty.predicted[:0], target=empty.target[:0])


class Page:
    """The page in a browser."""

    def __init__(self, driver: Any, path: Path):
        self.driver, self.address = driver, path.as_uri()

    def open(self, state: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(self.address + state)
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"
        )

    def element(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        self.settle()
        return self.driver.execute_script("return document.getElementById(arguments[0]).textContent", name)

    def picture(self, name: str) -> str:
        self.settle()
        return self.driver.execute_script("return document.getElementById(arguments[0]).toDataURL()", name)

    def choose(self, name: str, index: int) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.element(name)).select_by_index(index)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def mouse(self) -> Any:
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver, duration=50)

    def frame(self) -> int:
        return int(self.text("frame").split(" / ")[0])

    def hash(self) -> str:
        return self.driver.execute_script("return location.hash")


# Pairs of texts that lie over each other: those of the page, and those of one canvas, which is drawn once more.
OVERLAPPING = """
const texts = [], found = [];
const elements = "h2, dd, dt, .facts p, .sides, .legend label, .now, button, select";
for (const element of document.querySelectorAll(elements)) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  if (right > left && !element.closest(".time")) texts.push(["page", element.textContent, left, right, top, bottom]);
}
const original = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, most) {
  const about = this.measureText(text), wide = Math.min(about.width, most ?? Infinity);
  const left = x - { left: 0, center: 0.5, right: 1 }[this.textAlign] * wide;
  texts.push([this.canvas.id, text, left, left + wide, y - about.actualBoundingBoxAscent, y]);
  if (left < 0 || left + wide > this.canvas.clientWidth + 1) found.push(["cut", text]);
  return original.call(this, text, x, y, most);
};
drawImage(); drawScene(); drawChart();
CanvasRenderingContext2D.prototype.fillText = original;
texts.forEach(([where, text, left, right, top, bottom], i) => {
  for (const [place, other, l, r, t, b] of texts.slice(i + 1)) {
    if (place === where && left < r && l < right && top < b && t < bottom) found.push([where, text, other]);
  }
});
return found;
"""


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def millimetres(error: float) -> str:
    return f"{error:.1f} mm"


@needs_browser
class TestInABrowser:
    CLIPS = (make_clip("first"), make_clip(HOSTILE, frames=60, views=3, seed=1))
    CLIPS[0].views[0] = "54138969"
    CLIPS[1].predicted[50:, 2] = np.nan

    @pytest.fixture
    def page(self, driver: Any, tmp_path: Path) -> Iterator[Page]:
        path = tmp_path / "poses.html"
        path.write_text(make_page(*self.CLIPS, note=HOSTILE, simulated=True), encoding="utf-8")
        errors_logged(driver)
        page = Page(driver, path)
        page.open()
        yield page
        assert errors_logged(driver) == []
        assert driver.find_element("class name", "banner").is_displayed()

    def test_starts_at_the_first_frame(self, page):
        assert page.text("frame") == "0 / 39"
        assert page.text("time") == "14.80 s"
        assert page.text("error") == millimetres(self.CLIPS[0].errors()[0, 0].round(1))
        assert page.driver.execute_script("return document.documentElement.scrollHeight <= innerHeight")

    def test_plays_until_it_is_stopped(self, page):
        page.element("play").click()
        wait_until(lambda: page.frame() > 3)
        wait_until(lambda: page.element("play").get_attribute("aria-label") == "Pause")  # with the next picture
        page.element("play").click()
        stopped = page.frame()
        time.sleep(0.2)
        assert page.frame() == stopped
        wait_until(lambda: page.hash() == f"#recording=0&view=0&frame={stopped}")

    def test_starts_over_at_the_end(self, page):
        page.open("#frame=37")
        page.choose("speed", 3)
        page.element("play").click()
        wait_until(lambda: page.frame() < 30)

    def test_keys(self, page):
        from selenium.webdriver.common.keys import Keys

        page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
        assert page.frame() == 1
        page.press(Keys.END)
        assert page.frame() == 39
        page.press(Keys.HOME, " ")
        wait_until(lambda: page.frame() > 1)
        page.press(" ")
        wait_until(lambda: page.element("play").get_attribute("aria-label") == "Play")  # with the next picture
        before = page.picture("scene")
        page.press(Keys.SHIFT + Keys.ARROW_LEFT)
        page.press(Keys.SHIFT)
        assert page.picture("scene") != before

    def test_slider_and_chart_go_to_a_frame(self, page):
        slider = page.element("slider")
        page.driver.execute_script("arguments[0].value = 20; arguments[0].dispatchEvent(new Event('input'))", slider)
        assert page.frame() == 20
        assert page.text("time") == "15.60 s"
        assert page.text("error") == millimetres(self.CLIPS[0].errors()[20, 0].round(1))
        chart = page.element("chart")
        page.mouse().move_to_element_with_offset(chart, chart.size["width"] // 2 - 9, 0).click().perform()
        assert page.frame() == 39
        # The slider's thumb stands where the chart was clicked.
        place = slider.location["x"] + slider.size["width"] // 2
        offset = place - chart.location["x"] - chart.size["width"] // 2
        page.mouse().move_to_element_with_offset(chart, offset, 0).click().perform()
        assert page.frame() in (19, 20)

    def test_changes_recording_and_view(self, page):
        before = page.picture("image"), page.picture("chart")
        page.choose("recording", 1)
        assert page.text("frame") == "0 / 59"
        page.choose("view", 2)
        assert page.text("error") == millimetres(self.CLIPS[1].errors()[0, 2].round(1))
        assert HOSTILE in page.text("about")
        assert page.picture("image") != before[0]
        assert page.picture("chart") != before[1]
        wait_until(lambda: page.hash() == "#recording=1&view=2&frame=0")
        # The first recording lacks this view.
        page.choose("recording", 0)
        assert page.element("view").get_attribute("value") == "0"

    def test_turns_zooms_and_resets(self, page):
        at_first = page.picture("scene")
        scene = page.element("scene")
        page.mouse().move_to_element(scene).click_and_hold().move_by_offset(80, 30).release().perform()
        turned = page.picture("scene")
        assert turned != at_first
        page.driver.execute_script(
            "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -100, cancelable: true}))", scene
        )
        assert page.picture("scene") not in (turned, at_first)
        page.mouse().double_click(scene).perform()
        assert page.picture("scene") == at_first
        page.choose("projection", 1)
        assert page.picture("scene") != at_first
        page.choose("projection", 0)
        page.mouse().move_to_element(scene).click_and_hold().move_by_offset(-50, 0).release().perform()
        page.element("reset").click()
        assert page.picture("scene") == at_first

    def test_hides_either_pose(self, page):
        pictures = {page.picture("scene")}
        for box in ("show-predicted", "show-compared", "show-predicted"):
            page.element(box).click()
            pictures.add(page.picture("scene"))
        assert len(pictures) == 4

    def test_a_link_restores_the_state(self, page):
        page.open("#recording=1&view=2&frame=30")
        assert page.text("frame") == "30 / 59"
        assert page.element("recording").get_attribute("value") == "1"
        assert page.element("view").get_attribute("value") == "2"
        page.driver.execute_script("location.hash = '#frame=55'")
        wait_until(lambda: page.frame() == 55)
        assert page.text("error") == "–"
        page.driver.execute_script("location.hash = '#recording=99&view=-1&frame=1e9'")
        assert page.text("frame") == "55 / 59"

    def test_one_frame_without_anything(self, page, tmp_path):
        clip = make_clip(frames=1)
        for values in (clip.pixels, clip.predicted, clip.target):
            values[:] = np.nan
        path = tmp_path / "empty.html"
        path.write_text(make_page(clip, simulated=True), encoding="utf-8")
        page.driver.get(path.as_uri())
        assert page.text("error") == "–"
        page.element("play").click()
        assert page.text("frame") == "0 / 0"

    @pytest.mark.parametrize("width", [1400, 390])
    def test_fits_on_a_screen_and_no_texts_overlap(self, page, width):
        set_page_size(page.driver, width, 844, phone=width < 500)
        try:
            for state in ("", "#recording=1&view=2&frame=30", "#recording=1&view=2&frame=59"):
                page.open(state)
                assert page.driver.execute_script("return document.documentElement.scrollWidth") == width
                assert page.element("play").is_displayed()
                assert page.driver.execute_script(OVERLAPPING) == []
                # All of the 3D panel is above the bar with the time.
                scene, time_bar = page.driver.execute_script(
                    "return ['#scene', '.time'].map((name) => document.querySelector(name).getBoundingClientRect())"
                )
                assert scene["bottom"] <= time_bar["top"]
                assert min(scene["height"], scene["width"]) > 200
        finally:
            set_page_size(page.driver, 1200, 800)

    def test_means_are_those_of_the_frames_and_computed_once(self, page):
        errors = self.CLIPS[1].errors().round(1)
        page.open("#recording=1&view=2")
        page.driver.execute_script(
            "for (const name of ['filter', 'reduce']) Float32Array.prototype[name] = () => { throw Error('again'); };"
        )
        page.element("forward").click()
        assert page.text("frame") == "1 / 59"
        assert float(page.text("view-error").split()[0]) == pytest.approx(np.nanmean(errors[:, 2]), abs=0.06)
        assert float(page.text("clip-error").split()[0]) == pytest.approx(np.nanmean(errors), abs=0.06)
        largest = f"largest {millimetres(np.nanmax(errors[:, 2]))}"
        assert page.element("chart").get_attribute("aria-label").endswith(largest)


@needs_browser
class TestFramesOfAVideoInABrowser:
    """Of the first view, every third of 40 frames has an image, the first 7 of these red and the others blue."""

    IMAGES = ([*[jpeg_of(RED)] * 7, *[jpeg_of(BLUE)] * 6, None], [])

    @pytest.fixture
    def page(self, driver: Any, tmp_path: Path) -> Iterator[Page]:
        path = tmp_path / "poses.html"
        path.write_text(make_page(make_clip(images=list(self.IMAGES), image_every=3)), encoding="utf-8")
        errors_logged(driver)
        yield Page(driver, path)
        assert errors_logged(driver) == []

    @staticmethod
    def share(page: Page, colour: tuple[int, int, int]) -> float:
        """Of the picture, what has a colour."""
        page.settle()
        return page.driver.execute_script(
            """
            const canvas = document.getElementById("image"), [red, green, blue] = arguments[0];
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4) {
              const off = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
              found += off < 30;
            }
            return found / (data.length / 4);
            """,
            colour,
        )

    @pytest.mark.parametrize(
        ("state", "shown"),
        [
            *[("frame=0", RED), ("frame=19", RED), ("frame=20", BLUE), ("frame=37", BLUE)],
            *[("frame=38", None), ("view=1", None)],
        ],
    )
    def test_the_nearest_frame_lies_behind_the_detections(self, page, state, shown):
        page.open(f"#{state}")
        for colour in (RED, BLUE):
            if colour == shown:
                wait_until(lambda colour=colour: self.share(page, colour) > 0.3)
            else:
                assert self.share(page, colour) == 0

    def test_says_which_frames_have_one(self, page):
        page.open()
        assert "an image for every 3 frames" in page.text("about")
        page.open("#view=1")
        assert "image" not in page.text("about")

"""Videos as cameras make them: turned, of any rate, cut off, or none at all."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filming import film, held, image_of, number_in, with_index_first
from trilift.errors import InputError
from trilift.formats import video
from trilift.formats.video import Video

NUMBERS = list(range(1, 31))


def read(path, fps):
    opened = Video(path, fps)
    frames = list(opened.frames())
    return opened, [number for number, _ in frames], [number_in(image) for _, image in frames]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("rate", [25, 30, Fraction(30000, 1001), Fraction(60000, 1001), 120])
def test_every_frame_is_on_its_tick_of_the_clock_that_the_video_tells(tmp_path, ending, rate):
    path = film(tmp_path / f"cam.{ending}", NUMBERS, rate)
    about = video.about(path)
    assert (about.size, about.rate) == ((64, 48), pytest.approx(float(rate), abs=1e-4))
    opened, ticks, shown = read(path, about.rate)
    assert (ticks, shown, opened.length, opened.problems) == (list(range(30)), NUMBERS, 30, [])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_upright(tmp_path, degrees):
    path = held(film(tmp_path / "cam.mp4", [5] * 3), degrees)
    assert video.about(path).size == ((48, 64) if degrees != 180 else (64, 48))
    opened = Video(path, 30)
    images = [image for _, image in opened.frames()]
    expected = np.rot90(image_of(5), -degrees // 90).astype(int)  # clockwise
    assert opened.size == images[0].shape[1::-1]
    assert np.abs(images[0] - expected).mean() < 12  # of 255: it is compressed
    assert np.abs(images[0] - np.rot90(expected, 2)).mean() > 40


def test_colours_come_in_the_order_that_is_asked_for(tmp_path):
    path = film(tmp_path / "cam.mp4", [0])
    (red_first,), (blue_first,) = (list(Video(path, 30, colours).frames()) for colours in ("rgb24", "bgr24"))
    np.testing.assert_array_equal(red_first.image, blue_first.image[..., ::-1])
    assert red_first.image[5, 5, 0] > 150


def test_a_frame_that_the_camera_dropped_is_missing(tmp_path):
    times = [number / 30 for number in range(30) if number not in (7, 8, 20)]
    path = film(tmp_path / "cam.mkv", NUMBERS[: len(times)], times=times)
    opened, ticks, _ = read(path, 30)
    assert ticks == [tick for tick in range(30) if tick not in (7, 8, 20)]
    assert opened.length == 30


def test_a_phone_whose_rate_wavers_keeps_to_the_clock(tmp_path):
    rng = np.random.default_rng(0)
    times = np.arange(30) / 30 + rng.uniform(-0.012, 0.012, 30)
    times[0] = 0
    path = film(tmp_path / "cam.mp4", NUMBERS, times=list(times))
    _, ticks, shown = read(path, 30)
    assert (ticks, shown) == (list(range(30)), NUMBERS)


@pytest.mark.parametrize(("rate", "ticks", "shown"), [
    (60, range(15), range(1, 31, 2)),  # twice as many: every other one
    (15, range(0, 60, 2), range(1, 31)),  # half as many: between them nothing
])  # fmt: skip
def test_of_another_rate_the_frame_nearest_to_each_tick_is_taken(tmp_path, rate, ticks, shown):
    path = film(tmp_path / "cam.mp4", NUMBERS, rate)
    assert read(path, 30)[1:] == (list(ticks), list(shown))


@given(
    st.lists(st.floats(1e-3, 0.2), min_size=1, max_size=60),
    st.sampled_from([25.0, 29.97, 30.0, 60.0]),
)
def test_each_tick_has_the_frame_nearest_to_it_and_no_other(steps, fps):
    times = np.cumsum(steps) + 3.0  # a file may begin at any time
    frames = [SimpleNamespace(time=time) for time in times]
    taken = dict(video.on_clock(iter(frames), fps, None))
    assert list(taken) == sorted(taken)
    at = (times - times[0]) * fps
    for tick in range(round(at[-1]) + 1):
        own = np.abs(at - tick)[np.ceil(at - 0.5) == tick]
        if len(own):
            assert abs((taken[tick].time - times[0]) * fps - tick) <= own.min()
        else:
            assert tick not in taken


def test_a_video_that_is_cut_off_lacks_its_end(tmp_path):
    whole = with_index_first(film(tmp_path / "whole.mp4", [n % 256 for n in range(300)]), tmp_path / "cam.mp4")
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 3 // 4])
    opened, ticks, shown = read(whole, 30)
    assert 100 < len(ticks) < 290
    assert shown == ticks == list(range(len(ticks)))
    assert opened.length == pytest.approx(300, abs=2)
    (problem,) = opened.problems
    assert "it is cut off: its last" in problem


def test_damaged_frames_are_missing_and_the_others_are_where_they_were(tmp_path):
    path = film(tmp_path / "cam.mp4", NUMBERS * 4)
    content = bytearray(path.read_bytes())
    media = content.index(b"mdat")
    for place in np.random.default_rng(1).integers(media + 3000, content.rindex(b"moov") - 4, 12):
        content[place] ^= 255
    path.write_bytes(content)
    opened, ticks, shown = read(path, 30)
    assert len(ticks) < 120
    assert len(opened.problems) == 1
    assert "damaged frames are missing" in opened.problems[0]
    right = [number == NUMBERS[tick % 30] for tick, number in zip(ticks, shown, strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize(("name", "content", "reason"), [
    ("cam.mp4", b"no video at all\n" * 100, "no video that can be read"),
    ("cam.avi", b"", "no video that can be read"),
])  # fmt: skip
def test_what_is_no_video_is_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    assert not video.recognises(tmp_path / name)
    with pytest.raises(InputError, match=reason) as refused:
        video.about(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_video_whose_index_is_cut_off_is_named(tmp_path):
    path = film(tmp_path / "cam.mp4", NUMBERS)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match="was cut off; record or copy it again"):
        Video(path, 30)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_video_without_frames_is_named(tmp_path, ending):
    path = film(tmp_path / f"cam.{ending}", [])
    with pytest.raises(InputError, match=r"cam\.\w+: .*; record or copy it again"):
        video.about(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.mp4: cannot be read"):
        video.about(tmp_path / "gone.mp4")


def write_images(folder, numbers):
    import cv2

    folder.mkdir()
    for number in numbers:
        cv2.imwrite(str(folder / f"frame_{number:04d}.png"), image_of(number)[..., ::-1])


def test_images_go_by_their_numbers(tmp_path):
    write_images(tmp_path / "cam", [12, 13, 15])
    (tmp_path / "cam/frame_0014.png").write_bytes(b"\x89PNG damaged")
    assert video.about(tmp_path / "cam") == video.About((64, 48), None)
    opened, ticks, shown = read(tmp_path / "cam", 30)
    assert (opened.first_number, opened.length) == (12, 4)
    assert (ticks, shown) == ([0, 1, 3], [12, 13, 15])
    assert opened.problems == ["1 images cannot be read and are missing, the first frame_0014.png"]


def test_images_of_several_sizes_are_refused(tmp_path):
    import cv2

    write_images(tmp_path / "cam", [0, 1])
    cv2.imwrite(str(tmp_path / "cam/frame_0002.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="frame 2: is 32x32, the first is 64x48"):
        list(Video(tmp_path / "cam", 30).frames())


@pytest.mark.parametrize("names", [["left.png", "right.png"], ["frame_001.png", "frame_1.png"]])
def test_images_without_a_number_each_are_refused(tmp_path, names):
    import cv2

    for name in names:
        cv2.imwrite(str(tmp_path / name), image_of(0))
    with pytest.raises(InputError, match="a different number in each name"):
        video.about(tmp_path)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("begin", [1, 2, 130, 199, 200])
def test_reading_on_from_a_frame_gives_the_same_frames(tmp_path, ending, begin):
    path = film(tmp_path / f"cam.{ending}", range(200), 60)
    frames = [(number, number_in(image)) for number, image in Video(path, 60).frames(begin)]
    assert frames == [(number, number) for number in range(begin, 200)]


def test_reading_on_where_frames_are_missing_gives_the_same_frames(tmp_path):
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(np.arange(300), 200, replace=False)) / 50 + rng.uniform(0, 0.004, 200)
    path = film(tmp_path / "cam.mkv", range(200), times=times)
    everything = [(number, number_in(image)) for number, image in Video(path, 30).frames()]
    for begin in (1, 60, 100, 150):
        found = [(number, number_in(image)) for number, image in Video(path, 30).frames(begin)]
        assert found == [frame for frame in everything if frame[0] >= begin]


def test_reading_on_in_a_folder_of_images_gives_the_same_frames(tmp_path):
    for number in range(3, 9):
        Image.fromarray(image_of(number)).save(tmp_path / f"{number:03d}.png")
    assert [(frame.number, number_in(frame.image)) for frame in Video(tmp_path, 30).frames(4)] == [(4, 7), (5, 8)]

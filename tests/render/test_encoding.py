"""Written videos, read by PyAV as any player would."""

import av
import numpy as np
import pytest

from filming import image_of, number_in
from trilift.render.encoding import mp4


def write(path, numbers, fps, size):
    with mp4(path, fps, size) as add:
        for number in numbers:
            add(image_of(number, size))


@pytest.mark.parametrize("fps", [30, 60, 30000 / 1001, 12.5])
def test_frames_come_back_at_their_times(tmp_path, fps):
    path = tmp_path / "new" / "walk_cam1.mp4"
    write(path, range(40), fps, (160, 120))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
    assert [number_in(frame.to_ndarray(format="rgb24")) for frame in frames] == list(range(40))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(40) / fps, atol=1e-3)
    assert np.abs(frames[5].to_ndarray(format="rgb24").astype(int) - image_of(5, (160, 120))).mean() < 8


def test_an_odd_column_and_row_are_cut_off(tmp_path):
    write(tmp_path / "odd.mp4", range(3), 30, (161, 121))
    with av.open(str(tmp_path / "odd.mp4")) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(160, 120)] * 3


def test_nothing_is_left_of_a_video_that_was_not_written_whole(tmp_path):
    def stop():
        with mp4(tmp_path / "walk.mp4", 30, (64, 48)) as add:
            add(image_of(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_give_the_same_file(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name, range(20), 30, (160, 120))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()

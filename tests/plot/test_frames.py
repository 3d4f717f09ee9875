"""Small images of frames, and how many of them a page holds."""

import io

import numpy as np
import pytest
from PIL import Image

from filming import image_of, number_in
from trilift.plot.frames import every_that_fits, small_jpeg


@pytest.mark.parametrize("size", [(1080, 1920), (1920, 1080), (64, 48)])
def test_a_small_image_shows_what_the_large_one_does(size):
    with Image.open(io.BytesIO(small_jpeg(image_of(137, size)))) as opened:
        assert opened.format == "JPEG"
        small = np.asarray(opened)
    assert max(small.shape) == min(320, max(size))
    assert small.shape[1] / small.shape[0] == pytest.approx(size[0] / size[1], rel=0.01)
    assert number_in(small) == 137


def test_no_image_is_larger_than_the_budget_counts_with():
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), np.uint8)
    pictures = [image_of(1, (1920, 1080)), noise, np.repeat(np.repeat(noise[:320, :320], 4, 0), 4, 1)]
    sizes = [len(small_jpeg(picture) or b"") for picture in pictures]
    assert max(sizes) <= 6000
    assert min(sizes[:2]) > 0


@pytest.mark.parametrize("frames", [1, 100, 4800, 19_200])
@pytest.mark.parametrize("megabytes", [0.5, 20, 100])
def test_so_many_images_fit(frames, megabytes):
    every = every_that_fits(frames, megabytes)
    in_base64 = 8000  # bytes of an image of 6000
    assert frames / every * in_base64 <= megabytes * 1e6
    assert every == 1 or frames / (every - 1) * in_base64 > megabytes * 1e6

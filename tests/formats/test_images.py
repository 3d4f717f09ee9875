"""Cameras of changed images project where the changed images show what the calibrated ones showed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import project_with_opencv, ring_of_cameras, waving_person
from trilift.formats.images import ImageChange, mirror
from trilift.skeletons import BODY25B

CAMERA = ring_of_cameras(3)[1]
POINTS = waving_person(3)


def shown(pixels, size, change):
    """Where points of an image of that size lie once the image is turned and scaled, worked out point by point."""
    (x, y), (width, height) = np.moveaxis(pixels, -1, 0), size
    if change.turned == 90:
        x, y, width, height = height - y, x, height, width
    elif change.turned == 180:
        x, y = width - x, height - y
    elif change.turned == 270:
        x, y, width, height = y, width - x, height, width
    to_width, to_height = change.size or (width, height)
    return np.stack([x * to_width / width, y * to_height / height], -1), np.array([to_width, to_height])


changes = st.builds(
    ImageChange,
    turned=st.sampled_from([0, 90, 180, 270]),
    size=st.none() | st.tuples(st.integers(100, 4000), st.integers(100, 4000)).map(list),
)


@given(changes)
def test_the_camera_of_changed_images_sees_what_they_show(change):
    expected, size = shown(project_with_opencv(CAMERA, POINTS), CAMERA.image_size, change)
    camera = change.camera(CAMERA)
    np.testing.assert_allclose(project_with_opencv(camera, POINTS), expected, atol=1e-6)
    np.testing.assert_array_equal(camera.image_size, size)
    assert np.linalg.det(camera.R) == pytest.approx(1)


@given(changes, st.booleans(), changes, st.booleans())
def test_two_changes_are_one(first, flip_first, second, flip_second):
    pixels, size = project_with_opencv(CAMERA, POINTS), CAMERA.image_size
    one, other = (
        change.model_copy(update={"mirrored": flip}) for change, flip in ((first, flip_first), (second, flip_second))
    )

    def seen(pixels, size, change):
        pixels, size = shown(pixels, size, change)
        return (mirror(pixels, size[0], BODY25B.mirrored), size) if change.mirrored else (pixels, size)

    expected, its_size = seen(*seen(pixels, size, one), other)
    found, found_size = seen(pixels, size, one.then(other))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found_size, its_size)


def test_mirrored_keypoints_come_back_with_their_sides():
    pixels = project_with_opencv(CAMERA, POINTS)
    mirrored = mirror(pixels, 1280, BODY25B.mirrored)
    left, right = (BODY25B.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_allclose(mirrored[:, left], [1280, 0] + pixels[:, right] * [-1, 1])
    np.testing.assert_allclose(mirror(mirrored, 1280, BODY25B.mirrored), pixels)

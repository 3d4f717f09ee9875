"""Pixels of what is drawn over images."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from trilift.render.drawing import Layer, Person
from trilift.render.drawing import draw as draw_people
from trilift.skeletons import COCO17
from trilift.style import LEFT, RIGHT

GREY = np.full((600, 800, 3), 90, np.uint8)
GREEN = "#00FF00"
KNEE, ANKLE = COCO17.index("left_knee"), COCO17.index("left_ankle")


def draw(image, layers, caption):
    return draw_people(image, [Person("", GREEN, layers)], caption)


def points(**placed):
    found = np.full((len(COCO17), 2), np.nan)
    for name, at in placed.items():
        found[COCO17.index(name)] = at
    return found


def bytes_of(colour):
    return np.rint(255 * np.array(to_rgb(colour))).astype(int).tolist()


def drawn(image, colour):
    """Where an image has a colour: (height, width)."""
    return (image == bytes_of(colour)).all(-1)


def below_legend(image):
    return image[150:]


def places_of(image, colour):
    """Give rows and columns of what has a colour, below the legend: (place, 2)."""
    return np.add(np.argwhere(drawn(below_legend(image), colour)), (150, 0))


def test_a_bone_and_its_ends_are_where_its_keypoints_are():
    image = draw(GREY, [(Layer("one", COCO17, GREEN, 20), points(left_knee=(400, 300), left_ankle=(420, 500)))], "")
    for x, y in ((400, 300), (410, 400), (420, 500)):
        assert image[y, x].tolist() == bytes_of(GREEN)
    where = places_of(image, GREEN)
    x_on_line = 400 + (where[:, 0] - 300) / 10
    assert np.abs(where[:, 1] - x_on_line).max() <= 5
    assert where[:, 0].min() >= 295
    assert where[:, 0].max() <= 505


def test_sides_have_the_colours_of_the_figures():
    placed = points(left_knee=(300, 300), left_ankle=(300, 400), right_knee=(500, 300), right_ankle=(500, 400))
    image = draw(GREY, [(Layer("one", COCO17, None, 20), placed)], "")
    assert image[350, 300].tolist() == bytes_of(LEFT)
    assert image[350, 500].tolist() == bytes_of(RIGHT)


def test_the_last_layer_is_uppermost_and_the_image_stays():
    placed = points(left_knee=(400, 300), left_ankle=(400, 500))
    before = GREY.copy()
    layers = [(Layer("wide", COCO17, "#FFFFFF", 60), placed), (Layer("thin", COCO17, GREEN, 10), placed)]
    image = draw(GREY, layers, "")
    assert image[400, 400].tolist() == bytes_of(GREEN)
    assert image[400, 404].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(GREY, before)


@pytest.mark.parametrize("end", [(np.nan, np.nan), (1e9, 300), (400, -1e30), (np.inf, 0), (1700, 300)])
def test_bones_without_an_end_in_reach_are_left_out(end):
    image = draw(GREY, [(Layer("one", COCO17, GREEN, 20), points(left_knee=(400, 300), left_ankle=end))], "")
    where = places_of(image, GREEN)
    assert np.abs(where - [300, 400]).max() <= 5  # only the knee


def test_a_bone_that_leaves_the_image_is_drawn_to_its_edge():
    image = draw(GREY, [(Layer("one", COCO17, GREEN, 20), points(left_knee=(700, 300), left_ankle=(900, 300)))], "")
    assert image[300, 799].tolist() == bytes_of(GREEN)


def test_the_legend_names_layers_in_their_colours():
    layers = [(Layer("pseudo-label", COCO17, GREEN, 20), points()), (Layer("detected", COCO17, None, 9), points())]
    image = draw(GREY, layers, "walk, cam1, frame 7")
    assert (below_legend(image) == 90).all()
    assert image[0, 0].tolist() == [0, 0, 0]
    for colour in (GREEN, LEFT, RIGHT, "#FFFFFF"):
        assert drawn(image, colour).sum() > 20


def test_everybody_is_drawn_with_a_name_above_and_the_legend_is_written_once():
    ann, bob = (
        points(left_knee=(300, 300), left_ankle=(300, 500)),
        points(left_knee=(500, 400), left_ankle=(500, 500)),
    )
    layer = Layer("detected", COCO17, "#0000FF", 20)
    people = [Person("Ann", GREEN, [(layer, ann)]), Person("Bob", "#FF00FF", [(layer, bob), (layer, points())])]
    image, alone = draw_people(GREY, people, "walk"), draw_people(GREY, people[:1], "walk")
    for x, top, colour in ((300, 300, GREEN), (500, 400, "#FF00FF")):
        rows, columns = places_of(image, colour).T
        assert top - 40 < rows.min() < rows.max() < top
        assert abs(columns.mean() - x) < 5
        assert image[450, x].tolist() == bytes_of("#0000FF")
    np.testing.assert_array_equal(image[:150], alone[:150])
    nobody = draw_people(GREY, [Person("Ann", GREEN, [(layer, points())])], "walk")
    assert not drawn(nobody, GREEN).any()


def test_captions_differ():
    images = [draw(GREY, [], f"frame {number}") for number in (1, 2)]
    assert (images[0] != images[1]).any()

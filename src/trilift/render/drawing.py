"""Skeletons drawn over an image, and what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trilift.skeletons import Skeleton
from trilift.style import LEFT, RIGHT, side_colour

_INK, _PAPER = "#FFFFFF", "#000000"


@dataclass(frozen=True)
class Layer:
    """One kind of skeleton.

    Attributes
    ----------
    name
        What it is, for the legend.
    skeleton
        Layout of its points.
    colour
        Of its lines; None for one of the left side, one of the right and one of the middle.
    width
        Of its lines, in hundredths of a lineheight of the legend.
    """

    name: str
    skeleton: Skeleton
    colour: str | None
    width: int


@dataclass(frozen=True)
class Person:
    """Who is drawn.

    Attributes
    ----------
    name
        Stands above; empty where one person is there.
    colour
        Of the name.
    layers
        Each with its points (keypoint, 2), px; NaN where missing. What is farther outside than the image is large
        is left out.
    """

    name: str
    colour: str
    layers: Sequence[tuple[Layer, np.ndarray]]


def draw(image: np.ndarray, people: Sequence[Person], caption: str) -> np.ndarray:
    """Draw people over an image, the last one and the last layer of each uppermost.

    Parameters
    ----------
    image
        (height, width, 3) bytes.
    people
        Who is there.
    caption
        Stands above the legend.

    Returns
    -------
    np.ndarray
        (height, width, 3) bytes; the image stays as it is.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    lineheight = max(10, round(min(height, width) / 36))
    for person in people:
        drawn = [_draw_layer(pen, layer, points, (width, height), lineheight) for layer, points in person.layers]
        if person.name:
            _write_name(pen, person, np.concatenate(drawn), lineheight)
    layers = {layer.name: layer for person in people for layer, _ in person.layers}
    _write_legend(pen, list(layers.values()), caption, lineheight)
    return np.asarray(picture)


def _draw_layer(
    pen: ImageDraw.ImageDraw, layer: Layer, points: np.ndarray, size: tuple[int, int], lineheight: int
) -> np.ndarray:
    """Draw one skeleton, and give its points that are in reach."""
    near = np.all((points > np.negative(size)) & (points < np.multiply(2, size)), axis=-1)
    thick = max(1, round(layer.width * lineheight / 100))
    for parent, child in layer.skeleton.drawn_indices:
        if near[parent] and near[child]:
            ends = [tuple(points[parent]), tuple(points[child])]
            pen.line(ends, _colour(layer, parent, child), thick)
    for index in np.flatnonzero(near):
        pen.circle(tuple(points[index]), thick, _colour(layer, int(index)))
    return points[near]


def _write_name(pen: ImageDraw.ImageDraw, person: Person, points: np.ndarray, lineheight: int) -> None:
    if len(points):
        x, y = points[:, 0].mean(), points[:, 1].min() - 0.5 * lineheight
        font = ImageFont.load_default(lineheight)
        pen.text((x, y), person.name, person.colour, font, "ms", stroke_width=2, stroke_fill=_PAPER)


def _colour(layer: Layer, *indices: int) -> str:
    return layer.colour or side_colour(*(layer.skeleton.keypoints[index] for index in indices))


def _write_legend(pen: ImageDraw.ImageDraw, layers: list[Layer], caption: str, lineheight: int) -> None:
    font = ImageFont.load_default(0.8 * lineheight)
    texts = [(caption, _INK)]
    for layer in layers:
        sides = ((f"{layer.name}, left", LEFT), (f"{layer.name}, right", RIGHT))
        texts += ((layer.name, layer.colour),) if layer.colour else sides
    wide = max(pen.textlength(text, font) for text, _ in texts) + lineheight
    pen.rectangle((0, 0, wide, (len(texts) + 0.5) * lineheight), _PAPER)
    for row, (text, colour) in enumerate(texts):
        pen.text((lineheight / 2, (row + 0.2) * lineheight), text, colour, font)

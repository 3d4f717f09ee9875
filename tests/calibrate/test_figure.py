"""What the figure of a rig shows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from rings import ring
from synthetic import ring_of_cameras
from trilift import style
from trilift.calibrate.figure import rig_from_above_and_aside

SIZES = np.array([[1280, 720]] * 3)
NAMES = ["cam1", "cam2", "cam3"]


@pytest.fixture(autouse=True)
def usual_style():
    style.use()
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_cameras_stand_where_they_are_from_above_and_from_the_side():
    figure = rig_from_above_and_aside(NAMES, ring(3), SIZES, "data set tiny")
    above, aside = figure.axes
    for axes, up in ((above, 1), (aside, 2)):
        shown = {text.get_text(): text.xy for text in axes.texts}
        for name, camera in zip(NAMES, ring_of_cameras(3), strict=True):
            centre = -camera.R.T @ camera.t
            np.testing.assert_allclose(shown[name], centre[[0, up]], atol=1e-9)
        low, high = axes.get_ylim()
        assert all(low < xy[1] < high for xy in shown.values())
    assert above.get_xlabel() == "x (m)"
    assert figure.get_figwidth() * 2.54 == pytest.approx(8.5)


def test_a_frustum_opens_towards_what_the_camera_sees():
    figure = rig_from_above_and_aside(NAMES, ring(3), SIZES, "")
    (camera, *_) = ring_of_cameras(3)
    rectangle = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 5)
    ends = np.column_stack([rectangle.get_xdata(), rectangle.get_ydata()])[:4]
    forward = camera.R[2, :2]
    centre = (-camera.R.T @ camera.t)[:2]
    assert ((ends - centre) @ forward > 0).all()


def test_the_way_of_the_person_and_the_floor_are_drawn():
    figure = rig_from_above_and_aside(NAMES, ring(3), SIZES, "")
    way = next(line for line in figure.axes[0].lines if line.get_label() == "way")
    np.testing.assert_allclose([way.get_xdata()[0], way.get_xdata()[-1]], [-1, 1], atol=0.1)
    floor = next(line for line in figure.axes[1].lines if line.get_label() == "floor")
    assert list(floor.get_ydata()) == [0, 0]


def test_weak_and_lost_cameras_are_told_apart():
    figure = rig_from_above_and_aside(NAMES, ring(3, verdict="weak", reason="far"), SIZES, "")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["well determined", "weak"]
    figure = rig_from_above_and_aside(NAMES, ring(3, verdict="not placed", reason="alone"), SIZES, "")
    assert "cam3" not in texts(figure)
    assert "not placed: cam3" in figure.legends[0].get_title().get_text()


def test_the_note_says_where_the_data_come_from():
    figure = rig_from_above_and_aside(NAMES, ring(3), SIZES, "data set tiny · detections: synthetic")
    assert figure.get_supxlabel() == "data set tiny · detections: synthetic"

"""Usual mistakes put into calibrations and detections, simulated and real, and whether they are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from real_data import capture_of, needs
from synthetic import project_with_opencv, ring_of_cameras, waving_person
from trilift.formats.images import ImageChange
from trilift.geometry.cameras import Cameras, to_rays
from trilift.ingest import conventions
from trilift.ingest.readings import Reading
from trilift.ingest.unit import wrong_unit
from trilift.skeletons import BODY25B, MEDIAPIPE33

POSES = {
    "transposed rotations": lambda R, t: (R.mT, t),
    "camera positions for t": lambda R, t: (R, positions(R, t)),
    "poses from camera to world": lambda R, t: (R.mT, positions(R, t)),
    "axes of OpenGL": lambda R, t: (flip(R), flip(t.unsqueeze(-1)).squeeze(-1)),
    "poses from camera to world and axes of OpenGL": lambda R, t: (flip(R).mT, positions(R, t)),  # as Blender's
}
ORDERS = {f"{a + 1} and {b + 1} exchanged": (a, b) for a, b in [(0, 1), (1, 3), (0, 2)]}
NAMES = ["a", "b", "c", "d"]


def positions(R, t):
    """Where the cameras are: the world point that lies at 0 in their frame."""
    return torch.linalg.solve(R, -t.unsqueeze(-1)).squeeze(-1)


def flip(rows):
    return rows * rows.new_tensor([1.0, -1.0, -1.0])[:, None]


class Rig:
    """What was read: cameras, size of their images, and detections (frame, view, person, keypoint, 2)."""

    def __init__(self, cameras, size, pixels, skeleton=BODY25B):
        self.cameras, self.size, self.skeleton = cameras, np.array(size), skeleton
        self.pixels = pixels if pixels.ndim == 5 else pixels[:, :, None]

    def examine(self, cameras=None, pixels=None, names=None, score=None, lenses=None, images=None):
        cameras = cameras or self.cameras
        views = len(cameras)
        pixels = self.pixels if pixels is None else pixels
        return conventions.examine(
            Reading(cameras, np.tile(self.size, (views, 1)), pixels),
            names or [f"cam{view + 1}" for view in range(views)],
            other_side=self.skeleton.mirrored,
            score=score,
            lenses=lenses,
            images=images,
        )

    def changed(self, views, change):
        """What the detector finds where images of some views are changed."""
        pixels = self.pixels.copy()
        for view in views:
            pixels[:, view] = change(pixels[:, view], *self.size, self.skeleton)
        return pixels


def named(verdict):
    return verdict.mistake and verdict.mistake.name


def misread(cameras, name):
    R, t = POSES[name](cameras.R, cameras.t)
    return replace(cameras, R=R.contiguous(), t=t.contiguous())


def moved(cameras, view, by):
    t = cameras.t.clone()
    t[view] += torch.tensor(by, dtype=t.dtype)
    return replace(cameras, t=t)


def exchanged(pixels, pair):
    order = list(range(pixels.shape[1]))
    order[pair[0]], order[pair[1]] = pair[1], pair[0]
    return pixels[:, order]


def uneven_ring(number):
    """A ring in which no camera can be taken for another."""
    rig = ring_of_cameras(number)
    turns = np.random.default_rng(0).uniform(-0.25, 0.25, number)
    made = []
    for camera, turn in zip(rig, turns, strict=True):
        about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        made.append(replace(camera, R=camera.R @ about_z.T, t=camera.t * (1 + turn)))
    return made


def filmed(cameras, points, noise=3.0, seed=0):
    pixels = np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
    return pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)


def walker(frames, seed=0):
    """Points (frame, 25, 3) of a person who walks about."""
    time = np.arange(frames)[:, None] / 25
    path = np.concatenate([0.9 * np.sin(time + seed), 0.7 * np.cos(0.7 * time), 0 * time], -1)
    return waving_person(frames, seed) * [1.5, 1.5, 1] + path[:, None]


def simulate(views):
    """Errors of 6 px, one detection in twenty anywhere in the image."""
    rng = np.random.default_rng(0)
    rig, points = ring_of_cameras(4)[:views], waving_person(40) * [1.5, 1.5, 1] + [0.2, -0.3, 0]
    pixels = filmed(rig, points, 6)
    wild = rng.random(pixels.shape[:-1]) < 0.05
    pixels[wild] = rng.uniform(0, [1280, 720], (wild.sum(), 2))
    return Rig(Cameras.stack(rig), [1280, 720], pixels)


@pytest.fixture(scope="module")
def simulated():
    return simulate(4)


@pytest.fixture(scope="module")
def of_two_cameras():
    return simulate(2)


@pytest.fixture(scope="module")
def walk():
    cameras = uneven_ring(4)
    return Rig(Cameras.stack(cameras), [1280, 720], filmed(cameras, walker(60)))


def recording(name, size, skeleton):
    @pytest.fixture(scope="module")
    def load(tmp_path_factory):
        capture = capture_of(name, tmp_path_factory.mktemp(name))
        return Rig(capture.to_tensors(), size, capture.recordings[0].pixels, skeleton)

    return load


balancing = recording("pose2sim_demo", [1088, 1920], BODY25B)
at_the_desk = recording("caliscope_4cam", [1280, 720], MEDIAPIPE33)
RIGS = [
    "simulated",
    "of_two_cameras",
    pytest.param("balancing", marks=needs("pose2sim_demo")),
    pytest.param("at_the_desk", marks=needs("caliscope_4cam")),
]


@pytest.fixture
def rig(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("rig", [*RIGS, "walk"], indirect=True)
def test_nothing_is_named_where_nothing_is_wrong(rig):
    verdict = rig.examine()
    assert named(verdict) is None
    assert verdict.standing_out == ()
    assert verdict.sound


@pytest.mark.parametrize("views", [2, 3, 4, 8])
def test_nothing_is_named_where_most_is_missing(views):
    cameras = uneven_ring(views)
    pixels = filmed(cameras, walker(400))
    pixels[np.random.default_rng(1).random(pixels.shape[:-1]) < 0.85] = np.nan
    verdict = Rig(Cameras.stack(cameras), [1280, 720], pixels).examine()
    assert (named(verdict), verdict.standing_out, verdict.sound) == (None, (), True)


@pytest.mark.parametrize("rig", ["of_two_cameras", "walk", *RIGS[2:]], indirect=True)
@pytest.mark.parametrize("name", POSES)
def test_a_misread_pose_is_named(rig, name):
    verdict = rig.examine(misread(rig.cameras, name))
    assert named(verdict) == name
    assert verdict.certain
    assert verdict.error_mended_px == pytest.approx(rig.examine().error_px, rel=1e-6)


@pytest.mark.parametrize("rig", RIGS[2:], indirect=True)
@pytest.mark.parametrize("pair", ORDERS.values(), ids=ORDERS)
def test_exchanged_views_are_named_with_the_order_that_is_right(rig, pair):
    verdict = rig.examine(pixels=exchanged(rig.pixels, pair), names=NAMES)
    one, other = (NAMES[view] for view in pair)
    assert named(verdict) == "swapped views"
    assert f"{one} has the view of {other}, {other} has the view of {one};" in verdict.mistake.advice


def test_exchanged_views_are_named_in_a_ring_though_not_which(simulated):
    assert named(simulated.examine(pixels=exchanged(simulated.pixels, (0, 1)))) == "swapped views"


@pytest.mark.parametrize("number", [8, 9])
def test_exchanged_views_are_named_in_a_rig_of_many(number):
    cameras = uneven_ring(number)
    pixels = filmed(cameras, walker(10), 1)
    rig = Rig(Cameras.stack(cameras), [1280, 720], pixels)
    verdict = rig.examine(pixels=exchanged(rig.pixels, (2, 7)))
    assert named(verdict) == "swapped views"
    assert "cam3 has the view of cam8, cam8 has the view of cam3;" in verdict.mistake.advice


CHANGES = {  # of images of that width and height
    "{turned: 90}": lambda xy, width, height, _: np.stack([height - xy[..., 1], xy[..., 0]], -1),
    "{turned: 270}": lambda xy, width, height, _: np.stack([xy[..., 1], width - xy[..., 0]], -1),
    "{turned: 180}": lambda xy, width, height, _: [width, height] - xy,
    "{size: [960, 540]}": lambda xy, *_: xy * 0.75,
    "{size: [320, 180]}": lambda xy, *_: xy * 0.25,
    "{size: [1920, 1080]}": lambda xy, *_: xy * 1.5,
    "{turned: 90, size: [360, 640]}": lambda xy, width, height, _: (
        np.stack([height - xy[..., 1], xy[..., 0]], -1) / 2
    ),
    "{mirrored: true}": lambda xy, width, _, skeleton: (xy * [-1, 1] + [width, 0])[..., list(skeleton.mirrored), :],
}
KINDS = {"turned": "turned", "size": "scaled", "mirrored": "mirrored"}


@pytest.mark.parametrize(
    ("change", "views"),
    [(change, [2]) for change in CHANGES]
    + [(change, [0, 1, 2, 3]) for change in list(CHANGES)[:1] + list(CHANGES)[3:7]]
    + [(change, [0, 3]) for change in list(CHANGES)[1:4] + list(CHANGES)[7:]],
    ids=str,
)
def test_changed_images_are_named_with_the_setting_that_mends_them(walk, change, views):
    stated = yaml.safe_load(change)
    verdict = walk.examine(pixels=walk.changed(views, CHANGES[change]))
    assert named(verdict) == " and ".join(KINDS[key] for key in stated) + " images"
    setting = yaml.safe_load(verdict.mistake.advice.split("`images: ")[1].split("`")[0])
    assert setting == ({"*": stated} if len(views) == 4 else {f"cam{view + 1}": stated for view in views})
    assert verdict.error_mended_px < 1.6 * walk.examine().error_px


def test_a_setting_that_is_wrong_already_is_put_right(walk):
    """Turned clockwise, but stated as counterclockwise: upside down of that."""
    pixels = walk.changed([1], CHANGES["{turned: 180}"])
    images = [ImageChange(turned=270 if view == 1 else 0) for view in range(4)]
    verdict = walk.examine(pixels=pixels, images=images)
    assert """`images: {"cam2": {"turned": 90}}`""" in verdict.mistake.advice


def upside_down_in_one_view(rig):
    return rig.cameras, rig.changed([1], lambda xy, width, *_: xy * [-1, 1] + [width, 0])


def wild_in_one_view(rig):
    pixels = rig.pixels.copy()
    pixels[:, 1] = np.random.default_rng(2).uniform(0, rig.size, pixels[:, 1].shape)
    return rig.cameras, pixels


# What is on no list of usual mistakes: none of these may be named for it.
OTHER_FAULTS = {
    "moved by 10 cm": lambda rig: (moved(rig.cameras, 1, [0.1, 0, 0]), rig.pixels),
    "moved by 1 m": lambda rig: (moved(rig.cameras, 1, [0, 0.6, 0.8]), rig.pixels),
    "mirrored with its sides kept": upside_down_in_one_view,
    "left and right exchanged": lambda rig: (
        rig.cameras,
        rig.changed([1], lambda xy, *_: xy[..., list(BODY25B.mirrored), :]),
    ),
    "detections anywhere": wild_in_one_view,
    "half a minute late": lambda rig: (
        rig.cameras,
        np.stack([rig.pixels[:, 0], np.roll(rig.pixels[:, 1], 30, 0), *rig.pixels[:, 2:].swapaxes(0, 1)], 1),
    ),
}


@pytest.mark.parametrize("fault", OTHER_FAULTS)
def test_no_mistake_is_named_that_leaves_a_disagreement_but_the_camera_is(walk, fault):
    verdict = walk.examine(*OTHER_FAULTS[fault](walk))
    assert named(verdict) is None
    assert verdict.standing_out == (1,)
    assert verdict.error_without_px < 0.75 * verdict.error_px


def test_two_cameras_that_stand_out_are_both_named():
    cameras = uneven_ring(7)
    rig = Rig(Cameras.stack(cameras), [1280, 720], filmed(cameras, walker(40)))
    verdict = rig.examine(moved(moved(rig.cameras, 2, [0.4, 0, 0]), 5, [0, 0.4, 0]))
    assert (named(verdict), verdict.standing_out) == (None, (2, 5))


def test_of_three_cameras_the_one_that_stands_out_is_named():
    cameras = uneven_ring(3)
    rig = Rig(Cameras.stack(cameras), [1280, 720], filmed(cameras, walker(40)))
    verdict = rig.examine(moved(rig.cameras, 1, [0.4, 0, 0]))
    assert (named(verdict), verdict.standing_out) == (None, (1,))


@pytest.mark.parametrize("by", [[1.0, 0, 0], [0, 0.6, 0.8]], ids=str)
def test_a_camera_of_two_that_was_moved_is_no_usual_mistake(by):
    cameras = uneven_ring(4)[:2]
    rig = Rig(Cameras.stack(cameras), [1280, 720], filmed(cameras, walker(60)))
    assert named(rig.examine(moved(rig.cameras, 1, by))) is None


def test_a_calibration_of_another_rig_is_no_usual_mistake(walk):
    rng = np.random.default_rng(3)
    elsewhere = walk.cameras.t + torch.as_tensor(rng.normal(0, 1, (4, 3)))
    verdict = walk.examine(replace(walk.cameras, t=elsewhere))
    assert (named(verdict), verdict.standing_out, verdict.sound) == (None, (), False)


@pytest.mark.parametrize("name", ["transposed rotations", "axes of OpenGL", "poses from camera to world"])
@pytest.mark.parametrize("people", [2, 3])
def test_a_mistake_is_named_with_several_people_in_view(name, people):
    cameras = uneven_ring(4)
    pixels = np.stack([filmed(cameras, walker(60, seed), seed=seed) for seed in range(people)], 2)
    order = np.random.default_rng(4).permuted(np.tile(np.arange(people), (60, 4, 1)), axis=2)
    score = np.take_along_axis(np.tile(1.0 + 0.3 * np.arange(people), (60, 4, 1)), order, 2)
    rig = Rig(Cameras.stack(cameras), [1280, 720], np.take_along_axis(pixels, order[..., None, None], 2))
    assert named(rig.examine(score=score)) is None
    verdict = rig.examine(misread(rig.cameras, name), score=score)
    assert named(verdict) == name
    assert verdict.error_mended_px == pytest.approx(rig.examine(score=score).error_px, rel=1e-6)


@pytest.mark.parametrize("missing", [0, 0.85])
def test_distorted_points_taken_as_undistorted_are_named_and_the_reverse(missing):
    points = walker(40 if missing == 0 else 600)
    cameras = [replace(camera, distortion=3 * camera.distortion) for camera in ring_of_cameras(4, radius=3.0)]
    pixels = filmed(cameras, points, 2)
    pixels[np.random.default_rng(5).random(pixels.shape[:-1]) < missing] = np.nan
    bent = Cameras.stack(cameras)
    straight = replace(bent, distortion=torch.zeros_like(bent.distortion))
    undistorted = to_rays(bent, torch.as_tensor(pixels)) * bent.focal[:, None] + bent.centre[:, None]
    distorted, undistorted = (Rig(bent, [1280, 720], one) for one in (pixels, undistorted.numpy()))
    lenses = bent.distortion.numpy()
    assert named(distorted.examine()) is None
    assert named(undistorted.examine()) == "undistorted points taken as distorted"
    assert named(undistorted.examine(straight, lenses=lenses)) is None
    assert named(distorted.examine(straight, lenses=lenses)) == "distorted points taken as undistorted"


@needs("caliscope_4cam")
def test_distorted_points_taken_as_undistorted_are_named_at_the_desk(at_the_desk):
    straight = replace(at_the_desk.cameras, distortion=torch.zeros_like(at_the_desk.cameras.distortion))
    verdict = at_the_desk.examine(straight, lenses=at_the_desk.cameras.distortion.numpy())
    assert named(verdict) == "distorted points taken as undistorted"
    assert not verdict.certain  # the error falls by a fifth only


def test_a_capture_without_common_points_says_nothing():
    verdict = Rig(Cameras.stack(ring_of_cameras(3)), [1280, 720], np.full((5, 3, 25, 2), np.nan)).examine()
    assert verdict.mistake is None
    assert np.isnan(verdict.error_px)


def unit_by(legs, arms=()):
    return wrong_unit({"legs": torch.tensor(legs), "arms": torch.tensor(arms)})


@pytest.mark.parametrize("length", [0.4, 0.8, 1.1])
def test_legs_as_long_as_those_of_people_are_right(length):
    assert unit_by([length, torch.nan, length * 1.1, *[length] * 4]) is None


@pytest.mark.parametrize(
    ("length", "unit"), [(820.0, "millimetres"), (82.0, "centimetres"), (31.0, "inches"), (2.7, "feet")]
)
def test_the_unit_is_told_from_legs(length, unit):
    assert unit in unit_by([length] * 5).advice


def test_where_legs_are_hidden_arms_tell():
    assert "arms are 540 m long" in unit_by([torch.nan] * 9, [540.0] * 9).advice
    assert unit_by([torch.nan] * 9, [0.54] * 9) is None
    assert unit_by([0.8] * 9, [540.0] * 9) is None


@pytest.mark.parametrize(
    ("length", "read_as", "unit"),
    [(35.4, 1.0, "inch"), (3.0, 1.0, "foot"), (8.2, 0.01, "mm"), (0.00082, 0.001, "m"), (0.0082, 0.01, "m")],
)
def test_the_unit_that_fits_best_is_named_first_as_it_is_to_be_stated(length, read_as, unit):
    advice = wrong_unit({"legs": torch.tensor([length] * 5)}, read_as).advice
    assert advice.partition("`unit: ")[2].startswith(f"{unit}`")


def test_a_length_that_fits_no_unit_is_named_as_that():
    assert "neither of the usual" in unit_by([0.001] * 5).advice


def test_without_limbs_nothing_is_said_of_the_unit():
    assert unit_by([torch.nan] * 9, [torch.nan] * 9) is None

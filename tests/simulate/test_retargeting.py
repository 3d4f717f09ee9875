"""Motion given to other bodies: bones keep their directions; and keypoints of layouts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trilift.simulate.body import SIDES, Body, sample_body
from trilift.simulate.motions import simulate_motion
from trilift.simulate.posing import pose
from trilift.simulate.retargeting import keypoints_of, retarget
from trilift.skeletons import COCO17, H36M17, HALPE26, MEDIAPIPE33, OPENPOSE25, SKELETONS, TRAINING_SKELETON, mapping

FPS = 50
HEAD = ("nose", "head_top")
BODY = [index for index, name in enumerate(H36M17.keypoints) if name not in HEAD]


def moving(seed: int = 0, frames: int = 100) -> tuple[Body, np.ndarray]:
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    return body, simulate_motion("walking", body, frames, FPS, rng)


def bones(joints: np.ndarray) -> dict[str, np.ndarray]:
    return {H36M17.keypoints[child]: joints[:, child] - joints[:, parent] for parent, child in H36M17.bone_indices}


def upright(body: Body) -> np.ndarray:
    return pose(body, {}, np.array([[0.0, 0.0, 1.0]]), np.zeros(1))


def test_bones_get_the_bodys_lengths_and_keep_their_directions() -> None:
    _, source = moving()
    body = sample_body(np.random.default_rng(7))
    given_on = retarget(source, body, FPS, np.random.default_rng(1))
    found, before = bones(given_on), bones(source)
    for name, length in body.bones.items():
        np.testing.assert_allclose(np.linalg.norm(found[name], axis=-1), length)
    # One turn about the vertical leads from all bones but those of the head to what they were.
    ours, theirs = (
        np.concatenate(
            [part[name] / np.linalg.norm(part[name], axis=-1, keepdims=True) for name in part if name not in HEAD]
        )
        for part in (found, before)
    )
    turn, _ = Rotation.align_vectors(ours, theirs)
    np.testing.assert_allclose(turn.apply(theirs), ours, atol=1e-6)
    np.testing.assert_allclose(turn.apply([0, 0, 1]), [0, 0, 1], atol=1e-6)


def test_its_own_motion_comes_back() -> None:
    body, source = moving(3)
    again = retarget(source, body, FPS, np.random.default_rng(1))
    for frames in (source, again):
        frames -= frames[:1, :1]

    def distances(joints: np.ndarray) -> np.ndarray:
        points = joints[::10, BODY].reshape(-1, 3)
        return np.linalg.norm(points[:, None] - points, axis=-1)

    # Legs of a body differ by some millimetres; the ways of its pelvis are scaled by their mean.
    np.testing.assert_allclose(distances(again), distances(source), atol=0.01)


def test_longer_legs_go_farther_and_stand_on_the_floor() -> None:
    body, source = moving(5)
    small = source * 0.5
    large = retarget(small, body, FPS, np.random.default_rng(2))
    ankles = large[:, [H36M17.index(side + "ankle") for side in SIDES], 2].min(1)
    assert np.quantile(ankles, 0.02) == pytest.approx(body.ankle_height)
    way, its = (np.linalg.norm(np.diff(part[:, 0, :2], axis=0), axis=-1) for part in (source, large))
    np.testing.assert_allclose(its, way, rtol=0.01)


def test_the_face_looks_about_where_the_chest_does() -> None:
    _, source = moving(1, 400)
    for seed in range(5):
        joints = retarget(source, sample_body(np.random.default_rng(seed)), FPS, np.random.default_rng(seed))
        parts = bones(joints)
        left = joints[:, H36M17.index("left_shoulder")] - joints[:, H36M17.index("right_shoulder")]
        up = joints[:, H36M17.index("thorax")] - joints[:, 0]
        ahead = np.cross(left, up)
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
        assert ((parts["nose"] * ahead).sum(-1) > 0).mean() > 0.95
        assert np.ptp(np.cross(parts["nose"], ahead)[:, 2]) > 0.01  # it turns
        head = joints[:, H36M17.index("head_top")] - joints[:, H36M17.index("thorax")]
        assert ((head * up).sum(-1) > 0).all()


@pytest.mark.parametrize("layout", [COCO17, OPENPOSE25, HALPE26, MEDIAPIPE33, H36M17], ids=lambda layout: layout.name)
def test_layouts_have_all_that_lifters_learn_from(layout) -> None:
    body = sample_body(np.random.default_rng(0))
    keypoints = keypoints_of(upright(body), layout)
    assert keypoints.shape == (1, len(layout), 3)
    training = mapping(layout, TRAINING_SKELETON).apply(keypoints)[0]
    assert np.isfinite(training).all()
    true = upright(body)[0]
    shared = [joint for joint in layout.keypoints if joint in H36M17.keypoints]
    for joint in shared:
        np.testing.assert_array_equal(training[H36M17.index(joint)], true[H36M17.index(joint)])
    np.testing.assert_allclose(training[0], true[0], atol=0.005)  # the middle of the hips


def test_all_layouts_can_be_drawn() -> None:
    for layout in SKELETONS.values():
        assert keypoints_of(upright(sample_body(np.random.default_rng(0))), layout).shape == (1, len(layout), 3)


def test_a_face_has_eyes_and_ears() -> None:
    """Facing along x: ears behind the nose and eyes over it, each as far to the left as to the right."""
    body = sample_body(np.random.default_rng(0))
    at = dict(zip(COCO17.keypoints, keypoints_of(upright(body), COCO17)[0], strict=True))
    size = body.bones["head_top"] / (0.09 * 1.75)
    for name, expected in (("ear", (-0.11, 0.072, 0.02)), ("eye", (-0.025, 0.032, 0.033))):
        for side, sign in SIDES.items():
            np.testing.assert_allclose(
                at[side + name] - at["nose"], size * np.array(expected) * (1, sign, 1), atol=1e-9
            )
    toes = OPENPOSE25.index("left_big_toe")
    assert np.isnan(keypoints_of(upright(body), OPENPOSE25)[0, toes]).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_keypoints_turn_with_the_body(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    joints = simulate_motion("reaching", body, 3, FPS, rng)
    turn, way = Rotation.random(rng=rng).as_matrix(), rng.normal(size=3)
    expected = keypoints_of(joints, COCO17) @ turn.T + way
    np.testing.assert_allclose(keypoints_of(joints @ turn.T + way, COCO17), expected, atol=1e-9)

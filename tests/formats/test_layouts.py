"""Which layout keypoints have that no user named."""

import json
import logging

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import project_with_opencv, ring_of_cameras, write_pose2sim
from trilift.errors import InputError
from trilift.formats import layouts
from trilift.formats.recognise import look_at
from trilift.formats.registry import DETECTIONS
from trilift.ingest import new
from trilift.simulate.body import sample_body
from trilift.simulate.motions import MOTIONS, simulate_motion
from trilift.skeletons import (
    BODY25B,
    BODY135,
    COCO17,
    COCO18,
    COCO133,
    H36M17,
    HALPE26,
    HALPE136,
    MPI15,
    OPENPOSE25,
    SKELETONS,
    mapping,
)  # fmt: skip

FROM_THE_FRONT = [
    (500, 100), (507, 92), (493, 92), (517, 97), (483, 97), (540, 190), (460, 190), (555, 300), (445, 300),
    (560, 400), (440, 400), (525, 420), (475, 420), (525, 600), (475, 600), (525, 780), (475, 780),
]  # fmt: skip
"""A person in COCO's order."""


def moving_people(frames: int = 40, seed: int = 0) -> np.ndarray:
    """Poses (frame, 17, 3) of people who walk, sit, wave and so on, in the order of h36m17."""
    rng = np.random.default_rng(seed)
    return np.concatenate([simulate_motion(name, sample_body(rng), frames, 30, rng) for name in MOTIONS])


def in_layout(poses: np.ndarray, skeleton) -> np.ndarray:
    """Put poses of h36m17 into another layout; what that has besides lies about the head or beside the ankles."""
    found = mapping(H36M17, skeleton).apply(poses)
    nose, up = poses[:, H36M17.index("nose")], poses[:, H36M17.index("head_top")] - poses[:, H36M17.index("nose")]
    across = poses[:, H36M17.index("left_shoulder")] - poses[:, H36M17.index("right_shoulder")]
    middle = {"neck": "thorax", "upper_neck": "thorax", "mid_hip": "pelvis", "chest": "spine", "head": "nose"}
    for index, name in enumerate(skeleton.keypoints):
        side = 0.1 if name.startswith("left_") else -0.1 if name.startswith("right_") else 0
        if name in middle:
            found[:, index] = poses[:, H36M17.index(middle[name])]
        elif np.isnan(found[:, index]).any():
            is_of_foot = "toe" in name or "heel" in name
            base = poses[:, H36M17.index(f"{name.split('_')[0]}_ankle")] if is_of_foot else nose + 0.2 * up
            found[:, index] = base + side * across
    return found


def seen(poses: np.ndarray, view: int, noise_px: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(view)
    return project_with_opencv(ring_of_cameras(4)[view], poses) + rng.normal(0, noise_px, (*poses.shape[:2], 2))


def with_confidence(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), 0.9)], -1)


@pytest.mark.parametrize("skeleton", [H36M17, COCO17, OPENPOSE25, BODY25B], ids=lambda one: one.name)
@pytest.mark.parametrize("view", range(4))
def test_every_view_of_moving_people_tells_the_layout(skeleton, view):
    others = [one for one in SKELETONS.values() if len(one) == len(skeleton)]
    result = layouts.vote(seen(in_layout(moving_people(), skeleton), view), others)
    assert result.skeleton is skeleton
    assert result.is_clear
    assert result.share > 0.85


@pytest.mark.parametrize("skeleton", [COCO18, HALPE26, COCO133, BODY135, HALPE136], ids=lambda one: one.name)
def test_the_only_layout_of_a_number_is_taken_if_it_looks_like_a_body(skeleton):
    people = with_confidence(seen(in_layout(moving_people(10), skeleton), 0))
    assert layouts.of_poses(people, (), "here").skeleton is skeleton
    shuffled = people[:, np.random.default_rng(1).permutation(len(skeleton))]
    with pytest.raises(InputError, match="do not look like a body's; state the layout"):
        layouts.of_poses(shuffled, (), "here")


def test_a_person_from_the_front_is_of_coco():
    people = with_confidence(np.array([FROM_THE_FRONT], float))
    assert layouts.of_poses(people, (), "here").skeleton is COCO17


def test_who_is_seen_to_the_hips_votes_with_what_is_seen():
    people = with_confidence(seen(in_layout(moving_people(10), COCO17), 1))
    people[:, [COCO17.index(name) for name in COCO17.keypoints if "knee" in name or "ankle" in name], 2] = 0
    assert layouts.of_poses(people, (), "here").skeleton is COCO17


def test_half_of_the_poses_for_either_layout_decide_nothing():
    coco = with_confidence(seen(in_layout(moving_people(5), COCO17), 0))
    human36m = with_confidence(seen(moving_people(5), 0))
    with pytest.raises(
        InputError, match=r"here: are its 17 keypoints those of h36m17 or coco17\? .* state the layout"
    ):
        layouts.of_poses([*coco, *human36m], (), "here")


def test_layouts_that_are_mirror_images_are_not_told_apart():
    people = with_confidence(seen(in_layout(moving_people(5), MPI15), 0))
    with pytest.raises(InputError, match="mpi15 or humaneva15"):
        layouts.of_poses(people, (), "here")
    assert layouts.of_poses(people, (MPI15,), "here").skeleton is MPI15


def test_who_has_lists_of_another_length_does_not_vote():
    coco = with_confidence(seen(in_layout(moving_people(5), COCO17), 0))
    assert layouts.of_poses([*coco, np.full((5, 3), 0.5), *coco[:, :9]], (), "here").skeleton is COCO17
    with pytest.raises(InputError, match="people have 9 keypoints, but layouts that are known"):
        layouts.of_poses(list(coco[:, :9]), (), "here")
    with pytest.raises(InputError, match="nobody is seen"):
        layouts.of_poses(list(np.zeros((4, 17, 3))), (), "here")


@given(st.floats(0.01, 100), st.floats(-1000, 1000), st.integers(0, 3))
def test_how_much_a_pose_looks_like_a_body_knows_no_scale_or_place(scale, shift, view):
    pixels = seen(in_layout(moving_people(2), COCO17), view)
    expected = layouts.resemblance(pixels, COCO17)
    np.testing.assert_allclose(layouts.resemblance(scale * pixels + shift, COCO17), expected, atol=1e-6)
    assert (expected <= 0).all()


def test_a_flat_body_of_the_right_proportions_resembles_most():
    pose = np.full((17, 2), np.nan)
    for side, x in (("left", 1), ("right", -1)):
        heights = {"shoulder": 1.4, "hip": 0.9, "knee": 0.48, "ankle": 0.08, "elbow": 1.11, "wrist": 0.86}
        for name, height in heights.items():
            pose[COCO17.index(f"{side}_{name}")] = x, -height
    assert layouts.resemblance(100 * pose, COCO17) == pytest.approx(0, abs=1e-9)
    pose[COCO17.index("left_wrist"), 1] -= 0.125  # half as long a forearm: of 10 parts one
    assert layouts.resemblance(pose, COCO17) == pytest.approx(np.log(0.5) / 10)


def test_names_of_coco_are_those_of_coco_and_nothing_is_said_of_other_layouts(caplog):
    with caplog.at_level(logging.WARNING):
        assert layouts.of_names([name.title() for name in COCO17.keypoints], "here").skeleton is COCO17
    assert caplog.text == ""
    with pytest.raises(InputError, match="no body part is a keypoint"):
        layouts.of_names(["paw", "tail"], "here")


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda one: one.name)
def test_a_layout_is_told_by_its_own_names_in_any_order(skeleton):
    names = list(np.random.default_rng(0).permutation(skeleton.keypoints))
    assert layouts.of_names(names, "here").skeleton is skeleton
    assert layouts.of_ordered_names(skeleton.keypoints, "here").skeleton is skeleton


def test_of_layouts_with_the_same_names_that_from_which_poses_can_be_formed_is_taken():
    limbs = [f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "shoulder", "elbow")]
    found = layouts.of_names(limbs, "here").skeleton
    formed = mapping(found, H36M17).formed_of["pelvis"]
    assert set(formed) == {"left_hip", "right_hip"}  # and no pelvis of a layout's own, which is never seen


def write_deeplabcut(path, names):
    columns = [(name, axis) for name in names for axis in ("x", "y", "likelihood")]
    rows = [["scorer", *["net"] * len(columns)], ["bodyparts", *(name for name, _ in columns)]]
    rows += [["coords", *(axis for _, axis in columns)], ["0", *["5"] * len(columns)], ["1", *["6"] * len(columns)]]
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def write_sleap(path, names):
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array([name.encode() for name in names])
        file["tracks"] = np.full((1, 2, len(names), 3), 5.0)
        file["point_scores"] = np.full((1, len(names), 3), 0.9)


@pytest.mark.parametrize(("write", "suffix"), [(write_deeplabcut, "csv"), (write_sleap, "h5")])
def test_files_with_names_are_read_by_them(tmp_path, caplog, write, suffix):
    for view in ("a", "b"):
        write(tmp_path / f"{view}.{suffix}", COCO17.keypoints)
    with caplog.at_level(logging.WARNING):
        assert look_at(tmp_path).detections.skeleton == "coco17"
    assert caplog.text == ""


def write_coco(path, people):
    entries = [
        {"image_id": number, "category_id": 1, "keypoints": person.ravel().tolist(), "score": 1.0}
        for number, person in enumerate(people)
    ]
    path.write_text(json.dumps(entries))


def write_mmpose(path, people, names=None):
    frames = [
        {"frame_id": number, "instances": [{"keypoints": one[:, :2].tolist(), "keypoint_scores": one[:, 2].tolist()}]}
        for number, one in enumerate(people)
    ]
    about = {"keypoint_id2name": {str(number): name for number, name in enumerate(names)}} if names else {}
    path.write_text(json.dumps({"meta_info": about, "instance_info": frames} if names else frames))


def test_results_of_coco_have_the_order_of_coco_whatever_they_look_like(tmp_path):
    people = with_confidence(seen(moving_people(3), 0))  # in the order of h36m17
    for view in ("a", "b"):
        write_coco(tmp_path / f"{view}.json", people)
    assert look_at(tmp_path).detections.skeleton == "coco17"


OF_HUMAN36M = (
    "root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax",
    "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""As MMPose names them."""


@pytest.mark.parametrize(("names", "expected"), [(COCO17.keypoints, COCO17), (OF_HUMAN36M, H36M17)])
def test_names_in_files_of_mmpose_decide_before_what_is_seen(tmp_path, names, expected):
    other = H36M17 if expected is COCO17 else COCO17
    for view in ("a", "b"):
        write_mmpose(tmp_path / f"{view}.json", with_confidence(seen(in_layout(moving_people(3), other), 0)), names)
    assert look_at(tmp_path).detections.skeleton == expected.name
    with pytest.raises(InputError, match=f"named as those of {expected.name}, not of {other.name}"):
        DETECTIONS["mmpose"].read_view(tmp_path / "a.json", other)


def test_all_views_vote(tmp_path):
    """In the first view, and at its beginning, people look as if their keypoints had another order."""
    misleading, people = with_confidence(seen(moving_people(1), 0)), with_confidence(seen(moving_people(9), 0))
    write_mmpose(tmp_path / "a.json", misleading)
    for view, name in enumerate("bcd"):
        write_mmpose(tmp_path / f"{name}.json", with_confidence(seen(in_layout(moving_people(9), COCO17), view)))
    assert len(people) > len(misleading)
    assert look_at(tmp_path).detections.skeleton == "coco17"


def test_new_asks_for_the_layout_that_it_cannot_tell_and_takes_the_answer(tmp_path):
    folder, project = tmp_path / "gait", tmp_path / "project"
    folder.mkdir()
    project.mkdir()
    (project / "params.yaml").write_text("ingest: {}")
    poses = moving_people(4)
    both = np.concatenate([in_layout(poses, COCO17), poses])
    write_pose2sim(folder / "calibration.toml", ring_of_cameras(2))
    for view in range(2):
        write_mmpose(folder / f"cam{view + 1}.json", with_confidence(seen(both, view)))
    with pytest.raises(InputError, match=r"h36m17 or coco17\?.*--skeleton"):
        new.start(folder, None, project)
    assert not list(project.rglob("gait*"))
    new.start(folder, None, project, "coco17")
    assert "skeleton: coco17" in (project / "workflow" / "datasets" / "gait.yaml").read_text()

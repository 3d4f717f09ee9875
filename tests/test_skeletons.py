import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from trilift import skeletons
from trilift.errors import InputError
from trilift.skeletons import BODY25B, COCO17, H36M17, MEDIAPIPE33, OPENPOSE25, SKELETONS, get, mapping
from trilift.skeletons.definition import of_definition

FOLDER = Path(skeletons.__file__).parent
ALL = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
WITH_TREE = pytest.mark.parametrize("skeleton", [H36M17, BODY25B, OPENPOSE25], ids=lambda skeleton: skeleton.name)

DERIVED = {
    "pelvis": ["left_hip", "right_hip"],
    "thorax": ["left_shoulder", "right_shoulder"],
    "spine": ["left_hip", "right_hip", "left_shoulder", "right_shoulder"],
}


def reached_from(skeleton, start):
    reached = {start}
    while more := {end for bone in skeleton.bones for end in bone if reached & set(bone)} - reached:
        reached |= more
    return reached


@ALL
def test_names_of_keypoints_are_unique(skeleton):
    assert len(set(skeleton.keypoints)) == len(skeleton)


@ALL
def test_bones_join_known_keypoints_and_none_is_twice(skeleton):
    assert {end for bone in skeleton.bones for end in bone} <= set(skeleton.keypoints)
    assert len({frozenset(bone) for bone in skeleton.bones}) == len(skeleton.bones)


@ALL
def test_mirroring_twice_is_no_change(skeleton):
    assert [skeleton.mirrored[i] for i in skeleton.mirrored] == list(range(len(skeleton)))


@ALL
def test_mirroring_swaps_the_sides(skeleton):
    for name, mirror in zip(skeleton.keypoints, skeleton.mirrored, strict=True):
        expected = name.replace("left_", "RIGHT_").replace("right_", "left_").lower()
        assert skeleton.keypoints[mirror] == expected


@ALL
def test_every_bone_has_its_mirror_image(skeleton):
    bones = set(skeleton.bone_indices)
    assert {(skeleton.mirrored[parent], skeleton.mirrored[child]) for parent, child in bones} == bones


@WITH_TREE
def test_bones_form_a_tree_over_all_keypoints(skeleton):
    assert len(skeleton.bones) == len(skeleton) - 1
    assert reached_from(skeleton, "nose") == set(skeleton.keypoints)


def test_every_keypoint_of_the_training_skeleton_but_the_root_has_one_parent():
    children = sorted(child for _, child in H36M17.bones)
    assert children == sorted(set(H36M17.keypoints) - {"pelvis"})
    assert H36M17.root_index == 0


def test_a_skeleton_without_a_root_says_so():
    with pytest.raises(ValueError, match="coco17 has no root"):
        _ = COCO17.root_index


def test_the_published_orders_are_kept():
    assert [COCO17.index(name) for name in ("nose", "left_shoulder", "right_ankle")] == [0, 5, 16]
    assert [BODY25B.index(name) for name in ("right_hip", "upper_neck", "head_top", "right_heel")] == [12, 17, 18, 24]
    assert [OPENPOSE25.index(name) for name in ("neck", "mid_hip", "left_hip", "left_heel")] == [1, 8, 12, 21]
    assert [H36M17.index(name) for name in ("right_ankle", "thorax", "head_top", "left_wrist")] == [3, 8, 10, 13]


@ALL
def test_skeletons_are_found_by_name(skeleton):
    assert get(skeleton.name) is skeleton


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'body26'.*body25b, coco133, coco17, coco18, h36m17, .*, openpose25"):
        get("body26")


OWN = {
    "keypoints": ["hip", "LKnee", "RKnee", "left_ankle", "right_ankle"],
    "bones": [["hip", "LKnee"], ["hip", "RKnee"], ["LKnee", "left_ankle"], ["RKnee", "right_ankle"]],
    "root": "hip",
    "mirror": [["LKnee", "RKnee"]],
    "derived": {"pelvis": ["hip"], "left_knee": ["LKnee"], "right_knee": ["RKnee"]},
}


def own(folder, **changes):
    content = {name: value for name, value in (OWN | changes).items() if value is not None}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return get("mine.yaml", folder)


def test_a_file_of_ones_own_is_a_layout(tmp_path):
    skeleton = own(tmp_path)
    assert skeleton.name == "mine"
    assert skeleton.mirrored == (0, 2, 1, 4, 3)
    assert skeleton.root_index == 0
    of_joints = mapping(skeleton, H36M17).formed_of
    assert {joint: members for joint, members in of_joints.items() if members} == {
        "pelvis": ("hip",),
        "left_knee": ("LKnee",),
        "right_knee": ("RKnee",),
        "left_ankle": ("left_ankle",),
        "right_ankle": ("right_ankle",),
    }


@ALL
def test_a_definition_makes_the_same_layout(skeleton):
    assert of_definition(skeleton.name, json.loads(json.dumps(skeleton.definition)), "here") == skeleton


@ALL
def test_files_of_this_project_are_as_one_s_own_must_be(skeleton, tmp_path):
    (tmp_path / "mine.yaml").write_text((FOLDER / f"{skeleton.name}.yaml").read_text())
    assert replace(get("mine.yaml", tmp_path), name=skeleton.name) == skeleton


@ALL
def test_what_is_drawn_is_one_body(skeleton):
    """Limbs, trunk and head hang together, and the trunk has two sides: its corners are joined."""
    joined = {name: set() for name in skeleton.keypoints}
    for one, other in skeleton.drawn_indices:
        joined[skeleton.keypoints[one]].add(skeleton.keypoints[other])
        joined[skeleton.keypoints[other]].add(skeleton.keypoints[one])
    reached, new = set(), {"left_hip"}
    while new:
        reached |= new
        new = set().union(*(joined[name] for name in new)) - reached
    body = {f"{side}_{part}" for side in ("left", "right") for part in ("ankle", "knee", "hip", "shoulder", "wrist")}
    assert body | ({"nose"} & set(skeleton.keypoints)) <= reached
    for part in ("hip", "shoulder"):
        left, right = joined[f"left_{part}"], joined[f"right_{part}"]
        assert f"right_{part}" in left or left & right or skeleton.name == "mpi_inf_3dhp28"  # it has collarbones


@ALL
def test_a_body_is_all_but_most_of_a_face_and_fingers(skeleton):
    body = skeleton.body
    assert body.bones == skeleton.bones
    assert len(body) <= 29
    assert (body.keypoints == skeleton.keypoints) == (len(skeleton) < 33)
    left = [
        mapping(layout, H36M17).apply(np.random.default_rng(0).random((len(skeleton), 3))[rows])
        for layout, rows in ((skeleton, slice(None)), (body, [skeleton.index(name) for name in body.keypoints]))
    ]
    np.testing.assert_array_equal(*left)
    assert {body.keypoints[index] for index in body.mirrored} == set(body.keypoints)


def test_lines_are_no_bones():
    assert ("left_hip", "right_hip") in MEDIAPIPE33.lines
    assert not set(MEDIAPIPE33.lines) & set(MEDIAPIPE33.bones)
    assert len(MEDIAPIPE33.drawn_indices) == len(MEDIAPIPE33.bone_indices) + len(MEDIAPIPE33.lines)


def test_every_file_of_data_is_a_layout_that_is_known():
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(SKELETONS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": None}, "keypoints: missing"),
        ({"keypoints": "hip"}, "keypoints: .* list"),
        ({"joints": []}, r"joints: unknown setting \(known here: keypoints, bones, root, mirror, derived, lines\)"),
        ({"bones": [["hip", "LKnee", "left_ankle"]]}, r"bones\.0: List should have at most 2 items"),
        ({"bones": []}, "bones: List should have at least 1 item"),
        ({"keypoints": [*OWN["keypoints"], "hip"]}, "keypoints: hip is there twice; leave one out"),
        ({"bones": [["hip", "LKne"]]}, r"bones: \[hip, LKne\]: LKne is no keypoint; is LKnee meant\?"),
        ({"bones": [["hip", "tail"]]}, "tail is no keypoint; there are hip, LKnee, RKnee"),
        ({"bones": [["hip", "hip"]]}, r"bones: \[hip, hip\]: hip is there twice"),
        ({"bones": [["hip", "LKnee"], ["LKnee", "hip"]]}, "LKnee and hip are joined twice"),
        ({"lines": [["LKnee", "hip"]]}, "bones, lines: LKnee and hip are joined twice"),
        ({"lines": [["LKnee", "tail"]]}, r"lines: \[LKnee, tail\]: tail is no keypoint"),
        ({"root": "pelvis"}, "root: pelvis is no keypoint"),
        ({"mirror": [["LKnee", "RKnee"], ["LKnee", "hip"]]}, "mirror: LKnee is in two pairs"),
        (
            {"keypoints": OWN["keypoints"][:4], "bones": [["hip", "LKnee"]]},
            "left_ankle has no mirror image right_ankle",
        ),
        ({"derived": {"pelvis": ["hips"]}}, r"derived: pelvis: hips is no keypoint; is hip meant\?"),
        ({"derived": {"pelvis": ["hip", "hip"]}}, "derived: pelvis: hip is there twice"),
        ({"derived": {"pelvis": []}}, "derived: pelvis: name the keypoints whose mean it is"),
        ({"derived": {"pelvis": ["hip"], "left_ankle": ["hip"]}}, "derived: left_ankle is a keypoint itself"),
        ({"derived": {"pelvis": ["hip"], "left_kne": ["LKnee"]}}, r"left_kne is no joint; is left_knee meant\?"),
        ({"derived": {"left_knee": ["LKnee"]}}, "derived: pelvis is missing, the root of what lifters learn"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_named(changes, message, tmp_path):
    with pytest.raises(InputError, match=rf"mine\.yaml:\n(.*\n)*.*{message}"):
        own(tmp_path, **changes)


def test_what_is_no_layouts_file_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"nosuch\.yaml: not there; put the layout's file there, or state one of h36m17"
    ):
        get("nosuch.yaml", tmp_path)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"list\.yaml: expected a mapping"):
        get("list.yaml", tmp_path)
    (tmp_path / "broken.yaml").write_text("keypoints: [")
    with pytest.raises(InputError, match=r"broken\.yaml: no valid YAML.*\n.*\n.*line 1"):
        get("broken.yaml", tmp_path)
    (tmp_path / "coco17.yaml").write_text((FOLDER / "coco17.yaml").read_text())
    with pytest.raises(InputError, match="coco17 is the name of a layout that is known already; rename the file"):
        get("coco17.yaml", tmp_path)


def numbered(skeleton):
    """A pose that tells where each number came from."""
    return np.arange(len(skeleton) * 3, dtype=float).reshape(-1, 3) ** 2


@pytest.mark.parametrize("source", [BODY25B, COCO17], ids=lambda skeleton: skeleton.name)
def test_joints_of_the_same_name_are_copied_and_missing_ones_are_means(source):
    pose = numbered(source)
    mapped = mapping(source, H36M17).apply(pose)
    for name, joint in zip(H36M17.keypoints, mapped, strict=True):
        default = ["left_ear", "right_ear"] if name == "head_top" and source is COCO17 else [name]
        contributors = DERIVED.get(name, default)
        np.testing.assert_allclose(joint, np.mean([pose[source.index(c)] for c in contributors], 0))


def test_the_kinds_of_joints_are_recorded():
    from_body = dict(zip(H36M17.keypoints, mapping(BODY25B, H36M17).kind, strict=True))
    assert {name for name, kind in from_body.items() if kind != "exact"} == {"pelvis", "spine", "thorax"}
    from_coco = dict(zip(H36M17.keypoints, mapping(COCO17, H36M17).kind, strict=True))
    assert {name for name, kind in from_coco.items() if kind == "derived"} == {
        "pelvis",
        "spine",
        "thorax",
        "head_top",
    }
    to_coco = dict(zip(COCO17.keypoints, mapping(H36M17, COCO17).kind, strict=True))
    assert {name for name, kind in to_coco.items() if kind == "absent"} == {
        f"{side}_{part}" for side in ("left", "right") for part in ("eye", "ear")
    }


def test_a_skeleton_maps_onto_itself_unchanged():
    own = mapping(H36M17, H36M17)
    assert set(own.kind) == {"exact"}
    np.testing.assert_array_equal(own.apply(numbered(H36M17)), numbered(H36M17))


def test_absent_joints_are_missing_and_have_no_confidence():
    to_coco = mapping(H36M17, COCO17)
    assert np.isnan(to_coco.apply(numbered(H36M17))[COCO17.index("left_eye")]).all()
    assert to_coco.apply_to_confidence(np.ones(17))[COCO17.index("left_eye")] == 0


def test_a_joint_with_a_missing_contributor_is_missing():
    pose = numbered(BODY25B)
    pose[BODY25B.index("left_hip")] = np.nan
    missing = np.isnan(mapping(BODY25B, H36M17).apply(pose)).all(-1)
    assert {name for name, gone in zip(H36M17.keypoints, missing, strict=True) if gone} == {
        "left_hip",
        "pelvis",
        "spine",
    }


def test_the_confidence_of_a_joint_is_the_smallest_of_its_contributors():
    confidence = np.full(len(BODY25B), 0.9)
    confidence[BODY25B.index("left_shoulder")] = 0.2
    confidence[BODY25B.index("right_hip")] = 0.4
    mapped = dict(zip(H36M17.keypoints, mapping(BODY25B, H36M17).apply_to_confidence(confidence), strict=True))
    assert {name: mapped[name] for name in ("pelvis", "spine", "thorax", "nose")} == {
        "pelvis": 0.4,
        "spine": 0.2,
        "thorax": 0.2,
        "nose": 0.9,
    }


def test_mapping_is_batched_and_keeps_the_precision():
    poses = np.random.default_rng(0).normal(size=(4, 2, 17, 3)).astype(np.float32)
    mapped = mapping(COCO17, H36M17).apply(poses)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped[3, 1], mapping(COCO17, H36M17).apply(poses[3, 1]))

"""Files of captured motion, and the pieces that they are cut to."""

from pathlib import Path

import numpy as np
import pytest

from real_data import DATA, needs
from trilift.errors import InputError
from trilift.simulate.body import sample_body
from trilift.simulate.captured import FASTEST, ROOM, SHORTEST_S, Clip, pieces, read
from trilift.simulate.motions import simulate_motion
from trilift.simulate.settings import MotionFile
from trilift.skeletons import H36M17

FPS = 60.0
AWAY = np.array([3.0, -4.0, 0.0])
HIPS = [H36M17.index("left_hip"), H36M17.index("right_hip")]


def moving(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return simulate_motion("walking", sample_body(rng), round(seconds * FPS), FPS, rng)


def message(path: Path, **about: object) -> str:
    with pytest.raises(InputError) as caught:
        read(path, MotionFile.model_validate({"path": path.name} | about))
    assert str(path) in str(caught.value)
    return str(caught.value)


def write_npz(path: Path, **changes: object) -> Path:
    poses = moving()
    content = {"joints": poses.astype(np.float32), "clip": np.arange(len(poses)) // 100, "fps": 60} | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


def test_npz_comes_back_clip_by_clip(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "walks.npz")
    clips = read(path, MotionFile(path="walks.npz"))
    assert [(clip.name, len(clip.poses), clip.fps) for clip in clips] == [("walks-0", 100, 60), ("walks-1", 80, 60)]
    np.testing.assert_array_equal(np.concatenate([clip.poses for clip in clips]), moving().astype(np.float32))
    (whole,) = read(write_npz(path, clip=None), MotionFile(path="walks.npz", unit="mm"))
    np.testing.assert_allclose(whole.poses, moving() / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"joints": np.zeros((5, 16, 3))}, r"expected `joints` \(frames, 17, 3\)"),
        ({"clip": np.zeros(3)}, "expected `joints`"),
        ({"joints": np.zeros((180, 17, 3), int)}, "floating-point"),
        ({"joints": np.full((180, 17, 3), np.inf)}, "infinite"),
        ({"fps": 0}, "one `fps`"),
        ({"fps": np.nan}, "one `fps`"),
        ({"fps": None}, "no entry 'fps'"),
    ],
)
def test_npz_that_is_none(tmp_path: Path, changes: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read(write_npz(tmp_path / "some.npz", **changes), MotionFile(path="some.npz"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "some.fbx").touch()
    assert "motion is read from .npz, .c3d, .bvh" in message(tmp_path / "some.fbx")
    assert "leave `joints` out" in message(write_npz(tmp_path / "some.npz"), joints={"nose": ["a"]})


def write_c3d(path: Path, names: list[str], points: np.ndarray, unit: str = "mm") -> None:
    ezc3d = pytest.importorskip("ezc3d", reason="needs ezc3d")
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [FPS]
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file["parameters"]["POINT"]["LABELS"]["value"] = names
    file["data"]["points"] = points.transpose(2, 1, 0)
    file["data"]["meta_points"]["residuals"] = np.where(np.isnan(points[..., 0].T[None]), -1.0, 0.0)
    del file["data"]["rotations"]
    file.write(str(path))


def test_c3d_gives_joints_by_name_and_as_means_of_markers(tmp_path: Path) -> None:
    poses = moving(1.0)
    poses[5, H36M17.index("left_knee")] = np.nan
    names = [f"{name}_x" if name.endswith("hip") else name for name in H36M17.keypoints if name != "spine"]
    kept = np.delete(poses, H36M17.index("spine"), 1)
    knee = names.index("left_knee")
    # The knee as the middle of two markers.
    markers = np.concatenate([kept, kept[:, [knee]] + 0.05], 1)
    markers[:, knee] -= 0.05
    write_c3d(tmp_path / "a.c3d", [*names, "medial"], 1000 * markers)
    source = MotionFile(
        path="a.c3d",
        joints={"left_hip": ["left_hip_x"], "right_hip": ["right_hip_x"], "left_knee": ["left_knee", "medial"]},
    )
    (clip,) = read(tmp_path / "a.c3d", source)
    assert clip.fps == FPS
    expected = poses.copy()
    expected[:, H36M17.index("spine")] = np.nan
    np.testing.assert_allclose(clip.poses, expected, atol=1e-5)
    assert "has no left_hip for the left_hip; name its points" in message(tmp_path / "a.c3d").replace("right", "left")
    write_c3d(tmp_path / "b.c3d", names, 1000 * kept, "parsec")
    assert "state the `unit`" in message(tmp_path / "b.c3d")
    (tmp_path / "c.c3d").write_bytes(b"nothing")
    assert "no readable C3D" in message(tmp_path / "c.c3d")


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftUpLeg
  {
    OFFSET 10 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT LeftLeg
    {
      OFFSET 0 -40 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 -42 0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.033333
1 90 2 0 0 0 0 0 0 0 0 0
1 90 2 0 0 0 90 0 0 0 0 0
"""


def test_bvh_gives_the_positions_of_its_nodes(tmp_path: Path) -> None:
    """Turned by 90 degrees about z, a thigh that pointed down points along x."""
    pytest.importorskip("pybvh", reason="needs pybvh")
    (tmp_path / "a.bvh").write_text(BVH)
    stand_ins = {name: ["Hips"] for name in H36M17.keypoints} | {"left_hip": ["LeftUpLeg"], "left_knee": ["LeftLeg"]}
    (clip,) = read(tmp_path / "a.bvh", MotionFile(path="a.bvh", joints=stand_ins))
    assert clip.fps == pytest.approx(30)
    at = {name: clip.poses[:, number] for number, name in enumerate(H36M17.keypoints)}
    np.testing.assert_allclose(at["thorax"], [(0.01, 0.9, 0.02)] * 2)
    np.testing.assert_allclose(at["left_hip"], [(0.11, 0.9, 0.02)] * 2)
    np.testing.assert_allclose(at["left_knee"], [(0.11, 0.5, 0.02), (0.51, 0.9, 0.02)], atol=1e-12)
    assert "There are Hips, LeftUpLeg" in message(tmp_path / "a.bvh")
    (tmp_path / "b.bvh").write_text("HIERARCHY\nROOT")
    assert "no readable BVH" in message(tmp_path / "b.bvh")


def cut(poses: np.ndarray, fps: float = FPS, seconds: float = 60.0, rate: float = FPS) -> list[np.ndarray]:
    return [piece.poses for piece in pieces(Clip("a", poses, rate), fps, seconds)]


def test_a_clip_is_moved_to_the_middle_and_the_pelvis_between_the_hips() -> None:
    poses = moving()
    poses[:, 0, 2] += 0.1  # where capture systems put it
    (piece,) = cut(poses + AWAY)
    np.testing.assert_allclose(piece[:, 0], piece[:, HIPS].mean(1), atol=1e-9)
    assert np.abs(piece[:, 0, :2].max(0) + piece[:, 0, :2].min(0)).max() < 1e-9
    others = [number for number, name in enumerate(H36M17.keypoints) if name not in ("pelvis", "nose")]
    way = (piece - poses - AWAY)[:, others]
    np.testing.assert_allclose(way, np.broadcast_to(way[0, 0], way.shape), atol=1e-9)


def test_glitches_and_gaps_are_cut_out() -> None:
    poses = moving(6.0)
    poses[100, 16] += 0.5  # 30 m/s there and back
    poses[200:210, 5] = np.nan
    parts = cut(poses)
    assert [len(part) for part in parts] == [100, 99, 150]
    for part in parts:
        assert np.isfinite(part).all()
        assert np.linalg.norm(np.diff(part, axis=0), axis=-1).max() * FPS < FASTEST
    assert not cut(poses[: int(SHORTEST_S * FPS) - 2])
    assert not cut(np.full_like(poses, np.nan))
    assert not cut(np.zeros_like(poses))


def test_who_leaves_the_room_is_filmed_again_from_there() -> None:
    """At 1.5 m/s along a line, 3 m are left after 2 s."""
    poses = moving()[:1] + np.linspace(0, 9, 360)[:, None, None] * (1, 0, 0)
    parts = cut(poses)
    assert [len(part) for part in parts] == [120, 120, 120]
    for part in parts:
        assert ROOM - 0.02 < np.linalg.norm(part[:, 0, :2], axis=-1).max() <= ROOM + 1e-9
    assert [len(part) for part in cut(moving(3.0), seconds=1.0)] == [60, 60, 60]


def test_another_frame_rate_gives_the_same_motion() -> None:
    """A motion known at any time: joints on circles."""

    def at(time: np.ndarray) -> np.ndarray:
        phase = time[:, None] + np.arange(17)
        body = moving(1.0)[0] - moving(1.0)[0, 0] + (0, 0, 1)
        return body + 0.02 * np.stack([np.cos(phase), np.sin(phase), 0 * phase], -1)

    (piece,) = cut(at(np.arange(120) / 60), fps=25)
    exact = at(np.arange(len(piece)) / 25)
    others = [number for number, name in enumerate(H36M17.keypoints) if name not in ("pelvis", "nose")]
    way = (piece - exact)[:, others]
    assert len(piece) == 50
    np.testing.assert_allclose(way, np.broadcast_to(way.mean((0, 1)), way.shape), atol=1e-4)


def test_whatever_is_up_becomes_z() -> None:
    poses = moving()
    (expected,), (found,) = cut(poses), cut(poses[..., [1, 2, 0]])  # y up
    np.testing.assert_allclose(np.sort(found[..., 2]), np.sort(expected[..., 2]), atol=1e-9)


@needs("cmu_mocap")
def test_real_motion_is_nearly_all_used() -> None:
    for name, frames in (("cmu_h36m17_60hz", 38884), ("cmu_actions_h36m17_60hz", 33959)):
        clips = read(DATA / "cmu_mocap" / f"{name}.npz", MotionFile(path="a.npz"))
        assert sum(len(clip.poses) for clip in clips) == frames
        parts = [part for clip in clips for part in pieces(clip, 60, 8)]
        assert sum(len(part.poses) for part in parts) > 0.95 * frames
        for part in parts:
            assert np.linalg.norm(np.diff(part.poses, axis=0), axis=-1).max() * 60 < FASTEST * 1.2

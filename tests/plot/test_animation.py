from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image, ImageColor

from trilift import style
from trilift.plot import animation
from trilift.plot.animation import animate
from trilift.skeletons import COCO17, H36M17

IMAGE_SIZE = np.array([1000, 800])


def make_clip(frames: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    # Random joints, moving together.
    sway = 0.2 * np.sin(np.arange(frames) / 7)[:, None, None]
    return {
        "pixels": rng.uniform(300, 600, (17, 2)) + 300 * sway,
        "skeleton_2d": COCO17,
        "image_size": IMAGE_SIZE,
        "predicted": rng.uniform(-0.8, 0.8, (17, 3)) + sway,
        "target": rng.uniform(-0.8, 0.8, (17, 3)) + sway,
        "skeleton_3d": H36M17,
        "title": "walking, camera 1",
        "note": "data set demo (SIMULATED)",
    }


def make_gif(path: Path, frames: int = 20, fps: float = 50.0, begin: float = 0.0, **changed: Any) -> Image.Image:
    animate(**make_clip(frames) | changed, fps=fps, begin=begin, path=path)
    return Image.open(path)


def pictures(gif: Image.Image) -> list[np.ndarray]:
    found = []
    for index in range(gif.n_frames):
        gif.seek(index)
        found.append(np.asarray(gif.convert("RGB")).astype(int))
    return found


def amount(picture: np.ndarray, colour: str) -> int:
    return int((abs(picture - ImageColor.getrgb(colour)).max(-1) < 12).sum())


def test_the_time_is_that_of_the_video(tmp_path: Path) -> None:
    still = {name: np.repeat(make_clip(1)[name][None, 0], 20, 0) for name in ("pixels", "predicted", "target")}
    later = int(animation._chosen(20, 50.0)[0][4])
    from_0 = pictures(make_gif(tmp_path / "a.gif", **still))
    from_later = pictures(make_gif(tmp_path / "b.gif", begin=later / 50, **still))
    np.testing.assert_array_equal(from_later[0], from_0[4])
    assert (from_later[0] != from_0[0]).any()


@pytest.mark.parametrize(
    ("frames", "fps", "expected", "milliseconds"),
    [
        (100, 50.0, 25, 80),
        (7, 50.0, 2, 80),
        (1, 50.0, 1, 80),
        (600, 50.0, 125, 80),
        (40, 10.0, 40, 100),
        (200, 10.0, 100, 100),
    ],
)
def test_a_clip_has_so_many_frames(tmp_path: Path, frames: int, fps: float, expected: int, milliseconds: int) -> None:
    gif = make_gif(tmp_path / "clip.gif", frames, fps)
    assert gif.format == "GIF"
    assert gif.size == (640, 320)
    assert gif.n_frames == expected
    for index in range(expected):
        gif.seek(index)
        assert gif.info["duration"] == milliseconds
    assert expected * milliseconds <= 10_000


@pytest.mark.parametrize("fps", [5.0, 12.5, 23.976, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 120.0])
def test_frames_are_taken_in_time(fps: float) -> None:
    for length in (1, 10, 777):
        frames, milliseconds = animation._chosen(length, fps)
        assert frames[0] == 0
        assert frames[-1] < length
        assert (np.diff(frames) >= 1).all()
        shown_at = np.arange(len(frames)) * milliseconds / 1000
        np.testing.assert_allclose(frames / fps, shown_at, atol=1 / fps + 1e-9)
        # As much as there is, but no more than ten seconds.
        left = min(length / fps, 10) - shown_at[-1]
        assert -1e-9 < left <= max(1 / fps, 0.08) + 1 / fps


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    make_gif(tmp_path / "one.gif")
    plt.close(plt.figure())  # what was drawn in between does not count
    make_gif(tmp_path / "two.gif")
    make_gif(tmp_path / "other.gif", title="sitting, camera 1")
    one, two, other = ((tmp_path / f"{name}.gif").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


def test_a_name_of_any_ending_can_be_written(tmp_path: Path) -> None:
    assert make_gif(tmp_path / ".clip.gif.part").format == "GIF"


def test_a_long_clip_is_made_soon_and_is_small(tmp_path: Path) -> None:
    start = perf_counter()
    make_gif(tmp_path / "clip.gif", 600)
    assert perf_counter() - start < 15
    assert (tmp_path / "clip.gif").stat().st_size < 2_000_000


def test_all_that_is_drawn_has_its_colour_on_white(tmp_path: Path) -> None:
    for picture in pictures(make_gif(tmp_path / "clip.gif")):
        assert tuple(picture[2, 2]) == (255, 255, 255)
        left, right = np.split(picture, 2, axis=1)
        for half in (left, right):
            assert amount(half, style.LEFT) > 100
            assert amount(half, style.RIGHT) > 100
        assert amount(right, style.REFERENCE) > 300


def test_poses_move(tmp_path: Path) -> None:
    shown = pictures(make_gif(tmp_path / "clip.gif", 50))
    for half in (0, 1):
        one, other = (np.split(shown[index], 2, axis=1)[half] for index in (0, 5))
        assert (one != other).any(-1).sum() > 500


def test_what_is_missing_is_not_drawn_and_leaves_no_trace(tmp_path: Path) -> None:
    clip = make_clip(20)
    missing = np.full_like(clip["predicted"], np.nan)
    half_missing = clip["predicted"].copy()
    half_missing[10:] = np.nan
    shown = pictures(make_gif(tmp_path / "half.gif", predicted=half_missing, target=missing))
    with_poses, without = (np.split(shown[index], 2, axis=1)[1][120:] for index in (0, -1))  # below the legend
    assert amount(with_poses, style.LEFT) > 100
    assert amount(without, style.LEFT) == amount(without, style.RIGHT) == 0
    nothing = make_gif(
        tmp_path / "nothing.gif",
        pixels=np.full((20, 17, 2), np.nan),
        predicted=missing,
        target=missing,
    )
    assert amount(np.split(pictures(nothing)[0], 2, axis=1)[0], style.LEFT) == 0


def test_the_viewpoint_mirrors_nothing() -> None:
    right, up = animation._TO_PICTURE
    assert right @ up == pytest.approx(0)
    assert np.linalg.norm(animation._TO_PICTURE, axis=1) == pytest.approx([1, 1])
    towards_viewer = np.cross(right, up)
    assert towards_viewer[2] > 0  # seen from above
    assert up[2] > 0.9
    assert right[2] == 0


def test_no_figure_stays_open(tmp_path: Path) -> None:
    make_gif(tmp_path / "clip.gif")
    assert not plt.get_fignums()

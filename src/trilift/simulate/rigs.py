"""Rigs drawn at random: where cameras stand, how they look, and what they see."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from trilift.formats import Camera
from trilift.geometry.cameras import Cameras, project_camera_points, world_to_camera
from trilift.simulate.settings import Rigs

MIDDLE = np.array([0.0, 0.0, 0.9])
"""The middle of a person who stands in the middle of the room (m): cameras are aimed there, more or less."""

_TRIES = 8

_WITHIN = 1.5
"""Rays farther from the axis than so many times the image's corner are not seen. (Beyond it, the distortion of a
barrel lens would fold them back into the image.)"""


def draw(limits: list[float], rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw values evenly between two limits."""
    low, high = limits
    return np.asarray(rng.uniform(low, high, shape))


def draw_rig(limits: Rigs, rng: np.random.Generator) -> list[Camera]:
    """Draw a rig around the room.

    Parameters
    ----------
    limits
        Between which each value is drawn, evenly. Distance, height and focal length of a camera are drawn up to 8
        times, until the shorter side of its image shows enough of the middle of the room.
    rng
        Source of all randomness.

    Returns
    -------
    list of Camera
        Called ``cam1``, ``cam2`` and so on.

    Examples
    --------
    >>> rig = draw_rig(Rigs(cameras=[3, 3]), np.random.default_rng(0))
    >>> [camera.name for camera in rig]
    ['cam1', 'cam2', 'cam3']
    """
    number = int(rng.integers(limits.cameras[0], limits.cameras[1], endpoint=True))
    size = np.array(limits.image_sizes)[rng.integers(len(limits.image_sizes), size=number)]
    tried = [draw(each, rng, number, _TRIES) for each in (limits.distance_m, limits.height_m, limits.focal)]
    distance, height, focal = tried
    shown = np.hypot(distance, height - MIDDLE[2]) / focal * (size.min(1) / size.max(1))[:, None]
    chosen = np.minimum(shown, limits.shows_m).argmax(1)  # the first that shows so much, or the one that shows most
    distance, height, focal = (values[np.arange(number), chosen] for values in tried)
    focal = focal * size.max(1)  # px

    towards = rng.uniform(0, 2 * np.pi) + np.radians(draw(limits.arc_deg, rng)) / number * (
        np.arange(number) + rng.uniform(0.1, 0.9, number)
    )
    place = np.stack([distance * np.cos(towards), distance * np.sin(towards), height], -1)
    turned = np.where(rng.random(number) < limits.turned, rng.choice([-90.0, 90.0], number), 0.0)
    roll = Rotation.from_euler("z", (draw(limits.roll_deg, rng, number) + turned)[:, None], degrees=True)
    # Where in the image the middle is to be: the camera is turned so that its ray goes there.
    x, y = (limits.off_centre * rng.uniform(-1, 1, (number, 2)) * size / 2 / focal[:, None]).T
    away = np.hypot(x, y)
    aside = np.stack([-y, x, 0 * x], -1) * (np.arctan(away) / np.maximum(away, 1e-12))[:, None]
    rotation = Rotation.from_rotvec(aside).as_matrix() @ roll.as_matrix() @ _looking_at(place, MIDDLE)
    corner = np.hypot(*size.T) / 2 / focal
    k1 = draw(limits.distortion, rng, number) / corner**2
    return [
        Camera(
            name=f"cam{view + 1}",
            K=np.array([[focal[view], 0, size[view, 0] / 2], [0, focal[view], size[view, 1] / 2], [0, 0, 1]]),
            distortion=np.array([k1[view], 0, 0, 0, 0]),
            R=rotation[view],
            t=-rotation[view] @ place[view],
            image_size=size[view],
        )
        for view in range(number)
    ]


def _looking_at(places: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give rotations, world to camera, of upright cameras (view, 3) that look at a point which is not above them."""
    forwards = (target - places) / np.linalg.norm(target - places, axis=-1, keepdims=True)
    right = np.cross(forwards, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(forwards, right), forwards], 1)


def look(rig: list[Camera], points: np.ndarray) -> np.ndarray:
    """Project points (frame, point, 3) into all views: (frame, view, point, 2) px, NaN far outside of the image."""
    cameras = Cameras.stack(rig)
    in_view = world_to_camera(cameras, torch.as_tensor(points))
    pixels = project_camera_points(cameras, in_view).numpy()
    corner = [np.linalg.norm(camera.image_size / np.diag(camera.K)[:2]) / 2 for camera in rig]
    far = in_view[..., :2].norm(dim=-1) > _WITHIN * torch.tensor(corner)[:, None] * in_view[..., 2]
    return np.where(far.numpy()[..., None], np.nan, pixels)


def magnification(rig: list[Camera]) -> np.ndarray:
    """Give how large a metre in the middle of the room is in the views (view,), in px."""
    depth = [(camera.R @ MIDDLE + camera.t)[2] for camera in rig]
    return np.array([camera.K[0, 0] for camera in rig]) / depth

"""What a lifter makes of frames, and the simplest camera."""

from dataclasses import dataclass

import numpy as np

from trilift.formats import Camera


@dataclass(frozen=True)
class Prediction:
    """Poses of some frames, in the frame of the camera (x right, y down, z forward).

    Attributes
    ----------
    poses
        (frame, joint, 3), metres, root at 0; NaN where the root was not detected, and for joints of which the lifter
        learnt nothing.
    root
        (frame, 3): where the root is. It follows from the poses' size: who is 5 % taller than predicted stands 5 %
        farther away.
    filled
        (frame,) bool: the frame follows from others; nothing was predicted from itself.
    camera
        Which saw the person.
    """

    poses: np.ndarray
    root: np.ndarray
    filled: np.ndarray
    camera: Camera

    @property
    def in_camera(self) -> np.ndarray:
        """(frame, joint, 3): joints in the camera's frame, metres."""
        return self.poses + self.root[:, None]

    @property
    def in_world(self) -> np.ndarray:
        """(frame, joint, 3): joints in the world frame of the camera's calibration, metres."""
        return (self.in_camera - self.camera.t.astype(np.float32)) @ self.camera.R.astype(np.float32)


def pinhole(focal_length: float, image_size: tuple[int, int]) -> Camera:
    """Make a camera without distortion, its principal point in the middle of the image, its frame the world.

    Parameters
    ----------
    focal_length
        In pixels. An error of 5 % moves people 5 % nearer or farther, and changes poses little.
    image_size
        Width and height in pixels.
    """
    width, height = image_size
    K = np.array([[focal_length, 0, width / 2], [0, focal_length, height / 2], [0, 0, 1]], float)
    return Camera("camera", K, np.zeros(5), np.eye(3), np.zeros(3), np.array(image_size))

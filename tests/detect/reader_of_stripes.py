"""A detector for tests: up to three people, as the number in a frame says, with keypoints that tell it."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402

from filming import number_in  # noqa: E402
from trilift.detect.detectors import serving  # noqa: E402
from trilift.detect.detectors.serving import People  # noqa: E402


def weights(options):
    return {"stripes.bin": Path(__file__)}


def make(options):
    def detect(image):
        number = number_in(image)
        if number == 77:
            raise ValueError("77 is too much")
        people = number % 4
        keypoints = np.full((people, 33, 3), 0.5)
        keypoints[..., 0] = number
        keypoints[..., 1] = np.arange(people)[:, None]
        keypoints[..., 2] = 0.9 - 0.2 * np.arange(people)[:, None]
        return People(keypoints, np.tile([0, 0, 10, 20], (people, 1)))

    return detect


if __name__ == "__main__":
    serving.main(weights, make)

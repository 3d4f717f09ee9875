"""Memory does not grow with the length of a recording."""

import os
import subprocess
import sys

import numpy as np
import pytest

from synthetic import make_project, project_with_opencv, ring_of_cameras, waving_person
from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.geometry.cameras import Cameras
from trilift.skeletons import BODY25B

VIEWS = 3


def write_captures(layout, frames):
    """Write the same block of detections again and again."""
    cameras = ring_of_cameras(VIEWS)
    points = waving_person(reading.FRAMES_PER_BLOCK)
    rng = np.random.default_rng(0)
    pixels = np.stack([project_with_opencv(camera, points) for camera in cameras], 1)
    pixels += rng.normal(0, 3, pixels.shape)
    layout.captures.parent.mkdir(parents=True, exist_ok=True)
    with writing.create(layout.captures, "captures") as file:
        written = file.add_capture(
            "tiny",
            recordings=[Recording("long", "1", "waving", 30.0, 0, frames)],
            skeleton=BODY25B,
            views=[camera.name for camera in cameras],
        )
        tensors = Cameras.stack(cameras)
        for name in ("K", "distortion", "R", "t"):
            written.write(name, getattr(tensors, name).numpy())
        written.write("image_size", np.stack([camera.image_size for camera in cameras]))
        for block in reading.blocks(frames):
            length = block.stop - block.start
            written.write_block(block, pixels=pixels[:length], confidence=np.full((length, VIEWS, len(BODY25B)), 0.8))


# A process inherits the peak of the one that starts it, and what runs the tests may have grown large.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def peak_mib(project):
    """Run the stage in a process of its own; returns the peak of its resident memory."""
    command = [sys.executable, "-m", "trilift", "triangulate", "tiny", "--project", str(project.layout.project)]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, "--device", "cpu"], capture_output=True, text=True
    )
    code, peak = map(int, measured.stdout.split())
    assert code == 0, measured.stderr
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the memory that a finished process took (os.wait4)")
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path):
    project = make_project(tmp_path, params="triangulate: {smoothing: null, diagnose: false}")
    peaks = []
    for blocks in (4, 12):
        write_captures(project.layout, blocks * reading.FRAMES_PER_BLOCK)
        peaks.append(peak_mib(project))
    # Kept in memory, the additional detections would take 56 MiB and the pseudo-labels more than twice that. What
    # the allocator keeps varies by some 20 MiB.
    assert peaks[1] - peaks[0] < 80, peaks
    assert peaks[1] < 1024

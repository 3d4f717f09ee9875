"""What detecting costs beside MediaPipe called directly, and what a second video at the same time does.

make bench NAME=detect, or: python tests/benchmarks/detect.py VIDEO.mp4 --times 5. The video is repeated so often,
that start-up counts as little as in a recording of minutes. `direct` is the library's own example: OpenCV reads,
MediaPipe looks, nothing is kept. The environment is there before anything is measured.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

import av

from real_data import DATA
from synthetic import make_project, ring_of_cameras, write_pose2sim
from trilift.detect import detectors
from trilift.detect.environment import alone, python_for
from trilift.project.layout import Layout

ROOT = Path(__file__).parents[2]
DATA_SET = """
ingest:
  detections: {format: video, path: videos}
  cameras: {format: toml, path: videos/calibration.toml}
  fps: 60
split: {by: time}
"""
DIRECT = """
import sys, cv2
from mediapipe.python.solutions.pose import Pose

pose, video, frames = Pose(model_complexity=1, smooth_landmarks=False), cv2.VideoCapture(sys.argv[1]), 0
while True:
    there, image = video.read()
    if not there:
        break
    pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    frames += 1
print(frames)
"""


def repeat(video: Path, times: int, target: Path) -> None:
    """Write a video several times over into one, without encoding it again."""
    with av.open(str(target), "w") as copied:
        begin = 0
        for number in range(times):
            with av.open(str(video)) as source:
                stream = source.streams.video[0]
                if number == 0:
                    added = copied.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, added
                        copied.mux(packet)
                begin += stream.duration


def seconds(*commands: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run commands at the same time: how long it took, and how much of the processors."""
    start, used = time.perf_counter(), processor_seconds()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, env=environment, **quiet) for command in commands]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"{commands[0]} failed")
    return time.perf_counter() - start, processor_seconds() - used


def processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?", default=DATA / "pose2sim_videos/one_person/cam03.mp4")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    python = python_for(Layout("", ROOT), "mediapipe", detectors.get("mediapipe").requirements("cpu"))
    ours_environment = alone() | {"PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", DATA_SET, "{detect: {}}").layout
        project.environments.parent.mkdir(exist_ok=True)
        project.environments.symlink_to(Layout("", ROOT).environments)
        project.videos.mkdir()
        write_pose2sim(project.videos / "calibration.toml", ring_of_cameras(2))
        videos = [project.videos / f"cam{number}.mp4" for number in (1, 2)]
        for video in videos:
            repeat(options.video, options.times, video)
        with av.open(str(videos[0])) as opened:
            frames = opened.streams.video[0].frames
        command = [sys.executable, "-m", "trilift", "detect", "tiny", "--device", "cpu", "--project"]
        ours = [[*command, str(project.project), "--video", video.stem] for video in videos]
        direct = [[str(python), "-c", DIRECT, str(video)] for video in videos]
        cases = {"direct": direct[:1], "detect": ours[:1], "two direct": direct, "two detect": ours}
        best = dict.fromkeys(cases, (float("inf"), float("inf")))
        for _ in range(options.rounds):
            for name, commands in cases.items():
                for video in videos:
                    project.part(video.stem).unlink(missing_ok=True)
                environment = ours_environment if "detect" in name else alone()
                best[name] = tuple(map(min, best[name], seconds(*commands, environment=environment)))
    print(f"{frames} frames of {options.video.name}, the best of {options.rounds}")
    for name, (took, used) in best.items():
        print(
            f"{name:<11} {took:6.1f} s  {frames * len(cases[name]) / took:6.1f} frames/s  {used:6.1f} s of processors"
        )
    for detect, direct_by in (("detect", "direct"), ("two detect", "two direct")):
        ratios = (ours_took / took for ours_took, took in zip(best[detect], best[direct_by], strict=True))
        print("{} / {}: {:.2f} x the time, {:.2f} x of the processors".format(detect, direct_by, *ratios))


if __name__ == "__main__":
    main()

"""detect: videos -> who is seen in each of their frames.

Each video is looked at by itself, perhaps in a process of its own (``--video``), into a part; then all parts are put
together.
"""

import h5py

from trilift.detect import archive, detectors
from trilift.detect.looking import Looking
from trilift.detect.settings import Settings
from trilift.errors import InputError, listed
from trilift.formats.source import Source
from trilift.project import provenance
from trilift.project.layout import Layout
from trilift.project.locks import alone
from trilift.project.params import load, load_dataset


def run(layout: Layout, device: str, video: str | None = None) -> None:
    """Find people in all videos of a data set, or in one of them."""
    settings = load(layout.params, "detect", Settings)
    source = load_dataset(layout.dataset_file, "ingest", Source)
    if not source.detections.of_videos:
        raise InputError(f"{layout.dataset_file}: its detections are there, and not to be made of videos")
    videos = source.videos(layout.raw)
    if not videos:
        raise InputError(f"{layout.raw / source.detections.path}: not there, or no videos in it")
    if video is not None and video not in videos:
        raise InputError(f"--video {video}: not there; there are {listed(videos)}")
    looking = Looking(layout, settings, source, device)
    if video is not None:
        looking.at(video)
        return
    parts = []
    for name in videos:
        with alone(layout.lock("detect", name), f"trilift detect {layout.dataset} --video {name}"):
            parts.append(looking.at(name))
    with archive.create(layout.detections, looking.skeleton, looking.detector.NAME, source.fps) as together:
        for path, group in parts:
            with h5py.File(path, "r") as file:
                together.copy(file[group])
    for name in videos:
        layout.part(name).unlink(missing_ok=True)
    provenance.write(
        layout,
        "detect",
        params={"detect": settings},
        dataset={"ingest": source},
        digests={view.path: looking.digest(name) for name, view in videos.items()},
        outputs=[layout.detections],
        loads=[detectors.module_of(settings.detector)],
        weights=looking.weights,
    )

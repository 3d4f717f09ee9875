"""Looking at one video: what is found in it, or was found before."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import platformdirs
from filelock import FileLock
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trilift.detect import archive, detectors
from trilift.detect.archive import Stored
from trilift.detect.detectors import Detector
from trilift.detect.detectors.serving import Options, People
from trilift.detect.environment import python_for
from trilift.detect.running import Worker
from trilift.detect.settings import Settings
from trilift.formats.source import Source
from trilift.formats.video import Video, digest
from trilift.project import provenance
from trilift.project.layout import Layout
from trilift.skeletons import SKELETONS

log = logging.getLogger(__name__)


def _choose(device: str, detector: Detector) -> str:
    """Choose where to compute. To load torch takes longer than many a frame: only where there is a choice."""
    if device == "cpu" or (device == "auto" and detector.requirements("cuda") == detector.requirements("cpu")):
        return "cpu"
    from trilift.project.devices import choose

    return str(choose(device))


class Looking:
    """The detector of the settings, ready to look at the videos of a data set.

    Attributes
    ----------
    detector, skeleton
        What it is, and the layout of its keypoints.
    weights
        Hashes of the files of its networks.
    """

    def __init__(self, layout: Layout, settings: Settings, source: Source, device: str):
        self._layout, self._source = layout, source
        self._videos = source.videos(layout.raw)
        self.detector = detectors.get(settings.detector)
        self.skeleton = SKELETONS[self.detector.SKELETON]
        device = _choose(device, self.detector)
        requirements = self.detector.requirements(device)
        python = python_for(layout, settings.detector, requirements)
        cache = platformdirs.user_cache_path("trilift") / "networks"
        cache.mkdir(parents=True, exist_ok=True)
        self._worker = Worker(python, settings.detector, Options(settings.size, device, str(cache)))
        with FileLock(cache / "loading.lock", fallback_to_soft=False):
            files = self._worker.weights()
        self.weights = {name: provenance.sha256(file) for name, file in files.items()}
        code = provenance.code_of([detectors.module_of(settings.detector), __name__]).files
        self._common = {
            "settings": settings.model_dump(),
            "fps": source.fps,
            "requirements": requirements,
            "weights": self.weights,
            "code": provenance.hash_of(file for file in code if "/detect/" in file or file.endswith("/video.py")),
        }
        self._digests: dict[str, str] = {}

    def digest(self, name: str) -> str:
        """Hash a video, once."""
        if name not in self._digests:
            self._digests[name] = digest(self._videos[name].path)
        return self._digests[name]

    def at(self, name: str) -> Stored:
        """Give what is found in a video.

        It is taken from its part, or from what an earlier run put together, if it was made there of the same video by
        the same code, settings and networks; else the video is looked at.
        """
        layout = self._layout
        identity = json.dumps(self._common | {"name": name, "video": self.digest(name)}, sort_keys=True)
        made_of = hashlib.sha256(identity.encode()).hexdigest()
        path = layout.part(name)
        for file in (path, layout.detections):
            if stored := archive.find(file, made_of):
                log.info("%s: found before, in %s", name, file)
                return stored if file == path else self._copied(stored, path)
        with archive.create(path, self.skeleton, self.detector.NAME, self._source.fps) as part:
            self._look(name, part, made_of)
        return Stored(path, archive.FIRST)

    def _copied(self, stored: Stored, path: Path) -> Stored:
        with (
            archive.create(path, self.skeleton, self.detector.NAME, self._source.fps) as part,
            h5py.File(stored.path, "r") as file,
        ):
            part.copy(file[stored.group])
        return Stored(path, archive.FIRST)

    def _look(self, name: str, part: archive.Archive, made_of: str) -> None:
        path = self._videos[name].path
        video = Video(path, self._source.fps, self.detector.COLOURS)
        seen = 0

        def counted() -> Iterator[tuple[int, People]]:
            nonlocal seen
            for number, people in self._worker.people_in(video):
                progress.update()
                seen += len(people.boxes) > 0
                yield number, people

        def about() -> dict[str, Any]:
            return {
                "recording": name.rpartition("/")[0],
                "view": self._videos[name].name,
                "frames": video.length,
                "first_frame": video.first_number,
                "image_size": list(video.size),
                "made_of": made_of,
            }

        with (
            logging_redirect_tqdm(),
            tqdm(total=video.length, unit="frame", desc=f"detect {name}", disable=None) as progress,
        ):
            part.add(counted(), about)
        for problem in video.problems:
            log.warning("%s: %s", path, problem)
        log.info("%s: somebody is seen in %d of %d frames", name, seen, video.length)

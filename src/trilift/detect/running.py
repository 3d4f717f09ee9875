"""Running a detector in its environment: frames go to it while the next ones are decoded, people come back."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

import numpy as np

from trilift.detect.detectors import module_of
from trilift.detect.detectors.serving import Options, People
from trilift.detect.environment import alone
from trilift.errors import InputError
from trilift.formats.video import Video
from trilift.project.provenance import SOURCE

_ONLY_US = """
import importlib.util, runpy, sys
folder, module = sys.argv.pop(1), sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("trilift", f"{folder}/__init__.py", submodule_search_locations=[folder])
sys.modules["trilift"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["trilift"])
runpy.run_module(module, run_name="__main__")
"""
"""Finds this package and nothing that is installed beside it."""


class Worker:
    """A detector that can be started.

    Parameters
    ----------
    python
        Of its environment.
    name
        In ``params.yaml``.
    options
        What it is told.
    """

    def __init__(self, python: Path, name: str, options: Options):
        self._name = name
        self._command = [str(python), "-c", _ONLY_US, str(SOURCE / "trilift"), module_of(name)]
        self._options = json.dumps(options)

    def weights(self) -> dict[str, Path]:
        """Give the files of its networks, which it loads where they are not there.

        Raises
        ------
        InputError
            If they cannot be had.
        """
        with tempfile.TemporaryFile() as said:
            command = [*self._command, "weights", self._options]
            ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=said, env=alone())
            if ended.returncode:
                raise self._failure(said)
        return {name: Path(file) for name, file in json.loads(ended.stdout).items()}

    def people_in(self, video: Video) -> Iterator[tuple[int, People]]:
        """Give who is in the frames of a video, by the frames' numbers.

        Raises
        ------
        InputError
            If the detector ends before the video does.
        """
        numbers: SimpleQueue[int | Exception | None] = SimpleQueue()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*self._command, "detect", self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=alone(),
            )
            assert process.stdin
            assert process.stdout
            feeder = Thread(target=_feed, args=(video, process.stdin, numbers), daemon=True)
            feeder.start()
            try:
                while (number := numbers.get()) is not None:
                    if isinstance(number, Exception):
                        raise number
                    answer = process.stdout.readline()
                    if not answer:
                        break
                    yield number, People(*(np.array(values, np.float32) for values in json.loads(answer).values()))
                if process.wait():
                    raise self._failure(said)
            finally:
                process.kill()
                process.stdout.close()
                feeder.join()
                process.wait()

    def _failure(self, said: IO[bytes]) -> InputError:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        return InputError(
            f"{self._name}: {lines[-1] if lines else 'it was ended from outside, perhaps for lack of memory'}"
        )


def _feed(video: Video, frames: IO[bytes], numbers: "SimpleQueue[int | Exception | None]") -> None:
    try:
        with frames:
            frames.write(f"{video.size[0]} {video.size[1]}\n".encode())
            for number, image in video.frames():
                numbers.put(number)
                frames.write(np.ascontiguousarray(image).data)
        numbers.put(None)
    except BrokenPipeError:
        numbers.put(None)  # the process has ended, and says why
    except Exception as error:
        numbers.put(error)

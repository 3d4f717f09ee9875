"""Feeds every reader of outside files with damaged and hostile files.

Whatever the bytes, a reader ends with something that can be, or with an `InputError`. Anything else is a finding:
another exception, a crash, more than 5 s, much memory, an infinite coordinate, a camera that cannot be.
Run: make fuzz, or with options: python tests/formats/fuzzing.py --inputs 2000 --only sleap trilift --keep found
"""

import argparse
import contextlib
import faulthandler
import io
import json
import logging
import multiprocessing
import pickletools
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from formats import camera_writers, test_damage
from synthetic import ring_of_cameras
from trilift.captures import writing
from trilift.captures.schema import Recording
from trilift.errors import InputError
from trilift.formats import (
    Camera,
    DetectedView,
    ReferenceRecording,
    mpi_inf_3dhp,
    recognise,
    registry,
    trilift_nc,
    videopose3d,
)
from trilift.simulate import captured
from trilift.simulate.body import sample_body
from trilift.simulate.motions import simulate_motion
from trilift.simulate.settings import MotionFile
from trilift.skeletons import COCO17, H36M17

MOST_SECONDS = 5.0  # of the processor: on a busy machine the clock says nothing
LAST_RESORT = 60.0  # seconds, after which the process ends
MOST_GROWTH = 256  # MiB; the intact files are some kB
MOST_ADDRESSES = 16 << 30  # bytes; so that a reader out of hand does not take the machine with it
Mutation = Callable[[Random, bytes], bytes]
BINARY = {".h5", ".mat", ".nc", ".npz"}


class Hang(BaseException):
    """Raised by the alarm; no `except Exception` of a reader catches it."""


class Wrong(Exception):
    """What a reader took is not what it can be."""


@dataclass(frozen=True)
class Target:
    """A reader; ``write`` puts an intact input into an empty folder, ``read`` gives all that is in it."""

    write: Callable[[Path], object]
    read: Callable[[Path], Iterable[object]]


# Targets


def _detections(name: str) -> Target:
    file, write, *_ = test_damage.FORMATS[name]

    def write_all(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        many = isinstance(kind, registry.ViewFormat) and kind.in_folders
        for number in range(3 if many else 1):
            write(path.with_name(path.name.replace("0000", f"{number:04d}")))

    def read_all(folder: Path) -> Iterator[object]:
        path = folder / file
        if isinstance(kind, registry.ViewFormat):
            view = path.parent if kind.in_folders else path
            yield kind.read_view(view, COCO17)
        else:
            for recording in kind.read_detections(path, "S1"):
                yield from recording.views
        if name == "trilift":
            for rig in trilift_nc.list_cameras(path).values():
                yield from camera_writers.read_all(rig)
        if name == "mpi_inf_3dhp":
            yield from mpi_inf_3dhp.read_reference(path, "S1", [replace(ring_of_cameras(1)[0], name="0")])

    kind = registry.DETECTIONS[name]
    return Target(write_all, read_all)


def _cameras(fmt: camera_writers.Format) -> Target:
    return Target(
        lambda folder: fmt.write(folder / "rig", ring_of_cameras(2)), lambda folder: fmt.read(folder / "rig")
    )


def _write_reference(folder: Path) -> None:
    poses = np.random.default_rng(0).uniform(-1, 1, (3, len(H36M17), 3)).astype(np.float32)
    videopose3d.write_reference(folder / "data.npz", {"S1": {"Walk": poses}})


def _write_trilift_reference(folder: Path) -> None:
    poses = np.random.default_rng(0).uniform(-1, 1, (3, len(H36M17), 3))
    with writing.create(folder / "poses.nc", "references") as file:
        capture = file.add_capture("S1", recordings=[Recording("S1 Walk", "S1", "Walk", 50.0, 0, 3)], skeleton=H36M17)
        capture.write_block(slice(0, 3), poses=poses)


def _write_motion(folder: Path) -> None:
    rng = np.random.default_rng(0)
    poses = simulate_motion("walking", sample_body(rng), 40, 30, rng)
    np.savez(folder / "motion.npz", joints=poses, fps=30)


def _read_motion(folder: Path) -> Iterator[object]:
    for clip in captured.read(folder / "motion.npz", MotionFile(path="motion.npz")):
        for piece in captured.pieces(clip, 50, 1):
            yield ReferenceRecording("", piece.name, H36M17, piece.poses)


READERS = {
    "trilift reference": Target(
        _write_trilift_reference, lambda folder: trilift_nc.read_reference(folder / "poses.nc")
    ),
    "motion": Target(_write_motion, _read_motion),
    "videopose3d reference": Target(_write_reference, lambda folder: videopose3d.read_reference(folder / "data.npz")),
    **{name: _detections(name) for name in test_damage.FORMATS},
    **{f"{name} cameras": _cameras(fmt) for name, fmt in camera_writers.FORMATS.items()},
}


def _write_all(folder: Path) -> None:
    """Write the inputs of all readers, each in a folder, with a second view where a file or folder is a view."""
    for name, target in READERS.items():
        (folder / name).mkdir()
        target.write(folder / name)
        kind = registry.DETECTIONS.get(name)
        if isinstance(kind, registry.ViewFormat):
            (view,) = (folder / name).iterdir()
            copy = shutil.copytree if kind.in_folders else shutil.copy
            copy(view, view.with_name(f"2{view.name}"))


def _recognise(folder: Path) -> list[object]:
    for name in READERS:
        of_views = isinstance(registry.DETECTIONS.get(name), registry.ViewFormat)
        recognise.look_at(folder / name, COCO17.name if of_views else None)
    return []


TARGETS = {**READERS, "recognition": Target(_write_all, _recognise)}


# Mutations


def _overwrite(rng: Random, content: bytes, piece: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + piece[: len(content) - start] + content[start + len(piece) :]


def _insert(rng: Random, content: bytes, piece: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + piece + content[start:]


def _move(rng: Random, content: bytes) -> bytes:
    """Cut a piece out, or put it or something else in somewhere."""
    start = rng.randrange(len(content) + 1)
    end = start + rng.choice([rng.randint(1, 8), rng.randint(1, 2000)])
    how = rng.randrange(3)
    if how == 0:
        return content[:start] + content[end:]
    return _insert(rng, content, content[start:end] if how == 1 else rng.randbytes(rng.randint(1, 8)))


def _replace_match(rng: Random, content: bytes, pattern: bytes) -> bytes:
    places = [match.span() for match in re.finditer(pattern, content)]
    begin, end = rng.choice(places or [(0, 0)])
    return content[:begin] + rng.choice(TOKENS) + content[end:]


def _at_opcode(rng: Random, pickled: bytes, pieces: list[bytes]) -> bytes:
    """Put other opcodes before or over one of a pickle that follows the header of an array."""
    start = 10 + int.from_bytes(pickled[8:10], "little")
    places = []
    with contextlib.suppress(Exception):  # ends where what an earlier mutation left is no pickle any more
        for _, _, place in pickletools.genops(pickled[start:]):
            places.append(start + place)
    place = rng.choice(places or [start])
    return pickled[:place] + rng.choice(pieces) + pickled[place + rng.randrange(2) :]


def _in_entries(rng: Random, archive: bytes) -> bytes:
    """Damage what is in the entries of a zip file, and pack it again with the right checksums."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, _several(rng, old.read(name), OF_PICKLES))
    return packed.getvalue()


NUMBER = rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
TEXT = rb"[A-Za-z_][\w]*"
TOKENS = [
    *b"nan NaN .nan inf -Infinity .inf 1e400 -1 99999999999999 1e-300 1e300 3.5e38 1e9 0 -0.0 0.5 0x10 1_000".split(),
    *b'null true [] {} "" a "1" [1] [[1,2]] 2147483648 -9223372036854775809 &a *a " , :'.split(),
    *(b"", b" ", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xf0\x9f", b"9" * 5000, b"[" * 5000, b'{"a":' * 5000),
    *(b"a." * 5000, b"- " * 3000),
]
_INTEGERS = (0, 1, 2**16, 2**20, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
_LONG = (*_INTEGERS, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
_REAL = (np.nan, np.inf, -np.inf, -1.0)
WORDS = [
    struct.pack(order + code, value)
    for order in "<>"
    for code, values in {"I": _INTEGERS, "Q": _LONG, "f": _REAL, "d": (*_REAL, 1e300, 1e-300)}.items()
    for value in values
]
OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
PICKLED = [
    b"cposix\nsystem\n",
    b"c__builtin__\neval\n(S'1'\ntR",
    b"cnumpy\nload\n",
    b"cnumpy\nndarray\n(K\x01tR",
    b"cnumpy\ndtype\n(U\x01OK\x00K\x01tR",
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR",
    b"(I1000000000\ntR",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x08" + b"\xff" * 8,
    b"\x8d\xff\xff\xff\xff\x00\x00\x00\x00",
    b"r\xff\xff\xff\x7f",
    b"h\x00",
    b"(" * 5000,
    b"]" * 5000,
    b"}b",
    b"Nb",
    b"U\x011b",
]


# By weight.
OF_TEXT: dict[Mutation, int] = {
    lambda rng, content: _overwrite(rng, content, rng.randbytes(rng.randint(1, 8))): 2,
    lambda rng, content: _insert(rng, content, rng.choice(TOKENS)): 1,
    lambda rng, content: _replace_match(rng, content, NUMBER): 4,
    lambda rng, content: _replace_match(rng, content, TEXT): 1,
    _move: 2,
}
OF_BINARY: dict[Mutation, int] = {
    lambda rng, content: _overwrite(rng, content, rng.randbytes(rng.randint(1, 8))): 3,
    lambda rng, content: _overwrite(rng, content, rng.choice(WORDS)): 4,
    _move: 1,
}
OF_PICKLES: dict[Mutation, int] = {
    **OF_BINARY,
    lambda rng, content: _at_opcode(rng, content, OPCODES): 8,
    lambda rng, content: _at_opcode(rng, content, PICKLED): 4,
}


def _several(rng: Random, content: bytes, mutations: dict[Mutation, int]) -> bytes:
    if rng.random() < 0.1:
        return content[: rng.randrange(len(content) + 1)]
    for mutation in rng.choices(list(mutations), list(mutations.values()), k=rng.choice([1, 1, 2, 3])):
        content = mutation(rng, content)
    return content


def mutated(rng: Random, file: Path, content: bytes) -> bytes:
    """Damage the content of a file as suits its kind."""
    if file.suffix == ".npz" and rng.random() < 0.75:
        return _in_entries(rng, content)
    return _several(rng, content, OF_BINARY if file.suffix in BINARY else OF_TEXT)


# Reading


@dataclass
class Outcome:
    """What came of the inputs of one reader; findings: what went wrong, by its kind."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    findings: dict[str, list[str]] = field(default_factory=dict)
    slowest: float = 0.0
    growth: float = 0.0

    @property
    def found(self) -> int:
        return sum(map(len, self.findings.values()))


def fuzz(
    target: Target, inputs: int, seed: int, folder: Path, keep: Path | None = None, name: str = "reader"
) -> Outcome:
    """Feed a reader.

    Parameters
    ----------
    target
        The reader.
    inputs, seed
        How many, and which.
    folder
        An empty one, where the present input lies; it stays there if the process ends.
    keep
        Where the inputs of findings go, one for each kind.
    name
        Of the reader, for what is kept.
    """
    with contextlib.ExitStack() as stack:
        previous = signal.signal(signal.SIGPROF, _raise_hang)
        stack.callback(signal.signal, signal.SIGPROF, previous)
        target.write(folder)
        files = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
        for thing in target.read(folder):
            _check(thing)
        outcome, before = Outcome(), _peak()

        for number in range(inputs):
            rng = Random(f"{seed} {number}")
            file = rng.choice(list(files))
            # A new file each time: HDF5 knows files by their inode, and may hold the one before open.
            file.unlink()
            file.write_bytes(mutated(rng, file, files[file]))
            begin, peak = time.process_time(), _peak()
            problem = _read(target, folder, outcome)
            outcome.inputs += 1
            outcome.slowest = max(outcome.slowest, time.process_time() - begin)
            if problem is None and _peak() - peak > MOST_GROWTH:
                problem = "memory", f"{_peak() - peak:.0f} MiB"
            if problem is not None:
                kind, text = problem
                if keep is not None and kind not in outcome.findings:
                    shutil.copytree(folder, keep / f"{name} {number}", dirs_exist_ok=True)
                outcome.findings.setdefault(kind, []).append(text)
            file.unlink()
            file.write_bytes(files[file])
        outcome.growth = _peak() - before
    return outcome


def _read(target: Target, folder: Path, outcome: Outcome) -> tuple[str, str] | None:
    """Read one input; returns kind and text of what is wrong."""
    problem = None
    try:
        # The thread of faulthandler ends the process where C code never comes back to Python's alarm.
        faulthandler.dump_traceback_later(LAST_RESORT, exit=True)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS, 1.0)
        try:
            for thing in target.read(folder):
                _check(thing)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        outcome.read += 1
    except InputError as error:
        outcome.refused += 1
        if str(folder) not in str(error) or not str(error).isprintable():
            problem = "message", repr(str(error))[:300]
    except (Exception, Hang) as error:
        trace = traceback.extract_tb(error.__traceback__)
        last = next((frame for frame in reversed(trace) if "trilift" in frame.filename), trace[-1])
        place = "" if isinstance(error, Wrong) else f" at {Path(last.filename).name}:{last.lineno}"
        kind = str(error) if isinstance(error, Wrong) else type(error).__name__
        problem = f"{kind}{place}", f"{error!r:.300}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    return problem


def _raise_hang(*_: object) -> None:
    raise Hang(f"more than {MOST_SECONDS:g} s")


def _check(thing: object) -> None:
    """Raise where a reader took what cannot be."""
    if isinstance(thing, Camera):
        for name in ("K", "distortion", "R", "t", "image_size"):
            if not np.isfinite(getattr(thing, name)).all():
                raise Wrong(f"a camera whose {name} is not finite")
        if not np.allclose(thing.R @ thing.R.T, np.eye(3), atol=1e-9) or np.linalg.det(thing.R) < 0:
            raise Wrong("a camera whose R is no rotation")
    elif isinstance(thing, DetectedView):
        confidence = np.zeros(0) if thing.confidence is None else thing.confidence
        if np.isinf(thing.pixels).any() or np.isinf(confidence).any():
            raise Wrong("infinite keypoints")
    elif isinstance(thing, ReferenceRecording):
        if np.isinf(thing.poses).any():
            raise Wrong("infinite reference poses")
    else:
        raise Wrong(f"a {type(thing).__name__}")


def _peak() -> float:
    """Peak of this process's resident memory in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# The command


def _run_apart(name: str, inputs: int, seed: int, keep: Path | None) -> Outcome:
    """Fuzz in a process of its own, whose end by a crash is a finding."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process = context.Process(target=_child, args=(sender, name, inputs, seed, folder, keep))
        process.start()
        sender.close()
        try:
            outcome = receiver.recv()
        except EOFError:
            process.join()
            outcome = Outcome(findings={"crash": [f"the process ended with {process.exitcode}"]})
            if keep is not None:
                shutil.copytree(folder, keep / f"{name} crash", dirs_exist_ok=True)
        process.join()
    return outcome


def _child(sender: Connection, name: str, inputs: int, seed: int, folder: Path, keep: Path | None) -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None  # h5netcdf complains when a file goes away that it could not open
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    sender.send(fuzz(TARGETS[name], inputs, seed, folder, keep, name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="READER")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that a finding came from")
    options = parser.parse_args()
    each = -(-options.inputs // len(options.only))
    heads = ("inputs", "read", "refused", "findings", "slowest s", "memory MiB")
    print(f"{'reader':<22}" + "".join(f"{head:>12}" for head in heads), flush=True)
    outcomes = {}
    for name in options.only:
        outcomes[name] = outcome = _run_apart(name, each, options.seed, options.keep)
        counts = (outcome.inputs, outcome.read, outcome.refused, outcome.found)
        row = [*(f"{count:>12}" for count in counts), f"{outcome.slowest:>12.2f}", f"{outcome.growth:>12.0f}"]
        print(f"{name:<22}" + "".join(row))
        for kind, texts in outcome.findings.items():
            print(f"  {kind} ({len(texts)} times): {texts[0]}", flush=True)
    totals = {key: sum(getattr(o, key) for o in outcomes.values()) for key in ("inputs", "read", "refused", "found")}
    print(json.dumps(totals))
    sys.exit(1 if totals["found"] else 0)


if __name__ == "__main__":
    main()

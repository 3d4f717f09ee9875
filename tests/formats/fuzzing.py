"""Feeds every reader of outside files with damaged and hostile files.

Whatever the bytes, a reader ends with something that can be, or with an `InputError`. Anything else is a finding:
another exception, more than 5 s, much memory, a crash, an infinite coordinate, a camera that cannot be.
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
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from formats import camera_writers, test_damage
from synthetic import ring_of_cameras
from trilift.errors import InputError
from trilift.formats import Camera, DetectedView, ReferenceRecording, mpi_inf_3dhp, registry, trilift_nc
from trilift.skeletons import COCO17

MOST_SECONDS = 5.0
MOST_GROWTH = 256  # MiB; the intact files are some kB
MOST_ADDRESSES = 16 << 30  # bytes; so that a reader out of hand does not take the machine with it
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
        many = isinstance(kind, registry.ViewFormat) and kind.files is not None
        for number in range(3 if many else 1):
            write(path.with_name(path.name.replace("0000", f"{number:04d}")))

    def read_all(folder: Path) -> Iterator[object]:
        path = folder / file
        if isinstance(kind, registry.ViewFormat):
            view = path.parent if kind.files else path
            yield kind.read_view(view, COCO17, kind.first_frame(view))
        else:
            for recording in kind.read_detections(path, "S1"):
                yield from recording.views
        if name == "trilift":
            for rig in trilift_nc.read_cameras(path).values():
                yield from rig
        if name == "mpi_inf_3dhp":
            yield from mpi_inf_3dhp.read_reference(path, "S1", [replace(ring_of_cameras(1)[0], name="0")])

    kind = registry.DETECTIONS[name]
    return Target(write_all, read_all)


def _cameras(fmt: camera_writers.Format) -> Target:
    return Target(
        lambda folder: fmt.write(folder / "rig", ring_of_cameras(2)), lambda folder: fmt.read(folder / "rig")
    )


TARGETS = {
    **{name: _detections(name) for name in test_damage.FORMATS},
    **{f"{name} cameras": _cameras(fmt) for name, fmt in camera_writers.FORMATS.items()},
}


# Mutations: a function of the content and what hypothesis draws for it. Places are shares of the length.


def _overwrite(content: bytes, where: float, piece: bytes) -> bytes:
    start = int(where * len(content))
    return content[:start] + piece[: len(content) - start] + content[start + len(piece) :]


def _insert(content: bytes, where: float, piece: bytes) -> bytes:
    start = int(where * len(content))
    return content[:start] + piece + content[start:]


def _cut(content: bytes, where: float, length: int) -> bytes:
    start = int(where * len(content))
    return content[:start] + content[start + length :]


def _truncate(content: bytes, where: float) -> bytes:
    return content[: int(where * len(content))]


def _duplicate(content: bytes, where: float, length: int, to: float) -> bytes:
    start = int(where * len(content))
    return _insert(content, to, content[start : start + length])


def _replace_match(content: bytes, pattern: bytes, where: float, token: bytes) -> bytes:
    places = [match.span() for match in re.finditer(pattern, content)]
    if not places:
        return _insert(content, where, token)
    begin, end = places[int(where * len(places))]
    return content[:begin] + token + content[end:]


def _at_opcode(pickled: bytes, where: float, piece: bytes, removed: int) -> bytes:
    """Put other opcodes before (`removed` = 0) or over (1) one of a pickle that follows the header of an array."""
    start = 10 + int.from_bytes(pickled[8:10], "little")
    places = []
    with contextlib.suppress(Exception):  # ends where what an earlier mutation left is no pickle any more
        places += [start + place for _, _, place in pickletools.genops(pickled[start:])]
    place = places[int(where * len(places))] if places else start
    return pickled[:place] + piece + pickled[place + removed :]


def _in_entries(archive: bytes, mutate: Callable[[bytes], bytes]) -> bytes:
    """Mutate what is in the entries of a zip file, and pack it again with the right checksums."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, mutate(old.read(name)))
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


def _mixed(*parts: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Draw from strategies by their weights, which `one_of` does not know."""
    drawn = [strategy for weight, strategy in parts for _ in range(weight)]
    return st.integers(0, len(drawn) - 1).flatmap(drawn.__getitem__)


# Of more than 24 bits hypothesis would prefer the small ones.
share = st.integers(0, 2**20 - 1).map(lambda n: n / 2**20)
length = st.one_of(st.integers(1, 8), st.integers(1, 2000))
overwritten = st.tuples(st.just(_overwrite), share, st.binary(min_size=1, max_size=8))
moved = st.one_of(
    st.tuples(st.just(_insert), share, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just(_cut), share, length),
    st.tuples(st.just(_duplicate), share, length, share),
)
cut_off = st.tuples(st.just(_truncate), share)
token = st.sampled_from(TOKENS)
of_text = _mixed(
    (2, overwritten),
    (2, moved),
    (4, st.tuples(st.just(_replace_match), st.just(NUMBER), share, token)),
    (1, st.tuples(st.just(_replace_match), st.just(TEXT), share, token)),
    (1, st.tuples(st.just(_insert), share, token)),
)
of_binary = _mixed((3, overwritten), (1, moved), (4, st.tuples(st.just(_overwrite), share, st.sampled_from(WORDS))))
of_pickle = _mixed(
    (3, of_binary),
    (3, st.tuples(st.just(_at_opcode), share, st.sampled_from(OPCODES), st.integers(0, 1))),
    (2, st.tuples(st.just(_at_opcode), share, st.sampled_from(PICKLED), st.integers(0, 1))),
)


def _apply(content: bytes, mutations: list[tuple[Any, ...]]) -> bytes:
    for function, *drawn in mutations:
        content = function(content, *drawn)
    return content


def _mutators(suffix: str) -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Give functions that damage the content of a file with this ending."""

    def some(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Callable[[bytes], bytes]]:
        drawn = _mixed((9, st.lists(one, min_size=1, max_size=3)), (1, cut_off.map(lambda mutation: [mutation])))
        return drawn.map(lambda mutations: partial(_apply, mutations=mutations))

    if suffix == ".npz":
        inside = some(of_pickle).map(lambda mutate: partial(_in_entries, mutate=mutate))
        return _mixed((3, inside), (1, some(of_binary)))
    return some(of_binary if suffix in BINARY else of_text)


# Reading


@dataclass
class Outcome:
    """What came of the inputs of one reader; findings by their kind: how many, and the last line of one."""

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
    target: Target, inputs: int, start: int = 0, folder: Path | None = None, keep: Path | None = None, name: str = ""
) -> Outcome:
    """Feed a reader.

    Parameters
    ----------
    target
        The reader.
    inputs
        How many, from the seed `start`.
    folder
        Where the present input lies, by default a temporary one; it stays there if the process ends.
    keep
        Where the inputs of findings go, one for each kind.
    name
        Of the reader, for what is kept.
    """
    with contextlib.ExitStack() as stack:
        folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        previous = signal.signal(signal.SIGALRM, _raise_hang)
        stack.callback(signal.signal, signal.SIGALRM, previous)
        target.write(folder)
        files = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
        for thing in target.read(folder):
            _check(thing)
        outcome, before = Outcome(), _peak()

        def one(which: Path, mutate: Callable[[bytes], bytes]) -> None:
            # A new file each time: HDF5 knows files by their inode, and may hold the one before open.
            which.unlink()
            which.write_bytes(mutate(files[which]))
            begin, peak = time.perf_counter(), _peak()
            problem = _read(target, folder, outcome)
            outcome.inputs += 1
            outcome.slowest = max(outcome.slowest, time.perf_counter() - begin)
            if problem is None and _peak() - peak > MOST_GROWTH:
                problem = "memory", f"{_peak() - peak:.0f} MiB"
            if problem is not None:
                kind, text = problem
                if keep is not None and kind not in outcome.findings:
                    shutil.copytree(folder, keep / f"{name or 'reader'} {len(outcome.findings)}", dirs_exist_ok=True)
                outcome.findings.setdefault(kind, []).append(text)
            which.unlink()
            which.write_bytes(files[which])

        drawn = st.sampled_from(list(files)).flatmap(lambda f: st.tuples(st.just(f), _mutators(f.suffix)))
        run = settings(
            max_examples=inputs,
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(start)(run(given(drawn)(lambda pair: one(*pair))))()
        outcome.growth = _peak() - before
    return outcome


def _read(target: Target, folder: Path, outcome: Outcome) -> tuple[str, str] | None:
    """Read one input; returns kind and text of what is wrong."""
    problem = None
    try:
        # The thread of faulthandler ends the process where C code never comes back to Python's alarm.
        faulthandler.dump_traceback_later(10 * MOST_SECONDS, exit=True)
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS, 1.0)
        try:
            for thing in target.read(folder):
                _check(thing)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
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
        if np.isinf(thing.keypoints).any() or np.isinf(confidence).any():
            raise Wrong("infinite keypoints")
    elif isinstance(thing, ReferenceRecording):
        if np.isinf(thing.keypoints).any():
            raise Wrong("infinite reference poses")
    else:
        raise Wrong(f"a {type(thing).__name__}")


def _peak() -> float:
    """Peak of this process's resident memory in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# The command


def _run_apart(name: str, inputs: int, start: int, keep: Path | None) -> Outcome:
    """Fuzz in a process of its own, whose end by a crash is a finding."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process = context.Process(target=_child, args=(sender, name, inputs, start, folder, keep))
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


def _child(sender: Connection, name: str, inputs: int, start: int, folder: Path, keep: Path | None) -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None  # h5netcdf complains when a file goes away that it could not open
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    sender.send(fuzz(TARGETS[name], inputs, start, folder, keep, name))


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

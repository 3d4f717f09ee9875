"""Checks of HDF5 files that the library itself does not make."""

import struct
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

from trilift.errors import InputError

_MARK = b"GCOL\x01\0\0\0"
_REFERENCE = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])


def check_strings(path: Path) -> None:
    """Refuse a file whose strings of variable length the library would read forever.

    These lie in collections: a header of 16 bytes with the size, then objects with a header of 16 bytes each.
    Object 0 is the free space at the end, whose length includes its header. Damaged to length 0, it follows itself;
    of a length beyond the collection, the library counts on from a place before it.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        begin = content.find(_MARK)
        while 0 <= begin <= len(content) - 16:
            (size,) = struct.unpack_from("<Q", content, begin + 8)
            place, end = begin + 16, min(begin + size, len(content))
            while place + 16 <= end:
                index, _, _, length = struct.unpack_from("<HHIQ", content, place)
                step = length if index == 0 else 16 + length + -length % 8
                if not 16 <= step <= end - place:
                    raise InputError(f"{path}: damaged at byte {place}; copy or make the file again")
                place += step
            begin = content.find(_MARK, max(end, begin + 16))


def check_lengths(path: Path) -> None:
    """Refuse a file with strings longer than itself: the library fills as much memory before it looks for them.

    Those of attributes need no check, as checksums protect them.
    """

    def check(name: str, thing: object) -> None:
        if isinstance(thing, h5py.Dataset) and thing.dtype == object and thing.id.get_offset() is not None:
            references = np.frombuffer(content, _REFERENCE, thing.size, thing.id.get_offset())
            if (references["length"] > len(content)).any():
                raise InputError(f"{path}: damaged, `{name}` holds strings longer than the file; make it again")

    content = np.memmap(path, mode="r")
    with h5py.File(path, "r") as file:
        file.visititems(check)


def holds(path: Path, wanted: Callable[[h5py.File], bool]) -> bool:
    """Tell whether a file is one of HDF5, sound, with what is wanted in it."""
    try:
        check_strings(path)
        with h5py.File(path, "r") as file:
            return wanted(file)
    except Exception:  # h5py fails in many ways
        return False

"""Checks of HDF5 files that the library itself does not make."""

import struct
from collections.abc import Callable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

from trilift.errors import InputError

_MARK = b"GCOL\x01\0\0\0"
_REFERENCE = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])


def check(file: h5py.File, path: Path) -> None:
    """Refuse a file whose strings the library would read forever, or for which it would fill all memory.

    Call it before an attribute or a string is read. Of the numbers in the file nothing is read.

    Raises
    ------
    InputError
        If strings of variable length are damaged.
    """
    data_sets: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, thing: data_sets.update({name: thing} if isinstance(thing, h5py.Dataset) else {}))
    with path.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
        extents = []
        for name, stored in data_sets.items():
            begin = stored.id.get_offset()  # None where it is stored in pieces, or nothing was written
            if begin is None:
                continue
            if stored.dtype.hasobject:
                _check_lengths(content[begin : begin + stored.size * _REFERENCE.itemsize], len(content), path, name)
            else:
                extents.append((begin, begin + stored.id.get_storage_size()))
        for begin, end in _gaps(sorted(extents), len(content)):
            _check_collections(content, begin, end, path)


def _check_lengths(references: bytes, most: int, path: Path, name: str) -> None:
    """Refuse strings longer than the file: the library fills as much memory before it looks for them.

    Those of attributes need no check, as checksums protect them.
    """
    whole = len(references) // _REFERENCE.itemsize
    if (np.frombuffer(references, _REFERENCE, whole)["length"] > most).any():
        raise InputError(f"{path}: damaged, `{name}` holds strings longer than the file; make it again")


def _gaps(extents: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Give what lies between the extents, of which some may lie in others."""
    place = 0
    for begin, end in [*extents, (size, size)]:
        if begin > place:
            yield place, begin
        place = max(place, end)


def _check_collections(content: mmap, begin: int, end: int, path: Path) -> None:
    """Refuse a collection of strings through which the library would walk forever.

    It is a header of 16 bytes with the size, then objects with a header of 16 bytes each. Object 0 is the free space
    at the end, whose length includes its header. Damaged to length 0, it follows itself; of a length beyond the
    collection, the library counts on from a place before it.
    """
    begin = content.find(_MARK, begin, end)
    while 0 <= begin <= len(content) - 16:
        (size,) = struct.unpack_from("<Q", content, begin + 8)
        place, last = begin + 16, min(begin + size, len(content))
        while place + 16 <= last:
            index, _, _, length = struct.unpack_from("<HHIQ", content, place)
            step = length if index == 0 else 16 + length + -length % 8
            if not 16 <= step <= last - place:
                raise InputError(f"{path}: damaged at byte {place}; copy or make the file again")
            place += step
        begin = content.find(_MARK, max(last, begin + 16), end)


def holds(path: Path, wanted: Callable[[h5py.File], bool]) -> bool:
    """Tell whether a file is one of HDF5, sound, with what is wanted in it."""
    try:
        with h5py.File(path, "r") as file:
            check(file, path)
            return wanted(file)
    except Exception:  # h5py fails in many ways
        return False

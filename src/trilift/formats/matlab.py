"""Reading cell arrays of matrices from ``.mat`` files of MATLAB's format 5.

Of 20,000 damaged files, scipy's reader (1.17) crashed the process on 17, and one took it more than 10 s.

A file is a header and a sequence of elements: a tag with kind and size, then the content. A variable is an element,
possibly compressed, whose content is again elements: flags, dimensions, name, then cells or numbers.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from trilift.errors import InputError

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _NUMERIC = 1, range(6, 16)
_COMPLEX = 0x0800
_MOST_BYTES = 4 * 2**30
_HEAD = 256  # bytes


def read_cells(path: Path, name: str) -> list[np.ndarray]:
    """Read the matrices of a cell array, in MATLAB's order.

    Raises
    ------
    InputError
        If the file is damaged, of another format, lacks the variable, or it is no cell array of real numbers.
    """
    try:
        content = path.read_bytes()
        order = _order(content)
        for variable in _variables(memoryview(content)[128:], order):
            flags, sizes, label, *cells = _elements(variable, order)
            if bytes(label[1]) == name.encode():
                if _flags(flags[1], order) & 0xFF != _CELL or math.prod(_sizes(sizes[1], order)) != len(cells):
                    raise ValueError(f"`{name}` is no cell array of its size")
                return [_matrix(kind, cell, order) for kind, cell in cells]
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, ValueError, KeyError, struct.error, zlib.error) as error:
        raise InputError(
            f"{path}: no complete .mat file of MATLAB's format 5 with a cell array `{name}` ({error}); download it "
            "again, or save it with -v7"
        ) from None
    raise InputError(f"{path}: has no `{name}`")


def has_variable(path: Path, name: str) -> bool:
    """Tell whether a file is of MATLAB's format 5 and has a variable of this name; most of it is not read."""
    try:
        content = np.memmap(path, np.uint8, "r").data
        return name.encode() in _names(content[128:], _order(bytes(content[:128])))
    except (OSError, ValueError, KeyError, struct.error, zlib.error):
        return False


def _names(content: memoryview, order: str) -> list[bytes]:
    names = []
    for kind, element in _elements(content, order):
        if kind == _COMPRESSED:
            # Tags, flags, sizes and the name: enough of it for 20 axes and a name of 63 letters.
            element = memoryview(zlib.decompressobj().decompress(element[:_HEAD], _HEAD))[8:]
        _, _, label = islice(_elements(element, order), 3)
        names.append(bytes(label[1]))
    return names


def _order(content: bytes) -> str:
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(content[124:128])
    if order is None:
        raise ValueError("it begins otherwise")
    return order


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Split into elements: kind and content."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        if kind >> 16:  # small: the tag holds the content too
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + size > len(content):
            raise ValueError("it is cut off")
        yield kind, content[start : start + size]
        end = start + size
        place = end if kind == _COMPRESSED else end + -end % 8


def _variables(content: memoryview, order: str) -> Iterator[memoryview]:
    for kind, element in _elements(content, order):
        if kind == _COMPRESSED:
            decompressor = zlib.decompressobj()
            plain = memoryview(decompressor.decompress(element, _MOST_BYTES))
            if not decompressor.eof:
                raise ValueError("a variable is cut off, or larger than 4 GiB")
            yield from (inner for _, inner in _elements(plain, order))
        else:
            yield element


def _flags(content: memoryview, order: str) -> int:
    return struct.unpack_from(f"{order}I", content)[0]


def _sizes(content: memoryview, order: str) -> list[int]:
    return np.frombuffer(content, f"{order}i4").tolist()


def _matrix(kind: int, content: memoryview, order: str) -> np.ndarray:
    if kind != _MATRIX:
        raise ValueError("a cell is no matrix")
    flags, sizes, _, *numbers = _elements(content, order)
    of_matrix = _flags(flags[1], order)
    shape = _sizes(sizes[1], order)
    if of_matrix & 0xFF not in _NUMERIC or of_matrix & _COMPLEX or len(numbers) != 1 or len(shape) < 2:
        raise ValueError("a cell holds no matrix of real numbers")
    values = np.frombuffer(numbers[0][1], order + _NUMBERS[numbers[0][0]])
    return values.reshape(shape, order="F")

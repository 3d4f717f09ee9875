"""Reading ``.npz`` files that hold pickled containers of arrays, without running what they might contain.

A pickle can name any function and have it called. The reader here admits numpy arrays, their data types and
plain containers, and nothing else: a file that names something else is refused.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from trilift.errors import InputError, listed


class _Type:
    """Stands for a numpy data type: of its state only the byte order is taken, as numpy believes the rest unseen."""

    def __init__(self, code: str, *flags: object):
        if not re.fullmatch(r"[?biufcSUO]\d{0,9}", code):
            raise pickle.UnpicklingError(f"it names the data type {code!r:.40}")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        self.numpy = self.numpy.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that is filled as numpy's are, but with no more and no less than it holds."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        size = math.prod(shape) * (1 if dtype.numpy.hasobject else dtype.numpy.itemsize)
        if not all(type(length) is int and length >= 0 for length in shape) or len(data) != size:
            raise pickle.UnpicklingError("an array is not filled with as much as it holds")
        super().__setstate__((1, shape, dtype.numpy, fortran, data))


def _empty_array(*_: object) -> np.ndarray:
    return np.ndarray.__new__(_Array, 0)


def _scalar(dtype: Any, data: bytes) -> Any:
    return np.frombuffer(data, dtype.numpy, count=1)[0]


_ADMITTED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): None,  # an argument of `_reconstruct`
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): str.encode,  # how protocol 2 writes bytes
    ("__builtin__", "bytes"): bytes,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _empty_array), ("scalar", _scalar))
    },
}


# The one written in Python: that in C took 12 GiB and 27 s for the table of objects that a hostile file stated.
class _Unpickler(pickle._Unpickler):
    # Without byte arrays, which are made as large as a file states.
    dispatch: ClassVar = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {ascii(f'{module}.{name}')[1:-1]:.100}") from None


def _load(file: IO[bytes]) -> Any:
    return _Unpickler(file, encoding="latin1").load()


def read_npz(path: Path, *names: str, optional: Collection[str] = ()) -> list[Any]:
    """Read entries of an ``.npz`` file.

    Parameters
    ----------
    path
        The file.
    names
        The entries to read. One that holds a pickled container comes as that container.
    optional
        Those of them that may be missing: None stands for one.

    Raises
    ------
    InputError
        If the file is damaged, lacks an entry, or holds a pickle that names anything but arrays and containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            skipped = [name for name in optional if f"{name}.npy" not in held]
            return [None if name in skipped else _read_entry(archive, path, name) for name in names]
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except InputError:
        raise
    except Exception as error:  # zipfile fails in many ways
        raise InputError(f"{path}: no complete .npz file ({error}); copy or download it again") from None


def has_entry(path: Path, name: str) -> bool:
    """Tell whether a file is an ``.npz`` file with an entry of this name."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{name}.npy" in archive.namelist()
    except Exception:  # zipfile fails in many ways
        return False


def read_pickle(path: Path) -> Any:
    """Read a file that is a pickle of arrays and plain containers.

    Raises
    ------
    InputError
        If the file is not there, damaged, or names anything else.
    """
    with _refusing(str(path)), path.open("rb") as file:
        return _load(file)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn what goes wrong while a pickle is read into a message."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{where}: not there") from None
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{where}: refused, because {error}. Reading such a file could run code; only numpy arrays and plain "
            "containers are read"
        ) from None
    except Exception as error:  # a damaged pickle makes the interpreter fail in any way
        raise InputError(f"{where}: damaged ({type(error).__name__}: {error!s:.200})") from None


def _read_entry(archive: zipfile.ZipFile, path: Path, name: str) -> Any:
    if f"{name}.npy" not in archive.namelist():
        held = ascii(listed(member.removesuffix(".npy") for member in archive.namelist()))[1:-1]
        raise InputError(f"{path}: has no entry '{name}' (it has: {held})")
    with _refusing(f"{path}, entry '{name}'"), archive.open(f"{name}.npy") as stream:
        while stream.read(2**20):  # to the end, where the checksum is compared: what is damaged is not believed
            pass
        stream.seek(0)
        content = _read_array(stream)
    if isinstance(content, np.ndarray) and content.dtype == object and content.size == 1:
        return content.item()
    return content


def _read_array(stream: IO[bytes]) -> Any:
    np.lib.format.read_magic(stream)
    _, _, dtype = np.lib.format.read_array_header_1_0(stream)  # later versions are for types of very long description
    if dtype.hasobject:
        return _load(stream)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)

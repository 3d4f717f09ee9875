"""Reading ``.npz`` files that hold pickled containers of arrays, without running what they might contain.

A pickle can name any function and have it called. The reader here admits numpy arrays, their data types and
plain containers, and nothing else: a file that names something else is refused.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trilift.errors import InputError


class _Array:
    """Stands for ``numpy.ndarray`` where a pickle names it: a mark, never called."""


def _empty_array(kind: object, shape: object, code: object) -> np.ndarray:
    """Do what numpy's ``_reconstruct`` does for arrays: make an empty one, which the pickle then fills."""
    if kind is not _Array or shape not in ((0,), 0):
        raise pickle.UnpicklingError("an array is made in an unusual way")
    return np.ndarray((0,), "b")


def _bytes(text: object, encoding: object = "latin1") -> bytes:
    """Do what ``_codecs.encode`` does for the bytes of protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes are encoded in an unusual way")
    return text.encode("latin1")


def _dtype(code: object, *flags: object) -> np.dtype:
    if not isinstance(code, str):
        raise pickle.UnpicklingError("a data type is not named by a text")
    return np.dtype(code)


def _scalar(dtype: object, data: object) -> Any:
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number is made in an unusual way")
    return np.frombuffer(data, dtype, count=1)[0]


_ADMITTED: dict[tuple[str, str], Callable[..., object] | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _bytes,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _empty_array), ("scalar", _scalar))
    },
}


# The unpickler written in Python: the one in C allocates whatever size a file claims for its table of objects.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def read_npz(path: Path, *names: str) -> list[Any]:
    """Read entries of an ``.npz`` file.

    Parameters
    ----------
    path
        The file.
    names
        The entries to read. One that holds a pickled container comes as that container.

    Raises
    ------
    InputError
        If the file is damaged, lacks an entry, or holds a pickle that names anything but arrays and containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_read_entry(archive, path, name) for name in names]
    except FileNotFoundError:
        raise InputError(f"{path}: not there") from None
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: no complete .npz file ({error}); copy or download it again") from None


def _read_entry(archive: zipfile.ZipFile, path: Path, name: str) -> Any:
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(member.removesuffix(".npy") for member in archive.namelist())
        raise InputError(f"{path}: has no entry '{name}' (it has: {held})")
    try:
        stream = io.BytesIO(archive.read(f"{name}.npy"))
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        _, _, dtype = read_header[version](stream)
        if not dtype.hasobject:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
        unpickled = _Unpickler(stream, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}, entry '{name}': refused, because {error}. Reading such a file could run code; only numpy "
            "arrays and plain containers are read"
        ) from None
    # A damaged pickle can make the interpreter fail in any of these ways.
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError, MemoryError,
            UnicodeError, AssertionError, ImportError, RecursionError) as error:  # fmt: skip
        raise InputError(f"{path}, entry '{name}': damaged ({type(error).__name__}: {error})") from None
    if isinstance(unpickled, np.ndarray) and unpickled.dtype == object and unpickled.size == 1:
        return unpickled.item()
    return unpickled

"""Reading ``.npz`` files that hold pickled containers of arrays, without running what they might contain.

A pickle can name any function and have it called. The reader here admits numpy arrays, their data types and
plain containers, and nothing else: a file that names something else is refused.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from trilift.errors import InputError, listed


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


class _Type:
    """Stands for a numpy data type: of its state only the byte order is taken, as numpy believes the rest unseen."""

    def __init__(self, code: object, *flags: object):
        if not isinstance(code, str) or not re.fullmatch(r"[?bBhHiIlLqQefdg]|[biufcSU]\d{1,9}|O8?", code):
            raise pickle.UnpicklingError(f"it names the data type {code!r:.40}")
        self.numpy = np.dtype(code)

    def fill(self, state: Any) -> None:
        _, order, *_ = state
        self.numpy = self.numpy.newbyteorder(order)


def _fill(array: np.ndarray, state: Any) -> None:
    """Do what numpy's ``ndarray.__setstate__`` does."""
    _, shape, dtype, fortran, data = state
    if not isinstance(dtype, _Type) or not all(type(length) is int and length >= 0 for length in shape):
        raise pickle.UnpicklingError("an array is made in an unusual way")
    size = math.prod(shape) * (1 if dtype.numpy.hasobject else dtype.numpy.itemsize)
    if not isinstance(data, list if dtype.numpy.hasobject else bytes | str) or len(data) != size:
        raise pickle.UnpicklingError("an array is not filled with as much as it holds")
    array.__setstate__((1, shape, dtype.numpy, bool(fortran), data))  # type: ignore[arg-type]


def _scalar(dtype: object, data: object) -> Any:
    if not isinstance(dtype, _Type) or dtype.numpy.hasobject or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number is made in an unusual way")
    return np.frombuffer(data, dtype.numpy, count=1)[0]


_ADMITTED: dict[tuple[str, str], Callable[..., object] | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 writes empty ones
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _empty_array), ("scalar", _scalar))
    },
}


_BULK = 2**16


def _is_bulk(value: object) -> bool:
    if isinstance(value, tuple):
        return any(_is_bulk(part) for part in value if not isinstance(part, tuple))
    return isinstance(value, bytes | str) and len(value) > _BULK


class _Memo(dict[int, Any]):
    """What a pickle may refer back to, without the raw bytes of arrays, to which no pickle of numpy does.

    Without this the content of every array would stay in memory once more until all are read.
    """

    def __setitem__(self, key: int, value: object) -> None:
        super().__setitem__(key, None if _is_bulk(value) else value)

    def __getitem__(self, key: int) -> object:
        value = super().__getitem__(key)
        if value is None:
            raise pickle.UnpicklingError("it refers to the raw bytes of an array twice")
        return value


# The unpickler written in Python: the one in C allocates whatever size a file claims for its table of objects.
class _Unpickler(pickle._Unpickler):
    stack: list[Any]

    def __init__(self, file: IO[bytes]):
        super().__init__(file, encoding="latin1")
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {ascii(f'{module}.{name}')[1:-1]:.100}") from None

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, np.ndarray):
            _fill(target, state)
        elif isinstance(target, _Type):
            target.fill(state)
        else:
            raise pickle.UnpicklingError(f"it sets the state of a {type(target).__name__}")

    def load_bytearray8(self) -> None:
        # Python's would fill as many bytes with zeros as the pickle claims.
        raise pickle.UnpicklingError("it holds a bytearray")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


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
        return _Unpickler(file).load()


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
        content = _read_array(stream)
        while stream.read(2**20):  # to the end, where the checksum is compared
            pass
    if isinstance(content, np.ndarray) and content.dtype == object and content.size == 1:
        return content.item()
    return content


def _read_array(stream: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    _, _, dtype = read_header[version](stream)
    if dtype.hasobject:
        return _Unpickler(stream).load()
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)

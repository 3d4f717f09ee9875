"""The beginnings of files, by which formats are recognised without reading all: in the same way as readers read."""

import codecs
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

_BEGINNING = 1 << 19  # bytes
_DEPTH = 8  # of values in each other that go on beyond it
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")


def json_beginning(path: Path) -> Any:
    """Give what a JSON file holds, of long lists only the first entry, and nothing from where it is cut off.

    None if it is no JSON.
    """
    try:
        about = path.stat()
    except OSError:
        return None
    return _json_beginning(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=256)  # every format asks
def _json_beginning(path: Path, modified: int, size: int) -> Any:
    head = _head(path)
    text = codecs.getincrementaldecoder(json.detect_encoding(head))("replace").decode(head)
    try:
        at = _skip(text, 0)
        if size > len(head) and text.startswith("[", at):
            return _first(text, at + 1, _DEPTH)
        return _value(text, at, _DEPTH)[0]
    except (ValueError, RecursionError):
        return None


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    """Read a value, and where it ends: the end of the text where that is not known."""
    at = _skip(text, at)
    try:
        return _DECODER.raw_decode(text, at)
    except ValueError:
        if depth and text.startswith("[", at):
            return _first(text, at + 1, depth - 1), len(text)
        if depth and text.startswith("{", at):
            return _fields(text, at + 1, depth - 1)
        raise


def _first(text: str, at: int, depth: int) -> list[Any]:
    at = _skip(text, at)
    return [] if at == len(text) else [_value(text, at, depth)[0]]


def _fields(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {}
    while True:
        at = _skip(text, at)
        if not text.startswith('"', at):
            return fields, at + 1
        try:
            key, at = _DECODER.raw_decode(text, at)
            fields[key], at = _value(text, text.index(":", at) + 1, depth)
        except ValueError:  # cut off here, or damaged
            return fields, len(text)
        at = _skip(text, at)
        if text.startswith(",", at):
            at += 1


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def csv_dialect(path: Path) -> tuple[str, str]:
    """Tell what separates the columns of a CSV file, and what is its decimal sign."""
    text = _head(path).decode("utf-8-sig", "replace")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    return separator, "," if separator != "," and "," in text else "."


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_BEGINNING)
    except OSError:
        return b""

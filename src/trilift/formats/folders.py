"""Folders of outside files: what lies in them. Names that begin with a dot are hidden, and nobody's data."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

log = logging.getLogger(__name__)


def ends_with(name: str, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file has one of the endings, whatever their case, and is not hidden."""
    return name.lower().endswith(suffixes) and not name.startswith(".")


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """List the files of a folder with one of the endings, sorted by name."""
    return [folder / entry.name for entry in _scan(folder) if ends_with(entry.name, suffixes) and _is_file(entry)]


def has_files(folder: Path, *suffixes: str) -> bool:
    """Tell whether a folder has a file with one of the endings."""
    with os.scandir(folder) as scan:
        return any(ends_with(entry.name, suffixes) and _is_file(entry) for entry in scan)


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted by name."""
    return [folder / entry.name for entry in _scan(folder) if _is_folder(entry)]


def entries_in(folder: Path) -> list[Path]:
    """List what is in a folder and not hidden, sorted by name; nothing if it is none."""
    return [folder / entry.name for entry in _scan(folder)]


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as scan:
        return sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_file(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a link that leads to itself
        return entry.is_file()
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False


def walk(folder: Path) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Go through a folder and all folders below it, also behind links.

    Each folder is met once, whatever leads to it: one that a link shows a second time keeps its own name.

    Yields
    ------
    place : PurePosixPath
        Of a folder, relative to `folder`.
    names : list of str
        Of the files in it, sorted.
    """
    seen = set()
    folders, links = [PurePosixPath()], deque[PurePosixPath]()
    while folders or links:
        place = folders.pop() if folders else links.popleft()
        try:
            about = (folder / place).stat()
            entries = _scan(folder / place)
        except OSError as error:
            log.warning("%s: cannot be read (%s), passed over", folder / place, error.strerror)
            continue
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        yield place, [entry.name for entry in entries if _is_file(entry)]
        for entry in reversed(entries):
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(place / entry.name)

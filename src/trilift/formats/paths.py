"""Paths with stars, as data sets' files state them: what they stand for in a folder."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trilift.errors import InputError
from trilift.formats.folders import entries_in
from trilift.formats.names import name_for_files

VIEW = "{view}"
"""Stands for the name of a view, where those of a recording do not lie in one folder."""

_STANDING = {"*": "(.*)", VIEW: "(?P<view>.*)"}
_PIECES = re.compile(r"(\[\*\]|\*|\{view\})")


class Match(NamedTuple):
    """What a path stands for: what its stars and ``{view}`` do, and where it is."""

    stars: tuple[str, ...]
    view: str
    place: Path

    @property
    def name(self) -> str:
        """What the stars stand for, joined by hyphens."""
        return name_for_files("-".join(self.stars), str(self.place)) if self.stars else ""


def find(raw: Path, path: str) -> list[Match]:
    """Find all that a path stands for."""
    found = [Match((), "", raw)]
    for part in PurePosixPath(path).parts:
        found = [match for begun in found for match in _match_part(begun, part)]
    return found


def matches(raw: Path, path: str) -> dict[str, Path]:
    """Give what a path with stars stands for, by what the stars stand for.

    Raises
    ------
    InputError
        If two would get the same name.
    """
    found: dict[str, Path] = {}
    for match in find(raw, path):
        if match.name in found:
            raise InputError(f"{match.place}: would be called {match.name}, as {found[match.name]}; rename a folder")
        found[match.name] = match.place
    return found


def _match_part(begun: Match, part: str) -> Iterator[Match]:
    if not has_stars(part):
        entry = begun.place / without_stars(part)
        if entry.exists():
            yield begun._replace(place=entry)
        return
    pieces = (_STANDING.get(piece) or re.escape(without_stars(piece)) for piece in _PIECES.split(part))
    pattern = re.compile("".join(pieces), re.DOTALL)
    of_view = pattern.groupindex.get("view")
    for entry in entries_in(begun.place):
        if found := pattern.fullmatch(entry.name):
            stars = (text for number, text in enumerate(found.groups(), 1) if number != of_view)
            yield Match((*begun.stars, *stars), found["view"] if of_view else begun.view, entry)


def has_stars(path: str) -> bool:
    """Tell whether a path has stars, or ``{view}``, that stand for something."""
    return not _STANDING.keys().isdisjoint(_PIECES.split(path))


def without_stars(path: str) -> str:
    """Give the path that is meant where no star stands for anything."""
    return path.replace("[*]", "*")


def as_written(path: str) -> str:
    """Give a path as a data set's file states it, if its stars are part of names."""
    return path.replace("*", "[*]")

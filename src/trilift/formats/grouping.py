"""Recordings that lie side by side: which are one recording several times, and which path stands for them."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath

from trilift.formats.names import before_processing, name_of_view, plain
from trilift.formats.paths import VIEW, as_written
from trilift.formats.registry import View


def most_processed(places: list[PurePosixPath]) -> list[PurePosixPath]:
    """Of recordings that are there several times, more or less processed, keep those of one stage.

    That which most recordings have, and of these the last.
    """
    origins: dict[PurePosixPath, list[tuple[PurePosixPath, tuple[str, ...]]]] = {}
    for place in places:
        origin, words = _origin(place)
        origins.setdefault(origin, []).append((place, words))
    stages = Counter(words for versions in origins.values() for _, words in versions)
    stage = max(stages, key=lambda words: (stages[words], len(words), words))
    return sorted(
        place for versions in origins.values() for place, words in versions if len(versions) == 1 or words == stage
    )


def _origin(place: PurePosixPath) -> tuple[PurePosixPath, tuple[str, ...]]:
    """Give the place without what was appended, and that."""
    parts, words = list[str](), list[str]()
    for part in place.parts:
        name, appended = before_processing(part)
        parts.append(name)
        words += appended
    return PurePosixPath(*parts), tuple(words)


Find = Callable[[Path, str], dict[str, Path]]


def paths(folder: Path, places: Collection[PurePosixPath], find: Find) -> Iterator[tuple[str, list[PurePosixPath]]]:
    """Part places into those that one path with stars stands for, and for nothing else.

    Parameters
    ----------
    folder
        What the places are relative to.
    places
        Of files or folders.
    find
        Gives what a path stands for, as the reader sees it.
    """
    by_depth = sorted(places, key=lambda place: (len(place.parts), place))
    for _, alike in groupby(by_depth, key=lambda place: len(place.parts)):
        yield from _paths_alike(folder, list(alike), find)


def _paths_alike(folder: Path, places: list[PurePosixPath], find: Find) -> Iterator[tuple[str, list[PurePosixPath]]]:
    different = [set(names) for names in zip(*(place.parts for place in places), strict=True)]
    plainly = [as_written(*names) if len(names) == 1 else "*" for names in different]
    closely = [as_written(*names) if len(names) == 1 else _star_with_what_all_share(names) for names in different]
    for parts in ([*plainly[:-1], _last_part(folder, places)], closely):
        path = "/".join(parts) or "."
        if set(find(folder, path).values()) == {folder / place for place in places}:
            yield path, places
            return
    # Apart by the name that differs least; of several, the last.
    level = min(
        (level for level, names in enumerate(different) if len(names) > 1),
        key=lambda level: (len(different[level]), -level),
    )
    for name in sorted(different[level]):
        yield from _paths_alike(folder, [place for place in places if place.parts[level] == name], find)


def _last_part(folder: Path, places: list[PurePosixPath]) -> str:
    """Write the name of one place, or a star for several, with the ending that all files have."""
    names = {place.name for place in places}
    endings = {place.suffix for place in places}
    if len(names) == 1:
        return as_written(*names)
    return f"*{as_written(*endings)}" if len(endings) == 1 and (folder / places[0]).is_file() else "*"


def _star_with_what_all_share(names: set[str]) -> str:
    begin = os.path.commonprefix(list(names))  # noqa: RUF071
    end = os.path.commonprefix([name[len(begin) :][::-1] for name in names])[::-1]  # noqa: RUF071
    if any(len(name) == len(begin + end) for name in names):
        return "*"  # one would have no name
    return f"{as_written(begin)}*{as_written(end)}"


def path_with_cameras_first(
    folder: Path,
    views: list[PurePosixPath],
    cameras: Collection[str],
    find: Callable[[Path, str], dict[str, list[View]]],
) -> str | None:
    """Write the path of views that lie in folders of their cameras, each with some of every recording.

    Parameters
    ----------
    folder
        What the views' places are relative to.
    views
        Files or folders.
    cameras
        Names of cameras, of which only letters and digits are left.
    find
        Gives what a path stands for, as the reader sees it.

    Returns
    -------
    str or None
        The path, with ``{view}`` in place of the cameras' names; None where views do not lie so.
    """
    if len({len(view.parts) for view in views}) != 1:
        return None
    *levels, _ = (set(names) for names in zip(*(view.parts for view in views), strict=True))
    of_cameras = [
        level
        for level, names in enumerate(levels)
        if len(names) > 1 and all(plain(name) in cameras for name in names)
    ]
    if len(of_cameras) != 1 or all(plain(name_of_view(folder / view)) in cameras for view in views):
        return None
    parts = [as_written(*names) if len(names) == 1 else "*" for names in levels]
    parts[of_cameras[0]] = VIEW
    path = "/".join([*parts, _last_part(folder, views)])
    found = find(folder, path).values()
    stands_for = {view.path for those in found for view in those}
    return path if stands_for == {folder / view for view in views} and max(map(len, found)) > 1 else None

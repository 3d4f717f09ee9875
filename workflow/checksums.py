"""Files are compared by content, and each is read for that once.

Snakemake hashes the inputs of a job anew for every one of its outputs, and again for every job that reads them. With
detections of 10 GB and a sweep of 60 runs that would take hours. Here a file is hashed again only if its size, its
times or its place on the disk changed.
"""

import os
import time
from typing import Any

from snakemake.io import _IOFile

_COARSEST_CLOCK = 2e9  # ns: a file changed so soon after another change may keep its times
_hash = _IOFile.checksum
_known: dict[tuple[object, ...], str] = {}


async def _remembered(file: _IOFile, *arguments: Any, **options: Any) -> str | None:
    try:
        about = os.stat(file)
    except OSError:
        return await _hash(file, *arguments, **options)
    state = (os.path.abspath(file), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    key = (*state, arguments, tuple(options.items()))
    if key not in _known:
        checksum = await _hash(file, *arguments, **options)
        if checksum is None or time.time_ns() - about.st_ctime_ns < _COARSEST_CLOCK:
            return checksum
        _known[key] = checksum
    return _known[key]


def remember() -> None:
    """Let this process hash a file once, as long as it stays as it is."""
    _IOFile.checksum = _remembered

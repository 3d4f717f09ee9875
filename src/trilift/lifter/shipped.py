"""The lifters that come with the package: docs/pretrained.md says what they learnt, and how they were made."""

from pathlib import Path

SHIPPED = ("pretrained", "pretrained-single")
"""One that sees several frames, and one that sees a single one."""


def folder_of(lifter: Path | str) -> Path:
    """Find a lifter's folder: by one of the names `SHIPPED`, else it is the folder of a run.

    Examples
    --------
    >>> folder_of("pretrained").parent.name
    'lifter'
    >>> folder_of("results/demo/main").as_posix()
    'results/demo/main'
    """
    return Path(__file__).parent / str(lifter) if str(lifter) in SHIPPED else Path(lifter)

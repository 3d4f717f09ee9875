"""Messages for users."""

from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave is wrong: a file, a setting or an option.

    The command line prints the message alone, without a traceback, and ends with exit code 2. A message says
    which file, where in it, what was expected and how to mend it.
    """


def listed(names: Iterable[object], most: int = 10) -> str:
    """List names in a message: the first ones, and how many more there are.

    Examples
    --------
    >>> listed(range(520), most=3)
    '0, 1, 2 and 517 more'
    """
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more

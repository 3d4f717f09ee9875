"""What a command says, on the screen and in its log: warnings are marked, and said again at its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

_MOST_OF_A_KIND = 3


class _Marked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return ("WARNING: " if record.levelno == logging.WARNING else "") + super().format(record)


class _Warnings(logging.Handler):
    """Keeps the different warnings by the text that they are made from."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, list[str]] = {}
        self._buried = False  # under other lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.WARNING:
            self._buried = bool(self._kinds)
        elif record.getMessage() not in (known := self._kinds.setdefault(str(record.msg), [])):
            known.append(record.getMessage())

    def say_again(self) -> None:
        if not self._buried:
            return
        number = sum(map(len, self._kinds.values()))
        lines = [f"{number} warning{'s' * (number > 1)}, said above:"]
        for warnings in self._kinds.values():
            lines += warnings[:_MOST_OF_A_KIND]
            if len(warnings) > _MOST_OF_A_KIND:
                lines.append(f"(and {len(warnings) - _MOST_OF_A_KIND} more like this)")
        log.info("%s", "\n  ".join(lines))


@contextmanager
def shown(file: Path | None) -> Iterator[None]:
    """Show the messages of a command on the screen, and write them to a file; repeat the warnings at the end.

    An error is to be logged within, after what it ended: it then stands last.
    """
    screen = logging.StreamHandler()
    handlers: list[logging.Handler] = [screen]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file, mode="w", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(_Marked())
    logging.raiseExceptions = False  # a log that cannot be written stops nothing
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    try:
        yield
    finally:
        for handler in handlers[1:]:
            logging.getLogger().removeHandler(handler)
            with suppress(OSError):  # of a full disk
                handler.close()


class _Texts(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.texts.append(record.getMessage())


@contextmanager
def warnings_kept() -> Iterator[list[str]]:
    """Give a list to which the warnings that are given meanwhile are added."""
    handler, ours = _Texts(), logging.getLogger("trilift")
    ours.addHandler(handler)
    try:
        yield handler.texts
    finally:
        ours.removeHandler(handler)


@contextmanager
def warnings_again() -> Iterator[None]:
    """Repeat the warnings that were given meanwhile, unless they are the last that was said."""
    warnings = _Warnings()
    logging.getLogger().addHandler(warnings)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(warnings)
        warnings.say_again()

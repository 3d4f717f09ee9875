"""What a command says, on the screen and in its log: warnings are marked, and said again at its end."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)

BARS_ONLY = "TRILIFT_BARS_ONLY"
"""Set where others show what goes on: messages go into the log alone, and bars into `progress_file`."""

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


class _Bars:
    """Stands for the screen where another program has it: keeps what a bar would show in a file, for that program."""

    encoding = "ascii"

    def __init__(self, file: Path, log: IO[str]) -> None:
        self._file, self._log = file, log

    def isatty(self) -> bool:
        return True  # without that, tqdm draws none

    def write(self, text: str) -> int:
        with suppress(OSError):  # a full disk stops nothing
            if text.startswith("\r"):
                self._file.write_text(text.strip(), "utf-8")
            elif text.strip():
                self._log.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._log.flush()


def progress_file(log: Path) -> Path:
    """Give the file in which a command that writes this log keeps how far it is, while it runs."""
    return log.with_suffix(".progress")


@contextmanager
def _bars_only(file: Path, log: IO[str]) -> Iterator[None]:
    file.unlink(missing_ok=True)  # of a run that was killed
    for descriptor in (1, 2):  # what libraries and processes print, and how a crash ends
        os.dup2(log.fileno(), descriptor)
    try:
        with redirect_stderr(_Bars(file, log)):
            yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def shown(file: Path | None) -> Iterator[None]:
    """Show the messages of a command on the screen, and write them to a file; repeat the warnings at the end.

    Where `BARS_ONLY` is set, the file alone.

    An error is to be logged within, after what it ended: it then stands last.
    """
    handlers: list[logging.StreamHandler[Any]] = [logging.StreamHandler()]
    with ExitStack() as until:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            written = logging.StreamHandler(file.open("w", encoding="utf-8"))
            until.callback(_close, written)
            handlers.append(written)
            if BARS_ONLY in os.environ:
                until.enter_context(_bars_only(progress_file(file), written.stream))
                handlers = [written]
        for handler in handlers:
            handler.setFormatter(_Marked())
        logging.raiseExceptions = False  # a log that cannot be written stops nothing
        logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
        yield


def _close(handler: logging.StreamHandler[Any]) -> None:
    logging.getLogger().removeHandler(handler)
    with suppress(OSError):  # of a full disk
        handler.stream.close()


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

"""A terminal of 80 x 24 characters, on which the tests read what a person sees."""

import os
import pty
import re
import select
import signal
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

import pyte

COLUMNS, ROWS = 80, 24


class Terminal:
    """A command that runs in a terminal of its own.

    Parameters
    ----------
    folder, environment
        Where it runs, and its variables.
    command
        With its arguments.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *command: str) -> None:
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            termios.tcsetwinsize(0, (ROWS, COLUMNS))
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # who runs the tests in the background ignores Ctrl-C
            os.execvpe(command[0], command, {**environment, "TERM": "xterm"})

    def read_until(self, seen: Callable[["Terminal"], bool] = lambda _: False, seconds: float = 300) -> None:
        """Let it go on until something is seen, or until it ends.

        Raises
        ------
        TimeoutError
            With the screen, if neither comes.
        """
        until = monotonic() + seconds
        while monotonic() < until:
            if select.select([self._terminal], [], [], 0.1)[0]:
                try:
                    self._stream.feed(os.read(self._terminal, 65536))
                except OSError:  # it has ended
                    return
            if seen(self):
                return
        raise TimeoutError("\n".join(self.shown()))

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def end(self) -> int:
        """Let it end; returns its exit code."""
        self.read_until()
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def shown(self) -> list[str]:
        """Give the lines on the screen, and those that have scrolled away above it."""
        above = ["".join(line[column].data for column in range(COLUMNS)) for line in self._screen.history.top]
        lines = [line.rstrip() for line in (*above, *self._screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def masked(lines: list[str], folder: Path) -> list[str]:
    """Take out of a screen what differs from run to run: times, numbers measured, and where the project lies."""
    text = "\n".join(lines).replace(str(folder), "PROJECT")
    text = re.sub(r" \d+:\d\d\b", lambda time: "0:00".rjust(len(time[0])), text)
    text = re.sub(r"\d+\.\d (mm|px)", r"0.0 \1", text)
    return [line.rstrip() for line in text.splitlines()]

"""What a run of Snakemake shows: a line for each stage, its warnings, and at the end the result.

All else stands in `logs/` and in `.snakemake/log/`. With ``--verbose``, ``--dry-run`` and the like Snakemake shows
what it always does.
"""

import json
import logging
import os
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from trilift.project.messages import BARS_ONLY, progress_file

# What Snakemake says in every run and nobody needs; anything else that it says is shown.
_NOISE = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Complete log",
    "Elapsed time",
    "Execute ",
    "Exiting because a job execution failed",
    "Select jobs to execute",
    "Shutting down",
    "Using shell",
)
_INTERRUPTED = "Terminating processes on user request"
_OF_INPUT_FUNCTION = re.compile(r"^  WorkflowError:\n(.*?)\nWildcards:", re.MULTILINE | re.DOTALL)
_MOST_WARNINGS = 3
GO_ON = "Stopped. Run the same command again to go on from here."


def _without_traceback_of_interrupts(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(f"\n{GO_ON}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


@dataclass
class _Job:
    stage: str
    of: str
    logs: list[Path]
    of_sweep: bool
    started: float = field(default_factory=monotonic)
    progress: str = ""

    def line(self, about: str) -> str:
        minutes, seconds = divmod(round(monotonic() - self.started), 60)
        hours, minutes = divmod(minutes, 60)
        time = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return f"{self.stage:<12} {self.of:<22} {time:>7}  {about}".rstrip()

    def live(self) -> str:
        """Give the line while it runs, with the bar that it shows now."""
        for log in self.logs:
            try:
                self.progress = progress_file(log).read_text("utf-8") or self.progress
            except OSError:  # no bar yet, or none any more
                self.progress = ""
        return self.line(self.progress)


class Screen(logging.Handler):
    """Shows what Snakemake logs.

    Attributes
    ----------
    interrupted
        Whether somebody pressed Ctrl-C.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._jobs: dict[int, _Job] = {}
        self._said: set[str] = set()
        self._live = Live(console=self._console, get_renderable=self._running, refresh_per_second=2, transient=True)

    def take_over(self, settings: Any) -> None:
        """Take the place of Snakemake's own lines, unless somebody asks for them.

        Parameters
        ----------
        settings
            Snakemake's, of its output.
        """
        logger = logging.getLogger("snakemake.logging")
        usual = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
        asked = settings.verbose or settings.dryrun or settings.printshellcmds or settings.debug_dag
        if usual is None or asked or Quietness.ALL in (settings.quiet or ()):
            return
        logger.removeHandler(usual)
        logger.addHandler(self)
        # What the stages inherit. Their bars, which the live lines show, fit into what a line has left.
        os.environ |= {
            BARS_ONLY: "1",
            "TQDM_BAR_FORMAT": "{percentage:3.0f}% {bar:12} {remaining} left",
            "TQDM_ASCII": ".#",
            "TQDM_MININTERVAL": "1",
        }
        sys.excepthook = _without_traceback_of_interrupts

    def emit(self, record: Any) -> None:
        event, said = getattr(record, "event", None), str(record.msg or "")
        match event:
            case LogEvent.JOB_INFO:
                self._begin(record)
            case LogEvent.JOB_FINISHED:
                self._end(self._jobs.pop(record.job_id, None))
            case LogEvent.JOB_ERROR:
                self._fail(self._jobs.pop(record.jobid, None), record)
            case LogEvent.ERROR:
                if record.exception != "RuleException":  # a job failed: told in its line
                    told = _OF_INPUT_FUNCTION.search(said)
                    self._say(textwrap.dedent(told[1]) if told else said)
            case None:
                self.interrupted |= said.startswith(_INTERRUPTED)
                if said and not said.startswith((*_NOISE, _INTERRUPTED)):
                    self._say(said)

    def stop(self) -> None:
        """Let the live lines end: what follows are lines of others."""
        self._live.stop()

    def close(self) -> None:
        self.stop()
        super().close()

    def _begin(self, record: Any) -> None:
        if record.log:  # a stage, not a list of files
            names = [name for name in record.wildcards.values() if name != "main"]
            of_sweep = record.wildcards.get("run", "main") != "main"
            logs = [Path(path) for path in record.log]
            self._jobs[record.jobid] = _Job(record.rule_name, " ".join(names), logs, of_sweep)
            if self._console.is_terminal:
                self._live.start()

    def _end(self, job: _Job | None) -> None:
        if job is None:
            return
        warnings = [warning for log in job.logs for warning in dict.fromkeys(read_warnings(log))]
        new = [warning for warning in warnings if warning not in self._said]
        if job.stage == "evaluate" and job.of_sweep and not new:
            return  # the line of its training is enough
        self._say(job.line(_counted(len(warnings))))
        self._said.update(new)
        for warning in new[:_MOST_WARNINGS]:
            self._say(textwrap.indent(textwrap.fill(warning, self._console.width - 2), "  "))
        if len(new) > _MOST_WARNINGS:
            self._say(f"  (and {len(new) - _MOST_WARNINGS} more)")

    def _fail(self, job: _Job | None, record: Any) -> None:
        if job and not self.interrupted:
            self._say(job.line(f"failed: {' '.join(record.log)}"))
            if record.rule_msg:  # of a cluster, such as that the time is up
                self._say(f"  {record.rule_msg}")

    def _running(self) -> Text:
        return Text("\n".join(job.live() for job in list(self._jobs.values())), no_wrap=True, overflow="crop")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def read_warnings(log: Path) -> list[str]:
    """List what a stage warned of, as its log marks it; nothing, if there is no log."""
    try:
        return re.findall(r"^WARNING: (.*)$", log.read_text("utf-8"), re.MULTILINE)
    except OSError:
        return []


def _counted(warnings: int) -> str:
    return f"{warnings} warning{'s' * (warnings > 1)}" if warnings else ""


def warnings_in(logs: list[Path]) -> list[str]:
    """Say how many warnings there were, and where: they have scrolled away."""
    numbers = {log: len(warnings) for log in logs if (warnings := read_warnings(log))}
    if len(numbers) > _MOST_WARNINGS:
        return [f"{_counted(sum(numbers.values()))} in {len(numbers)} logs, the first in {next(iter(numbers))}"]
    return [f"{_counted(number)}: {log}" for log, number in numbers.items()]


def result(folder: Path) -> list[str]:
    """Say what a run came to, what to open, and what to do next.

    Parameters
    ----------
    folder
        Of the run: results/<dataset>/<run>.
    """
    dataset = folder.parts[-2]
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    of_reference = "mpjpe_mm" in metrics
    name, unit = ("mpjpe_mm", "mm") if of_reference else ("other_views_reprojection_px", "px")
    beside = {"mean pose": f"mean_pose_{name}", "pseudo-label": f"pseudo_label_{name}"}
    others = [f"{who} {metrics[key]:.1f}" for who, key in beside.items() if metrics.get(key) is not None]
    simulated = " (SIMULATED)" if metrics.get("simulated") else ""
    about = "MPJPE" if of_reference else "in the other views, from their detections"
    number = f"{metrics[name]:.1f} {unit}" if metrics.get(name) is not None else "-"
    activate = "source .venv/bin/activate && " if Path(".venv").is_dir() and "VIRTUAL_ENV" not in os.environ else ""
    command = "new FOLDER-OF-YOUR-RECORDINGS" if dataset == "demo" else f"predict --help, with --lifter {folder}"
    return [
        f"{dataset}{simulated}: {about} {number}" + (f" ({', '.join(others)})" if others else ""),
        *(f"  {folder / file}" for file in ("report.html", "viewer.html", "table.md") if (folder / file).exists()),
        f"Next: {activate}trilift {command}",
    ]

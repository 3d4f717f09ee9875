"""The command ``trilift info``: what made a file, from the records that the stages wrote."""

import argparse
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trilift.errors import InputError
from trilift.project.provenance import sha256
from trilift.project.stages import STAGES

log = logging.getLogger(__name__)

_DIGITS = 12  # of a hash, for people
_ORDER = list(STAGES)
_SAME, _CHANGED, _GONE = "as it was made", "CHANGED since it was made", "NOT THERE any more"


@dataclass(frozen=True)
class Record:
    """The record of one run of a stage.

    Attributes
    ----------
    project
        The folder that holds ``params.yaml``.
    path
        Of the record, relative to the project, as are all paths in it.
    content
        What `trilift.project.provenance.write` wrote.
    """

    project: Path
    path: str
    content: dict[str, Any]

    def state(self, output: str) -> str:
        """Tell whether an output is still what was recorded."""
        file = self.project / output
        if not file.is_file():
            return _GONE
        return _SAME if sha256(file) == self.content["outputs"][output] else _CHANGED


def describe(command: argparse.ArgumentParser) -> None:
    """Say on the command line what the command does and takes."""
    command.description = (
        "Find the record of the stage that made a file, show it, and say whether the file is still what the stage "
        "wrote. Of a run's or a data set's folder in results/, list the records that lie there."
    )
    command.epilog = (
        "Examples:\n"
        "  trilift info data/pseudo_labels/demo.nc\n"
        "  trilift info results/demo/main\n"
        "  trilift info results/demo/main/metrics.json --json"
    )
    command.add_argument("file", type=Path, help="a file that a stage made, or a folder such as results/demo/main")
    command.add_argument("--json", action="store_true", help="print the record itself (of a folder, a list of them)")


def run(options: argparse.Namespace) -> None:
    """Run ``trilift info``.

    Raises
    ------
    InputError
        If there is no record of the file.
    """
    path = Path(os.path.abspath(options.file))  # links stay as they are: raw data and DVC's cache may be linked to
    project = _project_of(path)
    name = path.relative_to(project).as_posix()
    records = [read(file, project) for file in path.glob("provenance/*.json")]
    if records:
        records.sort(key=lambda record: _ORDER.index(record.content["stage"]))
        print(_json([record.content for record in records]) if options.json else _listed(records))
        return
    record = _find(name, project, options.file)
    if not options.json:
        print(_described(record, name))
        return
    print(_json(record.content))
    if name != record.path and record.state(name) != _SAME:
        log.warning("%s: %s", options.file, record.state(name))


def _project_of(path: Path) -> Path:
    for folder in (path, *path.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise InputError(f"{path}: lies in no project: neither its folder nor one above holds a params.yaml")


def _records(project: Path) -> Iterator[Record]:
    for pattern in ("results/*/provenance/*.json", "results/*/*/provenance/*.json"):
        for file in sorted(project.glob(pattern)):
            yield read(file, project)


def read(file: Path, project: Path) -> Record:
    """Read a record.

    Raises
    ------
    InputError
        If it is none.
    """
    name = file.relative_to(project).as_posix()
    try:
        content = json.loads(file.read_text("utf-8"))
        missing = {"stage", "dataset", "run", "settings", "code", "inputs", "outputs", "libraries"} - content.keys()
        if missing or content["stage"] not in _ORDER:
            raise ValueError(f"lacks {', '.join(sorted(missing)) or 'the name of a stage'}")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: no readable record ({error}); delete it and run its stage again") from None
    return Record(project, name, content)


def _find(name: str, project: Path, shown: Path) -> Record:
    """Find the record that lists a file, or is it."""
    read_by = []
    for record in _records(project):
        if name == record.path or name in record.content["outputs"]:
            return record
        if name in record.content["inputs"]:
            read_by.append(record.content["stage"])
    if read_by:
        raise InputError(f"{shown}: no stage made it: it is an input of {', '.join(sorted(set(read_by)))}")
    if not (project / name).exists():
        raise InputError(f"{shown}: not there, and no record lists it")
    raise InputError(
        f"{shown}: no record of it: no stage made it, or one that did not end, or an earlier version of trilift; "
        "name a file that a stage makes, or a folder such as results/demo/main"
    )


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _short(digest: str) -> str:
    return digest[:_DIGITS]


def _described(record: Record, name: str) -> str:
    content = record.content
    if name == record.path:
        head = [f"{name}: the record of what a stage made"]
    else:
        state = record.state(name)
        head = [f"{name}: {state}" + ("; what follows made another version of it" if state == _CHANGED else "")]
        head += [f"record: {record.path}"]
    head += [f"stage: {content['stage']}", f"data set: {content['dataset']}"]
    head += [f"run: {content['run']}"] if content["run"] else []
    return "\n".join(head) + "\n" + as_yaml(parts(content))


def parts(content: dict[str, Any]) -> dict[str, Any]:
    """Give what a record says for people: hashes are shortened, those of what was made left out."""
    shown = {
        "settings": content["settings"],
        "inputs": {path: _short(digest) for path, digest in content["inputs"].items()},
        "code": _short(content["code"]),
        "libraries": content["libraries"],
    }
    if "weights" in content:
        shown["weights"] = {name: _short(digest) for name, digest in content["weights"].items()}
    return shown | ({"warnings": content["warnings"]} if "warnings" in content else {})


def as_yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)).rstrip()


def _listed(records: list[Record]) -> str:
    lines = []
    for record in records:
        content = record.content
        states = {output: record.state(output) for output in content["outputs"]}
        wrong = [f"{output} {state}" for output, state in states.items() if state != _SAME]
        lines.append(
            f"{content['stage']:<12} {_short(content['code'])}  {len(states):>2} files, "
            f"{'; '.join(wrong) or 'all as they were made'}"
        )
    where = records[0].path.rpartition("/")[0]
    return "\n".join([f"{'stage':<12} {'code':<{_DIGITS}}  what it made", *lines, f"(records: {where})"])

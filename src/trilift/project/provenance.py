"""What made an artifact: a JSON record for every run of a stage, written beside its artifacts.

A record is the same bytes whenever the same code makes the same files of the same inputs: it names no time, no
machine and no place. It is a file of its own, so that an edited comment, which changes the hash of the code, changes
no artifact. `trilift.project.info` finds the record of a file.
"""

import ast
import hashlib
import importlib
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from trilift import __version__
from trilift.project.files import write_text
from trilift.project.layout import Layout
from trilift.project.stages import STAGES

SOURCE = Path(__file__).parents[2]
_LIBRARIES = {"av", "h5netcdf", "h5py", "matplotlib", "numba", "numpy", "pandas", "scipy", "torch", "xarray"}
_DATA_FILE = re.compile(r"\"([\w/-]+\.(?:json|html|rst|yaml))\"")


class Code(NamedTuple):
    """What a stage runs.

    Attributes
    ----------
    files
        Modules of this project and the data files that they name, relative to its folder, sorted.
    imports
        Names of the packages from elsewhere.
    """

    files: list[str]
    imports: set[str]


def write(
    layout: Layout,
    stage: str,
    *,
    params: Mapping[str, BaseModel | int],
    dataset: Mapping[str, BaseModel] | None = None,
    inputs: Iterable[Path] = (),
    digests: Mapping[Path, str] | None = None,
    outputs: Iterable[Path],
    loads: Iterable[str] = (),
    weights: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
) -> None:
    """Record what a stage has made, and of what; the last thing that a stage does.

    Parameters
    ----------
    layout
        Where the files are.
    stage
        Name of the stage.
    params
        What the stage used of ``params.yaml``, by section.
    dataset
        What it used of the data set's file, by section.
    inputs
        The files that it read.
    digests
        Hashes that are known already, by input: those of folders with a file per frame.
    outputs
        The files that it wrote.
    loads
        Modules that it loads by name, which no ``import`` shows.
    weights
        Hashes of the networks that it ran and did not train, by their names.
    warnings
        What it warned of: of its results, not of this machine.
    """

    def name(path: Path) -> str:
        return path.relative_to(layout.project).as_posix()

    path = layout.provenance(stage)
    code = code_of([STAGES[stage].module, *loads])
    settings = {name(layout.params): _plain(params)}
    if dataset:
        settings[name(layout.dataset_file)] = _plain(dataset)
    record: dict[str, Any] = {
        "stage": stage,
        "dataset": layout.dataset,
        "run": layout.run if layout.results in path.parents else None,
        "settings": settings,
        "code": hash_of(code.files),
        "inputs": {name(file): sha256(file) for file in inputs}
        | {name(folder): digest for folder, digest in (digests or {}).items()},
        "outputs": {name(file): sha256(file) for file in outputs},
        "libraries": {"python": platform.python_version(), "trilift": __version__}
        | {library: str(importlib.import_module(library).__version__) for library in code.imports & _LIBRARIES},
    }
    record |= ({"weights": dict(weights)} if weights else {}) | ({"warnings": list(warnings)} if warnings else {})
    write_text(path, json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def _plain(sections: Mapping[str, BaseModel | int]) -> dict[str, Any]:
    return {
        name: section.model_dump(mode="json") if isinstance(section, BaseModel) else section
        for name, section in sections.items()
    }


def sha256(path: Path) -> str:
    """Hash a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(files: Iterable[str | Path], source: Path | None = None) -> str:
    """Hash names and contents of files of the code."""
    digest = hashlib.sha256()
    for file in files:
        name = file.name if isinstance(file, Path) else file
        digest.update(f"{name} {sha256((source or SOURCE) / file)}\n".encode())
    return digest.hexdigest()


def code_of(modules: Iterable[str], source: Path | None = None) -> Code:
    """Find what importing modules runs, without importing them: no result depends on what else a process has loaded.

    Parameters
    ----------
    modules
        Names of modules.
    source
        The folder that holds the packages of this project.
    """
    source = source or SOURCE
    files: set[Path] = set()
    imports: set[str] = set()
    waiting, seen = list(modules), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        package, _, _ = name.rpartition(".")
        waiting += [package] if package else []
        file = _file_of(name, source)
        if file is None:
            imports.add(name)
        elif file not in files:
            text = file.read_text("utf-8")
            named = {file.parent / data for data in _DATA_FILE.findall(text)}
            files |= {file, *(data for data in named if data.is_file())}
            waiting += _imported(text)
    return Code(sorted(file.relative_to(source).as_posix() for file in files), imports)


def _file_of(name: str, source: Path) -> Path | None:
    path = source.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(text: str) -> list[str]:
    """Name what a module imports, in its functions too."""
    names: list[str] = []
    for node in _statements(ast.parse(text).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Give statements and those inside of them, but no expressions, which would take five times as long."""
    for node in body:
        yield node
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from _statements(getattr(node, part, ()))

"""Reading ``params.yaml`` and the files of data sets; unknown keys are errors."""

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from trilift.errors import InputError, listed
from trilift.project import yaml_text
from trilift.project.stages import SECTIONS

log = logging.getLogger(__name__)

LISTS = ("datasets", "videos", "uncalibrated", "uncalibrated_videos")
"""The lists of data sets of ``params.yaml``: all, and those whose first stages DVC must be told of."""

_TOP_LEVEL = {*LISTS, "seed", "sweep", *SECTIONS}
_SECTIONS_OF_A_DATASET = {"simulate", "ingest", "split"}


class StrictModel(BaseModel):
    """A settings class: every key is known, every value has its type, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def refuse(problems: list[str]) -> None:
    """Say all that does not fit together, from a validator; nothing if there is none.

    Raises
    ------
    ValueError
        With all problems.
    """
    if problems:
        raise ValueError("; ".join(problems))


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: object, where: str) -> Model:
    """Check values against a settings class.

    Parameters
    ----------
    model
        The settings class.
    values
        What was read; None stands for an empty section.
    where
        File and section, for messages.

    Raises
    ------
    InputError
        Naming the file, every wrong key and what was expected.
    """
    content = {} if values is None else values
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = _describe(model, content, error)
    raise InputError(f"{where}:\n" + "\n".join(lines))


def _describe(model: type[BaseModel], values: object, error: ValidationError) -> list[str]:
    """Tell all that is wrong, one line each.

    What holds between settings is checked only where each of them is sound: so the wrong ones are taken out, and the
    rest is checked again, as long as there is something to take out.
    """
    lines: dict[str, None] = {}
    rest, taken = copy.deepcopy(values), set[tuple[int | str, ...]]()
    while True:
        before = len(taken)
        for problem in error.errors():
            if problem["type"] == "missing" and problem["loc"] in taken:
                continue
            lines[_line(model, problem)] = None
            removed = _take_out(rest, problem["loc"])
            if removed:
                taken.add(removed)
        if len(taken) == before:
            return list(lines)
        try:
            model.model_validate(rest)
        except ValidationError as again:
            error = again
        else:
            return list(lines)


def _line(model: type[BaseModel], problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(the section)"
    if problem["type"] == "extra_forbidden":
        return f"  {key}: unknown setting (known here: {', '.join(_fields_beside(model, problem['loc']))})"
    if problem["type"] == "missing":
        return f"  {key}: missing"
    found = "" if isinstance(problem["input"], dict) else f", but it is {problem['input']!r}"
    if problem["type"] == "string_type" and isinstance(problem["input"], int | float):
        found += ": put it in quotes"
    return f"  {key}: {problem['msg'].removeprefix('Value error, ')}{found}"


def _take_out(values: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Remove the innermost mapping's entry that a location leads to; returns where that was, () if nowhere."""
    holder: dict[Any, Any] | None = None
    removed: tuple[int | str, ...] = ()
    for depth, part in enumerate(location):
        if not isinstance(values, dict) or part not in values:
            break
        holder, removed, values = values, location[: depth + 1], values[part]
    if holder is not None:
        del holder[removed[-1]]
    return removed


def _fields_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names that are known where an unknown one was found."""
    for name in location[:-1]:
        kinds = get_args(model.model_fields[str(name)].annotation) or (model.model_fields[str(name)].annotation,)
        model = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(model.model_fields)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    InputError
        If it is missing, is no YAML or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: not there; run in the project's folder, or name it with --project") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    try:
        content = yaml_text.load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of names to values at the top level")
    return content


def _check_names(content: Mapping[str, Any], known: set[str], path: Path) -> None:
    unknown = [str(name) for name in content if name not in known]
    if unknown:
        raise InputError(f"{path}: unknown section {', '.join(unknown)} (known: {', '.join(sorted(known))})")


def load(path: Path, stage: str, model: type[Model]) -> Model:
    """Read one stage's section of ``params.yaml``."""
    content = read_yaml(path)
    _check_names(content, _TOP_LEVEL, path)
    if stage not in content:
        log.warning("%s: no section %s, so its defaults are used", path, stage)
    return parse(model, content.get(stage), f"{path}, section {stage}")


def load_seed(path: Path) -> int:
    """Read the seed of ``params.yaml``."""
    seed = read_yaml(path).get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"{path}: seed must be a whole number from 0 on, but it is {seed!r}")
    return seed


def load_datasets(path: Path, key: str = "datasets") -> list[str]:
    """Read one of the `LISTS` of data sets of ``params.yaml``."""
    content = read_yaml(path)
    _check_names(content, _TOP_LEVEL, path)
    names = content.get(key, None if key == "datasets" else [])
    names = [getattr(name, "text", name) for name in names] if isinstance(names, list) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{path}: {key} must be a list of names, one per line after `- ` and numbers in quotes, "
            f"but it is {names!r}"
        )
    return names


def load_dataset(path: Path, section: str, model: type[Model]) -> Model:
    """Read one section (``simulate``, ``ingest`` or ``split``) of a data set's file."""
    return parse(model, read_dataset(path).get(section), f"{path}, section {section}")


def read_dataset(path: Path) -> dict[str, Any]:
    """Read the file of a data set, whose sections are not checked yet.

    Raises
    ------
    InputError
        If there is none, it is no YAML, or has other sections.
    """
    if not path.exists():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise InputError(f"unknown data set '{path.stem}': there is no {path} (there are: {listed(known)})")
    content = read_yaml(path)
    _check_names(content, _SECTIONS_OF_A_DATASET, path)
    return content

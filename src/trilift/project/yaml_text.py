"""YAML as its version 1.2 has it, which DVC reads too: ``yes`` and ``00_00`` are text, ``1e-3`` is a number."""

import json
import re
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class _Int(int):
    """A whole number that knows how it was typed."""

    text: str


class _Float(float):
    """A number that knows how it was typed."""

    text: str


Name = Annotated[str, BeforeValidator(lambda value: getattr(value, "text", value))]
"""Text of a settings class that may look like a number: a camera called 007 is meant as it was typed."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> _Int | _Float:
        text = str(self.construct_scalar(node))
        number: Any
        if _INT.fullmatch(text):
            number = _Int(int(text, 0) if text[:2] in ("0o", "0x") else int(text))
        else:
            number = _Float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
        number.text = text
        return number


for _name, _pattern, _first in (
    ("null", re.compile(r"(~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    ("int", re.compile(rf"({_INT.pattern})\Z"), list("-+0123456789")),
    ("float", re.compile(rf"({_FLOAT.pattern})\Z"), list("-+.0123456789")),
    ("merge", re.compile(r"<<\Z"), ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)
for _name in ("int", "float"):
    _Loader.add_constructor(_TAG + _name, _Loader.construct_number)


def load(text: str) -> Any:
    """Read a text.

    Raises
    ------
    yaml.YAMLError, ValueError, RecursionError
        If it is no YAML, or has a key twice.
    """
    return yaml.load(text, _Loader)


def in_yaml(value: object) -> str:
    """Write what can be pasted into a data set's file, where a name as 00_01 would be a number without quotes."""
    return json.dumps(value, ensure_ascii=False)

"""What the build of the documentation adds to Markdown: formulas as MathML, settings, commands.

A formula is ``$...$`` in a line or ``$$...$$`` on lines of its own, in LaTeX. A line
``<!-- settings: trilift.module.Class -->`` becomes a list of the settings class, from its docstring and defaults, and
``<!-- command: predict -->`` what `trilift predict --help` says. The site links to where this clone came from.
"""

import ast
import io
import json
import os
import re
import subprocess
from contextlib import redirect_stdout, suppress
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

from trilift import cli

_SOURCE = Path(__file__).parents[1] / "src"
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_SETTINGS = re.compile(r"^<!-- settings: ([\w.]+) -->$", re.MULTILINE)
_COMMAND = re.compile(r"^<!-- command: (\w+) -->$", re.MULTILINE)
_ADDRESS = re.compile(r"(?:(?:https|ssh)://(?:[^@/]*@)?|[^@/]+@)([\w.-]+)(?::\d+)?[:/](.+?)(?:\.git)?/?$")
_BOUNDS = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}


def on_config(config: MkDocsConfig) -> None:
    """Link to the repository, where git knows of one that a browser can open.

    In the navigation: of `repo_url` the theme would ask the network for the number of stars.
    """
    try:
        asked = subprocess.run(
            ["git", "-C", _SOURCE.parent, "remote", "get-url", "origin"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git
        return
    # Without the name of a user, or the token in its place.
    if found := _ADDRESS.match(asked.stdout.strip()):
        config.nav.insert(1, {"Repository": "https://{}/{}".format(*found.groups())})


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put lists of settings and the help of commands where a page asks for them."""
    return _COMMAND.sub(lambda found: _help(found[1]), _SETTINGS.sub(lambda found: _list(found[1]), markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Render formulas."""
    return _FORMULA.sub(_render, html)


def _render(formula: re.Match[str]) -> str:
    tex = unescape(formula[2]).strip()
    block = formula[1] == "div"
    mathml = convert(tex, display="block" if block else "inline")
    if "\\" in re.sub(r"<[^>]*>", "", mathml):
        raise PluginError(f"this formula has a command that has no MathML: {tex}")
    return f'<div class="formula">{mathml}</div>' if block else mathml


def _help(command: str) -> str:
    """Give what a command says of itself, in lines that a page has room for."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    with redirect_stdout(io.StringIO()) as said, suppress(SystemExit):
        cli.main([command, "--help"])
    return f"```text\n{said.getvalue()}```"


@cache
def _package() -> griffe.Object:
    found = griffe.load("trilift", search_paths=[_SOURCE], docstring_parser="numpy")
    assert isinstance(found, griffe.Object)
    return found


def _list(path: str) -> str:
    settings = _package()[path.removeprefix("trilift.")]
    meanings = {
        name: " ".join(attribute.description.replace("``", "`").split())
        for section in settings.docstring.parsed
        if section.kind is griffe.DocstringSectionKind.attributes
        for attribute in section.value
        for name in attribute.name.split(", ")
    }
    entries = []
    for name, member in settings.members.items():
        is_setting = member.is_attribute and "property" not in member.labels and member.annotation is not None
        if is_setting and not name.startswith("_"):
            default, bounds = _default(member.value)
            values = bounds or _choices(str(member.annotation))
            entries.append(f"`{name}`: {', '.join(filter(None, (default, values)))}\n:   {meanings.get(name, '')}\n")
    return "\n".join(entries)


def _default(value: object) -> tuple[str, str]:
    """Give the default of a field and its bounds, as text."""
    if value is None:
        return "no default", ""
    expression = ast.parse(str(value), mode="eval").body
    if not isinstance(expression, ast.Call):
        return _as_yaml(expression), ""
    if ast.unparse(expression.func) != "Field":
        return "a section of its own", ""
    bounds = [_BOUNDS[word.arg] + ast.unparse(word.value) for word in expression.keywords if word.arg in _BOUNDS]
    return _as_yaml(expression.args[0]) if expression.args else "no default", ", ".join(bounds)


def _as_yaml(expression: ast.expr) -> str:
    try:
        value = ast.literal_eval(expression)
    except ValueError:
        return f"default `{ast.unparse(expression)}`"
    return f"default `{value if isinstance(value, str) else json.dumps(value)}`"


def _choices(annotation: str) -> str:
    found = re.match(r"Literal\[([^\]]*)\]( \| dict)?", annotation)
    if not found:
        return ""
    choices = ", ".join(f"`{ast.literal_eval(choice)}`" for choice in found[1].split(", "))
    return f"one of {choices}{', or by name' if found[2] else ''}"

"""What the pages have in common: their templates, and how numbers, captions and files become part of a page."""

import base64
from pathlib import Path, PurePath
from typing import Any

from docutils.core import publish_parts
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from trilift.style import LINES, REFERENCE

CAPTIONS = (
    "captions/poses.rst",
    "captions/animation.rst",
    "captions/error_per_joint.rst",
    "captions/error_per_action.rst",
    "captions/error_per_view.rst",
    "captions/error_distribution.rst",
    "captions/error_by_condition.rst",
    "captions/pseudo_labels.rst",
    "captions/training.rst",
    "captions/tables.rst",
    "captions/viewer.rst",
    "captions/report.rst",
)
"""What is said of the figures, in the order of the page, and then of other results; as in Snakemake's report."""

_TEMPLATES = ("page.html", "parts.html", "report.html", "comparison.html", "viewer.html")
_MEDIA = {".png": "image/png", ".gif": "image/gif"}
_HERE = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """Fill in a template; whatever is not `Markup` is escaped."""
    page = Environment(
        loader=DictLoader({name: (_HERE / name).read_text("utf-8") for name in _TEMPLATES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["number"] = number
    page.globals["colours"] = {"lifter": LINES[0], "mean_pose": REFERENCE, "pseudo_label": LINES[2]}
    return page.get_template(template).render(values) + "\n"


def number(value: float | None, digits: int = 1) -> str:
    """Write a number for people; what is not known is a dash.

    Examples
    --------
    >>> number(1234.56), number(12.0, 0), number(None)
    ('1,234.6', '12', '–')
    """
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def caption(name: str) -> Markup:
    """Give what is said of a figure, as HTML, without the note that it is simulated: the page says so once."""
    (path,) = (path for path in CAPTIONS if PurePath(path).stem == name)
    text = Environment().from_string((_HERE / path).read_text("utf-8")).render(snakemake={"params": {}})
    return Markup(publish_parts(text, writer="html5", settings_overrides={"_disable_config": True})["body"])


def embedded(path: Path) -> str:
    """Give an image as an address that holds it."""
    return f"data:{_MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"

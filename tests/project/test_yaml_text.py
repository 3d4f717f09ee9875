import math
from io import StringIO
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from trilift.project import yaml_text

SCALARS = {
    "1e-3": 0.001, "1e5": 1e5, "1E+2": 100.0, "+1": 1, "-.5": -0.5, "1.": 1.0, "010": 10, "0o7": 7, "0x1F": 31,
    "-0": 0, "2026": 2026, ".inf": math.inf, "-.INF": -math.inf, "true": True, "FALSE": False, "~": None, "": None,
    "null": None, "on": "on", "off": "off", "yes": "yes", "No": "No", "y": "y", "00_00": "00_00", "1_000": "1_000",
    "2026-01-01": "2026-01-01", "12:30:45": "12:30:45", "1:20": "1:20", "0b11": "0b11", "0o8": "0o8", "=": "=",
    "e5": "e5", ".": ".", "+": "+", "nan": "nan", "tRUE": "tRUE", "1e": "1e", "x<<": "x<<",
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_are_what_yaml_1_2_says(text: str) -> None:
    for read in (yaml_text.load(f"a: {text}\n")["a"], yaml_text.load(f"[{text or '~'}]")[0]):
        assert isinstance(read, type(SCALARS[text]))
        assert read == SCALARS[text]
    assert yaml_text.load(f'"{text}"') == text
    if text:
        assert yaml_text.load(f"{{{text}: 1}}") == {SCALARS[text]: 1}


def test_not_a_number_is_one() -> None:
    assert math.isnan(yaml_text.load(".NaN"))


# PyYAML takes these three for line ends, as YAML 1.1 did. Nobody types them.
TEXTS = st.text(st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.sampled_from(list(SCALARS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_what_dvc_writes_comes_back(value: Any) -> None:
    written = StringIO()
    YAML().dump({"value": value}, written)  # as it writes params.yaml
    assert yaml_text.load(written.getvalue()) == {"value": value}


def test_anchors_and_merged_keys_are_read_as_dvc_reads_them() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n"
    assert (
        yaml_text.load(text)
        == YAML(typ="safe").load(text)
        == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}
    )


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, b: {c: 1, c: 1}}", "? a\n: 1\n? a\n: 2"])
def test_a_key_that_is_there_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="is there twice"):
        yaml_text.load(text)


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.getcwd []", "a: [", "a: 1\n---\nb: 2", "*a", "? [1]\n: 2"]
)
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml_text.load(text)

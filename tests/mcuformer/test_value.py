"""Typed values: strict, frozen, and faults in one line (mcuformer.errors)."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from mcuformer.errors import ConfigError, McuformerError, one_line
from mcuformer.value import Value


class Inner(Value):
    count: Annotated[int, Field(ge=1)]


class Outer(Value):
    parts: tuple[Inner, ...]
    size: int | None = None
    name: str = "x"


GOOD: dict[str, Any] = {"parts": [{"count": 1}, {"count": 2}], "size": None, "name": "x"}


def test_parse_and_dump_are_inverse() -> None:
    value = Outer.parse(GOOD)
    assert value.parts[1] == Inner(count=2)
    assert value.dump() == GOOD
    with pytest.raises(ValidationError):
        value.name = "y"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"size": "3"}, "size: Input should be a valid integer (got '3')"),
        ({"size": True}, "size: Input should be a valid integer (got True)"),
        ({"colour": 1}, "colour: unknown key"),
        ({"parts": [{"count": 1}, {}]}, "parts.1.count: missing key"),
        ({"parts": [{"count": 0}]}, "parts.0.count: out of range (got 0, expected at least 1)"),
        ({"size": "3", "name": 4}, "size: Input should be a valid integer (got '3'); and 1 more"),
    ],
)
def test_faults_are_one_line_with_a_path(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.parse({**GOOD, **change}, where="a.yaml")
    assert str(caught.value).startswith(f"a.yaml: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [10**5000, "\ud800", b"x", [10**5000]], ids=type)
def test_values_that_no_file_can_hold(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^parts\.1\.count(\.0)?: neither Unicode nor") as caught:
        Outer.parse({**GOOD, "parts": [{"count": 1}, {"count": value}]})
    assert len(str(caught.value)) < 100


def test_long_values_are_cut_and_terminals_left_alone() -> None:
    with pytest.raises(ConfigError, match=r"\(got 'x{199}\.\.\. \(5002 letters\)\)$"):
        Outer.parse({**GOOD, "size": "x" * 5000})
    assert one_line("a\x1b[31m\n b\x00") == "a\\x1b[31m b\\x00"


def test_an_error_tells_where_got_and_expected() -> None:
    error = McuformerError("too small", where="a.b", got=0, expected="at least 1")
    assert str(error) == "a.b: too small (got 0, expected at least 1)"
    assert str(McuformerError("too small")) == "too small"


def test_what_no_result_depends_on_is_no_content() -> None:
    class Inner(Value):
        without_effect = ("cache",)
        size: int = 3
        cache: int = 4

    class Outer(Value):
        without_effect = ("folder",)
        inner: Inner = Inner()
        folder: str = "x"

    assert Outer().content() == {"inner": {"size": 3}}
    assert Outer().dump() == {"inner": {"size": 3, "cache": 4}, "folder": "x"}


def test_a_later_field_is_content_where_it_is_set() -> None:
    class Grown(Value):
        later = ("model",)
        size: int = 3
        model: str = "old"

    assert Grown().content() == {"size": 3}
    assert Grown(model="new").content() == {"size": 3, "model": "new"}

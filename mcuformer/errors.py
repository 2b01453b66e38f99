"""Errors that a user can act on: one line with fault, place, offending value and expectation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mcuformer.fields import Model, keys_at

SHOWN = 200  # letters of a value in a message
BOUNDS = {  # pydantic's faults of range, by the words for the bound
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_long": "at most {max_length} values",
    "too_short": "at least {min_length} values",
    "string_too_long": "at most {max_length} letters",
    "string_too_short": "at least {min_length} letters",
}


class McuformerError(Exception):
    """A fault of the input or the environment, reported in one line.

    Args:
        message: description of the fault.
        where: dotted configuration path, file or layer name.
        got: offending value.
        expected: description of valid values.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        where: object = None,
        got: object = None,
        expected: object = None,
    ) -> None:
        self.where, self.got, self.expected = where, got, expected
        line = f"{where}: {message}" if where is not None else message
        details = []
        if got is not None:
            details.append(f"got {shown(got)}")
        if expected is not None:
            details.append(f"expected {expected}")
        super().__init__(f"{line} ({', '.join(details)})" if details else line)


class ConfigError(McuformerError):
    """A configuration value is misspelt, of the wrong type or out of range."""


class DataError(McuformerError):
    """A data set or an image is missing, damaged or of the wrong form."""


class ArtifactError(McuformerError):
    """A file of a run is missing, damaged or of an unsupported format version."""


class BudgetError(McuformerError):
    """The memory budget admits no subnet, or not the given one."""


class ToolMissingError(McuformerError):
    """A step needs a program that is not installed, or a larger emulated board than there is."""


class LoweringError(McuformerError):
    """A layer cannot be represented in the integer arithmetic of SPEC.md."""


class PlanError(McuformerError):
    """A memory plan breaks one of its rules."""


class FirmwareError(McuformerError):
    """Building or running a firmware failed."""


class InternalError(McuformerError):
    """A contradiction inside the system, for instance between C and numpy. Please report it."""

    exit_code = 3


def shown(value: object) -> str:
    """Return a value as text of limited length; a text is shown as it is.

    >>> shown("x" * 500)[-20:]
    'xxx... (500 letters)'
    """
    try:
        text = str(value)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} letters)"


def one_line(error: object) -> str:
    r"""Return a message as one printable line: a user's text must not steer the terminal.

    >>> one_line("no \x1b[31m\nfile")
    'no \\x1b[31m file'
    """
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def of_system(error: OSError) -> McuformerError:
    """Return a fault of the operating system, for instance a full disk, as a fault of one line."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return McuformerError(": ".join([error.strerror or str(error), *names[:1]]))


def dotted_path(location: Sequence[int | str], container: Any, *, absent: bool = False) -> str:
    """Return the dotted path of a fault, without pydantic's names of union members.

    Args:
        location: location in pydantic's error.
        container: nested dicts and lists that were validated.
        absent: whether the last part is a key that the container lacks.
    """
    kept = []
    for number, part in enumerate(location):
        inside = isinstance(container, dict) and part in container
        inside = inside or (isinstance(container, list) and isinstance(part, int))
        if inside:
            container = container[part]
        elif not absent or number < len(location) - 1:
            continue  # a union member's name
        kept.append(str(part))
    return ".".join(kept) or "configuration"


def _quoted(value: object) -> str:
    """Return the Python form of a value, of limited length."""
    return shown(value) if isinstance(value, int) else shown(repr(value))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a clause with the known name nearest to `name`, or an empty string if none is near.

    >>> did_you_mean("weigth_decay", ["weight_decay", "warmup_epochs"])
    "; did you mean 'weight_decay'?"
    """
    near = get_close_matches(shown(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def describe_validation_error(error: ValidationError, container: Any, model: Model) -> str:
    """Return the first fault of a pydantic error as one line with its dotted path.

    Args:
        error: error raised by the validation of `model`.
        container: nested dicts and lists that were validated.
        model: type of the value.

    Returns:
        ``path: fault (got VALUE)``, followed by the nearest known name if one was misspelt and by
        the number of further faults.
    """
    faults = error.errors(include_url=False)
    strays = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    apt = [f for f in faults if f["type"] != "literal_error" or not isinstance(f["input"], dict)]
    first = (strays or apt or faults)[0]  # a missing key may be present, misspelt
    kind = first["type"]
    where = dotted_path(first["loc"], container, absent=kind == "missing")
    if kind == "extra_forbidden":
        near = did_you_mean(first["loc"][-1], keys_at(model, first["loc"]))
        text = f"{where}: unknown key{near}"
    elif kind == "missing":
        text = f"{where}: missing key"
    elif kind == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        near = did_you_mean(tag, re.findall(r"'([^']*)'", tags))
        text = f"{where}: no such option (got {_quoted(tag)}, expected {tags}){near}"
    else:
        context = first.get("ctx", {})
        message, expected = first["msg"].removeprefix("Value error, "), ""
        if kind in BOUNDS:
            message, expected = "out of range", f", expected {BOUNDS[kind].format(**context)}"
        text = f"{where}: {message}"
        if not isinstance(first["input"], dict):
            text += f" (got {_quoted(first['input'])}{expected})"
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        text += did_you_mean(first["input"], choices)
    more = len(faults) - 1
    return text + (f"; and {more} more fault{'s' if more > 1 else ''}" if more else "")
